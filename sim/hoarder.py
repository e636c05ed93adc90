"""A member that hoards: it claims every frame that it is told of, says each second that it renders it, and never does.

It is the real core behind its tricks, so that it joins, keeps and hands on like anybody: only renders are dropped, and
claims are made for all that a window shows instead of for what its slots need. Its heartbeats tell no progress, which
is what gives it away.
"""

from typing import TYPE_CHECKING

from mesh.core.effects import Effect, Send, StartRender, Stopped
from mesh.core.events import Event, MessageHeard, TimerFired
from mesh.core.peer import Peer
from mesh.core.timers import Tick
from mesh.ground.ids import JobId, PeerId, RecordId
from mesh.ground.instants import Now
from mesh.wire.envelope import sign
from mesh.wire.messages import Beat, ClaimSent, Heartbeat, OpenTask, Verdict, Window, portions
from mesh.wire.records import Claim, next_attempt
from sim.infront import InFront

if TYPE_CHECKING:
    from sim.host import Host

_FIRST_NUMBER = 1_000_000
"""Of its own claims, so that none has the number of one that the core behind it makes."""


class Hoarder(InFront):
    """The real core, whose renders are dropped and which claims beside it whatever is open."""

    def __init__(self, host: "Host", inner: Peer) -> None:
        super().__init__(host, inner)
        self._number = _FIRST_NUMBER
        self._hoard: dict[RecordId, tuple[JobId, PeerId]] = {}
        """Its claims that a keeper gave it, and which keeper."""
        self._stopped = False

    def handle(self, now: Now, event: Event) -> list[Effect]:
        """Let the core handle an event; claim more than it would, and render nothing."""
        asked = self.inner.handle(now, event)
        effects: list[Effect] = [effect for effect in asked if not isinstance(effect, StartRender)]
        self._stopped = self._stopped or any(isinstance(effect, Stopped) for effect in asked)
        if self._stopped:
            return effects
        match event:
            case MessageHeard(peer=peer, message=Window(job=job, open=tasks)):
                effects += self._claim_all(peer, job, tasks)
            case MessageHeard(peer=peer, message=Verdict(claim=claim, yours=True)) if claim in self._hoard:
                self._hoard[claim] = (self._hoard[claim][0], peer)
            case MessageHeard(message=Verdict(claim=claim)):
                self._hoard.pop(claim, None)
            case TimerFired(timer=Tick()):
                effects += self._beat()
            case _:
                pass
        return effects

    def _claim_all(self, keeper: PeerId, job: JobId, tasks: tuple[OpenTask, ...]) -> list[Effect]:
        claims = []
        for task in tasks:
            self._number += 1
            attempt = next_attempt(task.attempt)
            body = Claim(job=job, task=task.task, attempt=attempt, boot=self.host.boot, number=self._number)
            claims.append(sign(body, self.host.signer))
            self._hoard[claims[-1].id] = (job, keeper)
        return [
            Send(peer=keeper, message=ClaimSent(claims=portion)) for portion in portions(ClaimSent, "claims", claims)
        ]

    def _beat(self) -> list[Effect]:
        """Say of all that it was given, keeper by keeper, that it works on it."""
        by_keeper: dict[tuple[JobId, PeerId], list[Beat]] = {}
        for claim, whose in self._hoard.items():
            by_keeper.setdefault(whose, []).append(Beat(claim=claim, progress=0))
        return [
            Send(peer=keeper, message=Heartbeat(job=job, beats=portion))
            for (job, keeper), beats in by_keeper.items()
            for portion in portions(Heartbeat, "beats", beats)
        ]
