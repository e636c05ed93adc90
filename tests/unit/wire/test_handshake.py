"""Who gets in, who gets what, and what each learns: both sides run back to back, without a network."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.ground.errors import WireError
from mesh.ground.instants import WallTime
from mesh.wire.cipher import CONTROL_PACKET_MAX_BYTES, DATA_PACKET_MAX_BYTES
from mesh.wire.envelope import sign
from mesh.wire.handshake import (
    HINT_SIZE,
    LENGTH_SIZE,
    MESSAGE_MAX_BYTES,
    PREAMBLE_SIZE,
    ChannelKind,
    DatedDoor,
    Exchange,
    MetSelf,
    Papers,
    Preamble,
    Purpose,
    initiate,
    mesh_hint,
    respond,
)
from mesh.wire.members import Credentials, JoinRequest, Membership, Renewal, Renewed
from mesh.wire.revocations import Bans, Notice, PeerRevoked, Revocation
from mesh.wire.signing import Ed25519Signer, Ed25519Verifier
from tests.support.meshes import LONG_AFTER, NOW, Member, TestMesh, seed

DOOR = DatedDoor(lambda: NOW)
VERIFIER = Ed25519Verifier()


class ShutDoor:
    """Lets nobody in, like a peer that knows of a revocation."""

    def member(self, shown: Credentials, membership: Membership) -> ChannelKind | None:
        return None

    def joiner(self, shown: JoinRequest, inviter: Membership) -> bool:
        return False


def initiator(papers: Papers, purpose: Purpose = Purpose.CONTROL, door: DatedDoor | ShutDoor = DOOR) -> Exchange:
    return initiate(papers=papers, purpose=purpose, door=door, verifier=VERIFIER, seed=seed())


def responder(papers: Papers, door: DatedDoor | ShutDoor = DOOR) -> Exchange:
    return respond(papers=papers, door=door, verifier=VERIFIER, seed=seed())


def shake(one: Exchange, other: Exchange) -> None:
    """Carry bytes until both have nothing more to say; raises whatever either side raises."""
    to_other, to_one = one.feed(b""), other.feed(b"")
    while to_other or to_one:
        to_one += other.feed(to_other)
        to_other = one.feed(to_one)
        to_one = b""


def byte_by_byte(side: Exchange, data: bytes) -> tuple[bytes, bool]:
    """Return what `side` said while `data` came in, and whether it refused it."""
    said = b""
    for byte in data:
        try:
            said += side.feed(bytes([byte]))
        except WireError:
            return said, True
    return said, False


def first_words(one: Exchange) -> bytes:
    words = one.feed(b"")
    assert len(words) > PREAMBLE_SIZE
    return words


@pytest.mark.parametrize("purpose", [Purpose.CONTROL, Purpose.BULK])
def test_two_members_open_a_channel_and_talk(purpose: Purpose) -> None:
    mesh = TestMesh()
    ann, bob = mesh.member(), mesh.member().admits().admits().admits()
    one, other = initiator(ann.papers, purpose), responder(bob.papers)
    shake(one, other)
    assert one.opened
    assert other.opened
    assert (one.opened.peer, one.opened.boot) == (bob.id, bob.boot)
    assert (other.opened.peer, other.opened.boot) == (ann.id, ann.boot)
    assert one.opened.kind is other.opened.kind is ChannelKind.MEMBER
    assert one.opened.purpose is other.opened.purpose is purpose
    assert one.opened.membership.depth == 4
    largest = bytes(DATA_PACKET_MAX_BYTES if purpose is Purpose.BULK else CONTROL_PACKET_MAX_BYTES)
    for sender, receiver in itertools.permutations((one.opened, other.opened)):
        assert receiver.opener.feed(sender.sealer.seal(largest)) == [largest]
        with pytest.raises(AssertionError):
            sender.sealer.seal(largest + b"!")


@given(data=st.data())
def test_any_split_of_the_bytes_gives_the_same_channel(data: st.DataObject) -> None:
    mesh = TestMesh()
    one, other = initiator(mesh.member().papers), responder(mesh.member().papers)
    sender, receiver = one, other
    waiting, answer = sender.feed(b""), b""
    while waiting:
        size = data.draw(st.integers(1, len(waiting)))
        portion, waiting = waiting[:size], waiting[size:]
        assert not answer, "an answer before the whole message"
        answer = receiver.feed(portion)
        if not waiting:
            sender, receiver = receiver, sender
            waiting, answer = answer, b""
    assert one.opened
    assert other.opened
    assert one.opened.kind is ChannelKind.MEMBER


@pytest.mark.parametrize(
    ("ann_expires", "bob_expires"),
    [(WallTime(NOW), LONG_AFTER), (LONG_AFTER, WallTime(NOW - 1)), (WallTime(NOW), WallTime(NOW))],
)
def test_an_expired_member_gets_a_channel_that_both_know_is_for_renewing(
    ann_expires: WallTime, bob_expires: WallTime
) -> None:
    mesh = TestMesh()
    one = initiator(mesh.member(expires=ann_expires).papers)
    other = responder(mesh.member().admits(expires=bob_expires).papers)
    shake(one, other)
    assert one.opened
    assert other.opened
    assert one.opened.kind is other.opened.kind is ChannelKind.RENEW


@pytest.mark.parametrize("expired", ["initiator", "responder"])
def test_an_expired_member_neither_gets_nor_gives_pieces(expired: str) -> None:
    mesh = TestMesh()
    old, young = mesh.member(expires=NOW), mesh.member()
    ann, bob = (old, young) if expired == "initiator" else (young, old)
    one, other = initiator(ann.papers, Purpose.BULK), responder(bob.papers)
    with pytest.raises(WireError):
        shake(one, other)
    assert not one.opened
    assert not other.opened


@pytest.mark.parametrize("expires", [LONG_AFTER, WallTime(NOW - 1)])
def test_a_joiner_gets_a_channel_for_asking(expires: WallTime) -> None:
    ann = TestMesh().member()
    papers = ann.invites(expires=expires)
    one, other = initiator(papers, Purpose.JOIN), responder(ann.papers)
    shake(one, other)
    assert one.opened
    assert other.opened
    assert one.opened.kind is other.opened.kind is ChannelKind.ADMIT
    assert one.opened.peer == ann.id
    assert isinstance(other.opened.shown, JoinRequest)
    assert other.opened.peer == other.opened.shown.by_subject.author
    assert other.opened.boot is None
    assert other.opened.membership.peer == ann.id


def test_an_outsider_and_a_member_of_another_mesh_get_no_byte() -> None:
    mesh = TestMesh()
    ann, stranger = mesh.member(), TestMesh().member()
    # It even knows the hint, which travels in the clear.
    knows_hint = bytearray(first_words(initiator(stranger.papers)))
    knows_hint[PREAMBLE_SIZE - HINT_SIZE : PREAMBLE_SIZE] = mesh_hint(mesh.id, mesh.secret)
    for words in (first_words(initiator(stranger.papers)), bytes(knows_hint)):
        assert byte_by_byte(responder(ann.papers), words) == (b"", True)


@pytest.mark.parametrize("why", sorted(TestMesh().bad_papers()))
def test_one_who_knows_the_secret_without_a_proof_gets_message_2_and_no_more(why: str) -> None:
    mesh = TestMesh()
    papers, purpose = mesh.bad_papers()[why]
    one, other = initiator(papers, purpose), responder(mesh.member().papers)
    second = other.feed(one.feed(b""))
    assert int.from_bytes(second[:LENGTH_SIZE], "big") == len(second) - LENGTH_SIZE
    third = one.feed(second)
    assert byte_by_byte(other, third) == (b"", True)
    assert not other.opened


def test_an_initiator_shows_nothing_to_who_knows_the_secret_without_a_proof() -> None:
    mesh = TestMesh()
    one, other = initiator(mesh.member().papers), responder(mesh.impostor().papers)
    second = other.feed(one.feed(b""))
    with pytest.raises(WireError):
        one.feed(second)


def test_a_shut_door_lets_neither_members_nor_joiners_in() -> None:
    mesh = TestMesh()
    ann = mesh.member()
    for papers, purpose in ((mesh.member().papers, Purpose.CONTROL), (ann.invites(), Purpose.JOIN)):
        one, other = initiator(papers, purpose), responder(ann.papers, ShutDoor())
        with pytest.raises(WireError):
            shake(one, other)
        assert not one.opened
        assert not other.opened


def test_a_purpose_must_fit_the_proof() -> None:
    mesh = TestMesh()
    ann = mesh.member()
    with pytest.raises(AssertionError):
        initiator(ann.invites(), Purpose.CONTROL)
    # So only somebody else's program would send it.
    other = responder(ann.papers)
    one = initiator(mesh.member().papers, Purpose.CONTROL)
    words = bytearray(first_words(one))
    words[6] = Purpose.JOIN
    with pytest.raises(WireError):
        other.feed(bytes(words))


def test_a_peer_that_meets_itself_says_so_but_a_clone_gets_a_channel() -> None:
    ann = TestMesh().member()
    with pytest.raises(MetSelf):
        shake(initiator(ann.papers), responder(ann.papers))
    clone = replace(ann, boot=type(ann.boot)(seed()[:16]))
    one, other = initiator(ann.papers), responder(clone.papers)
    shake(one, other)
    assert one.opened
    assert one.opened.peer == ann.id
    assert one.opened.boot == clone.boot


@pytest.mark.parametrize(
    ("at", "value"),
    [(0, ord("M")), (4, 0), (4, 9), (5, 0), (6, 0), (6, 5), (6, 6), (7, 1)],
    ids=["magic", "lowest 0", "lowest > highest", "highest 0", "purpose 0", "datagrams", "purpose 6", "reserved"],
)
def test_a_preamble_that_is_not_one_is_refused_before_message_1(at: int, value: int) -> None:
    mesh = TestMesh()
    words = bytearray(first_words(initiator(mesh.member().papers))[:PREAMBLE_SIZE])
    words[at] = value
    with pytest.raises(WireError):
        responder(mesh.member().papers).feed(bytes(words))


@pytest.mark.parametrize(("lowest", "highest"), [(3, 3), (3, 255)])
def test_no_common_version_gets_no_byte(lowest: int, highest: int) -> None:
    mesh = TestMesh()
    hint = mesh_hint(mesh.id, mesh.secret)
    preamble = Preamble(lowest=lowest, highest=highest, purpose=Purpose.CONTROL, hint=hint)
    with pytest.raises(WireError):
        responder(mesh.member().papers).feed(preamble.encode())


@given(
    lowest=st.integers(1, 255),
    more=st.integers(0, 254),
    purpose=st.sampled_from(Purpose),
    hint=st.binary(min_size=8, max_size=8),
)
def test_preambles_survive_the_wire(lowest: int, more: int, purpose: Purpose, hint: bytes) -> None:
    preamble = Preamble(lowest=lowest, highest=min(255, lowest + more), purpose=purpose, hint=hint)
    assert len(preamble.encode()) == PREAMBLE_SIZE
    assert Preamble.decode(preamble.encode()) == preamble


def test_the_hint_differs_between_meshes_and_secrets_and_is_not_the_mesh_id() -> None:
    one, other = TestMesh(), TestMesh()
    hints = {mesh_hint(a.id, b.secret) for a in (one, other) for b in (one, other)}
    assert len(hints) == 4
    assert not any(hint in (one.id + other.id) for hint in hints)


def test_a_message_beyond_4_kib_is_refused_before_it_is_waited_for() -> None:
    mesh = TestMesh()
    words = first_words(initiator(mesh.member().papers))[:PREAMBLE_SIZE]
    for length in (0, MESSAGE_MAX_BYTES + 1, 0xFFFF):
        with pytest.raises(WireError):
            responder(mesh.member().papers).feed(words + length.to_bytes(LENGTH_SIZE, "big"))


def test_the_longest_proofs_fit_their_messages() -> None:
    deep = TestMesh().member().admits().admits().admits()
    assert len(deep.chain) == 4
    one, other = initiator(deep.invites(), Purpose.JOIN), responder(deep.papers)
    second = other.feed(one.feed(b""))
    third = one.feed(second)
    assert max(len(second), len(third)) <= MESSAGE_MAX_BYTES + LENGTH_SIZE


def test_a_welcome_must_be_sealed_small_and_alone() -> None:
    mesh = TestMesh()
    for spoil in ("changed", "too long", "followed"):
        one, other = initiator(mesh.member().papers), responder(mesh.member().papers)
        welcome = bytearray(other.feed(one.feed(other.feed(one.feed(b"")))))
        if spoil == "changed":
            welcome[-1] ^= 1
        elif spoil == "too long":
            welcome[1:4] = (CONTROL_PACKET_MAX_BYTES).to_bytes(3, "big")
        else:
            welcome += b"!"
        with pytest.raises(WireError):
            one.feed(bytes(welcome))


def test_papers_do_not_print_their_secrets() -> None:
    papers = TestMesh().member().papers
    assert repr(papers.secret) not in repr(papers)
    assert repr(papers.static.secret) not in repr(papers)


def test_who_was_revoked_gets_no_channel_in_either_direction() -> None:
    mesh = TestMesh()
    ann, thief = mesh.member(), mesh.member()
    guest = guest_of(thief, mesh)
    knows = DatedDoor(lambda: NOW)
    knows.bans = bans_on(thief, mesh)
    for out in (thief, guest):
        for purpose in (Purpose.CONTROL, Purpose.BULK):
            with pytest.raises(WireError, match="no entry"):
                shake(initiator(out.papers, purpose), responder(ann.papers, knows))
            with pytest.raises(WireError, match="no entry"):
                shake(initiator(ann.papers, purpose, knows), responder(out.papers))


def test_a_proof_that_is_dated_back_opens_nothing() -> None:
    """A revoked member admits a friend as of last year; who found an expired invite signs an admission with its key."""
    mesh = TestMesh()
    ann, thief = mesh.member(), mesh.member()
    knows = DatedDoor(lambda: NOW)
    knows.bans = bans_on(thief, mesh)
    friend = guest_of(thief, mesh, issued=WallTime(NOW - 365 * 24 * 3_600_000))
    with pytest.raises(WireError, match="no entry"):
        shake(initiator(friend.papers), responder(ann.papers, knows))
    invite_key = Ed25519Signer(seed())
    finder = guest_of(replace(ann, signer=invite_key), mesh, issued=WallTime(NOW - 365 * 24 * 3_600_000))
    with pytest.raises(WireError, match="broken link"):
        shake(initiator(finder.papers), responder(ann.papers))


def test_a_renewal_lets_in_until_its_signer_is_revoked() -> None:
    mesh = TestMesh()
    ann, thief, late = mesh.member(), mesh.member(), mesh.member(expires=WallTime(NOW - 1))
    body = Renewal(mesh=mesh.id, admission=late.chain[-1].id, expires=WallTime(NOW + 1_000))
    renewed = Renewed(renewal=sign(body, thief.signer), by=thief.chain)
    shown = replace(late.credentials, renewed=renewed)
    papers = replace(late.papers, shown=shown)
    one = initiator(papers)
    shake(one, responder(ann.papers))
    assert one.opened is not None
    assert one.opened.kind is ChannelKind.MEMBER
    knows = DatedDoor(lambda: NOW)
    knows.bans = bans_on(thief, mesh)
    one = initiator(papers)
    shake(one, responder(ann.papers, knows))
    assert one.opened is not None
    assert one.opened.kind is ChannelKind.RENEW, "it is a member still, and is renewed by somebody else"


def guest_of(member: Member, mesh: TestMesh, *, issued: WallTime = NOW) -> Member:
    signer = Ed25519Signer(seed())
    body = replace(mesh.admission(signer.key), issued=issued)
    return replace(member, signer=signer, chain=(*member.chain, sign(body, member.signer)))


def bans_on(member: Member, mesh: TestMesh) -> Bans:
    what = PeerRevoked(peer=member.id, spared=(), strike=False)
    body = Revocation(mesh=mesh.id, by=(), what=what, said=NOW, by_name="root", name="")
    return Bans([Notice(revocation=sign(body, mesh.root), chain=())])
