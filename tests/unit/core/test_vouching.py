"""Second opinions: what becomes of a picture that was rendered here, and what keepers and claimants make of it."""

import pytest

from mesh.core.effects import CompareOutputs, StartRender
from mesh.core.events import BlobStarted, FrameWritten, OutputsCompared, PiecesStored, Rendered, StopAsked
from mesh.core.notes import ClaimWon
from mesh.core.turn import Turn
from mesh.ground.ids import BlobId, JobId, RecordId
from mesh.ground.instants import SECOND_MS
from mesh.ground.limits import LOST_BUCKET_MS, NEWS_AFTER_GAP_MS, OPINION_MS, SETTLE_LEAST_MS, WINDOW_FACTOR
from mesh.wire.envelope import Signed
from mesh.wire.kept import KeptEntries
from mesh.wire.messages import ClaimSent, Entries, Follow, Verdict, Window
from mesh.wire.records import Check, Claim, Entry, Lost, Output, Result, Vouch
from tests.support.cast import Actor, Cast, blob
from tests.support.rig import Rig, journal, kept, of, sent

MINE = BlobId(blob("mine"))


class Bench:
    """A host that renders the first frame of ann's job, which is checked twice; bob has rendered it, too."""

    def __init__(self, cast: Cast) -> None:
        self.cast = cast
        self.rig = Rig(cast, slots=2)
        self.ann, self.bob = cast.actor("ann"), cast.actor("bob")
        self.rig.meet(self.ann, self.bob)
        self.head = cast.head(self.ann, frames=4, check=Check.TWICE)
        self.job = self.rig.learn(self.head, self.ann, by=self.ann)
        self.theirs = cast.result(self.bob, self.head, 0)
        self.known = journal(self.rig.effects)
        self.rig.clear()

    def render(self, picture: BlobId = MINE) -> Signed[Claim]:
        claim = self.cast.claim(self.rig.me, self.head, 0, 2)
        turn = Turn(self.rig.now, self.rig.peer._dice, self.rig.me.id)
        self.rig.peer.slots.on_claim_won(turn, ClaimWon(claim=claim))
        (started,) = of(turn.effects, StartRender)
        self.rig.tell(FrameWritten(op=started.op, render_ms=500))
        self.rig.tell(Rendered(op=started.op, outputs=(Output(blob=picture, size=1),), log=None))
        return claim

    def hear(self, *entries: Signed[Entry], by: Actor | None = None) -> None:
        self.rig.take(self.head, *entries, by=by or self.bob)

    def arrives(self, result: Signed[Entry]) -> None:
        """Let another's picture come."""
        assert isinstance(result.body.what, Result)
        picture = result.body.what.outputs[0].blob
        self.rig.tell(BlobStarted(op=10**6, blob=picture, pieces=1, have=()))
        self.rig.tell(PiecesStored(op=10**6, blob=picture, numbers=(0,), complete=True))

    def compared(self, *, alike: bool | None) -> None:
        self.rig.tell(OutputsCompared(op=of(self.rig.effects, CompareOutputs)[-1].op, alike=alike))

    def said(self) -> list[object]:
        entries = [entry for message in kept(self.rig.effects, KeptEntries) for entry in message.entries]
        return [entry.body.what for entry in entries if entry.author == self.rig.me.id]


@pytest.fixture
def bench(cast: Cast) -> Bench:
    return Bench(cast)


def test_who_knows_of_no_other_picture_publishes_its_own(bench: Bench) -> None:
    claim = bench.render()
    (result,) = bench.said()
    assert isinstance(result, Result)
    assert result.claim == claim


def test_a_picture_like_anothers_becomes_a_vouch_with_its_own_claim(bench: Bench) -> None:
    bench.hear(bench.theirs)
    claim = bench.render()
    assert bench.said() == [], "the other one is on its way"
    bench.arrives(bench.theirs)
    (look,) = of(bench.rig.effects, CompareOutputs)
    assert look.mine == MINE
    bench.compared(alike=True)
    (vouch,) = bench.said()
    assert isinstance(vouch, Vouch)
    assert (vouch.claim, vouch.result) == (claim, bench.theirs.id)
    assert bench.rig.peer.ledger.jobs[bench.job].task(0).counting == bench.theirs
    assert list(bench.rig.peer.vouching.in_use()) == []


def test_a_picture_unlike_all_others_is_published(bench: Bench) -> None:
    bench.hear(bench.theirs)
    bench.render()
    bench.arrives(bench.theirs)
    bench.compared(alike=False)
    (result,) = bench.said()
    assert isinstance(result, Result)
    assert bench.rig.peer.ledger.jobs[bench.job].task(0).counting is None
    assert list(bench.rig.peer.vouching.in_use()) == [MINE], "somebody has to compare it"


def test_the_same_bytes_need_nobody_to_look(bench: Bench) -> None:
    theirs = bench.cast.result(bench.bob, bench.head, 0, picture=MINE)
    bench.hear(theirs)
    bench.render()
    assert [type(what) for what in bench.said()] == [Vouch]
    assert of(bench.rig.effects, CompareOutputs) == []


def test_two_that_were_published_without_knowing_of_each_other_are_compared(bench: Bench) -> None:
    bench.render()
    bench.rig.clear()
    bench.hear(bench.theirs)
    bench.arrives(bench.theirs)
    bench.compared(alike=True)
    assert [type(what) for what in bench.said()] == [Vouch]


