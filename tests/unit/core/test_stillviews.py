"""Who renders which part of a frame, as people see it: rectangles without gap or overlap, whoever made them."""

import pytest

from mesh.core.status import BucketView, StillView, TaskState
from mesh.core.stillviews import rectangles
from mesh.ground.ids import JobId
from mesh.wire.grids import Grid, Region
from mesh.wire.messages import Available, ClaimSent, Head, Running, Window
from tests.support.cast import ENGINE, Actor, Cast, block, cut_into
from tests.support.rig import Rig

GRID = Grid(lefts=(0, 10, 20, 30, 35), tops=(0, 10, 20, 25))
"""Four by three cells, narrower at the right and lower at the bottom."""


class Still:
    """A keeper of ann's job of two frames, the second of four by two cells; bob and cyd have slots."""

    def __init__(self, cast: Cast) -> None:
        self.cast = cast
        self.ann, self.bob, self.cyd = (cast.actor(name) for name in ("ann", "bob", "cyd"))
        self.rig = Rig(cast, slots=0)
        self.rig.meet(self.ann, self.bob, self.cyd)
        for peer in (self.bob, self.cyd):
            offer = Available(engines=(ENGINE,), slots=4, busy=0, cores=4, memory_mb=1, draining=False)
            self.rig.hear(peer, offer)
        self.head: Head = cast.head(self.ann, frames=2, cut=cut_into(4, 2))
        self.job: JobId = self.rig.keep(self.head, by=self.ann)

    def told(self, frame: int | None = None) -> StillView:
        view = self.rig.peer.still_view(self.rig.now, self.job, frame)
        assert view is not None
        assert covered(view) == view.region.area, "rectangles have gaps or overlap"
        return view

    def made(self, by: Actor, *cells: int, attempt: int = 1, ms: int = 1_000) -> None:
        what = self.cast.result(by, self.head, 1, attempt, block=block(*cells), render_ms=ms)
        self.rig.take(self.head, what, by=by)


@pytest.fixture
def still(cast: Cast) -> Still:
    return Still(cast)


def covered(view: StillView) -> int:
    """Return how many different pixels rectangles have, each of which must lie alone."""
    seen: set[tuple[int, int]] = set()
    for bucket in view.buckets:
        region = bucket.region
        pixels = {(x, y) for x in range(region.left, region.right) for y in range(region.top, region.bottom)}
        assert seen.isdisjoint(pixels)
        seen |= pixels
    return len(seen)


def of_state(view: StillView, state: TaskState) -> list[BucketView]:
    return [bucket for bucket in view.buckets if bucket.state is state]


def region(left: int, top: int, right: int, bottom: int) -> Region:
    return Region(left=left, top=top, right=right, bottom=bottom)


def test_a_bucket_is_one_rectangle_however_many_cells_it_has(still: Still) -> None:
    still.made(still.bob, 0, 0, 2, 2, ms=700)
    view = still.told()
    (counts,) = of_state(view, TaskState.COUNTS)
    assert (counts.region, counts.whole) == (region(0, 0, 64, 64), region(0, 0, 64, 64))
    assert (counts.holder, counts.attempt, counts.render_ms) == (still.bob.id, 1, 700)
    (left,) = of_state(view, TaskState.OPEN)
    assert (left.region, left.holder, left.render_ms) == (region(64, 0, 128, 64), None, 0)


def test_what_others_made_of_a_bucket_is_theirs(still: Still) -> None:
    still.made(still.cyd, 1, 0, ms=300)
    still.made(still.bob, 0, 0, 2, 2, attempt=2, ms=900)
    counts = of_state(still.told(), TaskState.COUNTS)
    by = {bucket.holder: [] for bucket in counts}
    for bucket in counts:
        by[bucket.holder].append(bucket.region)
        assert bucket.holder == still.cyd.id or bucket.whole == region(0, 0, 64, 64)
    assert by[still.cyd.id] == [region(32, 0, 64, 32)]
    assert by[still.bob.id] == [region(0, 0, 32, 32), region(0, 32, 64, 64)]
    shares = {share.peer: share for share in still.rig.peer.share_views(still.job)}
    assert (shares[still.bob.id].buckets, shares[still.bob.id].pixels) == (1, 3 * 32 * 32)
    assert (shares[still.cyd.id].render_ms, shares[still.bob.id].render_ms) == (300, 900)


def test_leases_are_seen_with_who_has_them(still: Still) -> None:
    still.rig.hear(still.bob, ClaimSent(claims=(still.cast.claim(still.bob, still.head, 1, block=block(2, 0, 2, 2)),)))
    (running,) = of_state(still.told(), TaskState.RUNNING)
    assert (running.region, running.holder) == (region(64, 0, 128, 64), still.bob.id)
    still.made(still.cyd, 2, 0)
    assert sum(bucket.region.area for bucket in of_state(still.told(), TaskState.RUNNING)) == 3 * 32 * 32


