"""Peers that say single things to each other: who is heard, when a peer is called anew, and what is forgotten."""

from dataclasses import replace

import pytest

from mesh.ground.datagram_limits import (
    CALL_ADDRESSES,
    CALL_MS,
    CALL_PAYLOADS,
    HALF_OPEN_MS,
    PAIR_DOUBT_MS,
    PAIR_DOUBT_QUIET_MS,
    PAIR_FRESH_MS,
    PAIR_IDLE_MS,
    PAIR_MS,
    PAIR_QUIET_MS,
    PAYLOADS_PER_PEER,
)
from mesh.ground.ids import PeerId
from mesh.ground.instants import Instant, WallTime
from mesh.wire.datagram import DATAGRAM_MAX_BYTES, PAYLOAD_MAX_BYTES, Kind
from mesh.wire.envelope import sign
from mesh.wire.handshake import ChannelKind, Papers
from mesh.wire.members import Credentials, JoinRequest, Membership, Renewal, Renewed
from mesh.wire.messages import Address
from mesh.wire.pairs import WELCOME, Most
from tests.support.ether import Ether, Flying, Station
from tests.support.meshes import LONG_AFTER, NOW, Member, TestMesh

NOWHERE = Address(host="10.9.9.9", port=9)


class OpenDoor:
    """Lets everybody in but those that a test puts out."""

    def __init__(self) -> None:
        self.out: list[PeerId] = []

    def member(self, shown: Credentials, membership: Membership) -> ChannelKind | None:
        return None if membership.peer in self.out else ChannelKind.MEMBER

    def joiner(self, shown: JoinRequest, inviter: Membership) -> bool:
        return False


def two() -> tuple[Ether, Station, Station]:
    ether, mesh = Ether(), TestMesh()
    return ether, ether.station(mesh.member()), ether.station(mesh.member().admits())


def answer(ether: Ether, one: Station, other: Station) -> None:
    ether.say(one, other, b"ping")
    ether.settle()
    ether.say(other, one, b"pong")
    ether.settle()


def test_the_first_payload_travels_with_the_proof() -> None:
    ether, ann, bob = two()
    ether.say(ann, bob, b"ping")
    ether.settle()
    assert ether.kinds() == [Kind.FIRST, Kind.SECOND, Kind.THIRD, Kind.SEALED, Kind.SEALED]
    (heard,) = bob.heard
    assert (heard.peer, heard.address, heard.payload) == (ann.id, ann.address, b"ping")
    assert not ann.heard
    ether.say(bob, ann, b"pong")
    ether.settle()
    assert [(heard.peer, heard.address, heard.payload) for heard in ann.heard] == [(bob.id, bob.address, b"pong")]
    assert ether.kinds()[5:] == [Kind.SEALED]
    assert not ann.pairs.busy
    assert not bob.pairs.busy


@pytest.mark.parametrize("size", [1, PAYLOAD_MAX_BYTES])
def test_payloads_of_every_size_travel(size: int) -> None:
    ether, ann, bob = two()
    ether.say(ann, bob, bytes(size))
    ether.settle()
    assert bob.payloads == [bytes(size)]
    assert all(len(flying.data) <= DATAGRAM_MAX_BYTES for flying in ether.flown)


def test_payloads_wait_for_the_proof_and_the_oldest_of_too_many_is_lost() -> None:
    ether, ann, bob = two()
    for number in range(CALL_PAYLOADS + 1):
        ether.say(ann, bob, bytes([number]))
    assert ether.kinds() == [Kind.FIRST]
    ether.settle()
    assert bob.payloads == [bytes([number]) for number in range(1, CALL_PAYLOADS + 1)]


def test_a_long_message_is_fetched_in_parts() -> None:
    ether, mesh = Ether(), TestMesh()
    ann, bob = (ether.station(mesh.member().admits().admits().admits(), datagram_bytes=450) for _ in range(2))
    ether.say(ann, bob, b"ping")
    ether.settle()
    assert bob.payloads == [b"ping"]
    assert ether.kinds().count(Kind.SECOND) == ether.kinds().count(Kind.THIRD) == 3


