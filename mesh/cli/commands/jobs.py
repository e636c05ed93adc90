"""`meshnode jobs`: every job that this peer knows."""

import click

from mesh.cli import output, words
from mesh.cli.caller import Caller, home_option, json_option, pass_caller
from mesh.cli.jobrows import job_table
from mesh.ports.desk import JobsAnswer


@click.command()
@home_option
@json_option
@pass_caller
def command(caller: Caller) -> None:
    """List the jobs."""
    answer: JobsAnswer = caller.client().get("/jobs")
    if caller.as_json:
        output.say_json(answer)
        return
    if (pause := answer["paused"]) is not None:
        said = words.paused(pause["since_at_ms"], pause["until_at_ms"])
        output.notice(f"This host is {said}; `meshnode resume` ends it.")
    if not answer["jobs"]:
        output.say(output.dim("No jobs yet. `meshnode submit shot.blend` makes one."))
    else:
        for line in job_table(answer["jobs"]):
            output.say(line)
