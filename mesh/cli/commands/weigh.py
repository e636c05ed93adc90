"""`meshnode weigh`: give a job more or less time beside others."""

import click

from mesh.cli import output, words
from mesh.cli.caller import Caller, home_option, job_path, json_option, pass_caller
from mesh.ground.share_limits import WEIGHT_MOST
from mesh.ports.desk import ChangedAnswer


@click.command()
@click.argument("job")
@click.argument("weight", type=click.IntRange(min=1, max=WEIGHT_MOST))
@home_option
@json_option
@pass_caller
def command(caller: Caller, job: str, weight: int) -> None:
    """Give a job more or less time beside others.

    JOB is a job's name, its id, or the beginning of its id. WEIGHT is from 1 to 100; a job has 10 unless something else
    was said. Each machine that could render several jobs shares its time out by their weights; frames that are being
    rendered are finished first.
    """
    answer: ChangedAnswer = caller.client().post(job_path(job, "/weight"), {"weight": weight})
    if caller.as_json:
        output.say_json(answer)
        return
    row = answer["job"]
    output.say(f"{row['name']} ({words.short(row['id'])}) has weight {row['weight']}")
