"""Comparing makes any two ledgers equal, whatever each of them lacks."""

from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.core.effects import Effect, Send
from mesh.ground.instants import SECOND_MS
from mesh.wire import messages as ms
from mesh.wire.envelope import Signed
from mesh.wire.records import Entry
from tests.support.cast import Actor, Cast
from tests.support.rig import Rig

SYNC = (ms.LedgerDigest, ms.StreamDigests, ms.StreamIds, ms.Entries)
ROUNDS = 40


class Pair:
    """Two keepers of one job, each with part of its records, and a channel between them."""

    def __init__(self, entries_of: list[tuple[int, int]], parts: list[int], boots: int) -> None:
        self.cast = Cast()
        keepers: tuple[Actor, Actor] = (self.cast.actor("one"), self.cast.actor("other"))
        authors = [self.cast.actor(f"author {number}") for number in range(3)]
        self.head = self.cast.head(authors[0], frames=200)
        self.rigs = [Rig(self.cast, actor.name, slots=0, actor=actor) for actor in keepers]
        for rig in self.rigs:
            for member in (*authors, *keepers):
                rig.peer.members.learn(member.chain)
            rig.keep(self.head, *keepers, by=authors[0])
        for (author_number, task), part in zip(entries_of, parts, strict=True):
            author = authors[author_number]
            found = self.cast.result(author, self.head, task)
            entry: Signed[Entry] = self.cast.entry(author, self.head, found.body.what, boot_label=str(task % boots))
            for number, rig in enumerate(self.rigs):
                if part & (1 << number):
                    rig.hear(author, ms.Entries(job=self.head.job.id, entries=(entry,), chains=()))  # type: ignore[arg-type]
        self.said = 0
        self.sizes: list[int] = []

    def meet(self) -> None:
        for rig, other in ((self.rigs[0], self.rigs[1]), (self.rigs[1], self.rigs[0])):
            rig.clear()
            rig.meet(other.me)
        self.talk()

    def talk(self) -> list[Effect]:
        """Carry what they say of records, until both are silent; return what they ask for meanwhile."""
        asked: list[Effect] = []
        queue: deque[tuple[int, ms.Message]] = deque()
        for number, rig in enumerate(self.rigs):
            queue.extend((1 - number, message) for message in spoken(rig))
        while queue:
            number, message = queue.popleft()
            self.said += 1
            assert self.said < 2_000, "they never stop talking"
            rig = self.rigs[number]
            rig.clear()
            packet = ms.encode(message)
            self.sizes.append(len(packet))
            asked += rig.hear(self.rigs[1 - number].me, ms.decode(packet))
            queue.extend((1 - number, answer) for answer in spoken(rig))
        return asked

    def ledgers(self) -> list[dict[bytes, Signed[Entry]]]:
        return [dict(rig.peer.ledger.jobs[self.head.job.id].entries) for rig in self.rigs]  # type: ignore[index]


def spoken(rig: Rig) -> list[ms.Message]:
    found = [effect.message for effect in rig.effects if isinstance(effect, Send) and isinstance(effect.message, SYNC)]
    rig.clear()
    return found


entries = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 49)), max_size=60)


@given(entries, st.data(), st.integers(1, 3))
@settings(max_examples=40)
def test_two_keepers_that_meet_have_the_same_records(
    entries_of: list[tuple[int, int]], data: st.DataObject, boots: int
) -> None:
    parts = data.draw(st.lists(st.integers(1, 3), min_size=len(entries_of), max_size=len(entries_of)))
    pair = Pair(entries_of, parts, boots)
    pair.meet()
    one, other = pair.ledgers()
    assert set(one) == set(other)
    assert len(one) == len(entries_of)


@given(st.integers(0, 60))
@settings(max_examples=10)
def test_equal_ledgers_exchange_digests_and_nothing_else(count: int) -> None:
    pair = Pair([(number % 3, number % 50) for number in range(count)], [3] * count, 1)
    pair.meet()
    assert pair.said <= 4
    assert sum(pair.sizes) < 500


def test_a_stream_of_thousands_of_records_converges_from_any_difference() -> None:
    count = 6_000
    parts = [3 if number % 100 else 1 + number // 100 % 2 for number in range(count)]
    pair = Pair([(0, number % 200) for number in range(count)], parts, 1)
    pair.meet()
    for _ in range(ROUNDS):
        one, other = pair.ledgers()
        if set(one) == set(other):
            break
        pair.rigs[0].wait(10 * SECOND_MS, pair.rigs[1].me)
        pair.rigs[1].wait(10 * SECOND_MS, pair.rigs[0].me)
        pair.talk()
    assert len(pair.ledgers()[0]) == len(pair.ledgers()[1]) == count


def test_a_keeper_with_nothing_catches_up_sooner_than_by_its_usual_comparisons() -> None:
    count = 2_000
    pair = Pair([(0, number % 200) for number in range(count)], [1] * count, 1)
    pair.meet()
    for _ in range(8):
        pair.rigs[1].wait(SECOND_MS, pair.rigs[0].me)
        pair.talk()
    assert len(pair.ledgers()[1]) == count


def test_hundreds_of_streams_converge() -> None:
    count = 700
    cast = Cast()
    authors = [cast.actor(f"author {number}") for number in range(3)]
    pair = Pair([], [], 1)
    for number in range(count):
        author = authors[number % 3]
        found = pair.cast.result(author, pair.head, number % 50)
        entry = pair.cast.entry(author, pair.head, found.body.what, boot_label=str(number))
        part = 3 if number % 50 else 1 + number // 50 % 2
        for place, rig in enumerate(pair.rigs):
            if part & (1 << place):
                rig.hear(author, ms.Entries(job=pair.head.job.id, entries=(entry,), chains=()))  # type: ignore[arg-type]
    pair.meet()
    for _ in range(ROUNDS):
        one, other = pair.ledgers()
        if set(one) == set(other):
            break
        pair.rigs[0].wait(10 * SECOND_MS, pair.rigs[1].me)
        pair.talk()
    one, other = pair.ledgers()
    assert set(one) == set(other)
    assert len(one) >= count
