"""What strangers, recordings and floods get from a peer that hears datagrams: next to nothing, and it stays small."""

from dataclasses import replace

import pytest

from mesh.ground.datagram_limits import (
    ANSWERS_PER_SECOND,
    ANSWERS_PER_SOURCE,
    CHECKS_PER_SOURCE,
    COOKIE_MS,
    FORGERIES,
    HALF_OPEN_MS,
    HALF_OPEN_PER_SOURCE,
    MAX_HALF_OPEN,
)
from mesh.ground.instants import SECOND_MS, Instant
from mesh.wire import datagram
from mesh.wire.datagram import DATAGRAM_MAX_BYTES, NO_COOKIE, First, Kind, Part
from mesh.wire.greeting import HASTE
from mesh.wire.halfopen import Places, source_of
from mesh.wire.handshake import PREAMBLE_SIZE, Preamble, Purpose, mesh_hint
from mesh.wire.messages import Address
from mesh.wire.noise import KeyPair
from mesh.wire.pairs import Most
from tests.support.ether import Ether, Flying, Station, company_of
from tests.support.meshes import TestMesh

FIRST_LEAST = 2 + 16 + 8 + PREAMBLE_SIZE + 48


def address(number: int) -> Address:
    return Address(host=f"172.16.{number // 250}.{number % 250 + 1}", port=1_000 + number)


def first_from(ether: Ether, mesh: TestMesh, to: Station) -> bytes:
    """Return the first datagram of a new member, who sends nothing else."""
    caller = ether.station(mesh.member())
    (sent,) = caller.pairs.send(ether.now, to.id, (to.address,), b"ping")
    return sent.data


def hears(ether: Ether, station: Station, source: Address, data: bytes) -> list[bytes]:
    """Return what a peer answers to a datagram from anywhere, having checked that it goes back and is no longer."""
    reaction = station.pairs.hear(ether.now, source, data)
    assert reaction.heard is None
    assert all(out.address == source for out in reaction.send)
    assert sum(len(out.data) for out in reaction.send) <= len(data)
    return [out.data for out in reaction.send]


def one(most: Most | None = None) -> tuple[Ether, TestMesh, Station]:
    ether, mesh = Ether(), TestMesh()
    return ether, mesh, ether.station(mesh.member().admits().admits().admits(), most=most)


def first_of(data: bytes) -> First:
    found = datagram.decode(data)
    assert isinstance(found, First)
    return found


def test_a_replayed_first_datagram_earns_one_answer_no_longer_than_itself() -> None:
    ether, mesh, bob = one()
    data = first_from(ether, mesh, bob)
    for number in range(10):
        (answer,) = hears(ether, bob, address(number), data)
        assert answer[0] == Kind.SECOND
        assert len(answer) <= len(data)
    assert bob.pairs.pairs == 0
    ether.now = Instant(ether.now + HALF_OPEN_MS)
    bob.pairs.wake(ether.now)
    assert bob.pairs.half_open == 0


def test_a_first_datagram_cut_short_earns_only_what_it_pays_for() -> None:
    ether, mesh, bob = one()
    data = first_from(ether, mesh, bob)
    for number, size in enumerate(range(FIRST_LEAST, DATAGRAM_MAX_BYTES, 100)):
        hears(ether, bob, address(number), data[:size])
    assert hears(ether, bob, address(99), data[:FIRST_LEAST]) == []
    assert hears(ether, bob, address(99), data[: FIRST_LEAST - 1]) == []


@pytest.mark.parametrize(
    "why", [why for why, (_, purpose) in TestMesh().bad_papers().items() if purpose is not Purpose.JOIN]
)
def test_one_who_knows_the_secret_without_a_proof_gets_message_2_and_no_more(why: str) -> None:
    ether, mesh, bob = one()
    papers, _ = mesh.bad_papers()[why]
    eve = ether.station(mesh.member(), papers=papers)
    ether.say(eve, bob, b"let me in")
    ether.wait(HALF_OPEN_MS)
    assert {flying.data[0] for flying in ether.flown if flying.source == bob.address} <= {Kind.SECOND}
    assert not bob.heard
    assert (bob.pairs.pairs, bob.pairs.half_open) == (0, 0)


