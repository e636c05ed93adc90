"""`meshnode cancel`: end a job for good."""

import click

from mesh.cli import output, words
from mesh.cli.caller import Caller, home_option, job_path, json_option, pass_caller
from mesh.ports.desk import ChangedAnswer


@click.command()
@click.argument("job")
@home_option
@json_option
@pass_caller
def command(caller: Caller, job: str) -> None:
    """End a job for good.

    JOB is a job's name, its id, or the beginning of its id. Frames that were delivered stay where they are.
    """
    answer: ChangedAnswer = caller.client().post(job_path(job, "/cancel"))
    if caller.as_json:
        output.say_json(answer)
        return
    row = answer["job"]
    kept = f"; {words.count(row['delivered'], 'frame')} stay in {row['directory']}" if row["delivered"] else ""
    output.say(f"cancelled {row['name']} ({words.short(row['id'])}){kept}")
