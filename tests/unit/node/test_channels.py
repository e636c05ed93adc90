"""One channel to each member, whoever dialled; what ends one, and what that says."""

from dataclasses import replace

import pytest
import trio

from mesh.core.effects import AnswerDoor, CloseChannel, Dial, Knock, Send
from mesh.core.events import ChannelClosed, ChannelOpened, DatagramHeard, DialFailed, MessageHeard, TwinMet
from mesh.ground.ids import Boot, JobId, PeerId
from mesh.ground.instants import WallTime
from mesh.node.bootstraps import Bootstraps
from mesh.node.channels import LENT_AGAIN_S, LENT_MOST, UNPROVEN_MOST, USED
from mesh.ports.transport import DialRefused, DialTimedOut, DialUnreachable, TransportError
from mesh.wire import lookups, messages
from mesh.wire.carrying import Carried
from mesh.wire.envelope import Signed, sign
from mesh.wire.handshake import Purpose
from mesh.wire.lookups import NodePing
from mesh.wire.messages import (
    Address,
    AdmitAsk,
    Admitted,
    ClaimSent,
    Hello,
    Message,
    Ping,
    RefusalCode,
    Refused,
)
from mesh.wire.records import Claim
from mesh.wire.signing import Ed25519Verifier
from sim.wires import QUEUE_MAX_BYTES, Wires
from tests.support.meshes import NOW, TestMesh, seed
from tests.support.parties import DOOR, Party, party, quiet
from tests.support.worlds import virtual


def opened(other: Party, address: Address | None) -> ChannelOpened:
    return ChannelOpened(peer=other.member.id, boot=other.member.boot, address=address, here=True)


@virtual
async def test_a_dialled_channel_opens_at_both_ends_and_carries_messages() -> None:
    mesh, wires = TestMesh(), Wires()
    async with party(wires, mesh.member()) as ann, party(wires, mesh.member()) as bob:
        ann.dial(bob)
        await quiet()
        assert ann.heard == [opened(bob, bob.address)]
        assert bob.heard == [opened(ann, None)]
        ann.say(bob, 1)
        bob.say(ann, 2)
        ann.dial(bob)
        await quiet()
        assert bob.heard[1:] == [MessageHeard(peer=ann.member.id, message=Ping(number=1))]
        assert ann.heard[1:] == [MessageHeard(peer=bob.member.id, message=Ping(number=2))]


@pytest.mark.parametrize("lower_first", [True, False])
@virtual
async def test_of_two_simultaneous_dials_both_ends_keep_the_same(*, lower_first: bool) -> None:
    mesh, wires = TestMesh(), Wires()
    low, high = sorted((mesh.member(), mesh.member()), key=lambda member: member.id)
    async with party(wires, low) as ann, party(wires, high) as bob:
        first, second = (ann, bob) if lower_first else (bob, ann)
        first.dial(second)
        second.dial(first)
        await quiet()
        for number in range(3):
            ann.say(bob, number)
            bob.say(ann, number)
        await quiet()
        for side in (ann, bob):
            assert side.messages() == [Ping(number=number) for number in range(3)]
            assert [type(event) for event in side.openings()] in (
                [ChannelOpened],
                [ChannelOpened, ChannelClosed, ChannelOpened],
            )
            assert not any(event.clean for event in side.openings() if isinstance(event, ChannelClosed))
        # The one that the lower dialled stays.
        assert bob.channels.routes(low.id) == ()
        assert ann.channels.routes(high.id) == (bob.address,)


@virtual
async def test_an_accepted_channel_is_none_until_its_dialler_uses_it() -> None:
    mesh, wires = TestMesh(), Wires()
    async with party(wires, mesh.member()) as ann:
        stranger = mesh.member()
        async with wires.attach(stranger.papers, door=DOOR, verifier=Ed25519Verifier(), entropy=seed) as transport:
            silent = await transport.dial(ann.address)
            used = await transport.dial(ann.address)
            await used.send(USED)
            await quiet()
            assert len(ann.openings()) == 1
            with trio.fail_after(60):
                with pytest.raises(Exception, match="closed"):
                    await silent.receive()
            assert len(ann.openings()) == 1