def test_a_part_that_there_is_not_earns_nothing() -> None:
    ether, mesh, bob = one()
    first = first_of(first_from(ether, mesh, bob))
    for part in (1, 2, 3):
        assert hears(ether, bob, address(0), replace(first, part=part).encode(DATAGRAM_MAX_BYTES)) == []


@pytest.mark.parametrize("padding", [b"", bytes(1_000)], ids=["short", "long"])
def test_bytes_of_a_stranger_earn_no_byte(padding: bytes) -> None:
    ether, mesh, bob = one()
    theirs = first_from(ether, TestMesh(), bob)
    honest = first_from(ether, mesh, bob)
    bent = [honest[:at] + bytes([honest[at] ^ 1]) + honest[at + 1 :] for at in range(18, FIRST_LEAST)]
    for data in (theirs, *bent, b"", b"\0", b"\2" + padding, b"\5" + bytes(40) + padding, b"\4" + padding, padding):
        assert hears(ether, bob, address(0), data) == []
    assert bob.pairs.half_open == 0


def test_a_flood_from_many_sources_takes_bounded_places_and_then_only_cookies_are_given() -> None:
    ether, mesh, bob = one()
    given: list[int] = []
    firsts = [first_from(ether, mesh, bob) for _ in range(20)]
    for number in range(2_000):
        ether.now = Instant(ether.now + 1)
        given += [answer[0] for answer in hears(ether, bob, address(number), firsts[number % len(firsts)])]
        assert bob.pairs.half_open <= MAX_HALF_OPEN
    assert given.count(Kind.SECOND) + given.count(Kind.COOKIE) == len(given)
    assert given.count(Kind.COOKIE) > 1_500
    assert bob.pairs.pairs == 0


def test_during_a_flood_an_honest_peer_gets_in_by_its_cookie() -> None:
    ether, mesh, bob = one(Most(places=Places(most=20, calm=10, per_source=5)))
    data = first_from(ether, mesh, bob)
    for number in range(50):
        hears(ether, bob, address(number), data)
    assert bob.pairs.half_open == 10
    ann = ether.station(mesh.member())
    ether.say(ann, bob, b"ping")
    ether.settle()
    assert ether.kinds() == [Kind.FIRST, Kind.COOKIE, Kind.FIRST, Kind.SECOND, Kind.THIRD, Kind.SEALED, Kind.SEALED]
    assert bob.payloads == [b"ping"]


def test_a_cookie_is_good_for_its_message_and_its_address_and_not_for_long() -> None:
    ether, mesh, bob = one(Most(places=Places(most=20, calm=0, per_source=5)))
    ann = ether.station(mesh.member())
    (sent,) = ann.pairs.send(ether.now, bob.id, (bob.address,), b"ping")
    (cookie,) = hears(ether, bob, ann.address, sent.data)
    (shown,) = ann.pairs.hear(ether.now, bob.address, cookie).send
    first = first_of(shown.data)
    assert first.cookie != NO_COOKIE
    assert hears(ether, bob, address(0), shown.data)[0][0] == Kind.COOKIE
    other = first_of(first_from(ether, mesh, bob))
    mixed = replace(other, cookie=first.cookie).encode(DATAGRAM_MAX_BYTES)
    assert hears(ether, bob, ann.address, mixed)[0][0] == Kind.COOKIE
    ether.now = Instant(ether.now + COOKIE_MS)
    assert hears(ether, bob, address(1), sent.data)[0][0] == Kind.COOKIE
    assert hears(ether, bob, ann.address, shown.data)[0][0] == Kind.SECOND
    ether.now = Instant(ether.now + 2 * COOKIE_MS)
    bob.pairs.wake(ether.now)
    hears(ether, bob, address(1), sent.data)
    hears(ether, bob, address(1), replace(first_of(sent.data), part=1).encode(DATAGRAM_MAX_BYTES))
    ether.now = Instant(ether.now + 2 * COOKIE_MS)
    hears(ether, bob, address(1), sent.data)
    assert hears(ether, bob, ann.address, shown.data)[0][0] == Kind.COOKIE


