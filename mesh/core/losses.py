"""Which outputs are lost: those that nobody who could have them has answered for, for long.

One word is enough, so keepers speak one after the other, the closest first. A peer that is cut off sees everything as
lost: it says no more than would act.
"""

from mesh.core.directory import Directory
from mesh.core.fold import result_of
from mesh.core.holders import Holders
from mesh.core.keepers import Keepers
from mesh.core.ledger import JobLedger
from mesh.core.notes import Publish
from mesh.core.swarm import Swarm
from mesh.core.turn import Turn
from mesh.ground.ids import RecordId
from mesh.ground.instants import Instant
from mesh.ground.limits import LOST_AFTER_MS, LOST_AFTER_SAFE_MS
from mesh.wire.envelope import Signed
from mesh.wire.records import Entry, Lost

_STAGGER_MS = 5_000
"""Keepers say that an output is lost one after the other, the closest first."""


class Losses:
    """Say what is lost."""

    def __init__(self, keepers: Keepers, directory: Directory, swarm: Swarm, book: Holders) -> None:
        self._keepers = keepers
        self._directory = directory
        self._swarm = swarm
        self._book = book
        self._gone_since: dict[RecordId, Instant] = {}

    def gone(self, turn: Turn, ledger: JobLedger, task: int) -> list[Signed[Entry]]:
        """Return the task's result if nobody who could have its output has answered for it for long enough."""
        counting = ledger.task(task).counting
        assert counting is not None
        output = result_of(counting).outputs[0].blob
        holders = self._book.of(ledger.id, output)
        there = self._directory.connected(counting.author) or any(map(self._directory.connected, holders))
        answered = there and not self._swarm.in_vain(output, LOST_AFTER_MS, turn.now)
        if answered or self._swarm.complete(output):
            self._gone_since.pop(counting.id, None)
            return []
        since = self._gone_since.setdefault(counting.id, turn.now.instant)
        keepers = self._keepers.of(ledger.id, turn.now)
        place = keepers.index(self._directory.me) if self._directory.me in keepers else len(keepers)
        patience_ms = LOST_AFTER_SAFE_MS if len(holders) >= ledger.job.copies else LOST_AFTER_MS
        return [counting] if turn.now.instant - since >= patience_ms + place * _STAGGER_MS else []

    def say(self, turn: Turn, ledger: JobLedger, gone: list[Signed[Entry]]) -> None:
        """Say what is lost; no more often than it would act, so that a peer that was cut off fills no ledger."""
        for entry in gone[: ledger.may_say_lost(self._directory.me)]:
            self._gone_since.pop(entry.id, None)
            turn.tell(Publish(job=ledger.id, what=Lost(task=result_of(entry).task, result=RecordId(entry.id))))
