"""Copies made anew: in the place of holders that are gone, and of this peer when it leaves.

Theory: who holds an output knows who else does, on its disk, and has the bytes. So holders see to their outputs among
themselves, as long as promises bind, whether their job goes on or was sealed long ago; before the seal its keepers and
its submitter stand behind them. Of those that answer, rank says who begins; each next one waits longer. It asks one
peer that has no hold of the output to take a copy, and that peer's own hold, given once the bytes were checked, takes
the place of the one that is gone. Nothing is lost by asking twice, or by asking for one who comes back.

Invariants: nobody signs for another, and nobody is asked who holds the output. What is scarcest comes first. What is
asked for in a second, and what one peer is asked for at a time, is bounded. The module must not know what a hold says.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeAlias

from mesh.core.absences import Absences
from mesh.core.directory import Directory
from mesh.core.holds import Holding
from mesh.core.keepers import Keepers
from mesh.core.ledger import JobLedger, Ledger
from mesh.core.notes import HoldHeard, JobEnded, PeerDead, PeerReached
from mesh.core.placement import suits
from mesh.core.swarm import Swarm
from mesh.core.turn import Turn
from mesh.ground.ids import BlobId, JobId, PeerId
from mesh.ground.instants import Instant
from mesh.ground.limits import LEASE_MS, LOST_AFTER_SAFE_MS
from mesh.wire.copies import HoldAsk
from mesh.wire.envelope import Signed
from mesh.wire.records import MAX_COPIES, Hold

_LOOKED_AT_PER_TICK = 1_024
"""Outputs that lack copies are looked at each second: some ten milliseconds' work where a large disk is gone."""

_ASKS_PER_TICK = 32
"""So many copies are asked for in a second: a gigabit of pictures of 4 MB."""

_ASKS_EACH = 16
"""Copies that one peer is asked for at a time: twice what it fetches at once."""

_ANSWER_MS = 30_000
"""Who was asked and has no hold after so long is not asked again for a while: its disk is full, or its line is slow."""

_TURN_MS = 10_000
"""Each further holder waits so much longer until it asks: the one before may see less, or hang."""

_Key: TypeAlias = tuple[JobId, BlobId]


@dataclass(slots=True)
class Lacking:
    """An output that wants another copy."""

    since: Instant
    asked: PeerId | None = None
    asked_at: Instant = Instant(0)
    tried: dict[PeerId, None] = field(default_factory=dict)
    """Who was asked in vain."""
    hopeless: bool = False
    """Whether there is nobody else to ask, and nobody who was asked still fetches it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What an output wants now."""

    ledger: JobLedger
    blob: BlobId
    replaced: Signed[Hold] | None
    """The hold that a new one is to replace; None: copies are missing."""
    there: list[PeerId]
    """The holders that are not gone."""
    first: list[PeerId]
    """Who is asked before others: those that see to the job anyway."""


