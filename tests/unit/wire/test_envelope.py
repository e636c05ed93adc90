"""Signed statements: one domain a kind, an id that leaves the signature out, and no signature that nobody looks at."""

import dataclasses
from typing import Any

import pytest
from blake3 import blake3

from mesh.ground.errors import WireError
from mesh.ground.ids import ID_SIZE, BlobId, Boot, JobId, PublicKey
from mesh.ground.instants import WallTime
from mesh.wire import cbor, envelope, members, messages, records
from mesh.wire.envelope import Signed, check, decode, encode, message_of, peer_id, sign, statements
from mesh.wire.messages import Entries, Head, News, Ping
from mesh.wire.records import Claim, Entry, Hold, Mark, Output, Result, SealedTask, SealPage
from mesh.wire.signing import Ed25519Signer, Ed25519Verifier
from tests.strategies import sample

ALICE, BOB = Ed25519Signer(bytes([1]) * 32), Ed25519Signer(bytes([2]) * 32)
VERIFIER = Ed25519Verifier()
JOB, BOOT = JobId(bytes(32)), Boot(bytes(16))
MARK = Mark(job=JOB, expires=WallTime(1_000))


def claim(task: int = 3) -> Signed[Claim]:
    return sign(Claim(job=JOB, task=task, attempt=1, boot=BOOT, number=1), ALICE)


def result(claimed: Signed[Claim]) -> Signed[Entry]:
    made = Result(claim=claimed, outputs=(Output(blob=BlobId(bytes(32)), size=9),), render_ms=5, log=None)
    return sign(Entry(job=JOB, boot=BOOT, number=1, what=made), ALICE)


def forged(signed: Signed[Any]) -> Signed[Any]:
    """The same statement with one bit of its signature turned over: the same id, and equal to the true one."""
    return dataclasses.replace(signed, signature=bytes([signed.signature[0] ^ 1]) + signed.signature[1:])


def test_a_statement_comes_back_and_passes() -> None:
    signed = sign(MARK, ALICE)
    back = decode(Mark, encode(signed))
    assert (back.body, back.key, back.data, back.signature) == (MARK, ALICE.key, signed.data, signed.signature)
    assert back.author == peer_id(ALICE.key)
    assert back.id == signed.id
    check(back, VERIFIER)


@pytest.mark.parametrize("at", range(0, 180, 7))
def test_any_changed_byte_is_found(at: int) -> None:
    data = bytearray(encode(sign(MARK, ALICE)))
    data[at % len(data)] ^= 0x10
    with pytest.raises(WireError):
        check(decode(Mark, bytes(data)), VERIFIER)


def test_the_same_fields_are_another_statement_under_another_domain() -> None:
    hold = Hold(job=JOB, blob=BlobId(bytes(32)), nonce=bytes(16))
    signed = sign(hold, ALICE)

    class Posing(Hold):
        DOMAIN = "mark"

    posing = decode(Posing, encode(signed))
    assert posing.data == signed.data
    assert posing.id != signed.id
    with pytest.raises(WireError, match="forged"):
        check(posing, VERIFIER)


def test_every_body_has_a_domain_of_its_own() -> None:
    kinds = {
        kind
        for module in (records, members)
        for kind in vars(module).values()
        if isinstance(kind, type) and "DOMAIN" in vars(kind)
    }
    domains = [kind.DOMAIN for kind in kinds]
    assert {records.Job, records.Entry, members.Admission, members.StaticKey} <= kinds
    assert len(set(domains)) == len(domains)
    # The zero byte after a domain parts it from the key: no domain is another one's beginning.
    assert all(domain.isascii() and domain.isprintable() for domain in domains)


def test_what_a_signature_covers_names_domain_and_author() -> None:
    assert message_of("mark", ALICE.key, b"body") == b"meshnode/1/mark\0" + ALICE.key + b"body"
    signed = sign(MARK, ALICE)
    assert signed.id == blake3(message_of("mark", ALICE.key, signed.data)).digest()


def test_another_author_cannot_take_a_statement_over() -> None:
    signed = sign(MARK, ALICE)
    stolen = decode(Mark, cbor.encode([BOB.key, signed.data, signed.signature]))
    assert stolen.author == peer_id(BOB.key)
    assert stolen.id != signed.id
    with pytest.raises(WireError):
        check(stolen, VERIFIER)


def test_an_id_leaves_the_signature_out_so_each_copy_is_checked() -> None:
    true = sign(MARK, ALICE)
    false = forged(true)
    assert false == true
    assert hash(false) == hash(true)
    check(true, VERIFIER)
    with pytest.raises(WireError):
        check(false, VERIFIER)


def test_statements_differ_by_body_and_author() -> None:
    other = dataclasses.replace(MARK, expires=WallTime(1_001))
    assert len({sign(body, signer) for body in (MARK, other) for signer in (ALICE, BOB)}) == 4
    assert sign(MARK, ALICE) != MARK


