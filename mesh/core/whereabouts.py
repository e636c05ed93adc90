"""Where peers are and what they can do, beyond those that this one has a channel with: told and read by the DHT.

Theory: each peer signs a pointer to itself and publishes it: when it changed, at most every `POINTER_CHANGED_MS`, else
every `POINTER_AGAIN_MS`, always before it ends; where hardly anybody keeps it, at doubling intervals between the two. A
peer that no known address leads to is looked up, and dialled where its pointer says, so that one which restarted
elsewhere is found by all that knew it.

Invariants: sequences only rise, across restarts too: they follow the calendar, and whatever a keeper of the pointer
says that it has already. A lost peer is looked up at ever longer intervals, `SEEKS` of them at once.
"""

from dataclasses import dataclass

from blake3 import blake3

from mesh.core.contacts import Contacting
from mesh.core.dht.dht import Dht
from mesh.core.dht.endpoints import addresses_of, believed, is_loopback
from mesh.core.directory import Directory
from mesh.core.effects import PeerFound, Reply
from mesh.core.events import PeerAsked, Started
from mesh.core.notes import PartFound, PeerReached, PeerUnreachable, PointerKept, PointersRead
from mesh.core.turn import Turn
from mesh.ground.dht_limits import (
    PART_TOLD_MS,
    POINTER_AGAIN_MS,
    POINTER_CHANGED_MS,
    POINTER_CLOCKS_MS,
    POINTER_MS,
    SEEK_EACH_MS,
    SEEK_PEER_MOST_MS,
    SEEK_PEER_MS,
    SEEKS,
)
from mesh.ground.ids import PeerId
from mesh.ground.instants import Instant, later, wall_later
from mesh.wire import cbor
from mesh.wire.codec import clipped, most_items, to_value
from mesh.wire.envelope import Signer, sign
from mesh.wire.lookups import MAX_OWN_ENDPOINTS, Pointer, dht_id
from mesh.wire.messages import Available, Contact, Contacts
from mesh.wire.records import EngineId

_NAME_BYTES = 64
_ENGINES = most_items(Pointer, "engines")
_ENGINE_BYTES = 8


def engine_digest(engine: EngineId) -> bytes:
    """Return what stands for an exact engine in a pointer."""
    return blake3(cbor.encode(to_value(engine))).digest(length=_ENGINE_BYTES)


@dataclass(slots=True)
class Seek:
    """A peer that is looked for."""

    again_ms: int = SEEK_PEER_MS
    not_before: Instant = Instant(0)
    under_way: bool = False


