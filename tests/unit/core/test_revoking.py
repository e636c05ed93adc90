"""A revocation in the core: it is kept, told on at once, closes channels, frees frames, and strikes records."""

import pytest

from mesh.core.effects import AnswerDoor, CloseChannel, Declined, Dial, Effect, Export, Reply, Send
from mesh.core.events import AdmissionAsked, ChannelOpened, Exported, FetchAsked, RenewalAsked, RevokeAsked
from mesh.core.notes import CellsChanged
from mesh.core.status import JobState, TaskState
from mesh.ground.ids import RecordId
from mesh.ground.instants import HOUR_MS, SECOND_MS, WallTime
from mesh.wire.envelope import Signed, sign
from mesh.wire.kept import KeptChain, KeptRevocation
from mesh.wire.members import ALL_ROLES, DEFAULT_ROLES, Invite
from mesh.wire.messages import (
    Address,
    ClaimSent,
    Contact,
    Contacts,
    Entries,
    Ping,
    Pong,
    RefusalCode,
    Refused,
    Revocations,
    Verdict,
    Window,
)
from mesh.wire.records import Cancel, Entry, Result
from mesh.wire.revocations import InviteRevoked, Notice, Ousted, PeerRevoked, Revocation
from tests.support.cast import WALL, Actor, Cast, block, boot, cut_into
from tests.support.rig import Rig, journal, kept, of, sent
from tests.support.small_mesh import SmallMesh


def revoked(peer: Actor, *spared: RecordId, strike: bool = False) -> PeerRevoked:
    return PeerRevoked(peer=peer.id, spared=spared, strike=strike)


def notice(cast: Cast, by: Actor, what: Ousted) -> Notice:
    body = Revocation(
        mesh=cast.mesh, by=tuple(one.id for one in by.chain), what=what, said=WALL, by_name=by.name, name=""
    )
    return Notice(revocation=sign(body, by.signer), chain=by.chain)


def told(cast: Cast, by: Actor, what: Ousted) -> Revocations:
    return Revocations(notices=(notice(cast, by, what),))


def reply(effects: list[Effect]) -> object:
    (one,) = of(effects, Reply)
    return one.reply


def test_an_admins_word_is_kept_told_to_all_and_closes_the_channel_after(cast: Cast) -> None:
    rig = Rig(cast, actor=cast.founder())
    thief, other = cast.actor("thief"), cast.actor("other")
    rig.meet(thief, other)
    effects = rig.tell(RevokeAsked(op=7, what=revoked(thief)))
    assert not isinstance(reply(effects), Declined)
    assert len(kept(effects, KeptRevocation)) == 1
    assert {peer for peer, _ in sent(effects, Revocations)} == {thief.id, other.id}
    (closed,) = of(effects, CloseChannel)
    assert closed.peer == thief.id
    tells = next(at for at, one in enumerate(effects) if isinstance(one, Send) and isinstance(one.message, Revocations))
    keeps = next(at for at, one in enumerate(effects) if kept([one], KeptRevocation))
    assert keeps < tells < effects.index(closed)
    again = rig.tell(RevokeAsked(op=8, what=revoked(thief)))
    assert kept(again, KeptRevocation) == []


def test_who_was_revoked_is_seen_as_that_also_by_itself(cast: Cast) -> None:
    admin, thief, other = cast.founder(), cast.actor("thief"), cast.actor("other")
    watcher, victim = Rig(cast), Rig(cast, actor=thief)
    for rig in (watcher, victim):
        rig.meet(admin, other)
    watcher.meet(thief)
    assert not any(peer.revoked for rig in (watcher, victim) for peer in rig.peer.mesh_view(rig.now).peers)
    for rig in (watcher, victim):
        rig.hear(admin, told(cast, admin, revoked(thief)))
        assert [peer.peer for peer in rig.peer.mesh_view(rig.now).peers if peer.revoked] == [thief.id]


