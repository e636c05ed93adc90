"""Mesh sets become equal, whatever each peer lacks, in whatever order words come, and however many of them are lost."""

from __future__ import annotations

import itertools
from typing import TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mesh.core.catalogue import EMPTY, WHOLE, Catalogue, Item, children, key_of
from mesh.core.effects import Send
from mesh.ground.ids import RecordId
from mesh.ground.instants import DAY_MS, HOUR_MS, SECOND_MS, WallTime
from mesh.wire import gossip as gs
from mesh.wire import messages as ms
from mesh.wire.envelope import sign
from mesh.wire.members import Admission, Role
from mesh.wire.revocations import InviteRevoked, Notice, Revocation
from tests.support.cast import WALL, Actor, Cast, blob
from tests.support.rig import Rig

SPOKEN = (gs.Offer, gs.Want, gs.SetDigests, gs.SetKeys, gs.Chains, ms.News, ms.Revocations)
CAST = Cast()
FOUNDER = CAST.founder()
PEERS = [CAST.actor(name) for name in ("one", "two", "three")]
AUTHORS = [CAST.actor(f"author {number}") for number in range(3)]
"""Nobody whom the peers have met: their chains come with what they say."""

ROUNDS = 6

Word: TypeAlias = tuple[int, int, ms.Message]


def admission(number: int) -> ms.Message:
    author = AUTHORS[number % 3]
    body = Admission(
        mesh=CAST.mesh,
        subject=CAST.signer(f"guest {number}").key,
        roles=int(Role.RENDER),
        issued=WallTime(WALL + number),
        expires=WallTime(WALL + DAY_MS),
        invite=RecordId(blob(f"invite {number}")),
    )
    return ms.News(heads=(), marks=(), cancels=(), admissions=(sign(body, author.signer),))


def revocation(number: int) -> ms.Message:
    body = Revocation(
        mesh=CAST.mesh,
        by=tuple(one.id for one in FOUNDER.chain),
        what=InviteRevoked(invite=RecordId(blob(f"invite {100 + number}"))),
        said=WALL,
        by_name="founder",
        name="",
    )
    return ms.Revocations(notices=(Notice(revocation=sign(body, FOUNDER.signer), chain=FOUNDER.chain),))


HEADS = [CAST.head(author, number=number) for author in AUTHORS for number in (1, 2)]


def words() -> list[ms.Message]:
    """Return all that there is to hear: jobs, their keepers' marks in two editions, and one of everything else."""

    def news(**said: object) -> ms.Message:
        return ms.News(**{"heads": (), "marks": (), "cancels": (), "admissions": (), **said})  # type: ignore[arg-type]

    marks = [
        news(marks=(CAST.mark(keeper, head, WALL + HOUR_MS - minutes),))
        for head in HEADS
        for keeper in AUTHORS
        for minutes in (0, 5)
    ]
    cancels = [news(cancels=(CAST.cancel(author, head),)) for author, head in zip(AUTHORS, HEADS[::2], strict=True)]
    told = [news(heads=(head,)) for head in HEADS]
    return [*told, *marks, *cancels, *map(admission, range(4)), *map(revocation, range(3))]


WORDS = words()


class Table:
    """Three peers that all have channels to each other, and what is on its way between them."""

    def __init__(self, peers: int = 3) -> None:
        self.rigs = [Rig(CAST, actor.name, slots=0, actor=actor) for actor in PEERS[:peers]]
        for rig in self.rigs:
            for author in (*AUTHORS, FOUNDER):
                rig.peer.members.learn(author.chain)
        self.way: list[Word] = []
        self.said = 0
        for rig in self.rigs:
            rig.meet(*(other.me for other in self.rigs if other is not rig))
            self.listen(rig)

    def listen(self, rig: Rig) -> None:
        """Put on its way what a peer said of the mesh set."""
        ids = {other.me.id: number for number, other in enumerate(self.rigs)}
        source = ids[rig.me.id]
        self.way += [
            (source, ids[effect.peer], effect.message)
            for effect in rig.effects
            if isinstance(effect, Send) and isinstance(effect.message, SPOKEN) and effect.peer in ids
        ]
        rig.clear()

    def hear(self, number: int, by: Actor, message: ms.Message) -> None:
        rig = self.rigs[number]
        rig.hear(by, ms.decode(ms.encode(message)))
        self.listen(rig)

    def deliver(self, at: int) -> None:
        source, target, message = self.way.pop(at)
        self.said += 1
        self.hear(target, self.rigs[source].me, message)

    def settle(self) -> None:
        """Deliver everything, and what follows from it."""
        before = self.said
        while self.way:
            self.deliver(0)
            assert self.said - before < 5_000, "they never stop talking"

    def wait(self, for_ms: int) -> None:
        for rig in self.rigs:
            rig.wait(for_ms, *PEERS)
            self.listen(rig)

    def equal(self) -> bool:
        return len({tuple(keys(rig)) for rig in self.rigs}) == 1

    def make_equal(self) -> None:
        """Let time pass without loss: every peer compares with one other every ten seconds."""
        self.settle()
        for _ in range(ROUNDS * len(self.rigs)):
            if self.equal():
                break
            self.wait(12 * SECOND_MS)
            self.settle()
        assert self.equal()


