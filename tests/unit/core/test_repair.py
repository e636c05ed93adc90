"""Copies made anew: who asks whom when a holder is gone, what the asked one promises, and what leaves with whom."""

import pytest

from mesh.core.effects import Append, CheckOutput, FetchManifest, FetchPieces, ReadPage, Send, Stopped
from mesh.core.events import (
    BlobStarted,
    ChannelClosed,
    DialFailed,
    OutputChecked,
    PageRead,
    PiecesStored,
    StopAsked,
)
from mesh.core.placement import suits
from mesh.core.repair import _ANSWER_MS, _ASKS_EACH, _TURN_MS
from mesh.core.turn import Turn
from mesh.ground.ids import BlobId
from mesh.ground.instants import DAY_MS, MINUTE_MS, SECOND_MS
from mesh.ground.limits import HAND_OVER_MS, JOB_DAYS_MS, LEASE_MS, LOST_AFTER_SAFE_MS
from mesh.wire.copies import HoldAsk, Holds
from mesh.wire.envelope import Signed
from mesh.wire.grids import Cut
from mesh.wire.kept import KeptHold
from mesh.wire.messages import Available, Have
from mesh.wire.records import Entry, Hold, Result, Seal, SealedTask, SealPage
from tests.support.cast import ENGINE, Actor, Cast, blob, block, cut_into
from tests.support.rig import Rig, journal, kept, of, sent

PAGE = blob("page")
NAMES = ("ann", "bob", "cid", "dan", "eve", "fay")


class Holder:
    """A keeper of ann's job that holds bob's first frame, as do bob and ann; all have met."""

    def __init__(self, cast: Cast, *, frames: int = 1, cut: Cut | None = None) -> None:
        self.cast = cast
        self.rig = Rig(cast, slots=0)
        self.actors = {name: cast.actor(name) for name in NAMES}
        self.ann, self.bob, self.cid = (self.actors[name] for name in NAMES[:3])
        self.rig.meet(*self.actors.values())
        self.head = cast.head(self.ann, frames=frames, copies=3, cut=cut)
        self.job = self.rig.keep(self.head, by=self.ann)
        self.journal = journal(self.rig.effects)
        self.results: list[Signed[Entry]] = []
        self.pictures: list[BlobId] = []
        for task in range(frames if cut is None else 0):
            self._held_by_three(task)

    def _held_by_three(self, task: int) -> None:
        found = self.cast.result(self.bob, self.head, task)
        assert isinstance(found.body.what, Result)
        self.rig.peer.swarm._complete[found.body.what.outputs[0].blob] = None
        self.results.append(found)
        self.pictures.append(found.body.what.outputs[0].blob)
        self.rig.take(self.head, found, by=self.bob)
        self.holds(self.bob, task)
        for check in of(self.rig.effects, CheckOutput):
            self.rig.tell(OutputChecked(op=check.op, blob=check.blob, good=True))
        self.holds(self.ann, task)
        self.journal += journal(self.rig.effects)
        self.rig.clear()

    @property
    def picture(self) -> BlobId:
        return self.pictures[0]

    def hold_of(self, actor: Actor, task: int = 0) -> Signed[Hold]:
        return self.cast.hold(actor, self.head, self.pictures[task])

    def holds(self, actor: Actor, task: int = 0) -> None:
        self.rig.hear(actor, Holds(holds=(self.hold_of(actor, task),)))

    def mine(self, task: int = 0) -> Signed[Hold]:
        return self.rig.peer.holding.book.of(self.job, self.pictures[task])[self.rig.me.id]

    def takes(self, actor: Actor, replaced: Signed[Hold], task: int = 0) -> Signed[Hold]:
        """Let somebody take a copy in another's place."""
        listed = (replaced.id, *replaced.body.replaces)
        hold = self.cast.hold(actor, self.head, self.pictures[task], b"again".ljust(16), replaces=listed)
        self.rig.hear(actor, Holds(holds=(hold,)))
        return hold

    def holders(self, task: int = 0) -> set[bytes]:
        return set(self.rig.peer.holding.holders(self.job, self.pictures[task]))

    def others(self, *gone: Actor) -> tuple[Actor, ...]:
        return tuple(actor for actor in self.actors.values() if actor not in gone)

    def dies(self, actor: Actor) -> None:
        """Let a peer's host refuse to be dialled."""
        self.rig.tell(ChannelClosed(peer=actor.id, clean=False))
        self.rig.tell(DialFailed(peer=actor.id, refused=True))

    def waits(self, for_ms: int, *gone: Actor) -> list[tuple[bytes, HoldAsk]]:
        """Let time pass and return who was asked for copies."""
        return [(peer, ask) for peer, ask in sent(self.rig.wait(for_ms, *self.others(*gone)), HoldAsk)]

    def my_turn_ms(self, *gone: Actor) -> int:
        there = [actor.id for actor in (self.ann, self.bob) if actor not in gone]
        before = [peer for peer in there if suits(self.picture, peer) < suits(self.picture, self.rig.me.id)]
        return _TURN_MS * len(before) + 2 * SECOND_MS

    def seal(self) -> None:
        tasks = tuple(SealedTask(result=result, holds=()) for result in self.results)
        self.rig.peer.swarm._complete[PAGE] = None
        self.rig.take(self.head, self.cast.entry(self.ann, self.head, Seal(blob=PAGE)), by=self.ann)
        (read,) = of(self.rig.effects, ReadPage)
        self.rig.tell(PageRead(op=read.op, blob=PAGE, page=SealPage(job=self.job, tasks=tasks, chains=())))
        assert self.rig.peer.ledger.jobs[self.job].ended
        self.rig.clear()