@virtual
async def test_one_member_keeps_only_few_channels_waiting_and_no_place_from_others() -> None:
    mesh, wires = TestMesh(), Wires()
    async with party(wires, mesh.member()) as ann, party(wires, mesh.member()) as bob:
        greedy = mesh.member()
        async with wires.attach(greedy.papers, door=DOOR, verifier=Ed25519Verifier(), entropy=seed) as transport:
            waiting = [await transport.dial(ann.address) for _ in range(UNPROVEN_MOST + 1)]
            await quiet()
            with pytest.raises(Exception, match="closed"):
                await waiting[-1].receive()
            await waiting[0].send(USED)
            await quiet()
            assert [event.peer for event in ann.openings()] == [greedy.id]
            bob.dial(ann)
            await quiet()
            assert {event.peer for event in ann.openings()} == {greedy.id, bob.member.id}


@virtual
async def test_a_channel_that_the_core_gave_up_is_ended_and_not_the_one_that_came_meanwhile() -> None:
    """Effects wait for the disk: what the core closes may have been replaced when the shell comes to it."""
    mesh, wires = TestMesh(), Wires()
    member = mesh.member()
    async with party(wires, mesh.member()) as ann, party(wires, member) as bob:
        bob.dial(ann)
        await quiet()
        (first,) = ann.openings()
        assert isinstance(first, ChannelOpened)
        async with party(wires, replace(member, boot=Boot(seed()[:16]))) as again:
            again.dial(ann)
            await quiet()
            ann.channels.close(CloseChannel(peer=member.id, channel=first.channel))
            await quiet()
            assert ann.channels.connected() == (member.id,)
            kinds = [type(event) for event in ann.openings()]
            assert kinds == [ChannelOpened, ChannelClosed, ChannelOpened]
            ann.close(again)
            await quiet()
            assert ann.channels.connected() == ()
            assert len(ann.openings()) == 3


@virtual
async def test_a_farewell_is_clean_and_any_other_end_is_not() -> None:
    mesh, wires = TestMesh(), Wires()
    async with party(wires, mesh.member()) as ann:
        async with party(wires, mesh.member()) as bob:
            ann.dial(bob)
            await quiet()
            bob.close(ann)
            await quiet()
            assert ann.openings()[-1] == ChannelClosed(peer=bob.member.id, clean=False)
            assert bob.openings() == bob.openings()[:1]
            ann.dial(bob)
            await quiet()
            # As the core stops: it closes every channel, and the farewell follows in the same turn.
            bob.close(ann)
            await bob.channels.farewell()
            await quiet()
            assert ann.openings()[-1] == ChannelClosed(peer=bob.member.id, clean=True)
        async with party(wires, mesh.member()) as cy:
            ann.dial(cy)
            await quiet()
        await quiet()
        assert ann.openings()[-1] == ChannelClosed(peer=cy.member.id, clean=False)


@virtual
async def test_a_new_boot_ends_what_the_old_one_had() -> None:
    mesh, wires = TestMesh(), Wires()
    old = mesh.member()
    new = replace(old, boot=Boot(seed()[:16]))
    async with party(wires, mesh.member()) as ann, party(wires, old) as before, party(wires, new) as after:
        before.dial(ann)
        await quiet()
        after.dial(ann)
        await quiet()
        boots = [event.boot for event in ann.openings() if isinstance(event, ChannelOpened)]
        assert boots == [old.boot, new.boot]
        assert [type(event) for event in ann.openings()] == [ChannelOpened, ChannelClosed, ChannelOpened]
        ann.say(after, 7)
        await quiet()
        assert after.messages() == [Ping(number=7)]


