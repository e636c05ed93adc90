"""Pieces and manifests over connections of their own: whom others ask, and how this peer asks others.

Theory: on a fast network the processor is the limit, so hashing, sealing and file access run in threads, a megabyte
or more at a time, beside the network and not after it. On a slow one the round trip is the limit, so questions go
ahead of their answers, `WINDOW_BYTES` of them. A connection serves one fetch at a time, and is kept for a while for
the next. Where a peer lends the connection, it was dialled by the one who is asked; nothing else differs.

Invariants: what one connection makes either side hold is bounded by a few of the largest pieces; connections are
bounded in number. A piece reaches the sink whole or not at all. Nothing is served that the source did not hand out as
verified. The module must not know what blobs mean, who needs them, or which source is the best.
"""

from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import trio

from mesh.ground.errors import WireError
from mesh.ground.ids import BlobId, PeerId
from mesh.net.link import Link
from mesh.ports.storage import StorageError
from mesh.ports.transport import DialTimedOut, FetchFailed, Lender, PieceSink, PieceSource, Provider
from mesh.wire import bulk
from mesh.wire.bulk import ASK_MAX_PIECES, MANIFEST, AskManifest, AskPieces, Collector, ManifestSent, NotHere, parts
from mesh.wire.handshake import Purpose
from mesh.wire.manifest import Manifest, decode_for, encode
from mesh.wire.messages import Address

SERVED_MAX: Final = 64
"""Bulk links that others may have here: each may hold three pieces; who is refused asks another provider."""

ASKED_MAX: Final = 4
"""Bulk links to one provider at once; more bring no more, since one alone fills a network."""

SERVED_EACH_MAX: Final = 2 * ASKED_MAX
"""Bulk links that one peer may have here: those that it dialled, and those that it was lent."""

FETCHING_MAX: Final = 32
"""Bulk links to others in use at once; a swarm is well fed by fewer."""

IDLE_KEPT_MAX: Final = 16
"""Idle links kept for the next fetch."""

IDLE_KEPT_S: Final = 20.0
"""How long one is kept: longer than between two frames, shorter than the other side's patience."""

IDLE_SERVED_S: Final = 120.0
"""How long a link may ask nothing: longer than half a window takes on the slowest link worth having."""

STALL_S: Final = 30.0
"""How long a fetch may bring nothing, or a sent part not be taken: then somebody else is asked."""

LENT_S: Final = 12.0
"""How long to wait for a connection that was asked for: the time of a dial and its handshake, and to hear of it."""

WINDOW_BYTES: Final = 8 * 1024 * 1024
"""Asked for and not yet here: fills 800 Mbit/s at 80 ms. It is two pieces at least, so that no source waits for us."""

assert SERVED_EACH_MAX < SERVED_MAX

_READ_BYTES: Final = 256 * 1024
_READ_AHEAD: Final = 16
"""Reads kept while a thread works on those before: 4 MiB, which is also the most that one hop into a thread takes."""

_T = TypeVar("_T")


class BulkHost:
    """Answers what other peers ask of this peer's store; `serve` is for `open_transport`."""

    def __init__(self, source: PieceSource, threads: trio.CapacityLimiter) -> None:
        self._source = source
        self._threads = threads
        self._serving: dict[PeerId, int] = {}

    async def serve(self, link: Link) -> None:
        """Answer questions on `link` until the other side goes, idles or breaks the rules."""
        peer = link.opened.peer
        serving = self._serving.get(peer, 0)
        if serving >= SERVED_EACH_MAX or sum(self._serving.values()) >= SERVED_MAX:
            return
        self._serving[peer] = serving + 1
        try:
            await _Served(link, self._source, self._threads).run()
        finally:
            self._serving[peer] -= 1
            if not self._serving[peer]:
                del self._serving[peer]


