"""What strangers, and members who mean ill, get from a whole running node, and what they cost it."""

import dataclasses
import random
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import pytest
import trio

from mesh.ground.instants import WallTime
from mesh.net.streams import Bounds
from mesh.node.channels import BECKON
from mesh.wire import messages
from mesh.wire.cipher import CONTROL_PACKET_MAX_BYTES, DATA_PACKET_MAX_BYTES
from mesh.wire.handshake import HANDSHAKE_MS, ChannelKind, Papers, Purpose
from mesh.wire.messages import (
    Address,
    AdmitAsk,
    Admitted,
    ClaimSent,
    Contact,
    Contacts,
    Hello,
    Message,
    Ping,
    Pong,
    RenewAsk,
    Seek,
)
from tests.strategies import sample
from tests.support import intruders, knocking
from tests.support.intruders import DOOR, Liar, lying, member, mesh_at
from tests.support.knocking import GROWTH_MAX_BYTES, answered, first_words, heard_after_message_3, many_at_once
from tests.support.meshes import NOW, TestMesh
from tests.support.nodes import refuse_wrong_frames, write_scene
from tests.support.staged import StagedPeer, all_connected, until
from tests.support.timed import timed

LONG_AGO = WallTime(NOW)
"""When the memberships that tests make by themselves had begun, years before today."""

RANDOM_INPUTS = 10_000
UNKNOWN_JOBS = 60
"""Messages of each kind, each about a job, a blob or a peer of its own: what a member may say at once."""


@contextmanager
def nodes(directory: Path, *names: str) -> Iterator[list[StagedPeer]]:
    """Yield running peers of one mesh, each a process; the first founded it."""
    with ExitStack() as ending:
        peers = [StagedPeer(directory=directory / name, name=name) for name in names]
        for peer in peers:
            ending.callback(peer.end)
        peers[0].start(found="besieged")
        peers[0].wait_ready()
        token = peers[0].invite()
        for peer in peers[1:]:
            peer.start(token=token)
        for peer in peers[1:]:
            peer.wait_ready()
        until("all peers have channels", lambda: all_connected(peers))
        yield peers


@pytest.fixture(scope="module")
def besieged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[StagedPeer]]:
    """Two peers that every test of this file attacks in turn, and that must outlive them all."""
    with nodes(tmp_path_factory.mktemp("besieged"), "ada", "bob") as running:
        yield running
        assert all(peer.running.poll() is None for peer in running)


@pytest.fixture
def ada(besieged: list[StagedPeer]) -> Iterator[StagedPeer]:
    """The node under attack: it lives on, it has not grown, and its friend has not lost it."""
    (victim, friend) = besieged
    before = victim.resident_bytes()
    yield victim
    until("the friends have each other", lambda: all_connected([victim, friend]))
    assert victim.running.poll() is None
    assert victim.resident_bytes() - before < GROWTH_MAX_BYTES


def address_of(peer: StagedPeer) -> Address:
    """Return where a peer on this host listens."""
    host, _, port = peer.ask("/status")["addresses"][0].rpartition(":")
    return Address(host=host, port=int(port))


@timed
async def still_serves(address: Address, papers: Papers) -> None:
    """Fail unless an honest member gets a channel and an answer."""
    async with lying(address, papers) as honest:
        await honest.say(Ping(number=7))
        assert await honest.answer(Pong) == Pong(number=7)


@pytest.mark.slow
def test_ten_thousand_random_inputs_get_no_byte_and_no_memory(ada: StagedPeer) -> None:
    """Slow: ten thousand connections take some ten seconds."""
    mesh, address, dice = mesh_at(ada.home), address_of(ada), random.Random(20_261_120)

    async def knock() -> None:
        assert await answered(address, knocking.random_words(dice, mesh)) == b""

    trio.run(many_at_once, RANDOM_INPUTS, 50, knock)
    still_serves(address, member(mesh).papers)


def test_an_outsider_and_another_meshs_member_get_no_byte(ada: StagedPeer) -> None:
    address, other = address_of(ada), TestMesh()
    for papers, purpose in (
        (member(other).papers, Purpose.CONTROL),
        (member(other).papers, Purpose.BULK),
        (other.member().invites(), Purpose.JOIN),
    ):
        assert trio.run(lambda p=papers, w=purpose: answered(address, first_words(p, w), stay=True)) == b""


@pytest.mark.parametrize("why", sorted(TestMesh().bad_papers()))
def test_one_who_knows_the_secret_without_a_proof_gets_message_2_and_no_more(ada: StagedPeer, why: str) -> None:
    papers, purpose = mesh_at(ada.home).bad_papers()[why]
    for tried in (purpose, Purpose.BULK) if purpose is Purpose.CONTROL else (purpose,):
        second, after = trio.run(heard_after_message_3, address_of(ada), papers, tried, DOOR)
        assert knocking.is_one_message(second)
        assert after == b""


