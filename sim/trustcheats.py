"""Peers that believe what they must not, or have others believe it: each breaks a rule about second opinions."""

import dataclasses
from collections.abc import Callable

from mesh.core.effects import Append, Effect, StartRender
from mesh.core.events import Event, OutputsCompared
from mesh.core.fold import result_of
from mesh.core.ledger import JobLedger
from mesh.core.opinions import Opinions
from mesh.core.peer import Peer
from mesh.ground.ids import JobId, PeerId, RecordId
from mesh.ground.instants import Now
from mesh.wire.envelope import Signed, sign
from mesh.wire.kept import KeptEntries
from mesh.wire.messages import Head
from mesh.wire.records import Claim, Entry, Result, Vouch
from sim.cheats import Adds, Cheat
from sim.host import Host

_NUMBER = 10**6


class _ChangedLedgers(Cheat):
    """Changes each job's ledger when it is opened."""

    def __init__(self, host: Host, seed: bytes) -> None:
        super().__init__(host, seed)
        assert isinstance(self.inner, Peer)
        self._open: Callable[[Head], JobLedger] = self.inner.ledger.open
        self.inner.ledger.open = self._opened  # type: ignore[method-assign]

    def _opened(self, head: Head) -> JobLedger:
        known = JobId(head.job.id) in self.inner.ledger.jobs
        ledger = self._open(head)
        if not known:
            self.change(ledger)
        return ledger

    def change(self, ledger: JobLedger) -> None:
        """Change a ledger that is new."""


class CountsAlone(_ChangedLedgers):
    """S4: counts a result for which nobody vouches."""

    def change(self, ledger: JobLedger) -> None:
        """Check nothing twice."""
        ledger.twice = False


class ObeysAnybody(_ChangedLedgers):
    """S4: lets everybody reject results."""

    def change(self, ledger: JobLedger) -> None:
        """Take a liar for a judge."""
        judges = (self.host.world.adversary.liar.peer_id,)
        ledger.job = dataclasses.replace(ledger.job, judges=judges)


class TakesItsOwnVouch(_ChangedLedgers):
    """S4: vouches for itself, and believes that."""

    def change(self, ledger: JobLedger) -> None:
        """Take a vouch of whoever made the picture."""
        ledger.opinions = _Gullible(ledger)

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Vouch for each own result in the turn in which it is written."""
        effects = self.inner.handle(now, event)
        for entry in _own_results(self.host, effects):
            result, ledger = result_of(entry), self.inner.ledger.jobs[entry.body.job]
            what = Vouch(claim=result.claim, result=RecordId(entry.id), render_ms=1)
            vouch = sign(dataclasses.replace(entry.body, number=_NUMBER + result.task, what=what), self.host.signer)
            ledger.add(vouch)
            effects.append(Append(entries=(KeptEntries(entries=(vouch,)),)))
        return effects


class _Gullible(Opinions):
    """Opinions of which an author's own are as good as anybody's."""

    def vouch(self, result: Signed[Entry]) -> Signed[Entry] | None:
        """Return a vouch by anybody."""
        return next(self._acting(self._vouches, result), None)


def _own_results(host: Host, effects: list[Effect]) -> list[Signed[Entry]]:
    kept = [kept for effect in effects if isinstance(effect, Append) for kept in effect.entries]
    entries = [entry for each in kept if isinstance(each, KeptEntries) for entry in each.entries]
    return [entry for entry in entries if entry.author == host.peer_id and isinstance(entry.body.what, Result)]


class VouchesUnseen(Adds):
    """L8: vouches for what waits without rendering it."""

    def beside(self, effect: StartRender) -> list[Effect]:
        """Vouch as soon as it would begin."""
        host, job = self.host, JobId(effect.job.id)
        waiting = self.inner.ledger.jobs[job].task(effect.task).waiting
        others = [entry for entry in waiting if entry.author != host.peer_id]
        claim = sign(Claim(job=job, task=effect.task, attempt=2, boot=host.boot, number=_NUMBER), host.signer)
        whats = [Vouch(claim=claim, result=RecordId(entry.id), render_ms=1) for entry in others]
        entries = tuple(
            sign(Entry(job=job, boot=host.boot, number=_NUMBER + effect.task, what=what), host.signer) for what in whats
        )
        return [Append(entries=(KeptEntries(entries=entries),))] if entries else []


class AgreesWithAll(Cheat):
    """L8: finds every picture like its own."""

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Hear that pictures are alike, whatever they show."""
        if isinstance(event, OutputsCompared):
            event = dataclasses.replace(event, alike=True)
        return self.inner.handle(now, event)


def _voids_nothing(_ledger: JobLedger, _order: object) -> None:
    pass


class KeepsTheRejected(Cheat):
    """Trap 3: leaves a delivered file as it is, whoever rejects its picture."""

    def __init__(self, host: Host, seed: bytes) -> None:
        super().__init__(host, seed)
        assert isinstance(self.inner, Peer)
        self.inner.delivery._void = _voids_nothing  # type: ignore[assignment]  # noqa: SLF001


def _refuses_nothing(_result: Signed[Entry], _author: PeerId) -> bool:
    return False


class YieldsToSeals(_ChangedLedgers):
    """Trap 3: takes what a keeper has sealed, though its own person had rejected it."""

    def change(self, ledger: JobLedger) -> None:
        """Forget that the submitter rejected anything."""
        ledger.opinions.rejected_by = _refuses_nothing  # type: ignore[assignment]
