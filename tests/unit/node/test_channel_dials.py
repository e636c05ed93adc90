"""What a dial that leads nowhere, or to somebody else, says of the peer."""

import trio

from mesh.core.effects import Dial
from mesh.core.events import DialFailed
from mesh.wire.messages import Address
from sim.wires import Wires
from tests.support.meshes import TestMesh
from tests.support.parties import party, quiet
from tests.support.worlds import virtual


@virtual
async def test_a_dial_that_fails_says_whether_it_was_refused() -> None:
    mesh, wires = TestMesh(), Wires()
    async with party(wires, mesh.member()) as ann:
        gone = mesh.member().id
        nowhere = (Address(host="127.0.0.1", port=1),)
        ann.channels.dial(Dial(peer=gone, addresses=nowhere))
        await quiet()
        assert ann.heard == [DialFailed(peer=gone, refused=True)]
        # This very host refuses, which says nothing of one that could not be asked.
        ann.channels.dial(Dial(peer=gone, addresses=(*nowhere, Address(host="far.invalid", port=1))))
        await trio.sleep(5)
        assert ann.heard[1:] == [DialFailed(peer=gone, refused=False)]
        wires.cut = True
        ann.channels.dial(Dial(peer=gone, addresses=nowhere))
        await trio.sleep(60)
        assert ann.heard[2:] == [DialFailed(peer=gone, refused=False)]


@virtual
async def test_a_refusal_where_only_others_say_that_a_peer_is_proves_nothing() -> None:
    mesh, wires = TestMesh(), Wires()
    async with party(wires, mesh.member()) as ann:
        gone = mesh.member().id
        silent, refusing = Address(host="far.invalid", port=1), Address(host="127.0.0.1", port=1)
        ann.channels.dial(Dial(peer=gone, addresses=(silent, refusing), others=1))
        await trio.sleep(5)
        ann.channels.dial(Dial(peer=gone, addresses=(refusing,), others=1))
        await trio.sleep(5)
        assert ann.heard == [DialFailed(peer=gone, refused=False)] * 2
        ann.channels.dial(Dial(peer=gone, addresses=(refusing, silent), others=1))
        await trio.sleep(5)
        assert ann.heard[2:] == [DialFailed(peer=gone, refused=True)]


@virtual
async def test_whoever_answers_at_an_address_is_no_other_peer() -> None:
    mesh, wires = TestMesh(), Wires()
    async with party(wires, mesh.member()) as ann, party(wires, mesh.member()) as bob:
        other = mesh.member().id
        ann.channels.dial(Dial(peer=other, addresses=(bob.address,)))
        await trio.sleep(5)
        assert ann.heard == [DialFailed(peer=other, refused=False)]
        assert bob.heard == []
