"""Who renders which part of a frame: its cells, joined to rectangles of what one peer did. Pure functions.

Theory: people look at buckets, but what counts, counts for a cell, and where two buckets overlap each cell counts by
one of them. So a frame is shown as rectangles that do not overlap: what counts of a result, what somebody has a lease
of, what is open. A whole bucket is one of them; what is left of one of which others made a part may be several.

Invariants: each cell is in just one rectangle, so that there are at most as many as cells.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from mesh.core.dockets import Docket
from mesh.core.fold import TaskFold, result_of
from mesh.core.ledger import JobLedger
from mesh.core.status import BucketView, ShareView, TaskState
from mesh.ground.ids import PeerId
from mesh.wire.envelope import Signed
from mesh.wire.grids import Block, Grid
from mesh.wire.records import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A bucket that somebody has a lease of."""

    holder: PeerId
    block: Block
    attempt: int


def held_in(docket: Docket, frame: int) -> dict[int, Held]:
    """Return what is leased of a frame's cells, by task."""
    found: dict[int, Held] = {}
    for task, lease in docket.leases.items():
        if lease.task == frame and lease.block is not None:
            found[task] = Held(holder=lease.holder, block=lease.block, attempt=lease.attempt)
    return found


def assembler_of(ledger: JobLedger, docket: Docket | None, frame: int) -> PeerId | None:
    """Return who assembles a frame, or did."""
    standing = ledger.standing(frame)
    if standing is not None:
        return standing.author if result_of(standing).claim.body.assembles else None
    lease = docket.leases.get(frame) if docket is not None else None
    return lease.holder if lease is not None and lease.assembles else None


def buckets(ledger: JobLedger, frame: int, held: Mapping[int, Held]) -> tuple[BucketView, ...]:
    """Return what a frame that is cut is made of, from the top down and from the left."""
    parts, grid = ledger.parts, ledger.parts.grid
    joined: dict[BucketView, list[int]] = {}
    first, standing = parts.cells_of(frame).start, ledger.standing(frame)
    for task in parts.cells_of(frame):
        joined.setdefault(_cell(ledger, standing, task, held.get(task)), []).append(task - first)
    found = [
        replace(shared, region=grid.pixels(block))
        for shared, cells in joined.items()
        for block in rectangles(grid, cells)
    ]
    return tuple(sorted(found, key=lambda bucket: (bucket.region.top, bucket.region.left)))


def growing(ledger: JobLedger) -> int | None:
    """Return the first frame that is cut and not there yet, or the last of all; None where none is cut."""
    cut = range(ledger.parts.first_cut, ledger.frames)
    return next((frame for frame in cut if ledger.standing(frame) is None), cut[-1]) if cut else None


def shares(ledger: JobLedger) -> tuple[ShareView, ...]:
    """Return who rendered how much of all frames that are cut, in buckets; lowest id first."""
    took: dict[PeerId, dict[bytes, int]] = {}
    pixels: Counter[PeerId] = Counter()
    for frame in range(ledger.parts.first_cut, ledger.frames):
        for task in ledger.parts.cells_of(frame):
            entry = ledger.task(task).counting
            if entry is not None:
                took.setdefault(entry.author, {})[entry.id] = result_of(entry).render_ms
                pixels[entry.author] += ledger.parts.pixels_of(task)
    return tuple(
        ShareView(peer=peer, buckets=len(each), pixels=pixels[peer], render_ms=sum(each.values()))
        for peer, each in sorted(took.items())
    )


def _cell(ledger: JobLedger, standing: Signed[Entry] | None, task: int, held: Held | None) -> BucketView:
    """Return what a cell is part of; its region is still that of the whole bucket."""
    grid, folded = ledger.parts.grid, ledger.task(task)
    if standing is not None and not result_of(standing).claim.body.assembles:
        # Nobody looks at the cells of a frame that was rendered whole.
        return _bucket(grid, None, TaskState.COUNTS, standing)
    if folded.counting is not None:
        return _bucket(grid, result_of(folded.counting).block, TaskState.COUNTS, folded.counting)
    if standing is not None:
        return _bucket(grid, None, TaskState.COUNTS, None)
    if folded.state is TaskFold.STOPPED:
        return _bucket(grid, None, TaskState.STOPPED, None)
    if held is None:
        return _bucket(grid, None, TaskState.OPEN, None)
    whole = grid.pixels(held.block)
    return BucketView(
        region=whole,
        whole=whole,
        state=TaskState.RUNNING,
        holder=held.holder,
        attempt=held.attempt,
        render_ms=0,
    )


def _bucket(grid: Grid, block: Block | None, state: TaskState, entry: Signed[Entry] | None) -> BucketView:
    """Return a bucket by its result, if there is one; without a block it is the whole frame."""
    whole = grid.pixels(block) if block is not None else grid.region
    result = result_of(entry) if entry is not None else None
    return BucketView(
        region=whole,
        whole=whole,
        state=state,
        holder=entry.author if entry is not None else None,
        attempt=result.attempt if result is not None else 0,
        render_ms=result.render_ms if result is not None else 0,
        log=result.log if result is not None else None,
    )


def rectangles(grid: Grid, cells: Iterable[int]) -> list[Block]:
    """Return few blocks that hold just these cells, which are sorted, each once."""
    done: list[Block] = []
    above: dict[tuple[int, int], Block] = {}
    """The blocks that end in the row before, by their columns."""
    for row, runs in _runs(grid, cells).items():
        now: dict[tuple[int, int], Block] = {}
        for column, columns in runs:
            before = above.pop((column, columns), None)
            if before is not None and before.row + before.rows == row:
                now[column, columns] = Block(column=column, row=before.row, columns=columns, rows=before.rows + 1)
            else:
                done += [before] if before is not None else []
                now[column, columns] = Block(column=column, row=row, columns=columns, rows=1)
        done += above.values()
        above = now
    return [*done, *above.values()]


def _runs(grid: Grid, cells: Iterable[int]) -> dict[int, list[tuple[int, int]]]:
    """Return by row which cells stand beside each other: the first column, and how many."""
    found: dict[int, list[tuple[int, int]]] = {}
    for cell in cells:
        row, column = divmod(cell, grid.columns)
        runs = found.setdefault(row, [])
        if runs and sum(runs[-1]) == column:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((column, 1))
    return found