@pytest.fixture
def holder(cast: Cast) -> Holder:
    return Holder(cast)


@pytest.mark.parametrize("sealed", [False, True])
def test_in_the_place_of_a_holder_whose_host_refuses_one_other_peer_is_asked_to_hold(
    holder: Holder, sealed: bool
) -> None:
    if sealed:
        holder.seal()
    holder.dies(holder.bob)
    ((asked, ask),) = holder.waits(holder.my_turn_ms(holder.bob), holder.bob)
    assert (ask.job, ask.blob, ask.replaced) == (holder.job, holder.picture, holder.hold_of(holder.bob))
    assert asked not in (holder.ann.id, holder.bob.id, holder.rig.me.id)
    assert {hold.author for hold in ask.others} == {holder.ann.id, holder.rig.me.id}
    taker = next(actor for actor in holder.actors.values() if actor.id == asked)
    holder.takes(taker, holder.hold_of(holder.bob))
    assert holder.holders() == {holder.ann.id, taker.id, holder.rig.me.id}
    assert holder.waits(5 * MINUTE_MS, holder.bob) == []


def test_a_holder_that_is_silent_is_replaced_as_late_as_its_lease_would_end(holder: Holder) -> None:
    holder.rig.tell(ChannelClosed(peer=holder.bob.id, clean=False))
    assert holder.waits(LEASE_MS - SECOND_MS, holder.bob) == []
    assert len(holder.waits(holder.my_turn_ms(holder.bob), holder.bob)) == 1


def test_a_holder_that_is_back_in_time_is_not_replaced(holder: Holder) -> None:
    holder.dies(holder.bob)
    holder.rig.meet(holder.bob, life=" again")
    assert holder.waits(5 * MINUTE_MS) == []


def test_of_whom_this_boot_never_met_silence_says_little(cast: Cast) -> None:
    before = Holder(cast)
    again = Rig(cast, kept=before.journal, complete=(before.picture,), actor=before.rig.me, slots=0)
    others = before.others(before.bob)
    assert set(again.peer.holding.holders(before.job, before.picture)) == before.holders()
    again.meet(*others)
    assert sent(again.wait(LOST_AFTER_SAFE_MS - 2 * SECOND_MS, *others), HoldAsk) == []
    assert sent(again.wait(MINUTE_MS, *others), HoldAsk) != []


