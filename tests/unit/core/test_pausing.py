"""A host's owner wants it back: what ends, what goes on, what others are told, and when it renders again."""

import pytest

from mesh.core import events as ev
from mesh.core.effects import CloseStage, Declined, Done, KillRender, OpenStage, Reply, StartRender, WarmEngine
from mesh.core.host import Pause
from mesh.core.status import JobState
from mesh.ground.ids import JobId
from mesh.ground.instants import HOUR_MS, MINUTE_MS, SECOND_MS, WallTime, wall_later
from mesh.ground.limits import FIRST_CLAIMS_MS
from mesh.wire.kept import KeptPause
from mesh.wire.messages import Available, ClaimSent, Follow, Have, Verdict, Withdraw
from mesh.wire.records import Output
from tests.support.cast import Cast, blob
from tests.support.rig import Rig, kept, of, sent
from tests.support.small_mesh import SmallMesh
from tests.unit.core.test_claims import Claimant


def pause(mesh: SmallMesh, name: str, *, now: bool = False, until: WallTime | None = None) -> None:
    host = mesh.hosts[name]
    mesh.tell(host, ev.PauseAsked(op=7_001, until=until, now=now))
    assert host.replies[7_001] == Done()


def resume(mesh: SmallMesh, name: str) -> None:
    mesh.tell(mesh.hosts[name], ev.ResumeAsked(op=7_002))


def sealed(mesh: SmallMesh, job: JobId) -> None:
    mesh.run_until(lambda: mesh.hosts["ann"].job(job).state is JobState.SEALED, 5 * MINUTE_MS)


def rendering(mesh: SmallMesh, name: str) -> None:
    mesh.run_until(lambda: bool(mesh.hosts[name].rendering), MINUTE_MS)


def test_a_paused_peer_finishes_its_frame_and_claims_no_other(trio_of_peers: SmallMesh) -> None:
    mesh = trio_of_peers
    job = mesh.submit("ann", frames=12)
    rendering(mesh, "bob")
    pause(mesh, "bob")
    begun = len(mesh.hosts["bob"].started)
    assert mesh.hosts["bob"].rendering, "what renders is finished"
    sealed(mesh, job)
    assert len(mesh.hosts["bob"].started) == begun
    last = mesh.hosts["bob"].started[-1][1]
    holder = mesh.hosts["ann"].tasks(job)[last].holder
    assert holder == mesh.hosts["bob"].id, "its last frame counts"


def test_paused_at_once_it_gives_its_frame_up_and_another_has_it_within_a_second(trio_of_peers: SmallMesh) -> None:
    mesh = trio_of_peers
    for host in mesh.hosts.values():
        host.render_ms = None
    job = mesh.submit("ann", frames=2)
    mesh.run_until(lambda: sum(len(host.rendering) for host in mesh.hosts.values()) == 2, MINUTE_MS)
    name = next(name for name, host in mesh.hosts.items() if host.rendering)
    ((_, task),) = mesh.hosts[name].started
    pause(mesh, name, now=True)
    assert not mesh.hosts[name].rendering
    others = [host for other, host in mesh.hosts.items() if other != name]
    mesh.run_until(lambda: any((job, task) in host.started for host in others), SECOND_MS)


def test_a_paused_peer_submits_keeps_hands_on_and_delivers(trio_of_peers: SmallMesh) -> None:
    mesh = trio_of_peers
    pause(mesh, "ann")
    job = mesh.submit("ann", frames=4)
    sealed(mesh, job)
    ann = mesh.hosts["ann"]
    assert ann.started == []
    assert len(ann.files) == 4
    assert ann.job(job).keeping
    assert any(name == "ann" and isinstance(message, Have) for name, _, message in mesh.said)