def test_those_with_a_cookie_are_not_pushed_out_by_those_without() -> None:
    ether, mesh, bob = one(Most(places=Places(most=12, calm=8, per_source=4)))
    flood = first_from(ether, mesh, bob)
    for number in range(8):
        hears(ether, bob, address(number), flood)
    slow = ether.station(mesh.member())
    (sent,) = slow.pairs.send(ether.now, bob.id, (bob.address,), b"ping")
    (cookie,) = hears(ether, bob, slow.address, sent.data)
    (shown,) = slow.pairs.hear(ether.now, bob.address, cookie).send
    (second,) = hears(ether, bob, slow.address, shown.data)
    for number in range(100, 400):
        hears(ether, bob, address(number), flood)
    follows = slow.pairs.hear(ether.now, bob.address, second)
    assert [out.data[0] for out in follows.send] == [Kind.THIRD, Kind.SEALED]
    bob.pairs.hear(ether.now, slow.address, follows.send[0].data)
    assert bob.pairs.pairs == 1


def test_one_source_has_a_few_places_and_never_more_than_twice_as_many() -> None:
    ether, mesh, bob = one()
    given = []
    for number in range(4 * HALF_OPEN_PER_SOURCE):
        source = Address(host="172.16.0.1", port=1_000 + number)
        given += [answer[0] for answer in hears(ether, bob, source, first_from(ether, mesh, bob))]
    assert given.count(Kind.SECOND) == bob.pairs.half_open == HALF_OPEN_PER_SOURCE
    assert given.count(Kind.COOKIE) == 3 * HALF_OPEN_PER_SOURCE
    # Another source is not concerned.
    assert hears(ether, bob, address(1), first_from(ether, mesh, bob))[0][0] == Kind.SECOND


def test_one_ipv6_network_is_one_source() -> None:
    sources = {source_of(Address(host=f"2001:db8::{number:x}", port=number)) for number in range(1, 100)}
    assert len(sources) == 1
    assert source_of(Address(host="2001:db8:0:1::1", port=1)) not in sources
    assert source_of(Address(host="fe80::1%2", port=1)) == source_of(Address(host="fe80::2%2", port=1))
    assert source_of(Address(host="10.0.0.1", port=1)) == "10.0.0.1"


def test_answers_are_bounded_per_second_and_source() -> None:
    """Each of these finishes its handshake at once, as one who wants to make another work would."""
    ether, mesh, bob = one()
    data = first_from(ether, mesh, bob)
    answered = 0
    for number in range(3 * ANSWERS_PER_SECOND):
        answered += len(hears(ether, bob, address(number), data))
        bob.pairs.wake(Instant(ether.now + HALF_OPEN_MS))
    assert answered == ANSWERS_PER_SECOND
    ether.now = Instant(ether.now + SECOND_MS)
    answered = 0
    for number in range(3 * ANSWERS_PER_SOURCE):
        answered += len(hears(ether, bob, Address(host="172.16.0.1", port=1_000 + number), data))
        bob.pairs.wake(Instant(ether.now + HALF_OPEN_MS))
    assert answered == ANSWERS_PER_SOURCE


def test_one_stranger_is_looked_at_so_often_a_second() -> None:
    """What it wastes is its own: a member behind the same address waits a second at most."""
    ether, mesh, bob = one()
    honest = first_from(ether, mesh, bob)
    bent = bytearray(honest)
    bent[FIRST_LEAST - 1] ^= 1
    for _ in range(CHECKS_PER_SOURCE):
        hears(ether, bob, address(0), bytes(bent))
    assert hears(ether, bob, address(0), honest) == []
    assert hears(ether, bob, address(1), honest)
    ether.now = Instant(ether.now + SECOND_MS)
    assert hears(ether, bob, address(0), honest)


