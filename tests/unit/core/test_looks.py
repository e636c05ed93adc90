"""A person asks about a job's frames: what others have of it comes, once and for no longer than it takes."""

import pytest

from mesh.core.effects import Accepted, Declined, Looked, Reply
from mesh.core.events import ChannelClosed, LookAsked, WeightAsked
from mesh.core.looks import LOOK_MS, LOOKS
from mesh.core.sync import STREAMS_PER_ANSWER
from mesh.ground.ids import JobId
from mesh.ground.instants import SECOND_MS
from mesh.ground.limits import LOOK_FRESH_MS, LOOK_WAIT_MS, SYNC_PERIOD_MS
from mesh.wire.envelope import Signed
from mesh.wire.members import ALL_ROLES
from mesh.wire.messages import Entries, KeepAsk, LedgerDigest, StreamDigest, StreamDigests, StreamIds
from mesh.wire.records import Entry, Seal, SealPage
from tests.support.cast import Actor, Cast, blob
from tests.support.rig import Rig, of, sent


class Looker:
    """A peer that wrote one record of ann's job, which bob and carl keep; dora is another author."""

    def __init__(self, cast: Cast) -> None:
        self.cast = cast
        self.rig = Rig(cast, slots=0)
        self.ann, self.bob, self.carl, self.dora = (cast.actor(name) for name in ("ann", "bob", "carl", "dora"))
        self.rig.meet(self.bob, self.carl, self.dora)
        self.head = cast.head(self.ann, frames=200)
        self.job = self.rig.learn(self.head, self.bob, self.carl, by=self.bob)
        self.rig.take(self.head, cast.result(self.rig.me, self.head, 0), by=self.bob)
        self.results = [cast.result(self.dora, self.head, task) for task in range(1, 4)]
        self.op = 0
        self.rig.clear()

    def look(self, job: JobId | None = None) -> list[Actor]:
        """Ask, and return whom the peer asks."""
        self.op += 1
        effects = self.rig.tell(LookAsked(op=self.op, job=job or self.job))
        asked = [peer for peer, message in sent(effects, StreamDigests) if message.asked]
        return [actor for peer in asked for actor in (self.ann, self.bob, self.carl) if actor.id == peer]

    def told(self, by: Actor, *entries: Signed[Entry]) -> list[StreamIds]:
        """Let a keeper tell that it has these, and return what it is asked for."""
        counts: dict[tuple[bytes, bytes], list[Signed[Entry]]] = {}
        for entry in entries:
            counts.setdefault((entry.author, entry.body.boot), []).append(entry)
        mine = self.rig.peer.ledger.jobs[self.job].streams
        streams = [
            mine[found[0].author, found[0].body.boot].told()
            if all(self.has(entry) for entry in found)
            else StreamDigest(author=found[0].author, boot=found[0].body.boot, count=len(found), digest=bytes(16))
            for found in counts.values()
        ]
        effects = self.rig.hear(by, StreamDigests(job=self.job, streams=tuple(streams), asked=False))
        return [ids for _, ids in sent(effects, StreamIds)]

    def has(self, entry: Signed[Entry]) -> bool:
        return entry.id in self.rig.peer.ledger.jobs[self.job].entries

    def answers(self) -> dict[int, bool]:
        """What the questions so far were answered."""
        return {reply.op: reply.reply.whole for reply in of(self.rig.effects, Reply) if isinstance(reply.reply, Looked)}

    def shown(self) -> int:
        """How many frames it shows as rendered."""
        return sum(task.result is not None for task in self.rig.peer.task_views(self.job))


@pytest.fixture
def looker(cast: Cast) -> Looker:
    return Looker(cast)


def test_a_question_brings_what_others_have_and_is_answered_when_it_is_here(looker: Looker) -> None:
    (asked,) = looker.look()
    (ids,) = looker.told(asked, *looker.results)
    assert (ids.author, ids.ids) == (looker.dora.id, ())
    assert looker.answers() == {}
    looker.rig.take(looker.head, *looker.results, by=looker.dora)
    assert looker.answers() == {1: True}
    assert looker.shown() == 4


def test_nothing_new_is_an_answer_too(looker: Looker) -> None:
    (asked,) = looker.look()
    looker.told(asked)
    assert looker.answers() == {1: True}