def test_a_pause_survives_a_restart_and_ends_by_itself(trio_of_peers: SmallMesh) -> None:
    mesh = trio_of_peers
    pause(mesh, "bob", until=wall_later(mesh.now.wall, MINUTE_MS))
    mesh.kill("bob")
    mesh.start("bob")
    mesh.run(50 * SECOND_MS)
    job = mesh.submit("ann", frames=60)
    mesh.run(8 * SECOND_MS)
    assert len(mesh.hosts["ann"].started) > 5
    assert mesh.hosts["bob"].started == []
    assert mesh.hosts["bob"].core.mesh_view(mesh.now).pause is not None
    mesh.run_until(lambda: bool(mesh.hosts["bob"].started), 4 * SECOND_MS)
    assert mesh.hosts["bob"].core.mesh_view(mesh.now).pause is None
    assert not mesh.hosts["ann"].job(job).problems
    mesh.kill("bob")
    mesh.start("bob")
    assert mesh.hosts["bob"].core.mesh_view(mesh.now).pause is None, "what is over is over for good"


def test_a_pause_whose_time_passed_while_the_peer_was_off_is_over(cast: Cast) -> None:
    now = Rig(cast).now.wall
    rig = Rig(cast, kept=(KeptPause(since=WallTime(now - HOUR_MS), until=WallTime(now - 1), over=False),))
    rig.wait(2 * SECOND_MS)
    assert rig.peer.host.pause is None
    assert kept(rig.effects, KeptPause)[-1].over


def test_all_peers_show_who_is_paused_and_a_job_says_for_whom_it_waits(trio_of_peers: SmallMesh) -> None:
    mesh = trio_of_peers
    for name in ("ann", "bob", "cid"):
        pause(mesh, name)
    job = mesh.submit("ann", frames=2)
    mesh.run(30 * SECOND_MS)
    for host in mesh.hosts.values():
        view = host.job(job)
        assert view.state is JobState.WAITING
        assert len(view.problems) == 1
        assert all(name in view.problems[0] for name in ("paused by its owner", *mesh.hosts))
        assert all(peer.paused for peer in host.core.mesh_view(mesh.now).peers)
        assert {helper.lacks for helper in host.core.helpers(host.job(job).record.engine)} == {
            "its owner has paused it"
        }
    resume(mesh, "cid")
    mesh.run(SECOND_MS)
    assert mesh.hosts["ann"].job(job).problems == ()
    sealed(mesh, job)
    assert {len(mesh.hosts[name].started) for name in ("ann", "bob")} == {0}


def test_one_that_is_paused_is_no_slot_that_others_count_on(cast: Cast) -> None:
    ann = cast.actor("ann")
    rig = Rig(cast)
    rig.meet(ann)
    job = cast.head(ann).job.body
    assert rig.peer.directory.slots_for(job) == 1
    offer = Available(engines=(job.engine,), slots=1, busy=0, cores=1, memory_mb=1, draining=False, paused=True)
    rig.hear(ann, offer)
    assert rig.peer.directory.slots_for(job) == 0