def test_silence_that_this_host_slept_through_is_none(holder: Holder) -> None:
    holder.rig.tell(ChannelClosed(peer=holder.bob.id, clean=False))
    holder.waits(3 * SECOND_MS, holder.bob)
    holder.rig.jump(3_600 * SECOND_MS)
    assert holder.waits(LEASE_MS - SECOND_MS, holder.bob) == []
    assert len(holder.waits(holder.my_turn_ms(holder.bob), holder.bob)) == 1


def test_what_this_peer_holds_and_has_not_is_fetched_when_it_starts(cast: Cast) -> None:
    before = Holder(cast, frames=2)
    again = Rig(cast, kept=before.journal, complete=(before.picture,), actor=before.rig.me, slots=0)
    assert before.pictures[1] in again.peer.swarm.wants
    assert before.picture not in again.peer.swarm.wants
    again.meet(before.ann)
    told = [hold.body.blob for _, message in sent(again.effects, Holds) for hold in message.holds]
    assert told == [before.picture], "nobody is told of what is not here"


def test_nobody_asks_while_the_first_holder_by_rank_may_still_do_so(holder: Holder) -> None:
    holder.dies(holder.bob)
    first = suits(holder.picture, holder.rig.me.id) < suits(holder.picture, holder.ann.id)
    asks = holder.waits(_TURN_MS - 2 * SECOND_MS, holder.bob)
    assert bool(asks) is first
    asks += holder.waits(4 * SECOND_MS, holder.bob)
    assert len(asks) == 1


def test_who_does_not_take_it_is_passed_over_and_who_leaves_is_not_asked(holder: Holder) -> None:
    for name in ("dan", "eve"):
        leaves = Available(engines=(ENGINE,), slots=1, busy=0, cores=4, memory_mb=8_000, draining=True)
        holder.rig.hear(holder.actors[name], leaves)
    holder.dies(holder.bob)
    asks = holder.waits(holder.my_turn_ms(holder.bob) + 3 * _ANSWER_MS, holder.bob)
    assert {asked for asked, _ in asks} == {holder.cid.id, holder.actors["fay"].id}
    assert len(asks) == 2


def test_what_is_scarcest_is_asked_for_first_and_of_one_peer_little_at_a_time(cast: Cast) -> None:
    holder = Holder(cast, frames=100)
    scarce = {77, 99}
    dan = holder.actors["dan"]
    for task in scarce:
        holder.takes(dan, holder.hold_of(holder.ann, task), task)
    holder.dies(holder.bob)
    holder.dies(dan)
    asks = holder.waits(2 * SECOND_MS, holder.bob, dan)
    assert {holder.pictures.index(ask.blob) for _, ask in asks[:2]} == scarce
    asks += holder.waits(_TURN_MS + 5 * SECOND_MS, holder.bob, dan)
    each = [sum(asked == actor.id for asked, _ in asks) for actor in holder.others(holder.ann, holder.bob)]
    assert max(each) == _ASKS_EACH


def test_at_a_seal_the_copies_that_are_missing_are_asked_for(cast: Cast) -> None:
    holder = Holder(cast, frames=1)
    holder.rig.peer.holding.book._of.clear()
    holder.rig.peer.holding.book._by.clear()
    hold = holder.cast.hold(holder.rig.me, holder.head, holder.picture)
    holder.rig.peer.holding.book.add(hold, 1)
    holder.seal()
    ((_, ask),) = holder.waits(2 * SECOND_MS)
    assert (ask.blob, ask.replaced, ask.others) == (holder.picture, None, (hold,))


# Who is asked.


