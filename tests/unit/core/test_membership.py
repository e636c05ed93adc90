"""Whom this peer takes for members, whom it lets in, and how it stays in itself."""

from dataclasses import replace

import pytest

from mesh.core.effects import AnswerDoor
from mesh.core.events import AdmissionAsked, RenewalAsked, TimerFired
from mesh.core.timers import Tick
from mesh.ground.ids import RecordId
from mesh.ground.instants import DAY_MS, MINUTE_MS, WallTime
from mesh.ground.limits import ADMISSION_MS, INVITE_MOST_MS, MAX_ADMISSIONS_KEPT, RENEW_BEFORE_MS
from mesh.wire.envelope import Signed, sign
from mesh.wire.gossip import Offer
from mesh.wire.kept import KeptAdmission, KeptChain, KeptEntries, KeptRenewal
from mesh.wire.members import (
    ALL_ROLES,
    MAX_CHAIN,
    Admission,
    Invite,
    Renewal,
    Renewed,
    Role,
    judge_chain,
    judge_standing,
)
from mesh.wire.messages import Admitted, News, RefusalCode, Refused, RenewAsk
from tests.support.cast import WALL, Actor, Cast
from tests.support.rig import Rig, kept, of, sent
from tests.unit.core.test_offers import admissions

RENDER_ONLY = Role.RENDER


def invite(
    cast: Cast, by: Actor, *, uses: int = 1, expires: int = WALL + DAY_MS, roles: Role = ALL_ROLES
) -> Signed[Invite]:
    key = cast.signer(f"invite of {by.name} for {uses}").key
    return sign(Invite(mesh=cast.mesh, key=key, roles=int(roles), uses=uses, expires=WallTime(expires)), by.signer)


def ask(rig: Rig, given: Signed[Invite], name: str, op: int = 1) -> Admitted | Refused:
    subject = rig.cast.signer(name).key
    (answer,) = of(rig.tell(AdmissionAsked(op=op, invite=given, subject=subject)), AnswerDoor)
    assert answer.op == op
    return answer.answer


def test_a_joiner_is_admitted_with_no_more_roles_than_the_admitting_member_has(cast: Cast) -> None:
    rig = Rig(cast)
    answer = ask(rig, invite(cast, rig.me), "joiner")
    assert isinstance(answer, Admitted)
    membership = judge_chain(answer.chain, cast.mesh)
    assert membership.key == cast.signer("joiner").key
    assert membership.roles == rig.peer.members.mine.roles
    assert answer.chain[:-1] == rig.me.chain


def test_an_invite_is_good_for_so_many_peers_and_again_for_the_same(cast: Cast) -> None:
    rig = Rig(cast)
    given = invite(cast, rig.me, uses=2)
    for name in ("one", "two", "one"):
        assert isinstance(ask(rig, given, name), Admitted)
    assert ask(rig, given, "three") == Refused(code=RefusalCode.USED_UP)


def test_who_asks_again_and_again_fills_nobodys_journal(cast: Cast) -> None:
    rig = Rig(cast)
    other = cast.actor("other")
    rig.meet(other)
    given = invite(cast, rig.me)
    rig.clear()
    chains = {ask(rig, given, "joiner").chain for _ in range(50)}  # type: ignore[union-attr]
    assert len(chains) == 1
    assert len(kept(rig.effects, KeptAdmission)) == 1
    assert len(sent(rig.effects, Offer)) == 1


def test_uses_are_counted_for_as_long_as_the_longest_invite_lives(cast: Cast) -> None:
    rig = Rig(cast)
    other = cast.actor("other", expires=WALL + 400 * DAY_MS)
    rig.meet(other)
    given = invite(cast, rig.me, expires=WALL + INVITE_MOST_MS)
    body = Admission(
        mesh=cast.mesh,
        subject=cast.signer("one").key,
        roles=int(RENDER_ONLY),
        issued=WALL,
        expires=WallTime(WALL + ADMISSION_MS),
        invite=RecordId(given.id),
    )
    rig.hear(other, News(heads=(), marks=(), cancels=(), admissions=(sign(body, other.signer),)))
    for days in (0, 61, 300):
        rig.jump(days * DAY_MS)
        rig.tell(TimerFired(timer=Tick()))
        assert ask(rig, given, "two") == Refused(code=RefusalCode.USED_UP), f"{days} days later"


@pytest.mark.parametrize("too_late", [INVITE_MOST_MS + 2 * DAY_MS, 2**62 - WALL])
def test_an_invite_that_nobody_could_count_the_uses_of_is_refused(cast: Cast, too_late: int) -> None:
    rig = Rig(cast)
    rig.clear()
    assert ask(rig, invite(cast, rig.me, expires=WALL + too_late), "joiner") == Refused(code=RefusalCode.EXPIRED)
    assert kept(rig.effects, KeptAdmission) == []


