"""One node of the DHT whose whole world is the test: it hears datagrams, and its timers fire when the test waits."""

from __future__ import annotations

import heapq
from typing import TypeVar

from mesh.core import notes as nt
from mesh.core.contacts import Contacting
from mesh.core.dht.dht import Dht
from mesh.core.directory import Directory, Known
from mesh.core.effects import Effect, Reply, SendDatagram, SetTimer
from mesh.core.events import DatagramHeard, Started
from mesh.core.membership import Members
from mesh.core.timers import AnswersLate, BucketDue, RefreshDue, Timer
from mesh.core.turn import Turn
from mesh.core.whereabouts import Whereabouts
from mesh.ground.dht_limits import POINTER_MS
from mesh.ground.dice import Dice
from mesh.ground.ids import PeerId
from mesh.ground.instants import SECOND_MS, Instant, Now, WallTime
from mesh.wire import lookups as lk
from mesh.wire.envelope import Signed, sign
from mesh.wire.messages import Address, Available
from tests.support.cast import ENGINE, NOW, Actor, Cast, boot

T = TypeVar("T")

AVAILABLE = Available(engines=(ENGINE,), slots=1, busy=0, cores=4, memory_mb=8_000, draining=False)
HERE = Address(host="10.1.0.1", port=7_000)


def address(number: int) -> Address:
    """Return an address in a range of its own."""
    return Address(host=f"10.{20 + number // 250}.{number % 250}.9", port=7_000)


def endpoint(number: int) -> lk.Endpoint:
    """Return the same as numbers."""
    return lk.Endpoint(ip=bytes((10, 20 + number // 250, number % 250, 9)), port=7_000)


def pointer(actor: Actor, sequence: int = 1, *, wall: int = NOW.wall, life_ms: int = POINTER_MS) -> Signed[lk.Pointer]:
    """Return what a member says of itself."""
    body = lk.Pointer(
        key=lk.dht_id(actor.id),
        sequence=sequence,
        expires=WallTime(wall + life_ms),
        endpoints=(endpoint(sequence),),
        name=actor.name,
        slots=1,
        busy=0,
        cores=4,
        memory_mb=8_000,
        draining=False,
        engines=(),
    )
    return sign(body, actor.signer)


class DhtRig:
    """A node and the members that it may meet."""

    def __init__(self, cast: Cast, *, here: Address = HERE) -> None:
        self.cast = cast
        self.me = cast.actor("me")
        self.directory = Directory(self.me.id)
        self.members = Members(cast.mesh, self.me.chain)
        self.contacting = Contacting(self.directory)
        self.dht = Dht(self.directory, self.members)
        self.whereabouts = Whereabouts(self.dht, self.directory, self.contacting, self.me.signer, "me")
        self.now = NOW
        self.effects: list[Effect] = []
        self.notes: list[nt.Note] = []
        self._dice = Dice(b"dht rig")
        self._timers: list[tuple[int, int, Timer]] = []
        self._planned = 0
        started = Started(kept=(), complete=(), addresses=(here,), contacts=())
        self.turn(lambda turn: self.whereabouts.on_started(turn, started))

    def turn(self, act: object) -> list[Effect]:
        """Run one turn, its notes included; return what it asks for."""
        turn = Turn(self.now, self._dice, self.me.id)
        act(turn)  # type: ignore[operator]
        while turn.notes:
            note = turn.notes.popleft()
            self.notes.append(note)
            if isinstance(note, nt.PointersRead):
                self.whereabouts.on_pointers_read(turn, note)
            elif isinstance(note, nt.PointerKept):
                self.whereabouts.on_pointer_kept(turn, note)
        for effect in turn.effects:
            if isinstance(effect, SetTimer):
                self._planned += 1
                heapq.heappush(self._timers, (effect.at, self._planned, effect.timer))
        self.effects += turn.effects
        return turn.effects

    def know(self, *actors: Actor) -> None:
        """Learn members' chains, as their hellos tell them."""
        for actor in actors:
            self.members.learn(actor.chain)

    def met(self, actor: Actor, number: int) -> None:
        """Have a channel with a member."""
        self.know(actor)
        self.directory.peers[actor.id] = Known(addresses=(address(number),))
        self.directory.connect(actor.id)
        note = nt.PeerReached(peer=actor.id, boot=boot(actor.name), restarted=False)
        self.turn(lambda turn: self.whereabouts.on_peer_reached(turn, note))

    def hear(self, actor: Actor, message: lk.Lookup, number: int = 1) -> list[Effect]:
        """Hear a datagram; return what that causes."""
        event = DatagramHeard(peer=actor.id, address=address(number), message=message)
        return self.turn(lambda turn: self.dht.on_datagram_heard(turn, event))

    def greet(self, actor: Actor, number: int) -> None:
        """Take a member into the table, as one that pinged."""
        self.know(actor)
        self.hear(actor, lk.NodePing(number=1), number)

    def tick(self) -> list[Effect]:
        """Pass the second's tick."""
        return self.turn(self.whereabouts.on_tick)

    def wait(self, for_ms: int, *, ticking: bool = False) -> list[Effect]:
        """Let time pass; timers fire in their order, and with `ticking` each second does too."""
        until = self.now.instant + for_ms
        asked: list[Effect] = []
        second = self.now.instant + SECOND_MS
        while True:
            due = self._timers[0][0] if self._timers else until + 1
            if ticking and second <= min(due, until):
                self._pass_to(second)
                second += SECOND_MS
                asked += self.tick()
            elif due <= until:
                self._pass_to(due)
                timer = heapq.heappop(self._timers)[2]
                asked += self.turn(lambda turn, timer=timer: self._fire(turn, timer))
            else:
                self._pass_to(until)
                return asked

    def clear(self) -> None:
        """Forget what was asked for."""
        self.effects.clear()
        self.notes.clear()

    def asked(self, kind: type[T]) -> list[tuple[PeerId, T]]:
        """Return the datagrams of one kind that were sent since the last `clear`, and to whom."""
        return sent(self.effects, kind)

    def replies(self) -> list[Reply]:
        """Return what people were answered."""
        return [effect for effect in self.effects if isinstance(effect, Reply)]

    def _fire(self, turn: Turn, timer: Timer) -> None:
        if isinstance(timer, AnswersLate):
            self.dht.on_answers_late(turn, timer)
        elif isinstance(timer, BucketDue):
            self.dht.on_bucket_due(turn, timer)
        else:
            assert isinstance(timer, RefreshDue)
            self.dht.on_refresh_due(turn, timer)

    def _pass_to(self, instant: int) -> None:
        passed_ms = max(0, instant - self.now.instant)
        self.now = Now(instant=Instant(self.now.instant + passed_ms), wall=WallTime(self.now.wall + passed_ms))


def sent(effects: list[Effect], kind: type[T]) -> list[tuple[PeerId, T]]:
    """Return the datagrams of one kind, and to whom they go."""
    return [
        (effect.peer, effect.message)
        for effect in effects
        if isinstance(effect, SendDatagram) and isinstance(effect.message, kind)
    ]


def crowd(rig: DhtRig, cast: Cast, many: int) -> list[Actor]:
    """Let the node know so many others."""
    actors = [cast.actor(f"p{number}") for number in range(many)]
    for number, actor in enumerate(actors):
        rig.greet(actor, number)
    for peer, question in rig.asked(lk.FindNodes):
        number = [actor.id for actor in actors].index(peer)
        rig.hear(actors[number], lk.NodesFound(number=question.number, nodes=()), number)
    rig.clear()
    return actors
