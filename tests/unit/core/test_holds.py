"""Copies that outlive their author: whose word counts, when a task is safe, when an output is lost."""

import pytest

from mesh.core.copies import _WANTED_PER_PEER
from mesh.core.effects import (
    Append,
    CheckOutput,
    Earned,
    FetchManifest,
    FetchPieces,
    ReadPage,
    Send,
    StartAssembly,
    StartRender,
)
from mesh.core.events import (
    BlobDamaged,
    BlobStarted,
    ChannelClosed,
    FrameWritten,
    OutputChecked,
    PageRead,
    PiecesStored,
    Rendered,
)
from mesh.core.holds import _UNSAFE_PER_TICK
from mesh.core.keepers import distance
from mesh.core.notes import ClaimWon
from mesh.core.turn import Turn
from mesh.ground.ids import BlobId, JobId
from mesh.ground.instants import MINUTE_MS, SECOND_MS
from mesh.ground.limits import LOST_AFTER_MS, LOST_AFTER_SAFE_MS, LOST_PER_AUTHOR, NOTES_PER_TURN
from mesh.wire.copies import Holds
from mesh.wire.envelope import Signed
from mesh.wire.grids import Cut
from mesh.wire.kept import KeptEntries, KeptHead, KeptHold
from mesh.wire.messages import Entries, Have, Head, Seek
from mesh.wire.records import Cancel, Entry, Lost, Output, Result, Seal, SealedTask, SealPage
from tests.support.cast import Actor, Cast, blob, block, cut_into
from tests.support.rig import Rig, kept, of, sent

PAGE = blob("page")


class Keeper:
    """A keeper of ann's job, which bob renders; `copies` holds make a frame safe."""

    def __init__(self, cast: Cast, *, copies: int = 2, frames: int = 4, cut: Cut | None = None) -> None:
        self.cast = cast
        self.rig = Rig(cast, slots=0)
        self.ann, self.bob, self.cid = cast.actor("ann"), cast.actor("bob"), cast.actor("cid")
        self.rig.meet(self.ann, self.bob, self.cid)
        self.head: Head = cast.head(self.ann, frames=frames, copies=copies, cut=cut)
        self.job: JobId = self.rig.keep(self.head, by=self.ann)

    def result(self, task: int = 0, author: Actor | None = None) -> tuple[Signed[Entry], BlobId]:
        found = self.cast.result(author or self.bob, self.head, task)
        self.rig.take(self.head, found, by=author or self.bob)
        assert isinstance(found.body.what, Result)
        return found, found.body.what.outputs[0].blob

    def holds(self, actor: Actor, held: BlobId, *, said_by: Actor | None = None) -> None:
        self.rig.hear(said_by or actor, Holds(holds=(self.cast.hold(actor, self.head, held),)))

    def safe(self) -> int:
        return self.rig.peer.job_view(self.rig.now, self.job).safe  # type: ignore[union-attr]

    def brings(self, picture: BlobId, source: Actor) -> None:
        """Let the peer fetch a picture from whoever has it."""
        self.rig.hear(source, Have(blob=picture, pieces=0, bits=b""))
        (manifest,) = of(self.rig.effects, FetchManifest)
        self.rig.tell(BlobStarted(op=manifest.op, blob=picture, pieces=1, have=()))
        (pieces,) = of(self.rig.effects, FetchPieces)
        self.rig.tell(PiecesStored(op=pieces.op, blob=picture, numbers=(0,), complete=True))


@pytest.fixture
def keeper(cast: Cast) -> Keeper:
    return Keeper(cast)


def test_a_task_is_safe_with_holds_of_as_many_peers_as_the_job_asks(keeper: Keeper) -> None:
    _, picture = keeper.result()
    keeper.holds(keeper.bob, picture)
    keeper.holds(keeper.bob, picture)
    assert keeper.safe() == 0
    keeper.holds(keeper.cid, picture)
    assert keeper.safe() == 1