class TestClaims:
    """What becomes of claims on their way."""

    @pytest.fixture
    def claimant(self, cast: Cast) -> Claimant:
        return Claimant(cast)

    def pause(self, claimant: Claimant, *, now: bool = False) -> None:
        claimant.rig.clear()
        claimant.rig.tell(ev.PauseAsked(op=1, until=None, now=now))

    def test_one_that_nobody_answered_is_withdrawn_and_its_verdict_comes_too_late(self, claimant: Claimant) -> None:
        claimant.rig.hear(claimant.first, claimant.window(1, 2, 3))
        ((_, sent_claim),) = [
            (peer, claim) for peer, said in sent(claimant.rig.effects, ClaimSent) for claim in said.claims
        ][:1]
        self.pause(claimant)
        withdrawn = [one for _, said in sent(claimant.rig.effects, Withdraw) for one in said.claims]
        assert sent_claim.id in withdrawn
        claimant.rig.hear(claimant.first, Verdict(claim=sent_claim.id, yours=True))
        claimant.rig.wait(10 * SECOND_MS, claimant.first, claimant.second)
        assert claimant.rendered() == []

    def test_the_keepers_are_told_at_once_that_its_slots_do_not_count_and_that_they_do_again(
        self, claimant: Claimant
    ) -> None:
        claimant.rig.hear(claimant.first, claimant.window(unclaimed=0))
        self.pause(claimant)
        assert [said.slots for _, said in sent(claimant.rig.effects, Follow)] == [0]
        assert [said.paused for _, said in sent(claimant.rig.effects, Available)] == [True] * 3
        claimant.rig.hear(claimant.first, claimant.window(1, 2, 3))
        claimant.rig.wait(10 * SECOND_MS, claimant.first, claimant.second)
        assert claimant.claimed() == []
        claimant.rig.clear()
        claimant.rig.tell(ev.ResumeAsked(op=2))
        assert [said.slots for _, said in sent(claimant.rig.effects, Follow)] == [1]
        assert claimant.claimed(), "the window that it was told meanwhile is good enough to begin"

    def test_a_written_picture_is_kept_even_where_the_owner_cannot_wait(self, claimant: Claimant) -> None:
        claimant.rig.hear(claimant.first, claimant.window(1, 2, 3, 4))
        claimant.answer(claimant.first, yours=True)
        (render,) = of(claimant.rig.effects, StartRender)
        claimant.rig.tell(ev.FrameWritten(op=render.op, render_ms=100))
        renders = of(claimant.rig.effects, StartRender)
        self.pause(claimant, now=True)
        assert [effect.op for effect in of(claimant.rig.effects, KillRender)] == [one.op for one in renders[1:]]
        assert of(claimant.rig.effects, CloseStage) == [], "its stage still checks the picture"
        picture = Output(blob=blob("picture"), size=1)
        claimant.rig.tell(ev.Rendered(op=render.op, outputs=(picture,), log=None))
        assert claimant.rig.peer.ledger.jobs[claimant.job].task(render.task).counting is not None
        assert of(claimant.rig.effects, CloseStage) == [CloseStage(job=claimant.job)]


def test_an_owner_gets_the_memory_back_too(cast: Cast) -> None:
    """Neither a stage nor an engine is opened ahead, though the scene of a new job still comes."""
    ann = cast.actor("ann")
    rig = Rig(cast)
    rig.meet(ann)
    first = rig.learn(cast.head(ann, frames=3), ann, by=ann)
    rig.clear()
    rig.tell(ev.PauseAsked(op=1, until=None, now=False))
    assert of(rig.effects, CloseStage) == [CloseStage(job=first)]
    rig.learn(cast.head(ann, frames=3, number=2), ann, by=ann)
    rig.wait(FIRST_CLAIMS_MS + SECOND_MS, ann)
    assert of(rig.effects, WarmEngine) == []
    assert of(rig.effects, OpenStage) == []


def test_pausing_again_keeps_its_beginning_and_takes_the_new_end(cast: Cast) -> None:
    rig = Rig(cast)
    began = rig.now.wall
    rig.tell(ev.PauseAsked(op=1, until=None, now=False))
    rig.wait(MINUTE_MS)
    until = wall_later(rig.now.wall, HOUR_MS)
    rig.tell(ev.PauseAsked(op=2, until=until, now=False))
    assert rig.peer.host.pause == Pause(since=began, until=until)
    assert kept(rig.effects, KeptPause)[-1] == KeptPause(since=began, until=until, over=False)


def test_the_answer_leaves_after_the_journal_was_told(cast: Cast) -> None:
    rig = Rig(cast)
    for event in (ev.PauseAsked(op=1, until=None, now=False), ev.ResumeAsked(op=2)):
        effects = rig.tell(event)
        (entry,) = kept(effects, KeptPause)
        assert entry.over == isinstance(event, ev.ResumeAsked)
        written = next(place for place, effect in enumerate(effects) if kept([effect], KeptPause))
        assert written < effects.index(Reply(op=event.op, reply=Done()))
    assert not kept(rig.tell(ev.ResumeAsked(op=3)), KeptPause), "there is nothing to end"


def test_a_peer_that_is_about_to_stop_is_not_paused(cast: Cast) -> None:
    rig = Rig(cast)
    rig.meet(cast.actor("ann"))
    rig.peer.host.draining = True
    rig.tell(ev.PauseAsked(op=1, until=None, now=False))
    (reply,) = of(rig.effects, Reply)
    assert isinstance(reply.reply, Declined)
    assert rig.peer.host.pause is None
