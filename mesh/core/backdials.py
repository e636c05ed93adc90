"""Who can reach whom: a person asks, peers dial back, and all of it is bounded.

Theory: a host cannot see from within whether others can open a connection to it; so it asks a few that it has a channel
with to try, and they say what came of each address. How another peer can be reached from here is tried from here. The
answer also carries when it was asked and when it was told by the other's clock, of which the difference of the two
clocks follows, half the round trip at most apart.

Invariants: a peer is dialled back only where its own channel and hello say that it is, once in `DIALLED_BACK_MS`, a few
peers at a time; every question is answered, if only by saying that nothing was tried. A person's question ends after
`REACH_MS` whoever is silent. Nothing that is found here is remembered or acted upon.
"""

from dataclasses import dataclass, field

from mesh.core.directory import Directory
from mesh.core.effects import ReachFound, Report, TryDials
from mesh.core.events import DialsTried, ReachAsked
from mesh.core.ops import Ops
from mesh.core.timers import ReachEnds
from mesh.core.turn import Turn
from mesh.ground.ids import PeerId
from mesh.ground.instants import Instant, WallTime
from mesh.ground.limits import DIALLED_BACK_MS, DIALLING_BACK, MAX_REACH_ASKED, REACH_MS, WITNESSES
from mesh.wire.dials import DialledBack, DialMe, Tried


@dataclass(slots=True, kw_only=True)
class Asked:
    """A person's question under way."""

    sent: WallTime
    waits: dict[PeerId, None]
    """Who has not answered yet."""
    own_op: int | None = None
    """Our own dials that are not over."""
    mine: tuple[Tried, ...] = ()
    reports: list[Report] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """A peer that is dialled back."""

    peer: PeerId
    number: int
    heard: WallTime


class Backdials:
    """Ask others to dial back, and do so for them."""

    def __init__(self, directory: Directory, ops: Ops) -> None:
        self._directory = directory
        self._ops = ops
        self._asked: dict[int, Asked] = {}
        self._askers: dict[int, Asker] = {}
        self._dialled_at: dict[PeerId, Instant] = {}
        """When each peer was dialled back last, for those that this may still keep waiting."""

    def on_reach_asked(self, turn: Turn, event: ReachAsked) -> None:
        """Ask who is to dial back, and dial where a person wants to know the way."""
        if len(self._asked) >= MAX_REACH_ASKED:
            turn.do(ReachFound(op=event.op, mine=(), reports=(), silent=()))
            return
        witnesses = self._witnesses(turn) if event.peer is None else [event.peer]
        connected = [peer for peer in witnesses if peer != self._directory.me and self._directory.connected(peer)]
        asked = self._asked[event.op] = Asked(sent=turn.now.wall, waits=dict.fromkeys(connected))
        for peer in connected:
            turn.send(peer, DialMe(number=event.op))
        known = self._directory.peers.get(event.peer) if event.peer is not None else None
        if event.peer is not None and known is not None and known.addresses:
            asked.own_op = self._ops.next()
            turn.do(TryDials(op=asked.own_op, peer=event.peer, addresses=known.addresses))
        turn.wake(ReachEnds(op=event.op), REACH_MS)
        self._end_if_done(turn, event.op)

    def on_dial_me(self, turn: Turn, peer: PeerId, message: DialMe) -> None:
        """Dial back, unless that was done a moment ago or too much of it is under way."""
        now = turn.now.instant
        recent = {who: at for who, at in self._dialled_at.items() if now - at < DIALLED_BACK_MS}
        asker = Asker(peer=peer, number=message.number, heard=turn.now.wall)
        if peer in recent or len(self._askers) >= DIALLING_BACK:
            self._dialled_at = recent
            self._answer(turn, asker, ())
            return
        self._dialled_at = {**recent, peer: now}
        op = self._ops.next()
        self._askers[op] = asker
        turn.do(TryDials(op=op, peer=peer, addresses=()))

    def on_dials_tried(self, turn: Turn, event: DialsTried) -> None:
        """Tell who asked, or keep it for the person who did."""
        asker = self._askers.pop(event.op, None)
        if asker is not None:
            self._answer(turn, asker, event.tried)
            return
        for number, asked in self._asked.items():
            if asked.own_op == event.op:
                asked.mine, asked.own_op = event.tried, None
                self._end_if_done(turn, number)
                return

    def on_dialled_back(self, turn: Turn, peer: PeerId, message: DialledBack) -> None:
        """Take one peer's report."""
        asked = self._asked.get(message.number)
        if asked is None or peer not in asked.waits:
            return
        asked.waits.pop(peer)
        # As of NTP: what the other took between hearing and telling cancels out.
        ahead_ms = ((message.heard - asked.sent) + (message.told - turn.now.wall)) // 2
        asked.reports.append(Report(peer=peer, ahead_ms=ahead_ms, tried=message.tried))
        self._end_if_done(turn, message.number)

    def on_reach_ends(self, turn: Turn, timer: ReachEnds) -> None:
        """Wait for nobody any longer."""
        self._end(turn, timer.op)

    def _witnesses(self, turn: Turn) -> list[PeerId]:
        """Draw a few that are there: not always the same, since one of them may be in an odd place."""
        left = self._directory.all_connected()
        drawn: list[PeerId] = []
        while left and len(drawn) < WITNESSES:
            drawn.append(left.pop(turn.dice.below(len(left))))
        return drawn

    def _answer(self, turn: Turn, asker: Asker, tried: tuple[Tried, ...]) -> None:
        turn.send(asker.peer, DialledBack(number=asker.number, heard=asker.heard, told=turn.now.wall, tried=tried))

    def _end_if_done(self, turn: Turn, number: int) -> None:
        asked = self._asked[number]
        if not asked.waits and asked.own_op is None:
            self._end(turn, number)

    def _end(self, turn: Turn, number: int) -> None:
        asked = self._asked.pop(number, None)
        if asked is not None:
            reports, silent = tuple(asked.reports), tuple(asked.waits)
            turn.do(ReachFound(op=number, mine=asked.mine, reports=reports, silent=silent))
