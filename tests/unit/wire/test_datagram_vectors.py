"""Bytes that a conversation by datagrams has on the wire, frozen: whoever changes them makes a new version.

`tests/vectors/datagram/v1.txt` holds what this program said when the format was settled; it is never regenerated.
"""

import itertools
from collections.abc import Callable
from pathlib import Path

from mesh.ground.ids import Boot
from mesh.ground.instants import Instant, WallTime
from mesh.wire import datagram
from mesh.wire.datagram import NO_COOKIE, First
from mesh.wire.envelope import mesh_id, peer_id, sign
from mesh.wire.greeting import Company
from mesh.wire.halfopen import Places
from mesh.wire.handshake import DatedDoor, Papers
from mesh.wire.members import Admission, Credentials, StaticKey
from mesh.wire.messages import Address
from mesh.wire.noise import KeyPair
from mesh.wire.pairs import Most, Pairs
from mesh.wire.signing import Ed25519Signer, Ed25519Verifier

VECTORS = Path(__file__).parents[2] / "vectors" / "datagram" / "v1.txt"


def frozen() -> dict[str, bytes]:
    pairs = (line.split("=") for line in VECTORS.read_text().split())
    return {name: bytes.fromhex(value) for name, value in pairs}


def key(number: int) -> bytes:
    return bytes([number]) * 32


ROOT = Ed25519Signer(key(1))
MESH = mesh_id(ROOT.key)
ONE, OTHER = Address(host="192.0.2.1", port=7_001), Address(host="192.0.2.2", port=7_002)


def counting(start: int) -> Callable[[int], bytes]:
    numbers = itertools.count(start)
    return lambda size: bytes([next(numbers)]) * size


def pairs(signer: Ed25519Signer, static: bytes, boot: Boot, *, start: int, calm: int) -> Pairs:
    """Return one side, with every random number fixed."""
    own = KeyPair.of(static)
    admission = Admission(mesh=MESH, subject=signer.key, roles=7, issued=WallTime(0), expires=WallTime(10), invite=None)
    shown = Credentials(
        chain=(sign(admission, ROOT),), static=sign(StaticKey(mesh=MESH, static=own.public), signer), boot=boot
    )
    papers = Papers(mesh=MESH, secret=key(4), static=own, shown=shown, highest=1)
    company = Company(papers=papers, door=DatedDoor(lambda: WallTime(5)), verifier=Ed25519Verifier())
    return Pairs(company, counting(start), Most(places=Places(most=8, calm=calm, per_source=8)))


def conversation() -> dict[str, bytes]:
    """Return what two members say, a cookie included."""
    now, called = Instant(1_000), Ed25519Signer(key(3))
    one = pairs(Ed25519Signer(key(2)), key(5), Boot(bytes(16)), start=20, calm=8)
    other = pairs(called, key(7), Boot(key(9)[:16]), start=120, calm=0)
    (first,) = one.send(now, peer_id(called.key), (OTHER,), b"payload")
    said = {"first": first.data}
    (cookie,) = other.hear(now, ONE, first.data).send
    said["cookie"] = cookie.data
    (again,) = one.hear(now, OTHER, cookie.data).send
    said["first_with_cookie"] = again.data
    (second,) = other.hear(now, ONE, again.data).send
    said["second"] = second.data
    third, sealed = one.hear(now, OTHER, second.data).send
    said["third"], said["sealed"] = third.data, sealed.data
    (welcome,) = other.hear(now, ONE, third.data).send
    said["welcome"] = welcome.data
    heard = other.hear(now, ONE, sealed.data).heard
    assert heard
    assert heard.payload == b"payload"
    assert one.hear(now, OTHER, welcome.data).send == ()
    assert not one.busy
    return said


def test_a_conversation_is_as_it_was_frozen() -> None:
    vectors, said = frozen(), conversation()
    missing = [f"{name}={data.hex()}" for name, data in said.items() if name not in vectors]
    assert not missing, f"add to {VECTORS}:\n" + "\n".join(missing)
    for name, data in said.items():
        assert data == vectors[name], name


def test_frozen_datagrams_are_read() -> None:
    found = datagram.decode(frozen()["first"])
    assert isinstance(found, First)
    assert (found.part, found.cookie, len(frozen()["first"])) == (0, NO_COOKIE, 1_232)
    for name, data in frozen().items():
        assert datagram.decode(data), name
