"""`meshnode top`: the mesh on a screen of its own, live."""

import sys

import click

from mesh.cli.caller import Caller, home_option, pass_caller
from mesh.ground.errors import UsageError
from mesh.ports.desk import StatusAnswer


@click.command()
@home_option
@pass_caller
def command(caller: Caller) -> int:
    """Show peers, jobs and frames live, on a screen of its own.

    It only looks: nothing is changed by it. `?` lists its keys, `q` ends it; the peer runs on.
    """
    first: StatusAnswer = caller.client().get("/status")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("top needs a terminal; for a pipe or a script there is `meshnode status --json`")
    from mesh.cli.top.app import run

    return run(caller.client, first)