def test_a_third_message_from_elsewhere_proves_nothing() -> None:
    ether, mesh, bob = one()
    ann = ether.station(mesh.member())
    elsewhere = address(0)
    ether.carry = lambda flying: [replace_source(flying, elsewhere)] if flying.data[0] == Kind.THIRD else [flying]
    ether.say(ann, bob, b"ping")
    ether.wait(1_000)
    assert bob.pairs.pairs == 0
    assert not bob.heard


def replace_source(flying: Flying, source: Address) -> Flying:
    return Flying(source=source, to=flying.to, data=flying.data)


def test_a_datagram_with_a_spoofed_source_does_not_turn_the_answers_there() -> None:
    """A member that forges its source must not have us flood a victim; nor may one who passes datagrams on get ours."""
    ether, mesh, bob = one()
    ann, victim = ether.station(mesh.member()), address(0)
    ether.say(ann, bob, b"ping")
    ether.settle()
    ether.carry = lambda flying: [replace_source(flying, victim)] if flying.to == bob.address else [flying]
    ether.say(ann, bob, b"spoofed")
    ether.settle()
    assert (bob.heard[-1].payload, bob.heard[-1].address) == (b"spoofed", ann.address)
    before = len(ether.flown)
    ether.say(bob, ann, b"answer", bob.heard[-1].address)
    ether.settle()
    assert [flying.to for flying in ether.flown[before:]] == [ann.address]
    assert ann.payloads == [b"answer"]


def test_a_watcher_that_forges_answers_does_not_end_a_call() -> None:
    ether, mesh, bob = one()
    ann = ether.station(mesh.member())

    def forged_first(flying: Flying) -> list[Flying]:
        if flying.data[0] not in {Kind.SECOND, Kind.THIRD}:
            return [flying]
        part = datagram.decode(flying.data)
        assert isinstance(part, Part)
        bent = replace(part, body=bytes(len(part.body))).encode()
        strange = replace(part, sender=bytes(8), count=4).encode()
        forged = [Flying(source=flying.source, to=flying.to, data=data) for data in (bent, strange)]
        return [*forged, flying, *forged]

    ether.carry = forged_first
    ether.say(ann, bob, b"ping")
    ether.wait(1_000)
    assert bob.payloads == [b"ping"]


def test_a_watcher_that_forges_answers_does_not_make_the_caller_flood_whom_it_calls() -> None:
    ether, mesh, bob = one()
    ann = ether.station(mesh.member())
    (sent,) = ann.pairs.send(ether.now, bob.id, (bob.address,), b"ping")
    index, said = first_of(sent.data).index, 0
    for number in range(100):
        sender = number.to_bytes(8, "big")
        forged = Part(kind=Kind.SECOND, number=0, count=4, to=index, sender=sender, body=b"x").encode()
        said += len(ann.pairs.hear(ether.now, address(0), forged).send)
    assert said <= 3 * HASTE
    # And the true answer still counts.
    for out in ann.pairs.wake(Instant(ether.now + 1_000)):
        ether.post(ann.address, [out])
    ether.settle()
    assert bob.payloads == [b"ping"]


def test_cookies_by_turns_do_not_make_the_caller_flood_whom_it_calls() -> None:
    ether, mesh, bob = one(Most(places=Places(most=20, calm=0, per_source=5)))
    ann = ether.station(mesh.member())
    (sent,) = ann.pairs.send(ether.now, bob.id, (bob.address,), b"ping")
    cookies = [*hears(ether, bob, ann.address, sent.data)]
    ether.now = Instant(ether.now + COOKIE_MS)
    cookies += hears(ether, bob, ann.address, sent.data)
    said = sum(len(ann.pairs.hear(Instant(0), bob.address, cookies[number % 2]).send) for number in range(100))
    assert said == HASTE


