"""What a peer has of a job of which it only wrote some records: its own, and what concerns all who wrote any."""

import pytest

from mesh.core.effects import Send
from mesh.core.notes import ClaimWon, Publish
from mesh.core.turn import Turn
from mesh.ground.limits import SYNC_PERIOD_MS
from mesh.wire.envelope import Signed
from mesh.wire.messages import Entries, KeepAsk, LedgerDigest, StreamDigest, StreamDigests, StreamIds
from mesh.wire.records import Entry, Failed, FailureKind, Seal
from tests.support.cast import Actor, Cast, blob, block, cut_into
from tests.support.rig import Rig, sent

FAILURE = Failed(task=0, attempt=1, kind=FailureKind.HUNG, reason="", log=None)


class Author:
    """A peer that wrote a record of ann's job, which bob keeps; carl is another author."""

    def __init__(self, cast: Cast, *, cut: bool = False, wrote: bool = True) -> None:
        self.cast = cast
        self.rig = Rig(cast, slots=0)
        self.ann, self.bob, self.carl = cast.actor("ann"), cast.actor("bob"), cast.actor("carl")
        self.rig.meet(self.ann, self.bob, self.carl)
        self.head = cast.head(self.ann, cut=cut_into(2, 2) if cut else None)
        self.job = self.rig.learn(self.head, self.bob, by=self.ann)
        if wrote:
            turn = Turn(self.rig.now, self.rig.peer._dice, self.rig.me.id)
            self.rig.peer.sync.on_publish(turn, Publish(job=self.job, what=FAILURE))
        self.rig.clear()

    @property
    def own(self) -> StreamDigest:
        (own,) = (
            stream.told()
            for stream in self.rig.peer.ledger.jobs[self.job].streams.values()
            if stream.author == self.rig.me.id
        )
        return own

    def has(self, entry: Signed[Entry]) -> bool:
        return entry.id in self.rig.peer.ledger.jobs[self.job].entries

    def asked(self, by: Actor) -> list[object]:
        digest = LedgerDigest(job=self.job, count=9, digest=bytes(16))
        return [effect.message for effect in self.rig.hear(by, digest) if isinstance(effect, Send)]

    def told(self, by: Actor, *entries: Signed[Entry], asked: bool = False) -> list[StreamIds]:
        """What it asks for, told streams of these records, of each author one."""
        streams = tuple(
            StreamDigest(author=entry.author, boot=entry.body.boot, count=1, digest=bytes(16)) for entry in entries
        )
        effects = self.rig.hear(by, StreamDigests(job=self.job, streams=streams, asked=asked))
        return [ids for _, ids in sent(effects, StreamIds)]

    def compares(self) -> bool:
        """Whether it compares all records."""
        self.rig.clear()
        self.rig.wait(3 * SYNC_PERIOD_MS, self.ann, self.bob)
        return bool(sent(self.rig.effects, LedgerDigest))


@pytest.fixture
def author(cast: Cast) -> Author:
    return Author(cast)


def test_an_author_offers_its_own_records_every_ten_seconds_to_one_of_the_parties(author: Author) -> None:
    author.rig.wait(3 * SYNC_PERIOD_MS, author.ann, author.bob)
    offers = sent(author.rig.effects, StreamDigests)
    assert 2 <= len(offers) <= 4
    assert {peer for peer, _ in offers} <= {author.ann.id, author.bob.id}
    assert {offer for _, offer in offers} == {StreamDigests(job=author.job, streams=(author.own,), asked=False)}
    assert sent(author.rig.effects, LedgerDigest) == []


def test_an_author_is_asked_for_all_records_and_tells_its_own(author: Author) -> None:
    own = StreamDigests(job=author.job, streams=(author.own,), asked=False)
    assert author.asked(author.bob) == [own]
    effects = author.rig.hear(author.bob, StreamDigests(job=author.job, streams=(), asked=True))
    assert sent(effects, StreamDigests) == [(author.bob.id, own)]


def test_an_author_asks_for_nobody_elses_results(author: Author) -> None:
    others = author.cast.result(author.carl, author.head, 1)
    assert author.told(author.bob, others, asked=True) == []
    assert author.told(author.carl, others) == []


def test_a_keeper_is_told_what_it_lacks_of_the_authors_records(author: Author) -> None:
    own = author.own
    ids = StreamIds(job=author.job, author=own.author, boot=own.boot, ids=(), low=bytes(16), high=b"\xff" * 16)
    ((_, found),) = sent(author.rig.hear(author.bob, ids), Entries)
    assert [entry.body.what for entry in found.entries] == [FAILURE]