def renewed(member: Member, by: Member) -> Papers:
    """Return a member's papers after another one renewed it."""
    body = Renewal(mesh=member.mesh.id, admission=member.chain[-1].id, expires=LONG_AFTER)
    kept_in = Renewed(renewal=sign(body, by.signer), by=by.chain)
    return replace(member.papers, shown=replace(member.credentials, renewed=kept_in))


def test_renewed_members_show_two_chains_in_two_datagrams() -> None:
    ether, mesh = Ether(), TestMesh()
    deep = mesh.member().admits().admits()
    old = [deep.admits(expires=WallTime(NOW - 1)) for _ in range(2)]
    ann, bob = (ether.station(member, papers=renewed(member, deep.admits())) for member in old)
    ether.say(ann, bob, b"ping")
    ether.settle()
    assert bob.payloads == [b"ping"]
    assert ether.kinds().count(Kind.SECOND) == ether.kinds().count(Kind.THIRD) == 2


@pytest.mark.parametrize("lost", range(5))
def test_whatever_single_datagram_of_a_handshake_is_lost_both_get_their_keys(lost: int) -> None:
    """The payload, the fourth of them, is then as good as any other: lost when it is lost."""
    ether, ann, bob = two()
    ether.carry = lambda flying: [] if len(ether.flown) == lost + 1 else [flying]
    ether.say(ann, bob, b"ping")
    ether.wait(CALL_MS)
    assert bob.payloads == ([b"ping"] if lost != 3 else [])
    assert ann.pairs.pairs == bob.pairs.pairs == 1
    assert not ann.pairs.busy


def test_a_peer_is_called_at_one_address_after_the_other() -> None:
    ether, ann, bob = two()
    ether.say(ann, bob, b"ping", NOWHERE, bob.address)
    ether.settle()
    assert not bob.payloads
    ether.wait(1_000)
    assert bob.payloads == [b"ping"]
    assert ether.flown[0].to == NOWHERE


def test_addresses_that_are_told_while_a_peer_is_called_are_tried_too() -> None:
    ether, ann, bob = two()
    ether.say(ann, bob, b"first", NOWHERE)
    ether.wait(1_000)
    ether.say(ann, bob, b"second", bob.address)
    ether.settle()
    assert bob.payloads == [b"first", b"second"]


def test_a_peer_is_called_at_a_few_addresses_at_most() -> None:
    ether, ann, bob = two()
    many = [Address(host=f"10.9.9.{number}", port=9) for number in range(2 * CALL_ADDRESSES)]
    ether.say(ann, bob, b"ping", *many, bob.address)
    ether.wait(CALL_MS)
    assert {flying.to for flying in ether.flown} == set(many[:CALL_ADDRESSES])


def test_who_answers_must_be_who_was_called() -> None:
    ether, ann, bob = two()
    eve = ether.station(ann.member.admits())
    ether.say(ann, bob, b"for bob alone", eve.address, bob.address)
    ether.wait(1_000)
    assert bob.payloads == [b"for bob alone"]
    assert not eve.payloads
    assert eve.pairs.pairs == 0
    assert not [flying for flying in ether.flown if flying.to == eve.address and flying.data[0] == Kind.THIRD]


def test_a_peer_that_calls_itself_gets_nothing() -> None:
    ether, ann, _ = two()
    ether.say(ann, ann, b"me?")
    ether.wait(CALL_MS + HALF_OPEN_MS)
    assert not ann.payloads
    assert not ann.pairs.busy


def test_a_call_that_nobody_answers_ends_and_forgets() -> None:
    ether, ann, bob = two()
    ether.say(ann, bob, b"ping", NOWHERE)
    ether.wait(CALL_MS - 100)
    assert ann.pairs.calls == 1
    assert len(ether.flown) == 2
    ether.wait(100)
    assert (ann.pairs.calls, ann.pairs.pairs) == (0, 0)