def test_nobody_waits_long_for_a_picture_that_nobody_has(bench: Bench) -> None:
    bench.hear(bench.theirs)
    bench.render()
    bench.rig.wait(LOST_BUCKET_MS - 2 * SECOND_MS, bench.ann, bench.bob)
    assert bench.said() == []
    bench.rig.wait(OPINION_MS, bench.ann, bench.bob)
    assert [type(what) for what in bench.said()] == [Result]


def test_who_is_about_to_stop_publishes_what_waits(bench: Bench) -> None:
    bench.hear(bench.theirs)
    bench.render()
    bench.rig.tell(StopAsked(now=False))
    assert [type(what) for what in bench.said()] == [Result]


@pytest.mark.parametrize("agreed", [True, False])
def test_after_a_gap_a_picture_waits_for_the_news_and_leaves_only_if_still_wanted(bench: Bench, agreed: bool) -> None:
    bench.hear(bench.theirs)
    bench.render()
    bench.rig.jump(2 * OPINION_MS)
    bench.rig.wait(NEWS_AFTER_GAP_MS - 1, bench.ann, bench.bob)
    assert bench.said() == [], "it is late, but others may have agreed meanwhile"
    if agreed:
        bench.hear(bench.cast.vouch(bench.ann, bench.head, bench.theirs), by=bench.ann)
    bench.rig.wait(SECOND_MS + 1, bench.ann, bench.bob)
    assert [type(what) for what in bench.said()] == ([] if agreed else [Result])


def test_who_is_about_to_stop_after_a_gap_hears_the_news_first_too(bench: Bench) -> None:
    bench.hear(bench.theirs)
    bench.render()
    bench.rig.jump(10 * SECOND_MS)
    bench.rig.tell(StopAsked(now=False))
    assert bench.said() == []
    bench.rig.wait(NEWS_AFTER_GAP_MS + SECOND_MS, bench.ann, bench.bob)
    assert [type(what) for what in bench.said()] == [Result]


def test_what_others_agreed_on_meanwhile_is_not_published(bench: Bench) -> None:
    bench.hear(bench.theirs)
    bench.render()
    bench.hear(bench.cast.vouch(bench.ann, bench.head, bench.theirs), by=bench.ann)
    bench.rig.wait(2 * OPINION_MS, bench.ann, bench.bob)
    assert bench.said() == []
    assert list(bench.rig.peer.vouching.in_use()) == []


@pytest.mark.parametrize("whole", [True, False])
def test_what_waited_before_a_restart_is_kept_after_it_or_said_to_be_lost(bench: Bench, whole: bool) -> None:
    bench.render()
    written = (*bench.known, *journal(bench.rig.effects))
    again = Rig(bench.cast, kept=written, complete=(MINE,) if whole else (), actor=bench.rig.me)
    entries = [entry for message in kept(again.effects, KeptEntries) for entry in message.entries]
    assert [type(entry.body.what) for entry in entries] == ([] if whole else [Lost])
    assert list(again.peer.vouching.in_use()) == ([MINE] if whole else [])
    assert again.peer.ledger.jobs[bench.job].task(0).waits_for_others(bench.rig.me.id) == whole


class Court:
    """A keeper of a job that is checked twice, and those who claim of it."""

    def __init__(self, cast: Cast) -> None:
        self.cast = cast
        self.rig = Rig(cast, slots=0)
        self.ann, self.bob, self.cid = cast.actor("ann"), cast.actor("bob"), cast.actor("cid")
        self.rig.meet(self.ann, self.bob, self.cid)
        self.head = cast.head(self.ann, frames=40, check=Check.TWICE)
        self.job: JobId = self.rig.keep(self.head, by=self.ann)

    def claim(self, actor: Actor, attempt: int) -> Signed[Claim]:
        claim = self.cast.claim(actor, self.head, 0, attempt)
        self.rig.hear(actor, ClaimSent(claims=(claim,)))
        self.rig.wait(SETTLE_LEAST_MS)
        return claim

    def verdicts(self) -> dict[RecordId, bool]:
        return {verdict.claim: verdict.yours for _, verdict in sent(self.rig.effects, Verdict)}


@pytest.fixture
def court(cast: Cast) -> Court:
    return Court(cast)


def test_a_task_that_waits_goes_to_another_who_is_told_what_to_compare(court: Court) -> None:
    first = court.claim(court.bob, 1)
    assert court.verdicts()[first.id]
    result = court.cast.result(court.bob, court.head, 0)
    court.rig.take(court.head, result, by=court.bob)
    assert not court.rig.peer.leases.dockets[court.job].leases, "its author is done with it"
    again, second = court.claim(court.bob, 2), court.claim(court.cid, 2)
    assert (court.verdicts()[again.id], court.verdicts()[second.id]) == (False, True)
    told = [message for peer, message in sent(court.rig.effects, Entries) if peer == court.cid.id]
    assert [message.entries for message in told if result in message.entries]


def test_a_window_tells_of_as_much_to_render_as_to_check(court: Court) -> None:
    for task in range(3 * WINDOW_FACTOR):
        court.rig.take(court.head, court.cast.result(court.bob, court.head, task), by=court.bob)
    court.rig.clear()
    court.rig.hear(court.bob, Follow(job=court.job, slots=1))
    window = sent(court.rig.effects, Window)[-1][1]
    told = [task.task for task in window.open]
    assert told == [*range(WINDOW_FACTOR), *range(3 * WINDOW_FACTOR, 4 * WINDOW_FACTOR)]