def test_who_rendered_what_others_hold_has_earned_what_it_cost_once(keeper: Keeper) -> None:
    _, picture = keeper.result()
    keeper.holds(keeper.bob, picture)
    assert not of(keeper.rig.effects, Earned)
    keeper.holds(keeper.cid, picture)
    assert of(keeper.rig.effects, Earned) == [Earned(peer=keeper.bob.id)]
    keeper.rig.effects.clear()
    keeper.holds(keeper.ann, picture)
    assert not of(keeper.rig.effects, Earned)


def test_what_only_its_author_vouches_for_has_earned_nothing(cast: Cast) -> None:
    keeper = Keeper(cast, copies=1)
    _, picture = keeper.result()
    keeper.holds(keeper.bob, picture)
    assert keeper.safe() == 1
    assert not of(keeper.rig.effects, Earned)


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_promised_copy_that_rots_is_mended_although_its_job_is_sealed_meanwhile(
    cast: Cast, *, cancelled: bool
) -> None:
    keeper = Keeper(cast, copies=3)
    result, picture = keeper.result()
    keeper.holds(keeper.bob, picture)
    keeper.brings(picture, keeper.bob)
    (check,) = of(keeper.rig.effects, CheckOutput)
    keeper.rig.tell(OutputChecked(op=check.op, blob=picture, good=True))
    keeper.rig.tell(BlobDamaged(blob=picture))
    if cancelled:
        keeper.rig.take(keeper.head, keeper.cast.entry(keeper.ann, keeper.head, Cancel()), by=keeper.ann)
    else:
        tasks = (SealedTask(result=result, holds=()), *[SealedTask(result=None, holds=())] * 3)
        keeper.rig.peer.swarm._complete[PAGE] = None
        keeper.rig.take(keeper.head, keeper.cast.entry(keeper.ann, keeper.head, Seal(blob=PAGE)), by=keeper.ann)
        (read,) = of(keeper.rig.effects, ReadPage)
        keeper.rig.tell(PageRead(op=read.op, blob=PAGE, page=SealPage(job=keeper.job, tasks=tasks, chains=())))
    assert keeper.rig.peer.ledger.jobs[keeper.job].ended
    assert (picture in keeper.rig.peer.swarm.wants) is not cancelled


def test_a_strangers_holds_make_nothing_safe(keeper: Keeper) -> None:
    _, picture = keeper.result()
    stranger = Cast("another mesh").actor("stranger")
    for actor in (stranger, keeper.cast.actor("nobody has met")):
        keeper.holds(actor, picture, said_by=keeper.bob)
    keeper.holds(keeper.bob, picture)
    assert keeper.safe() == 0


def test_a_hold_before_its_result_counts_once_the_result_is_here(keeper: Keeper) -> None:
    found = keeper.cast.result(keeper.bob, keeper.head, 0)
    assert isinstance(found.body.what, Result)
    for actor in (keeper.bob, keeper.cid):
        keeper.holds(actor, found.body.what.outputs[0].blob)
    keeper.rig.take(keeper.head, found, by=keeper.bob)
    assert keeper.safe() == 1


def test_holds_of_what_nobody_rendered_are_bounded(keeper: Keeper) -> None:
    for number in range(2_000):
        keeper.holds(keeper.bob, blob(f"made up {number}"))
    assert len(keeper.rig.peer.holding.book._of[keeper.job]) < 200


def test_a_keeper_takes_a_copy_checks_it_and_only_then_holds_it(cast: Cast) -> None:
    keeper = Keeper(cast, copies=3)
    _, picture = keeper.result()
    keeper.holds(keeper.bob, picture)
    keeper.holds(keeper.ann, picture)
    keeper.brings(picture, keeper.bob)
    assert kept(keeper.rig.effects, KeptHold) == []
    (check,) = of(keeper.rig.effects, CheckOutput)
    keeper.rig.tell(OutputChecked(op=check.op, blob=picture, good=True))
    own, *others = (entry.hold for entry in kept(keeper.rig.effects, KeptHold))
    assert (own.author, own.body.blob) == (keeper.rig.me.id, picture)
    assert [hold.author for hold in others] == [keeper.bob.id, keeper.ann.id], (
        "who else holds it is known after a restart"
    )
    assert keeper.safe() == 1


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_promise_that_binds_no_more_is_told_to_nobody(cast: Cast, *, cancelled: bool) -> None:
    """Of a scene nothing but its root may be left by then."""
    keeper = Keeper(cast, copies=3)
    _, picture = keeper.result()
    keeper.holds(keeper.bob, picture)
    keeper.brings(picture, keeper.bob)
    (check,) = of(keeper.rig.effects, CheckOutput)
    keeper.rig.tell(OutputChecked(op=check.op, blob=picture, good=True))
    if cancelled:
        keeper.rig.take(keeper.head, cast.entry(keeper.ann, keeper.head, Cancel()), by=keeper.ann)
    keeper.rig.tell(ChannelClosed(peer=keeper.ann.id, clean=False))
    keeper.rig.effects.clear()
    keeper.rig.meet(keeper.ann)
    told = [hold for _, message in sent(keeper.rig.effects, Holds) for hold in message.holds]
    assert bool(told) is not cancelled