def test_who_forges_too_much_only_ends_the_handshake() -> None:
    ether, mesh, bob = one()
    ann = ether.station(mesh.member())
    (sent,) = ann.pairs.send(ether.now, bob.id, (bob.address,), b"ping")
    (second,) = hears(ether, bob, ann.address, sent.data)
    follows = ann.pairs.hear(ether.now, bob.address, second)
    third = datagram.decode(follows.send[0].data)
    assert isinstance(third, Part)
    for number in range(FORGERIES):
        assert bob.pairs.half_open == 1
        assert hears(ether, bob, ann.address, replace(third, body=bytes([number]) * 100).encode()) == []
    assert bob.pairs.half_open == 0
    assert hears(ether, bob, ann.address, third.encode()) == []


def test_a_degenerate_key_of_one_who_knows_the_secret_earns_nothing_however_often() -> None:
    """Its first message decrypts; only the answer cannot be computed."""
    ether, mesh, bob = one()
    ann = mesh.member()
    company = company_of(ann.papers)
    hint = mesh_hint(mesh.id, mesh.secret)
    preamble = Preamble(lowest=1, highest=1, purpose=Purpose.DATAGRAM, hint=hint).encode()
    noise = company.noise(initiator=True, prologue=preamble + b"i" * 8, seed=bytes([1]) * 32)
    noise._ephemeral = KeyPair(secret=bytes(32), public=bytes(32))
    first = First(part=0, cookie=NO_COOKIE, index=b"i" * 8, preamble=preamble, message=noise.write(b""))
    for _ in range(3):
        assert hears(ether, bob, address(0), first.encode(DATAGRAM_MAX_BYTES)) == []
    assert bob.pairs.half_open == 0


def test_a_forged_message_that_is_too_long_ends_nothing() -> None:
    ether, mesh, bob = one()
    ann = ether.station(mesh.member())

    def too_long(flying: Flying) -> list[Flying]:
        found = datagram.decode(flying.data)
        if not isinstance(found, Part):
            return [flying]
        long = [replace(found, number=number, count=4, body=bytes(1_200)).encode() for number in range(4)]
        return [*(Flying(source=flying.source, to=flying.to, data=data) for data in long), flying]

    ether.carry = too_long
    ether.say(ann, bob, b"ping")
    ether.settle()
    assert bob.payloads == [b"ping"]


def test_no_answer_before_the_proof_is_longer_than_its_question() -> None:
    """At each step, in whatever state: measured over a whole conversation in small datagrams."""
    ether, mesh = Ether(), TestMesh()
    deep = mesh.member().admits().admits().admits()
    most = Most(places=Places(most=4, calm=0, per_source=2))
    ann, bob = (ether.station(member, datagram_bytes=420, most=most) for member in (mesh.member(), deep))
    received = said = 0

    def count(flying: Flying) -> list[Flying]:
        nonlocal received, said
        if bob.pairs.pairs == 0:
            if flying.to == bob.address:
                received += len(flying.data)
            else:
                said += len(flying.data)
                assert said <= received
        return [flying]

    ether.carry = count
    ether.say(ann, bob, b"ping")
    ether.settle()
    assert bob.payloads == [b"ping"]
    assert 0 < said <= received
    assert ether.kinds().count(Kind.SECOND) == 3


def test_repeats_of_the_last_message_earn_a_welcome_for_a_while_and_shorter_than_they_are() -> None:
    ether, mesh, bob = one()
    ann = ether.station(mesh.member())
    ether.say(ann, bob, b"ping")
    ether.settle()
    third = next(flying.data for flying in ether.flown if flying.data[0] == Kind.THIRD)
    (welcome,) = hears(ether, bob, ann.address, third)
    assert welcome[0] == Kind.SEALED
    assert hears(ether, bob, address(0), third) == []
    ether.now = Instant(ether.now + HALF_OPEN_MS)
    assert hears(ether, bob, ann.address, third) == []
    assert bob.payloads == [b"ping"]


def test_no_entry_outlives_what_it_is_for() -> None:
    ether, mesh, bob = one()
    for number in range(50):
        hears(ether, bob, address(number), first_from(ether, mesh, bob))
    ether.now = Instant(ether.now + HALF_OPEN_MS)
    assert bob.pairs.wake(ether.now) == ()
    half_open = bob.pairs._half_open
    assert not half_open._by_index
    assert not half_open._by_caller
    assert not half_open._taken