class Repair:
    """Have copies made anew."""

    def __init__(
        self,
        ledger: Ledger,
        holding: Holding,
        keepers: Keepers,
        directory: Directory,
        show: Callable[[Turn, PeerId, JobLedger], None],
        *,
        swarm: Swarm,
    ) -> None:
        self._ledger = ledger
        self._holding = holding
        self._keepers = keepers
        self._directory = directory
        self._swarm = swarm
        self._show = show
        """Tells a peer of a job; in a large mesh most have not heard of it."""
        self._absences = Absences(directory)
        self._lacking: dict[_Key, Lacking] = {}
        self._leaving = False
        self._able_at: Instant | None = None
        """When somebody was last there who could take copies."""
        self.handing_over = 0
        """How many outputs this peer, which leaves, has yet to hand over to somebody who can take them."""

    def hand_over(self, turn: Turn) -> None:
        """Have others take from now on what binds this peer."""
        self._leaving = True
        for key in self._holding.bound_outputs():
            self._lacking[key] = Lacking(since=turn.now.instant)
        self._mend(turn)

    def on_peer_reached(self, _turn: Turn, note: PeerReached) -> None:
        """Count on a peer again."""
        self._absences.met(note.peer)

    def on_peer_dead(self, turn: Turn, note: PeerDead) -> None:
        """Have what a peer held kept by others, unless it is back within the second."""
        if self._absences.died(note.peer):
            self._miss(turn, note.peer)

    def on_hold_heard(self, turn: Turn, note: HoldHeard) -> None:
        """See whether a holder of this output is known to be gone, or about to go itself."""
        job, blob = note.hold.body.job, note.hold.body.blob
        if self._leaving and note.hold.author == self._directory.me:
            self.handing_over += self._note(turn, (job, blob))
        elif any(peer in self._absences for peer in self._holding.holders(job, blob)):
            self._note(turn, (job, blob))

    def on_job_ended(self, turn: Turn, note: JobEnded) -> None:
        """Look for copies that are missing when a job is sealed: nobody takes any by himself from now on."""
        if note.cancelled:
            return
        for blob in self._holding.book.in_job(self._directory.me, note.job):
            self._note(turn, (note.job, blob))

    def on_slept(self) -> None:
        """Wait anew for those that were silent before this host slept."""
        self._absences.wait_anew()

    def on_tick(self, turn: Turn) -> None:
        """Look who is gone, and ask for what is lacking."""
        for peer in self._absences.look(turn, self._holding.book.authors()):
            self._miss(turn, peer)
        if self._lacking:
            self._mend(turn)

    def _miss(self, turn: Turn, peer: PeerId) -> None:
        for key in self._holding.book.by(peer):
            self._note(turn, key)

    def _note(self, turn: Turn, key: _Key) -> bool:
        """Look at an output from now on; tell whether that is news."""
        ledger = self._ledger.get(key[0])
        if ledger is None or key[1] == ledger.job.scene or key in self._lacking:
            return False
        self._lacking[key] = Lacking(since=turn.now.instant)
        return True

    def _mend(self, turn: Turn) -> None:
        """Ask for the scarcest of what is looked at now; the next look is at others."""
        found: list[tuple[int, _Key, Lacking, Need]] = []
        for key in list(islice(self._lacking, _LOOKED_AT_PER_TICK)):
            lacking = self._lacking.pop(key)
            need = self._need(turn, key)
            if need is not None:
                self._lacking[key] = lacking
                found.append((len(need.there), key, lacking, need))
        able, asks = self._able(turn), 0
        if able:
            self._able_at = turn.now.instant
        for _, _, lacking, need in sorted(found, key=lambda one: one[:2]):
            if asks < _ASKS_PER_TICK and self._may_ask(turn, need, lacking) and self._ask(turn, need, lacking, able):
                asks += 1
        self.handing_over = sum(not one.hopeless for one in self._lacking.values()) if self._leaving else 0

    def _need(self, turn: Turn, key: _Key) -> Need | None:
        """Return what an output wants of this peer; None: nothing, now or later, unless there is news of it."""
        job, blob = key
        ledger, me = self._ledger.get(job), self._directory.me
        if ledger is None or not self._holding.retains(job, blob):
            return None
        holders = self._holding.holders(job, blob)
        there = [peer for peer in holders if peer not in self._absences]
        first = [] if ledger.ended else [ledger.submitter, *self._keepers.of(job, turn.now)]
        if self._leaving:
            if me not in holders:
                return None
            return Need(ledger=ledger, blob=blob, replaced=holders[me], there=there, first=first)
        gone = sorted((peer for peer in holders if peer in self._absences), key=lambda peer: suits(blob, peer))
        watches = me in there or (not ledger.ended and self._holding.keeps_watch(ledger, turn))
        if not there or not watches or len(there) >= ledger.job.copies:
            return None
        if not ledger.ended and (not gone or len(holders) < ledger.job.copies):
            return None  # keepers take the copies that are missing by themselves
        return Need(ledger=ledger, blob=blob, replaced=holders[gone[0]] if gone else None, there=there, first=first)

    def _may_ask(self, turn: Turn, need: Need, lacking: Lacking) -> bool:
        """Whether it is this peer's turn to ask, and nobody is asked already."""
        now, me = turn.now.instant, self._directory.me
        if lacking.asked is not None:
            there = self._directory.connected(lacking.asked) and not self._directory.drains(lacking.asked)
            waits = there and now - lacking.asked_at < _ANSWER_MS
            if waits and lacking.asked not in need.there:
                return False
            lacking.tried[lacking.asked] = None
            lacking.asked = None
        if self._leaving:
            return True
        turns = sorted(need.there, key=lambda peer: suits(need.blob, peer))
        turns += [peer for peer in dict.fromkeys((*need.first, me)) if peer not in need.there]
        return now - lacking.since >= _TURN_MS * turns.index(me)

    def _ask(self, turn: Turn, need: Need, lacking: Lacking, able: dict[PeerId, int]) -> bool:
        """Ask whom rank chooses of those that are `able`; tell whether anybody was asked."""
        holders = self._holding.holders(need.ledger.id, need.blob)
        others = [peer for peer in able if peer not in holders and peer not in lacking.tried]
        others = [peer for peer in others if self._directory.speaks(peer, need.ledger.version)]
        lacking.hopeless = not others and not self._hopes(turn, need.blob, lacking, able)
        if not others and turn.now.instant - lacking.asked_at >= LOST_AFTER_SAFE_MS:
            lacking.tried.clear()
        free = [peer for peer in others if able[peer] < _ASKS_EACH]
        if not free:
            return False
        peer = min(free, key=lambda peer: (peer not in need.first, suits(need.blob, peer)))
        if self._directory.crowd:
            self._show(turn, peer, need.ledger)
        beside = tuple(hold for hold in holders.values() if hold != need.replaced)[:MAX_COPIES]
        turn.send(peer, HoldAsk(job=need.ledger.id, blob=need.blob, replaced=need.replaced, others=beside))
        lacking.asked, lacking.asked_at = peer, turn.now.instant
        able[peer] += 1
        return True

    def _hopes(self, turn: Turn, blob: BlobId, lacking: Lacking, able: dict[PeerId, int]) -> bool:
        """Whether somebody who was asked still fetches an output, or all others were there a moment ago."""
        if any(self._swarm.sought_by(peer, blob) for peer in lacking.tried):
            return True
        return not able and self._able_at is not None and turn.now.instant - self._able_at < LEASE_MS

    def _able(self, turn: Turn) -> dict[PeerId, int]:
        """Return who could take copies, as they answer and do not leave, and of how many each was asked."""
        asked = Counter(one.asked for one in self._lacking.values() if one.asked is not None)
        there = (peer for peer in self._directory.all_connected() if self._directory.answers(peer, turn.now.instant))
        return {peer: asked[peer] for peer in there if not self._directory.drains(peer)}
