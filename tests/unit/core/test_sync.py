"""Records find their way, and only those that act."""

from itertools import pairwise

import pytest

from mesh.core import sync
from mesh.core.effects import Append, Send
from mesh.core.judge import acts
from mesh.core.notes import Publish
from mesh.core.sync import STREAMS_PER_ANSWER
from mesh.core.turn import Turn
from mesh.ground.instants import SECOND_MS
from mesh.ground.limits import NEWS_AFTER_GAP_MS, SYNC_PERIOD_MS
from mesh.wire.envelope import Signed
from mesh.wire.kept import KeptEntries
from mesh.wire.members import ALL_ROLES, Role
from mesh.wire.messages import Entries, Head, LedgerDigest, StreamDigest, StreamDigests, StreamIds
from mesh.wire.records import Cancel, Claim, Entry, Failed, FailureKind, Lost, Output, Result, Seal, SealPage
from tests.support.cast import Actor, Cast, blob, boot
from tests.support.rig import Rig, kept, sent


class Archive:
    """A keeper of ann's job that bob keeps too."""

    def __init__(self, cast: Cast) -> None:
        self.cast = cast
        self.rig = Rig(cast, slots=0)
        self.ann, self.bob = cast.actor("ann"), cast.actor("bob")
        self.rig.meet(self.ann, self.bob)
        self.head: Head = cast.head(self.ann)
        self.job = self.rig.keep(self.head, self.bob, by=self.ann)
        self.rig.clear()

    def publish(self, what: Result | Failed) -> list[object]:
        turn = Turn(self.rig.now, self.rig.peer._dice, self.rig.me.id)
        self.rig.peer.sync.on_publish(turn, Publish(job=self.job, what=what))
        return list(turn.effects)

    def judged(self, entry: Signed[Entry]) -> bool:
        return acts(entry, self.rig.peer.ledger.jobs[self.job], self.rig.peer.members)


LOWEST, HIGHEST = bytes(16), b"\xff" * 16
FAILURE = Failed(task=0, attempt=1, kind=FailureKind.HUNG, reason="", log=None)


@pytest.fixture
def archive(cast: Cast) -> Archive:
    return Archive(cast)


def test_a_record_is_on_the_disk_before_it_leaves_to_keepers_and_submitter(archive: Archive) -> None:
    effects = archive.publish(FAILURE)
    first = next(at for at, effect in enumerate(effects) if isinstance(effect, Send))
    assert any(isinstance(effect, Append) for effect in effects[:first])
    told = {effect.peer for effect in effects if isinstance(effect, Send) and isinstance(effect.message, Entries)}
    assert told == {archive.ann.id, archive.bob.id}


def test_records_of_one_boot_are_numbered_from_one(archive: Archive) -> None:
    numbers = []
    for _ in range(3):
        for effect in archive.publish(FAILURE):
            if isinstance(effect, Append):
                numbers += [
                    e.body.number for one in effect.entries if isinstance(one, KeptEntries) for e in one.entries
                ]
    assert numbers == [1, 2, 3]


def test_a_record_that_comes_again_is_not_written_again(archive: Archive) -> None:
    entry = archive.cast.result(archive.bob, archive.head, 0)
    written = [kept(archive.rig.take(archive.head, entry, by=archive.bob), KeptEntries) for _ in range(2)]
    assert [len(entries) for entries in written] == [1, 0]


def test_a_record_that_does_not_act_is_not_kept(archive: Archive) -> None:
    stranger = Cast("another").actor("stranger")
    entry = archive.cast.result(stranger, archive.head, 0)
    effects = archive.rig.take(archive.head, entry, by=archive.bob)
    assert kept(effects, KeptEntries) == []


def test_the_author_is_learned_with_its_record(archive: Archive) -> None:
    unknown = archive.cast.actor("unknown")
    entry = archive.cast.result(unknown, archive.head, 0)
    message = Entries(job=archive.job, entries=(entry,), chains=(unknown.chain,))
    archive.rig.hear(archive.bob, message)
    assert entry.id in archive.rig.peer.ledger.jobs[archive.job].entries


def test_keepers_compare_every_ten_seconds_and_equal_ones_say_no_more(archive: Archive) -> None:
    archive.rig.wait(3 * SYNC_PERIOD_MS, archive.ann, archive.bob)
    digests = [message for peer, message in sent(archive.rig.effects, LedgerDigest) if peer == archive.bob.id]
    assert 2 <= len(digests) <= 4
    archive.rig.clear()
    archive.rig.hear(archive.bob, digests[0])
    assert sent(archive.rig.effects, StreamDigests) == []


