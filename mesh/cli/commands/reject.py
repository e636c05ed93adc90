"""`meshnode reject`: say that pictures are wrong."""

import click

from mesh.cli import output, words
from mesh.cli.caller import Caller, home_option, job_path, json_option, pass_caller
from mesh.ports.trust import RejectAnswer


@click.command()
@click.argument("job")
@click.argument("frames")
@click.option("--reason", metavar="TEXT", default="", help="What is wrong; everybody who looks at the job reads it.")
@home_option
@json_option
@pass_caller
def command(caller: Caller, job: str, frames: str, reason: str) -> None:
    """Say that pictures are wrong.

    JOB is a job's name, its id, or the beginning of its id; FRAMES are such as 7 or 1,5,10-20, or `all` that there are.
    They are rendered again, and files that were delivered are replaced. On the peer that submitted the job, on a judge
    that it names, and on an admin it is obeyed, until the job is sealed; on any other it is a complaint, which those
    three see.
    """
    request = {"frames": "" if frames == "all" else frames, "reason": reason}
    answer: RejectAnswer = caller.client().post(job_path(job, "/reject"), request)
    if caller.as_json:
        output.say_json(answer)
        return
    what = f"{words.count(answer['frames'], 'frame')} of {answer['name']} ({words.short(answer['job'])})"
    if answer["complained"]:
        output.say(f"complained about {what}: only its submitter, a judge or an admin rejects pictures")
    else:
        output.say(f"rejected {what}")