def test_who_is_no_admin_revokes_nobody(cast: Cast) -> None:
    rig = Rig(cast)
    other = cast.actor("other")
    rig.meet(other)
    answer = reply(rig.tell(RevokeAsked(op=7, what=revoked(other))))
    assert isinstance(answer, Declined)
    assert answer.code == "may-not-revoke"
    rig.hear(other, told(cast, other, revoked(rig.me)))
    assert kept(rig.effects, KeptRevocation) == []
    assert of(rig.effects, CloseChannel) == []


def test_nobody_revokes_itself(cast: Cast) -> None:
    rig = Rig(cast, actor=cast.founder())
    answer = reply(rig.tell(RevokeAsked(op=7, what=revoked(rig.me))))
    assert isinstance(answer, Declined)


def test_news_of_it_are_told_on_once_and_to_whoever_comes(cast: Cast) -> None:
    rig = Rig(cast)
    admin, thief, other, late = cast.founder(), cast.actor("thief"), cast.actor("other"), cast.actor("late")
    rig.meet(admin, thief, other)
    effects = rig.hear(admin, told(cast, admin, revoked(thief)))
    assert {peer for peer, _ in sent(effects, Revocations)} == {thief.id, other.id}
    assert [one.peer for one in of(effects, CloseChannel)] == [thief.id]
    assert sent(rig.hear(other, told(cast, admin, revoked(thief))), Revocations) == []
    rig.meet(late)
    assert [peer for peer, _ in sent(rig.compared(late), Revocations)] == [late.id]


def test_nobody_who_knows_dials_the_revoked_or_keeps_its_channel_or_hears_it(cast: Cast) -> None:
    rig = Rig(cast)
    admin, thief = cast.founder(), cast.actor("thief")
    rig.meet(admin, thief)
    rig.hear(admin, told(cast, admin, revoked(thief)))
    rig.clear()
    contact = Contact(peer=thief.id, addresses=(Address(host="10.0.0.9", port=4),))
    rig.hear(admin, Contacts(contacts=(contact,)))
    rig.wait(60 * SECOND_MS, admin)
    assert of(rig.effects, Dial) == []
    assert of(rig.tell(ChannelOpened(peer=thief.id, boot=boot("thief"), address=None)), CloseChannel)
    assert sent(rig.hear(thief, Ping(number=1)), Pong) == []


def test_a_revocation_holds_after_a_restart(cast: Cast) -> None:
    rig = Rig(cast)
    admin, thief = cast.founder(), cast.actor("thief")
    rig.meet(admin, thief)
    rig.hear(admin, told(cast, admin, revoked(thief)))
    again = Rig(cast, actor=rig.me, kept=tuple(kept(rig.effects, KeptRevocation)))
    again.meet(admin)
    assert sent(again.compared(admin), Revocations)
    assert of(again.tell(ChannelOpened(peer=thief.id, boot=boot("thief"), address=None)), CloseChannel)


def test_who_comes_again_by_another_way_in_is_let_in(cast: Cast) -> None:
    """The inviter was revoked, not its guest: a new invite by somebody else lets the guest in again."""
    rig = Rig(cast)
    admin, thief = cast.founder(), cast.actor("thief")
    guest = cast.actor("guest", by=thief)
    rig.meet(admin, guest)
    assert [one.peer for one in of(rig.hear(admin, told(cast, admin, revoked(thief))), CloseChannel)] == [guest.id]
    assert of(rig.let_in(cast.actor("guest", by=admin)), CloseChannel) == []


def came_again(cast: Cast) -> tuple[Rig, Actor, Actor]:
    """Return a founder who revoked the inviter of a guest, the guest as it came, and as it came again."""
    rig = Rig(cast, actor=cast.founder())
    inviter = cast.actor("inviter", by=rig.me)
    guest = cast.actor("guest", by=inviter)
    rig.let_in(inviter)
    rig.let_in(guest)
    assert len(of(rig.tell(RevokeAsked(op=7, what=revoked(inviter))), CloseChannel)) == 2
    return rig, guest, cast.actor("guest", by=rig.me, issued=WALL)


