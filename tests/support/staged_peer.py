"""Be one whole peer, put together as `meshnode join` does, with a renderer that only pretends: run as a module.

Its plan comes as one argument of JSON, its invite, if any, on standard input. It prints its status once it is ready,
and notes every render that begins in a file beside its home, which survives any kill.
"""

import functools
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from mesh.cli.compose import Plan
from mesh.cli.compose.peer import run
from mesh.ground.ids import PeerId
from mesh.node.channels import Channels
from mesh.ports.desk import StatusAnswer
from mesh.wire.carrying import Carried
from sim.stagehand import Stagehand
from tests.support.garbling import GarbledAnswers


def plan_of(said: dict[str, Any], invite: str) -> Plan:
    """Return the plan that a test described."""
    return Plan(
        home=Path(said["home"]),
        found=said["found"],
        invite=invite or None,
        name=said["name"],
        slots=said["slots"],
        listen=((said["listen"][0], said["listen"][1]),),
        beacon=said["beacon"],
        peers=tuple((host, port) for host, port in said["peers"]),
        tape=None if said["tape"] is None else Path(said["tape"]),
    )


def carries_nothing(_channels: Channels, _peer: PeerId, _carried: Carried) -> bool:
    """Be as a peer that has no channels that would do."""
    return False


def note(notes: int, frame: int) -> None:
    """Write down that a render begins, with the clock that all processes of a machine share."""
    os.write(notes, f"{time.monotonic_ns() // 1_000_000} {frame}\n".encode())


def main() -> None:
    """Run until stopped."""
    said = json.loads(sys.argv[1])
    notes = os.open(said["renders"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def ready(status: StatusAnswer) -> None:
        print(json.dumps(status), flush=True)

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    stagehand = functools.partial(Stagehand, note=functools.partial(note, notes), wrong=said["wrong"])
    through = GarbledAnswers if said["garbles"] else lambda datagrams: datagrams
    if said["garbles"]:  # so that every answer leaves by datagram, and none of them unchanged
        Channels.carry = carries_nothing
    run(plan_of(said, sys.stdin.read()), ready, say, make_renderer=stagehand, through=through)


if __name__ == "__main__":
    main()