class Taker:
    """Somebody who has nothing to do with ann's job, and is asked to hold a frame in bob's place."""

    def __init__(self, cast: Cast) -> None:
        self.cast = cast
        self.rig = Rig(cast, slots=0)
        self.ann, self.bob = cast.actor("ann"), cast.actor("bob")
        self.rig.meet(self.ann)
        self.rig.let_in(self.bob)
        self.head = cast.head(self.ann, copies=2)
        self.job = self.rig.learn(self.head, self.ann, by=self.ann)
        self.picture = blob("picture")
        self.bobs = cast.hold(self.bob, self.head, self.picture)
        self.anns = cast.hold(self.ann, self.head, self.picture)
        self.rig.clear()

    def asked(self, replaced: Signed[Hold] | None = None) -> None:
        others = (self.anns,)
        ask = HoldAsk(job=self.job, blob=self.picture, replaced=replaced or self.bobs, others=others)
        self.rig.hear(self.ann, ask)

    def brings(self) -> None:
        self.rig.hear(self.ann, Have(blob=self.picture, pieces=0, bits=b""))
        (manifest,) = of(self.rig.effects, FetchManifest)
        self.rig.tell(BlobStarted(op=manifest.op, blob=self.picture, pieces=1, have=()))
        (pieces,) = of(self.rig.effects, FetchPieces)
        self.rig.tell(PiecesStored(op=pieces.op, blob=self.picture, numbers=(0,), complete=True))

    def checks(self, *, good: bool = True) -> None:
        for check in of(self.rig.effects, CheckOutput):
            self.rig.tell(OutputChecked(op=check.op, blob=self.picture, good=good))

    def given(self) -> list[Signed[Hold]]:
        return [entry.hold for entry in kept(self.rig.effects, KeptHold) if entry.hold.author == self.rig.me.id]


@pytest.fixture
def taker(cast: Cast) -> Taker:
    return Taker(cast)


def test_who_is_asked_fetches_and_checks_before_its_hold_takes_the_others_place(taker: Taker) -> None:
    taker.asked()
    assert taker.given() == []
    taker.brings()
    assert taker.given() == []
    taker.checks()
    (hold,) = taker.given()
    assert hold.body.replaces == (taker.bobs.id,)
    told = {peer for peer, message in sent(taker.rig.effects, Holds) if message.holds == (hold,)}
    assert told == {taker.ann.id, taker.bob.id}, "who asked, and whose place it is"
    assert taker.rig.peer.holding.bound(taker.picture)


def test_14_the_hold_is_in_the_journal_with_all_that_its_keeper_must_know_before_anybody_hears_of_it(
    taker: Taker,
) -> None:
    taker.asked()
    taker.brings()
    taker.checks()
    (hold,) = taker.given()
    effects = taker.rig.effects
    written = next(at for at, effect in enumerate(effects) if isinstance(effect, Append) and kept([effect], KeptHold))
    told = min(
        at for at, effect in enumerate(effects) if isinstance(effect, Send) and isinstance(effect.message, Holds)
    )
    assert written < told
    again = Rig(taker.cast, kept=journal(effects), actor=taker.rig.me, slots=0)
    assert again.peer.holding.book.of(taker.job, taker.picture) == {}, "the job is not in this journal"
    assert {entry.hold.author for entry in kept(effects, KeptHold)} == {taker.rig.me.id, taker.ann.id, taker.bob.id}
    assert hold in [entry.hold for entry in kept(effects, KeptHold)]


def test_what_is_no_picture_is_not_promised(taker: Taker) -> None:
    taker.asked()
    taker.brings()
    taker.checks(good=False)
    assert taker.given() == []


def test_12_who_holds_it_takes_nobodys_place_and_says_so(taker: Taker) -> None:
    taker.asked()
    taker.brings()
    taker.checks()
    (hold,) = taker.given()
    taker.rig.clear()
    taker.asked(taker.anns)
    assert taker.given() == []
    assert sent(taker.rig.effects, Holds) == [(taker.ann.id, Holds(holds=(hold,)))]


