"""Whom a person means, and what is refused before anybody is asked whether it shall be done."""

import pytest

from mesh.core.status import MemberView
from mesh.ground.ids import PeerId
from mesh.node import roster
from mesh.ports.desk import DeskError, NotAllowed, NotFound, ThrownOut
from mesh.ports.roster import RevokeRequest
from mesh.wire.members import ALL_ROLES
from tests.support.cast import WALL, Actor, Cast


def member(actor: Actor, *, me: bool = False) -> MemberView:
    return MemberView(
        peer=actor.id,
        name=actor.name,
        me=me,
        connected=True,
        chain=actor.chain,
        roles=ALL_ROLES,
        expires=WALL,
        revoked=None,
    )


ADA = Cast().founder()
BOB = Cast().actor("bob", by=ADA)
MEMBERS = (member(ADA, me=True), member(BOB))


def request(peer: str) -> RevokeRequest:
    return RevokeRequest(peer=peer, strike=False, spare=[], spare_all=False, dry_run=True)


def planned(peer: str) -> PeerId:
    return roster.plan(MEMBERS, (), request(peer), ADA.id).member.peer


def test_only_an_admin_that_is_a_member_throws_others_out() -> None:
    roster.check_may_revoke(["render", "admin"], "")
    with pytest.raises(NotAllowed, match="role `admin`"):
        roster.check_may_revoke(["render", "invite"], "")
    with pytest.raises(ThrownOut, match="revoked by cy"):
        roster.check_may_revoke(["admin"], "this peer was revoked by cy")


def test_a_peer_does_not_revoke_itself() -> None:
    assert planned("bob") == BOB.id
    with pytest.raises(DeskError, match="meshnode leave"):
        planned("founder")


def test_who_is_unknown_is_named_also_without_a_letter() -> None:
    for named in ("", " ", "eve", "a/b"):
        with pytest.raises(NotFound, match=f"no member is called '{named}'"):
            roster.find(MEMBERS, named)
