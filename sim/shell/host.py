"""A host of tier B: a disk and keys that last, and one process after the other, each a whole node.

A process ends as its node ends, or is killed: from one instant on nothing that it does reaches its disk or anybody
else, and its tasks are cancelled. What a node raises ends the run, but for what a dead one does.
"""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from mesh.core.me import Me
from mesh.core.peer import Peer
from mesh.core.status import JobView
from mesh.ground.dice import Dice
from mesh.ground.ids import BOOT_SIZE, Boot, JobId, PeerId
from mesh.node.identity import Identity, door_with, load_kept, newest_renewal
from mesh.node.joining import NobodyAnswers, Standing, join_mesh, join_papers
from mesh.node.node import Beginning, Ending, Parts
from mesh.node.tape import Recorder
from mesh.ports.desk import Desk
from mesh.ports.renderer import StageLimits
from mesh.wire import invites
from mesh.wire.envelope import peer_id
from mesh.wire.greeting import Company
from mesh.wire.handshake import DatedDoor, Papers
from mesh.wire.kept import Kept
from mesh.wire.noise import KeyPair
from mesh.wire.pairs import Pairs
from mesh.wire.signing import Ed25519Signer
from sim.airwaves import MemoryDatagrams
from sim.books import Book
from sim.shell.checks import Witness, order_of
from sim.shell.disk import Disk, Killed, ShellFolders, ShellJournal, ShellScenes, ShellStore, Write
from sim.shell.machine import ShellWorld
from sim.shell.net import PORT, ShellLan, ShellPieces, address_of
from sim.stagehand import Stagehand
from sim.wires import MemoryTransport

if TYPE_CHECKING:
    from sim.shell.mesh import Mesh

KEY_BYTES: Final = 32
_AGAIN_S: Final = 2.0
"""Who could not join asks again so late."""


class Life:
    """One process of a host."""

    def __init__(self, host: "Host", number: int) -> None:
        self.host = host
        dice = host.dice.fork(b"life" + number.to_bytes(4, "big"))
        self.number = number
        self.world = ShellWorld(host.dice, dice, name=host.name, disk_ms=host.mesh.course.disk_ms)
        self.boot = Boot(dice.draw(BOOT_SIZE))
        self.stagehand = Stagehand()
        self.scope = trio.CancelScope()
        self.ended = trio.Event()
        self.asked_to_stop = False
        self.ending: Ending | None = None
        self.desk: Desk | None = None
        self.core: Peer | None = None
        self.transport: MemoryTransport | None = None
        self.datagrams: MemoryDatagrams | None = None
        self.tape = io.BytesIO()

    def die(self, *, power: bool) -> None:
        """End at once, by SIGKILL or with the whole machine."""
        mesh, address = self.host.mesh, self.host.address
        self.world.dead = True
        if self.world.stands is not None:
            self.world.stands.set()
        if power:
            mesh.wires.dark[address.host] = None
            for channel in self.transport.channels if self.transport is not None else ():
                channel.end(clean=False)  # the other ends hear nothing of it
            mesh.wires.listening.pop((address.host, address.port), None)
        elif self.transport is not None:
            self.transport.crash()
        self._leave()
        self.scope.cancel()

    def _leave(self) -> None:
        mesh, address = self.host.mesh, self.host.address
        mesh.wires.stores.pop(address.host, None)
        mesh.lans.pop(address.host, None)
        if self.datagrams is not None:
            self.datagrams.close()

    async def run(self) -> None:
        """Run the node until it stops or is killed; raise whatever else ends it."""
        host = self.host
        try:
            with self.scope:
                try:
                    await self._run()
                except* Killed:
                    assert self.world.dead, "a living process was told that it is dead"
        finally:
            self.desk = None
            self._leave()
            self.ended.set()
        if not self.world.dead:
            host.mesh.closed(self)

    async def _run(self) -> None:
        host, mesh, world = self.host, self.host.mesh, self.world
        standing, secret = await self._standing()
        journal, store = ShellJournal(host.disk, world.alive), ShellStore(host.disk, world.alive)
        kept = load_kept(journal)
        who = Identity(
            signer=host.signer,
            static=host.static,
            secret=secret,
            chain=standing.chain,
            renewed=newest_renewal(standing.chain, kept),
            boot=self.boot,
            name=host.name,
        )
        door = door_with(kept, who.mesh, lambda: world.now().wall)
        transport = self.transport = self._transport(who.papers(), door)
        await transport.listen(host.address.host, PORT)
        mesh.wires.stores[host.address.host] = store
        lan = mesh.lans[host.address.host] = ShellLan(mesh.lines, host.address.host, mesh.lans)
        company = Company(papers=who.papers(), door=door, verifier=mesh.verifier)
        async with mesh.airwaves.attach(Pairs(company, world.entropy), lambda: world.now().instant) as datagrams:
            self.datagrams = datagrams
            await datagrams.listen(host.address.host, PORT)
            parts = Parts(
                world=world,
                store=store,
                scenes=ShellScenes(store),
                journal=journal,
                transport=transport,
                datagrams=datagrams,
                pieces=ShellPieces(mesh.wires, host.address.host),
                renderer=self.stagehand,
                folders=ShellFolders(host.disk, world.alive),
                door=door,
                verifier=mesh.verifier,
                scratch=self.scratch(),
                home=f"/home/{host.name}",
                slots=host.slots,
                limits=StageLimits(),
                lan=lan,
            )
            beginning = Beginning(kept=kept, contacts=standing.contacts)
            node = mesh.make_node(parts, who, beginning, tape=self._watched(kept), make_core=self._make_core)
            self.ending = await node.run(at_desk=self._at_desk)
        await transport.aclose()

    def scratch(self) -> Path:
        """Return this life's own directory, made where it is not there."""
        path = Path(self.host.name) / f"work-{self.number}"
        path.mkdir(parents=True, exist_ok=True)
        return path

    async def _standing(self) -> tuple[Standing, bytes]:
        """Return this peer's place in the mesh and the mesh's secret, joining it where it has none."""
        host = self.host
        while host.standing is None:
            token = invites.read(host.mesh.token, host.mesh.verifier)
            papers = join_papers(token=token, invited=Ed25519Signer(token.seed), joiner=host.signer, static=host.static)
            transport = self._transport(papers, DatedDoor(lambda: self.world.now().wall))
            try:
                host.standing = await join_mesh(
                    token=token,
                    joiner=host.signer,
                    name=host.name,
                    transport=transport,
                    verifier=host.mesh.verifier,
                )
            except NobodyAnswers:
                await trio.sleep(_AGAIN_S)
            finally:
                transport.crash()
        return host.standing, host.mesh.secret

    def _transport(self, papers: Papers, door: DatedDoor) -> MemoryTransport:
        mesh = self.host.mesh
        return MemoryTransport(
            mesh.wires,
            papers,
            door=door,
            verifier=mesh.verifier,
            entropy=lambda: self.world.entropy(KEY_BYTES),
            host=self.host.address.host,
        )

    def _watched(self, kept: tuple[Kept, ...]) -> Witness:
        host = self.host
        host.book = Book()
        for entry in kept:
            host.book.add(entry)
        recorder = Recorder(self.tape.write, lambda _text: None) if host.index in host.mesh.course.taped else None
        return Witness(host, host.book, recorder)

    def _make_core(self, me: Me, seed: bytes) -> Peer:
        self.core = self.host.mesh.make_core(me, seed)
        return self.core

    async def _at_desk(self, desk: Desk) -> None:
        self.desk = desk
        await trio.sleep_forever()