def test_who_comes_too_late_takes_no_place(taker: Taker) -> None:
    taker.asked()
    taker.brings()
    cid = taker.cast.actor("cid")
    taker.rig.let_in(cid)
    faster = taker.cast.hold(cid, taker.head, taker.picture, replaces=(taker.bobs.id,))
    ask = HoldAsk(job=taker.job, blob=taker.picture, replaced=taker.bobs, others=(faster,))
    taker.rig.hear(taker.ann, ask)
    assert sent(taker.rig.effects, Holds) == [(taker.ann.id, Holds(holds=(faster,)))]
    taker.checks()
    assert taker.given() == []


@pytest.mark.parametrize("why", ["cancelled", "draining", "unknown", "over", "another blob"])
def test_whom_nothing_binds_to_a_job_takes_nothing_of_it(taker: Taker, why: str) -> None:
    replaced: Signed[Hold] | None = None
    match why:
        case "cancelled":
            taker.rig.take(taker.head, taker.cast.cancel(taker.ann, taker.head), by=taker.ann)
        case "draining":
            taker.rig.peer.host.draining = True
        case "over":
            taker.rig.jump(JOB_DAYS_MS + 2 * DAY_MS)
            taker.rig.wait(2 * SECOND_MS, taker.ann)
            taker.rig.meet(taker.ann, life=" again")
        case "unknown":
            other = taker.cast.head(taker.ann, frames=7)
            taker.bobs = replaced = taker.cast.hold(taker.bob, other, taker.picture)
        case _:
            replaced = taker.cast.hold(taker.bob, taker.head, blob("another"))
    taker.asked(replaced)
    assert taker.picture not in taker.rig.peer.swarm.wants


# What binds.


def test_a_hold_binds_until_another_takes_its_place(holder: Holder) -> None:
    assert holder.rig.peer.holding.bound(holder.picture)
    holder.takes(holder.cid, holder.mine())
    assert not holder.rig.peer.holding.bound(holder.picture)
    assert holder.holders() == {holder.ann.id, holder.bob.id, holder.cid.id}


def test_15_a_hold_given_again_is_not_dropped_by_an_old_replacement(holder: Holder) -> None:
    replaced = holder.mine()
    cids = holder.takes(holder.cid, replaced)
    others = (holder.hold_of(holder.ann), holder.hold_of(holder.bob))
    holder.rig.hear(holder.ann, HoldAsk(job=holder.job, blob=holder.picture, replaced=cids, others=others))
    (check,) = of(holder.rig.effects, CheckOutput)
    holder.rig.tell(OutputChecked(op=check.op, blob=holder.picture, good=True))
    assert set(holder.mine().body.replaces) == {cids.id, replaced.id}
    holder.rig.hear(holder.cid, Holds(holds=(cids,)))
    assert holder.rig.peer.holding.bound(holder.picture)
    assert holder.holders() == {holder.ann.id, holder.bob.id, holder.rig.me.id}


def test_a_cancel_and_the_last_day_end_what_binds(cast: Cast) -> None:
    cancelled, over = Holder(cast), Holder(cast)
    cancelled.rig.take(cancelled.head, cast.cancel(cancelled.ann, cancelled.head), by=cancelled.ann)
    assert not cancelled.rig.peer.holding.bound(cancelled.picture)
    over.seal()
    over.rig.jump(JOB_DAYS_MS - DAY_MS)
    over.rig.wait(2 * SECOND_MS)
    assert over.rig.peer.holding.bound(over.picture)
    over.rig.jump(2 * DAY_MS)
    over.rig.wait(2 * SECOND_MS)
    assert not over.rig.peer.holding.bound(over.picture)


def test_a_bucket_binds_who_rendered_it_until_its_frame_is_safe(cast: Cast) -> None:
    holder = Holder(cast, cut=cut_into(4, 2))
    bucket = cast.result(holder.rig.me, holder.head, 0, block=block(0, 0, 4, 2))
    assert isinstance(bucket.body.what, Result)
    made = bucket.body.what.outputs[0].blob
    holder.rig.take(holder.head, bucket, by=holder.rig.me)
    bonds = holder.rig.peer.larder._bonds
    assert made in bonds.all(holder.rig.now, {})
    holder._held_by_three(0)
    assert made not in bonds.all(holder.rig.now, {})


