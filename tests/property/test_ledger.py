"""The fold: the same set of records gives the same state, in any order, with duplicates, all at once or one by one."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from mesh.core.fold import TaskFold
from mesh.core.ledger import JobLedger
from mesh.ground.ids import RecordId
from mesh.wire.envelope import Signed
from mesh.wire.grids import Block, Cut
from mesh.wire.messages import Head
from mesh.wire.records import Cancel, Check, Entry, FailureKind, Lost, Seal, SealedTask, SealPage
from sim import model
from tests.support.cast import Actor, Cast, blob, cut_into

TASKS = 5
CUT_TASKS = 3
CUT = cut_into(5, 3, frames=2)
"""Neither side is a power of two, so that blocks are cut off at both ends."""
NAMES = ("ann", "bob", "cid", "dan")


class Story:
    """Records of one job that several authors make, some of them about each other's; of some jobs frames are cut."""

    def __init__(self, draw: st.DrawFn, cut: Cut | None = None) -> None:
        self.cast = Cast()
        self.people = [self.cast.actor(name) for name in NAMES]
        frames = TASKS if cut is None else CUT_TASKS
        check = draw(st.sampled_from(list(Check))) if cut is None else Check.ONCE
        tries, judges = draw(st.integers(1, 3)), (self.people[1],)
        self.head: Head = self.cast.head(
            self.people[0], frames=frames, tries=tries, cut=cut, check=check, judges=judges
        )
        self.entries: list[Signed[Entry]] = []
        results: list[Signed[Entry]] = []
        for kind in draw(st.lists(st.sampled_from("rrrfllewcvvxa"), max_size=40)):
            author: Actor = draw(st.sampled_from(self.people))
            task, attempt = draw(st.integers(0, frames - 1)), draw(st.integers(1, 3))
            block = draw(blocks) if cut is not None and task >= frames - cut.frames else None
            if kind == "r":
                picture = draw(st.none() | st.sampled_from([blob("black"), blob("white")]))
                results.append(self.cast.result(author, self.head, task, attempt, picture=picture, block=block))
                self.entries.append(results[-1])
            elif kind == "f":
                why = draw(st.sampled_from([FailureKind.CRASHED, FailureKind.DISK_FULL, FailureKind.ENGINE_BROKEN]))
                self.entries.append(self.cast.failed(author, self.head, task, attempt, block=block, kind=why))
            elif kind == "l" and results:
                self.entries.append(self.cast.lost(author, self.head, draw(st.sampled_from(results))))
            elif kind == "e":  # somebody says that a result is lost before anybody hears of it
                results.append(self.cast.result(author, self.head, task, attempt, block=block))
                self.entries += [self.cast.lost(author, self.head, results[-1]), results[-1]]
            elif kind == "w" and results:  # or calls a result of one task another one's
                wrong = Lost(task=task, result=RecordId(draw(st.sampled_from(results)).id), block=block)
                self.entries.append(self.cast.entry(author, self.head, wrong))
            elif kind == "v" and results:
                self.entries.append(self.cast.vouch(author, self.head, draw(st.sampled_from(results))))
            elif kind == "x" and results:
                ruler = draw(st.sampled_from(self.people[:2]))
                self.entries.append(self.cast.reject(ruler, self.head, draw(st.sampled_from(results))))
            elif kind == "a" and cut is not None:  # made of buckets, by somebody who may know what was rejected
                without = draw(st.none() | st.just(self._without(frames - 1)))
                made = self.cast.result(author, self.head, frames - 1, attempt, assembles=True, without=without)
                results.append(made)
                self.entries.append(made)
            elif kind == "c":
                self.entries.append(self.cast.entry(author, self.head, Cancel()))

    def _without(self, frame: int) -> bytes | None:
        """Return what whoever knows all that was said so far says of a frame's rejected buckets."""
        ledger = JobLedger(self.head)
        for entry in self.entries:
            ledger.add(entry)
        return ledger.without(frame)


def _aligned_blocks() -> list[Block]:
    """Return every block that a claim may be of."""
    columns, rows = range(CUT.across.cells), range(CUT.down.cells)
    sizes = [(across, down) for across in range(1, len(columns) + 1) for down in range(1, len(rows) + 1)]
    found = (
        Block(column=column, row=row, columns=across, rows=down)
        for column in columns
        for row in rows
        for across, down in sizes
    )
    return [block for block in found if CUT.grid.aligned(block)]


BLOCKS = _aligned_blocks()
blocks = st.none() | st.sampled_from(BLOCKS)
plain_stories = st.composite(Story)()
cut_stories = st.composite(lambda draw: Story(draw, CUT))()
stories = plain_stories | cut_stories


def tasks_of(ledger: JobLedger) -> range:
    """Return all tasks of a job, frames and cells."""
    return range(ledger.parts.tasks)