def test_an_expired_member_gets_no_pieces(ada: StagedPeer) -> None:
    expired = mesh_at(ada.home).member(expires=LONG_AGO)
    second, after = trio.run(heard_after_message_3, address_of(ada), expired.papers, Purpose.BULK, DOOR)
    assert knocking.is_one_message(second)
    assert after == b""


@pytest.mark.parametrize("said", [Ping(number=1), Seek(blobs=()), AdmitAsk(name="me"), Contacts(contacts=())])
def test_an_expired_member_is_heard_about_nothing_but_its_renewal(ada: StagedPeer, said: Message) -> None:
    expired = mesh_at(ada.home).member(expires=LONG_AGO)

    @timed
    async def ask() -> None:
        async with lying(address_of(ada), expired.papers) as liar:
            assert liar.channel.kind is ChannelKind.RENEW
            await liar.say(said)
            await liar.over.wait()
            assert liar.heard == []

    ask()


def test_an_expired_member_is_renewed_and_then_let_in(ada: StagedPeer) -> None:
    mesh = mesh_at(ada.home)
    expired = mesh.member(expires=LONG_AGO)
    answers: list[Message] = []

    @timed
    async def ask() -> None:
        async with lying(address_of(ada), expired.papers) as liar:
            await liar.say(RenewAsk(chain=expired.chain))
            answers.append(await liar.answer(Admitted))

    ask()
    (admitted,) = answers
    assert isinstance(admitted, Admitted)
    assert admitted.chain == expired.chain
    shown = dataclasses.replace(expired.credentials, renewed=admitted.renewed)
    still_serves(address_of(ada), dataclasses.replace(expired.papers, shown=shown))


def from_another_source(address: Address, number: int) -> socket.socket:
    """Connect from one of the many addresses that a host has for itself, and say nothing."""
    return socket.create_connection((address.host, address.port), source_address=(f"127.0.1.{number}", 0))


def test_a_flood_of_half_open_handshakes_keeps_no_member_out(ada: StagedPeer) -> None:
    address, papers = address_of(ada), member(mesh_at(ada.home)).papers
    with ExitStack() as ending:
        # More than are served at a time, in all and from one source each; the node keeps no more than its bound.
        for number in range(2 * Bounds().half_open):
            ending.enter_context(closing(from_another_source(address, 1 + number % 20)))
        still_serves(address, papers)
        for number in range(Bounds().half_open):
            ending.enter_context(closing(from_another_source(address, 1 + number % 20)))
        still_serves(address, papers)


@pytest.mark.slow
def test_whoever_speaks_slowly_is_let_go_in_time(ada: StagedPeer) -> None:
    """Slow: takes the five seconds that a handshake may take."""
    address, words = address_of(ada), first_words(member(mesh_at(ada.home)).papers, Purpose.CONTROL)

    async def dribble() -> None:
        said = 0
        async with await trio.open_tcp_stream(address.host, address.port) as stream:
            with suppress(trio.BrokenResourceError), trio.CancelScope() as let_go:
                for byte in words:
                    await stream.send_all(bytes([byte]))
                    said += 1
                    with trio.move_on_after(HANDSHAKE_MS / 1000 / 12):
                        assert await stream.receive_some(1) == b""
                        let_go.cancel()
        assert said < len(words)

    async def all_of_them() -> None:
        with trio.fail_after(2 * HANDSHAKE_MS / 1000):
            await many_at_once(20, 20, dribble)

    trio.run(all_of_them)
    still_serves(address, member(mesh_at(ada.home)).papers)


