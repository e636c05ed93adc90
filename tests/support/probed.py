"""One real peer and the members that it probes, each of which answers by datagram, on its channel, or not at all."""

from __future__ import annotations

from typing import TypeVar

from mesh.core import effects as ef
from mesh.core import events as ev
from mesh.ground.ids import PeerId
from mesh.wire import messages as ms
from mesh.wire import probes as pr
from mesh.wire.lookups import Endpoint
from tests.support.cast import Actor, Cast, boot
from tests.support.rig import Rig

T = TypeVar("T")

STEP_MS = 10
TRIP_MS = 2 * STEP_MS
INCARNATION = 1_000


class View:
    """A peer, `rig.peer`, that has a channel with each of some members; whatever it says is answered a little later."""

    def __init__(self, cast: Cast, many: int) -> None:
        self.rig = Rig(cast)
        self.actors = [cast.actor(f"p{number}") for number in range(many)]
        self.by_id = {actor.id: actor for actor in self.actors}
        self.by_datagram = dict.fromkeys(self.by_id)
        """Who answers datagrams."""
        self.by_others = dict.fromkeys(self.by_id)
        """Who answers when others ask."""
        self.on_channel = dict.fromkeys(self.by_id)
        """Who answers on its channel."""
        self.incarnations = dict.fromkeys(self.by_id, INCARNATION)
        self.said: list[tuple[int, PeerId, pr.ProbeMessage]] = []
        """Every datagram of probing: when, to whom, what."""
        self._waiting: list[tuple[int, ev.Event]] = []
        for number, actor in enumerate(self.actors):
            self.open(actor, number)

    @property
    def now_ms(self) -> int:
        return self.rig.now.instant

    def open(self, actor: Actor, number: int) -> None:
        """Open a channel with a member, which says where it is."""
        self.tell(ev.ChannelOpened(peer=actor.id, boot=boot(actor.name), address=None))
        self.tell(ev.MessageHeard(peer=actor.id, message=self._hello(actor, number)))

    def silence(self, *actors: Actor) -> None:
        """Let members answer nothing any more."""
        for actor in actors:
            self.by_datagram.pop(actor.id, None)
            self.by_others.pop(actor.id, None)
            self.on_channel.pop(actor.id, None)

    def tell(self, event: ev.Event) -> list[ef.Effect]:
        """Let the peer handle an event, and note what it says."""
        effects = self.rig.tell(event)
        self._note(effects)
        return effects

    def hear(self, actor: Actor, message: pr.ProbeMessage) -> list[ef.Effect]:
        """Let the peer hear a datagram."""
        number = self.actors.index(actor) if actor in self.actors else len(self.actors)
        return self.tell(ev.DatagramHeard(peer=actor.id, address=address(number), message=message))

    def wait(self, for_ms: int) -> list[ef.Effect]:
        """Let time pass, and the members answer."""
        until_ms = self.now_ms + for_ms
        asked: list[ef.Effect] = []
        while self.now_ms < until_ms:
            effects = self.rig.wait(min(STEP_MS, until_ms - self.now_ms))
            asked += effects
            self._note(effects)
            due = [event for at_ms, event in self._waiting if at_ms <= self.now_ms]
            self._waiting = [(at_ms, event) for at_ms, event in self._waiting if at_ms > self.now_ms]
            for event in due:
                asked += self.tell(event)
        return asked

    def turns(self) -> None:
        """Let time pass in which each member is probed once."""
        self.wait((len(self.actors) + 1) * 1_000)

    def sent(self, kind: type[T]) -> list[tuple[PeerId, T]]:
        """Return the datagrams of one kind so far, and to whom."""
        return [(peer, message) for _, peer, message in self.said if isinstance(message, kind)]

    def clear(self) -> None:
        """Forget what was said."""
        self.said.clear()
        self.rig.clear()

    def _note(self, effects: list[ef.Effect]) -> None:
        for effect in effects:
            if isinstance(effect, ef.SendDatagram) and isinstance(effect.message, pr.PROBE_MESSAGES):
                self.said.append((self.now_ms, effect.peer, effect.message))
                answer = self._answer(effect.peer, effect.message)
                if answer is not None:
                    number = self.actors.index(self.by_id[effect.peer])
                    heard = ev.DatagramHeard(peer=effect.peer, address=address(number), message=answer)
                    self._waiting.append((self.now_ms + TRIP_MS, heard))
            elif isinstance(effect, ef.Send) and isinstance(effect.message, ms.Ping) and effect.peer in self.on_channel:
                pong = ms.Pong(number=effect.message.number)
                self._waiting.append((self.now_ms + TRIP_MS, ev.MessageHeard(peer=effect.peer, message=pong)))

    def _answer(self, peer: PeerId, message: pr.ProbeMessage) -> pr.ProbeMessage | None:
        if peer not in self.by_datagram:
            return None
        match message:
            case pr.Probe():
                accused = [one.incarnation for one in message.tidings if one.peer == peer and one.state]
                self.incarnations[peer] = max([self.incarnations[peer], *(one + 1 for one in accused)])
                return pr.Alive(number=message.number, incarnation=self.incarnations[peer])
            case pr.ProbeFor():
                return pr.Probed(number=message.number, answered=message.peer in self.by_others)
            case _:
                return None

    def _hello(self, actor: Actor, number: int) -> ms.Hello:
        return ms.Hello(
            name=actor.name,
            program="meshnode",
            addresses=(address(number),),
            wall=self.rig.now.wall,
            chain=actor.chain,
        )


def address(number: int) -> ms.Address:
    """Return where a member is."""
    return ms.Address(host=f"10.0.{number // 250}.{1 + number % 250}", port=7_000)


def endpoint(number: int) -> Endpoint:
    """Return the same as numbers."""
    return Endpoint(ip=bytes((10, 0, number // 250, 1 + number % 250)), port=7_000)


def tiding(actor: Actor, state: pr.State, incarnation: int = INCARNATION) -> pr.Tiding:
    """Return what somebody says of a member."""
    return pr.Tiding(peer=actor.id, incarnation=incarnation, state=state)