class Whereabouts:
    """Tell where this peer is; find where others are."""

    def __init__(self, dht: Dht, directory: Directory, contacting: Contacting, signer: Signer, name: str) -> None:
        self.dht = dht
        self._directory = directory
        self._contacting = contacting
        self._signer = signer
        self._name = clipped(name, _NAME_BYTES)
        self._told: Available | None = None
        """What was published last."""
        self._kept = False
        """Whether somebody keeps it."""
        self._outdone = False
        """Whether somebody keeps one with a higher sequence."""
        self._joins = 0
        self._published_at = Instant(0)
        self._again_at = Instant(0)
        self._sequence = 0
        self._lost_again_ms = POINTER_CHANGED_MS
        """How long after it was published a pointer is published anew that hardly anybody keeps."""
        self._part_told_until = Instant(0)
        self._seek_from = Instant(0)
        """Before that no further lost peer is looked up that nobody waits for."""
        self._seeks: dict[PeerId, Seek] = {}
        self._asked: dict[bytes, list[int]] = {}
        """People's questions by the key that is being read."""

    def on_started(self, turn: Turn, event: Started) -> None:
        """Let the DHT know this peer's addresses."""
        self.dht.on_started(turn, event)

    def on_tick(self, turn: Turn) -> None:
        """Publish again where it is time, or where something changed."""
        self.dht.on_tick(turn)
        available = self._contacting.available
        if available is None or not len(self.dht.table):
            return
        since_ms = turn.now.instant - self._published_at
        if self._told is not None and since_ms < POINTER_CHANGED_MS:
            return
        due = turn.now.instant >= self._again_at or self._joins != self.dht.joins
        lost = self._told is not None and (not self._kept or self.dht.thin)
        afresh = due or self._told is None or (lost and since_ms >= self._lost_again_ms)
        if due or not lost:
            self._lost_again_ms = POINTER_CHANGED_MS
        elif afresh:
            self._lost_again_ms = min(2 * self._lost_again_ms, POINTER_AGAIN_MS)
        if afresh or self._outdone or available != self._told:
            self._publish(turn, available, afresh=afresh)

    def on_pointer_kept(self, turn: Turn, note: PointerKept) -> None:
        """Know that the pointer is out there; one from before a restart, or of a faster calendar, must be outdone."""
        if note.sequence <= self._sequence:
            self._kept = True
        elif note.sequence <= turn.now.wall + 2 * POINTER_CLOCKS_MS:  # no true one can be further ahead
            self._sequence = note.sequence
            self._outdone = True

    def on_peer_asked(self, turn: Turn, event: PeerAsked) -> None:
        """Answer a person from the DHT."""
        key = dht_id(event.peer)
        self._asked.setdefault(key, []).append(event.op)
        self.dht.read(turn, event.peer)

    def on_peer_unreachable(self, turn: Turn, note: PeerUnreachable) -> None:
        """Look a lost peer up, though not too often."""
        seek = self._seeks.setdefault(note.peer, Seek())
        if seek.under_way or turn.now.instant < seek.not_before:
            return
        if sum(other.under_way for other in self._seeks.values()) >= SEEKS or not len(self.dht.table):
            return
        if not note.urgent:
            if turn.now.instant < self._seek_from:
                return
            self._seek_from = later(turn.now.instant, SEEK_EACH_MS)
        seek.under_way = True
        seek.not_before = Instant(turn.now.instant + self.dht.dice.jitter(seek.again_ms))
        seek.again_ms = min(2 * seek.again_ms, SEEK_PEER_MOST_MS)
        self.dht.read(turn, note.peer)

    def on_peer_reached(self, turn: Turn, note: PeerReached) -> None:
        """A peer that is here is lost no more."""
        self._seeks.pop(note.peer, None)
        self.dht.on_peer_reached(turn, note)

    def on_pointers_read(self, turn: Turn, note: PointersRead) -> None:
        """Dial a lost peer where its pointer says; answer who asked."""
        here = any(map(is_loopback, self.dht.own))
        for pointer in note.pointers:
            seek = self._seeks.get(pointer.author)
            if seek is not None:
                addresses = addresses_of(believed(pointer.body.endpoints, self.dht.own, loopback=here))
                self._contacting.found(turn, pointer.author, addresses)
        for peer, seek in self._seeks.items():
            if dht_id(peer) == note.key:
                seek.under_way = False
        for op in self._asked.pop(note.key, []):
            turn.do(Reply(op=op, reply=PeerFound(pointer=note.pointers[0] if note.pointers else None)))

    def on_part_found(self, turn: Turn, note: PartFound) -> None:
        """Tell everybody here of one node of a part of the mesh that was cut off; each looks for its own neighbours."""
        if turn.now.instant < self._part_told_until:
            return
        self._part_told_until = later(turn.now.instant, PART_TOLD_MS)
        contact = Contact(peer=note.peer, addresses=note.addresses)
        for peer in self._directory.all_connected():
            if peer != note.peer:
                turn.send(peer, Contacts(contacts=(contact,)))

    def _publish(self, turn: Turn, available: Available, *, afresh: bool) -> None:
        self._told = available
        self._joins = self.dht.joins
        pointer = self._made(turn, available)
        self._kept = self._outdone = False
        self._sequence = pointer.sequence
        self._published_at = turn.now.instant
        if afresh:
            self._again_at = Instant(turn.now.instant + self.dht.dice.jitter(POINTER_AGAIN_MS))
        self.dht.publish(turn, sign(pointer, self._signer), afresh=afresh)

    def _made(self, turn: Turn, available: Available) -> Pointer:
        wide = [endpoint for endpoint in self.dht.own if not is_loopback(endpoint)]
        return Pointer(
            key=dht_id(self.dht.me),
            sequence=max(self._sequence + 1, turn.now.wall),
            expires=wall_later(turn.now.wall, POINTER_MS),
            endpoints=tuple((wide or list(self.dht.own))[:MAX_OWN_ENDPOINTS]),
            name=self._name,
            slots=available.slots,
            busy=available.busy,
            cores=available.cores,
            memory_mb=available.memory_mb,
            draining=available.draining,
            engines=tuple(map(engine_digest, available.engines[:_ENGINES])),
        )