MALFORMED = {
    "nothing": b"",
    "no list": b"\x00",
    "cut short": messages.encode(Ping(number=1))[:-1],
    "too long": messages.encode(Ping(number=1)) + b"\x00",
    "unknown": b"\x82\x19\x03\xe7\x80",
    "nested": b"\x81" * 60_000,
    "a length that is a lie": b"\x82\x01\x9b" + b"\x7f" * 8,
    "noise": random.Random(1).randbytes(CONTROL_PACKET_MAX_BYTES),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_member_who_says_nonsense_loses_its_channel(ada: StagedPeer, name: str) -> None:
    address, papers = address_of(ada), member(mesh_at(ada.home)).papers

    @timed
    async def say() -> None:
        async with lying(address, papers) as liar:
            await liar.channel.send(MALFORMED[name])
            await liar.over.wait()

    say()
    still_serves(address, papers)


def test_a_member_whose_packet_is_too_large_loses_its_channel(ada: StagedPeer) -> None:
    address, papers = address_of(ada), member(mesh_at(ada.home)).papers

    @timed
    async def say() -> None:
        async with intruders.over_tcp(papers) as transport:
            link = await transport.link(address, Purpose.CONTROL)
            link.opened.sealer._direction.packet_max_bytes = DATA_PACKET_MAX_BYTES
            await link.stream.send_all(link.opened.sealer.seal(bytes(CONTROL_PACKET_MAX_BYTES + 1)))
            heard = b""
            try:
                while portion := await link.stream.receive_some(65_536):
                    heard += portion
            except trio.BrokenResourceError:
                pass  # it hung up with our bytes unread
            await trio.aclose_forcefully(link.stream)

    say()
    still_serves(address, papers)


def test_a_member_who_forges_a_signature_loses_its_channel(ada: StagedPeer) -> None:
    address, papers = address_of(ada), member(mesh_at(ada.home)).papers
    genuine = sample(ClaimSent, "forged")
    (claim, *_) = genuine.claims
    forged = dataclasses.replace(claim, signature=bytes(len(claim.signature)))

    @timed
    async def say() -> None:
        async with lying(address, papers) as liar:
            await liar.say(ClaimSent(claims=(forged,)))
            await liar.over.wait()

    say()
    still_serves(address, papers)


def about_unknown_jobs() -> list[Message]:
    """Return many well-formed messages of every kind that a core takes, their signatures good, about nothing known."""
    kinds = [kind for kind in messages.MESSAGES if kind not in (Contacts, Hello)]
    return [sample(kind, f"{kind.__name__}{number}") for number in range(UNKNOWN_JOBS) for kind in kinds]


async def say_all(liar: Liar, said: Sequence[Message]) -> None:
    """Say much and know that all of it was heard."""
    await liar.say(*said, Ping(number=99))
    while Pong(number=99) not in liar.heard:
        assert not liar.over.is_set(), "the node ended the channel"
        await trio.sleep(0.01)


@pytest.mark.slow
def test_messages_of_every_kind_about_nothing_known_cost_nothing(ada: StagedPeer, tmp_path: Path) -> None:
    """Slow: over a thousand signed messages."""
    address, papers, said = address_of(ada), member(mesh_at(ada.home)).papers, about_unknown_jobs()

    async def lie() -> None:
        with trio.fail_after(120):
            async with lying(address, papers) as liar:
                await say_all(liar, said)

    # An honest job goes on meanwhile, and no frame of it is rendered twice.
    scene = write_scene(tmp_path / "shot", "frames 1 16\nms 150")
    before = len(ada.renders())
    job = ada.submit(scene)
    trio.run(lie)
    until("the job is sealed", lambda: ada.job(job)["state"] == "sealed")
    refuse_wrong_frames(scene, range(1, 17))
    assert len(ada.renders()) - before <= 16


@pytest.mark.slow
def test_thousands_of_contacts_that_never_were_cost_little(ada: StagedPeer) -> None:
    """Slow: almost four thousand contacts."""
    address, papers = address_of(ada), member(mesh_at(ada.home)).papers
    nowhere = Address(host="127.0.0.1", port=9)
    said = [
        Contacts(contacts=tuple(Contact(peer=peer, addresses=(nowhere,)) for peer in intruders.peer_ids(64)))
        for _ in range(60)
    ]

    async def lie() -> None:
        with trio.fail_after(120):
            async with lying(address, papers) as liar:
                await say_all(liar, said)

    trio.run(lie)
    still_serves(address, papers)


def test_a_member_that_beckons_without_end_is_not_run_after(ada: StagedPeer) -> None:
    address, papers = address_of(ada), member(mesh_at(ada.home)).papers

    async def lie() -> None:
        with trio.fail_after(60):
            async with lying(address, papers) as liar:
                nowhere = tuple(Address(host="127.0.0.1", port=port) for port in range(1, 9))
                await liar.say(dataclasses.replace(sample(Hello, "beckoning"), addresses=nowhere))
                for _ in range(5_000):
                    await liar.channel.send(BECKON)
                await say_all(liar, [])

    trio.run(lie)
    still_serves(address, papers)


@pytest.mark.slow
def test_what_others_said_changes_nothing_when_a_member_says_it_again(ada: StagedPeer, tmp_path: Path) -> None:
    """Slow: everything is said many times while a job is rendered."""
    address, papers = address_of(ada), member(mesh_at(ada.home)).papers
    scene = write_scene(tmp_path / "shot", "frames 1 16\nms 200")
    kinds: set[type] = set()

    async def lie() -> None:
        with trio.fail_after(120):
            async with lying(address, papers) as liar:
                job = await trio.to_thread.run_sync(ada.submit, scene)
                while (await trio.to_thread.run_sync(ada.job, job))["state"] != "sealed":
                    # As one who was asked to keep the job it hears most of what is said of it.
                    kinds.update(type(message) for message in liar.heard)
                    await say_all(liar, [*liar.heard])
                    liar.heard[:] = [message for message in liar.heard if not isinstance(message, Pong)][-200:]
                before = await trio.to_thread.run_sync(ada.standing, job)
                for _ in range(3):
                    await say_all(liar, liar.heard[-200:])
                assert await trio.to_thread.run_sync(ada.standing, job) == before
                assert {name for _, name, _ in before} <= {"ada", "bob"}
                assert len(kinds) > 3

    trio.run(lie)
    refuse_wrong_frames(scene, range(1, 17))
