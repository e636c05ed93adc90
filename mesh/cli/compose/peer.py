"""A running peer, put together: which adapter stands behind each port, and what its home remembers between starts.

Theory: a peer belongs to a mesh once its *standing* is kept in its home; that is the last thing that founding or
joining writes, so that a crash before it leaves a home that may try again. Everything else is made anew at each start,
from the home, the settings and the person's plan, and let go of in the opposite order.

Invariant: the API is announced only once the desk answers; the home's lock is let go of last.
"""

import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

import trio

from mesh.cli.compose import AlreadyMember, NoMembership, Plan
from mesh.ground.ids import Boot
from mesh.ground.settings import Settings
from mesh.net.beacon import open_lan
from mesh.net.bulk import BulkHost, Loans, open_pieces
from mesh.net.datagrams import UdpDatagrams, listen_together, open_datagrams
from mesh.net.http import LOOPBACK, bind_api, serve_desk
from mesh.net.link import Link
from mesh.net.machine import Machine
from mesh.net.streams import TcpTransport, open_transport
from mesh.node.bootstraps import Bootstraps
from mesh.node.identity import Identity, door_with, load_kept, newest_renewal
from mesh.node.joining import Standing, decode_standing, encode_standing, found_mesh, join_mesh, join_papers
from mesh.node.node import Beginning, Ending, Node, Parts, Tape
from mesh.node.plain import most_telling
from mesh.ports.datagrams import Datagrams
from mesh.ports.desk import Desk, StatusAnswer
from mesh.ports.lan import Lan
from mesh.ports.renderer import Engines, Renderer, StageLimits
from mesh.ports.storage import KeyUnusable
from mesh.ports.transport import Pieces, PortTaken
from mesh.ports.world import HostFacts
from mesh.render.engines import cache_directory
from mesh.render.installed import renderers
from mesh.store.blobs import FileBlobStore
from mesh.store.folders import DiskFolders
from mesh.store.home import Home
from mesh.store.keys import KEY_BYTES, Secret
from mesh.store.scenes import StoreScenes
from mesh.store.tapes import TapeFile, open_tape
from mesh.wire import invites
from mesh.wire.addresses import is_loopback
from mesh.wire.envelope import peer_id
from mesh.wire.greeting import Company
from mesh.wire.handshake import DatedDoor, Door
from mesh.wire.kept import Kept
from mesh.wire.messages import Address
from mesh.wire.noise import KeyPair
from mesh.wire.pairs import Pairs
from mesh.wire.signing import Ed25519Signer, Ed25519Verifier

BULK_THREADS: Final = 8
"""Threads that hash, seal and read pieces: both directions of a few sources, while the event loop stays free."""

MEMORY_TENTHS: Final = 9
"""Of the machine's memory that renderers may take together, unless a setting says otherwise."""

_BOOT_BYTES: Final = 16

Say = Callable[[str], None]
OnReady = Callable[[StatusAnswer], None]
MakeRenderer = Callable[[], Renderer]
Through = Callable[[Datagrams], Datagrams]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    """One start of one peer: what is known before anything of it runs."""

    home: Home
    plan: Plan
    world: Machine
    verifier: Ed25519Verifier
    signer: Ed25519Signer
    static: KeyPair
    name: str
    say: Say
    make_renderer: MakeRenderer
    through: Through


def run(
    plan: Plan,
    on_ready: OnReady,
    say: Say,
    *,
    make_renderer: MakeRenderer | None = None,
    through: Through = lambda datagrams: datagrams,
) -> None:
    """Run a peer until it is stopped; it renders with the programs of this host, or with what `make_renderer` makes.

    Its single datagrams go by what `through` makes of the network's. An error is raised bare, whatever groups it came
    in.
    """
    home = Home(plan.home)
    try:
        make_renderer = make_renderer or (lambda: renderers(cache_directory(os.environ), say))
        ending = trio.run(_live, _start(home, plan, say, make_renderer, through), on_ready)
        if ending is Ending.LEFT:
            _forget(home)
    except BaseExceptionGroup as group:
        raise most_telling(group) from group
    finally:
        home.close()


def _start(home: Home, plan: Plan, say: Say, make_renderer: MakeRenderer, through: Through) -> _Start:
    world = Machine()
    if plan.name:
        home.keep_fact("name", plan.name.encode())
    kept_name = (home.fact("name") or b"").decode("utf-8", "replace")
    return _Start(
        home=home,
        plan=plan,
        world=world,
        verifier=Ed25519Verifier(),
        signer=Ed25519Signer(home.keys.identity().reveal()),
        static=KeyPair.of(home.keys.static().reveal()),
        name=kept_name or home.settings.name or world.facts().name,
        say=say,
        make_renderer=make_renderer,
        through=through,
    )


