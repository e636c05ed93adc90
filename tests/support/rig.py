"""One real peer whose whole world is the test: it hears what the test says, and its timers fire when the test waits."""

import heapq
from collections.abc import Iterable
from typing import TypeVar

from mesh.core import effects as ef
from mesh.core import events as ev
from mesh.core.catalogue import WHOLE
from mesh.core.me import Me
from mesh.core.peer import Peer
from mesh.core.timers import Timer
from mesh.ground.ids import BlobId, JobId, PeerId
from mesh.ground.instants import HOUR_MS, Instant, Now, WallTime
from mesh.ground.limits import EVERYBODY
from mesh.wire import gossip as gs
from mesh.wire import lookups
from mesh.wire import messages as ms
from mesh.wire.envelope import Signed, sign
from mesh.wire.kept import Kept
from mesh.wire.kept import encode as kept_bytes
from mesh.wire.members import DEFAULT_ROLES, Credentials, Role, StaticKey
from mesh.wire.records import EngineId, Entry, Mark
from tests.support.cast import ENGINE, NOW, Actor, Cast, boot

T = TypeVar("T")


class Rig:
    """A peer, `me`, and whoever it has met."""

    def __init__(
        self,
        cast: Cast,
        name: str = "me",
        *,
        roles: Role = DEFAULT_ROLES,
        slots: int = 1,
        engines: tuple[EngineId, ...] = (ENGINE,),
        kept: tuple[Kept, ...] = (),
        complete: tuple[BlobId, ...] = (),
        actor: Actor | None = None,
        contacts: tuple[ms.Address, ...] = (),
        addresses: tuple[ms.Address, ...] = (),
        beacon: bool = False,
        everybody: int = EVERYBODY,
    ) -> None:
        self.cast = cast
        self.me = actor or cast.actor(name, roles)
        me = Me(
            signer=self.me.signer,
            chain=self.me.chain,
            mesh=cast.mesh,
            boot=boot(name),
            name=name,
            everybody=everybody,
        )
        self.peer = Peer(me, b"seed")
        self.now = NOW
        self.effects: list[ef.Effect] = []
        """All that the peer asked for since the last `clear`."""
        self._timers: list[tuple[int, int, Timer]] = []
        self._planned = 0
        self.tell(ev.Started(kept=kept, complete=complete, addresses=addresses, contacts=contacts, beacon=beacon))
        self.tell(ev.EnginesProbed(engines=engines, slots=slots, cores=4, memory_mb=8_000))

    def tell(self, event: ev.Event) -> list[ef.Effect]:
        """Let the peer handle an event; return what it asks for."""
        effects = self.peer.handle(self.now, event)
        for effect in effects:
            _write(effect)
            if isinstance(effect, ef.SetTimer):
                self._planned += 1
                heapq.heappush(self._timers, (effect.at, self._planned, effect.timer))
        self.effects += effects
        return effects

    def hear(self, actor: Actor, *messages: ms.Message) -> list[ef.Effect]:
        """Let the peer hear messages; return what it asks for."""
        return [effect for message in messages for effect in self.tell(ev.MessageHeard(peer=actor.id, message=message))]

    def meet(self, *actors: Actor, life: str = "") -> None:
        """Open channels to members, who say who they are and what they can render with."""
        for actor in actors:
            self.tell(ev.ChannelOpened(peer=actor.id, boot=boot(actor.name + life), address=None))
            self.hear(
                actor,
                ms.Hello(name=actor.name, program="meshnode", addresses=(), wall=self.now.wall, chain=actor.chain),
                ms.Available(engines=(ENGINE,), slots=1, busy=0, cores=4, memory_mb=8_000, draining=False),
            )

    def let_in(self, actor: Actor) -> list[ef.Effect]:
        """Open a channel to a member that shows its chain in the handshake; return what the peer asks for."""
        static = sign(StaticKey(mesh=self.cast.mesh, static=bytes(32)), actor.signer)
        shown = Credentials(chain=actor.chain, static=static, boot=boot(actor.name))
        effects = self.tell(ev.ChannelOpened(peer=actor.id, boot=boot(actor.name), address=None, shown=shown))
        at = (ms.Address(host=f"10.1.{actor.id[0]}.{actor.id[1]}", port=7_000),)
        hello = ms.Hello(name=actor.name, program="meshnode", addresses=at, wall=self.now.wall, chain=())
        return effects + self.hear(actor, hello)

    def wait(self, for_ms: int, *alive: Actor) -> list[ef.Effect]:
        """Let time pass: timers fire in their order, and those `alive` answer pings."""
        until = self.now.instant + for_ms
        asked: list[ef.Effect] = []
        while self._timers and self._timers[0][0] <= until:
            at, _, timer = heapq.heappop(self._timers)
            self._pass_to(at)
            effects = self.tell(ev.TimerFired(timer=timer))
            asked += effects
            for peer, ping in sent(effects, ms.Ping):
                for actor in alive:
                    if actor.id == peer:
                        asked += self.hear(actor, ms.Pong(number=ping.number))
        self._pass_to(until)
        return asked

    def jump(self, for_ms: int) -> None:
        """Let time pass in which nothing happens, as in a sleeping laptop."""
        self._pass_to(self.now.instant + for_ms)

    def clear(self) -> None:
        """Forget what was asked for."""
        self.effects.clear()

    def learn(self, head: ms.Head, *keepers: Actor, by: Actor) -> JobId:
        """Hear of a job and its keepers' marks from `by`."""
        marks = tuple(self.cast.mark(keeper, head, self.now.wall + HOUR_MS) for keeper in keepers)
        self.hear(by, news(heads=(head,), marks=marks))
        return JobId(head.job.id)

    def keep(self, head: ms.Head, *keepers: Actor, by: Actor, fresh: bool = True) -> JobId:
        """Hear of a job and be asked to keep it."""
        job = self.learn(head, *keepers, by=by)
        self.hear(by, ms.KeepAsk(job=job, fresh=fresh))
        return job

    def take(self, head: ms.Head, *entries: Signed[Entry], by: Actor) -> list[ef.Effect]:
        """Hear records of a job, with their authors' chains where `by` has them."""
        return self.hear(by, ms.Entries(job=JobId(head.job.id), entries=entries, chains=(by.chain,)))

    def compared(self, actor: Actor) -> list[ef.Effect]:
        """Have a member that knows nothing compare mesh sets and take the whole; return what it is sent in the end."""
        nothing = gs.SetNode(part=WHOLE, digests=bytes(gs.BRANCHES * gs.SHORT_BYTES))
        offers = sent(self.hear(actor, gs.SetDigests(nodes=(nothing,))), gs.Offer)
        return self.hear(actor, *(gs.Want(ids=offer.ids[:512], authors=()) for _, offer in offers))

    def _pass_to(self, instant: int) -> None:
        passed_ms = instant - self.now.instant
        if passed_ms > 0:
            self.now = Now(instant=Instant(instant), wall=WallTime(self.now.wall + passed_ms))


