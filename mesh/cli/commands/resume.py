"""`meshnode resume`: this host may render again."""

import click

from mesh.cli import output
from mesh.cli.caller import Caller, home_option, json_option, pass_caller
from mesh.ports.owner import PauseAnswer


@click.command()
@home_option
@json_option
@pass_caller
def command(caller: Caller) -> None:
    """Let this host render again after a pause."""
    answer: PauseAnswer = caller.client().post("/resume")
    if caller.as_json:
        output.say_json(answer)
    else:
        output.say("This host renders again.")