@virtual
async def test_a_peer_that_takes_nothing_loses_its_channel_and_delays_nobody() -> None:
    mesh, wires = TestMesh(), Wires()
    async with party(wires, mesh.member()) as ann, party(wires, mesh.member()) as bob:
        mute = mesh.member()
        async with wires.attach(mute.papers, door=DOOR, verifier=Ed25519Verifier(), entropy=seed) as transport:
            held = await transport.dial(ann.address)
            await held.send(USED)
            ann.dial(bob)
            await quiet()
            packet = messages.encode(Ping(number=1))
            ann.heard.clear()
            for _ in range(QUEUE_MAX_BYTES // len(packet) + 2):
                ann.channels.send(_ping(mute.id))
            ann.say(bob, 5)
            await quiet()
            assert ann.openings() == [ChannelClosed(peer=mute.id, clean=False)]
            assert bob.messages() == [Ping(number=5)]


@virtual
async def test_what_cannot_be_read_or_verified_ends_the_channel() -> None:
    mesh, wires = TestMesh(), Wires()
    claim = _claim(mesh)
    forged = replace(claim, signature=bytes(64))
    for packet in (b"", b"\x82", b"\xff" * 100, messages.encode(ClaimSent(claims=(forged,)))):
        async with party(wires, mesh.member()) as ann:
            liar = mesh.member()
            async with wires.attach(liar.papers, door=DOOR, verifier=Ed25519Verifier(), entropy=seed) as transport:
                held = await transport.dial(ann.address)
                await held.send(USED)
                # Known to be good: its id, which the forged copy has too, must not vouch for another signature.
                await held.send(messages.encode(ClaimSent(claims=(claim,))))
                await held.send(packet)
                await held.send(messages.encode(Ping(number=9)))
                await quiet()
                assert ann.messages() == [ClaimSent(claims=(claim,))]
                assert ann.openings()[-1] == ChannelClosed(peer=liar.id, clean=False)


@virtual
async def test_a_knock_opens_a_channel_to_whoever_is_there_once() -> None:
    mesh, wires = TestMesh(), Wires()
    async with party(wires, mesh.member()) as ann, party(wires, mesh.member()) as bob:
        for address in (bob.address, bob.address, ann.address, Address(host="127.0.0.1", port=1)):
            ann.channels.knock(Knock(address=address))
            await quiet()
        assert ann.heard == [opened(bob, bob.address)]
        assert len(bob.heard) == 1


@virtual
async def test_a_knock_is_spared_only_where_a_channel_was_dialled() -> None:
    """Where a connected peer only says that it listens, another part of the mesh may be by now."""
    mesh, wires = TestMesh(), Wires()
    async with (
        party(wires, mesh.member()) as ann,
        party(wires, mesh.member()) as bob,
        party(wires, mesh.member()) as cy,
    ):
        bob.dial(ann)
        await quiet()
        hello = Hello(name="bob", program="test", addresses=(cy.address,), wall=NOW, chain=bob.member.chain)
        bob.channels.send(_to(ann.member.id, hello))
        await quiet()
        ann.channels.knock(Knock(address=cy.address))
        await quiet()
        assert [event.peer for event in ann.openings()] == [bob.member.id, cy.member.id]


@virtual
async def test_a_person_hears_within_five_seconds_what_became_of_each_address() -> None:
    mesh, other, wires = TestMesh(), TestMesh(), Wires()
    refusing, unknown = Address(host="127.0.0.1", port=1), Address(host="far.invalid", port=1)
    async with party(wires, mesh.member()) as bob, party(wires, other.member()) as stranger:
        typed = (bob.address, refusing, unknown, stranger.address)
        async with party(wires, mesh.member(), typed=typed) as ann:
            assert [row["state"] for row in ann.bootstraps.rows()] == ["untried"] * 4
            for _ in range(3):
                for address in typed:
                    ann.channels.knock(Knock(address=address))
                await quiet()
            rows = ann.bootstraps.rows()
            assert [(row["state"], row["error"]) for row in rows] == [
                ("reached", ""),
                ("unreached", "DialRefused"),
                ("unreached", "DialUnreachable"),
                ("unreached", "HandshakeFailed"),
            ]
            assert len(ann.said) == 3, "each is said once"
            assert all(any(f" {address} " in said for said in ann.said) for address in typed[1:])


def test_ones_own_address_is_named_at_once() -> None:
    said: list[str] = []
    own = Address(host="10.0.0.1", port=7)
    (row,) = Bootstraps((own,), said.append, own=(own,)).rows()
    assert (row["state"], row["error"]) == ("unreached", "DialledSelf")
    assert said == ["--peer 10.0.0.1:7: that is this peer itself"]


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (DialUnreachable("10.0.0.1:7: no route to host"), "no route to host"),
        (DialRefused("nothing listens at 10.0.0.1:7"), "nothing listens"),
        (DialTimedOut("10.0.0.1:7 did not answer within 5 s"), "did not answer within 5 s"),
    ],
)
def test_an_address_is_named_once_beside_its_problem(error: TransportError, problem: str) -> None:
    said: list[str] = []
    typed = Address(host="10.0.0.1", port=7)
    bootstraps = Bootstraps((typed,), said.append)
    bootstraps.failed(typed, error)
    assert [row["problem"] for row in bootstraps.rows()] == [problem]
    assert said == [f"no peer of this mesh at 10.0.0.1:7 yet ({problem}); it is tried again and again"]


