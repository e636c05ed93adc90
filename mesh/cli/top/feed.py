"""Fetches news of the peer in threads, and goes on trying when there is none.

Theory: each stream of the local API is read by a thread of its own that blocks, as every other command does; what it
reads it tells as news. A stream that breaks is opened anew after a moment, with the peer's address and token read anew
too, since a peer that was started again has others. Only the stream of the status says that the peer is lost; jobs just
come back with it.

Invariants: `tell` is called from these threads and must only hand over; after `close` nothing is told, and no thread is
left but one that waits for a connection.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Protocol, TypeAlias

from mesh.cli import output, printable
from mesh.cli.caller import job_path
from mesh.cli.client import Answered
from mesh.cli.top.news import (
    JobChanged,
    JobRefused,
    JobTold,
    LogRefused,
    LogTold,
    News,
    PeerLost,
    StatusTold,
    StillRefused,
    StillTold,
)
from mesh.ground.errors import MeshError

AGAIN_S: Final = 1.0
"""A lost peer is asked that often: soon enough for a person, and nothing to the machine."""

END_S: Final = 2.0
"""Threads that do not end within that are left to end with the process."""


class Source(Protocol):
    """One way to a running peer, as `mesh.cli.client.Client` is."""

    def get(self, path: str) -> Any:
        """Ask for a value."""
        ...

    def stream(self, path: str) -> Iterator[tuple[str, Any]]:
        """Yield events."""
        ...

    def hang_up(self) -> None:
        """End every call under way, from any thread."""
        ...


Connect: TypeAlias = Callable[[Callable[[str], str]], Source]
"""Finds the running peer, whose texts come through the function given; raises as commands do where there is none."""

Tell: TypeAlias = Callable[[News], None]

_Read: TypeAlias = Callable[[Source], bool]
"""Reads what there is; False: there may be more, so begin again."""

_Lost: TypeAlias = Callable[[MeshError | None], bool]
"""Hears why reading ended before its time, and says whether to begin again."""


class _Reader:
    """A thread that reads until it has all, and begins again whenever the peer was lost."""

    def __init__(self, connect: Connect, read: _Read, lost: _Lost) -> None:
        self._connect = connect
        self._read = read
        self._lost = lost
        self._over = threading.Event()
        self._source: Source | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> "_Reader":
        self._thread.start()
        return self

    def end(self) -> None:
        """Begin to end."""
        self._over.set()
        if (source := self._source) is not None:
            source.hang_up()

    def wait(self) -> None:
        """Wait until it has ended, if it was ever started."""
        if self._thread.ident is not None:
            self._thread.join(END_S)

    def _run(self) -> None:
        while not self._over.is_set():
            failed: MeshError | None = None
            try:
                self._source = self._connect(printable.line)
                # Whoever ended it meanwhile saw no source, or an old one.
                if self._over.is_set() or self._read(self._source):
                    return
            except MeshError as error:
                failed = error
            if self._over.is_set() or not self._lost(failed):
                return
            self._over.wait(AGAIN_S)


class Feed:
    """All that a screen hears of one peer; its methods are called from one thread."""

    def __init__(self, connect: Connect, tell: Tell) -> None:
        self._connect = connect
        self._tell = tell
        self._jobs: dict[str, _Reader] = {}
        self._log: _Reader | None = None
        self._still: _Reader | None = None
        self._status = _Reader(connect, self._read_status, self._lost)

    def start(self) -> None:
        """Begin to hear of the status."""
        self._status.start()

    def follow(self, jobs: Sequence[str]) -> None:
        """Hear of these jobs in full, and of no others."""
        for job in [job for job in self._jobs if job not in jobs]:
            self._jobs.pop(job).end()
        for job in jobs:
            if job not in self._jobs:
                self._jobs[job] = self._follow(job)

    def ask_log(self, job: str, frame: int | None) -> None:
        """Hear once what the engine printed; what was asked before and did not come yet is given up."""
        if self._log is not None:
            self._log.end()
        path = job_path(job, "/logs") + ("" if frame is None else f"?frame={frame}")

        def read(source: Source) -> bool:
            self._tell(LogTold(job=job, frame=frame, answer=source.get(path)))
            return True

        def lost(error: MeshError | None) -> bool:
            self._tell(LogRefused(job=job, frame=frame, why=_why(error)))
            return False

        # A log keeps its line breaks, so that it is made printable as a block.
        self._log = _Reader(lambda _plain: self._connect(printable.block), read, lost).start()

    def ask_still(self, job: str, frame: int) -> None:
        """Hear once who renders which part of a frame; what was asked before and did not come yet is given up."""
        if self._still is not None:
            self._still.end()

        def read(source: Source) -> bool:
            self._tell(StillTold(job=job, answer=source.get(job_path(job, f"/buckets?frame={frame}"))))
            return True

        def lost(_error: MeshError | None) -> bool:
            self._tell(StillRefused(job=job, frame=frame))
            return False

        self._still = _Reader(self._connect, read, lost).start()

    def close(self) -> None:
        """End all threads."""
        asked = [reader for reader in (self._log, self._still) if reader is not None]
        readers = [self._status, *self._jobs.values(), *asked]
        for reader in readers:
            reader.end()
        for reader in readers:
            reader.wait()

    def _read_status(self, source: Source) -> bool:
        for name, value in source.stream("/status/watch"):
            if name == "change":
                self._tell(StatusTold(status=value))
        return False

    def _lost(self, error: MeshError | None) -> bool:
        self._tell(PeerLost(why=_why(error), at_ms=round(time.time() * 1000)))
        return True

    def _follow(self, job: str) -> _Reader:
        def read(source: Source) -> bool:
            told = False
            for name, value in source.stream(job_path(job, "/watch")):
                if name == "end":
                    return True
                if name == "change" and told:
                    self._tell(JobChanged(change=value))
                elif name == "change":
                    # The first change holds no frames. Asked now, they are no older than what the next one changes.
                    self._tell(JobTold(answer=source.get(job_path(job))))
                    told = True
            return False

        def lost(error: MeshError | None) -> bool:
            if not isinstance(error, Answered):
                return True
            self._tell(JobRefused(job=job, why=_why(error)))
            return False

        return _Reader(self._connect, read, lost).start()


def _why(error: MeshError | None) -> str:
    return output.named(error) if error is not None else "it ended"
