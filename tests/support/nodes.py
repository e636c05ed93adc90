"""Real nodes over real sockets and real disks, several in one process, with a renderer that only pretends."""

import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio

from mesh.ground.ids import BlobId, Boot
from mesh.net.bulk import BulkHost, Loans, open_pieces
from mesh.net.datagrams import listen_together, open_datagrams
from mesh.net.machine import Machine
from mesh.net.streams import open_transport
from mesh.node.identity import Identity, door_with, load_kept, newest_renewal
from mesh.node.joining import Standing, found_mesh, join_mesh, join_papers
from mesh.node.node import Beginning, Ending, Node, Parts
from mesh.node.plain import plain_errors
from mesh.ports.desk import Desk, JobRow, NotFound, Progress
from mesh.ports.renderer import RECIPE_NAME, StageLimits
from mesh.ports.storage import DiskFull
from mesh.ports.submission import SubmitRequest
from mesh.store.blobs import FileBlobStore
from mesh.store.folders import DiskFolders
from mesh.store.journal import FileJournal
from mesh.store.scenes import StoreScenes
from mesh.wire import invites
from mesh.wire.greeting import Company
from mesh.wire.handshake import DatedDoor, Papers
from mesh.wire.invites import InviteToken
from mesh.wire.messages import Address
from mesh.wire.noise import KeyPair
from mesh.wire.pairs import Pairs
from mesh.wire.signing import Ed25519Signer, Ed25519Verifier
from sim.stagehand import NAMES, SCENE_NAME, Stagehand, picture

PATIENCE_S = 75.0
"""Longer than the half minute after which an output that died with its author is said to be lost."""
_serial = itertools.count(1)


async def eventually(what: Callable[[], Awaitable[bool]], patience_s: float = PATIENCE_S) -> None:
    """Return once `what` is true; fail when it does not become so."""
    with trio.fail_after(patience_s):
        while not await what():  # noqa: ASYNC110 (what is awaited shows only by asking)
            await trio.sleep(0.02)


class TestStore(FileBlobStore):
    """A store whose disk can be said to be full."""

    __test__ = False

    full = False

    def ingest(self, source: bytes | Path, *, page: bool = False) -> BlobId:
        """Store the bytes, unless the disk is full."""
        self._refuse()
        return super().ingest(source, page=page)

    def write_piece(self, blob: BlobId, number: int, piece: bytes, *, page: bool = False) -> bool:
        """Store one piece, unless the disk is full."""
        self._refuse()
        return super().write_piece(blob, number, piece, page=page)

    def _refuse(self) -> None:
        if self.full:
            raise DiskFull("no room is left")


@dataclass(kw_only=True)
class TestPeer:
    """One peer's disk and secrets, which outlive its runs."""

    __test__ = False

    home: Path
    signer: Ed25519Signer
    static: KeyPair
    secret: bytes
    standing: Standing
    name: str
    slots: int = 1
    stagehand: Stagehand = field(default_factory=Stagehand)
    port: int = 0
    quota_bytes: int = 0
    desk: Desk | None = None
    store: TestStore | None = None
    node: Node | None = None
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    ended: trio.Event = field(default_factory=trio.Event)
    ending: Ending | None = None

    @property
    def at(self) -> Desk:
        """The desk of the running peer."""
        assert self.desk is not None
        return self.desk

    async def run(self, *, contacts: tuple[Address, ...] = (), task_status: trio.TaskStatus[None]) -> None:
        """Run until stopped, or until `scope` is cancelled."""
        self.scope, self.ended, self.ending = trio.CancelScope(), trio.Event(), None
        try:
            with self.scope:
                await self._run(contacts, task_status)
        finally:
            self.ended.set()

    async def _run(self, contacts: tuple[Address, ...], task_status: trio.TaskStatus[None]) -> None:
        world, verifier = Machine(), Ed25519Verifier()
        scratch = self.home / f"work-{os.getpid()}-{next(_serial)}"
        scratch.mkdir(parents=True)
        journal = FileJournal(self.home / "journal")
        store = self.store = TestStore(
            self.home / "blobs", wall_ms=lambda: world.now().wall, quota_bytes=self.quota_bytes
        )
        kept = load_kept(journal)
        who = Identity(
            signer=self.signer,
            static=self.static,
            secret=self.secret,
            chain=self.standing.chain,
            renewed=newest_renewal(self.standing.chain, kept),
            boot=Boot(world.entropy(16)),
            name=self.name,
        )
        door = door_with(kept, who.mesh, lambda: world.now().wall)
        threads = trio.CapacityLimiter(8)
        loans = Loans()
        door = DatedDoor(lambda: world.now().wall)
        pairs = Pairs(Company(papers=who.papers(), door=door, verifier=verifier), world.entropy)
        try:
            async with (
                open_transport(
                    papers=who.papers(),
                    door=door,
                    verifier=verifier,
                    serve_bulk=BulkHost(store, threads).serve,
                    take_lent=loans.take,
                ) as transport,
                open_datagrams(pairs, lambda: world.now().instant) as datagrams,
                open_pieces(transport.link, threads, loans) as pieces,
            ):
                self.port = await listen_together(transport, datagrams, "127.0.0.1", self.port)
                parts = Parts(
                    world=world,
                    store=store,
                    scenes=StoreScenes(store),
                    journal=journal,
                    transport=transport,
                    datagrams=datagrams,
                    pieces=pieces,
                    renderer=self.stagehand,
                    folders=DiskFolders(),
                    door=door,
                    verifier=verifier,
                    scratch=scratch,
                    home=str(self.home),
                    slots=self.slots,
                    limits=StageLimits(),
                )
                beginning = Beginning(kept=kept, contacts=(*self.standing.contacts, *contacts))
                self.node = Node(parts, who, beginning)

                async def at_desk(desk: Desk) -> None:
                    self.desk = desk
                    task_status.started()

                self.ending = await self.node.run(at_desk=at_desk)
        finally:
            store.close()
            journal.close()


