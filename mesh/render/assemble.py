"""Assemble a frame from its buckets: one EXR with all channels and headers, as if one host had rendered it.

Theory: what decodes buckets meets bytes of other hosts, so it runs in a process of its own (`pasting`) that ends with
the picture. It keeps the whole frame in memory and is told of each bucket as it comes, so that little is left to do
when the last one is there.

Invariants: a bucket that is not what it should be changes nothing and is named; the picture goes on without it. Must
not know engines, jobs or claims.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from mesh.ports.renderer import OutputTruncated, OutputUnwritable, OutputWrong, RendererCrashed
from mesh.render import process
from mesh.render.channel import ChannelEnded, Message
from mesh.wire.grids import Region, SampleRange

MEMORY_BYTES = 1 << 30
"""What the process needs beside the picture: a bucket, its decoder, Python."""

MEMORY_BYTES_PER_PIXEL = 1024
"""64 channels: sums of twice a float's size, a bucket as large as the picture, and what the writer makes of them."""

_PATIENCE_S = 300.0
"""Writing a 4K picture of 47 channels takes 17 s on one core; a busy machine may be ten times slower."""

_PASTING = Path(__file__).with_name("pasting.py")


class Assembly:
    """One frame that grows bucket by bucket; made by `assembly`."""

    def __init__(self, child: process.Child) -> None:
        self._child = child
        self._turn = trio.Lock()

    async def begin(self, width: int, height: int, region: Region) -> None:
        """Begin a frame of this size of which `region` is rendered."""
        await self._ask("a frame", do="begin", width=width, height=height, region=_box(region))

    async def paste(self, bucket: Path, *, held: Region, taken: Region) -> None:
        """Take the pixels of `taken` from a file that holds those of `held`, in pixels of the frame.

        Raises OutputTruncated, OutputWrong, and RendererCrashed where the process dies on it, or is too slow.
        """
        assert held.left <= taken.left < taken.right <= held.right, f"{taken} is no part of {held}"
        assert held.top <= taken.top < taken.bottom <= held.bottom, f"{taken} is no part of {held}"
        await self._ask(bucket.name, do="paste", path=str(bucket), held=_box(held), taken=_box(taken))

    async def add(self, bucket: Path, samples: SampleRange) -> None:
        """Take a file that holds these samples of each pixel of the region; see the port for what it raises."""
        await self._ask(
            bucket.name, do="add", path=str(bucket), first=samples.first, count=samples.count, of=samples.of
        )

    async def preview(self, picture: Path) -> None:
        """Write what is there as a small PNG for eyes alone. Raises OutputUnwritable, OutputWrong, RendererCrashed."""
        await self._ask(picture.name, do="preview", path=str(picture))

    async def write(self, picture: Path) -> None:
        """Write the whole. Raises OutputUnwritable, OutputWrong where nothing was pasted."""
        await self._ask(picture.name, do="write", path=str(picture))

    async def _ask(self, name: str, **request: object) -> None:
        async with self._turn:
            answer = await self._answer(name, request)
        text = f"{name}: {answer.get('text')}"
        match answer.get("is"):
            case "begun" | "pasted" | "added" | "previewed" | "written":
                return
            case "truncated":
                raise OutputTruncated(text)
            case "unwritable":
                raise OutputUnwritable(text)
            case "unlike":
                wrong = OutputWrong(text)
                wrong.unlike_others = True
                raise wrong
            case _:
                raise OutputWrong(text)

    async def _answer(self, name: str, request: dict[str, object]) -> Message:
        answered = False
        try:
            with trio.move_on_after(_PATIENCE_S):
                await self._child.channel.send(**request)
                answer = await self._child.channel.receive()
                answered = True
                return answer
        except ChannelEnded as error:
            raise RendererCrashed(f"{name}: the process that pastes buckets died on it") from error
        finally:
            if not answered:
                self._child.kill()
        raise RendererCrashed(f"{name}: the process that pastes buckets took too long")


@asynccontextmanager
async def assembly(width: int, height: int, region: Region) -> AsyncIterator[Assembly]:
    """Yield a frame of this size of which `region` is rendered, to be filled; its process ends with the block."""
    child = process.start([sys.executable, "-I", str(_PASTING), "--"])
    child.limit_memory(MEMORY_BYTES + region.area * MEMORY_BYTES_PER_PIXEL)
    try:
        made = Assembly(child)
        await made.begin(width, height, region)
        yield made
    finally:
        with trio.CancelScope(shield=True):
            await child.aclose()


def _box(region: Region) -> list[int]:
    return [region.left, region.top, region.right, region.bottom]