def test_who_assembles_is_named_now_and_later(still: Still) -> None:
    assert still.told().assembler is None
    claim = still.cast.claim(still.bob, still.head, 1, assembles=True)
    still.rig.hear(still.bob, Running(claims=(claim,)))
    view = still.told()
    assert (view.assembler, view.state, view.frame) == (still.bob.id, TaskState.RUNNING, 2)
    still.made(still.bob, 0, 0, 4, 2)
    still.rig.take(still.head, still.cast.result(still.cyd, still.head, 1, assembles=True), by=still.cyd)
    view = still.told()
    assert (view.assembler, view.state) == (still.cyd.id, TaskState.COUNTS)
    assert [bucket.holder for bucket in view.buckets] == [still.bob.id]


def test_a_frame_that_counts_has_nothing_open(still: Still) -> None:
    """Whoever keeps a job may have the frame's result before those of its buckets."""
    still.made(still.bob, 0, 0)
    still.rig.take(still.head, still.cast.result(still.cyd, still.head, 1, assembles=True), by=still.cyd)
    view = still.told()
    assert {bucket.state for bucket in view.buckets} == {TaskState.COUNTS}
    assert {bucket.holder for bucket in view.buckets} == {still.bob.id, None}


def test_a_frame_that_was_rendered_whole_has_one_maker(still: Still) -> None:
    still.made(still.bob, 0, 0)
    still.rig.take(still.head, still.cast.result(still.cyd, still.head, 1, render_ms=5_000), by=still.cyd)
    (bucket,) = still.told().buckets
    assert (bucket.holder, bucket.region, bucket.render_ms) == (still.cyd.id, region(0, 0, 128, 64), 5_000)
    assert still.told().assembler is None


@pytest.mark.parametrize("frame", [1, 3])
def test_what_is_not_cut_has_no_buckets(still: Still, frame: int) -> None:
    assert still.rig.peer.still_view(still.rig.now, still.job, frame) is None


def test_a_job_that_is_unknown_has_no_buckets(still: Still) -> None:
    unknown = JobId(bytes(32))
    assert still.rig.peer.still_view(still.rig.now, unknown, None) is None
    assert still.rig.peer.share_views(unknown) == ()


def test_without_a_number_it_is_the_frame_that_grows(cast: Cast) -> None:
    ann, bob = cast.actor("ann"), cast.actor("bob")
    rig = Rig(cast, slots=0)
    rig.meet(ann, bob)
    head = cast.head(ann, frames=2, cut=cut_into(2, 1, frames=2))
    job = rig.keep(head, by=ann)

    def frame() -> int:
        view = rig.peer.still_view(rig.now, job, None)
        assert view is not None
        return view.frame

    assert frame() == 1
    rig.take(head, cast.result(bob, head, 0, assembles=True), by=bob)
    assert frame() == 2
    rig.take(head, cast.result(bob, head, 1, assembles=True), by=bob)
    assert frame() == 2


def test_the_picture_is_counted_in_pixels(still: Still) -> None:
    def pixels() -> tuple[int, int, int]:
        view = still.rig.peer.job_view(still.rig.now, still.job)
        assert view is not None
        return view.pixels, view.pixels_counting, view.pixel_ns

    frame = 128 * 64
    assert pixels() == (2 * frame, 0, 0)
    still.made(still.bob, 0, 0, 2, 2, ms=4_096)
    assert pixels() == (2 * frame, frame // 2, 1_000_000)
    still.rig.take(still.head, still.cast.result(still.cyd, still.head, 1, assembles=True), by=still.cyd)
    assert pixels() == (2 * frame, frame, 1_000_000)
    still.rig.take(still.head, still.cast.result(still.cyd, still.head, 0), by=still.cyd)
    assert pixels()[1] == 2 * frame


def test_who_only_follows_knows_how_much_and_not_by_whom(cast: Cast) -> None:
    ann = cast.actor("ann")
    rig = Rig(cast)
    rig.meet(ann)
    job = rig.learn(cast.head(ann, frames=2, cut=cut_into(4, 2, frames=2)), ann, by=ann)
    told = Window(
        job=job,
        open=(),
        slots=5,
        unclaimed=0,
        running=1,
        counting=1,
        stopped=0,
        safe=0,
        median_ms=7,
        ended=False,
        cells_counting=12,
    )
    rig.hear(ann, told)
    view, still = rig.peer.job_view(rig.now, job), rig.peer.still_view(rig.now, job, None)
    assert view is not None
    assert still is not None
    assert (view.pixels_counting, view.pixels) == (12 * 32 * 32, 16 * 32 * 32)
    assert not still.known


@pytest.mark.parametrize(
    ("cells", "found"),
    [
        (range(12), [(0, 0, 4, 3)]),
        ([5], [(1, 1, 1, 1)]),
        ([0, 1, 4, 5, 8, 9], [(0, 0, 2, 3)]),
        ([0, 1, 4, 5, 6, 10], [(0, 0, 2, 1), (0, 1, 3, 1), (2, 2, 1, 1)]),
        ([0, 3, 4, 7], [(0, 0, 1, 2), (3, 0, 1, 2)]),
        ([0, 8], [(0, 0, 1, 1), (0, 2, 1, 1)]),
        ([], []),
    ],
)
def test_cells_are_joined_to_few_rectangles(cells: list[int], found: list[tuple[int, ...]]) -> None:
    blocks = rectangles(GRID, cells)
    assert sorted(cell for each in blocks for cell in GRID.cells(each)) == sorted(cells)
    assert sorted((each.column, each.row, each.columns, each.rows) for each in blocks) == sorted(found)
