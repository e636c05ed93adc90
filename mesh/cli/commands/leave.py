"""`meshnode leave`: end the peer and forget that it was a member."""

import click

from mesh.cli import output, printable, words
from mesh.cli.caller import Caller, home_option, json_option, pass_caller
from mesh.cli.commands.stop import in_hand
from mesh.cli.consent import confirm
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
    if not yes:
        name = printable.line(status["name"])
        output.notice(f"{name} forgets its mesh, and all that it stored. Coming back takes a new invite.")
        confirm("Leave?")
    client.post("/leave")
    if frames := in_hand(status):
        output.notice(f"finishing {words.count(frames, 'frame')} …")
    caller.wait_for_end()
    if caller.as_json:
        output.say_json({"left": True, "home": status["home"]})
    else:
        output.say(f"{status['name']} has left the mesh.")
