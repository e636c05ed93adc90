"""Questions under way: each is asked at most twice, and waits as long as answers from there take as a rule.

Theory: round trips are smoothed per peer, and for all peers together for those that are new, as TCP smooths its own:
a question waits for the mean and four deviations, between bounds. The second try waits twice as long. An answer counts
when it comes from the peer that was asked, repeats the question's number and is of the kind that was asked for;
anything else is nobody's answer.

One timer watches over all that wait, at the earliest time at which one of them is late: most are answered by then.

Invariants: at most one question waits under one number. What is forgotten here can no longer be answered. While a
question waits a timer is to fire, at the latest when it is late.
"""

import heapq
from dataclasses import dataclass

from mesh.core.dht.endpoints import addresses_of
from mesh.core.effects import SendDatagram
from mesh.core.timers import AnswersLate
from mesh.core.turn import Turn
from mesh.ground.dht_limits import DHT_PATIENCE_LEAST_MS, DHT_PATIENCE_MOST_MS, DHT_PATIENCE_MS
from mesh.ground.ids import PeerId
from mesh.ground.instants import Instant, later
from mesh.wire.lookups import ANSWERS, Answer, Endpoint, NodePing, Question

_NUMBERS = 2**31
_PEERS_MEASURED = 1_024


@dataclass(slots=True, kw_only=True)
class Asked:
    """One question under way."""

    peer: PeerId
    endpoints: tuple[Endpoint, ...]
    question: Question
    lookup: int | None
    """The look-up that it belongs to."""
    asked_at: Instant
    patience_ms: int
    again: bool = False
    """Whether it was asked a second time."""


@dataclass(slots=True)
class RoundTrips:
    """A smoothed round trip and its deviation, in milliseconds."""

    mean_ms: float
    deviation_ms: float

    def take(self, sample_ms: int) -> None:
        """Take one more measurement: an eighth of it, as in RFC 6298."""
        self.deviation_ms += (abs(sample_ms - self.mean_ms) - self.deviation_ms) / 4
        self.mean_ms += (sample_ms - self.mean_ms) / 8

    @property
    def patience_ms(self) -> int:
        """How long to wait for the next answer."""
        return max(DHT_PATIENCE_LEAST_MS, min(int(self.mean_ms + 4 * self.deviation_ms), DHT_PATIENCE_MOST_MS))


class Questions:
    """Ask, ask again, give up."""

    def __init__(self) -> None:
        self.open: dict[int, Asked] = {}
        self._due: list[tuple[Instant, int]] = []
        """When the question of a number is late, earliest first; some are answered by now."""
        self._wakes_at: Instant | None = None
        """When the timer is to fire; None: there is none."""
        self._number = 0
        self._of_peer: dict[PeerId, RoundTrips] = {}
        self._of_all: RoundTrips | None = None

    def number(self) -> int:
        """Return the number of the next question."""
        self._number = self._number % (_NUMBERS - 1) + 1
        return self._number

    def ask(
        self,
        turn: Turn,
        peer: PeerId,
        endpoints: tuple[Endpoint, ...],
        question: Question,
        *,
        lookup: int | None = None,
    ) -> None:
        """Send a question, whose `number` was drawn here."""
        asked = Asked(
            peer=peer,
            endpoints=endpoints,
            question=question,
            lookup=lookup,
            asked_at=turn.now.instant,
            # A ping has nobody waiting for it: it gives a busy host all the time that there is.
            patience_ms=DHT_PATIENCE_MOST_MS if isinstance(question, NodePing) else self.patience_ms(peer),
        )
        self.open[question.number] = asked
        self._send(turn, asked)

    def answered(self, turn: Turn, peer: PeerId, answer: Answer) -> Asked | None:
        """Return the question that an answer answers, and close it; None where nobody asked that."""
        asked = self.open.get(answer.number)
        if asked is None or asked.peer != peer or ANSWERS[type(asked.question)] is not type(answer):
            return None
        del self.open[answer.number]
        self._measure(peer, turn.now.instant - asked.asked_at, again=asked.again)
        return asked

    def late(self, turn: Turn) -> list[int]:
        """Return the numbers of the questions that have waited their time, when the timer fires."""
        if self._wakes_at is None or turn.now.instant < self._wakes_at:
            return []  # one that an earlier one went before
        self._wakes_at = None
        late: list[int] = []
        while self._due and (self._due[0][0] <= turn.now.instant or self._due[0][1] not in self.open):
            number = heapq.heappop(self._due)[1]
            if number in self.open:
                late.append(number)
        self._watch(turn)
        return late

    def press(self, turn: Turn, number: int, *, again: bool = True) -> Asked | None:
        """Ask a late question once more, or give it up where that was done or is not to be; return it.

        None: it waits no more.
        """
        asked = self.open.get(number)
        if asked is None:
            return None
        if asked.again or not again:
            del self.open[number]
            return asked
        asked.again = True
        asked.patience_ms *= 2
        self._send(turn, asked)
        return asked

    def patience_ms(self, peer: PeerId) -> int:
        """Return how long an answer of `peer` is waited for."""
        measured = self._of_peer.get(peer)
        if measured is not None:
            return measured.patience_ms
        # A handshake of two round trips comes first where no pair of keys is there yet.
        return min(3 * self._of_all.patience_ms, DHT_PATIENCE_MS) if self._of_all else DHT_PATIENCE_MS

    def _send(self, turn: Turn, asked: Asked) -> None:
        turn.do(SendDatagram(peer=asked.peer, addresses=addresses_of(asked.endpoints), message=asked.question))
        heapq.heappush(self._due, (later(turn.now.instant, asked.patience_ms), asked.question.number))
        self._watch(turn)

    def _watch(self, turn: Turn) -> None:
        """Have the timer fire when the next question is late, unless it does by then."""
        if not self._due:
            return
        due = self._due[0][0]
        if self._wakes_at is None or due < self._wakes_at:
            self._wakes_at = due
            turn.wake(AnswersLate(), due - turn.now.instant)

    def _measure(self, peer: PeerId, sample_ms: int, *, again: bool) -> None:
        measured = self._of_peer.get(peer)
        if again and measured is not None and sample_ms < measured.mean_ms:
            return  # which of the two was answered is unknown; only a longer wait is news
        if measured is None:
            if len(self._of_peer) >= _PEERS_MEASURED:
                self._of_peer.pop(next(iter(self._of_peer)))
            self._of_peer[peer] = RoundTrips(sample_ms, sample_ms / 2)
        else:
            measured.take(sample_ms)
        if self._of_all is None:
            self._of_all = RoundTrips(sample_ms, sample_ms / 2)
        else:
            self._of_all.take(sample_ms)
