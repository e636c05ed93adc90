"""`meshnode stop`: end the peer, its frames in hand finished."""

import click

from mesh.cli import output, words
from mesh.cli.caller import Caller, home_option, json_option, pass_caller
from mesh.ports.desk import StatusAnswer


def in_hand(status: StatusAnswer) -> int:
    """Return how many frames this peer renders now."""
    return sum(peer["busy"] for peer in status["peers"] if peer["me"])


@click.command()
@click.option("--now", is_flag=True, help="Do not even finish the frames in hand; others render them.")
@home_option
@json_option
@pass_caller
def command(caller: Caller, now: bool) -> None:
    """Finish the frames in hand and end the peer.

    The membership stays: `meshnode join` starts the peer again.
    """
    client = caller.client()
    status: StatusAnswer = client.get("/status")
    client.post("/stop", {"now": now})
    if (frames := in_hand(status)) and not now:
        output.notice(f"finishing {words.count(frames, 'frame')} …")
    caller.wait_for_end()
    if caller.as_json:
        output.say_json({"stopped": True, "home": status["home"]})
    else:
        output.say(f"{status['name']} has stopped. `meshnode join` starts it again.")
