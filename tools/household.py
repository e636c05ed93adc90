"""Have three real peers render a still, as a person would ask them to: processes, sockets, commands.

Invariants: all peers end with the household. Nothing here compares pictures.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.peers import Peer, PeerFailed, found, wait_met

NAMES = ("ada", "bela", "cleo")
SEE_S = 60.0
STILL_S = 600.0
"""A still that takes longer hangs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """One still on the disk: its file, and how many of the peers rendered some of it."""

    file: Path
    peers: int


class Household:
    """Three peers that see each other, each with one slot of one thread."""

    def __init__(self, peers: list[Peer]) -> None:
        self._peers = peers

    def render(self, scene: Path, frame: int, cell: tuple[int, int], out: Path) -> Delivered:
        """Submit a still in cells of this size and wait until it is on the disk. Raises PeerFailed."""
        first = self._peers[0]
        words = ("--still", "--frame", str(frame), "--buckets", f"{cell[0]}x{cell[1]}", "--output", str(out), "--wait")
        said = first.typed("submit", str(scene), *words, timeout_s=STILL_S)
        job: dict[str, Any] = first.ask(f"/jobs/{said[0]['job']['id']}")
        if job["job"]["delivered"] != job["job"]["tasks"]:
            raise PeerFailed(f"{scene.name} is {job['job']['state']}: {job['job']['problems']}")
        files = [file for file in out.iterdir() if file.is_file()]
        if len(files) != 1:
            raise PeerFailed(f"{scene.name} became {len(files)} files")
        return Delivered(file=files[0], peers=len(job["shares"]))


@contextlib.contextmanager
def household(directory: Path) -> Iterator[Household]:
    """Start three peers and let them meet. Raises PeerFailed, WaitedInVain."""
    peers = [Peer(directory, name, settings={"engine_threads": 1}) for name in NAMES]
    try:
        found(peers, "exactness")
        wait_met(peers, SEE_S)
        yield Household(peers)
    finally:
        for peer in peers:
            peer.end()
