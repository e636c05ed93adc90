"""Outputs: looked at when somebody else rendered them, written where a person wants them.

Theory: a picture from elsewhere is hostile bytes; it is decoded by the renderer's own checker, from a file that nobody
else sees. A person's directory gets each file whole, with the person's own overwriting rules.

Invariants: every effect is answered by one event. At most `AT_ONCE` of each kind are under way, so that a thousand
frames that arrive together neither fill the disk nor starve a render."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import trio

from mesh.core.effects import CheckOutput, CompareOutputs, Export
from mesh.core.events import Event, Exported, ExportFailed, OutputChecked, OutputsCompared
from mesh.ground.errors import MeshError
from mesh.ground.ids import BlobId
from mesh.node.renders import wanted_output
from mesh.ports.folders import FileInTheWay, Folders
from mesh.ports.renderer import OutputTruncated, OutputWrong, Renderer
from mesh.ports.storage import BlobStore
from mesh.ports.world import World
from mesh.wire.records import Job

AT_ONCE: Final = 4


class Noticed(Protocol):
    """Whoever watches files being written."""

    def __call__(self, effect: Export, answer: Exported | ExportFailed, *, written: bool) -> None: ...


class Outputs:
    """Performs the core's effects about finished pictures."""

    def __init__(
        self,
        *,
        nursery: trio.Nursery,
        world: World,
        store: BlobStore,
        renderer: Renderer,
        folders: Folders,
        scratch: Path,
        tell: Callable[[Event], Awaitable[None]],
        exported: Noticed,
    ) -> None:
        self._nursery = nursery
        self._world = world
        self._store = store
        self._renderer = renderer
        self._folders = folders
        self._scratch = scratch
        self._tell = tell
        self._exported = exported
        self._checks = trio.CapacityLimiter(AT_ONCE)
        self._exports = trio.CapacityLimiter(AT_ONCE)

    def check(self, effect: CheckOutput) -> None:
        """Look whether a blob is a picture as the job wants it."""
        self._nursery.start_soon(self._check, effect)

    def compare(self, effect: CompareOutputs) -> None:
        """Look whether two blobs show the same picture."""
        self._nursery.start_soon(self._compare, effect)

    def export(self, effect: Export) -> None:
        """Write a blob into a person's directory."""
        self._nursery.start_soon(self._export, effect)

    async def _check(self, effect: CheckOutput) -> None:
        job = effect.job.body
        path = self._scratch / f"check-{effect.op}.{_suffix(job)}"
        good: bool | None = True
        async with self._checks:
            try:
                await self._world.in_thread(lambda: lay_out(self._store, effect.blob, path))
                await self._renderer.check_picture(path, wanted_output(job.picture))
            except (OutputTruncated, OutputWrong):
                good = False
            except (MeshError, OSError):
                good = None
            finally:
                with suppress(OSError):
                    path.unlink()
        await self._tell(OutputChecked(op=effect.op, blob=effect.blob, good=good))

    async def _compare(self, effect: CompareOutputs) -> None:
        kind = _suffix(effect.job.body)
        paths = [self._scratch / f"compare-{effect.op}-{whose}.{kind}" for whose in ("mine", "theirs")]
        alike: bool | None = None
        async with self._checks:
            try:
                for blob, path in zip((effect.mine, effect.theirs), paths, strict=True):
                    await self._world.in_thread(partial(lay_out, self._store, blob, path))
                alike = await self._renderer.pictures_alike(*paths)
            except (MeshError, OSError):
                alike = None
            finally:
                for path in paths:
                    with suppress(OSError):
                        path.unlink()
        await self._tell(OutputsCompared(op=effect.op, alike=alike))

    async def _export(self, effect: Export) -> None:
        answer: Exported | ExportFailed = Exported(op=effect.op)
        written = False
        async with self._exports:
            try:
                written = await self._world.in_thread(lambda: self._write(effect))
            except MeshError as error:
                exists = isinstance(error, FileInTheWay)
                reason = f"{effect.name} is another file already" if exists else f"{error}"
                answer = ExportFailed(op=effect.op, reason=reason, exists=exists)
        self._exported(effect, answer, written=written)
        await self._tell(answer)

    def _write(self, effect: Export) -> bool:
        blocks = _blocks(self._store, effect.blob)
        return self._folders.write(effect.directory, effect.name, blocks, overwrite=effect.overwrite)


def _suffix(job: Job) -> str:
    """Return what ends the name of a file of a job: data from elsewhere, only its letters may be part of a path."""
    return "".join(letter for letter in job.names.suffix if letter.isascii() and letter.isalnum())


def lay_out(store: BlobStore, blob: BlobId, path: Path) -> None:
    """Write a blob to a file, so that another process can read it; runs in a thread."""
    with path.open("wb") as file:
        for block in _blocks(store, blob):
            file.write(block)


def _blocks(store: BlobStore, blob: BlobId) -> Iterator[bytes]:
    for number in range(len(store.manifest(blob).pieces)):
        yield store.read_piece(blob, number)