def chain_seen(rig: Rig, actor: Actor) -> object:
    """Return by which chain people see a member, or what revokes it."""
    (view,) = [view for view in rig.peer.views.members() if view.peer == actor.id]
    return view.revoked or view.chain


def test_who_came_again_by_another_way_in_is_let_in_and_dialled_after_a_restart(cast: Cast) -> None:
    rig, guest, anew = came_again(cast)
    rig.let_in(anew)
    again = Rig(cast, actor=rig.me, kept=journal(rig.effects))
    assert chain_seen(again, guest) == anew.chain
    assert guest.id in [dial.peer for dial in of(again.effects, Dial)]


def test_who_shows_its_old_way_in_is_out_whatever_it_showed_since(cast: Cast) -> None:
    rig, guest, anew = came_again(cast)
    rig.let_in(anew)
    again = Rig(cast, actor=rig.me, kept=journal(rig.effects))
    assert of(again.let_in(guest), CloseChannel)
    assert isinstance(chain_seen(again, guest), Signed)


def test_news_of_a_newer_way_in_are_believed_and_kept_and_of_an_older_one_not(cast: Cast) -> None:
    rig, guest, anew = came_again(cast)
    older = cast.actor("guest", by=rig.me, issued=WALL - 2 * HOUR_MS)
    teller = cast.actor("teller")
    rig.let_in(teller)
    job = rig.keep(cast.head(rig.me), rig.me, by=rig.me)

    def told_of(way_in: Actor) -> None:
        rig.hear(teller, Entries(job=job, entries=(), chains=(way_in.chain,)))

    told_of(older)
    assert isinstance(chain_seen(rig, guest), Signed)
    told_of(anew)
    assert chain_seen(rig, guest) == anew.chain
    told_of(guest)
    assert chain_seen(rig, guest) == anew.chain
    assert chain_seen(Rig(cast, actor=rig.me, kept=journal(rig.effects)), guest) == anew.chain


def test_who_shows_ever_other_chains_fills_nobodys_journal(cast: Cast) -> None:
    rig = Rig(cast, actor=cast.founder())
    for round_ in range(3):
        rig.clear()
        chains = [cast.actor("fickle", expires=WALL + 100 * round_ + number) for number in range(1, 50)]
        for fickle in chains:
            rig.let_in(fickle)
        assert len(kept(rig.effects, KeptChain)) <= 2
        rig.wait(HOUR_MS + SECOND_MS, fickle)
        entries = kept(rig.effects, KeptChain)
        assert len(entries) <= 3
        assert entries[-1].chain == fickle.chain, "the newest is kept in the end"


def test_who_comes_again_is_not_held_up_by_another_chain_that_was_just_kept(cast: Cast) -> None:
    rig, guest, anew = came_again(cast)
    second = cast.actor("second", by=rig.me)
    rig.let_in(second)
    rig.let_in(cast.actor("guest", by=second, issued=WALL - 1))
    rig.tell(RevokeAsked(op=8, what=revoked(second)))
    rig.let_in(anew)
    assert chain_seen(Rig(cast, actor=rig.me, kept=journal(rig.effects)), guest) == anew.chain


