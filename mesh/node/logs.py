"""Logs of renders: read from this peer's store, or fetched from the peer that wrote them.

Theory: a log is a blob that only its author keeps, so that it may be gone with its author. Whatever does not come
within a few seconds is named as gone; the rest is shown."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import trio

from mesh.core.events import BlobAsked
from mesh.core.status import JobView, StillView, TaskView
from mesh.ground.errors import MeshError
from mesh.ground.ids import BlobId, PeerId
from mesh.node.asking import Asking, Changes
from mesh.node.pages import read_blob
from mesh.node.rows import Names, peer_name, region_row, rendered
from mesh.ports.logs import LogAnswer, LogPart
from mesh.ports.storage import BlobStore
from mesh.ports.world import World
from mesh.wire.grids import Region

LOG_READ_MAX_BYTES: Final = 1024 * 1024
PARTS_MAX: Final = 64
"""Logs shown at once: the latest; one frame's are never more."""

FETCH_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    """One attempt that left a log."""

    frame: int
    number: int
    peer: PeerId
    outcome: str
    log: BlobId
    region: Region | None = None
    """A bucket's pixels; None: the whole frame."""


class Logs:
    """Reads logs."""

    def __init__(self, *, world: World, store: BlobStore, asking: Asking, changes: Changes) -> None:
        self._world = world
        self._store = store
        self._asking = asking
        self._changes = changes

    async def read(
        self,
        job: JobView,
        tasks: Sequence[TaskView],
        frame: int | None,
        names: Names,
        *,
        still: StillView | None = None,
    ) -> LogAnswer:
        """Return the logs of one frame, its buckets' before its own, or of every failed attempt and the newest frame,
        side by side fetched.
        """
        attempts = [found for task in tasks if frame in (None, task.frame) for found in _attempts(task)]
        if frame is None:
            newest = max((at for at in attempts if at.outcome == "rendered"), key=lambda at: at.frame, default=None)
            attempts = [at for at in attempts if at.outcome != "rendered" or at is newest]
        attempts = [*(_of_buckets(still) if still is not None else ()), *attempts][-PARTS_MAX:]
        texts: dict[BlobId, str | None] = dict.fromkeys(attempt.log for attempt in attempts)
        async with trio.open_nursery() as nursery:
            for attempt in attempts:
                nursery.start_soon(self._fetch, attempt, texts)
        parts: list[LogPart] = []
        gone: list[str] = []
        for attempt in attempts:
            text, name = texts[attempt.log], peer_name(names, attempt.peer)
            if text is None:
                gone.append(f"frame {attempt.frame} by {name}")
                continue
            parts.append(
                {
                    "frame": attempt.frame,
                    "attempt": attempt.number,
                    "peer": attempt.peer.hex(),
                    "peer_name": name,
                    "outcome": attempt.outcome,
                    "region": region_row(attempt.region),
                    "text": text,
                }
            )
        return {"job": job.job.hex(), "parts": parts, "gone": gone}

    async def _fetch(self, attempt: _Attempt, texts: dict[BlobId, str | None]) -> None:
        with trio.move_on_after(FETCH_S):
            if not await self._here(attempt.log):
                await self._asking.mention(lambda op: BlobAsked(op=op, blob=attempt.log, peer=attempt.peer))
            while not await self._here(attempt.log):
                await self._changes.wait()
            try:
                data = await self._world.in_thread(lambda: read_blob(self._store, attempt.log, LOG_READ_MAX_BYTES))
            except MeshError:
                return
            texts[attempt.log] = data.decode(errors="replace")

    async def _here(self, blob: BlobId) -> bool:
        return await self._world.in_thread(lambda: self._store.complete(blob))


def _of_buckets(still: StillView) -> Iterator[_Attempt]:
    """Yield each bucket once that counts and left a log, though others may count for some of its cells."""
    for log, each in {each.log: each for each in still.buckets}.items():
        if log is not None and each.holder is not None:
            yield _Attempt(
                frame=still.frame,
                number=each.attempt,
                peer=each.holder,
                outcome="rendered",
                log=log,
                region=each.whole,
            )


def _attempts(task: TaskView) -> Iterator[_Attempt]:
    for number, failure in enumerate(task.failures, start=1):
        if failure.log is not None:
            yield _Attempt(frame=task.frame, number=number, peer=failure.peer, outcome=failure.kind, log=failure.log)
    if task.log is not None and task.holder is not None and rendered(task):
        yield _Attempt(frame=task.frame, number=task.attempt, peer=task.holder, outcome="rendered", log=task.log)