def test_who_comes_back_hears_from_whoever_knows_that_its_hold_was_replaced(holder: Holder) -> None:
    holder.dies(holder.bob)
    cids = holder.takes(holder.cid, holder.hold_of(holder.bob))
    holder.rig.clear()
    holder.rig.meet(holder.bob, life=" again")
    assert sent(holder.rig.effects, Holds) == []
    holder.holds(holder.bob)
    assert sent(holder.rig.effects, Holds) == [(holder.bob.id, Holds(holds=(cids,)))]
    assert holder.holders() == {holder.ann.id, holder.cid.id, holder.rig.me.id}


def test_who_took_a_place_tells_whose_it_was_when_it_comes_back(taker: Taker) -> None:
    taker.rig.tell(ChannelClosed(peer=taker.bob.id, clean=False))
    taker.asked()
    taker.brings()
    taker.checks()
    (hold,) = taker.given()
    taker.rig.clear()
    taker.rig.let_in(taker.bob)
    assert sent(taker.rig.effects, Holds) == [(taker.bob.id, Holds(holds=(hold,)))]


# Leaving.


def test_who_leaves_asks_others_to_take_what_binds_it_and_goes_when_they_have(cast: Cast) -> None:
    holder = Holder(cast, frames=3)
    holder.rig.tell(StopAsked(now=False, leave=True))
    asks = sent(holder.rig.effects, HoldAsk)
    assert {ask.blob for _, ask in asks} == set(holder.pictures)
    assert all(ask.replaced == holder.mine(holder.pictures.index(ask.blob)) for _, ask in asks)
    for left, (asked, ask) in zip((2, 1, 0), asks, strict=True):
        assert not of(holder.rig.effects, Stopped)
        taker = next(actor for actor in holder.actors.values() if actor.id == asked)
        assert taker not in (holder.ann, holder.bob)
        assert ask.replaced is not None
        holder.takes(taker, ask.replaced, holder.pictures.index(ask.blob))
        holder.rig.wait(2 * SECOND_MS, *holder.others())
        assert holder.rig.peer.mesh_view(holder.rig.now).handing_over == left
    assert of(holder.rig.effects, Stopped)


def test_what_is_finished_while_a_peer_leaves_is_handed_over_too(holder: Holder) -> None:
    holder.rig.peer.stopping._idle = lambda: False
    holder.rig.tell(StopAsked(now=False, leave=True))
    turn = Turn(holder.rig.now, holder.rig.peer._dice, holder.rig.me.id)
    late = blob("the last frame")
    holder.rig.peer.swarm._complete[late] = None
    holder.rig.peer.holding._hold(turn, holder.job, late)
    holder.rig.peer._settle(turn)
    assert holder.rig.peer.repair.handing_over == 2
    assert late in [ask.blob for _, ask in holder.waits(3 * SECOND_MS)]


def test_who_leaves_waits_for_nobody_where_all_others_hold_it(holder: Holder) -> None:
    for name in NAMES[2:]:
        holder.holds(holder.actors[name])
    holder.rig.tell(StopAsked(now=False, leave=True))
    assert of(holder.rig.effects, Stopped)


@pytest.mark.parametrize("ends", [StopAsked(now=True), StopAsked(now=False), None], ids=["now", "stop", "bound"])
def test_leaving_is_bounded_and_can_be_cut_short(holder: Holder, ends: StopAsked | None) -> None:
    holder.rig.tell(StopAsked(now=False, leave=True))
    holder.waits(20 * SECOND_MS)
    assert not of(holder.rig.effects, Stopped)
    if ends is not None:
        holder.rig.tell(ends)
    else:
        holder.waits(HAND_OVER_MS)
    assert of(holder.rig.effects, Stopped)


def test_who_only_stops_hands_nothing_over(holder: Holder) -> None:
    holder.rig.tell(StopAsked(now=False))
    assert sent(holder.rig.effects, HoldAsk) == []
    assert of(holder.rig.effects, Stopped)
