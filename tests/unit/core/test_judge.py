"""Which records and pages act: authors that may, and blocks that there are."""

from dataclasses import replace

import pytest

from mesh.core.judge import acts, valid_page
from mesh.core.ledger import JobLedger
from mesh.ground.ids import RecordId
from mesh.wire.envelope import Signed
from mesh.wire.grids import Block
from mesh.wire.members import Role
from mesh.wire.messages import Head
from mesh.wire.records import Entry, Lost, Result, Seal, SealedTask, SealPage
from tests.support.cast import Actor, Cast, blob, block, cut_into
from tests.support.rig import Rig

THERE = [(0, None), (1, None), (1, block(0, 0)), (1, block(2, 0, 2, 2)), (1, block(0, 0, 4, 2))]
NOT_THERE = [
    (2, None),
    (0, block(0, 0)),
    (2, block(0, 0)),
    (99_999, block(0, 0)),
    (1, block(4, 0)),
    (1, block(0, 2)),
    (1, block(1, 0, 2, 1)),
    (1, block(0, 0, 8, 2)),
    (1, block(4_095, 4_095, 4_096, 4_096)),
]
"""Frames, or blocks of their cells: the second of two frames is cut into four by two."""


class Bar:
    """A job of ann's, and who has a say in it."""

    def __init__(self, cast: Cast) -> None:
        self.cast = cast
        self.rig = Rig(cast, slots=0)
        self.ann, self.bob = cast.actor("ann"), cast.actor("bob")
        self.guest = cast.actor("guest", Role.SUBMIT)
        self.rig.meet(self.ann, self.bob, self.guest)
        self.head: Head = cast.head(self.ann, frames=2, cut=cut_into(4, 2))
        self.rig.learn(self.head, by=self.ann)

    @property
    def ledger(self) -> JobLedger:
        return self.rig.peer.ledger.jobs[self.head.job.id]  # type: ignore[index]

    def acts(self, entry: Signed[Entry]) -> bool:
        return acts(entry, self.ledger, self.rig.peer.members)

    def sealed(self, author: Actor, *results: Signed[Entry]) -> bool:
        """Whether a seal by `author` that names these would be one."""
        tasks = []
        for result in results:
            assert isinstance(result.body.what, Result)
            output = result.body.what.outputs[0].blob
            holds = tuple(self.cast.hold(holder, self.head, output) for holder in (self.ann, self.bob))
            tasks.append(SealedTask(result=result, holds=holds))
        page = SealPage(job=self.ledger.id, tasks=tuple(tasks), chains=())
        seal = self.cast.entry(author, self.head, Seal(blob=blob("page")))
        return valid_page(seal, page, self.ledger, self.rig.peer.members)


@pytest.fixture
def bar(cast: Cast) -> Bar:
    return Bar(cast)


@pytest.mark.parametrize(
    ("frame", "found", "there"), [(*each, True) for each in THERE] + [(*each, False) for each in NOT_THERE]
)
def test_a_record_acts_of_a_frame_and_of_a_block_that_there_is(
    bar: Bar, frame: int, found: Block | None, there: bool
) -> None:
    assert bar.acts(bar.cast.result(bar.bob, bar.head, frame, block=found)) == there
    assert bar.acts(bar.cast.failed(bar.bob, bar.head, frame, block=found)) == there
    lost = Lost(task=frame, result=RecordId(bytes(32)), block=found)
    assert bar.acts(bar.cast.entry(bar.bob, bar.head, lost)) == there


def test_who_may_not_render_has_no_buckets(bar: Bar) -> None:
    stranger = Cast("another").actor("stranger")
    for author in (bar.guest, stranger):
        assert not bar.acts(bar.cast.result(author, bar.head, 1, block=block(0, 0)))
        assert not bar.acts(bar.cast.failed(author, bar.head, 1, block=block(0, 0)))


def test_a_bucket_is_one_file_under_its_authors_own_claim(bar: Bar) -> None:
    found = bar.cast.result(bar.bob, bar.head, 1, block=block(0, 0)).body.what
    assert isinstance(found, Result)
    for many in ((), found.outputs * 2):
        assert not bar.acts(bar.cast.entry(bar.bob, bar.head, replace(found, outputs=many)))
    assert not bar.acts(bar.cast.entry(bar.ann, bar.head, found))


def test_a_page_with_a_bucket_in_a_frames_place_is_none(bar: Bar) -> None:
    whole, frame = (bar.cast.result(bar.bob, bar.head, task) for task in range(2))
    assembled = bar.cast.result(bar.bob, bar.head, 1, assembles=True)
    for author in (bar.ann, bar.bob):
        assert bar.sealed(author, whole, frame)
        assert bar.sealed(author, whole, assembled)
        for found in (block(0, 0), block(0, 0, 4, 2)):
            assert not bar.sealed(author, whole, bar.cast.result(bar.bob, bar.head, 1, block=found))
        assert not bar.sealed(author, whole)


def test_a_keepers_page_counts_no_hold_that_another_of_its_holds_replaced(bar: Bar) -> None:
    frames = [bar.cast.result(bar.bob, bar.head, task) for task in range(2)]

    def page(*, replaced: bool) -> SealPage:
        tasks = []
        for result in frames:
            assert isinstance(result.body.what, Result)
            first = bar.cast.hold(bar.ann, bar.head, result.body.what.outputs[0].blob)
            listed = (first.id,) if replaced else ()
            other = bar.cast.hold(bar.bob, bar.head, first.body.blob, replaces=listed)
            tasks.append(SealedTask(result=result, holds=(first, other)))
        return SealPage(job=bar.ledger.id, tasks=tuple(tasks), chains=())

    seal = bar.cast.entry(bar.bob, bar.head, Seal(blob=blob("page")))
    members = bar.rig.peer.members
    assert valid_page(seal, page(replaced=False), bar.ledger, members)
    assert not valid_page(seal, page(replaced=True), bar.ledger, members)


def test_a_page_names_no_cells_beside_the_frames(bar: Bar) -> None:
    frames = [bar.cast.result(bar.bob, bar.head, task) for task in range(2)]
    cells = [bar.cast.result(bar.bob, bar.head, 1, block=block(n % 4, n // 4)) for n in range(8)]
    assert not bar.sealed(bar.ann, *frames, *cells)