def founder(home: Path, name: str = "ada", **options: object) -> TestPeer:
    """Return the founder of a new mesh, with its disk at `home`."""
    world = Machine()
    signer, root = Ed25519Signer(world.entropy(32)), Ed25519Signer(world.entropy(32))
    _make(home)
    return TestPeer(
        home=home,
        signer=signer,
        static=KeyPair.of(world.entropy(32)),
        secret=world.entropy(32),
        standing=found_mesh(root=root, founder=signer, now=world.now().wall),
        name=name,
        **options,  # type: ignore[arg-type]
    )


async def joiner(home: Path, token: str, name: str, **options: object) -> TestPeer:
    """Return a peer that was admitted by the invite in `token`."""
    world, verifier = Machine(), Ed25519Verifier()
    _make(home)
    read = invites.read(token, verifier)
    signer, static = Ed25519Signer(world.entropy(32)), KeyPair.of(world.entropy(32))
    papers = join_papers(token=read, invited=Ed25519Signer(read.seed), joiner=signer, static=static)
    with plain_errors():
        standing = await _admitted(papers, read, signer, name)
    return TestPeer(
        home=home,
        signer=signer,
        static=static,
        secret=read.secret,
        standing=standing,
        name=name,
        **options,  # type: ignore[arg-type]
    )


async def _admitted(papers: Papers, token: InviteToken, signer: Ed25519Signer, name: str) -> Standing:
    world, verifier = Machine(), Ed25519Verifier()

    async def serve_nobody(_link: object) -> None:
        await trio.lowlevel.checkpoint()

    async with open_transport(
        papers=papers, door=DatedDoor(lambda: world.now().wall), verifier=verifier, serve_bulk=serve_nobody
    ) as transport:
        return await join_mesh(token=token, joiner=signer, name=name, transport=transport, verifier=verifier)


def _make(home: Path) -> None:
    home.mkdir(parents=True, exist_ok=True)


@asynccontextmanager
async def mesh_of(tmp_path: Path, *names: str, **options: object) -> AsyncIterator[list[TestPeer]]:
    """Yield running peers that see each other; they end with the block."""
    async with trio.open_nursery() as nursery:
        first = founder(tmp_path / names[0], names[0], **options)
        await nursery.start(first.run)
        peers = [first]
        for name in names[1:]:
            token = (await first.at.invite([], 3_600_000, 1))["token"]
            peer = await joiner(tmp_path / name, token, name, **options)
            await nursery.start(peer.run)
            peers.append(peer)
        for peer in peers:
            await sees(peer, len(names))
        yield peers
        nursery.cancel_scope.cancel()


async def sees(peer: TestPeer, count: int) -> None:
    """Wait until `peer` is connected with all of a mesh of `count`, and knows what they can do."""

    async def all_connected() -> bool:
        status = await peer.at.status()
        return sum(row["connected"] and bool(row["name"]) for row in status["peers"]) == count

    await eventually(all_connected)


def write_scene(directory: Path, text: str, **files: bytes) -> Path:
    """Write a scene for the stagehand and the files beside it."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (directory / name).write_bytes(data)
    scene = directory / "shot.txt"
    scene.write_text(text + "".join(f"\nfile {name}" for name in files))
    return scene


def request(scene: Path, **changes: object) -> SubmitRequest:
    """Return a submission of `scene` as a person types it without options."""
    plain: SubmitRequest = {
        "scene": str(scene),
        "frames": None,
        "step": None,
        "name": None,
        "output": None,
        "engine": None,
        "dry_run": False,
        "allow_missing": False,
        "overwrite": False,
        "still": False,
        "buckets": "auto",
        "samples_split": 0,
        "order": "centre",
        "split": False,
        "memory_mb": 0,
        "check": "once",
        "judges": [],
        "weight": 10,
    }
    return {**plain, **changes}  # type: ignore[typeddict-item]


def unheard(_progress: Progress) -> None:
    """Take progress and say nothing."""


async def until(peer: TestPeer, job: str, is_so: Callable[[JobRow], bool]) -> JobRow:
    """Wait until a job's row says what it should, and return it."""
    row: JobRow | None = None

    async def looks_right() -> bool:
        nonlocal row
        try:
            row = (await peer.at.job(job))["job"]
        except NotFound:
            return False  # not heard of yet
        return is_so(row)

    await eventually(looks_right)
    assert row is not None
    return row


def expected(scene: Path, frame: int) -> bytes:
    """Return what the stagehand makes of a scene, worked out from its files here."""
    tree = {SCENE_NAME: scene.read_bytes(), RECIPE_NAME: b"{}"}
    for path in scene.parent.iterdir():
        if path.is_file() and path != scene:
            tree[f"files/{path.name}"] = path.read_bytes()
    return picture((data for _, data in sorted(tree.items())), frame)


def refuse_wrong_frames(scene: Path, frames: range, directory: Path | None = None) -> None:
    """Fail unless every frame lies in `directory`, byte for byte what it must be, and nothing else does."""
    directory = directory or scene.parent / "out"
    assert sorted(path.name for path in directory.iterdir()) == [NAMES.name(frame) for frame in frames]
    for frame in frames:
        assert (directory / NAMES.name(frame)).read_bytes() == expected(scene, frame), f"frame {frame}"
