"""What a channel's member may cost: how fast it is read, whose turn it is, and what is not sent to it."""

from dataclasses import replace

import trio

from mesh.core.effects import Earned, Send
from mesh.core.events import MessageHeard
from mesh.ground.ids import BlobId, Boot, JobId
from mesh.ground.limits import CHANNEL_BACKLOG_BYTES, CHANNEL_PAUSE_MS, CHANNEL_PURSE_MS, CHANNEL_SHARE, EARNED_SHARE
from mesh.node.pacing import EARNED_NS, OPENING_NS
from mesh.wire.messages import MAX_BITS_BYTES, Entries, Have, Ping
from sim.wires import Wires
from tests.support.meshes import TestMesh, seed
from tests.support.parties import party, quiet
from tests.support.worlds import virtual


@virtual
async def test_a_member_that_floods_is_read_as_its_part_allows_and_loses_nothing() -> None:
    mesh, wires = TestMesh(), Wires()
    async with (
        party(wires, mesh.member()) as ann,
        party(wires, mesh.member()) as flooder,
        party(wires, mesh.member()) as bob,
    ):
        ann.turn_ns = CHANNEL_PURSE_MS * 1_000_000 // 100
        for other in (flooder, bob):
            other.dial(ann)
        await quiet()
        begun_s = trio.current_time()
        for number in range(130):
            flooder.say(ann, number)
        await quiet()
        assert 99 <= len(ann.messages()) <= 101, "what its purse holds"
        bob.say(ann, 1_000)
        await quiet()
        assert ann.messages()[-1] == Ping(number=1_000), "others are heard at once"
        while len(ann.messages()) < 131:  # noqa: ASYNC110 (of virtual time)
            await trio.sleep(1)
        said = [event.message for event in ann.heard if isinstance(event, MessageHeard) and event.peer != bob.member.id]
        assert said == [Ping(number=number) for number in range(130)]
        spent_s = 130 * ann.turn_ns / 1e9
        assert trio.current_time() - begun_s >= (spent_s - CHANNEL_PURSE_MS / 1000) * CHANNEL_SHARE * 0.95
        assert len(ann.openings()) == 2, "nobody's channel was cut"


@virtual
async def test_whoever_comes_again_finds_its_purse_as_it_left_it() -> None:
    mesh, wires = TestMesh(), Wires()
    member = mesh.member()
    async with party(wires, mesh.member()) as ann:
        ann.turn_ns = 2 * CHANNEL_PURSE_MS * 1_000_000
        async with party(wires, member) as flooder:
            flooder.dial(ann)
            await quiet()
            for number in range(5):
                flooder.say(ann, number)
            await quiet()
            assert len(ann.messages()) == 1
        async with party(wires, replace(member, boot=Boot(seed()[:16]))) as again:
            again.dial(ann)
            await quiet()
            again.say(ann, 9)
            await quiet()
            assert len(ann.messages()) == 1
            await trio.sleep(3 * CHANNEL_PAUSE_MS / 1000)
            assert ann.messages()[1:] == [Ping(number=9)], "late, and not never"


@virtual
async def test_what_a_member_has_answered_is_on_its_bill_too() -> None:
    mesh, wires = TestMesh(), Wires()
    async with party(wires, mesh.member()) as ann, party(wires, mesh.member()) as bob:
        bob.dial(ann)
        await quiet()
        ann.world.work_ns = CHANNEL_PURSE_MS * 1_000_000
        for number in range(3):
            ann.say(bob, number)
        await quiet()
        ann.world.work_ns = 0
        bob.say(ann, 1)
        bob.say(ann, 2)
        await quiet()
        assert ann.messages() == [Ping(number=1)], "it was being read when the bill came"
        await trio.sleep(2 * CHANNEL_PURSE_MS * CHANNEL_SHARE / 1000)
        assert len(ann.messages()) == 2


@virtual
async def test_a_member_whose_outputs_others_keep_is_not_held_back_by_what_its_frames_cost() -> None:
    mesh, wires = TestMesh(), Wires()
    async with party(wires, mesh.member()) as ann, party(wires, mesh.member()) as bob:
        ann.turn_ns = EARNED_NS
        bob.dial(ann)
        await quiet()
        for number in range(200):
            bob.say(ann, number)
            await quiet()
            ann.channels.earned(Earned(peer=bob.member.id))
            await trio.sleep(EARNED_SHARE * EARNED_NS / 1e9)
        assert len(ann.messages()) == 200, "each was read when it came"


@virtual
async def test_of_each_channel_one_message_at_a_time_waits_for_the_core() -> None:
    mesh, wires = TestMesh(), Wires()
    async with (
        party(wires, mesh.member()) as ann,
        party(wires, mesh.member()) as bob,
        party(wires, mesh.member()) as cy,
    ):
        for other in (bob, cy):
            other.dial(ann)
        await quiet()
        ann.gate = gate = trio.Event()
        for number in range(50):
            bob.say(ann, number)
        cy.say(ann, 1_000)
        await quiet()
        assert sorted(message.number for message in ann.messages() if isinstance(message, Ping)) == [0, 1_000]
        ann.gate = None
        gate.set()
        await quiet()
        assert len(ann.messages()) == 51


@virtual
async def test_records_for_whoever_has_much_to_read_are_left_for_later_and_all_else_is_said() -> None:
    mesh, wires = TestMesh(), Wires(queue_max_bytes=4 * CHANNEL_BACKLOG_BYTES)
    records = Entries(job=JobId(seed()), entries=(), chains=())
    async with party(wires, mesh.member()) as ann, party(wires, mesh.member()) as slow:
        slow.dial(ann)
        await quiet()
        slow.gate = gate = trio.Event()
        bits = Have(blob=BlobId(seed()), pieces=8 * MAX_BITS_BYTES, bits=bytes(MAX_BITS_BYTES))
        for _ in range(2 + CHANNEL_BACKLOG_BYTES // MAX_BITS_BYTES):
            ann.channels.send(Send(peer=slow.member.id, message=bits))
        ann.channels.send(Send(peer=slow.member.id, message=records))
        ann.say(slow, 7)
        gate.set()
        await quiet()
        assert records not in slow.messages()
        assert slow.messages()[-1] == Ping(number=7)
        ann.channels.send(Send(peer=slow.member.id, message=records))
        await quiet()
        assert slow.messages()[-1] == records


@virtual
async def test_who_comes_again_and_again_waits_for_its_turn() -> None:
    mesh, wires = TestMesh(), Wires()
    member, at_once = mesh.member(), CHANNEL_PURSE_MS * 1_000_000 // OPENING_NS
    async with party(wires, mesh.member()) as ann:
        begun_s = trio.current_time()
        for life in range(at_once + 20):
            async with party(wires, replace(member, boot=Boot(seed()[:16]))) as again:
                again.dial(ann)
                while len(ann.openings()) < 2 * life + 1:  # noqa: ASYNC110 (of virtual time)
                    await trio.sleep(0.01)
            if life < at_once:
                assert trio.current_time() - begun_s < at_once
        spent_s = 20 * OPENING_NS / 1e9
        assert trio.current_time() - begun_s > spent_s * CHANNEL_SHARE * 0.9