def test_bytes_are_kept_as_they_came() -> None:
    signed = sign(MARK, ALICE)
    assert decode(Mark, encode(signed)).data == signed.data
    # A second encoding of the same body is no encoding.
    longer = b"\x98" + bytes([len(dataclasses.fields(Mark))]) + signed.data[1:]
    with pytest.raises(WireError):
        decode(Mark, cbor.encode([ALICE.key, longer, ALICE.sign(message_of("mark", ALICE.key, longer))]))


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        [bytes(32), b"", bytes(64)],
        [bytes(31), sign(MARK, ALICE).data, bytes(64)],
        [bytes(32), sign(MARK, ALICE).data, bytes(63)],
        [bytes(32), sign(MARK, ALICE).data],
        [bytes(32), sign(MARK, ALICE).data, bytes(64), b""],
        [bytes(32), "text", bytes(64)],
        [bytes(32), bytes(envelope.MAX_BODY_BYTES + 1), bytes(64)],
    ],
)
def test_another_shape_is_refused(value: cbor.Value) -> None:
    with pytest.raises(WireError):
        decode(Mark, cbor.encode(value))


def test_the_largest_body_fits_its_bound() -> None:
    data = bytes(envelope.MAX_BODY_BYTES)
    with pytest.raises(WireError, match=r"bytes after"):
        decode(Mark, cbor.encode([bytes(ID_SIZE), data, bytes(64)]))


def test_the_walk_finds_what_statements_carry() -> None:
    claimed = claim()
    entry = result(claimed)
    assert list(statements(entry)) == [entry, claimed]
    assert list(statements((entry, None, (claimed,)))) == [entry, claimed, claimed]
    assert list(statements(Ping(number=1))) == []
    assert list(statements(None)) == []


def test_the_walk_finds_every_statement_of_every_type_that_travels() -> None:
    def everything(thing: object) -> list[Signed[Any]]:
        """The same by looking everywhere."""
        if isinstance(thing, Signed):
            return [thing, *everything(thing.body)]
        if isinstance(thing, tuple):
            return [found for item in thing for found in everything(item)]
        if dataclasses.is_dataclass(thing):
            return [found for field in dataclasses.fields(thing) for found in everything(getattr(thing, field.name))]
        return []

    found = 0
    for kind in (*messages.MESSAGES, SealPage, members.Credentials, members.JoinRequest):
        thing = sample(kind)
        assert list(statements(thing)) == everything(thing), kind.__name__
        found += len(everything(thing))
    assert found > 30


@pytest.mark.parametrize("place", ["outer", "inner", "last", "chain"])
def test_one_forged_signature_anywhere_is_found(place: str) -> None:
    good, inner = result(claim(1)), claim(2)
    entries = (good, result(inner))
    chain = sample(Head).chain
    if place == "outer":
        entries = (forged(good), entries[1])
    elif place == "inner":
        entries = (good, result(forged(inner)))
    elif place == "last":
        entries = (good, forged(entries[1]))
    elif place == "chain":
        chain = (*chain[:-1], forged(chain[-1]))
    message = Entries(job=JOB, entries=entries, chains=(chain,))
    check(Entries(job=JOB, entries=(good, result(claim(2))), chains=(sample(Head).chain,)), VERIFIER)
    with pytest.raises(WireError, match="forged"):
        check(message, VERIFIER)


def test_a_page_is_checked_with_all_its_holds() -> None:
    hold = sign(Hold(job=JOB, blob=BlobId(bytes(32)), nonce=bytes(16)), BOB)
    page = SealPage(
        job=JOB,
        tasks=(SealedTask(result=None, holds=()), SealedTask(result=result(claim()), holds=(hold,))),
        chains=(sample(Head).chain,),
    )
    check(page, VERIFIER)
    tasks = (page.tasks[0], dataclasses.replace(page.tasks[1], holds=(forged(hold),)))
    with pytest.raises(WireError):
        check(dataclasses.replace(page, tasks=tasks), VERIFIER)


def test_news_carries_its_statements() -> None:
    news = sample(News)
    assert len(list(statements(news))) > 8
    check(news, VERIFIER)


def test_nothing_hides_in_a_type_that_cannot_travel() -> None:
    @dataclasses.dataclass(frozen=True)
    class Hiding:
        what: object

    with pytest.raises(TypeError):
        list(statements(Hiding(what=claim())))


def test_a_body_that_may_be_too_large_is_our_bug() -> None:
    with pytest.raises(TypeError, match="SealPage"):
        Signed.codec((SealPage,))


@pytest.mark.parametrize("key", [bytes(32), b"\1" + bytes(31), b"\xff" * 32, b"short"])
def test_a_weak_key_signs_nothing(key: bytes) -> None:
    assert not VERIFIER.verifies(PublicKey(key), b"anything", bytes(64))
    assert not VERIFIER.verifies(PublicKey(key), b"anything", key + bytes(32))


def test_a_signer_shows_no_secret() -> None:
    signer = Ed25519Signer(b"secret-secret-secret-secret-0123")
    assert "secret" not in repr(signer)
    assert not VERIFIER.verifies(signer.key, b"other", signer.sign(b"message"))
    assert VERIFIER.verifies(signer.key, b"message", signer.sign(b"message"))