def test_two_who_call_each_other_at_once_hear_each_other_once() -> None:
    ether, ann, bob = two()
    ether.say(ann, bob, b"from ann")
    ether.say(bob, ann, b"from bob")
    ether.wait(CALL_MS)
    assert (ann.payloads, bob.payloads) == ([b"from bob"], [b"from ann"])
    before = len(ether.flown)
    for number in range(5):
        ether.say(ann, bob, bytes([number]))
        ether.say(bob, ann, bytes([number]))
        ether.wait(1_000)
    assert ether.kinds()[before:] == [Kind.SEALED] * 10
    assert len(ann.payloads) == len(bob.payloads) == 6


def test_a_peer_that_started_anew_is_called_anew() -> None:
    ether, ann, bob = two()
    answer(ether, ann, bob)
    reborn = ether.station(bob.member)
    del ether.stations[reborn.address]
    ether.stations[bob.address] = Station(member=bob.member, pairs=reborn.pairs, address=bob.address)
    ether.say(ann, bob, b"lost")
    ether.wait(PAIR_DOUBT_MS)
    assert not ether.stations[bob.address].payloads
    ether.say(ann, bob, b"heard")
    ether.settle()
    assert ether.stations[bob.address].payloads == [b"heard"]


def test_a_peer_that_was_quiet_for_long_is_called_anew_by_the_second_try() -> None:
    """So a question that is asked twice finds it, though its router or the peer itself forgot the way."""
    ether, ann, bob = two()
    answer(ether, ann, bob)
    bob.pairs.forget(ann.id)
    ether.now = Instant(ether.now + PAIR_QUIET_MS)
    ether.say(ann, bob, b"once")
    ether.wait(PAIR_DOUBT_QUIET_MS)
    ether.say(ann, bob, b"twice")
    ether.settle()
    assert bob.payloads == [b"ping", b"twice"]


def test_who_owes_no_answer_is_not_doubted() -> None:
    """Else each of two peers that only answer the other would call it anew whenever it has a question itself."""
    ether, ann, bob = two()
    ether.say(ann, bob, b"ping")
    ether.settle()
    before = ether.kinds().count(Kind.FIRST)
    ether.post(bob.address, bob.pairs.send(ether.now, ann.id, (ann.address,), b"answer", awaited=False))
    ether.settle()
    ether.now = Instant(ether.now + PAIR_QUIET_MS)
    ether.say(bob, ann, b"question")
    ether.wait(PAIR_DOUBT_QUIET_MS)
    assert ether.kinds().count(Kind.FIRST) == before
    ether.say(bob, ann, b"the same")
    ether.settle()
    assert ether.kinds().count(Kind.FIRST) == before + 1
    assert ann.payloads == [b"answer", b"question", b"the same"]


def test_a_peer_whose_router_forgot_it_is_heard_at_once_and_answered_after_a_new_call() -> None:
    """Its datagrams come from a new address; what is said back goes to the old one, which leads nowhere by now."""
    ether, ann, bob = two()
    answer(ether, ann, bob)
    new = Address(host="10.7.7.7", port=7)

    def rebound(flying: Flying) -> list[Flying]:
        if flying.to == ann.address:
            return []
        if flying.source == ann.address:
            return [Flying(source=new, to=flying.to, data=flying.data)]
        return [flying]

    ether.carry = rebound
    ether.stations[new] = ann
    ether.say(ann, bob, b"ping")
    ether.wait(PAIR_DOUBT_MS)
    assert bob.heard[-1].payload == b"ping"
    assert bob.heard[-1].address == ann.address
    ether.say(ann, bob, b"again")
    ether.settle()
    assert bob.heard[-1].address == new
    ether.say(bob, ann, b"pong")
    ether.settle()
    assert ann.payloads[-1] == b"pong"


