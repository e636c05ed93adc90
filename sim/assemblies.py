"""Frames that one host makes of buckets: what was pasted into each, and the picture that comes of it.

Buckets are pasted one after the other, as by one process. That the core asks for nothing it must not is checked here:
a bucket lies on the disk and is one of that frame's, and nothing is finished of which a cell was never pasted.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blake3 import blake3

from mesh.core.effects import EndAssembly, FinishAssembly, PasteBucket, StartAssembly
from mesh.core.events import BucketPasted, FrameWritten, Rendered, RenderFailed, RenderProgressed
from mesh.ground.ids import BlobId, JobId
from mesh.wire.records import FailureKind, Output
from sim.delays import Delays
from sim.disk import BlobFacts, NoRoom
from sim.render import PICTURE_BYTES, PICTURE_CHECK_MS, PICTURE_PIECES
from sim.violation import Violation

if TYPE_CHECKING:
    from sim.host import Host
    from sim.world import World

_CONTEXT = "meshnode sim assembled picture"


@dataclass(slots=True, kw_only=True)
class Growing:
    """One frame that is made of buckets."""

    effect: StartAssembly
    started_ms: int
    free_ms: int
    """When the next bucket can be pasted."""
    cells: dict[int, BlobId] = field(default_factory=dict)
    """Which bucket each cell was taken from."""
    finishing: bool = False

    @property
    def job(self) -> JobId:
        """The job of the frame."""
        return JobId(self.effect.job.id)


class Assemblies:
    """All frames that one host assembles."""

    def __init__(self, world: "World", host: "Host") -> None:
        self._world = world
        self._host = host
        self.growing: dict[int, Growing] = {}
        self._later = Delays(world, host, self.growing).later

    def start(self, effect: StartAssembly) -> None:
        """Begin a frame."""
        self._world.safety.assembly_starts(self._host, effect)
        self._world.economy.assembly_started(self._host, effect)
        now_ms = self._world.now_ms
        self.growing[effect.op] = Growing(effect=effect, started_ms=now_ms, free_ms=now_ms)

    def paste(self, effect: PasteBucket) -> None:
        """Paste a bucket once those before it are."""
        growing = self._of(effect.op, "pastes into")
        if growing.finishing:
            raise Violation("assembly", f"{self._host.name} pastes into a frame that is finished", growing.job)
        self._world.safety.pastes(self._host, growing.effect, effect)
        growing.free_ms = max(growing.free_ms, self._world.now_ms) + self._world.scenario.paste_ms
        self._later(growing.free_ms - self._world.now_ms, effect.op, self._pasted, effect)

    def _pasted(self, op: int, effect: PasteBucket) -> None:
        growing = self.growing[op]
        problem = "" if self._host.shelf.read(effect.blob) else "it is rotten"
        if not problem:
            cut = growing.effect.job.body.cut
            assert cut is not None, "a frame that is not cut is assembled"
            for cell in cut.grid.cells(effect.block):
                self._world.economy.pasted(again=cell in growing.cells)
                growing.cells[cell] = effect.blob
        self._host.receive(BucketPasted(op=op, blob=effect.blob, problem=problem))

    def finish(self, effect: FinishAssembly) -> None:
        """Make the frame's file."""
        growing = self._of(effect.op, "finishes")
        cut = growing.effect.job.body.cut
        assert cut is not None, "a frame that is not cut is assembled"
        if growing.finishing or len(growing.cells) != len(cut.grid):
            text = f"{self._host.name} finishes task {growing.effect.task} of {len(growing.cells)} pasted cells"
            raise Violation("assembly", f"{text}, {len(cut.grid)} there are", growing.job)
        growing.finishing = True
        finish_ms = self._world.scenario.finish_ms
        self._later(finish_ms // 2, effect.op, self._progress, None)
        self._later(finish_ms, effect.op, self._write, None)

    def _progress(self, op: int, _: None) -> None:
        self._host.receive(RenderProgressed(op=op, progress=1))

    def _write(self, op: int, _: None) -> None:
        if self._host.disk.full:
            del self.growing[op]
            self._tell_full(op)
            return
        self._later(PICTURE_CHECK_MS, op, self._rendered, None)
        growing = self.growing[op]
        self._host.receive(FrameWritten(op=op, render_ms=self._world.now_ms - growing.started_ms))

    def _tell_full(self, op: int) -> None:
        reason = "simulated full disk"
        self._host.receive(RenderFailed(op=op, kind=FailureKind.DISK_FULL, reason=reason, log=None))

    def _rendered(self, op: int, _: None) -> None:
        growing = self.growing.pop(op)
        wrong = any(self._world.blobs[blob].wrong for blob in growing.cells.values())
        facts = BlobFacts(
            blob=self._picture(growing), pieces=PICTURE_PIECES, size=PICTURE_BYTES, picture=True, wrong=wrong
        )
        self._world.blobs[facts.blob] = facts
        try:
            self._host.disk.ingest(facts)
        except NoRoom:
            self._tell_full(op)
            return
        self._world.economy.assembled_frame(self._host, growing)
        self._world.safety.rendered(facts.blob, growing.job, growing.effect.task)
        self._host.receive(Rendered(op=op, outputs=(Output(blob=facts.blob, size=facts.size),), log=None))

    def _picture(self, growing: Growing) -> BlobId:
        """Name the picture by what it was made of: the same buckets give the same bytes."""
        named = growing.job + growing.effect.task.to_bytes(4, "big")
        made_of = b"".join(blob for _, blob in sorted(growing.cells.items()))
        return BlobId(blake3(named + made_of, derive_key_context=_CONTEXT).digest())

    def end(self, effect: EndAssembly) -> None:
        """Give a frame up; nothing of it is heard any more."""
        self.growing.pop(effect.op, None)

    def die(self) -> None:
        """End everything: the node is gone."""
        self.growing.clear()

    def _of(self, op: int, does: str) -> Growing:
        growing = self.growing.get(op)
        if growing is None:
            raise Violation("assembly", f"{self._host.name} {does} a frame that it does not assemble")
        return growing
