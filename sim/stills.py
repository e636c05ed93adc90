"""Stills: how the scenario's jobs are cut, and what a bucket of one costs.

What a pixel costs belongs to the place in the picture and to the task, so that two peers agree on where the heavy part
is; margins cost like what they lie around. All by integers, so that every machine finds the same.
"""

from functools import lru_cache

from blake3 import blake3

from mesh.core.tiling import cut, cut_to
from mesh.wire.grids import Block, Cut, Grid, Order, Region, ruler
from sim.scenario import Scenario

BUCKET_MS = 50
"""Of each bucket, whatever its size: a renderer begins, and writes a file."""

_MAP_SIDE = 8
"""A picture's heavy and light places are told by so many fields a side."""

_BYTES_PER_PIXEL = 8
_PIECE_BYTES = 1 << 20


def cut_of(scenario: Scenario) -> Cut | None:
    """Return how the last frames of the scenario's jobs are cut; None: they are rendered whole."""
    if not scenario.still_frames:
        return None
    region = Region(left=0, top=0, right=scenario.width, bottom=scenario.height)
    grid = cut_to(region, *scenario.buckets) if scenario.buckets else cut(region, scenario.margin)
    return Cut(
        width=scenario.width,
        height=scenario.height,
        across=ruler(grid.lefts),
        down=ruler(grid.tops),
        margin=scenario.margin,
        order=Order(1 + scenario.order),
        fixed=bool(scenario.buckets),
        frames=scenario.still_frames,
        whole=False,
    )


def bucket_ms(name: str, frame: int, block: Block, cut: Cut, scenario: Scenario) -> int:
    """Return how long a bucket of a job's frame takes the fastest slot that has loaded the scene."""
    grid = cut.grid
    weight = _weight(name, frame, block, cut, scenario)
    held, own = cut.held(block), grid.pixels(block)
    return BUCKET_MS + scenario.still_ms * weight * held.area // (own.area * grid.region.area * 100)


def work_ms(name: str, frame: int, cut: Cut, scenario: Scenario) -> int:
    """Return what all pixels of a job's frame cost the fastest slot, margins and the costs of each bucket aside."""
    whole = Block(column=0, row=0, columns=cut.grid.columns, rows=cut.grid.rows)
    return scenario.still_ms * _weight(name, frame, whole, cut, scenario) // (cut.grid.region.area * 100)


def _weight(name: str, frame: int, block: Block, cut: Cut, scenario: Scenario) -> int:
    """Return the pixels of a block, each by what it costs in per cent of the mean."""
    spread, heavy, weight = scenario.spread_percent, _heaviness(name, frame), 0
    for cell in cut.grid.cells(block):
        own = cell_pixels(cut.grid, cell)
        weight += own.area * (100 - spread + 2 * spread * heavy[_field(own, cut)] // 255)
    return weight


def crashing_cell(name: str, frame: int, cells: int) -> int:
    """Return which cell of a poisoned frame crashes every renderer."""
    return int.from_bytes(blake3(b"poison" + name.encode() + frame.to_bytes(4, "big")).digest(length=4), "big") % cells


def cell_pixels(grid: Grid, cell: int) -> Region:
    """Return the pixels of one cell."""
    return grid.pixels(Block(column=cell % grid.columns, row=cell // grid.columns, columns=1, rows=1))


def bucket_size(cut: Cut, block: Block) -> tuple[int, int]:
    """Return the pieces and the bytes of a bucket's file."""
    size = cut.held(block).area * _BYTES_PER_PIXEL
    return 1 + size // _PIECE_BYTES, size


@lru_cache(maxsize=64)
def _heaviness(name: str, frame: int) -> bytes:
    return blake3(name.encode() + frame.to_bytes(4, "big")).digest(length=_MAP_SIDE * _MAP_SIDE)


def _field(own: Region, cut: Cut) -> int:
    """Return the field of the map that a cell's middle lies in."""
    across = (own.left + own.right) * _MAP_SIDE // (2 * cut.width)
    down = (own.top + own.bottom) * _MAP_SIDE // (2 * cut.height)
    return down * _MAP_SIDE + across
