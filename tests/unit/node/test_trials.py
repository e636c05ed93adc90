"""Dials that only show whether they work: where they go, what is told of them, and that nothing of them stays."""

import pytest
import trio

from mesh.core.effects import TryDials
from mesh.core.events import DialsTried, Event
from mesh.ground.ids import PeerId
from mesh.ground.limits import TRY_MS
from mesh.node.rows import tried_rows
from mesh.node.trials import Trials, own_addresses, told_to_asker
from mesh.wire.dials import Outcome, Tried
from mesh.wire.messages import MAX_ADDRESSES, Address
from mesh.wire.signing import Ed25519Verifier
from sim.wires import MemoryTransport, Wires
from tests.support.meshes import TestMesh, seed
from tests.support.parties import DOOR, party, quiet
from tests.support.worlds import virtual


def at(host: str, port: int = 7_000) -> Address:
    return Address(host=host, port=port)


def test_a_peers_loopback_is_left_out_unless_its_channel_is_loopback() -> None:
    near, far = at("127.0.0.1"), at("192.0.2.7")
    assert own_addresses((far, near, at("::1"))) == (far,)
    assert own_addresses((near, far)) == (near, far)
    assert own_addresses(()) == ()
    assert len(own_addresses(tuple(at("192.0.2.7", port) for port in range(1, 40)))) == MAX_ADDRESSES


def test_of_a_third_party_no_more_is_told_than_that_the_asker_was_not_met_there() -> None:
    own, victim = at("192.0.2.7"), at("203.0.113.5", 22)
    for outcome in Outcome:
        tried = (Tried(address=own, outcome=outcome), Tried(address=victim, outcome=outcome))
        mine, other = told_to_asker(tried)
        assert mine.outcome == outcome
        assert other.outcome == (Outcome.REACHED if outcome is Outcome.REACHED else Outcome.NO_WAY)
    assert told_to_asker(()) == ()


class Trier:
    """A peer that tries dials; the test says where its channels lead."""

    def __init__(self, nursery: trio.Nursery, transport: MemoryTransport) -> None:
        self.routes: dict[PeerId, tuple[Address, ...]] = {}
        self._told, self._heard = trio.open_memory_channel[Event](8)
        self._trials = Trials(
            nursery=nursery, transport=transport, routes=lambda peer: self.routes.get(peer, ()), tell=self._told.send
        )

    async def tried(self, peer: PeerId, *addresses: Address) -> list[Outcome]:
        """Try, and return the outcomes, once they are told; fail if that takes longer than it may."""
        self._trials.begin(TryDials(op=1, peer=peer, addresses=addresses))
        with trio.fail_after(TRY_MS / 1000 + 0.1):
            event = await self._heard.receive()
        assert isinstance(event, DialsTried)
        return [Outcome(one.outcome) for one in event.tried]


@virtual
async def test_each_outcome_has_its_name() -> None:
    mesh, wires = TestMesh(), Wires()
    me = mesh.member()
    async with (
        party(wires, mesh.member()) as ann,
        party(wires, mesh.member()) as bob,
        wires.attach(me.papers, door=DOOR, verifier=Ed25519Verifier(), entropy=seed) as transport,
        trio.open_nursery() as nursery,
    ):
        trier, whom = Trier(nursery, transport), ann.member.id
        nowhere, unknown = at("127.0.0.1", 1), at("far.invalid")
        outcomes = await trier.tried(whom, ann.address, nowhere, unknown, bob.address)
        assert outcomes == [Outcome.REACHED, Outcome.REFUSED, Outcome.NO_WAY, Outcome.NO_WAY]
        wires.cut = True
        assert await trier.tried(whom, ann.address) == [Outcome.SILENT]


@virtual
async def test_who_is_dialled_to_no_end_hears_of_no_channel() -> None:
    mesh, wires = TestMesh(), Wires()
    me = mesh.member()
    async with (
        party(wires, mesh.member()) as ann,
        wires.attach(me.papers, door=DOOR, verifier=Ed25519Verifier(), entropy=seed) as transport,
        trio.open_nursery() as nursery,
    ):
        trier = Trier(nursery, transport)
        assert await trier.tried(ann.member.id) == [], "it has no channel: nothing is tried"
        trier.routes[ann.member.id] = (ann.address, at("127.0.0.1", 1))
        assert await trier.tried(ann.member.id) == [Outcome.REACHED, Outcome.REFUSED]
        await quiet()
        assert ann.heard == []


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_outcome_has_a_name_for_people(outcome: Outcome) -> None:
    (row,) = tried_rows((Tried(address=at("192.0.2.7"), outcome=outcome),))
    assert row["outcome"] == {1: "reached", 2: "refused", 3: "silent", 4: "no way"}[outcome]
    (newer,) = tried_rows((Tried(address=at("192.0.2.7"), outcome=200),))
    assert newer["outcome"] == "no way"