def test_who_only_follows_a_job_takes_nothing_of_it(cast: Cast) -> None:
    author = Author(cast, wrote=False)
    assert author.asked(author.bob) == []
    assert author.told(author.carl, cast.result(author.carl, author.head, 1)) == []


def test_a_keeper_sends_seals_and_losses_to_who_tells_its_own_streams(author: Author) -> None:
    """Without the loss an author would never render its own lost frame again, and without the seal go on for ever."""
    cast, rig = author.cast, author.rig
    rig.hear(author.ann, KeepAsk(job=author.job, fresh=True))
    result = cast.result(author.carl, author.head, 1)
    lost = cast.lost(author.bob, author.head, result)
    seal = cast.entry(author.ann, author.head, Seal(blob=blob("page")))
    for entry, by in ((result, author.carl), (lost, author.bob), (seal, author.ann)):
        rig.take(author.head, entry, by=by)
    streams = rig.peer.ledger.jobs[author.job].streams
    own = streams[author.carl.id, result.body.boot].told()
    effects = rig.hear(author.carl, StreamDigests(job=author.job, streams=(own,), asked=False))
    assert {entry for _, found in sent(effects, Entries) for entry in found.entries} == {lost, seal}
    common = [streams[entry.author, entry.body.boot].told_common() for entry in (lost, seal)]
    effects = rig.hear(author.carl, StreamDigests(job=author.job, streams=(own, *common), asked=False))
    assert sent(effects, Entries) == []
    assert sent(effects, StreamIds) == []


def test_an_author_tells_and_asks_of_others_what_concerns_all(author: Author) -> None:
    cast = author.cast
    seal = cast.entry(author.ann, author.head, Seal(blob=blob("page")))
    (ids,) = author.told(author.carl, seal)
    assert (ids.author, ids.ids) == (author.ann.id, ())
    author.rig.take(author.head, seal, by=author.carl)
    (told,) = author.asked(author.bob)
    assert isinstance(told, StreamDigests)
    assert {(stream.author, stream.count) for stream in told.streams} == {(author.rig.me.id, 1), (author.ann.id, 1)}


def test_whoever_has_anothers_result_wants_all_records(author: Author) -> None:
    assert not author.compares()
    author.rig.take(author.head, author.cast.result(author.carl, author.head, 1), by=author.carl)
    assert author.compares()


def test_whoever_rendered_a_bucket_wants_all_records(cast: Cast) -> None:
    author = Author(cast, cut=True)
    assert not author.compares()
    bucket = Failed(task=3, attempt=1, kind=FailureKind.HUNG, reason="", log=None, block=block(0, 0))
    turn = Turn(author.rig.now, author.rig.peer._dice, author.rig.me.id)
    author.rig.peer.sync.on_publish(turn, Publish(job=author.job, what=bucket))
    assert author.compares()


def test_whoever_assembles_a_frame_compares_at_once(cast: Cast) -> None:
    author = Author(cast, cut=True, wrote=False)
    claim = cast.claim(author.rig.me, author.head, 3, assembles=True)
    turn = Turn(author.rig.now, author.rig.peer._dice, author.rig.me.id)
    for route in author.rig.peer.note_routes[ClaimWon]:
        route(turn, ClaimWon(claim=claim))
    found = [
        effect.peer for effect in turn.effects if isinstance(effect, Send) and isinstance(effect.message, LedgerDigest)
    ]
    assert set(found) & {author.ann.id, author.bob.id}


def test_an_author_compares_with_who_comes_if_it_keeps_the_job_or_the_job_has_ended(author: Author) -> None:
    dora = author.cast.actor("dora")
    author.rig.meet(dora)
    assert [peer for peer, _ in sent(author.rig.effects, StreamDigests) if peer == dora.id] == []
    author.rig.meet(author.bob, life="2")
    assert author.bob.id in [peer for peer, _ in sent(author.rig.effects, StreamDigests)]
    author.rig.take(author.head, author.cast.cancel(author.ann, author.head), by=author.ann)
    author.rig.clear()
    author.rig.meet(author.cast.actor("ella"))
    assert author.cast.actor("ella").id in [peer for peer, _ in sent(author.rig.effects, StreamDigests)]
