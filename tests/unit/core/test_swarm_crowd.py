"""Peers that start together take different pieces from the one that has them, and pass them on to each other."""

import heapq
import itertools
from collections import Counter
from collections.abc import Callable

import pytest

from mesh.core.directory import Directory, Known
from mesh.core.effects import Effect, FetchManifest, FetchPieces, Send
from mesh.core.events import BlobStarted, FetchFailed, PiecesStored
from mesh.core.ops import Ops
from mesh.core.swarm import Swarm
from mesh.core.turn import Turn
from mesh.ground.dice import Dice
from mesh.ground.ids import BlobId, PeerId
from mesh.ground.instants import Instant, Now, WallTime
from mesh.wire.messages import Have, Seek
from tests.support.cast import blob

LATENCY_MS = 1
PIECE_MS = 10
"""What a host takes to send a piece, one after the other: its line is what all wait for."""

TICK_MS = 1_000
SOURCE = 0


class Host:
    """One real swarm and the pieces on its disk."""

    def __init__(self, number: int) -> None:
        self.id = PeerId(number.to_bytes(32, "big"))
        self.directory = Directory(self.id)
        self.swarm = Swarm(self.directory, Ops())
        self.pieces: dict[BlobId, set[int]] = {}
        self.sends_until_ms = 0
        self.alive = True


class Crowd:
    """Hosts that all reach each other, of which the first has blobs of so many pieces each and the others want them."""

    def __init__(self, fetchers: int, sizes: list[int]) -> None:
        self.sizes = {blob(f"file {number}"): size for number, size in enumerate(sizes)}
        self.hosts = [Host(number) for number in range(1 + fetchers)]
        self.sent: Counter[int] = Counter()
        self.dies_after: int | None = None
        """How many pieces the source sends before it is gone."""
        self.now_ms = 0
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._serial = itertools.count()
        self._dice = Dice(b"crowd")
        for host in self.hosts:
            for other in self.hosts:
                if other is not host:
                    host.directory.peers[other.id] = Known()
                    host.directory.connect(other.id)
        source = self.hosts[SOURCE]
        source.swarm.restore(tuple(self.sizes))
        source.pieces = {name: set(range(size)) for name, size in self.sizes.items()}
        for host in self.hosts[1:]:
            for name in self.sizes:
                self._do(host, lambda turn, host=host, name=name: host.swarm.want(turn, name, b"job", source.id))  # type: ignore[misc]
            self._tick(host)

    @property
    def complete(self) -> bool:
        return all(host.swarm.complete(name) for host in self.hosts[1:] for name in self.sizes)

    def run(self, until_ms: int = 600_000) -> None:
        while self._queue and not self.complete and self.now_ms < until_ms:
            self.now_ms, _, act = heapq.heappop(self._queue)
            act()

    def copies(self) -> float:
        """Return how many copies of all the source has sent."""
        return self.sent[SOURCE] / sum(self.sizes.values())

    def _after(self, for_ms: int, act: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (self.now_ms + for_ms, next(self._serial), act))

    def _tick(self, host: Host) -> None:
        self._do(host, host.swarm.on_tick)
        self._after(TICK_MS, lambda: self._tick(host))

    def _do(self, host: Host, act: Callable[[Turn], object]) -> None:
        if not host.alive:
            return
        turn = Turn(Now(instant=Instant(self.now_ms), wall=WallTime(self.now_ms)), self._dice, host.id)
        act(turn)
        for effect in turn.effects:
            self._perform(host, effect)

    def _perform(self, host: Host, effect: Effect) -> None:
        match effect:
            case Send(peer=peer, message=message):
                self._after(LATENCY_MS, lambda: self._hear(self._host(peer), host, message))
            case FetchManifest(op=op, blob=name):
                have = tuple(host.pieces.get(name, ()))
                event = BlobStarted(op=op, blob=name, pieces=self.sizes[name], have=have)
                self._after(
                    2 * LATENCY_MS, lambda: self._do(host, lambda turn: host.swarm.on_blob_started(turn, event))
                )
            case FetchPieces():
                self._send_pieces(self._host(effect.peer), host, effect)

    def _hear(self, host: Host, sender: Host, message: object) -> None:
        if isinstance(message, Seek):
            self._do(host, lambda turn: host.swarm.on_seek(turn, sender.id, message))
        elif isinstance(message, Have):
            self._do(host, lambda turn: host.swarm.on_have(turn, sender.id, message))

    def _send_pieces(self, source: Host, host: Host, effect: FetchPieces) -> None:
        begun_ms = max(self.now_ms, source.sends_until_ms)
        source.sends_until_ms = begun_ms + PIECE_MS * len(effect.numbers)
        self._after(LATENCY_MS + source.sends_until_ms - self.now_ms, lambda: self._arrive(source, host, effect))

    def _arrive(self, source: Host, host: Host, effect: FetchPieces) -> None:
        number = self.hosts.index(source)
        if number == SOURCE and self.dies_after is not None and self.sent[SOURCE] >= self.dies_after:
            source.alive = False
            for other in self.hosts[1:]:
                other.directory.disconnect(source.id)
        if not source.alive:
            failed = FetchFailed(op=effect.op, blob=effect.blob, full=False)
            self._do(host, lambda turn: host.swarm.on_fetch_failed(turn, failed))
            return
        assert set(effect.numbers) <= source.pieces[effect.blob], "nobody is asked for what it has not"
        self.sent[number] += len(effect.numbers)
        mine = host.pieces.setdefault(effect.blob, set())
        mine.update(effect.numbers)
        whole = len(mine) == self.sizes[effect.blob]
        stored = PiecesStored(op=effect.op, blob=effect.blob, numbers=effect.numbers, complete=whole)
        self._do(host, lambda turn: host.swarm.on_pieces_stored(turn, stored))

    def _host(self, peer: PeerId) -> Host:
        return next(host for host in self.hosts if host.id == peer)


SCENES = pytest.mark.parametrize("sizes", [[64], [10] * 10, [1] * 60], ids=["one large", "some", "many small"])
"""How many pieces each file of the scene has."""

AT_MOST = pytest.mark.parametrize(("fetchers", "copies"), [(1, 1.0), (2, 1.15), (4, 1.4), (8, 1.9)])
"""Without asking for different pieces, it is as many copies as fetchers."""


@AT_MOST
@SCENES
def test_one_that_has_all_sends_little_more_than_one_copy(fetchers: int, copies: float, sizes: list[int]) -> None:
    crowd = Crowd(fetchers, sizes)
    crowd.run()
    assert crowd.complete
    assert crowd.copies() <= copies
    # Its line is what all wait for, and it never idles: nobody waits for others meanwhile.
    assert crowd.now_ms <= PIECE_MS * crowd.sent[SOURCE] + 60 * PIECE_MS


@AT_MOST
@SCENES
def test_a_source_that_has_sent_that_much_may_die(fetchers: int, copies: float, sizes: list[int]) -> None:
    crowd = Crowd(fetchers, sizes)
    crowd.dies_after = round(copies * sum(sizes))
    crowd.run()
    assert crowd.complete
    assert crowd.sent[SOURCE] <= crowd.dies_after


def test_where_nobody_can_ask_all_others_the_one_source_still_sends_each_piece_about_once() -> None:
    crowd = Crowd(40, [16] * 4)
    crowd.run()
    assert crowd.complete
    assert crowd.copies() <= 1.5, "without a share of its own for each, it is six copies"
    assert crowd.now_ms <= 3 * PIECE_MS * 64
