"""Bytes that a channel of version 1 has on the wire, frozen: whoever changes them makes a new version.

`tests/vectors/channel/v1.txt` holds what this program said when the format was settled; it is never regenerated.
"""

from pathlib import Path

from mesh.ground.ids import BlobId, Boot
from mesh.ground.instants import WallTime
from mesh.wire import bulk
from mesh.wire.cipher import REKEY_PACKETS, Opener, Sealer
from mesh.wire.envelope import mesh_id, sign
from mesh.wire.handshake import DatedDoor, Papers, Purpose, initiate, mesh_hint, respond
from mesh.wire.members import Admission, Credentials, StaticKey
from mesh.wire.noise import KeyPair
from mesh.wire.signing import Ed25519Signer, Ed25519Verifier

VECTORS = Path(__file__).parents[2] / "vectors" / "channel" / "v1.txt"
BLOB = BlobId(bytes(range(32)))
MESSAGES: dict[str, bulk.BulkMessage] = {
    "ask_manifest": bulk.AskManifest(blob=BLOB),
    "ask_pieces": bulk.AskPieces(blob=BLOB, numbers=(0, 1, 16_383)),
    "manifest_sent": bulk.ManifestSent(data=b"\x82\x00\x80"),
    "part": bulk.Part(number=7, offset=262_144, data=b"part of a piece"),
    "not_here": bulk.NotHere(number=7),
    "no_manifest": bulk.NotHere(number=bulk.MANIFEST),
}


def frozen() -> dict[str, bytes]:
    pairs = (line.split("=") for line in VECTORS.read_text().split())
    return {name: bytes.fromhex(value) for name, value in pairs}


def key(number: int) -> bytes:
    return bytes([number]) * 32


ROOT = Ed25519Signer(key(1))
MESH = mesh_id(ROOT.key)
SECRET = key(4)


def papers(signer: Ed25519Signer, static: bytes, boot: Boot) -> Papers:
    pair = KeyPair.of(static)
    admission = Admission(mesh=MESH, subject=signer.key, roles=7, issued=WallTime(0), expires=WallTime(10), invite=None)
    shown = Credentials(
        chain=(sign(admission, ROOT),), static=sign(StaticKey(mesh=MESH, static=pair.public), signer), boot=boot
    )
    return Papers(mesh=MESH, secret=SECRET, static=pair, shown=shown, highest=1)


def conversation() -> dict[str, bytes]:
    """Return what two members say, with every random number fixed."""
    door, verifier = DatedDoor(lambda: WallTime(5)), Ed25519Verifier()
    one = initiate(
        papers=papers(Ed25519Signer(key(2)), key(5), Boot(bytes(16))),
        purpose=Purpose.CONTROL,
        door=door,
        verifier=verifier,
        seed=key(6),
    )
    other = respond(
        papers=papers(Ed25519Signer(key(3)), key(7), Boot(key(9)[:16])), door=door, verifier=verifier, seed=key(8)
    )
    said = {"preamble_and_message_1": one.feed(b"")}
    said["message_2"] = other.feed(said["preamble_and_message_1"])
    said["message_3"] = one.feed(said["message_2"])
    said["welcome"] = other.feed(said["message_3"])
    assert one.feed(said["welcome"]) == b""
    assert one.opened
    said["first_packet"] = one.opened.sealer.seal(b"first")
    said["close"] = one.opened.sealer.close()
    return said


def after_rekeying() -> bytes:
    sealer, opener = Sealer(key(1), 100), Opener(key(1), 100)
    for _ in range(REKEY_PACKETS):
        opener.feed(sealer.seal(b""))
    return sealer.seal(b"under the next key")


def test_a_conversation_is_as_it_was_frozen() -> None:
    vectors = frozen()
    for name, said in conversation().items():
        assert said == vectors[name], name


def test_the_hint_and_the_first_packet_after_rekeying_are_as_they_were_frozen() -> None:
    assert mesh_hint(MESH, SECRET) == frozen()["mesh_hint"]
    assert after_rekeying() == frozen()["after_rekeying"]


def test_bulk_packets_are_as_they_were_frozen() -> None:
    vectors = frozen()
    for name, message in MESSAGES.items():
        assert bulk.encode(message) == vectors[name], name
        decode = bulk.decode_question if name.startswith("ask") else bulk.decode_answer
        assert decode(vectors[name]) == message