def test_more_than_was_told_may_come(looker: Looker) -> None:
    (asked,) = looker.look()
    looker.told(asked, *looker.results[:2])
    looker.rig.take(looker.head, *looker.results, by=looker.dora)
    assert looker.answers() == {1: True}


def test_what_was_compared_a_moment_ago_is_not_compared_again(looker: Looker) -> None:
    (asked,) = looker.look()
    looker.told(asked)
    for _ in range(20):
        assert looker.look() == []
    assert len(looker.answers()) == 21
    looker.rig.wait(LOOK_FRESH_MS, looker.bob, looker.carl)
    assert len(looker.look()) == 1


def test_questions_about_the_same_job_share_one_look(looker: Looker) -> None:
    (asked,) = looker.look()
    assert looker.look() == looker.look() == []
    looker.told(asked)
    assert looker.answers() == {1: True, 2: True, 3: True}


def test_whoever_waits_is_told_in_time_and_what_comes_later_is_there_at_the_second_question(looker: Looker) -> None:
    looker.look()
    looker.rig.wait(LOOK_WAIT_MS - 1, looker.bob, looker.carl)
    assert looker.answers() == {}
    looker.rig.wait(SECOND_MS // 2, looker.bob, looker.carl)
    assert looker.answers() == {1: False}
    looker.told(looker.carl, *looker.results)
    looker.rig.take(looker.head, *looker.results, by=looker.dora)
    looker.look()
    assert looker.answers() == {1: False, 2: True}


def test_a_keeper_that_is_silent_is_followed_by_the_next(looker: Looker) -> None:
    (first,) = looker.look()
    looker.rig.clear()
    looker.rig.wait(SECOND_MS, looker.bob, looker.carl)
    others = [peer for peer, message in sent(looker.rig.effects, StreamDigests) if message.asked]
    assert others
    assert others[0] != first.id


def test_a_look_that_brings_nothing_ends_soon_and_one_at_all_in_the_end(looker: Looker) -> None:
    looker.look()
    looker.rig.wait(LOOK_MS, looker.bob, looker.carl)
    asked = [message for _, message in sent(looker.rig.effects, StreamDigests) if message.asked]
    assert len(asked) <= 6
    assert looker.rig.peer.looks._looks == {}
    number = 4
    looker.look()
    for _ in range(40):  # somebody sends a record each moment and never all
        entry = looker.cast.result(looker.dora, looker.head, number)
        looker.told(looker.bob, entry, *looker.results)
        looker.rig.take(looker.head, entry, by=looker.dora)
        looker.rig.wait(SECOND_MS // 2, looker.bob, looker.carl)
        number += 1
    assert looker.rig.peer.looks._looks == {}


def test_nobody_else_than_who_was_asked_says_what_lacks(looker: Looker) -> None:
    looker.look()
    looker.told(looker.dora)
    assert looker.answers() == {}


def test_many_streams_are_asked_for_one_after_the_other_without_a_pause(looker: Looker) -> None:
    authors = [looker.cast.actor(f"author {number}") for number in range(STREAMS_PER_ANSWER + 3)]
    results = [looker.cast.result(author, looker.head, 10 + number) for number, author in enumerate(authors)]
    (asked,) = looker.look()
    first = [ids.author for ids in looker.told(asked, *results)]
    assert len(first) == STREAMS_PER_ANSWER
    looker.rig.clear()
    for author, result in zip(authors, results, strict=True):
        if author.id in first:
            looker.rig.take(looker.head, result, by=author)
    (again,) = [peer for peer, message in sent(looker.rig.effects, StreamDigests) if message.asked]
    assert again == asked.id
    assert len(looker.told(asked, *results)) == 3
    for author, result in zip(authors, results, strict=True):
        if author.id not in first:
            looker.rig.take(looker.head, result, by=author)
    assert looker.answers() == {1: True}


def test_after_a_look_a_peer_wants_what_it_wanted_before(looker: Looker) -> None:
    (asked,) = looker.look()
    looker.told(asked, *looker.results)
    looker.rig.take(looker.head, *looker.results, by=looker.dora)
    looker.rig.clear()
    looker.rig.wait(3 * SYNC_PERIOD_MS, looker.bob, looker.carl)
    assert sent(looker.rig.effects, LedgerDigest) == []
    offers = [message for _, message in sent(looker.rig.effects, StreamDigests)]
    assert offers
    assert {stream.author for offer in offers for stream in offer.streams} == {looker.rig.me.id}
    assert looker.told(looker.bob, looker.cast.result(looker.ann, looker.head, 9)) != []
    differs = StreamDigests(
        job=looker.job,
        streams=(StreamDigest(author=looker.bob.id, boot=looker.results[0].body.boot, count=3, digest=bytes(16)),),
        asked=True,
    )
    assert sent(looker.rig.hear(looker.bob, differs), StreamIds) == []


def test_whoever_comes_to_keep_the_job_wants_all_for_good(looker: Looker) -> None:
    (asked,) = looker.look()
    looker.told(asked)
    looker.rig.hear(looker.bob, KeepAsk(job=looker.job, fresh=False))
    assert looker.rig.peer.sync.has_all(looker.rig.peer.ledger.jobs[looker.job], looker.rig.now)


def test_a_keeper_answers_from_what_it_has(looker: Looker) -> None:
    looker.rig.hear(looker.bob, KeepAsk(job=looker.job, fresh=False))
    assert looker.look() == []
    assert looker.answers() == {1: True}


def test_a_sealed_job_of_which_nobody_is_there_is_told_from_its_seal(looker: Looker) -> None:
    ledger = looker.rig.peer.ledger.jobs[looker.job]
    seal = looker.cast.entry(looker.ann, looker.head, Seal(blob=blob("page")))
    looker.rig.take(looker.head, seal, by=looker.bob)
    ledger.add_seal(seal, SealPage(job=looker.job, tasks=(), chains=()))
    for keeper in (looker.bob, looker.carl):
        looker.rig.tell(ChannelClosed(peer=keeper.id, clean=True))
    assert looker.look() == []
    assert looker.answers() == {1: True}


def test_few_jobs_are_looked_at_at_a_time(looker: Looker) -> None:
    jobs = []
    for number in range(2, LOOKS + 3):
        head = looker.cast.head(looker.ann, number=number)
        jobs.append(looker.rig.learn(head, looker.bob, by=looker.bob))
    for job in jobs:
        looker.look(job)
    assert len(looker.rig.peer.looks._looks) == LOOKS
    assert looker.answers() == {1: False}


def test_a_job_that_is_unknown_is_said_to_be(looker: Looker) -> None:
    looker.look(JobId(bytes(32)))
    (reply,) = of(looker.rig.effects, Reply)
    assert isinstance(reply.reply, Declined)


def test_who_is_asked_and_has_no_record_says_so(cast: Cast) -> None:
    rig, ann, bob = Rig(cast, slots=0), cast.actor("ann"), cast.actor("bob")
    rig.meet(ann, bob)
    job = rig.keep(cast.head(ann), by=ann)
    effects = rig.hear(bob, StreamDigests(job=job, streams=(), asked=True))
    assert sent(effects, StreamDigests) == [(bob.id, StreamDigests(job=job, streams=(), asked=False))]
    assert sent(rig.hear(bob, StreamDigests(job=job, streams=(), asked=False)), Entries) == []


def test_an_admin_changes_nothing_before_all_is_here(cast: Cast) -> None:
    """Its change would come before others' and not stand."""
    rig, ann = Rig(cast, roles=ALL_ROLES, slots=0), cast.actor("ann")
    rig.meet(ann)
    job = rig.learn(cast.head(ann), ann, by=ann)
    rig.tell(LookAsked(op=1, job=job))
    rig.clear()
    rig.tell(WeightAsked(op=2, job=job, weight=40))
    (reply,) = of(rig.effects, Reply)
    assert isinstance(reply.reply, Declined)
    assert reply.reply.code == "not-heard"
    rig.clear()
    rig.tell(WeightAsked(op=3, job=job, weight=40))
    (reply,) = of(rig.effects, Reply)
    assert isinstance(reply.reply, Accepted)


def test_what_was_told_long_before_is_no_answer_to_a_later_question(looker: Looker) -> None:
    (asked,) = looker.look()
    looker.told(asked, *looker.results)
    looker.rig.wait(LOOK_FRESH_MS, looker.bob, looker.carl)
    looker.look()
    looker.rig.take(looker.head, *looker.results, by=looker.dora)
    assert looker.answers() == {}
    looker.told(asked, *looker.results)
    assert looker.answers() == {1: True, 2: True}
