"""Datagrams of the DHT and of probing: bounded, typed, and refused where they are anything else."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.ground.errors import WireError
from mesh.ground.ids import PeerId, RecordId
from mesh.wire import cbor, lookups, members
from mesh.wire.codec import codec_of
from mesh.wire.envelope import Signed
from mesh.wire.lookups import Endpoint
from mesh.wire.probes import Gossip, Probe, State, Tiding
from tests.strategies import largest, sample
from tests.support.cast import Cast

IPV4 = bytes((192, 0, 2, 7))


@pytest.mark.parametrize("kind", lookups.LOOKUPS)
def test_the_longest_fits_a_datagram(kind: Any) -> None:
    data = lookups.encode(largest(kind))
    assert len(data) <= lookups.MAX_LOOKUP_BYTES
    assert lookups.decode(data) == largest(kind)


def test_a_pointer_fits_where_pointers_are_kept() -> None:
    assert len(cbor.encode(codec_of(Signed[lookups.Pointer]).write(largest(Signed[lookups.Pointer])))) <= 1_000


def test_what_is_longer_than_a_datagram_is_not_even_read() -> None:
    with pytest.raises(WireError):
        lookups.decode(cbor.encode([1, [bytes(1_100)]]))


@pytest.mark.parametrize(
    "said",
    [
        [99, [1]],
        [True, [1]],
        [1, []],
        [1, [1, 2]],
        [1, [-1]],
        [1, ["1"]],
        [3, [1, bytes(21)]],
        [3, [1, bytes(19)]],
        [3, [1, "target"]],
        [4, [1, [[bytes(32), [[IPV4, 70_000]]]]]],
        [4, [1, [[bytes(32), [[IPV4, 0]]]]]],
        [4, [1, [[bytes(32), [["192.0.2.7", 7_000]]]]]],
        [4, [1, [[bytes(32), [[bytes(5), 7_000]]]]]],
        [4, [1, [[bytes(20), [[IPV4, 7_000]]]]]],
        [4, [1, [[bytes(32), []]] * 9]],
        [6, [1, [["value"]], []]],
        [6, [1, ["value"], []]],
        [9, [1, [[bytes(32), 1, 1]] * 17]],
        [9, [1, [[bytes(32), -1, 1]]]],
        [9, [1, [[bytes(32), 1, 16]]]],
        [9, [1, [[bytes(20), 1, 1]]]],
        [9, [1, []]],
        [10, [1, bytes(32), [[IPV4, 7_000]] * 3]],
        [12, [1, 1]],
        [13, [[[bytes(32), 2**62 + 1, 1]]]],
    ],
)
def test_what_is_nearly_right_is_refused_as_a_whole(said: Any) -> None:
    with pytest.raises(WireError):
        lookups.decode(cbor.encode(said))


@pytest.mark.parametrize("ip", [b"", bytes(3), bytes(5), bytes(15), bytes(10) + b"\xff\xff" + IPV4])
def test_an_address_is_written_in_one_way(ip: bytes) -> None:
    with pytest.raises(ValueError, match="no IP address"):
        Endpoint(ip=ip, port=1)


def test_every_question_has_an_answer_of_its_own() -> None:
    kinds = [*lookups.ANSWERS, *lookups.ANSWERS.values(), Gossip]
    assert sorted(kind.NUMBER for kind in kinds) == sorted(lookups.BY_NUMBER)


def test_a_state_that_only_a_newer_peer_knows_is_read() -> None:
    """Whoever does not know it passes over that tiding, and takes the others."""
    later = Probe(number=1, tidings=(Tiding(peer=PeerId(bytes(32)), incarnation=1, state=max(State) + 1),))
    assert lookups.decode(lookups.encode(later)) == later


def test_who_came_by_one_invite_is_kin_however_deep_it_hangs() -> None:
    cast = Cast()
    founder = cast.founder()
    invite = RecordId(bytes(range(32)))

    def admitted(name: str, by: Any, chain: Any, used: RecordId | None) -> Any:
        body = sample(members.Admission)
        fields = {"mesh": cast.mesh, "roles": 7, "issued": body.issued, "expires": body.expires}
        admission = members.Admission(subject=cast.signer(name).key, invite=used, **fields)
        return (*chain, members_sign(admission, by))

    from mesh.wire.envelope import sign as members_sign

    bad = admitted("bad", founder.signer, founder.chain, invite)
    child = admitted("child", cast.signer("bad"), bad, RecordId(bytes(32)))
    grandchild = admitted("grandchild", cast.signer("child"), child, None)
    other = admitted("other", founder.signer, founder.chain, RecordId(bytes([7]) * 32))
    assert members.let_in_by(bad) == members.let_in_by(child) == members.let_in_by(grandchild) == invite
    assert members.let_in_by(other) != invite
    assert members.let_in_by(founder.chain) == founder.signer.key