def _write(effect: ef.Effect) -> None:
    """Make the bytes of what a peer says and keeps, whatever others led it to: a bound that breaks ends a real peer."""
    match effect:
        case ef.Send():
            ms.encode(effect.message)
        case ef.SendDatagram():
            lookups.encode(effect.message)
        case ef.Append():
            for entry in effect.entries:
                kept_bytes(entry)


def news(
    *,
    heads: tuple[ms.Head, ...] = (),
    marks: tuple[Signed[Mark], ...] = (),
    cancels: tuple[Signed[Entry], ...] = (),
) -> ms.News:
    """Return part of a mesh set."""
    return ms.News(heads=heads, marks=marks, cancels=cancels, admissions=())


def of(effects: Iterable[ef.Effect], kind: type[T]) -> list[T]:
    """Return the effects of one kind."""
    return [effect for effect in effects if isinstance(effect, kind)]


def sent(effects: Iterable[ef.Effect], kind: type[T]) -> list[tuple[PeerId, T]]:
    """Return the messages of one kind that are sent, and to whom."""
    return [
        (effect.peer, effect.message)
        for effect in effects
        if isinstance(effect, ef.Send) and isinstance(effect.message, kind)
    ]


def journal(effects: Iterable[ef.Effect]) -> tuple[Kept, ...]:
    """Return all journal entries that are written, with which the peer may start again."""
    return tuple(entry for effect in effects if isinstance(effect, ef.Append) for entry in effect.entries)


def kept(effects: Iterable[ef.Effect], kind: type[T]) -> list[T]:
    """Return the journal entries of one kind that are written."""
    return [entry for entry in journal(effects) if isinstance(entry, kind)]
