"""`meshnode logs`: what the engine printed."""

import click

from mesh.cli import output, printable, words
from mesh.cli.caller import Caller, home_option, job_path, json_option, pass_caller
from mesh.ports.logs import LogAnswer


@click.command()
@click.argument("job")
@click.argument("frame", type=int, required=False)
@home_option
@json_option
@pass_caller
def command(caller: Caller, job: str, frame: int | None) -> None:
    """Print what the engine said.

    JOB is a job's name, its id, or the beginning of its id. Without FRAME: of every attempt that failed, and of the
    newest frame.
    """
    path = job_path(job, "/logs") + ("" if frame is None else f"?frame={frame}")
    answer: LogAnswer = caller.client(printable.block).get(path)
    if caller.as_json:
        output.say_json(answer)
        return
    for part in answer["parts"]:
        paint = output.good if part["outcome"] == "rendered" else output.bad
        outcome, peer = paint(printable.line(part["outcome"])), printable.line(part["peer_name"])
        where = f", {words.area(part['region'])}" if part["region"] else ""
        title = f"frame {part['frame']}{where}, attempt {part['attempt']}, {peer}: {outcome}"
        output.say(output.bold("── ") + title)
        output.say(part["text"].rstrip() or output.dim("(the engine said nothing)"))
    for gone in answer["gone"]:
        output.warning(printable.line(gone))
    if not answer["parts"] and not answer["gone"]:
        output.say(output.dim("No attempt has ended yet."))