async def _live(start: _Start, on_ready: OnReady) -> Ending:
    home, world, plan = start.home, start.world, start.plan
    standing = await _standing(start)
    secret = home.keys.mesh()
    if secret is None:
        raise KeyUnusable(f"{home.directory}: the mesh secret is missing")
    journal = home.open_journal()
    store = home.open_blobs(lambda: world.now().wall)
    renderer = start.make_renderer()
    timings = None if plan.timings is None else plan.timings.open("a", buffering=1, encoding="utf-8")
    tape = None if plan.tape is None else open_tape(plan.tape, peer_id(start.signer.key), world.now().wall)
    try:
        kept = load_kept(journal)
        who = _identity(start, standing, secret, kept)
        door = door_with(kept, who.mesh, lambda: world.now().wall)
        async with _open_net(start, who, door, store) as net:
            typed = _typed(plan, await _listen(home, plan, net))
            if plan.found is not None:
                # Not before: one that cannot listen has founded nothing, and may be told to try again.
                home.keep_fact("standing", encode_standing(standing))
            async with _lan(start, net.transport) as lan:
                slots = home.settings.slots if plan.slots is None else plan.slots
                parts = Parts(
                    world=world,
                    store=store,
                    scenes=StoreScenes(store),
                    journal=journal,
                    transport=net.transport,
                    datagrams=start.through(net.datagrams),
                    pieces=net.pieces,
                    renderer=renderer,
                    folders=DiskFolders(),
                    door=door,
                    verifier=start.verifier,
                    scratch=home.work,
                    home=str(home.directory),
                    slots=slots,
                    limits=stage_limits(home.settings, world.facts(), slots),
                    lan=lan,
                    timings=None if timings is None else timings.write,
                )
                contacts = tuple(dict.fromkeys((*typed, *standing.contacts)))
                bootstraps = Bootstraps(typed, start.say, own=net.transport.addresses())
                beginning = Beginning(kept=kept, contacts=contacts, bootstraps=bootstraps, alarm=start.say)
                node = Node(parts, who, beginning, tape=_recorder(tape, start.say))
                return await node.run(
                    at_desk=lambda desk: _serve(desk, node.engines, start, on_ready),
                    on_signal=lambda in_hand: start.say(_ending(in_hand)),
                )
    finally:
        await renderer.aclose()
        store.close()
        journal.close()
        if timings is not None:
            timings.close()
        if tape is not None:
            tape.close()


def _recorder(tape: TapeFile | None, say: Say) -> Tape | None:
    """Return what writes onto a tape; it is imported by who records alone, since it looks at all types there are."""
    if tape is None:
        return None
    from mesh.node.tape import Recorder

    return Recorder(tape.write, say)


def _identity(start: _Start, standing: Standing, secret: Secret, kept: tuple[Kept, ...]) -> Identity:
    return Identity(
        signer=start.signer,
        static=start.static,
        secret=secret.reveal(),
        chain=standing.chain,
        renewed=newest_renewal(standing.chain, kept),
        boot=Boot(start.world.entropy(_BOOT_BYTES)),
        name=start.name,
        everybody=start.home.settings.everybody,
        mesh_name=standing.mesh_name,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Net:
    """A peer's ways to others."""

    transport: TcpTransport
    datagrams: UdpDatagrams
    pieces: Pieces


@asynccontextmanager
async def _open_net(start: _Start, who: Identity, door: Door, store: FileBlobStore) -> AsyncIterator[_Net]:
    """Yield the ways to others; channels and datagrams have one door."""
    world = start.world
    company = Company(papers=who.papers(), door=door, verifier=start.verifier)
    threads = trio.CapacityLimiter(BULK_THREADS)
    loans = Loans()
    async with (
        open_transport(
            papers=who.papers(),
            door=door,
            verifier=start.verifier,
            serve_bulk=BulkHost(store, threads).serve,
            take_lent=loans.take,
        ) as transport,
        open_datagrams(Pairs(company, world.entropy), lambda: world.now().instant) as datagrams,
        open_pieces(transport.link, threads, loans) as pieces,
    ):
        yield _Net(transport=transport, datagrams=datagrams, pieces=pieces)


async def _serve(desk: Desk, engines: Engines, start: _Start, on_ready: OnReady) -> None:
    """Answer this machine's programs, and say that the peer is ready."""
    listener = bind_api()
    address = start.home.announce_api(LOOPBACK, listener.getsockname()[1])
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_desk, desk, address.token, listener)
        for broken in engines.broken:
            start.say(f"{broken.name} at {broken.program} cannot be used: {broken.reason}")
        on_ready(await desk.status())


def _typed(plan: Plan, own_port: int = 0) -> tuple[Address, ...]:
    """Return the addresses that a person typed; without a port of their own they have `own_port`, or are left out."""
    ported = ((host, port or own_port) for host, port in plan.peers)
    return tuple(Address(host=host, port=port) for host, port in ported if port)


