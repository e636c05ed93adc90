"""Pieces between two transports on loopback: all of them, some of them, none, and from somebody who breaks off."""

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
import trio

from mesh.ground.ids import BlobId
from mesh.ground.instants import WallTime
from mesh.net import bulk
from mesh.net.bulk import BulkHost, BulkPieces, Loans, open_pieces
from mesh.net.link import Link
from mesh.net.streams import TcpTransport, open_transport
from mesh.ports.storage import BlobMissing, DiskFull
from mesh.ports.transport import DialRefused, DialTimedOut, FetchFailed, HandshakeFailed, Lender
from mesh.wire.bulk import PART_MAX_BYTES, ManifestSent, NotHere, Part, encode
from mesh.wire.envelope import sign
from mesh.wire.handshake import DatedDoor, Papers, Purpose
from mesh.wire.manifest import MIB, Manifest, blob_id, manifest_of
from mesh.wire.messages import Address
from mesh.wire.revocations import Bans, Notice, PeerRevoked, Revocation
from mesh.wire.signing import Ed25519Verifier
from tests.support.meshes import NOW, TestMesh
from tests.support.network import over_tcp
from tests.support.timed import timed


class Shelf:
    """A `PieceSource` in memory, which counts what it is asked."""

    def __init__(self, *blobs: bytes) -> None:
        self.manifests = {blob_id(manifest_of(data)): manifest_of(data) for data in blobs}
        self.blobs = {blob_id(manifest_of(data)): data for data in blobs}
        self.lost: set[int] = set()
        self.asked: list[int] = []
        self.second_asked = threading.Event()

    def manifest(self, blob: BlobId) -> Manifest:
        if blob not in self.manifests:
            raise BlobMissing(blob.hex())
        return self.manifests[blob]

    def read_piece(self, blob: BlobId, number: int) -> bytes:
        self.asked.append(number)
        if len(self.asked) == 2:
            self.second_asked.set()
        if blob not in self.blobs or number in self.lost or number >= len(self.manifests[blob].pieces):
            raise BlobMissing(blob.hex())
        offset, size = self.manifests[blob].extent(number)
        return self.blobs[blob][offset : offset + size]