def test_its_invites_let_nobody_in_and_it_is_admitted_and_renewed_by_nobody(cast: Cast) -> None:
    rig = Rig(cast)
    admin, thief = cast.founder(), cast.actor("thief")
    rig.meet(admin)
    key = cast.signer("an invite").key
    expires = WallTime(WALL + 3_600_000)

    def invite(by: Actor) -> Signed[Invite]:
        return sign(Invite(mesh=cast.mesh, key=key, roles=1, uses=9, expires=expires), by.signer)

    def asks(given: Signed[Invite], by: Actor, subject: Actor) -> object:
        asked = AdmissionAsked(op=1, invite=given, subject=subject.signer.key, inviter=by.chain)
        (answer,) = of(rig.tell(asked), AnswerDoor)
        return answer.answer

    guest = cast.actor("guest")
    rig.hear(admin, told(cast, admin, revoked(thief)))
    assert asks(invite(thief), thief, guest) == Refused(code=RefusalCode.INVITE_REVOKED)
    assert asks(invite(admin), admin, thief) == Refused(code=RefusalCode.PEER_REVOKED)
    assert not isinstance(asks(invite(admin), admin, guest), Refused)
    rig.hear(admin, told(cast, admin, InviteRevoked(invite=RecordId(invite(admin).id))))
    assert asks(invite(admin), admin, cast.actor("late")) == Refused(code=RefusalCode.INVITE_REVOKED)
    (answer,) = of(rig.tell(RenewalAsked(op=3, chain=thief.chain)), AnswerDoor)
    assert answer.answer == Refused(code=RefusalCode.PEER_REVOKED)


def test_a_peer_that_is_revoked_in_the_middle_of_a_frame_gives_up_and_others_render_it(mesh: SmallMesh) -> None:
    for name in ("ann", "bob", "cid"):
        mesh.add(name, roles=ALL_ROLES if name == "ann" else DEFAULT_ROLES, slots=0 if name == "ann" else 1)
    mesh.run_until(lambda: all(mesh.connected(*pair) for pair in (("ann", "bob"), ("ann", "cid"), ("bob", "cid"))))
    job = mesh.submit("ann", frames=12)
    ann, bob = mesh.hosts["ann"], mesh.hosts["bob"]
    mesh.run_until(lambda: bob.core.slots.busy > 0)
    what = PeerRevoked(peer=bob.id, spared=(), strike=False)
    mesh.tell(ann, RevokeAsked(op=99, what=what))
    revoked_ms = mesh.now_ms
    mesh.run_until(lambda: bob.core.host.shut_out)
    assert bob.core.slots.idle
    mesh.run_until(lambda: not mesh.connected("ann", "bob") and not mesh.connected("bob", "cid"))
    assert mesh.now_ms - revoked_ms < 2 * SECOND_MS
    mesh.run_until(lambda: ann.job(job).state is JobState.SEALED)
    assert not mesh.connected("ann", "bob")
    assert not mesh.connected("bob", "cid")
    assert bob.core.slots.idle
    after = [said for said in mesh.said if said[0] == "bob" and isinstance(said[2], ClaimSent)]
    assert after
    mesh.kill("bob")
    mesh.start("bob")
    mesh.run(60 * SECOND_MS)
    assert not mesh.connected("ann", "bob")
    assert bob.core.members.out is not None, "it knows why after a restart"


def test_its_frame_is_open_at_once_and_its_claims_get_no_lease(cast: Cast) -> None:
    rig = Rig(cast, slots=0)
    admin, thief, other = cast.founder(), cast.actor("thief"), cast.actor("other")
    rig.meet(admin, thief, other)
    head = cast.head(other)
    job = rig.keep(head, by=other)
    claim = cast.claim(thief, head, 0)
    rig.hear(thief, ClaimSent(claims=(claim,)))
    rig.wait(SECOND_MS, admin, thief, other)
    assert (thief.id, Verdict(claim=claim.id, yours=True)) in sent(rig.effects, Verdict)
    assert rig.peer.leases.taken(job, 0)
    rig.hear(admin, told(cast, admin, revoked(thief)))
    assert not rig.peer.leases.taken(job, 0)
    rig.hear(thief, ClaimSent(claims=(cast.claim(thief, head, 1),)))
    assert not rig.peer.leases.taken(job, 1)
    assert all(window.job == job for _, window in sent(rig.effects, Window))