def test_three_steps_lead_from_a_digest_to_the_records_that_lack(archive: Archive) -> None:
    entry = archive.cast.result(archive.bob, archive.head, 0)
    archive.rig.take(archive.head, entry, by=archive.bob)
    other = LedgerDigest(job=archive.job, count=0, digest=bytes(16))
    ((_, streams),) = sent(archive.rig.hear(archive.bob, other), StreamDigests)
    assert streams.asked
    (stream,) = streams.streams
    assert (stream.author, stream.count) == (archive.bob.id, 1)
    asked = StreamIds(job=archive.job, author=stream.author, boot=stream.boot, ids=(), low=LOWEST, high=HIGHEST)
    ((_, entries),) = sent(archive.rig.hear(archive.bob, asked), Entries)
    assert entries.entries == (entry,)
    assert archive.bob.chain in entries.chains
    has_it = StreamIds(
        job=archive.job, author=stream.author, boot=stream.boot, ids=(entry.id[:16],), low=LOWEST, high=HIGHEST
    )
    assert sent(archive.rig.hear(archive.bob, has_it), Entries) == []


def test_a_long_stream_is_told_in_parts_that_fit_however_its_author_chose_the_ids(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 64
    monkeypatch.setattr(sync, "MAX_IDS", most)
    cast = archive.cast
    head = cast.head(archive.ann, frames=3 * most, number=2)
    job = archive.rig.keep(head, archive.bob, by=archive.ann)
    entries: list[Signed[Entry]] = []
    for task in range(2 * most + 2):
        what = Failed(task=task, attempt=1, kind=FailureKind.HUNG, reason="", log=None)
        while (entry := cast.entry(archive.bob, head, what)).id[0] != 7 and task % 8:  # most of them are alike
            continue
        entries.append(entry)
    for at in range(0, len(entries), 32):
        archive.rig.take(head, *entries[at : at + 32], by=archive.bob)
    differs = StreamDigest(author=archive.bob.id, boot=entries[0].body.boot, count=0, digest=bytes(16))
    effects = archive.rig.hear(archive.ann, StreamDigests(job=job, streams=(differs,), asked=False))
    parts = [part for _, part in sent(effects, StreamIds)]
    assert [len(part.ids) for part in parts] == [most, most, 2]
    assert (parts[0].low, parts[-1].high) == (LOWEST, HIGHEST)
    for before, after in pairwise(parts):
        assert int.from_bytes(after.low, "big") == int.from_bytes(before.high, "big") + 1
    assert all(part.low <= short <= part.high for part in parts for short in part.ids)
    assert [short for part in parts for short in part.ids] == sorted(entry.id[:16] for entry in entries)


def test_what_lacks_of_one_part_is_sent_and_of_no_other(archive: Archive) -> None:
    entries = sorted(
        (archive.cast.result(archive.bob, archive.head, task) for task in range(4)), key=lambda one: one.id
    )
    archive.rig.take(archive.head, *entries, by=archive.bob)
    part = StreamIds(
        job=archive.job,
        author=archive.bob.id,
        boot=entries[0].body.boot,
        ids=(entries[1].id[:16],),
        low=entries[1].id[:16],
        high=entries[2].id[:16],
    )
    ((_, sent_back),) = sent(archive.rig.hear(archive.bob, part), Entries)
    assert sent_back.entries == (entries[2],)


@pytest.mark.parametrize(("lacking", "soon"), [(STREAMS_PER_ANSWER - 1, False), (STREAMS_PER_ANSWER, True)])
def test_whoever_lacks_many_short_streams_goes_on_a_second_later(archive: Archive, lacking: int, soon: bool) -> None:
    """A keeper that was an author lacks those of a hundred others, each of a few records."""
    rig = archive.rig
    while not sent(rig.effects, LedgerDigest):
        rig.wait(SECOND_MS, archive.ann, archive.bob)
    rig.clear()
    streams = tuple(
        StreamDigest(author=archive.bob.id, boot=boot(str(number)), count=1, digest=bytes(16))
        for number in range(lacking)
    )
    effects = rig.hear(archive.bob, StreamDigests(job=archive.job, streams=streams, asked=False))
    assert len(sent(effects, StreamIds)) == lacking
    rig.wait(2 * SECOND_MS, archive.ann, archive.bob)
    assert bool(sent(rig.effects, LedgerDigest)) is soon


def test_after_a_gap_all_is_compared_at_once(archive: Archive) -> None:
    archive.rig.jump(60 * SECOND_MS)
    archive.rig.clear()
    archive.rig.wait(0)
    assert {peer for peer, _ in sent(archive.rig.effects, LedgerDigest)} == {archive.ann.id, archive.bob.id}


def test_who_just_woke_up_tells_all_that_there_is_once_it_has_heard_the_news(archive: Archive) -> None:
    """Seed 80020 of 20 peers: somebody who looked took what a keeper had before it slept for all there is.

    Nor does it ask back: two that woke up together would ask each other as fast as messages travel.
    """
    asked = StreamDigests(job=archive.job, streams=(), asked=True)
    archive.rig.jump(60 * SECOND_MS)
    assert sent(archive.rig.hear(archive.bob, asked), StreamDigests) == []
    archive.rig.clear()
    archive.rig.wait(NEWS_AFTER_GAP_MS, archive.ann, archive.bob)
    assert {peer for peer, _ in sent(archive.rig.effects, LedgerDigest)} == {archive.ann.id, archive.bob.id}
    ((_, awake),) = sent(archive.rig.hear(archive.bob, asked), StreamDigests)
    assert not awake.asked


def claim_of(cast: Cast, actor: Actor, head: Head, task: int) -> Signed[Claim]:
    return cast.claim(actor, head, task)


def result(claim: Signed[Claim], outputs: int = 1) -> Result:
    made = tuple(Output(blob=blob(str(number)), size=1) for number in range(outputs))
    return Result(claim=claim, outputs=made, render_ms=1, log=None)


def test_a_result_acts_with_its_authors_own_claim_of_a_task_of_the_job(archive: Archive) -> None:
    cast, head, bob = archive.cast, archive.head, archive.bob
    elsewhere = cast.head(archive.ann, number=9)
    assert archive.judged(cast.entry(bob, head, result(claim_of(cast, bob, head, 0))))
    assert not archive.judged(cast.entry(bob, head, result(claim_of(cast, archive.ann, head, 0))))
    assert not archive.judged(cast.entry(bob, head, result(claim_of(cast, bob, elsewhere, 0))))
    assert not archive.judged(cast.entry(bob, head, result(claim_of(cast, bob, head, 4))))
    assert not archive.judged(cast.entry(bob, head, result(claim_of(cast, bob, head, 0), outputs=0)))
    assert not archive.judged(cast.entry(bob, elsewhere, result(claim_of(cast, bob, elsewhere, 0))))


def test_roles_say_who_may_render_and_who_may_cancel(archive: Archive) -> None:
    cast, head = archive.cast, archive.head
    submits = cast.actor("submits", Role.SUBMIT)
    admin = cast.actor("admin", ALL_ROLES)
    archive.rig.meet(submits, admin)
    assert not archive.judged(cast.entry(submits, head, result(claim_of(cast, submits, head, 0))))
    assert not archive.judged(cast.entry(submits, head, FAILURE))
    assert not archive.judged(cast.entry(submits, head, Cancel()))
    assert archive.judged(cast.entry(admin, head, Cancel()))
    assert archive.judged(cast.entry(archive.ann, head, Cancel()))
    assert archive.judged(cast.entry(submits, head, Lost(task=0, result=blob("r"))))  # type: ignore[arg-type]
    assert not archive.judged(cast.entry(submits, head, Lost(task=4, result=blob("r"))))  # type: ignore[arg-type]
    assert archive.judged(cast.entry(submits, head, Seal(blob=blob("page"))))


def test_whoever_knows_a_seal_goes_on_comparing_since_another_may_stand_above_it(cast: Cast) -> None:
    """Found by the simulator: peers without a part in a job kept a keeper's seal when the submitter's came later."""
    rig = Rig(cast, slots=0)
    ann, bob = cast.actor("ann"), cast.actor("bob")
    rig.meet(ann, bob)
    head = cast.head(ann)
    job = rig.learn(head, bob, by=ann)
    rig.clear()
    rig.wait(20 * SYNC_PERIOD_MS, ann, bob)
    assert sent(rig.effects, LedgerDigest) == []
    seal = cast.entry(bob, head, Seal(blob=blob("bob's page")))
    rig.take(head, seal, by=bob)
    rig.peer.ledger.jobs[job].add_seal(seal, SealPage(job=job, tasks=(), chains=()))
    rig.clear()
    rig.wait(60 * SYNC_PERIOD_MS, ann, bob)
    assert {peer for peer, _ in sent(rig.effects, StreamDigests)} & {ann.id, bob.id}


def test_whoever_has_a_record_goes_on_comparing_for_half_of_them_may_mislead(cast: Cast) -> None:
    """Found by forty peers: some kept a job for a while, and then named a result for ever that no longer counted."""
    rig = Rig(cast, slots=0)
    ann, bob = cast.actor("ann"), cast.actor("bob")
    rig.meet(ann, bob)
    head = cast.head(ann)
    rig.learn(head, bob, by=ann)
    rig.clear()
    rig.wait(20 * SYNC_PERIOD_MS, ann, bob)
    assert sent(rig.effects, LedgerDigest) == []
    rig.take(head, cast.result(bob, head, 0), by=bob)
    rig.clear()
    rig.wait(20 * SYNC_PERIOD_MS, ann, bob)
    assert {peer for peer, _ in sent(rig.effects, LedgerDigest)} & {ann.id, bob.id}
