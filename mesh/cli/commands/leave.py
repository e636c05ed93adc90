"""`meshnode leave`: end the peer and forget that it was a member."""

import click

from mesh.cli import output, words
from mesh.cli.caller import Caller, home_option, is_terminal, json_option, pass_caller
from mesh.cli.commands.stop import in_hand
from mesh.ports.desk import StatusAnswer


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@home_option
@json_option
@pass_caller
def command(caller: Caller, yes: bool) -> None:
    """Finish the frames in hand, then forget the membership.

    Scenes and frames that this peer stored go with it. Coming back takes a new invite. To end the peer and stay a
    member, use `meshnode stop`.
    """
    client = caller.client()
    status: StatusAnswer = client.get("/status")
    if not yes and not caller.as_json and is_terminal():
        question = f"Make {status['name']} forget its mesh, and all that it stored? Coming back takes a new invite"
        click.confirm(question, abort=True, err=True)
    client.post("/leave")
    if frames := in_hand(status):
        output.notice(f"finishing {words.count(frames, 'frame')} …")
    caller.wait_for_end()
    if caller.as_json:
        output.say_json({"left": True, "home": status["home"]})
    else:
        output.say(f"{status['name']} has left the mesh.")