def test_a_picture_that_is_none_is_not_held(cast: Cast) -> None:
    keeper = Keeper(cast, copies=3)
    _, picture = keeper.result()
    keeper.brings(picture, keeper.bob)
    (check,) = of(keeper.rig.effects, CheckOutput)
    keeper.rig.tell(OutputChecked(op=check.op, blob=picture, good=False))
    keeper.rig.wait(10 * SECOND_MS, keeper.ann, keeper.bob, keeper.cid)
    assert kept(keeper.rig.effects, KeptHold) == []
    assert len(of(keeper.rig.effects, CheckOutput)) == 1


def test_a_picture_that_could_not_be_looked_at_is_looked_at_again(cast: Cast) -> None:
    keeper = Keeper(cast, copies=3)
    _, picture = keeper.result()
    keeper.brings(picture, keeper.bob)
    (check,) = of(keeper.rig.effects, CheckOutput)
    keeper.rig.tell(OutputChecked(op=check.op, blob=picture, good=None))
    keeper.rig.wait(12 * SECOND_MS, keeper.ann, keeper.bob, keeper.cid)
    again = of(keeper.rig.effects, CheckOutput)[-1]
    assert again.op != check.op
    keeper.rig.tell(OutputChecked(op=again.op, blob=picture, good=True))
    assert len(kept(keeper.rig.effects, KeptHold)) == 1


def test_a_hold_is_on_the_disk_before_anybody_hears_of_it(cast: Cast) -> None:
    keeper = Keeper(cast, copies=3)
    _, picture = keeper.result()
    keeper.brings(picture, keeper.bob)
    (check,) = of(keeper.rig.effects, CheckOutput)
    effects = keeper.rig.tell(OutputChecked(op=check.op, blob=picture, good=True))
    written = next(at for at, effect in enumerate(effects) if isinstance(effect, Append))
    told = [at for at, effect in enumerate(effects) if isinstance(effect, Send) and isinstance(effect.message, Holds)]
    assert told
    assert written < min(told)


def test_thousands_of_frames_that_look_alike_are_safe_in_one_turn(cast: Cast) -> None:
    keeper = Keeper(cast, frames=NOTES_PER_TURN + 100)
    black = blob("a black frame")
    entries = [
        cast.result(keeper.bob, keeper.head, task, picture=black) for task in range(len(keeper.head.job.body.frames))
    ]
    for at in range(0, len(entries), 16):
        keeper.rig.take(keeper.head, *entries[at : at + 16], by=keeper.bob)
    keeper.holds(keeper.bob, black)
    keeper.holds(keeper.cid, black)
    assert keeper.safe() == len(entries)


def losses(keeper: Keeper) -> list[bytes]:
    return [
        entry.body.what.result
        for message in kept(keeper.rig.effects, KeptEntries)
        for entry in message.entries
        if isinstance(entry.body.what, Lost)
    ]


