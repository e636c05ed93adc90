"""What of this host's store is bound: what somebody is owed, or what is being used.

Theory: a blob is bound while an own hold of it binds; while it is part of a scene that is held, or of a live job's that
this peer renders, keeps, or has submitted and too few others hold; while it is an own bucket of a frame that is not
safe; while it is the page of a seal; and while a machine fetches, checks, pastes, reads or delivers it. All else is
cache.

The module holds no state, only asks. It must not know how large a blob is, nor when it was used.
"""

from collections.abc import Iterable, Iterator, Mapping

from mesh.core.assembling import Assembling
from mesh.core.delivery import Delivery
from mesh.core.directory import Directory
from mesh.core.fold import result_of
from mesh.core.holds import Holding
from mesh.core.ledger import JobLedger, Ledger
from mesh.core.scenes import Scenes
from mesh.core.seals import Seals
from mesh.core.slots import Slots
from mesh.core.swarm import Swarm
from mesh.core.vouching import Vouching
from mesh.ground.ids import BlobId, JobId
from mesh.ground.instants import Now
from mesh.ground.limits import SCENE_HOLDERS
from mesh.wire.records import Result, Seal

Trees = Mapping[BlobId, tuple[BlobId, ...]]
"""What the roots of scenes name."""


class Bonds:
    """Ask all machines what they need."""

    def __init__(
        self,
        ledger: Ledger,
        directory: Directory,
        swarm: Swarm,
        scenes: Scenes,
        holding: Holding,
        *,
        slots: Slots,
        assembling: Assembling,
        vouching: Vouching,
        delivery: Delivery,
        seals: Seals,
    ) -> None:
        self._ledger = ledger
        self._directory = directory
        self._swarm = swarm
        self._scenes = scenes
        self._holding = holding
        self._slots = slots
        self._assembling = assembling
        self._vouching = vouching
        self._delivery = delivery
        self._seals = seals

    def held_scenes(self) -> dict[BlobId, None]:
        """Return the roots of scenes that this peer has promised to keep."""
        scenes = ((job, ledger.job.scene) for job, ledger in self._ledger.jobs.items())
        return dict.fromkeys(scene for job, scene in scenes if self._holding.binds(job, scene))

    def scenes(self, now: Now) -> dict[BlobId, None]:
        """Return the roots of all scenes of which every blob is bound."""
        live = (ledger.job.scene for ledger in self._ledger.jobs.values() if self._needs_scene(ledger, now))
        return self.held_scenes() | dict.fromkeys(live)

    def all(self, now: Now, trees: Trees) -> dict[BlobId, JobId | None]:
        """Return what is bound and the first job that binds it, None for what is only in use; parts by `trees`."""
        bound: dict[BlobId, JobId | None] = {}
        for job, ledger in self._ledger.jobs.items():
            for blob in self._of_job(job, ledger, now, trees):
                bound.setdefault(blob, job)
        for blob in self._in_use():
            bound.setdefault(blob, None)
        return bound

    def _of_job(self, job: JobId, ledger: JobLedger, now: Now, trees: Trees) -> Iterator[BlobId]:
        yield from self._holding.held(job)
        scene = ledger.job.scene
        if self._holding.binds(job, scene) or self._needs_scene(ledger, now):
            yield from (scene, *trees.get(scene, ()))
        if ledger.job.last_day >= now.wall:
            yield from (what.blob for entry, _ in ledger.seals.values() if isinstance(what := entry.body.what, Seal))
            yield from self._own_buckets(ledger)

    def _needs_scene(self, ledger: JobLedger, now: Now) -> bool:
        if self._scenes.needs(ledger, now):
            return True
        if ledger.ended or ledger.submitter != self._directory.me or ledger.job.last_day < now.wall:
            return False
        others = [peer for peer in self._holding.holders(ledger.id, ledger.job.scene) if peer != self._directory.me]
        return len(others) < SCENE_HOLDERS

    def _own_buckets(self, ledger: JobLedger) -> Iterable[BlobId]:
        """Yield what this peer rendered of frames that are not safe yet: nobody else may have it."""
        if ledger.parts.cut is None or ledger.ended:
            return
        for entry in ledger.entries.values():
            what = entry.body.what
            if entry.author != self._directory.me or not isinstance(what, Result) or what.block is None:
                continue
            if not self._holding.is_safe(ledger.id, what.task):
                yield from (output.blob for output in result_of(entry).outputs)

    def _in_use(self) -> Iterator[BlobId]:
        yield from self._swarm.wants
        renders = (self._slots, self._assembling, self._vouching)
        for machine in (self._scenes, self._holding, *renders, self._delivery, self._seals):
            yield from machine.in_use()