def test_without_a_strike_its_results_count_and_with_one_they_do_not(cast: Cast) -> None:
    rig = Rig(cast, slots=0)
    admin, thief, other = cast.founder(), cast.actor("thief"), cast.actor("other")
    rig.meet(admin, thief, other)
    head = cast.head(other, frames=3)
    job = rig.keep(head, rig.me, by=other)
    rig.take(head, cast.result(thief, head, 0), cast.entry(thief, head, Cancel()), by=thief)
    rig.take(head, cast.result(other, head, 1), by=other)
    ledger = rig.peer.ledger.jobs[job]
    rig.hear(admin, told(cast, admin, revoked(thief)))
    assert [ledger.task(task).counting is not None for task in range(3)] == [True, True, False]
    digest = ledger.digest()
    rig.hear(admin, told(cast, admin, revoked(thief, strike=True)))
    rig.wait(2 * SECOND_MS, admin, other)
    assert [ledger.task(task).counting is not None for task in range(3)] == [False, True, False]
    assert ledger.digest() == digest, "a struck record stays in the set: ledgers are compared by it"
    assert [view.state for view in rig.peer.task_views(job)] == [TaskState.OPEN, TaskState.COUNTS, TaskState.OPEN]


def test_the_jobs_of_a_struck_submitter_end(cast: Cast) -> None:
    rig = Rig(cast, slots=0)
    admin, thief = cast.founder(), cast.actor("thief")
    rig.meet(admin, thief)
    head = cast.head(thief)
    job = rig.keep(head, rig.me, by=thief)
    rig.hear(admin, told(cast, admin, revoked(thief, strike=True)))
    view = rig.peer.job_view(rig.now, job)
    assert view is not None
    assert view.state is JobState.CANCELLED
    later = cast.head(thief, number=2)
    assert rig.peer.ledger.open(later).ended


@pytest.mark.parametrize("in_flight", [False, True])
def test_a_file_made_of_a_struck_result_is_made_anew(cast: Cast, in_flight: bool) -> None:
    rig = Rig(cast, slots=0)
    admin, thief, other = cast.founder(), cast.actor("thief"), cast.actor("other")
    rig.meet(admin, thief, other)
    head = cast.head(other, frames=2)
    job = rig.keep(head, by=other)
    rig.tell(FetchAsked(op=5, job=job, directory="/out", overwrite=False))

    def renders(actor: Actor) -> Signed[Entry]:
        result = cast.result(actor, head, 0)
        assert isinstance(result.body.what, Result)
        rig.peer.swarm._complete[result.body.what.outputs[0].blob] = None
        rig.take(head, result, by=actor)
        return result

    renders(thief)
    (export,) = of(rig.effects, Export)
    assert not export.overwrite
    strike = told(cast, admin, revoked(thief, strike=True))
    if in_flight:
        rig.hear(admin, strike)
        rig.tell(Exported(op=export.op))
    else:
        rig.tell(Exported(op=export.op))
        rig.hear(admin, strike)
    rig.wait(2 * SECOND_MS, admin, other)
    assert len(of(rig.effects, Export)) == 1
    good = renders(other)
    _, again = of(rig.effects, Export)
    assert isinstance(good.body.what, Result)
    assert (again.blob, again.overwrite) == (good.body.what.outputs[0].blob, True)


def test_of_all_cells_of_a_frame_that_a_strike_opened_the_others_hear_at_once(cast: Cast) -> None:
    rig = Rig(cast, actor=cast.founder())
    ann, thief, admin = cast.actor("ann"), cast.actor("thief"), cast.actor("admin", ALL_ROLES)
    rig.meet(ann, admin)
    head = cast.head(ann, frames=1, cut=cut_into(64, 64))
    rig.keep(head, by=ann)
    for column in range(0, 64, 16):
        rig.take(head, cast.result(thief, head, 0, block=block(column, 0, 16, 64)), by=thief)
    rig.hear(admin, told(cast, admin, revoked(thief, strike=True)))
    heard: list[int] = []
    rig.peer.note_routes[CellsChanged] = (lambda _turn, note: heard.append(len(note.tasks)),)
    rig.wait(2 * SECOND_MS, ann, admin)
    assert heard == [64 * 64]
