"""`meshnode leave`: end the peer and forget that it was a member."""

import time
from contextlib import suppress

import click

from mesh.cli import compose, output, printable, words
from mesh.cli.caller import Caller, home_option, json_option, pass_caller
from mesh.cli.client import Client, PeerEnded
from mesh.cli.commands.stop import in_hand
from mesh.cli.consent import confirm
from mesh.ground.errors import NotRunningError
from mesh.ports.desk import StatusAnswer

_LOOK_S = 0.5
_TELL_S = 5.0
"""How often a person hears how much is left to hand over."""


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@home_option
@json_option
@pass_caller
def command(caller: Caller, yes: bool) -> None:
    """Finish the frames in hand, then forget the membership.

    Before that other peers take the frames that this one has promised to keep, for ten minutes at most; `meshnode
    stop` meanwhile cuts that short. Then all that it stored goes with it. Coming back takes a new invite. To end the
    peer and stay a member, use `meshnode stop` alone.
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
    _tell(caller, client)
    caller.wait_for_end()
    if compose.is_member(caller.home):
        raise PeerEnded(f"{status['name']} was ended before it had left: it is still a member, with all that it stored")
    if caller.as_json:
        output.say_json({"left": True, "home": status["home"]})
    else:
        output.say(f"{status['name']} has left the mesh.")


def _tell(caller: Caller, client: Client) -> None:
    """Say how much others have yet to take, until the peer has ended."""
    told_s = 0.0
    with suppress(PeerEnded, NotRunningError):
        while compose.in_use(caller.home):
            left = client.get("/status")["handing_over"]
            if left and time.monotonic() - told_s >= _TELL_S:
                told_s = time.monotonic()
                output.notice(f"handing over {words.count(left, 'frame')} …")
            time.sleep(_LOOK_S)
