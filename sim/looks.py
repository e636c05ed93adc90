"""People who ask about a job wherever they sit, and a checker: who is told that all is there is shown all.

What a keeper or the submitter had when the question was asked, and still has, must be at whoever says so afterwards: at
least all that one of them had, since a peer asks one and not everybody. An answer at once is believed of those to whom
all is sent, of a sealed job, and of who was told the same a moment before; else it is held against what was there
when the question before it was asked.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mesh.core.effects import Declined, Looked
from mesh.core.events import LookAsked
from mesh.core.looks import LOOK_MS
from mesh.ground.ids import JobId, RecordId
from mesh.ground.limits import LOOK_FRESH_MS
from mesh.wire.records import Result
from sim.views import peer_behind
from sim.violation import Violation

if TYPE_CHECKING:
    from sim.host import Host
    from sim.world import World

FIRST_OP = 1 << 40
"""From here on ops are of those who look, and not of those who give commands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """What somebody asked, and which results those had then to whom all are sent, by their hosts."""

    at_ms: int
    job: JobId
    had: dict[int, tuple[RecordId, ...]]
    former: "_Question | None" = None
    """The one before it there: the look that it began may have ended just now, with nobody left to be told."""


class Onlookers:
    """Everybody who asks about single frames."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._dice = world.dice.fork(b"onlookers")
        self._op = FIRST_OP
        self._asked: dict[tuple[int, int, int], _Question] = {}
        self._whole: dict[tuple[int, int, JobId], int] = {}
        """When a host last said of a job that all is there."""
        self._last: dict[tuple[int, int, JobId], _Question] = {}
        self.answers: list[tuple[int, bool]] = []
        """After how many milliseconds each was answered, and whether all was there."""

    def look_somewhere(self) -> None:
        """Have somebody ask about some job at some host."""
        plan = self._world.people.plans[self._dice.below(len(self._world.people.plans))]
        self.look(plan.job, self._world.hosts[self._dice.below(len(self._world.hosts))])

    def look(self, job: JobId | None, host: "Host") -> None:
        """Ask about a job at a host, if both are there."""
        if job is None or not host.works or job not in peer_behind(host.core).ledger.jobs:
            return
        had = self._had_before(host, job) or {
            other.index: _results(other, job)
            for other in self._world.hosts
            if other.works and other is not host and _central(other, job)
        }
        self._op += 1
        last = self._last.get((host.index, host.life, job))
        former = replace(last, former=None) if last is not None else None
        question = _Question(at_ms=self._world.now_ms, job=job, had=had, former=former)
        self._asked[host.index, host.life, self._op] = self._last[host.index, host.life, job] = question
        self._world.trace.happened(self._world.now_ms, host.index, f"is asked about {job.hex()[:8]}")
        host.receive(LookAsked(op=self._op, job=job))

    def _had_before(self, host: "Host", job: JobId) -> dict[int, tuple[RecordId, ...]] | None:
        """Return what was there when a look began that goes on, which this question joins."""
        last = self._last.get((host.index, host.life, job))
        return last.had if last is not None and job in peer_behind(host.core).looks.under_way() else None

    def hear(self, host: "Host", op: int, reply: Looked | Declined) -> None:
        """Hear the answer to a question. Raises `Violation`."""
        question = self._asked.pop((host.index, host.life, op))
        took_ms = self._world.now_ms - question.at_ms
        if isinstance(reply, Declined):
            return
        self.answers.append((took_ms, reply.whole))
        if not reply.whole:
            return
        key = (host.index, host.life, question.job)
        said_ms = self._whole.get(key)
        # Somebody else's question may have been answered as this one was on its way: what that host had was compared.
        fresh = said_ms is not None and question.at_ms - said_ms <= LOOK_FRESH_MS + 1
        self._whole[key] = said_ms if fresh and took_ms == 0 and said_ms is not None else self._world.now_ms
        former = question.former if took_ms == 0 else None
        if former is not None and question.at_ms - former.at_ms <= LOOK_MS + LOOK_FRESH_MS:
            question = former
        if not (fresh or _central(host, question.job) or _is_sealed(host, question.job)):
            self._compare(host, question)

    def _compare(self, host: "Host", question: _Question) -> None:
        here = dict.fromkeys(_results(host, question.job))
        least: int | None = None
        for index, before in question.had.items():
            other = self._world.hosts[index]
            still = dict.fromkeys(_results(other, question.job)) if other.works else here
            lacking = sum(entry in still and entry not in here for entry in before)
            least = lacking if least is None else min(least, lacking)
        if least:
            raise Violation("S14", f"{host.name} says that all is here, and lacks {least} results", question.job)


def _central(host: "Host", job: JobId) -> bool:
    core = peer_behind(host.core)
    ledger = core.ledger.jobs.get(job)
    return ledger is not None and core.sync.central(ledger, host.now())


def _is_sealed(host: "Host", job: JobId) -> bool:
    return peer_behind(host.core).ledger.jobs[job].sealed is not None


def _results(host: "Host", job: JobId) -> tuple[RecordId, ...]:
    ledger = peer_behind(host.core).ledger.jobs.get(job)
    entries = ledger.entries.values() if ledger is not None else ()
    return tuple(entry.id for entry in entries if isinstance(entry.body.what, Result))
