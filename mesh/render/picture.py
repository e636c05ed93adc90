"""Check finished pictures: decode, size, channels, values that are no numbers.

Theory: an exit code proves nothing, a picture does. The decoder meets bytes that a hostile scene may have shaped, so it
runs in a process of its own (`looking`), with a memory ceiling, that is killed when it is slow and started again when
it died. A constant picture may be what the artist wants: that is only reported.
"""

import sys
from contextlib import suppress
from pathlib import Path

import trio

from mesh.ports.renderer import Output, OutputTruncated, OutputWrong, PictureReport
from mesh.render import process
from mesh.render.channel import ChannelEnded, Message, listed

MEMORY_BYTES = 2 << 30
"""A strip of 64 rows of a 16K picture with 50 float channels takes 0.2 GB; decoders hold a few of them."""

_PATIENCE_S = 120.0
"""A 1080p EXR of 47 channels takes 2 s; a busy machine may be ten times slower."""

_LOOKING = Path(__file__).with_name("looking.py")


class PictureChecker:
    """Hold the one process that looks at pictures; requests wait for each other."""

    def __init__(self) -> None:
        self._child: process.Child | None = None
        self._turn = trio.Lock()

    async def check(self, picture: Path, output: Output) -> PictureReport:
        """Look at a picture. Raises OutputTruncated, OutputWrong."""
        async with self._turn:
            answer = await self._ask(picture, output)
        match answer.get("is"):
            case "truncated":
                raise OutputTruncated(f"{picture.name}: {answer.get('text')}")
            case "wrong":
                raise OutputWrong(f"{picture.name}: {answer.get('text')}")
            case "good":
                channels = tuple(str(name) for name in listed(answer, "channels"))
                return _report(output, channels, constant=bool(answer.get("constant")))
            case "unknown":
                # No reader here knows the format: that it is there and not empty is all that can be said.
                return _report(output, (), constant=False)
            case _:
                raise OutputWrong(f"{picture.name}: the decoder says nothing that is known of it")

    async def alike(self, mine: Path, theirs: Path) -> bool:
        """Tell whether two pictures of one frame are alike. Raises OutputTruncated where `mine` cannot be read."""
        async with self._turn:
            answer = await self._exchange(theirs, path=str(mine), other=str(theirs))
        match answer.get("is"):
            case "alike":
                return True
            case "unlike":
                return False
            case _:
                raise OutputTruncated(f"{mine.name}: {answer.get('text')}")

    async def aclose(self) -> None:
        """End the process."""
        child, self._child = self._child, None
        if child is not None:
            await child.aclose()

    async def _ask(self, picture: Path, output: Output) -> Message:
        return await self._exchange(
            picture,
            path=str(picture),
            width=output.width,
            height=output.height,
            mode=output.color_mode,
            form=output.format,
            depth=output.depth,
        )

    async def _exchange(self, picture: Path, **request: str | int) -> Message:
        if self._child is None:
            self._child = process.start([sys.executable, "-I", str(_LOOKING), "--"])
            self._child.limit_memory(MEMORY_BYTES)
        child = self._child
        answered = False
        try:
            with suppress(ChannelEnded), trio.move_on_after(_PATIENCE_S):
                await child.channel.send(**request)
                answer = await child.channel.receive()
                answered = True
                return answer
        finally:
            if not answered:
                # Cancelled, slow or dead: its next answer would be taken for another picture's.
                child.kill()
                await self.aclose()
        raise OutputTruncated(f"{picture.name}: the decoder died on it or took too long")


def _report(output: Output, channels: tuple[str, ...], *, constant: bool) -> PictureReport:
    return PictureReport(width=output.width, height=output.height, channels=channels, constant=constant)
