"""What a small world looks for beside what every world's checkers do.

Promises: within the life of a lease a keeper says `yours` of a frame to one claimant. The barrier: a host's holds and
records have been synced when they leave it. Seals: a submitter's own seal names what it delivered. Safe outputs: what a
peer shows as safe is whole on a disk whose journal holds it, at every moment, also while that host is down.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from mesh.core.effects import Append, Effect, Send
from mesh.core.events import ChannelOpened, DialFailed, Event, MessageHeard
from mesh.core.status import TaskState
from mesh.ground.ids import JobId, PeerId, RecordId
from mesh.ground.limits import LEASE_MS
from mesh.wire.copies import Holds
from mesh.wire.envelope import Signed
from mesh.wire.kept import KeptEntries, KeptHold
from mesh.wire.messages import ClaimSent, Entries, Heartbeat, Message, Verdict, Withdraw
from mesh.wire.records import Result, Seal
from sim.books import Book
from sim.violation import Violation

if TYPE_CHECKING:
    from sim.small_host import SmallHost


Place: TypeAlias = tuple[JobId, int]
"""A frame: its job and task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Promised:
    """To whom a keeper said `yours`, and when it last had reason to believe in it."""

    claim: RecordId
    peer: PeerId
    at_ms: int


class Promises:
    """What one process of a host has promised as a keeper."""

    def __init__(self) -> None:
        self._claims: dict[RecordId, Place] = {}
        """Frames, by the claims of them that were heard."""
        self._yours: dict[Place, Promised] = {}

    def turned(self, host: "SmallHost", event: Event, effects: Sequence[Effect]) -> None:
        """Look at what a turn promised, leaving out what it had reason to take back. Raises Violation."""
        now_ms = host.world.now_ms
        match event:
            case MessageHeard(message=ClaimSent(claims=claims)):
                frames = [claim for claim in claims if claim.body.block is None]
                self._claims.update({claim.id: (claim.body.job, claim.body.task) for claim in frames})
            case MessageHeard(message=Heartbeat(beats=beats)):
                beaten = {beat.claim for beat in beats}
                for place, said in self._yours.items():
                    if said.claim in beaten:
                        self._yours[place] = Promised(claim=said.claim, peer=said.peer, at_ms=now_ms)
            case MessageHeard(message=Withdraw(claims=gone)):
                self._forget(lambda said: said.claim in gone)
            case ChannelOpened(peer=peer) | DialFailed(peer=peer):
                self._forget(lambda said: said.peer == peer)
            case _:
                pass
        for effect in effects:
            if isinstance(effect, Append):
                told = [entry for kept in effect.entries if isinstance(kept, KeptEntries) for entry in kept.entries]
                about = {(entry.body.job, getattr(entry.body.what, "task", None)) for entry in told}
                self._yours = {place: said for place, said in self._yours.items() if place not in about}
        for effect in effects:
            if isinstance(effect, Send) and isinstance(effect.message, Verdict) and effect.message.yours:
                self._promise(host, effect.peer, effect.message.claim, now_ms)

    def _forget(self, which: Callable[[Promised], bool]) -> None:
        for place in [place for place, said in self._yours.items() if which(said)]:
            del self._yours[place]

    def _promise(self, host: "SmallHost", peer: PeerId, claim: RecordId, now_ms: int) -> None:
        place = self._claims.get(claim)
        if place is None:
            return
        said = self._yours.get(place)
        if said is not None and said.claim != claim and now_ms - said.at_ms <= LEASE_MS:
            text = f"{host.name} says `yours` of task {place[1]} to two claimants within one lease"
            raise Violation("lease", text, place[0], claim, said.claim)
        self._yours[place] = Promised(claim=claim, peer=peer, at_ms=now_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Which outputs a host calls safe, and which it is bound to keep and has, a bit for each."""

    calls_safe: int
    keeps: int


def kept_by(host: "SmallHost", book: Book) -> Kept:
    """Return what a host shows as safe and what it keeps."""
    world, calls_safe, keeps = host.world, 0, 0
    for hold in book.holds.values():
        if hold.author == host.peer_id and host.disk.intact(hold.body.blob):
            keeps |= world.bit(hold.body.blob)
    if host.running:
        for job in book.heads:
            for view in host.core.task_views(job):
                if view.state is TaskState.SAFE and view.result is not None:
                    entry = book.entries.get(job, {}).get(view.result)
                    if entry is not None and isinstance(entry.body.what, Result):
                        for output in entry.body.what.outputs:
                            calls_safe |= world.bit(output.blob)
    return Kept(calls_safe=calls_safe, keeps=keeps)


def rests_on_the_disk(host: "SmallHost", message: Message) -> None:
    """Look that a host's own holds and records have left it only after they were synced. Raises Violation."""
    if isinstance(message, Holds):
        own: list[Signed[Any]] = [hold for hold in message.holds if hold.author == host.peer_id]
    elif isinstance(message, Entries):
        own = [entry for entry in message.entries if entry.author == host.peer_id]
    else:
        return
    synced: dict[RecordId, None] = {}
    for kept in host.synced_entries() if own else ():
        if isinstance(kept, KeptHold):
            synced[kept.hold.id] = None
        elif isinstance(kept, KeptEntries):
            synced |= {entry.id: None for entry in kept.entries}
    for said in own:
        if said.id not in synced:
            raise Violation("barrier", f"{host.name} says what a loss of power would make it forget", said.id)


def seals_what_it_delivered(host: "SmallHost", book: Book, effects: Sequence[Effect]) -> None:
    """Hold a submitter's own seal against what it delivered. Raises Violation."""
    for effect in effects:
        entries = effect.entries if isinstance(effect, Append) else ()
        for entry in [entry for kept in entries if isinstance(kept, KeptEntries) for entry in kept.entries]:
            what, head = entry.body.what, book.heads.get(entry.body.job)
            if not isinstance(what, Seal) or head is None or not entry.author == head.author == host.peer_id:
                continue
            names = head.body.names
            delivered = {name: result for (_, name), result in book.delivered.items()}
            for task, sealed in enumerate(host.world.pages[what.blob].tasks):
                result = delivered.get(names.name(head.body.frames.frame(task)))
                if sealed.result is None or sealed.result.id != result:
                    raise Violation("S3", f"{host.name} seals task {task} as what it did not deliver", entry.id)