class _Served:
    """One link on which the other side asks: a reader, an answerer and a sender, so that disk and network overlap."""

    def __init__(self, link: Link, source: PieceSource, threads: trio.CapacityLimiter) -> None:
        self._stream = link.stream
        self._sealer = link.opened.sealer
        self._opener = link.opened.opener
        self._source = source
        self._threads = threads
        # One question's pieces at a time: more of them wait in the network, and cost us nothing.
        self._to_asked, self._asked = trio.open_memory_channel[tuple[BlobId, int]](0)
        self._to_send, self._sealed = trio.open_memory_channel[list[bytes]](0)

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            for work in (self._read, self._answer, self._send):
                nursery.start_soon(self._until_over, work, nursery.cancel_scope)

    async def _until_over(self, work: Callable[[], Awaitable[None]], all_of_it: trio.CancelScope) -> None:
        """Do one of the three, and end the other two when it ends, for whatever reason of the other side's."""
        try:
            await work()
        except (WireError, trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
            pass
        finally:
            all_of_it.cancel()

    async def _read(self) -> None:
        while True:
            with trio.fail_after(IDLE_SERVED_S):
                data = await self._stream.receive_some(_READ_BYTES)
            packets = self._opener.feed(data)
            if not data or self._opener.closed:
                return
            for packet in packets:
                for item in _asked_items(packet):
                    await self._to_asked.send(item)

    async def _answer(self) -> None:
        async for blob, number in self._asked:
            # Sealing counts packets, so that an answer once begun must be finished: threads are not abandoned.
            await self._to_send.send(await trio.to_thread.run_sync(self._prepared, blob, number, limiter=self._threads))

    async def _send(self) -> None:
        async for packets in self._sealed:
            for packet in packets:
                with trio.fail_after(STALL_S):
                    await self._stream.send_all(packet)

    def _prepared(self, blob: BlobId, number: int) -> list[bytes]:
        """Read and seal one answer; in a thread."""
        answers: Iterator[bulk.Answer]
        try:
            if number == MANIFEST:
                answers = iter((ManifestSent(data=encode(self._source.manifest(blob))),))
            else:
                answers = parts(number, self._source.read_piece(blob, number))
        except StorageError:
            # Missing, rotten or unreadable: the other side asks somebody else, the store tells its own owner.
            answers = iter((NotHere(number=number),))
        return [self._sealer.seal(bulk.encode(answer)) for answer in answers]


def _asked_items(packet: bytes) -> Iterator[tuple[BlobId, int]]:
    match bulk.decode_question(packet):
        case AskManifest(blob=blob):
            yield blob, MANIFEST
        case AskPieces(blob=blob, numbers=numbers):
            for number in numbers:
                yield blob, number


class _Loan:
    """A link that another peer is to open for this one, and has perhaps opened."""

    def __init__(self) -> None:
        self.link: Link | None = None
        self.here = trio.Event()
        self.over = trio.Event()
        """Set once the link is of no more use here."""


class Loans:
    """Links that other peers open for this one to ask on; `take` is for `open_transport`."""

    def __init__(self, *, wait_s: float = LENT_S) -> None:
        self._wait_s = wait_s
        self._awaited: dict[PeerId, deque[_Loan]] = {}

    async def take(self, link: Link) -> None:
        """Hand a link to who asked for it, until it is of no more use; one that nobody asked for is of none."""
        awaited = self._awaited.get(link.opened.peer)
        if not awaited:
            return
        loan = awaited.popleft()
        loan.link = link
        loan.here.set()
        await loan.over.wait()

    async def ask(self, lender: Lender) -> tuple[Link, trio.Event]:
        """Return a link that `lender` opened, and what to set in the end; raise `DialTimedOut`."""
        loan = _Loan()
        awaited = self._awaited.setdefault(lender.peer, deque())
        awaited.append(loan)
        lender.beckon()
        try:
            with trio.fail_after(self._wait_s):
                await loan.here.wait()
        except trio.TooSlowError as error:
            loan.over.set()
            raise DialTimedOut(f"{lender.peer.hex()[:8]} opened no connection in {self._wait_s:.0f} s") from error
        except BaseException:
            loan.over.set()
            raise
        finally:
            if loan in awaited:
                awaited.remove(loan)
            if not awaited and self._awaited.get(lender.peer) is awaited:
                del self._awaited[lender.peer]
        assert loan.link is not None
        return loan.link, loan.over


class _Line:
    """One link on which we ask, and the task that reads it."""

    def __init__(self, of: Address | PeerId, link: Link, let_go: Callable[[], None]) -> None:
        self.of = of
        """Where it leads: an address that was dialled, or a peer that dialled."""
        self.address = link.remote
        self._link = link
        self._let_go = let_go
        self._to_arrive, self._arrived = trio.open_memory_channel[bytes](_READ_AHEAD)
        self._collector = Collector()
        self.over = False
        """Whether the link can be asked nothing more."""
        self.answered = False
        """Whether anything has come in answer to the present fetch."""
        self.idle_since_s = 0.0

    async def read(self) -> None:
        """Read until the link ends; one task, for the link's life."""
        try:
            while data := await self._link.stream.receive_some(_READ_BYTES):
                await self._to_arrive.send(bytes(data))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            self.over = True
            self._to_arrive.close()
            self._let_go()
            await trio.aclose_forcefully(self._link.stream)

    async def aclose(self) -> None:
        """Let go of the link; what was asked is not waited for, so that no close need be signed."""
        self.over = True
        self._arrived.close()
        await trio.aclose_forcefully(self._link.stream)

    async def manifest(self, blob: BlobId, threads: trio.CapacityLimiter) -> bytes | None:
        """Ask for the manifest of `blob` and return its bytes, None if it is not there."""
        got: dict[int, bytes] = {}
        self._collector.expect(MANIFEST, 0)
        await self._ask(AskManifest(blob=blob))
        while not self._collector.idle:
            await self._take_in(got.__setitem__, threads)
        return got.get(MANIFEST)

    async def pieces(
        self, blob: BlobId, asked: Sequence[tuple[int, int]], sink: PieceSink, threads: trio.CapacityLimiter
    ) -> list[int]:
        """Ask for the pieces `asked`, (number, size) each, ahead of the answers; return those that are not there."""
        missing: list[int] = []
        window_bytes = max(WINDOW_BYTES, 2 * max((size for _, size in asked), default=0))
        to_ask = iter(asked)
        while True:
            awaited = self._collector.awaited_bytes
            if awaited <= window_bytes // 2 and (ahead := self._ahead(to_ask, window_bytes)):
                await self._ask(AskPieces(blob=blob, numbers=tuple(ahead)))
            if self._collector.idle:
                return missing
            missing += await self._take_in(sink, threads)

    def _ahead(self, to_ask: Iterator[tuple[int, int]], window_bytes: int) -> list[int]:
        """Take as many pieces from `to_ask` as fill the window."""
        numbers: list[int] = []
        while len(numbers) < ASK_MAX_PIECES and self._collector.awaited_bytes < window_bytes:
            number, size = next(to_ask, (None, 0))
            if number is None:
                break
            self._collector.expect(number, size)
            numbers.append(number)
        return numbers

    async def _ask(self, question: bulk.Question) -> None:
        try:
            with trio.fail_after(STALL_S):
                await self._link.stream.send_all(self._link.opened.sealer.seal(bulk.encode(question)))
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError) as error:
            raise FetchFailed(f"{self.address} takes no more questions") from error

    async def _take_in(self, sink: PieceSink, threads: trio.CapacityLimiter) -> list[int]:
        """Wait for something, then work on all that has come, in a thread; return what is not there."""
        try:
            with trio.fail_after(STALL_S):
                portions = [await self._arrived.receive()]
        except trio.TooSlowError as error:
            raise FetchFailed(f"{self.address} sent nothing for {STALL_S:.0f} s") from error
        except (trio.EndOfChannel, trio.ClosedResourceError) as error:
            raise FetchFailed(f"{self.address} ended the connection") from error
        self.answered = True
        while len(portions) < _READ_AHEAD:
            try:
                portions.append(self._arrived.receive_nowait())
            except (trio.WouldBlock, trio.EndOfChannel):
                break
        try:
            return await trio.to_thread.run_sync(self._work_on, portions, sink, limiter=threads)
        except WireError as error:
            raise FetchFailed(f"{self.address}: {error}") from error

    def _work_on(self, portions: list[bytes], sink: PieceSink) -> list[int]:
        """Open packets and hand whole pieces on; in a thread."""
        missing: list[int] = []
        for portion in portions:
            for packet in self._link.opened.opener.feed(portion):
                completed = self._collector.take(bulk.decode_answer(packet))
                if completed is None:
                    continue
                number, piece = completed
                if piece is None:
                    missing.append(number)
                else:
                    sink(number, piece)
        return missing