@asynccontextmanager
async def _lan(start: _Start, transport: TcpTransport) -> AsyncIterator[Lan | None]:
    """Yield the networks on which to call for others; None where nobody could dial this peer from there."""
    own = transport.addresses()
    if not (start.plan.beacon and start.home.settings.beacon) or all(map(is_loopback, own)):
        yield None
        return
    only = () if transport.everywhere else tuple(address.host for address in own)
    async with open_lan(only) as lan:
        for problem in lan.problems:
            start.say(f"the beacon does not work fully: {problem}")
        yield lan


def _ending(in_hand: int) -> str:
    """Say what a peer does that was asked to end, and how it ends sooner."""
    if not in_hand:
        return "stopping"
    frames = "1 frame" if in_hand == 1 else f"{in_hand} frames"
    return f"finishing {frames}, then stopping; Ctrl-C again leaves them to others"


async def _standing(start: _Start) -> Standing:
    """Return this peer's place in a mesh, founding or joining one if the plan says so."""
    home, plan = start.home, start.plan
    kept = home.fact("standing")
    standing = None if kept is None else decode_standing(kept)
    if plan.found is not None:
        if standing is not None:
            raise AlreadyMember(f"this peer belongs to {_called(standing)}")
        return _found(start, plan.found)
    if plan.invite is not None:
        return await _join(start, plan.invite, standing)
    if standing is None:
        raise NoMembership(f"the peer in {home.directory} belongs to no mesh yet")
    return standing


def _found(start: _Start, name: str) -> Standing:
    keys, world = start.home.keys, start.world
    root = keys.root()
    if root is None:
        root = Secret(world.entropy(KEY_BYTES))
        keys.keep_root(root)
    keys.keep_mesh(Secret(world.entropy(KEY_BYTES)))
    return found_mesh(root=Ed25519Signer(root.reveal()), founder=start.signer, now=world.now().wall, name=name)


async def _join(start: _Start, text: str, standing: Standing | None) -> Standing:
    """Ask for admission; a member of that very mesh is one already, and only learns of more addresses."""
    token = invites.read(text, start.verifier)
    if standing is not None:
        if standing.mesh != token.mesh:
            raise AlreadyMember(f"this peer belongs to {_called(standing)}, and the invite leads to another mesh")
        contacts = tuple(dict.fromkeys((*token.addresses, *standing.contacts)))
        return replace(standing, contacts=contacts)
    papers = join_papers(token=token, invited=Ed25519Signer(token.seed), joiner=start.signer, static=start.static)
    async with open_transport(
        papers=papers,
        door=DatedDoor(lambda: start.world.now().wall),
        verifier=start.verifier,
        serve_bulk=_serve_nobody,
    ) as transport:
        standing = await join_mesh(
            token=token,
            joiner=start.signer,
            name=start.name,
            transport=transport,
            verifier=start.verifier,
            further=_typed(start.plan),
        )
    start.home.keys.keep_mesh(Secret(token.secret))
    start.home.keep_fact("standing", encode_standing(standing))
    return standing


def _called(standing: Standing) -> str:
    """Return what a person calls a mesh, its id beside it: names are not unique."""
    short = standing.mesh.hex()[:8]
    return f"the mesh {standing.mesh_name} ({short})" if standing.mesh_name else f"the mesh {short}"


async def _serve_nobody(_link: Link) -> None:
    """Be the bulk server of one who is no member yet, and listens nowhere."""
    await trio.lowlevel.checkpoint()


async def _listen(home: Home, plan: Plan, net: _Net) -> int:
    """Accept channels, and datagrams, where the plan, else the settings say, and return the port; all without one of
    their own share it. A port that was only remembered may have been taken.
    """
    first, *others = plan.listen or ((home.settings.listen_host, 0),)
    host, port = first
    if port or home.settings.listen_port:
        port = await listen_together(net.transport, net.datagrams, host, port or home.settings.listen_port)
    else:
        try:
            port = await listen_together(net.transport, net.datagrams, host, home.port())
        except PortTaken:
            port = await listen_together(net.transport, net.datagrams, host, 0)
    for other, other_port in others:
        await listen_together(net.transport, net.datagrams, other, other_port or port)
    home.keep_port(port)
    return port


def stage_limits(settings: Settings, facts: HostFacts, slots: int) -> StageLimits:
    """Return what one of a host's `slots` stages may take."""
    memory_mb = settings.memory_limit_mb or facts.memory_mb * MEMORY_TENTHS // 10 // max(1, slots)
    threads = settings.engine_threads or (facts.cores // slots or 1 if slots > 1 else 0)
    silence_ms = max(1, settings.engine_silence_s) * 1000
    return StageLimits(threads=threads, memory_bytes=memory_mb << 20, silence_ms=silence_ms)


def _forget(home: Home) -> None:
    """Remove what made this peer a member, first of all its standing; its own key and settings stay."""
    home.forget_fact("standing")
    home.keys.forget_mesh()
    (home.directory / "journal").unlink(missing_ok=True)
    shutil.rmtree(home.directory / "blobs", ignore_errors=True)