def test_the_uses_that_others_granted_count_too(cast: Cast) -> None:
    rig = Rig(cast)
    other = cast.actor("other")
    rig.meet(other)
    given = invite(cast, rig.me)
    body = Admission(
        mesh=cast.mesh,
        subject=cast.signer("one").key,
        roles=int(RENDER_ONLY),
        issued=WALL,
        expires=WallTime(WALL + DAY_MS),
        invite=RecordId(given.id),
    )
    news = News(heads=(), marks=(), cancels=(), admissions=(sign(body, other.signer),))
    rig.hear(other, news)
    assert ask(rig, given, "two") == Refused(code=RefusalCode.USED_UP)


def test_of_too_many_admissions_whoever_gave_most_loses_its_oldest(cast: Cast) -> None:
    rig = Rig(cast)
    mad, other = cast.actor("mad"), cast.actor("other")
    rig.meet(mad, other)
    few = admissions(cast, other, 3)
    many = [admissions(cast, mad, 64, first=first) for first in range(0, MAX_ADMISSIONS_KEPT + 64, 64)]
    for news in (many[0], few, *many[:0:-1], many[0]):
        rig.hear(mad, news)
    kept_ones = rig.peer.door.admissions
    assert len(kept_ones) == MAX_ADMISSIONS_KEPT
    assert all(one.id in kept_ones for one in few.admissions)
    lost = [one for news in many for one in news.admissions if one.id not in kept_ones]
    assert lost == [one for news in many for one in news.admissions][: len(lost)], "the oldest"


def test_an_expired_invite_lets_nobody_in(cast: Cast) -> None:
    rig = Rig(cast)
    assert ask(rig, invite(cast, rig.me, expires=WALL - 1), "joiner") == Refused(code=RefusalCode.EXPIRED)


def test_who_may_not_invite_admits_nobody(cast: Cast) -> None:
    rig = Rig(cast, roles=RENDER_ONLY)
    assert ask(rig, invite(cast, rig.me), "joiner") == Refused(code=RefusalCode.MAY_NOT_INVITE)


def test_who_is_at_the_end_of_the_longest_chain_admits_nobody(cast: Cast) -> None:
    actor = None
    for depth in range(MAX_CHAIN):
        actor = cast.actor(f"member {depth}", by=actor)
    rig = Rig(cast, actor=actor)
    assert ask(rig, invite(cast, rig.me), "joiner") == Refused(code=RefusalCode.CHAIN_TOO_LONG)


def test_an_admission_is_on_the_disk_before_its_answer_leaves(cast: Cast) -> None:
    rig = Rig(cast)
    subject = cast.signer("joiner").key
    effects = rig.tell(AdmissionAsked(op=1, invite=invite(cast, rig.me), subject=subject))
    answered = next(at for at, effect in enumerate(effects) if isinstance(effect, AnswerDoor))
    assert kept(effects[:answered], KeptAdmission)


def test_the_records_of_somebody_admitted_here_are_known_after_a_restart(cast: Cast) -> None:
    rig = Rig(cast)
    answer = ask(rig, invite(cast, rig.me), "joiner")
    assert isinstance(answer, Admitted)
    joiner = Actor(name="joiner", signer=cast.signer("joiner"), chain=answer.chain)
    rig.meet(joiner)
    head = cast.head(rig.me)
    job = rig.keep(head, rig.me, by=rig.me)
    rig.take(head, cast.result(joiner, head, 0), by=joiner)
    assert kept(rig.effects, KeptEntries)
    entries = tuple(entry for effect in rig.effects if hasattr(effect, "entries") for entry in effect.entries)
    again = Rig(cast, kept=entries, actor=rig.me)
    assert again.peer.ledger.jobs[job].counting == 1


def test_a_chain_is_journalled_once_however_often_it_is_heard(cast: Cast) -> None:
    rig = Rig(cast)
    other = cast.actor("other")
    for life in range(5):
        rig.meet(other, life=str(life))
    assert len(kept(rig.effects, KeptChain)) == 1


def test_a_chain_that_was_known_by_another_way_is_journalled_when_its_peer_is_heard(cast: Cast) -> None:
    rig = Rig(cast)
    other = cast.actor("other")
    rig.peer.members.learn(other.chain)
    rig.meet(other)
    assert len(kept(rig.effects, KeptChain)) == 1


def test_a_chain_of_another_mesh_makes_nobody_a_member(cast: Cast) -> None:
    rig = Rig(cast)
    stranger = Cast("another").actor("stranger")
    assert rig.peer.members.learn(stranger.chain) is None
    assert not rig.peer.members.is_member(stranger.id)