def test_an_output_that_nobody_answers_for_is_lost_after_half_a_minute_and_its_task_open(keeper: Keeper) -> None:
    found, _ = keeper.result()
    keeper.rig.tell(ChannelClosed(peer=keeper.bob.id, clean=False))
    keeper.rig.wait(LOST_AFTER_MS - SECOND_MS, keeper.ann, keeper.cid)
    assert losses(keeper) == []
    keeper.rig.wait(30 * SECOND_MS, keeper.ann, keeper.cid)
    assert losses(keeper) == [found.id]
    assert list(keeper.rig.peer.ledger.jobs[keeper.job].open_frames()) == [0, 1, 2, 3]


def test_an_output_whose_author_comes_back_in_time_is_not_lost(keeper: Keeper) -> None:
    _, picture = keeper.result()
    for _ in range(5):
        keeper.rig.tell(ChannelClosed(peer=keeper.bob.id, clean=False))
        keeper.rig.wait(LOST_AFTER_MS // 2, keeper.ann, keeper.cid)
        keeper.rig.meet(keeper.bob)
        keeper.rig.hear(keeper.bob, Have(blob=picture, pieces=2, bits=b"\x01"))
        keeper.rig.wait(SECOND_MS, keeper.ann, keeper.bob, keeper.cid)
    assert losses(keeper) == []


def test_a_safe_output_whose_holders_are_all_gone_is_lost_after_ten_minutes(keeper: Keeper) -> None:
    found, picture = keeper.result()
    keeper.rig.peer.holding.copies._bad[picture] = None  # this keeper takes no copy itself
    keeper.holds(keeper.bob, picture)
    keeper.holds(keeper.cid, picture)
    assert keeper.safe() == 1
    for actor in (keeper.bob, keeper.cid):
        keeper.rig.tell(ChannelClosed(peer=actor.id, clean=False))
    keeper.rig.wait(LOST_AFTER_SAFE_MS - MINUTE_MS, keeper.ann)
    assert losses(keeper) == []
    keeper.rig.wait(3 * MINUTE_MS, keeper.ann)
    assert losses(keeper) == [found.id]


def test_a_keeper_that_is_cut_off_says_of_three_outputs_that_they_are_lost_and_then_is_quiet(cast: Cast) -> None:
    keeper = Keeper(cast, frames=40)
    for task in range(40):
        keeper.result(task)
    for actor in (keeper.ann, keeper.bob, keeper.cid):
        keeper.rig.tell(ChannelClosed(peer=actor.id, clean=False))
    keeper.rig.wait(5 * MINUTE_MS)
    assert len(losses(keeper)) == LOST_PER_AUTHOR


def test_who_crashed_between_its_result_and_its_hold_holds_when_it_starts_again(cast: Cast) -> None:
    ann = cast.actor("ann")
    head = cast.head(ann)
    rig = Rig(cast, "bob")
    rig.meet(ann)
    job = rig.learn(head, ann, by=ann)
    claim = cast.claim(rig.me, head, 0)
    picture = blob("bob's picture")
    rig.peer.claims.mine.clear()
    turn = Turn(rig.now, rig.peer._dice, rig.me.id)
    rig.peer.slots.on_claim_won(turn, ClaimWon(claim=claim))
    (op,) = rig.peer.slots._by_op
    rig.tell(FrameWritten(op=op, render_ms=5))
    effects = rig.tell(Rendered(op=op, outputs=(Output(blob=picture, size=9),), log=None))
    assert sent(effects, Entries)
    before_the_hold = tuple(
        entry
        for effect in rig.effects
        if isinstance(effect, Append)
        for entry in effect.entries
        if not isinstance(entry, KeptHold)
    )
    again = Rig(cast, "bob", kept=before_the_hold, complete=(picture,), actor=rig.me)
    assert [entry.hold.body.blob for entry in kept(again.effects, KeptHold)] == [picture]
    assert job in again.peer.ledger.jobs


def test_an_author_that_is_gone_and_never_held_counts_for_no_copy(cast: Cast) -> None:
    keeper = Keeper(cast, copies=1)
    _, picture = keeper.result()
    keeper.rig.clear()
    keeper.rig.hear(keeper.cid, Have(blob=picture, pieces=0, bits=b""))
    for actor in (keeper.ann, keeper.bob):
        keeper.rig.tell(ChannelClosed(peer=actor.id, clean=False))
    keeper.rig.wait(10 * SECOND_MS, keeper.cid)
    assert picture in keeper.rig.peer.swarm.wants


def test_a_copy_that_its_taker_does_not_get_is_taken_by_another(cast: Cast) -> None:
    keeper = Keeper(cast)
    _, picture = keeper.result()
    keeper.holds(keeper.bob, picture)
    everybody = (keeper.ann, keeper.bob, keeper.cid)
    keeper.rig.effects.clear()
    keeper.rig.wait(5 * SECOND_MS, *everybody)
    # The submitter fetches it anyway, so that this peer takes none.
    assert picture not in sought(keeper.rig)
    keeper.rig.wait(10 * SECOND_MS, *everybody)
    assert picture in sought(keeper.rig)
    keeper.brings(picture, keeper.bob)
    (check,) = of(keeper.rig.effects, CheckOutput)
    assert check.blob == picture


@pytest.mark.parametrize("nearer", [4, 5])
def test_a_sixth_keeper_whom_nobody_tells_what_is_held_says_of_nothing_that_it_is_lost(cast: Cast, nearer: int) -> None:
    keeper = Keeper(cast)
    rig, job = keeper.rig, keeper.job
    others = [cast.actor(f"other {number}") for number in range(40)]
    nearest = sorted(others, key=lambda actor: distance(actor.id, job))[:nearer]
    assert distance(nearest[-1].id, job) < distance(rig.me.id, job)
    rig.meet(*nearest)
    rig.learn(keeper.head, *nearest, by=keeper.ann)
    keeper.result()
    rig.tell(ChannelClosed(peer=keeper.bob.id, clean=False))
    rig.wait(MINUTE_MS, keeper.ann, keeper.cid, *nearest)
    assert bool(losses(keeper)) is (nearer == 4)


def sought(rig: Rig) -> list[BlobId]:
    """Return what a peer has sought."""
    return [blob for _, seek in sent(rig.effects, Seek) for blob in seek.blobs]


def outputs_wanted(keeper: Keeper) -> list[BlobId]:
    """Return what the keeper fetches, the scene apart."""
    return [wanted for wanted in keeper.rig.peer.swarm.wants if wanted != keeper.head.job.body.scene]


def test_thousands_of_frames_without_enough_holders_are_looked_at_in_turn(cast: Cast) -> None:
    keeper = Keeper(cast, frames=3_000, copies=16)
    entries = [cast.result(keeper.bob, keeper.head, task, picture=blob(f"{task}")) for task in range(3_000)]
    for at in range(0, len(entries), 32):
        keeper.rig.take(keeper.head, *entries[at : at + 32], by=keeper.bob)
    unsafe = keeper.rig.peer.holding._unsafe[keeper.job]
    first = list(unsafe)
    keeper.rig.wait(SECOND_MS, keeper.ann, keeper.bob, keeper.cid)
    later = list(unsafe)
    assert sorted(later) == sorted(first)
    assert first[:100] == later[-_UNSAFE_PER_TICK:][:100], "the first ones were looked at, and come last now"


def test_of_thousands_of_outputs_that_one_author_claims_few_are_sought_at_a_time(cast: Cast) -> None:
    keeper = Keeper(cast, frames=600, copies=16)
    entries = [cast.result(keeper.bob, keeper.head, task, picture=blob(f"{task}")) for task in range(1, 600)]
    for at in range(0, len(entries), 32):
        keeper.rig.take(keeper.head, *entries[at : at + 32], by=keeper.bob)
    assert outputs_wanted(keeper) == [blob(f"{task}") for task in range(1, 1 + _WANTED_PER_PEER)]
    _, others = keeper.result(0, keeper.cid)
    assert others in outputs_wanted(keeper), "another author's is sought at once"
    keeper.brings(blob("1"), keeper.bob)
    keeper.rig.wait(5 * SECOND_MS, keeper.ann, keeper.bob, keeper.cid)
    wanted = outputs_wanted(keeper)
    assert blob("1") not in wanted
    assert len(wanted) == _WANTED_PER_PEER + 1, "the next one has its turn"


def test_an_output_that_counts_no_more_is_sought_no_more(cast: Cast) -> None:
    keeper = Keeper(cast, copies=16)
    second, late = keeper.result(0)
    first = cast.result(keeper.cid, keeper.head, 0, attempt=2)
    keeper.rig.take(keeper.head, first, by=keeper.cid)
    assert outputs_wanted(keeper) == [late], "the lowest attempt counts"
    keeper.rig.take(keeper.head, cast.lost(keeper.ann, keeper.head, second), by=keeper.ann)
    assert isinstance(first.body.what, Result)
    assert outputs_wanted(keeper) == [first.body.what.outputs[0].blob]


@pytest.fixture
def still(cast: Cast) -> Keeper:
    """A keeper of a job whose last frame has four by two cells."""
    return Keeper(cast, cut=cut_into(4, 2))


def bucket(keeper: Keeper, label: str = "") -> BlobId:
    """Hear of a bucket's result, and return its file."""
    entry = keeper.cast.result(keeper.bob, keeper.head, 3, block=block(0, 0, 4, 2), label=label)
    keeper.rig.take(keeper.head, entry, by=keeper.bob)
    assert isinstance(entry.body.what, Result)
    return entry.body.what.outputs[0].blob


def test_nobody_takes_a_copy_of_a_bucket_and_its_holds_make_nothing_safe(still: Keeper) -> None:
    found = bucket(still)
    for actor in (still.ann, still.bob, still.cid):
        still.holds(actor, found)
    for _ in range(5):
        still.rig.wait(5 * SECOND_MS, still.ann, still.bob, still.cid)
    assert found not in still.rig.peer.swarm.wants
    assert still.safe() == 0
    assert of(still.rig.effects, Earned) == []
    assert of(still.rig.effects, CheckOutput) == []


def test_who_renders_a_bucket_does_not_promise_to_keep_it_and_who_assembles_the_frame_does(cast: Cast) -> None:
    rig = Rig(cast, slots=2)
    ann = cast.actor("ann")
    rig.meet(ann)
    head = cast.head(ann, frames=1, cut=cut_into(4, 2))
    rig.learn(head, ann, by=ann)
    given = []
    for number, (found, assembles) in enumerate(((block(0, 0, 4, 2), False), (None, True))):
        rig.peer.swarm._complete[blob(f"picture {number}")] = None
        turn = Turn(rig.now, rig.peer._dice, rig.me.id)
        claim = cast.claim(rig.me, head, 0, block=found, assembles=assembles)
        for machine in (rig.peer.slots, rig.peer.assembling):
            machine.on_claim_won(turn, ClaimWon(claim=claim))
        (op,) = [effect.op for effect in turn.effects if isinstance(effect, StartRender | StartAssembly)]
        rig.clear()
        rig.tell(FrameWritten(op=op, render_ms=1))
        rig.tell(Rendered(op=op, outputs=(Output(blob=blob(f"picture {number}"), size=1),), log=None))
        given.append([told.hold.body.blob for told in kept(rig.effects, KeptHold)])
    assert given == [[], [blob("picture 1")]]


def test_a_peer_that_starts_again_holds_frames_and_no_buckets(cast: Cast) -> None:
    me, ann = cast.actor("me"), cast.actor("ann")
    head = cast.head(ann, frames=1, cut=cut_into(4, 2))
    results = [cast.result(me, head, 0, block=block(0, 0, 4, 2)), cast.result(me, head, 0, assembles=True)]
    outputs = [entry.body.what.outputs[0].blob for entry in results if isinstance(entry.body.what, Result)]
    rig = Rig(cast, kept=(KeptHead(head=head), KeptEntries(entries=tuple(results))), complete=tuple(outputs))
    assert [told.hold.body.blob for told in kept(rig.effects, KeptHold)] == outputs[1:]


def test_a_keeper_does_not_say_that_a_bucket_is_lost(still: Keeper) -> None:
    bucket(still)
    still.rig.tell(ChannelClosed(peer=still.bob.id, clean=True))
    for _ in range(3 * LOST_AFTER_MS // (5 * SECOND_MS)):
        still.rig.wait(5 * SECOND_MS, still.ann, still.cid)
    assert losses(still) == []
