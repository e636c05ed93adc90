"""Which holds count, whatever was heard of what happened and in whatever order."""

from dataclasses import dataclass, field
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from mesh.core.holders import Holders
from mesh.ground.ids import JobId
from mesh.wire.envelope import Signed
from mesh.wire.records import MAX_REPLACED, Hold
from tests.support.cast import Cast, blob

CAST = Cast()
ACTORS = [CAST.actor(f"p{number}") for number in range(8)]
HEAD = CAST.head(ACTORS[0])
JOB = JobId(HEAD.job.id)
PICTURE = blob("picture")
COPIES = 3


@dataclass
class History:
    """What really happened to the copies of one output: each has one holder after the other."""

    book: Holders = field(default_factory=Holders)
    copies: list[list[Signed[Hold]]] = field(default_factory=list)
    nonces: "count[int]" = field(default_factory=count)

    def given(self, author: int, copy: int | None) -> Signed[Hold]:
        """Let a peer that has none take a copy: a new one, or another's."""
        actor = ACTORS[author]
        replaced = self.copies[copy][-1] if copy is not None else None
        listed = self.book.takes(actor.id, JOB, PICTURE, replaced)
        nonce = next(self.nonces).to_bytes(16, "big")
        hold = CAST.hold(actor, HEAD, PICTURE, nonce, replaces=listed)
        assert self.book.add(hold, 1)
        if copy is None:
            self.copies.append([hold])
        else:
            self.copies[copy].append(hold)
        return hold

    @property
    def holders(self) -> list[bytes]:
        return [holds[-1].author for holds in self.copies]

    @property
    def holds(self) -> list[Signed[Hold]]:
        return [hold for holds in self.copies for hold in holds]


@st.composite
def histories(draw: st.DrawFn) -> History:
    history = History()
    for author in range(COPIES):
        history.given(author, None)
    for _ in range(draw(st.integers(0, MAX_REPLACED - COPIES))):
        free = [place for place, actor in enumerate(ACTORS) if actor.id not in history.holders]
        history.given(draw(st.sampled_from(free)), draw(st.integers(0, COPIES - 1)))
    return history


def heard(holds: list[Signed[Hold]]) -> Holders:
    book = Holders()
    for hold in holds:
        book.add(hold, 1)
    return book


@given(histories(), st.randoms(use_true_random=False))
def test_whoever_heard_all_counts_the_same_holders_in_whatever_order_and_however_often(
    history: History, dice: object
) -> None:
    holds = history.holds * 2
    dice.shuffle(holds)  # type: ignore[attr-defined]
    counting = heard(holds).of(JOB, PICTURE)
    assert set(counting) == set(history.holders)
    assert {hold.id for hold in counting.values()} == {copies[-1].id for copies in history.copies}


@given(histories(), st.data())
def test_13_whoever_missed_some_counts_no_copy_twice(history: History, data: st.DataObject) -> None:
    some = [hold for hold in history.holds if data.draw(st.booleans())]
    copies = [any(hold in some for hold in copy) for copy in history.copies]
    assert len(heard(some).of(JOB, PICTURE)) <= sum(copies)


@given(histories(), st.data())
def test_15_what_was_replaced_before_does_not_drop_what_was_given_since(history: History, data: st.DataObject) -> None:
    """Every message is heard once more after the last one, when that is long forgotten."""
    book = heard(history.holds)
    for hold in data.draw(st.permutations(history.holds)):
        assert not book.add(hold, 1)
    assert set(book.of(JOB, PICTURE)) == set(history.holders)


@given(st.randoms(use_true_random=False))
def test_12_of_six_holders_none_may_go_by_the_word_of_one_who_holds_the_same(dice: object) -> None:
    """Each sends the one before it away, with all that this one has said: in the end a single one would be left."""
    holders = ACTORS[:6]
    holds = [CAST.hold(actor, HEAD, PICTURE) for actor in holders]
    pushed = [holds[0]]
    for place, actor in enumerate(holders[1:], start=1):
        listed = tuple(hold.id for hold in pushed[::-1])
        push = CAST.hold(actor, HEAD, PICTURE, bytes([1] * 16), replaces=listed)
        pushed += [holds[place], push]
    dice.shuffle(pushed)  # type: ignore[attr-defined]
    assert set(heard(pushed).of(JOB, PICTURE)) == {actor.id for actor in holders}


def test_a_chain_longer_than_one_hold_may_list_leaves_out_the_oldest() -> None:
    history = History()
    history.given(0, None)
    for number in range(MAX_REPLACED + 5):
        history.given(1 + number % 7, 0)
    newest = history.copies[0][-1]
    assert len(newest.body.replaces) == MAX_REPLACED
    assert set(history.book.of(JOB, PICTURE)) == {newest.author}