class BulkPieces:
    """The `Pieces` of the transport port; made by `open_pieces`."""

    def __init__(
        self,
        nursery: trio.Nursery,
        connect: Callable[[Address, Purpose], Awaitable[Link]],
        threads: trio.CapacityLimiter,
        loans: Loans,
    ) -> None:
        self._nursery = nursery
        self._connect = connect
        self._threads = threads
        self._loans = loans
        self._fetching = trio.Semaphore(FETCHING_MAX)
        self._idle: list[_Line] = []
        self._turns: dict[Address | PeerId, trio.Semaphore] = {}
        self._waiting: Counter[Address | PeerId] = Counter()
        """How many fetches have a turn at each provider, or wait for one."""

    async def fetch_manifest(self, provider: Provider, blob: BlobId) -> Manifest | None:
        """Return the manifest of `blob`, checked against its id; None when that peer does not have it."""
        data = await self._with_line(provider, lambda line: line.manifest(blob, self._threads))
        if data is None:
            return None
        try:
            return decode_for(blob, data)
        except WireError as error:
            raise FetchFailed(f"a manifest that is none: {error}") from error

    async def fetch_pieces(
        self, provider: Provider, blob: BlobId, manifest: Manifest, numbers: Sequence[int], sink: PieceSink
    ) -> tuple[int, ...]:
        """Hand the pieces `numbers` of `blob` to `sink` as they come; return those which that peer does not have."""
        sizes = [(number, manifest.extent(number)[1]) for number in numbers]
        missing = await self._with_line(provider, lambda line: line.pieces(blob, sizes, sink, self._threads))
        return tuple(missing)

    async def reap(self) -> None:
        """Let go of links that have been idle for long; one task."""
        while True:
            await trio.sleep(IDLE_KEPT_S / 4)
            oldest_s = trio.current_time() - IDLE_KEPT_S
            for line in [line for line in self._idle if line.over or line.idle_since_s < oldest_s]:
                self._idle.remove(line)
                await line.aclose()

    async def aclose(self) -> None:
        """Let go of the kept links."""
        while self._idle:
            await self._idle.pop().aclose()

    async def _with_line(self, provider: Provider, work: Callable[[_Line], Awaitable[_T]]) -> _T:
        """Do `work` on a link to `provider`: a kept one, or a new one; once more on a new one if the kept was stale."""
        of = provider.peer if isinstance(provider, Lender) else provider
        async with self._turn(of), self._fetching:
            kept = self._take_idle(of)
            if kept is not None:
                try:
                    return await self._on_line(kept, work)
                except FetchFailed:
                    if kept.answered:
                        raise
            line = await self._new_line(provider)
            self._nursery.start_soon(line.read)
            return await self._on_line(line, work)

    @asynccontextmanager
    async def _turn(self, of: Address | PeerId) -> AsyncIterator[None]:
        """Wait until fewer than `ASKED_MAX` fetches ask one provider."""
        self._waiting[of] += 1
        try:
            async with self._turns.setdefault(of, trio.Semaphore(ASKED_MAX)):
                yield
        finally:
            self._waiting[of] -= 1
            if not self._waiting[of]:
                del self._waiting[of], self._turns[of]

    async def _new_line(self, provider: Provider) -> _Line:
        if isinstance(provider, Lender):
            link, over = await self._loans.ask(provider)
            return _Line(provider.peer, link, over.set)
        return _Line(provider, await self._connect(provider, Purpose.BULK), lambda: None)

    async def _on_line(self, line: _Line, work: Callable[[_Line], Awaitable[_T]]) -> _T:
        """Do `work` on `line` and keep it; whatever goes wrong leaves answers under way, so that it is let go of."""
        line.answered = False
        try:
            result = await work(line)
        except BaseException:
            await line.aclose()
            raise
        if line.over or len(self._idle) >= IDLE_KEPT_MAX:
            await line.aclose()
        else:
            line.idle_since_s = trio.current_time()
            self._idle.append(line)
        return result

    def _take_idle(self, of: Address | PeerId) -> _Line | None:
        for line in self._idle:
            if line.of == of and not line.over:
                self._idle.remove(line)
                return line
        return None


@asynccontextmanager
async def open_pieces(
    connect: Callable[[Address, Purpose], Awaitable[Link]], threads: trio.CapacityLimiter, loans: Loans
) -> AsyncIterator[BulkPieces]:
    """Yield the way to other peers' pieces; `connect` is the transport's `link`, and `loans` takes what it is lent."""
    async with trio.open_nursery() as nursery:
        pieces = BulkPieces(nursery, connect, threads, loans)
        nursery.start_soon(pieces.reap)
        try:
            yield pieces
        finally:
            nursery.cancel_scope.cancel()
            await pieces.aclose()
