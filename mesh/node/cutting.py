"""How a person's wishes about buckets become the cut of a job's frames.

Shares of samples are whole pictures: what they cost besides their samples is paid once for each. So a person says how
many there are, and nothing chooses it.

Invariants: what the engine cannot cut is refused by its own reasons; nothing is cut that nobody asked for.
"""

import re
from typing import Final

from mesh.core import tiling
from mesh.ground.errors import UsageError
from mesh.ground.limits import SAMPLE_SHARES_MAX, SPLIT_FRAMES
from mesh.node.rows import refusal_row
from mesh.ports.desk import RefusalRow, Refused
from mesh.ports.renderer import Cutting, Inspection, Refusal
from mesh.ports.submission import SubmitRequest
from mesh.wire.grids import Block, Cut, Grid, Order, counting, ruler
from mesh.wire.tasks import MAX_TASKS

_SIZE: Final = re.compile(r"(\d{1,6})x(\d{1,6})")
_STRIPS: Final = re.compile(r"strips:(\d{1,6})")
_AUTO: Final = "auto"
_BUCKETS_TAKES: Final = "it takes auto, a size such as 128x128, or strips:8"

_ORDERS: Final = {
    Order.CENTRE: "from the centre",
    Order.SPIRAL: "in a spiral from the centre",
    Order.ROWS: "row by row",
}


def cut_of(request: SubmitRequest, inspection: Inspection, frames: int) -> Cut | None:
    """Return how the frames of a job are cut, None where they are rendered whole. Raises `UsageError`, `Refused`.

    Of an animation the last frames are cut, as far as its tasks allow, in case that there are more slots than frames.
    """
    if request["samples_split"]:
        return _shared(request, inspection.cutting, frames)
    order, cutting, still = _order(request["order"]), inspection.cutting, request["still"]
    grid = _grid(request["buckets"], cutting)
    if still and cutting.obstacles:
        raise Refused([*map(refusal_row, cutting.obstacles), _whole(inspection)])
    if not still:
        frames = min(frames, SPLIT_FRAMES, (MAX_TASKS - frames) // len(grid))
        if cutting.obstacles or not request["split"] or not frames:
            return None
    _refuse_too_many(frames, len(grid))
    return Cut(
        width=cutting.width,
        height=cutting.height,
        across=ruler(grid.lefts),
        down=ruler(grid.tops),
        margin=cutting.margin,
        order=order,
        fixed=request["buckets"] != _AUTO,
        frames=frames,
        whole=not still,
    )


def _whole(inspection: Inspection) -> RefusalRow:
    """Return what can be done about all obstacles at once."""
    return {
        "code": "whole-frames-only",
        "subject": str(inspection.scene),
        "text": "so its frames can only be rendered whole, each by one peer",
        "remedy": "leave out --still",
    }


def _shared(request: SubmitRequest, cutting: Cutting, frames: int) -> Cut:
    """Return the cut of a still into shares of its samples. Raises `UsageError`, `Refused`."""
    shares = request["samples_split"]
    if not request["still"] or request["buckets"] != _AUTO:
        raise UsageError("--samples-split is about a still, and instead of its buckets")
    if not 2 <= shares <= SAMPLE_SHARES_MAX:
        raise UsageError(f"--samples-split {shares}: it takes 2 to {SAMPLE_SHARES_MAX}")
    if obstacles := [*cutting.sample_obstacles, *_too_few(cutting, shares)]:
        raise Refused([refusal_row(obstacle) for obstacle in obstacles])
    _refuse_too_many(frames, shares)
    return Cut(
        width=cutting.width,
        height=cutting.height,
        across=counting(shares),
        down=counting(1),
        margin=0,
        order=Order.ROWS,
        fixed=True,
        frames=frames,
        whole=False,
        samples=cutting.samples,
        part=cutting.region,
    )


def _refuse_too_many(frames: int, cells: int) -> None:
    """Raise `UsageError` where a job would have more tasks than there can be: its frames, and the cells of each."""
    most = MAX_TASKS // (1 + cells)
    if frames > most:
        raise UsageError(
            f"{frames} frames of {cells} parts each are too many for one job: submit at most {most} frames at a time"
        )


def _too_few(cutting: Cutting, shares: int) -> list[Refusal]:
    if cutting.sample_obstacles or shares <= cutting.samples:
        return []
    text = f"each pixel gets {cutting.samples} samples, which cannot be {shares} shares"
    return [Refusal(code="samples-few", subject="Samples", text=text, remedy="ask for fewer shares")]


def _order(name: str) -> Order:
    try:
        return Order[name.upper()]
    except KeyError:
        known = ", ".join(order.name.lower() for order in Order)
        raise UsageError(f"--order {name}: there is no such order; there are {known}") from None


def _grid(wanted: str, cutting: Cutting) -> Grid:
    try:
        if wanted == _AUTO:
            return tiling.cut(cutting.region, cutting.margin)
        if size := _SIZE.fullmatch(wanted):
            return tiling.cut_to(cutting.region, int(size[1]), int(size[2]))
        if strips := _STRIPS.fullmatch(wanted):
            return tiling.strips(cutting.region, int(strips[1]))
    except ValueError as error:
        raise UsageError(f"--buckets {wanted}: {error}; {_BUCKETS_TAKES}") from error
    raise UsageError(f"--buckets {wanted}: {_BUCKETS_TAKES}")


def cut_text(cut: Cut | None) -> str:
    """Say in words how frames are cut; nothing where they are rendered whole as long as they can be."""
    if cut is None or cut.whole:
        return ""
    grid = cut.grid
    if cut.samples:
        least, most = cut.samples // len(grid), -(-cut.samples // len(grid))
        sizes = f"{least} or {most}" if least < most else f"{least}"
        return f"{len(grid)} shares of {sizes} samples, of {cut.samples}, each of the whole picture"
    first = grid.pixels(Block(column=0, row=0, columns=1, rows=1))
    sizes = f"{len(grid)} of {first.width}x{first.height} pixels" if cut.fixed else "as large as suits"
    margin = f", {cut.margin} pixels around each" if cut.margin else ""
    return f"{sizes}, {_ORDERS[Order(cut.order)]}{margin}"
