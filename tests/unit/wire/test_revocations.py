"""Who may revoke, whom that shuts out, and that a set of revocations means the same in any order."""

import dataclasses
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.ground.errors import WireError
from mesh.ground.ids import PeerId, RecordId
from mesh.ground.instants import WallTime
from mesh.wire.envelope import peer_id, sign
from mesh.wire.members import ALL_ROLES, Chain, Role
from mesh.wire.revocations import Bans, InviteRevoked, Notice, Ousted, PeerRevoked, Revocation, judge_notice
from tests.support.cast import WALL, Actor, Cast

CAST = Cast()
INVITE = RecordId(bytes([9]) * 32)
FOUNDER = CAST.founder()
ADMINS = [CAST.actor(name, ALL_ROLES, by=FOUNDER) for name in ("ann", "bob")]
DEEP = CAST.actor("deep", ALL_ROLES, by=ADMINS[0])
PLAIN = CAST.actor("plain", by=ADMINS[1])
LAST = CAST.actor("last", by=DEEP)
EVERYBODY = [FOUNDER, *ADMINS, DEEP, PLAIN, LAST]


def revoked(peer: Actor, *spared: RecordId, strike: bool = False) -> PeerRevoked:
    return PeerRevoked(peer=peer.id, spared=spared, strike=strike)


def notice(by: Actor, what: Ousted, *, chain: Chain | None = None, said: int = WALL) -> Notice:
    chain = by.chain if chain is None else chain
    body = Revocation(
        mesh=CAST.mesh,
        by=tuple(admission.id for admission in chain),
        what=what,
        said=WallTime(said),
        by_name=by.name,
        name="",
    )
    return Notice(revocation=sign(body, by.signer), chain=chain)


def root_says(what: Ousted) -> Notice:
    return notice(Actor(name="root", signer=CAST.root, chain=()), what)


def out(*notices: Notice) -> set[str]:
    """Return the names of those who are shut out."""
    bans = Bans(notices)
    return {actor.name for actor in EVERYBODY if bans.chain(actor.chain) is not None}


def test_a_revoked_peer_is_out_with_all_that_it_let_in() -> None:
    assert out() == set()
    assert out(notice(FOUNDER, revoked(PLAIN))) == {"plain"}
    assert out(notice(FOUNDER, revoked(ADMINS[0]))) == {"ann", "deep", "last"}


def test_who_is_listed_stays_and_whom_it_let_in_stays_too() -> None:
    kept = DEEP.chain[-1].id
    assert out(notice(FOUNDER, revoked(ADMINS[0], kept))) == {"ann"}
    # Listed by one and not by another: a revocation is undone by nobody.
    assert out(notice(FOUNDER, revoked(ADMINS[0], kept)), root_says(revoked(ADMINS[0]))) == {"ann", "deep", "last"}


def test_a_revoked_invite_takes_out_all_who_came_by_it() -> None:
    guest = CAST.actor("guest", by=ADMINS[0])
    by_invite = sign(dataclasses.replace(guest.chain[-1].body, invite=INVITE), ADMINS[0].signer)
    chain = (*guest.chain[:-1], by_invite)
    assert Bans([notice(FOUNDER, InviteRevoked(invite=INVITE))]).chain(chain) is not None
    assert Bans([notice(FOUNDER, InviteRevoked(invite=RecordId(bytes(32))))]).chain(chain) is None
    assert out(notice(FOUNDER, InviteRevoked(invite=INVITE))) == set()


@pytest.mark.parametrize(
    "bad",
    [
        notice(PLAIN, revoked(FOUNDER)),
        notice(CAST.actor("half", Role.RENDER | Role.SUBMIT | Role.INVITE), revoked(PLAIN)),
        notice(PLAIN, revoked(LAST), chain=FOUNDER.chain),
        notice(PLAIN, revoked(LAST), chain=()),
        notice(Cast("another").founder(), revoked(PLAIN)),
        Notice(revocation=notice(FOUNDER, revoked(PLAIN)).revocation, chain=ADMINS[0].chain),
        Notice(revocation=notice(DEEP, revoked(PLAIN)).revocation, chain=FOUNDER.chain),
        notice(FOUNDER, PeerRevoked(peer=peer_id(CAST.root.key), spared=(), strike=False)),
        root_says(PeerRevoked(peer=peer_id(CAST.root.key), spared=(), strike=False)),
    ],
)
def test_nobody_below_an_admin_revokes_and_nobody_the_root(bad: Notice) -> None:
    with pytest.raises(WireError):
        judge_notice(bad, CAST.mesh)


