"""`meshnode resume`: this host may render again."""

import click

from mesh.cli import output
from mesh.cli.caller import Caller, home_option, json_option, pass_caller
from mesh.ports.desk import StatusAnswer
from mesh.ports.owner import PauseAnswer


@click.command()
@home_option
@json_option
@pass_caller
def command(caller: Caller) -> None:
    """Let this host render again after a pause."""
    client = caller.client()
    answer: PauseAnswer = client.post("/resume")
    if caller.as_json:
        output.say_json(answer)
        return
    why = why_idle(client.get("/status"))
    text = f"The pause is over, but this host renders nothing: {why}" if why else "This host renders again."
    for line in output.paragraph(text):
        output.say(line)


def why_idle(status: StatusAnswer) -> str:
    """Say what else than a pause keeps this host from rendering; empty where nothing does."""
    (me,) = (peer for peer in status["peers"] if peer["me"])
    if trouble := status["thrown_out"] or status["cloned"]:
        return trouble
    if status["draining"]:
        return "its peer is about to stop."
    if "render" not in status["roles"]:
        return "its peer was admitted without the role `render`."
    if status["store"]["full"]:
        return "its store is full, and all of it is bound: `meshnode store`."
    # Without an engine it has no slot either, so this is asked first.
    if not me["engines"]:
        return "it has no engine yet. `meshnode engine install blender` brings one along."
    return "" if me["slots"] else "its peer was started with --no-render, or with `slots = 0` in its settings."