class Host:
    """One machine."""

    def __init__(self, mesh: "Mesh", index: int, dice: Dice, *, slots: int) -> None:
        self.mesh = mesh
        self.index = index
        self.name = f"p{index}"
        self.dice = dice
        self.slots = slots
        self.address = address_of(index)
        seed, static = dice.draw(KEY_BYTES), dice.draw(KEY_BYTES)
        self.signer = Ed25519Signer(seed)
        self.static = KeyPair.of(static)
        self.secrets = (seed, static)
        self.peer: PeerId = peer_id(self.signer.key)
        self.standing: Standing | None = None
        self.disk = Disk()
        self.book = Book()
        self.orders: dict[JobId, str] = {}
        self.lives: list[Life] = []

    @property
    def life(self) -> Life | None:
        """The process that runs, or None."""
        return self.lives[-1] if self.lives and not self.lives[-1].ended.is_set() else None

    @property
    def core(self) -> Peer:
        """The core of the process that runs."""
        assert self.life is not None
        assert self.life.core is not None
        return self.life.core

    @property
    def works(self) -> bool:
        """Whether a process runs that has a core."""
        return self.life is not None and self.life.core is not None and not self.life.world.dead

    def job_view(self, job: JobId) -> JobView | None:
        """Return what the peer shows of a job."""
        assert self.life is not None
        return self.core.job_view(self.life.world.now(), job)

    def start(self) -> None:
        """Start a process, where none runs."""
        if self.life is None:
            self.mesh.wires.dark.pop(self.address.host, None)
            self.lives.append(Life(self, len(self.lives)))
            self.mesh.nursery.start_soon(self.lives[-1].run)
            self.mesh.happened(self, "starts")

    def kill(self, *, power: bool = False) -> None:
        """End the process at once, and with a loss of power lose what is not fsynced."""
        if self.life is not None and not self.life.world.dead:
            self.life.die(power=power)
            self.mesh.happened(self, "loses power" if power else "is killed")
            if power:
                self.disk.lose_power(self.dice)

    def blow(self, write: Write) -> None:
        """End the process within a write to its journal, perhaps after it."""
        if self.dice.below(2):
            write()
        self.kill()

    def noted(self, kept: Kept) -> None:
        """Learn from an entry of the journal where files are wanted."""
        order = order_of(kept)
        if order is not None:
            self.orders.setdefault(*order)