def state(ledger: JobLedger) -> object:
    """Return all that the fold says of a job."""
    frames = range(ledger.frames)
    return (
        [(ledger.task(task).state, ledger.task(task).counting, ledger.task(task).attempt) for task in tasks_of(ledger)],
        [[entry.id for entry in ledger.task(task).failures] for task in tasks_of(ledger)],
        [[entry.id for entry in ledger.task(task).waiting] for task in tasks_of(ledger)],
        ledger.waiting,
        ledger.counting,
        ledger.cells_counting,
        ledger.stopped,
        list(ledger.open_frames()),
        [ledger.open_cells(frame) for frame in frames],
        [(ledger.needs(frame, block), ledger.lacks(frame, block)) for frame in frames for block in (None, *BLOCKS)],
        ledger.cancel.id if ledger.cancel else None,
        ledger.digest(),
        {key: stream.told().digest for key, stream in ledger.streams.items()},
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
    before = [whole.task(task) for task in tasks_of(whole)]
    changed = whole.strike(struck) or ()
    assert state(ledger) == state(whole)
    assert [task for task in tasks_of(whole) if whole.task(task) != before[task]] == sorted(changed)
    assert whole.ended == (whole.cancel is not None or story.head.job.author in struck)
    acting = {key: entry for key, entry in whole.entries.items() if entry.author not in struck}
    for task, told in enumerate(model.fold(story.head.job.author, story.head.job.body, acting)):
        counting = whole.task(task).counting
        assert (counting.id if counting else None) == told.result
        assert (whole.task(task).state is TaskFold.STOPPED) == told.stopped
    whole.strike([])
    assert state(whole) == state(folded(story, story.entries)), "the records were there all the time"


@given(stories, st.data())
def test_what_somebody_else_has_sealed_no_strike_undoes(story: Story, data: st.DataObject) -> None:
    thief, sealer = story.people[1], story.people[2]
    page = SealPage(
        job=story.head.job.id,  # type: ignore[arg-type]
        tasks=(SealedTask(result=None, holds=()),) * len(story.head.job.body.frames),
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
    told_of = model.fold(story.head.job.author, story.head.job.body, ledger.entries)
    assert len(told_of) == len(tasks_of(ledger))
    for task, told in enumerate(told_of):
        counting = ledger.task(task).counting
        assert (counting.id if counting else None) == told.result
        assert (ledger.task(task).state is TaskFold.STOPPED) == told.stopped


@given(stories)
def test_what_add_says_has_changed_is_what_has_changed(story: Story) -> None:
    ledger = JobLedger(story.head)
    for entry in story.entries:
        before = [ledger.task(task) for task in tasks_of(ledger)]
        changed = ledger.add(entry) or ()
        assert [task for task in tasks_of(ledger) if ledger.task(task) != before[task]] == list(changed)


@given(stories, st.data())
def test_the_counters_are_those_of_the_tasks(story: Story, data: st.DataObject) -> None:
    """After each record, and after a strike: they are kept as records come, and must be those of the whole."""
    ledger = JobLedger(story.head)
    struck = data.draw(st.lists(st.sampled_from([actor.id for actor in story.people]), unique=True))
    for entry in data.draw(st.permutations(story.entries)):
        ledger.add(entry)
        _counters_agree(ledger)
    ledger.strike(struck)
    _counters_agree(ledger)


def _counters_agree(ledger: JobLedger) -> None:
    parts = ledger.parts
    states = [ledger.task(task).state for task in range(parts.tasks)]
    assert ledger.counting == states[: parts.frames].count(TaskFold.COUNTS)
    assert ledger.cells_counting == states[parts.frames :].count(TaskFold.COUNTS)
    assert ledger.stopped == states[: parts.frames].count(TaskFold.STOPPED)
    is_open = [
        one is TaskFold.OPEN and states[parts.frame_of(task)] is TaskFold.OPEN and not ledger.ended
        for task, one in enumerate(states)
    ]
    assert [ledger.is_open(task) for task in range(parts.tasks)] == is_open
    assert list(ledger.open_frames()) == [task for task in range(parts.frames) if is_open[task]]
    still_open = (task for task, one in enumerate(states) if one is TaskFold.OPEN)
    assert sorted(ledger.tried) == [task for task in still_open if ledger.task(task).attempt]
    for frame in range(parts.frames):
        cells = parts.cells_of(frame)
        assert ledger.open_cells(frame) == [task for task in cells if is_open[task]]
        assert states[frame] is not TaskFold.OPEN or TaskFold.STOPPED not in [states[task] for task in cells]
        for block in (None, *BLOCKS):
            tasks = parts.of(frame, block)
            assert ledger.needs(frame, block) == any(is_open[task] for task in tasks)
            counts = states[frame] is TaskFold.COUNTS
            assert ledger.lacks(frame, block) == (
                not counts and any(states[task] is not TaskFold.COUNTS for task in tasks)
            )


def test_blocks_are_the_tasks_that_the_model_says() -> None:
    cast = Cast()
    head = cast.head(cast.actor("ann"), frames=CUT_TASKS, cut=CUT)
    parts, shape = JobLedger(head).parts, model.Shape.of(head.job.body)
    assert parts.tasks == shape.tasks
    for frame, (column, row), (across, down) in product(
        range(CUT_TASKS + 1), product(range(7), range(5)), product(range(1, 9), range(1, 6))
    ):
        block = Block(column=column, row=row, columns=across, rows=down)
        assert parts.of(frame, block) == shape.tasks_of(frame, block)
    assert [parts.of(frame, None) for frame in range(CUT_TASKS + 1)] == [(0,), (1,), (2,), ()]


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