@virtual
async def test_an_address_that_stays_silent_is_said_to_be_so_before_the_dial_ends() -> None:
    mesh, wires = TestMesh(), Wires(cut=True)
    silent = Address(host="10.0.0.1", port=1)
    async with party(wires, mesh.member(), typed=(silent,)) as ann:
        ann.channels.knock(Knock(address=silent))
        await trio.sleep(5)
        assert "has not answered" in ann.said[0]
        await trio.sleep(30)
        assert len(ann.said) == 1


@virtual
async def test_who_is_beckoned_opens_a_connection_to_where_the_other_listens() -> None:
    """Of two peers one need be reachable only: the other is asked to dial."""
    mesh, wires = TestMesh(), Wires()
    async with party(wires, mesh.member()) as ann, party(wires, mesh.member()) as hidden:
        hidden.dial(ann)
        await quiet()
        ann.channels.beckon(hidden.member.id)
        await quiet()
        assert hidden.transport.lent == [ann.address]
        assert ann.transport.lent == []
        ann.channels.beckon(mesh.member().id)
        await quiet()
        assert hidden.messages() == [], "the core hears nothing of it"


@virtual
async def test_who_is_beckoned_without_end_opens_few_connections() -> None:
    mesh, wires = TestMesh(), Wires()
    async with party(wires, mesh.member()) as ann, party(wires, mesh.member()) as hidden:
        hidden.dial(ann)
        await quiet()
        for _ in range(50):
            ann.channels.beckon(hidden.member.id)
        await quiet()
        assert len(hidden.transport.lent) == LENT_MOST
        await trio.sleep(2 * LENT_AGAIN_S)
        assert len(hidden.transport.lent) == LENT_MOST
        ann.channels.beckon(hidden.member.id)
        await quiet()
        assert len(hidden.transport.lent) == LENT_MOST + 1


@virtual
async def test_of_several_addresses_the_one_on_the_own_network_is_used_and_a_silent_one_costs_little() -> None:
    mesh, wires = TestMesh(), Wires()
    async with party(wires, mesh.member()) as ann, party(wires, mesh.member()) as bob:
        await bob.transport.listen("10.8.0.2", bob.address.port)
        far = Address(host="10.8.0.2", port=bob.address.port)
        ann.channels.dial(Dial(peer=bob.member.id, addresses=(far, bob.address)))
        await quiet()
        assert ann.openings() == [opened(bob, bob.address)]


@virtual
async def test_a_peer_that_dialled_is_reached_where_it_says_it_listens() -> None:
    mesh, wires = TestMesh(), Wires()
    async with party(wires, mesh.member()) as ann, party(wires, mesh.member()) as bob:
        bob.dial(ann)
        await quiet()
        assert ann.channels.routes(bob.member.id) == ()
        named = (Address(host="10.1.2.3", port=bob.address.port),)
        hello = Hello(name="bob", program="test", addresses=named, wall=NOW, chain=bob.member.chain)
        bob.channels.send(_to(ann.member.id, hello))
        await quiet()
        assert ann.channels.routes(bob.member.id) == (bob.address, *named)


@virtual
async def test_a_joiner_is_answered_what_the_core_says() -> None:
    mesh, wires = TestMesh(), Wires()
    async with party(wires, mesh.member()) as ann:
        papers = ann.member.invites()
        async with wires.attach(papers, door=DOOR, verifier=Ed25519Verifier(), entropy=seed) as joiner:
            for answer in (Refused(code=RefusalCode.USED_UP), Admitted(chain=ann.member.chain, contacts=())):
                channel = await joiner.dial(ann.address, Purpose.JOIN)
                await channel.send(messages.encode(AdmitAsk(name="new")))
                await quiet()
                asked = ann.asked()[-1]
                ann.doors.answer(AnswerDoor(op=asked.op, answer=answer))
                assert messages.decode(await channel.receive()) == answer
            rude = await joiner.dial(ann.address, Purpose.JOIN)
            await rude.send(messages.encode(Ping(number=1)))
            with pytest.raises(Exception, match="closed"):
                await rude.receive()
        assert len(ann.asked()) == 2


