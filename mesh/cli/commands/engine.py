"""`meshnode engine`: what renders on this machine."""

import click

from mesh.cli import compose, output
from mesh.cli.caller import Caller, home_option, json_option, pass_caller
from mesh.cli.output import Column
from mesh.ground.errors import NotRunningError
from mesh.ports.enginerows import EnginesAnswer

PROBE_S = 600.0
"""Each engine is proven by a tiny render, the first time on a busy machine slowly."""


@click.group()
@home_option
def command() -> None:
    """List and install what renders."""


@command.command("list")
@home_option
@json_option
@pass_caller
def list_(caller: Caller) -> None:
    """Show what this machine can render with.

    Each engine was proven by a tiny render. A running peer uses from now on what is found; without one the machine is
    looked at all the same.
    """
    answer = engines_here(caller)
    if caller.as_json:
        output.say_json(answer)
        return
    columns = (
        Column(title="ENGINE"),
        Column(title="BUILD"),
        Column(title="RENDERS", gives=True),
        Column(title="WHERE", gives=True),
    )
    rows = [
        (output.good(f"{one['name']} {one['version']}"), one["build"], ", ".join(one["renders"]), one["program"])
        for one in answer["usable"]
    ]
    if rows:
        for line in output.table(columns, rows):
            output.say(line)
    else:
        output.say("Nothing here can render. `meshnode engine install blender` brings an engine along.")
    for broken in answer["broken"]:
        output.warning(f"{broken['name']} at {broken['program']} cannot be used: {broken['reason']}")


@command.command("install")
@click.argument("engine", type=click.Choice(["blender"]))
@home_option
@json_option
@pass_caller
def install(caller: Caller, engine: str) -> None:
    """Install an engine for this user.

    ENGINE is `blender`: the embedded one, 350 MB to download, kept once per user however many peers there are.
    """
    path = compose.install_engine(engine, output.notice)
    answer = engines_here(caller)
    if caller.as_json:
        output.say_json({"installed": path} | answer)
    else:
        for one in answer["usable"]:
            output.say(f"{output.good('ready')}: {one['name']} {one['version']}, {', '.join(one['renders'])}")


def engines_here(caller: Caller) -> EnginesAnswer:
    """Ask the running peer, which then uses what it finds; else look without one."""
    try:
        found: EnginesAnswer = caller.client().get("/engines", wait_s=PROBE_S)
    except NotRunningError:
        return compose.probe_engines(output.notice)
    return found
