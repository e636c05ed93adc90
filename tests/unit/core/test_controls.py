"""What was changed of a job: registers that everybody reads alike, whatever comes first."""

import itertools

import pytest

from mesh.core.effects import Accepted, Declined, Reply
from mesh.core.events import WeightAsked
from mesh.core.ledger import JobLedger
from mesh.ground.ids import PeerId, RecordId
from mesh.ground.share_limits import CONTROLS_PER_AUTHOR, WEIGHT_DEFAULT
from mesh.wire.envelope import Signed
from mesh.wire.kept import KeptEntries
from mesh.wire.members import ALL_ROLES
from mesh.wire.messages import Entries, Follow, Head, Window
from mesh.wire.records import Cancel, Control, Entry
from tests.support.cast import Actor, Cast
from tests.support.rig import Rig, kept, of, sent


class Book:
    """One job, changed by its submitter and an admin."""

    def __init__(self, cast: Cast) -> None:
        self.cast = cast
        self.ann = cast.actor("ann")
        self.admin = cast.actor("admin", ALL_ROLES)
        self.head: Head = cast.head(self.ann, frames=3)

    def change(self, by: Actor, weight: int | None, *saw: Signed[Entry]) -> Signed[Entry]:
        return self.cast.entry(by, self.head, Control(saw=tuple(RecordId(entry.id) for entry in saw), weight=weight))

    def weight(self, *entries: Signed[Entry], struck: tuple[PeerId, ...] = ()) -> int:
        ledger = JobLedger(self.head, struck)
        for entry in entries:
            ledger.add(entry)
        return ledger.weight


@pytest.fixture
def book(cast: Cast) -> Book:
    return Book(cast)


def test_without_a_change_a_job_has_the_weight_that_it_was_submitted_with(book: Book) -> None:
    assert book.weight() == book.head.job.body.weight == WEIGHT_DEFAULT


def test_the_last_change_stands_in_whatever_order_they_come(book: Book) -> None:
    first = book.change(book.ann, 20)
    second = book.change(book.admin, 30, first)
    third = book.change(book.ann, 5, second)
    for entries in itertools.permutations((first, second, third)):
        assert book.weight(*entries) == 5


def test_of_two_that_saw_nothing_of_each_other_everybody_takes_the_same(book: Book) -> None:
    one, other = book.change(book.ann, 20), book.change(book.admin, 30)
    expected = 20 if one.id > other.id else 30
    assert book.weight(one, other) == book.weight(other, one) == expected
    assert book.weight(one, other, book.change(book.ann, 7, one)) == 7, "it comes after one, and so after both"


def test_a_change_that_saw_what_is_not_here_waits_for_it(book: Book) -> None:
    first = book.change(book.ann, 20)
    second = book.change(book.ann, 30, first)
    assert book.weight(second) == WEIGHT_DEFAULT
    assert book.weight(second, first) == 30


def test_a_struck_authors_changes_do_not_act_and_those_that_saw_them_do(book: Book) -> None:
    first = book.change(book.admin, 20)
    second = book.change(book.ann, 30, first)
    struck = (book.admin.id,)
    assert book.weight(first, struck=struck) == WEIGHT_DEFAULT
    assert book.weight(first, second, struck=struck) == 30


def test_nobody_says_more_than_is_kept(book: Book) -> None:
    ledger, last = JobLedger(book.head), list[Signed[Entry]]()
    for number in range(CONTROLS_PER_AUTHOR):
        assert ledger.controls.may_say(book.ann.id)
        last = [book.change(book.ann, 1 + number % 50, *last)]
        ledger.add(last[0])
    assert not ledger.controls.may_say(book.ann.id)
    assert ledger.controls.may_say(book.admin.id)
    ledger.add(book.change(book.ann, 99, *last))
    assert len(ledger.entries) == CONTROLS_PER_AUTHOR


