"""Whom a person means, and what is refused before anybody is asked whether it shall be done."""

from dataclasses import replace

import pytest

from mesh.core.status import MemberView
from mesh.ground.errors import UsageError
from mesh.ground.ids import PeerId, RecordId
from mesh.node import roster
from mesh.ports.desk import NotAllowed, NotFound, ThrownOut
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
    with pytest.raises(UsageError, match="meshnode leave"):
        planned("founder")


def test_who_is_unknown_is_named_also_without_a_letter() -> None:
    for named in ("", " ", "eve", "a/b"):
        with pytest.raises(NotFound, match=f"no member is called '{named}'"):
            roster.find(MEMBERS, named)


def test_a_slip_of_the_finger_names_nobody() -> None:
    whole = BOB.id.hex()
    assert roster.find(MEMBERS, whole) == roster.find(MEMBERS, whole[:6].upper()) == roster.find(MEMBERS, "bob")
    for short in (whole[:1], whole[:5]):
        with pytest.raises(UsageError, match="at least 6 digits"):
            roster.find(MEMBERS, short)
    with pytest.raises(NotFound):
        roster.find(MEMBERS, "bo")


def test_a_whole_name_is_nobody_elses_id() -> None:
    namesake = replace(MEMBERS[0], name=BOB.id.hex()[:2])
    assert roster.find((namesake, MEMBERS[1]), namesake.name) == namesake


def test_an_invite_takes_as_many_digits() -> None:
    invite = RecordId(bytes(range(32)))
    step = BOB.chain[-1]
    came = replace(MEMBERS[1], chain=(replace(step, body=replace(step.body, invite=invite)),))
    assert roster.invite_of((came,), invite.hex()[:6]) == invite
    for short in (invite.hex()[:1], invite.hex()[:5]):
        with pytest.raises(UsageError, match="at least 6 digits"):
            roster.invite_of((came,), short)
    for unknown in ("", "ffffff", "invite"):
        with pytest.raises(NotFound, match="nobody came by"):
            roster.invite_of((came,), unknown)
