"""The fold: the same set of records gives the same state, in any order, with duplicates, all at once or one by one."""

from hypothesis import given
from hypothesis import strategies as st

from mesh.core.fold import TaskFold
from mesh.core.ledger import JobLedger
from mesh.wire.envelope import Signed
from mesh.wire.messages import Head
from mesh.wire.records import Cancel, Entry, Seal, SealedTask, SealPage
from sim import model
from tests.support.cast import Actor, Cast, blob

TASKS = 5
NAMES = ("ann", "bob", "cid", "dan")


class Story:
    """Records of one job that several authors make, some of them about each other's."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.cast = Cast()
        self.people = [self.cast.actor(name) for name in NAMES]
        self.head: Head = self.cast.head(self.people[0], frames=TASKS, tries=draw(st.integers(1, 3)))
        self.entries: list[Signed[Entry]] = []
        results: list[Signed[Entry]] = []
        for kind in draw(st.lists(st.sampled_from("rrrfflc"), max_size=40)):
            author: Actor = draw(st.sampled_from(self.people))
            task = draw(st.integers(0, TASKS - 1))
            attempt = draw(st.integers(1, 3))
            if kind == "r":
                picture = draw(st.none() | st.sampled_from([blob("black"), blob("white")]))
                results.append(self.cast.result(author, self.head, task, attempt, picture=picture))
                self.entries.append(results[-1])
            elif kind == "f":
                self.entries.append(self.cast.failed(author, self.head, task, attempt))
            elif kind == "l" and results:
                self.entries.append(self.cast.lost(author, self.head, draw(st.sampled_from(results))))
            elif kind == "c":
                self.entries.append(self.cast.entry(author, self.head, Cancel()))


stories = st.composite(Story)()


def state(ledger: JobLedger) -> object:
    """Return all that the fold says of a job."""
    return (
        [(ledger.task(task).state, ledger.task(task).counting, ledger.task(task).attempt) for task in range(TASKS)],
        [[entry.id for entry in ledger.task(task).failures] for task in range(TASKS)],
        ledger.counting,
        ledger.stopped,
        list(ledger.open_frames()),
        ledger.cancel.id if ledger.cancel else None,
        ledger.digest(),
        {key: stream.digest() for key, stream in ledger.streams.items()},
        sorted(ledger.by_output),
        ledger.ended,
        ledger.all_count,
    )


def folded(story: Story, entries: list[Signed[Entry]]) -> JobLedger:
    ledger = JobLedger(story.head)
    for entry in entries:
        ledger.add(entry)
    return ledger


@given(stories, st.data())
def test_any_order_and_any_duplicates_give_the_same_state(story: Story, data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(story.entries))
    again = data.draw(st.lists(st.sampled_from(story.entries), max_size=10)) if story.entries else []
    assert state(folded(story, story.entries)) == state(folded(story, [*shuffled, *again]))


@given(stories, st.data())
def test_strikes_come_to_the_same_whenever_they_come(story: Story, data: st.DataObject) -> None:
    struck = data.draw(st.lists(st.sampled_from([actor.id for actor in story.people]), unique=True))
    other = data.draw(st.lists(st.sampled_from([actor.id for actor in story.people]), unique=True))
    at = data.draw(st.integers(0, len(story.entries)))
    ledger = JobLedger(story.head, other)
    for number, entry in enumerate(data.draw(st.permutations(story.entries))):
        if number == at:
            ledger.strike(struck)
        ledger.add(entry)
    ledger.strike(struck)
    whole = folded(story, story.entries)
    before = [whole.task(task) for task in range(TASKS)]
    changed = whole.strike(struck) or ()
    assert state(ledger) == state(whole)
    assert [task for task in range(TASKS) if whole.task(task) != before[task]] == list(changed)
    assert whole.ended == (whole.cancel is not None or story.head.job.author in struck)
    acting = {key: entry for key, entry in whole.entries.items() if entry.author not in struck}
    for task, told in enumerate(model.fold(story.head.job.author, story.head.job.body, acting)):
        counting = whole.task(task).counting
        assert (counting.id if counting else None) == told.result
    whole.strike([])
    assert state(whole) == state(folded(story, story.entries)), "the records were there all the time"


@given(stories, st.data())
def test_what_somebody_else_has_sealed_no_strike_undoes(story: Story, data: st.DataObject) -> None:
    thief, sealer = story.people[1], story.people[2]
    page = SealPage(
        job=story.head.job.id,  # type: ignore[arg-type]
        tasks=(SealedTask(result=None, holds=()),) * TASKS,
        chains=(),
    )
    seals = [story.cast.entry(actor, story.head, Seal(blob=blob(actor.name))) for actor in (thief, sealer)]
    ledgers = []
    for order in data.draw(st.permutations(["strike", *seals])), ["strike", *reversed(seals)]:
        ledger = folded(story, story.entries)
        for step in order:
            if step == "strike":
                ledger.strike([thief.id])
            else:
                ledger.add_seal(step, page)
        assert ledger.sealed is not None
        assert ledger.sealed[0] == seals[1]
        ledgers.append(ledger)
    assert state(ledgers[0]) == state(ledgers[1])
    assert state(ledgers[0])[0] == state(folded(story, story.entries))[0]  # type: ignore[index]


@given(stories, st.data())
def test_looking_in_between_changes_nothing(story: Story, data: st.DataObject) -> None:
    ledger = JobLedger(story.head)
    for entry in data.draw(st.permutations(story.entries)):
        ledger.add(entry)
        state(ledger)
    assert state(ledger) == state(folded(story, story.entries))


@given(stories)
def test_the_fold_is_the_one_that_the_model_states_plainly(story: Story) -> None:
    ledger = folded(story, story.entries)
    for task, told in enumerate(model.fold(story.head.job.author, story.head.job.body, ledger.entries)):
        counting = ledger.task(task).counting
        assert (counting.id if counting else None) == told.result
        assert (ledger.task(task).state is TaskFold.STOPPED) == told.stopped


@given(stories)
def test_what_add_says_has_changed_is_what_has_changed(story: Story) -> None:
    ledger = JobLedger(story.head)
    for entry in story.entries:
        before = [ledger.task(task) for task in range(TASKS)]
        changed = ledger.add(entry) or ()
        assert [task for task in range(TASKS) if ledger.task(task) != before[task]] == list(changed)


@given(stories)
def test_the_counters_are_those_of_the_tasks(story: Story) -> None:
    ledger = folded(story, story.entries)
    states = [ledger.task(task).state for task in range(TASKS)]
    assert ledger.counting == states.count(TaskFold.COUNTS)
    assert ledger.stopped == states.count(TaskFold.STOPPED)
    if not ledger.ended:
        assert list(ledger.open_frames()) == [task for task, one in enumerate(states) if one is TaskFold.OPEN]
        assert [task for task in range(TASKS) if ledger.is_open(task)] == list(ledger.open_frames())


@given(stories, st.data())
def test_two_ledgers_that_take_over_from_each_other_agree(story: Story, data: st.DataObject) -> None:
    marks = data.draw(st.lists(st.integers(1, 3), min_size=len(story.entries), max_size=len(story.entries)))
    one = folded(story, [entry for entry, mark in zip(story.entries, marks, strict=True) if mark & 1])
    other = folded(story, [entry for entry, mark in zip(story.entries, marks, strict=True) if mark & 2])
    for entry in list(other.entries.values()):
        one.add(entry)
    for entry in list(one.entries.values()):
        other.add(entry)
    assert state(one) == state(other)


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 5)), min_size=1, max_size=8), st.data())
def test_of_any_seals_all_settle_on_the_same_one(said: list[tuple[str, int]], data: st.DataObject) -> None:
    cast = Cast()
    people = {name: cast.actor(name) for name in NAMES}
    head = cast.head(people["ann"], frames=1)
    page = SealPage(job=head.job.id, tasks=(SealedTask(result=None, holds=()),), chains=())  # type: ignore[arg-type]
    seals = [cast.entry(people[name], head, Seal(blob=blob(str(number)))) for name, number in said]
    settled = []
    for order in (seals, data.draw(st.permutations(seals))):
        ledger = JobLedger(head)
        for entry in order:
            ledger.add_seal(entry, page)
        assert ledger.sealed is not None
        settled.append(ledger.sealed[0].id)
    assert settled[0] == settled[1]