def keys(rig: Rig) -> list[bytes]:
    return rig.peer.meshset._catalogue.under(WHOLE)


@given(st.data())
@settings(max_examples=25)
def test_two_peers_that_compare_have_one_set(data: st.DataObject) -> None:
    table = Table(peers=2)
    table.settle()
    parts = data.draw(st.lists(st.integers(1, 3), min_size=len(WORDS), max_size=len(WORDS)))
    for word, part in zip(WORDS, parts, strict=True):
        for number in range(2):
            if part & 1 << number:
                table.hear(number, FOUNDER, word)
    table.wait(3 * SECOND_MS)
    table.way.clear()  # every push is lost
    for rig, other in itertools.permutations(table.rigs):
        rig.meet(other.me, life="again")
        table.listen(rig)
    table.settle()
    assert table.equal()
    assert len(keys(table.rigs[0])) >= len(HEADS)


@given(st.permutations(WORDS), st.permutations(WORDS))
@settings(max_examples=25)
def test_the_set_is_a_function_of_what_was_heard(one: list[ms.Message], other: list[ms.Message]) -> None:
    """In any order and more than once: what comes too early waits or is told again."""
    table = Table(peers=2)
    for number, order in enumerate((one, other)):
        for word in (*order, *order):
            table.hear(number, FOUNDER, word)
    assert table.equal()
    assert len(keys(table.rigs[0])) == len({key for word in WORDS for key in _keys(word)})
    before = [dict(rig.peer.meshset._catalogue._items) for rig in table.rigs]
    for number in range(2):
        for word in WORDS:
            table.hear(number, FOUNDER, word)
    assert [dict(rig.peer.meshset._catalogue._items) for rig in table.rigs] == before


class Sets(RuleBasedStateMachine):
    """Three peers hear this and that, while words between them are late, lost, doubled or overtaken."""

    @initialize()
    def begin(self) -> None:
        self.table = Table()

    @rule(number=st.integers(0, 2), word=st.sampled_from(WORDS))
    def hear(self, number: int, word: ms.Message) -> None:
        self.table.hear(number, FOUNDER, word)

    @rule(data=st.data(), count=st.integers(1, 8))
    def deliver(self, data: st.DataObject, count: int) -> None:
        for _ in range(count):
            if self.table.way:
                self.table.deliver(data.draw(st.integers(0, len(self.table.way) - 1)))

    @rule(data=st.data())
    def say_twice(self, data: st.DataObject) -> None:
        if self.table.way:
            self.table.way.append(data.draw(st.sampled_from(self.table.way)))

    @rule(data=st.data(), count=st.integers(1, 12))
    def lose(self, data: st.DataObject, count: int) -> None:
        for _ in range(min(count, len(self.table.way))):
            self.table.way.pop(data.draw(st.integers(0, len(self.table.way) - 1)))

    @rule(for_ms=st.sampled_from([200, 1_100, 2_500, 11_000]))
    def wait(self, for_ms: int) -> None:
        self.table.wait(for_ms)

    @invariant()
    def nothing_is_in_two_states(self) -> None:
        for rig in self.table.rigs:
            offers = rig.peer.meshset.offers
            queued = [short for waiting in offers._waiting.values() for short in waiting]
            asked = [short for some in offers._asked.values() for short in some]
            assert sorted(queued + asked) == sorted(offers._wanted), "each item is asked of one teller, or will be"

    def teardown(self) -> None:
        self.table.make_equal()


TestSets = Sets.TestCase
TestSets.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)


@given(st.lists(st.sampled_from(range(40)), max_size=60), st.data())
def test_a_part_is_hashed_as_it_is(numbers: list[int], data: st.DataObject) -> None:
    """Put and dropped in any order, the catalogue's parts are those of its keys, and equal keys have equal hashes."""
    items: list[Item] = [CAST.head(AUTHORS[0], number=1 + number) for number in range(40)]
    catalogue, model = Catalogue(), dict[bytes, Item]()
    for number in numbers:
        if data.draw(st.booleans()):
            catalogue.put(items[number])
            model[key_of(items[number])] = items[number]
        else:
            catalogue.drop(key_of(items[number]))
            model.pop(key_of(items[number]), None)
    assert catalogue.under(WHOLE) == sorted(model)
    fresh = Catalogue()
    for item in model.values():
        fresh.put(item)
    assert catalogue.digests(WHOLE) == fresh.digests(WHOLE)
    parts = [catalogue.under(part) for part in children(WHOLE)]
    assert list(itertools.chain(*parts)) == sorted(model)
    for at, part in enumerate(parts):
        digest = catalogue.digests(WHOLE)[8 * at : 8 * at + 8]
        assert (digest == EMPTY) == (not part)
        assert all(key[0] >> 4 == at for key in part)


def _keys(word: ms.Message) -> list[bytes]:
    if isinstance(word, ms.Revocations):
        return [key_of(notice) for notice in word.notices]
    assert isinstance(word, ms.News)
    return [key_of(item) for item in (*word.heads, *word.marks, *word.cancels, *word.admissions)]