@virtual
async def test_an_expired_peer_is_renewed_and_hears_its_new_chain() -> None:
    mesh, wires = TestMesh(), Wires()
    async with party(wires, mesh.member(expires=WallTime(NOW - 1))) as old, party(wires, mesh.member()) as ann:
        old.expired = True
        old.dial(ann)
        await quiet()
        (asked,) = ann.asked()
        renewed = Admitted(chain=ann.member.chain, contacts=())
        ann.doors.answer(AnswerDoor(op=asked.op, answer=renewed))
        await quiet()
        assert old.heard == [
            MessageHeard(peer=ann.member.id, message=renewed),
            DialFailed(peer=ann.member.id, refused=False),
        ]
        assert ann.openings() == []


def _to(peer: PeerId, message: Message) -> Send:
    return Send(peer=peer, message=message)


def _ping(peer: PeerId) -> Send:
    return _to(peer, Ping(number=1))


def _claim(mesh: TestMesh) -> Signed[Claim]:
    member = mesh.member()
    return sign(Claim(job=JobId(seed()), task=0, attempt=1, boot=member.boot, number=1), member.signer)


@virtual
async def test_two_processes_of_one_identity_notice_each_other() -> None:
    mesh, wires = TestMesh(), Wires()
    member = mesh.member()
    clone = replace(member, boot=Boot(seed()[:16]))
    async with party(wires, member) as ann, party(wires, clone) as copy:
        ann.channels.knock(Knock(address=copy.address))
        await quiet()
        assert ann.heard == [TwinMet(address=copy.address)]
        (met,) = copy.heard
        assert isinstance(met, TwinMet)
        ann.channels.knock(Knock(address=ann.address))
        await quiet()
        assert len(ann.heard) == 1, "it is no twin of its own"
        assert not ann.channels.connected()


# What a channel carries instead of a datagram.


def hello_of(party: Party) -> Hello:
    return Hello(name="ann", program="test", addresses=(party.address,), wall=NOW, chain=party.member.chain)


@virtual
async def test_what_would_go_by_datagram_goes_on_the_channel_and_is_heard_as_one() -> None:
    mesh, wires = TestMesh(), Wires()
    async with party(wires, mesh.member()) as ann, party(wires, mesh.member()) as bob:
        assert not ann.channels.carry(bob.member.id, Carried(payload=lookups.encode(NodePing(number=1))))
        ann.channels.knock(Knock(address=bob.address))
        await quiet()
        ann.channels.send(Send(peer=bob.member.id, message=hello_of(ann)))
        assert ann.channels.carry(bob.member.id, Carried(payload=lookups.encode(NodePing(number=7))))
        await quiet()
        (heard,) = [event for event in bob.heard if isinstance(event, DatagramHeard)]
        assert (heard.peer, heard.message) == (ann.member.id, NodePing(number=7))
        assert heard.address.host == ann.address.host, "whatever its hello says, the host is where it came from"


@virtual
async def test_what_is_carried_and_is_nothing_is_dropped_as_a_datagram_is_and_costs_no_channel() -> None:
    mesh, wires = TestMesh(), Wires()
    async with party(wires, mesh.member()) as ann, party(wires, mesh.member()) as bob:
        ann.channels.knock(Knock(address=bob.address))
        await quiet()
        early = Carried(payload=lookups.encode(NodePing(number=1)))
        assert ann.channels.carry(bob.member.id, early), "before its hello nobody knows where it listens"
        ann.channels.send(Send(peer=bob.member.id, message=hello_of(ann)))
        assert ann.channels.carry(bob.member.id, Carried(payload=b"\xff" * 40))
        ann.channels.send(Send(peer=bob.member.id, message=Ping(number=2)))
        await quiet()
        assert not [event for event in bob.heard if isinstance(event, DatagramHeard)]
        assert bob.messages()[-1] == Ping(number=2)
