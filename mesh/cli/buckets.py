"""A frame in buckets as people read it: who made it, in which colour and letter. Pure.

Theory: colours and letters follow the order of the peers' names, so that they stay while shares change; a letter stands
beside each colour, since some people, terminals and printers tell few colours apart, and there may be more peers than
colours.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from string import ascii_uppercase, digits
from typing import Final

from mesh.cli import words
from mesh.ports.stills import BucketRow, BucketsAnswer, ShareRow

COLOURS: Final = (
    "#4e9fe0",
    "#f0a04b",
    "#5fbf77",
    "#e0637c",
    "#b48be0",
    "#e5cf52",
    "#4fc4c4",
    "#c98a5e",
    "#e59ad0",
    "#a3b552",
)
"""Of peers, far enough apart on a dark ground for most eyes; with more peers they come again."""

LETTERS: Final = ascii_uppercase + digits
MANY: Final = "#"
"""Stands for each peer for which no letter is left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """One peer's part in a frame: what it rendered, and how many buckets it renders now or has claimed."""

    peer: str
    name: str
    place: int
    """Among all peers that have a part, by name."""
    buckets: int
    pixels: int
    render_ms: int
    running: int

    @property
    def letter(self) -> str:
        """What stands for it in a picture of the frame."""
        return LETTERS[self.place] if self.place < len(LETTERS) else MANY

    @property
    def colour(self) -> str:
        """Its colour, as `#rrggbb`."""
        return COLOURS[self.place % len(COLOURS)]


def area(region: Sequence[int]) -> int:
    """Return how many pixels a region has."""
    left, top, right, bottom = region
    return (right - left) * (bottom - top)


def whole(row: BucketRow) -> tuple[object, ...]:
    """Return what all rectangles of one bucket have in common, and no other bucket has."""
    return row["peer"], *row["bucket"], row["attempt"], row["state"]


def makers(rows: Iterable[BucketRow]) -> dict[str, Maker]:
    """Return by id the peers that have a part in a frame, by name."""
    names: dict[str, str] = {}
    took: dict[str, dict[tuple[object, ...], int]] = {}
    pixels: dict[str, int] = {}
    running: dict[str, dict[tuple[object, ...], int]] = {}
    for row in rows:
        peer = row["peer"]
        if not peer:
            continue
        names[peer] = row["peer_name"]
        if row["state"] == "counts":
            took.setdefault(peer, {})[whole(row)] = row["render_ms"]
            pixels[peer] = pixels.get(peer, 0) + area(row["region"])
        else:
            running.setdefault(peer, {})[whole(row)] = 0
    return {
        peer: Maker(
            peer=peer,
            name=words.called(names[peer], peer),
            place=place,
            buckets=len(took.get(peer, ())),
            pixels=pixels.get(peer, 0),
            render_ms=sum(took.get(peer, {}).values()),
            running=len(running.get(peer, ())),
        )
        for place, peer in enumerate(sorted(names, key=lambda peer: (names[peer].casefold(), peer)))
    }


def ranked(found: Iterable[Maker]) -> list[Maker]:
    """Return who made most first."""
    return sorted(found, key=lambda maker: (-maker.pixels, maker.name, maker.peer))


def made_by(found: Iterable[Maker]) -> str:
    """Say how many buckets and peers made a frame so far; nothing where none did."""
    by = [maker for maker in found if maker.buckets]
    return _by(sum(maker.buckets for maker in by), len(by))


def shared_by(shares: Sequence[ShareRow]) -> str:
    """Say how many buckets and peers made a job's frames so far; nothing where none did."""
    return _by(sum(share["buckets"] for share in shares), len(shares))


def _by(buckets: int, peers: int) -> str:
    return f"{words.count(buckets, 'bucket')} by {words.count(peers, 'peer')}" if buckets else ""


def rendered(told: BucketsAnswer) -> int:
    """Return how many pixels of a frame count."""
    return sum(area(row["region"]) for row in told["buckets"] if row["state"] == "counts")


def how_made(told: BucketsAnswer) -> str:
    """Say in a line how a frame was made: buckets, peers, how long they rendered, and who assembled it."""
    found = makers(told["buckets"]).values()
    took_ms = sum(maker.render_ms for maker in found)
    parts = [
        made_by(found),
        f"{words.span(took_ms)} of rendering" if took_ms else "",
        f"assembled by {told['assembler_name']}" if told["assembler_name"] else "",
    ]
    return ", ".join(part for part in parts if part)
