"""The store as its owner sees it: how full, for whom, what rotted; and room made when somebody asks for it.

Theory: what is bound, and to which job, only the core knows; what rotted and what was checked, only the store. Here the
two are laid side by side. A scene that is submitted asks for room before it is stored, so that cache makes way.

Invariants: nothing is deleted here; the core decides what goes. The module must not know how programs reach it.
"""

from collections.abc import Callable

from mesh.core.status import BoundView, JobView, MeshView
from mesh.ground.errors import UsageError
from mesh.ground.ids import JobId
from mesh.ground.store_limits import SCRUB_ROUND_MS
from mesh.node.asking import Asking
from mesh.node.rows import store_row
from mesh.ports.storage import BlobInfo, BlobStore, DiskFull, Usage
from mesh.ports.stores import BoundRow, CheckedRow, FreeAnswer, RotRow, StoreAnswer
from mesh.ports.world import World


class Larder:
    """Answers for the desk."""

    def __init__(self, *, world: World, store: BlobStore, asking: Asking) -> None:
        self._world = world
        self._store = store
        self._asking = asking

    async def usage(self) -> Usage:
        """Return how full the store is."""
        return await self._world.in_thread(self._store.usage)

    async def answer(self, look: Callable[[], MeshView]) -> StoreAnswer:
        """Tell what is here, and for whom."""
        told = await self._asking.store()
        usage, infos, rotten = await self._world.in_thread(
            lambda: (self._store.usage(), self._store.blobs(), self._store.rotten())
        )
        view = look()
        jobs = {job.job: job for job in view.jobs}
        return {
            "blobs": usage.blobs,
            "stored_bytes": usage.stored,
            "free_bytes": usage.free,
            "store": store_row(view, usage.quota),
            "bound": [_bound_row(each, jobs) for each in sorted(told.bound, key=lambda each: -each.size)],
            "cache_blobs": told.cache_blobs,
            "cache_bytes": told.cache,
            "rotten": [RotRow(blob=rot.blob.hex(), piece=rot.piece, found_at_ms=rot.found_ms) for rot in rotten],
            "checked": _checked_row(infos, view.wall),
        }

    async def free(self, size: int) -> FreeAnswer:
        """Have so many bytes of cache deleted. Raises `UsageError` for less than one."""
        if size < 1:
            raise UsageError(f"{size} bytes cannot be freed")
        freed = await self._asking.free(size)
        usage = await self.usage()
        return {
            "blobs": freed.blobs,
            "freed_bytes": freed.size,
            "stored_bytes": usage.stored,
            "free_bytes": usage.free,
        }

    async def make_room(self, size: int) -> None:
        """Let cache make way for so many bytes. Raises `DiskFull` where the whole store could not hold them.

        How much of it is here already shows only while it is stored: before, it is not refused for want of room.
        """
        usage = await self.usage()
        if size > usage.stored + usage.free:
            quota = f", {usage.quota} by its quota" if usage.quota else ""
            raise DiskFull(f"{size} bytes are needed, and the store may take {usage.free} more{quota}")
        if size > usage.free:
            await self._asking.free(size - usage.free)


def _bound_row(each: BoundView, jobs: dict[JobId, JobView]) -> BoundRow:
    job = jobs.get(each.job) if each.job is not None else None
    return {
        "job": each.job.hex() if each.job is not None else "",
        "job_name": job.record.name if job is not None else "",
        "state": job.state.value if job is not None else "",
        "until_at_ms": job.record.last_day if job is not None else None,
        "blobs": each.blobs,
        "bytes": each.size,
    }


def _checked_row(infos: list[BlobInfo], now_ms: int) -> CheckedRow:
    times = [info.checked_ms for info in infos if info.stored]
    return {
        "last_at_ms": max(times, default=0) or None,
        "oldest_at_ms": min((time_ms for time_ms in times if time_ms), default=None),
        "due_blobs": sum(not 0 <= now_ms - time_ms < SCRUB_ROUND_MS for time_ms in times),
    }