def test_an_admin_and_the_root_revoke() -> None:
    for good in (notice(FOUNDER, revoked(PLAIN)), notice(DEEP, revoked(FOUNDER)), root_says(revoked(FOUNDER))):
        judge_notice(good, CAST.mesh)


def test_what_a_revoked_admin_says_later_is_void_and_what_it_had_said_before_stands() -> None:
    before = notice(ADMINS[0], revoked(PLAIN))
    after = notice(ADMINS[0], revoked(ADMINS[1]))
    word = notice(FOUNDER, revoked(ADMINS[0], before.revocation.id, DEEP.chain[-1].id))
    assert out(before, word, after) == {"ann", "plain"}
    assert out(before, after) == {"plain", "bob"}


def test_nobody_undoes_a_revocation_by_revoking_an_equal_or_one_above() -> None:
    ann, bob = ADMINS
    assert out(notice(ann, revoked(bob)), notice(bob, revoked(ann))) == {"ann", "bob", "deep", "plain", "last"}
    assert "deep" in out(notice(DEEP, revoked(FOUNDER)), notice(FOUNDER, revoked(DEEP)))
    assert "plain" not in out(notice(DEEP, revoked(PLAIN)), notice(FOUNDER, revoked(DEEP)))


def test_an_admin_who_came_by_a_revoked_one_is_silenced_with_it() -> None:
    assert out(notice(FOUNDER, revoked(ADMINS[0])), notice(DEEP, revoked(ADMINS[1]))) == {"ann", "deep", "last"}


def test_strikes_are_those_of_revocations_that_act() -> None:
    strike = notice(DEEP, revoked(PLAIN, strike=True))
    assert Bans([strike]).struck() == [PLAIN.id]
    assert Bans([strike, notice(FOUNDER, revoked(DEEP))]).struck() == []
    assert Bans([notice(FOUNDER, revoked(PLAIN))]).struck() == []


@st.composite
def sets(draw: st.DrawFn) -> list[Notice]:
    """Draw revocations by all kinds of admins, some of which spare what others said."""
    found: list[Notice] = []
    for _ in range(draw(st.integers(0, 5))):
        by = draw(st.sampled_from([FOUNDER, *ADMINS, DEEP]))
        ids = [actor.chain[-1].id for actor in EVERYBODY] + [one.revocation.id for one in found]
        spared = tuple(draw(st.lists(st.sampled_from(ids), max_size=3, unique=True)))
        whom = draw(st.sampled_from(EVERYBODY))
        found.append(notice(by, revoked(whom, *spared, strike=draw(st.booleans()))))
    return found


@given(said=sets(), data=st.data())
def test_the_same_set_shuts_out_the_same_in_any_order(said: list[Notice], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(said)) + said
    assert out(*shuffled) == out(*said)
    assert Bans(shuffled).struck() == Bans(said).struck()


@given(said=sets())
def test_what_the_root_says_is_undone_by_nobody(said: list[Notice]) -> None:
    whom: list[PeerId] = [actor.id for actor in EVERYBODY]
    for peer in whom:
        word = root_says(PeerRevoked(peer=peer, spared=(), strike=False))
        assert Bans([*said, word]).peer(peer) is not None


def test_every_order_of_three_that_revoke_each_other() -> None:
    said = [notice(FOUNDER, revoked(ADMINS[0])), notice(ADMINS[0], revoked(DEEP)), notice(DEEP, revoked(FOUNDER))]
    assert {frozenset(out(*order)) for order in itertools.permutations(said)} == {
        frozenset({"ann", "deep", "last"}),
    }