def patterned(size: int) -> bytes:
    """Return bytes of which every piece differs."""
    unit = b"".join(number.to_bytes(4, "big") for number in range(MIB // 4 + 1))
    return (unit * (size // len(unit) + 1))[:size]


async def free_port() -> int:
    async with (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0] as listener:
        return int(listener.socket.getsockname()[1])


@asynccontextmanager
async def opened(
    papers: Papers, source: Shelf, *, wait_s: float = 30
) -> AsyncIterator[tuple[TcpTransport, BulkPieces]]:
    threads, loans = trio.CapacityLimiter(2), Loans(wait_s=wait_s)
    async with (
        over_tcp(papers, serve_bulk=BulkHost(source, threads).serve, take_lent=loans.take) as transport,
        open_pieces(transport.link, threads, loans) as pieces,
    ):
        yield transport, pieces


@asynccontextmanager
async def fetching(source: Shelf) -> AsyncIterator[tuple[Address, BulkPieces]]:
    """Yield the address of a peer that has `source`, and another peer's way to it."""
    mesh = TestMesh()
    async with (
        opened(mesh.member().papers, source) as (listener, _),
        opened(mesh.member().papers, Shelf()) as (_, pieces),
    ):
        yield Address(host="127.0.0.1", port=await listener.listen("127.0.0.1", 0)), pieces


@timed
async def test_a_blob_arrives_whole_by_its_manifest() -> None:
    data = patterned(37 * MIB + 12_345)
    source = Shelf(data)
    (blob,) = source.blobs
    async with fetching(source) as (address, pieces):
        manifest = await pieces.fetch_manifest(address, blob)
        assert manifest == source.manifests[blob]
        got: dict[int, bytes] = {}
        numbers = range(len(manifest.pieces))
        assert await pieces.fetch_pieces(address, blob, manifest, numbers, got.__setitem__) == ()
        assert b"".join(got[number] for number in numbers) == data
        assert source.asked == list(numbers)


@timed
async def test_the_source_is_asked_ahead_but_not_without_bound() -> None:
    source = Shelf(patterned(64 * MIB))
    (blob,) = source.blobs
    asked_before_the_first_was_done: list[int] = []
    async with fetching(source) as (address, pieces):

        def sink(number: int, piece: bytes, /) -> None:
            if number == 0:
                assert source.second_asked.wait(10), "the source waits until its first answer has been worked on"
                asked_before_the_first_was_done.extend(source.asked)

        await pieces.fetch_pieces(address, blob, source.manifests[blob], range(64), sink)
    assert 2 <= len(asked_before_the_first_was_done) <= bulk.WINDOW_BYTES // MIB


@timed
async def test_what_is_not_there_is_said_and_the_rest_comes() -> None:
    source = Shelf(patterned(5 * MIB))
    (blob,) = source.blobs
    source.lost = {1, 4}
    async with fetching(source) as (address, pieces):
        got: dict[int, bytes] = {}
        manifest = source.manifests[blob]
        assert await pieces.fetch_pieces(address, blob, manifest, [4, 0, 1, 2], got.__setitem__) == (4, 1)
        assert list(got) == [0, 2]
        unknown = BlobId(bytes(32))
        assert await pieces.fetch_manifest(address, unknown) is None
        assert await pieces.fetch_pieces(address, unknown, manifest, [0], got.__setitem__) == (0,)
        assert await pieces.fetch_pieces(address, blob, manifest, [], got.__setitem__) == ()


@timed
async def test_many_fetches_at_once_do_not_mix() -> None:
    blobs = [bytes([number]) * (MIB + number) for number in range(6)]
    source = Shelf(*blobs)
    async with fetching(source) as (address, pieces), trio.open_nursery() as nursery:

        async def fetch(blob: BlobId) -> None:
            got: dict[int, bytes] = {}
            manifest = await pieces.fetch_manifest(address, blob)
            assert manifest
            await pieces.fetch_pieces(address, blob, manifest, [0, 1], got.__setitem__)
            assert got[0] + got[1] == source.blobs[blob]

        for blob in source.blobs:
            for _ in range(3):
                nursery.start_soon(fetch, blob)


@timed
async def test_what_the_sink_raises_reaches_the_caller_and_the_next_fetch_works() -> None:
    source = Shelf(patterned(3 * MIB))
    (blob,) = source.blobs

    def full(number: int, piece: bytes, /) -> None:
        raise DiskFull("no room")

    async with fetching(source) as (address, pieces):
        with pytest.raises(DiskFull):
            await pieces.fetch_pieces(address, blob, source.manifests[blob], [0, 1, 2], full)
        got: dict[int, bytes] = {}
        await pieces.fetch_pieces(address, blob, source.manifests[blob], [2], got.__setitem__)
        assert list(got) == [2]


@timed
async def test_a_cancelled_fetch_leaves_whole_pieces_and_no_debts() -> None:
    source = Shelf(patterned(32 * MIB))
    (blob,) = source.blobs
    async with fetching(source) as (address, pieces):
        got: dict[int, bytes] = {}
        with trio.CancelScope() as scope:

            def sink(number: int, piece: bytes, /) -> None:
                got[number] = piece
                trio.from_thread.run_sync(scope.cancel)

            await pieces.fetch_pieces(address, blob, source.manifests[blob], range(32), sink)
        assert scope.cancelled_caught
        assert 0 < len(got) < 32
        assert all(len(piece) == MIB for piece in got.values())
        again: dict[int, bytes] = {}
        await pieces.fetch_pieces(address, blob, source.manifests[blob], [31], again.__setitem__)
        assert list(again) == [31]


@timed
async def test_a_source_that_was_restarted_is_asked_again_at_once() -> None:
    source = Shelf(patterned(MIB))
    (blob,) = source.blobs
    mesh = TestMesh()
    papers = mesh.member().papers
    async with opened(mesh.member().papers, Shelf()) as (_, pieces):
        address = Address(host="127.0.0.1", port=await free_port())
        got: dict[int, bytes] = {}
        for _ in range(2):
            async with opened(papers, source) as (listener, _):
                await listener.listen(address.host, address.port)
                await pieces.fetch_pieces(address, blob, source.manifests[blob], [0], got.__setitem__)
                assert got.pop(0) == source.blobs[blob]
        with pytest.raises(DialRefused):
            await pieces.fetch_pieces(address, blob, source.manifests[blob], [0], got.__setitem__)


def _liars() -> dict[str, Callable[[Link], bytes]]:
    def sealed(*answers: bytes) -> Callable[[Link], bytes]:
        return lambda link: b"".join(link.opened.sealer.seal(answer) for answer in answers)

    return {
        "ends": lambda _: b"",
        "garbage": lambda _: b"\0" * 100,
        "no answer at all": sealed(b"\x09what?"),
        "another piece": sealed(encode(Part(number=7, offset=0, data=b"x"))),
        "too long a piece": sealed(*[encode(Part(number=0, offset=0, data=bytes(PART_MAX_BYTES)))] * 5),
        "half a piece": sealed(encode(Part(number=0, offset=0, data=b"x"))),
        "a manifest of another blob": sealed(encode(ManifestSent(data=b"\x82\x00\x80"))),
        "more than was asked": sealed(encode(NotHere(number=0)), encode(NotHere(number=0))),
    }


@pytest.mark.parametrize("lie", sorted(_liars()))
@timed
async def test_nonsense_instead_of_pieces_is_a_failed_fetch(lie: str) -> None:
    mesh = TestMesh()
    source = Shelf(patterned(MIB))
    (blob,) = source.blobs

    async def serve(link: Link) -> None:
        link.opened.opener.feed(await link.stream.receive_some(1_000))
        with suppress(trio.BrokenResourceError):  # the other side need not hear it out
            await link.stream.send_all(_liars()[lie](link))
        await link.stream.aclose()

    async with (
        over_tcp(mesh.member().papers, serve_bulk=serve) as listener,
        opened(mesh.member().papers, Shelf()) as (_, pieces),
    ):
        address = Address(host="127.0.0.1", port=await listener.listen("127.0.0.1", 0))
        got: dict[int, bytes] = {}
        if lie == "a manifest of another blob":
            with pytest.raises(FetchFailed):
                await pieces.fetch_manifest(address, blob)
        else:
            with pytest.raises(FetchFailed):
                await pieces.fetch_pieces(address, blob, source.manifests[blob], [0], got.__setitem__)
        assert got == {}


@timed
async def test_one_peer_cannot_hold_every_place_of_a_source() -> None:
    source = Shelf(patterned(MIB))
    (blob,) = source.blobs
    mesh = TestMesh()
    async with (
        opened(mesh.member().papers, source) as (listener, _),
        opened(mesh.member().papers, Shelf()) as (greedy, _),
        opened(mesh.member().papers, Shelf()) as (_, pieces),
    ):
        address = Address(host="127.0.0.1", port=await listener.listen("127.0.0.1", 0))
        held = [await greedy.link(address, Purpose.BULK) for _ in range(bulk.SERVED_MAX)]
        # The last one is let go of: by then all of them were judged.
        assert await held[-1].stream.receive_some(100) == b""
        assert await pieces.fetch_manifest(address, blob) == source.manifests[blob]
        for link in held:
            await link.stream.aclose()


@timed
async def test_questions_that_are_none_end_the_link() -> None:
    source = Shelf(patterned(MIB))
    mesh = TestMesh()
    async with opened(mesh.member().papers, source) as (listener, _), opened(mesh.member().papers, source) as (own, _):
        address = Address(host="127.0.0.1", port=await listener.listen("127.0.0.1", 0))
        link = await own.link(address, Purpose.BULK)
        await link.stream.send_all(link.opened.sealer.seal(b"\x03nonsense"))
        assert await link.stream.receive_some(100) == b""
        await link.stream.aclose()
        assert source.asked == []


@timed
async def test_a_peer_that_nobody_can_dial_opens_the_connection_on_which_it_is_asked() -> None:
    source = Shelf(patterned(3 * MIB))
    (blob,) = source.blobs
    mesh = TestMesh()
    hidden = mesh.member()
    async with (
        opened(hidden.papers, source) as (lender, _),
        opened(mesh.member().papers, Shelf()) as (borrower, pieces),
        trio.open_nursery() as nursery,
    ):
        address = Address(host="127.0.0.1", port=await borrower.listen("127.0.0.1", 0))
        beckoned: list[Address] = []

        def beckon() -> None:
            beckoned.append(address)
            nursery.start_soon(lender.lend, address)

        provider = Lender(peer=hidden.id, beckon=beckon)
        got: dict[int, bytes] = {}
        manifest = await pieces.fetch_manifest(provider, blob)
        assert manifest is not None
        assert await pieces.fetch_pieces(provider, blob, manifest, range(3), got.__setitem__) == ()
        assert b"".join(got[number] for number in range(3)) == source.blobs[blob]
        assert len(beckoned) == 1, "the link was kept for the second fetch"
        # The lender notices that it is wanted no more, else this would never end.
        await pieces.aclose()


@timed
async def test_who_lends_unasked_is_let_go() -> None:
    mesh = TestMesh()
    async with (
        opened(mesh.member().papers, Shelf()) as (lender, _),
        opened(mesh.member().papers, Shelf()) as (borrower, _),
    ):
        await lender.lend(Address(host="127.0.0.1", port=await borrower.listen("127.0.0.1", 0)))


@timed
async def test_who_does_not_lend_though_it_was_asked_counts_as_silent() -> None:
    mesh = TestMesh()
    async with opened(mesh.member().papers, Shelf(), wait_s=0.05) as (_, pieces):
        with pytest.raises(DialTimedOut):
            await pieces.fetch_manifest(Lender(peer=mesh.member().id, beckon=lambda: None), blob_id(manifest_of(b"x")))


@timed
async def test_an_expired_member_lends_nothing() -> None:
    mesh = TestMesh()
    async with (
        opened(mesh.member(expires=WallTime(NOW - 1)).papers, Shelf()) as (lender, _),
        opened(mesh.member().papers, Shelf()) as (borrower, _),
    ):
        with pytest.raises(HandshakeFailed):
            await lender.lend(Address(host="127.0.0.1", port=await borrower.listen("127.0.0.1", 0)))


@timed
async def test_a_peer_that_is_revoked_while_it_fetches_is_let_go() -> None:
    """The source is told in the middle; what it still had to send never comes, and no new link opens."""
    mesh = TestMesh()
    ann, thief = mesh.member(), mesh.member()
    blob = patterned(40 * MIB)
    shelf = Shelf(blob)
    (manifest,) = shelf.manifests.values()
    door = DatedDoor(lambda: NOW)
    what = PeerRevoked(peer=thief.id, spared=(), strike=False)
    word = sign(Revocation(mesh=mesh.id, by=(), what=what, said=NOW, by_name="", name=""), mesh.root)
    came: list[int] = []
    threads = trio.CapacityLimiter(4)
    async with (
        open_transport(
            papers=ann.papers, door=door, verifier=Ed25519Verifier(), serve_bulk=BulkHost(shelf, threads).serve
        ) as source,
        over_tcp(thief.papers) as transport,
        open_pieces(transport.link, threads, Loans()) as pieces,
    ):
        address = Address(host="127.0.0.1", port=await source.listen("127.0.0.1", 0))

        def revoke(number: int, piece: bytes) -> None:
            del piece
            came.append(number)
            if len(came) == 2:
                door.bans = Bans([Notice(revocation=word, chain=())])
                trio.from_thread.run_sync(source.judge_again)

        identity = blob_id(manifest)
        with pytest.raises(FetchFailed):
            await pieces.fetch_pieces(address, identity, manifest, range(len(manifest.pieces)), revoke)
        assert len(came) < len(manifest.pieces)
        with pytest.raises(HandshakeFailed):
            await pieces.fetch_manifest(address, identity)
