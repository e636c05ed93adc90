"""Whatever a keeper and an author lack of each other's, the keeper has all in the end, and the author its share; and
the author has all as soon as a person asks there.
"""

from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.core.effects import Looked, Reply
from mesh.core.events import LookAsked
from mesh.ground.ids import JobId
from mesh.wire import messages as ms
from mesh.wire.envelope import Signed
from mesh.wire.records import Entry, Lost
from tests.property.test_core_sync import Pair
from tests.support.rig import Rig

KEEPER, AUTHOR, OTHER = range(3)

said = st.lists(
    st.tuples(
        st.sampled_from((AUTHOR, OTHER)),
        st.integers(0, 49),
        st.booleans(),
        st.integers(1, 3),
    ),
    max_size=40,
)
"""Of each record: whose it is, of which task, whether it says that a result is lost, and who has it."""


class Unlike(Pair):
    """A keeper, and a peer that wrote some of the records and does not keep the job."""

    def __init__(self) -> None:
        super().__init__([], [], 1)
        keeper, author = (rig.me for rig in self.rigs)
        self.people = (keeper, author, self.cast.actor("author 1"))
        submitter = self.cast.actor("author 0")
        self.rigs[1] = rig = Rig(self.cast, author.name, slots=0, actor=author)
        for member in (keeper, submitter, self.people[OTHER]):
            rig.peer.members.learn(member.chain)
        self.rigs[0] = keeping = Rig(self.cast, keeper.name, slots=0, actor=keeper)
        for member in (author, submitter, self.people[OTHER]):
            keeping.peer.members.learn(member.chain)
        keeping.keep(self.head, keeper, by=submitter)
        rig.learn(self.head, keeper, by=submitter)
        self.records: list[tuple[Signed[Entry], int]] = []

    def say(self, who: int, task: int, *, lost: bool, part: int) -> None:
        """Let the keeper (1), the author (2) or both have a record."""
        author = self.people[who]
        entry = self.cast.result(author, self.head, task)
        if lost:
            entry = self.cast.lost(author, self.head, self.cast.result(author, self.head, task))
        part = part if who == AUTHOR or lost else 1
        self.records.append((entry, part))
        for number, rig in enumerate(self.rigs):
            if part & (1 << number):
                rig.hear(author, ms.Entries(job=self.head.job.id, entries=(entry,), chains=()))  # type: ignore[arg-type]


@given(said)
@settings(max_examples=60)
def test_a_keeper_has_all_and_an_author_its_own_and_what_concerns_all(
    records: list[tuple[int, int, bool, int]],
) -> None:
    pair = Unlike()
    lost_by = dict.fromkeys((AUTHOR, OTHER), 0)
    for who, task, lost, part in records:
        lost_by[who] += lost
        if not lost or lost_by[who] <= 3:  # no more would act
            pair.say(who, task, lost=lost, part=part)
    me = pair.people[AUTHOR].id
    has_some = any(part & 2 for _, part in pair.records)
    pair.meet()
    pair.meet()
    kept, own = pair.ledgers()
    assert set(kept) == {entry.id for entry, _ in pair.records}
    expected = {
        entry.id
        for entry, part in pair.records
        if part & 2 or (has_some and entry.author != me and isinstance(entry.body.what, Lost))
    }
    assert set(own) == expected


@given(said)
@settings(max_examples=60)
def test_who_is_asked_at_an_author_is_shown_all_that_the_keeper_has(records: list[tuple[int, int, bool, int]]) -> None:
    pair = Unlike()
    lost_by = dict.fromkeys((AUTHOR, OTHER), 0)
    for who, task, lost, part in records:
        lost_by[who] += lost
        if not lost or lost_by[who] <= 3:
            pair.say(who, task, lost=lost, part=part)
    pair.meet()
    before = set(pair.ledgers()[0])
    effects = pair.rigs[1].tell(LookAsked(op=1, job=JobId(pair.head.job.id)))
    effects = [*effects, *pair.talk()]
    assert Reply(op=1, reply=Looked(whole=True)) in effects
    kept, own = pair.ledgers()
    assert set(own) >= before
    assert {entry for entry in kept if entry not in own} == set()
