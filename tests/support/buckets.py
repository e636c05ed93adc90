"""Frames in buckets for tests with a real engine: cut, rendered, pasted, and compared channel by channel."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import numpy as np
import OpenImageIO

from mesh.ports.renderer import Cutting, RenderTask, Stage
from mesh.render import assemble
from mesh.wire.grids import Region, SampleRange
from tests.support import scenes
from tools.buckets import widened

BUCKET = 27
"""Pixels; no divisor of any size in the tests, so that the last row and column are narrow."""

Channel: TypeAlias = "np.ndarray[tuple[int, ...], np.dtype[np.float32]]"
Channels = dict[str, Channel]


def cells(region: Region, size: int = BUCKET) -> Iterator[Region]:
    """Yield the buckets of a region, along the rows."""
    for top in range(region.top, region.bottom, size):
        for left in range(region.left, region.right, size):
            right, bottom = min(left + size, region.right), min(top + size, region.bottom)
            yield Region(left=left, top=top, right=right, bottom=bottom)


async def pasted(
    stages: list[Stage], cutting: Cutting, frame: int, directory: Path, *, margin: int | None = None
) -> Path:
    """Render a frame in buckets, by one stage after the other, and paste them into one file."""
    margin = cutting.margin if margin is None else margin
    out, whole = directory / "buckets", directory / "pasted.exr"
    async with assemble.assembly(cutting.width, cutting.height, cutting.region) as growing:
        for index, cell in enumerate(cells(cutting.region)):
            held = widened(cell, margin, cutting.region)
            task = RenderTask(frame=frame, directory=out, region=held)
            done = await stages[index % len(stages)].render(task, scenes.ignore)
            await growing.paste(done.files[0], held=held, taken=cell)
        await growing.write(whole)
    return whole


async def added(stages: list[Stage], cutting: Cutting, frame: int, edges: list[int], directory: Path) -> Path:
    """Render a frame in ranges of samples, the last one first, by one stage after the other, and add them up."""
    out, whole = directory / "ranges", directory / "added.exr"
    async with assemble.assembly(cutting.width, cutting.height, cutting.region) as growing:
        for index, (first, after) in reversed(list(enumerate(pairwise(edges)))):
            samples = SampleRange(first=first, count=after - first, of=edges[-1])
            task = RenderTask(frame=frame, directory=out, samples=samples)
            done = await stages[index % len(stages)].render(task, scenes.ignore)
            await growing.add(done.files[0], samples)
        await growing.write(whole)
    return whole


def channels(picture: Path) -> Channels:
    """Give a picture's channels by name, each in floats."""
    opened = OpenImageIO.ImageInput.open(str(picture))
    assert opened is not None, OpenImageIO.geterror()
    spec = opened.spec()
    pixels = opened.read_image(0, 0, 0, spec.nchannels, "float")
    opened.close()
    return {name: np.ascontiguousarray(pixels[..., place]) for place, name in enumerate(spec.channelnames)}


def layout(picture: Path) -> tuple[tuple[int, int], list[tuple[str, str]], dict[str, object]]:
    """Give a picture's size, its channels' names and kinds in their order, and its headers."""
    opened = OpenImageIO.ImageInput.open(str(picture))
    assert opened is not None, OpenImageIO.geterror()
    spec = opened.spec()
    opened.close()
    kinds = [str(kind) for kind in spec.channelformats] or [str(spec.format)] * spec.nchannels
    headers = {each.name: each.value for each in spec.extra_attribs}
    return (spec.width, spec.height), list(zip(spec.channelnames, kinds, strict=True)), headers


def changed(left: Channels, right: Channels) -> dict[str, int]:
    """Give how many pixels differ in any bit, for each channel that both pictures have, if any do."""
    shared = left.keys() & right.keys()
    counts = {name: int((left[name].view(np.uint32) != right[name].view(np.uint32)).sum()) for name in sorted(shared)}
    return {name: count for name, count in counts.items() if count}


def rmse(left: Channel, right: Channel) -> float:
    """Give how far two channels lie from each other."""
    return float(np.sqrt(np.mean((left.astype(np.float64) - right) ** 2)))