def test_a_member_is_renewed_on_its_channel_under_its_own_chain_alone(cast: Cast) -> None:
    rig = Rig(cast)
    other, thief = cast.actor("other"), cast.actor("thief")
    rig.meet(other, thief)
    ((_, answer),) = sent(rig.hear(other, RenewAsk(chain=other.chain)), Admitted)
    assert judge_chain(answer.chain, cast.mesh).peer == other.id
    ((_, refused),) = sent(rig.hear(thief, RenewAsk(chain=other.chain)), Refused)
    assert refused.code == RefusalCode.MAY_NOT_INVITE


def test_a_renewal_changes_nothing_but_the_time(cast: Cast) -> None:
    rig = Rig(cast, roles=ALL_ROLES)
    other = cast.actor("other", RENDER_ONLY)
    rig.meet(other)
    ((_, answer),) = sent(rig.hear(other, RenewAsk(chain=other.chain)), Admitted)
    assert answer.chain == other.chain
    standing = judge_standing(answer.chain, answer.renewed, cast.mesh)
    assert standing.roles == RENDER_ONLY
    assert standing.expires == WALL + ADMISSION_MS


def test_an_expired_member_is_renewed_at_the_door_even_by_an_expired_one(cast: Cast) -> None:
    rig = Rig(cast, actor=cast.actor("me", expires=WALL - DAY_MS))
    late = cast.actor("late", expires=WALL - DAY_MS)
    (answer,) = of(rig.tell(RenewalAsked(op=3, chain=late.chain)), AnswerDoor)
    assert isinstance(answer.answer, Admitted)
    standing = judge_standing(answer.answer.chain, answer.answer.renewed, cast.mesh)
    assert standing.peer == late.id
    assert standing.expires > WALL


def test_a_renewal_is_asked_for_in_time_and_once_a_minute(cast: Cast) -> None:
    rig = Rig(cast, actor=cast.actor("me", expires=WALL + RENEW_BEFORE_MS + 10 * MINUTE_MS))
    other = cast.actor("other")
    rig.meet(other)
    rig.wait(9 * MINUTE_MS, other)
    assert sent(rig.effects, RenewAsk) == []
    rig.wait(4 * MINUTE_MS, other)
    assert 2 <= len(sent(rig.effects, RenewAsk)) <= 4


def renewal(cast: Cast, of: Actor, by: Actor, expires: int) -> Renewed:
    body = Renewal(mesh=cast.mesh, admission=of.chain[-1].id, expires=WallTime(expires))
    return Renewed(renewal=sign(body, by.signer), by=by.chain)


def test_a_renewal_is_kept_and_no_others_is_taken(cast: Cast) -> None:
    rig = Rig(cast, actor=cast.actor("me", expires=WALL + DAY_MS))
    other, renders = cast.actor("other"), cast.actor("renders", RENDER_ONLY)
    rig.meet(other)
    rig.clear()
    longer = renewal(cast, rig.me, other, WALL + 20 * DAY_MS)
    for wrong in (
        None,
        renewal(cast, other, other, WALL + 25 * DAY_MS),
        renewal(cast, rig.me, rig.me, WALL + 25 * DAY_MS),
        renewal(cast, rig.me, renders, WALL + 25 * DAY_MS),
        renewal(cast, rig.me, Cast("another").actor("other"), WALL + 25 * DAY_MS),
        renewal(cast, rig.me, other, WALL + DAY_MS - 1),
    ):
        rig.hear(other, Admitted(chain=rig.me.chain, contacts=(), renewed=wrong))
    assert rig.peer.members.renewed is None
    rig.hear(other, Admitted(chain=rig.me.chain, contacts=(), renewed=longer))
    assert rig.peer.members.renewed == longer
    assert rig.peer.members.mine.expires == WALL + 20 * DAY_MS
    assert [entry.renewed for entry in kept(rig.effects, KeptRenewal)] == [longer]
    again = Rig(cast, actor=rig.me, kept=tuple(kept(rig.effects, KeptRenewal)))
    assert again.peer.members.mine.expires == WALL + 20 * DAY_MS


def test_members_that_renew_each_other_for_years_show_the_chains_that_they_came_by(cast: Cast) -> None:
    rigs = [Rig(cast, actor=cast.actor(name, expires=WALL + DAY_MS)) for name in ("me", "you")]
    for year in range(60):
        giver, taker = rigs[year % 2], rigs[1 - year % 2]
        for rig in rigs:
            rig.clear()
            rig.now = replace(rig.now, wall=WallTime(WALL + year * 25 * DAY_MS))
        (answer,) = of(giver.tell(RenewalAsked(op=year, chain=taker.peer.chain)), AnswerDoor)
        assert isinstance(answer.answer, Admitted), year
        before = taker.peer.members.mine.expires
        taker.meet(giver.me)
        taker.hear(giver.me, answer.answer)
        assert taker.peer.chain == taker.me.chain
        assert taker.peer.members.mine.expires > before