class Keeper:
    """A peer that keeps a job of its own, which another one follows."""

    def __init__(self, cast: Cast, *, mine: bool = True) -> None:
        self.rig = Rig(cast)
        self.ann = cast.actor("ann")
        self.rig.meet(self.ann)
        self.head = cast.head(self.rig.me if mine else self.ann, frames=3)
        self.job = self.rig.learn(self.head, self.rig.me, by=self.ann)
        self.rig.wait(7_000, self.ann)
        self.rig.hear(self.ann, Follow(job=self.job, slots=1))
        self.rig.clear()

    def ask(self, weight: int) -> Accepted | Declined:
        self.rig.tell(WeightAsked(op=1, job=self.job, weight=weight))
        (reply,) = [effect.reply for effect in of(self.rig.effects, Reply)]
        self.rig.effects = [effect for effect in self.rig.effects if not isinstance(effect, Reply)]
        assert isinstance(reply, Accepted | Declined)
        return reply

    def controls(self) -> list[Control]:
        entries = [entry for each in kept(self.rig.effects, KeptEntries) for entry in each.entries]
        return [entry.body.what for entry in entries if isinstance(entry.body.what, Control)]


def test_a_person_changes_a_job_and_its_followers_are_told(cast: Cast) -> None:
    keeper = Keeper(cast)
    assert isinstance(keeper.ask(40), Accepted)
    (first,) = keeper.controls()
    assert (first.weight, first.saw) == (40, ())
    keeper.rig.wait(1_000, keeper.ann)
    assert [window.weight for to, window in sent(keeper.rig.effects, Window) if to == keeper.ann.id][-1:] == [40]
    view = keeper.rig.peer.job_view(keeper.rig.now, keeper.job)
    assert view is not None
    assert view.weight == 40
    assert isinstance(keeper.ask(40), Accepted)
    assert len(keeper.controls()) == 1, "nothing changes"
    keeper.ask(5)
    assert len(keeper.controls()[1].saw) == 1


def test_another_persons_job_is_not_changed(cast: Cast) -> None:
    keeper = Keeper(cast, mine=False)
    reply = keeper.ask(40)
    assert isinstance(reply, Declined)
    assert reply.code == "may-not-change"
    stranger = cast.entry(cast.actor("bob"), keeper.head, Control(saw=(), weight=99))
    keeper.rig.take(keeper.head, stranger, by=cast.actor("bob"))
    assert keeper.rig.peer.ledger.jobs[keeper.job].weight == WEIGHT_DEFAULT


def test_a_job_that_is_over_is_not_changed(cast: Cast) -> None:
    keeper = Keeper(cast)
    keeper.rig.take(keeper.head, cast.entry(keeper.rig.me, keeper.head, Cancel()), by=keeper.rig.me)
    reply = keeper.ask(40)
    assert isinstance(reply, Declined)
    assert reply.code == "over"


def test_an_admin_who_had_no_part_in_a_job_hears_first_what_others_changed(cast: Cast) -> None:
    """Its change would come before theirs, and not stand."""
    rig, ann = Rig(cast, roles=ALL_ROLES), cast.actor("ann")
    rig.meet(ann)
    head = cast.head(ann, frames=3)
    job = rig.learn(head, ann, by=ann)
    before = Control(saw=(), weight=20)
    rig.clear()
    rig.tell(WeightAsked(op=1, job=job, weight=40))
    (reply,) = [effect.reply for effect in of(rig.effects, Reply)]
    assert isinstance(reply, Declined)
    assert reply.code == "not-heard"
    rig.take(head, cast.entry(ann, head, before), by=ann)
    rig.clear()
    rig.tell(WeightAsked(op=2, job=job, weight=40))
    (said,) = [entry for _, message in sent(rig.effects, Entries) for entry in message.entries]
    assert isinstance(said.body.what, Control)
    assert len(said.body.what.saw) == 1
    assert rig.peer.ledger.jobs[job].weight == 40
