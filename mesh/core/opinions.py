"""What others say of the results of one job: who vouches for them, and who rejects them.

Theory: a vouch or a reject is a record about a record, and may be here before it. So each is found by what it names,
the result with its frame and block, and asked for when a task is folded.

Invariants: nothing is decided by order or number: one vouch of another author is enough, and one reject. Whether an
author's records act is asked each time, since a strike may change it. Who may reject is judged before.
"""

from collections.abc import Iterator
from typing import Protocol, TypeAlias

from blake3 import blake3

from mesh.ground.ids import PeerId, RecordId
from mesh.wire.envelope import Signed
from mesh.wire.grids import Block
from mesh.wire.records import Entry, Reject, Result, Vouch

_Named: TypeAlias = tuple[RecordId, int, Block | None]


class Strikes(Protocol):
    """Who knows whose records are void."""

    def voids(self, author: PeerId) -> bool:
        """Whether an author's records do not act."""
        ...


class Opinions:
    """The vouches and rejects of one job."""

    def __init__(self, strikes: Strikes) -> None:
        self._strikes = strikes
        self._vouches: dict[_Named, dict[RecordId, Signed[Entry]]] = {}
        self._rejects: dict[_Named, dict[RecordId, Signed[Entry]]] = {}

    @property
    def any_rejected(self) -> bool:
        """Whether anything was rejected: mostly nothing is."""
        return bool(self._rejects)

    def add(self, entry: Signed[Entry]) -> None:
        """Take a vouch or a reject."""
        said, named = self._of(entry)
        said.setdefault(named, {})[entry.id] = entry

    def drop(self, entry: Signed[Entry]) -> None:
        """Forget one that never acts."""
        said, named = self._of(entry)
        said[named].pop(entry.id)
        if not said[named]:
            said.pop(named)

    def vouch(self, result: Signed[Entry]) -> Signed[Entry] | None:
        """Return a vouch for a result by anybody but its author, always the same of several."""
        if not self._vouches:
            return None
        others = (entry for entry in self._acting(self._vouches, result) if entry.author != result.author)
        return min(others, key=lambda entry: entry.id, default=None)

    def rejected(self, result: Signed[Entry]) -> bool:
        """Whether anybody who may has rejected a result."""
        return bool(self._rejects) and next(self._acting(self._rejects, result), None) is not None

    def rejected_by(self, result: Signed[Entry], author: PeerId) -> bool:
        """Whether this one has rejected it."""
        return any(entry.author == author for entry in self._acting(self._rejects, result))

    def reason(self, result: Signed[Entry]) -> str:
        """Return why a result was rejected, empty where it was not: of several the lowest id says."""
        first = min(self._acting(self._rejects, result), key=lambda entry: entry.id, default=None)
        return first.body.what.reason if first is not None and isinstance(first.body.what, Reject) else ""

    def rejected_of(self, frame: int) -> list[RecordId]:
        """Return the results that rejects name as buckets of a frame, in the order of their ids."""
        named = [key for key in self._rejects if key[1] == frame and key[2] is not None]
        return sorted({result for result, _, _ in named})

    def _acting(
        self, said: dict[_Named, dict[RecordId, Signed[Entry]]], result: Signed[Entry]
    ) -> Iterator[Signed[Entry]]:
        what = result.body.what
        assert isinstance(what, Result)
        about = said.get((RecordId(result.id), what.task, what.block), {})
        return (entry for entry in about.values() if not self._strikes.voids(entry.author))

    def _of(self, entry: Signed[Entry]) -> tuple[dict[_Named, dict[RecordId, Signed[Entry]]], _Named]:
        what = entry.body.what
        assert isinstance(what, Vouch | Reject)
        said = self._vouches if isinstance(what, Vouch) else self._rejects
        return said, (what.result, what.task, what.block)


def named_by(results: list[RecordId]) -> bytes | None:
    """Return the hash over rejected buckets that a frame's result carries; None: there are none."""
    return blake3(b"".join(results)).digest() if results else None
