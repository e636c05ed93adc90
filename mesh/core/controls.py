"""How a job is to be run now: what its submitter and admins changed since it was submitted.

Theory: a register for each thing that can be changed, without a clock. A control names those that its author saw, and
so comes after them; of those that nobody saw of each other the one with the longer line of others before it comes last,
and then the one with the higher id. Whoever has the same records reads the same.

Invariants: a control that names one which is not here yet does not act until that is here: nobody can claim a place in
the order that was not earned. Pure: who may change a job was judged before.
"""

from collections.abc import Callable

from mesh.ground.ids import PeerId, RecordId
from mesh.ground.share_limits import CONTROLS_PER_AUTHOR
from mesh.wire.envelope import Signed
from mesh.wire.records import Control, Entry


class Controls:
    """The controls of one job."""

    def __init__(self) -> None:
        self._entries: dict[RecordId, tuple[Signed[Entry], Control]] = {}
        self._places: dict[RecordId, int] = {}
        """How long the line is that ends with each: one more than the longest of those that it saw."""

    def add(self, entry: Signed[Entry], control: Control) -> None:
        """Take a control."""
        self._entries[entry.id] = (entry, control)
        self._settle()

    def drop(self, identifier: RecordId) -> None:
        """Forget a control, of which its author made too many."""
        del self._entries[identifier]
        self._settle()

    def stands(self, voids: Callable[[PeerId], bool]) -> tuple[RecordId, int] | None:
        """Return the control that sets the weight, and to what; None: none does whose author's records act."""
        found: list[tuple[int, RecordId, int]] = []
        for identifier, place in self._places.items():
            entry, control = self._entries[identifier]
            if control.weight is not None and not voids(entry.author):
                found.append((place, identifier, control.weight))
        return max(found)[1:] if found else None

    def may_say(self, author: PeerId) -> bool:
        """Whether one control more by `author` would be kept."""
        return sum(entry.author == author for entry, _ in self._entries.values()) < CONTROLS_PER_AUTHOR

    def _settle(self) -> None:
        """Place them all: each after what it saw. They may have come in any order."""
        self._places = {}
        waiting = dict(self._entries)
        while True:
            ready = [
                identifier
                for identifier, (_, control) in waiting.items()
                if all(seen in self._places for seen in control.saw)
            ]
            if not ready:
                return
            for identifier in ready:
                _, control = waiting.pop(identifier)
                self._places[identifier] = 1 + max((self._places[seen] for seen in control.saw), default=0)