def test_keys_are_forgotten_when_idle_and_replaced_before_that() -> None:
    ether, ann, bob = two()
    answer(ether, ann, bob)
    ether.now = Instant(ether.now + PAIR_FRESH_MS)
    before = len(ether.flown)
    answer(ether, ann, bob)
    assert ether.kinds()[before] == Kind.FIRST
    ether.now = Instant(ether.now + PAIR_IDLE_MS)
    ether.wait(0)
    for station in (ann, bob):
        station.pairs.wake(ether.now)
        assert station.pairs.pairs == 0


def test_keys_live_an_hour_though_they_are_used() -> None:
    ether, ann, bob = two()
    answer(ether, ann, bob)
    firsts = 0
    for _ in range(2 * PAIR_MS // (PAIR_FRESH_MS - 1_000)):
        ether.now = Instant(ether.now + PAIR_FRESH_MS - 1_000)
        before = len(ether.flown)
        answer(ether, ann, bob)
        firsts += ether.kinds()[before:].count(Kind.FIRST)
        assert ann.payloads[-1] == b"pong"
    assert firsts == 2
    assert ann.pairs.pairs == bob.pairs.pairs <= 2


@pytest.mark.parametrize("which", ["caller", "answerer"])
def test_an_expired_member_gets_nothing(which: str) -> None:
    ether, mesh = Ether(), TestMesh()
    old, young = mesh.member(expires=WallTime(NOW - 1)), mesh.member()
    ann, bob = (ether.station(member) for member in ((old, young) if which == "caller" else (young, old)))
    ether.say(ann, bob, b"ping")
    ether.wait(CALL_MS)
    assert not bob.payloads
    assert Kind.SEALED not in [flying.data[0] for flying in ether.flown if flying.source == bob.address]
    if which == "answerer":
        assert Kind.THIRD not in ether.kinds()


def test_whom_the_door_no_longer_accepts_is_neither_heard_nor_told_anything() -> None:
    ether, mesh, door = Ether(), TestMesh(), OpenDoor()
    ann, bob = ether.station(mesh.member(), door=door), ether.station(mesh.member())
    answer(ether, ann, bob)
    door.out.append(bob.id)
    ether.say(bob, ann, b"heard?")
    ether.settle()
    assert ann.payloads == [b"pong"]
    assert ann.pairs.pairs == 0
    before = len(ether.flown)
    ether.say(ann, bob, b"told?")
    ether.wait(CALL_MS)
    assert Kind.THIRD not in ether.kinds()[before:]
    assert bob.payloads == [b"ping"]


def test_the_one_whom_a_peer_no_longer_accepts_is_sent_nothing_under_old_keys() -> None:
    ether, mesh, door = Ether(), TestMesh(), OpenDoor()
    ann, bob = ether.station(mesh.member(), door=door), ether.station(mesh.member())
    answer(ether, ann, bob)
    door.out.append(bob.id)
    before = len(ether.flown)
    ether.say(ann, bob, b"told?")
    assert ether.kinds()[before:] == [Kind.FIRST]
    assert ann.pairs.pairs == 0


@pytest.mark.parametrize("stranger", ["another mesh", "impostor"])
def test_strangers_and_impostors_are_not_heard(stranger: str) -> None:
    ether, mesh = Ether(), TestMesh()
    bob = ether.station(mesh.member())
    eve = ether.station(TestMesh().member() if stranger == "another mesh" else mesh.impostor())
    ether.say(eve, bob, b"let me in")
    ether.wait(CALL_MS)
    assert not bob.heard
    assert bob.pairs.pairs == 0
    said = [flying.data[0] for flying in ether.flown if flying.source == bob.address]
    assert set(said) <= ({Kind.SECOND} if stranger == "impostor" else set())


def test_a_renewed_chain_is_shown_from_now_on() -> None:
    ether, mesh = Ether(), TestMesh()
    old = mesh.member(expires=WallTime(NOW - 1))
    ann, bob = ether.station(old), ether.station(mesh.member())
    ether.say(ann, bob, b"expired")
    ether.wait(CALL_MS)
    chain = mesh.readmitted(old)
    ann.pairs.show(chain.credentials)
    ether.say(ann, bob, b"renewed")
    ether.settle()
    assert bob.payloads == [b"renewed"]


def test_of_the_pairs_the_least_recently_used_goes() -> None:
    ether, mesh = Ether(), TestMesh()
    hub = ether.station(mesh.member(), most=Most(pairs=3))
    others = [ether.station(mesh.member()) for _ in range(4)]
    for other in others[:3]:
        answer(ether, other, hub)
    answer(ether, others[0], hub)
    answer(ether, others[3], hub)
    assert hub.pairs.pairs == 3
    before = len(ether.flown)
    ether.say(hub, others[0], b"still known")
    assert ether.kinds()[before:] == [Kind.SEALED]
    ether.say(hub, others[1], b"forgotten")
    assert ether.kinds()[before:] == [Kind.SEALED, Kind.FIRST]


def test_a_peer_that_calls_again_and_again_has_two_rows_of_keys_at_most() -> None:
    ether, ann, bob = two()
    for _ in range(5):
        answer(ether, ann, bob)
        ann.pairs.forget(bob.id)
    assert bob.pairs.pairs == 2


def test_calls_are_bounded() -> None:
    ether, mesh = Ether(), TestMesh()
    ann = ether.station(mesh.member(), most=Most(calls=5))
    for _ in range(10):
        ether.post(ann.address, ann.pairs.send(ether.now, mesh.member().id, (NOWHERE,), b"ping"))
    assert ann.pairs.calls == len(ether.flown) == 5


def test_one_peer_is_heard_so_often_a_second() -> None:
    ether, ann, bob = two()
    answer(ether, ann, bob)
    ether.now = Instant(ether.now + 1_000)
    for _ in range(PAYLOADS_PER_PEER + 10):
        ether.say(ann, bob, b"flood")
    ether.settle()
    assert bob.payloads.count(b"flood") == PAYLOADS_PER_PEER
    ether.now = Instant(ether.now + 1_000)
    ether.say(ann, bob, b"later")
    ether.settle()
    assert bob.payloads[-1] == b"later"


def test_to_say_nothing_counts_as_saying_something() -> None:
    ether, ann, bob = two()
    answer(ether, ann, bob)
    ether.now = Instant(ether.now + 1_000)
    (pair,) = ann.pairs._by_peer[bob.id]
    empty = [pair.proven.sealer.seal(WELCOME) for _ in range(PAYLOADS_PER_PEER + 2)]
    reactions = [bob.pairs.hear(ether.now, ann.address, data) for data in empty]
    assert [reaction.surplus for reaction in reactions] == [False] * PAYLOADS_PER_PEER + [True] * 2
    assert not any(reaction.heard for reaction in reactions)


def test_what_is_said_beyond_that_is_not_even_opened_and_a_forger_spends_nobodys_part() -> None:
    ether, ann, bob = two()
    answer(ether, ann, bob)
    ether.now = Instant(ether.now + 1_000)
    sealed = [ann.pairs.send(ether.now, bob.id, (bob.address,), b"flood")[0].data for _ in range(PAYLOADS_PER_PEER + 2)]
    for number in range(2 * PAYLOADS_PER_PEER):
        forged = sealed[0][:-1] + bytes([sealed[0][-1] ^ 1 + number % 200])
        assert not bob.pairs.hear(ether.now, ann.address, forged).surplus
    reactions = [bob.pairs.hear(ether.now, ann.address, data) for data in sealed]
    assert [reaction.surplus for reaction in reactions] == [False] * PAYLOADS_PER_PEER + [True] * 2
    assert [reaction.heard is not None for reaction in reactions] == [True] * PAYLOADS_PER_PEER + [False] * 2
    ether.now = Instant(ether.now + 1_000)
    again = bob.pairs.hear(ether.now, ann.address, sealed[-1])
    assert again.heard is not None, "it was not opened, so that its counter is fresh"
