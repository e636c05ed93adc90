"""The renderers of one host: how long frames take, how they fail, and what pictures they leave.

A frame's cost belongs to the task, a host's speed to the host, so that two peers agree on which frame is the heavy
one. What a render leaves is a blob of its own: engines do not repeat themselves, unless the scenario says that they
do. What it shows is the same for all, but for those that return wrong pixels. While the machine sleeps, its renders
stand still; while only its node is stopped, they go on. Of a frame that is cut a block of cells is rendered, a bucket,
which is a file but no picture.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from blake3 import blake3

from mesh.core.effects import StartRender
from mesh.core.events import FrameWritten, Rendered, RenderFailed, RenderProgressed
from mesh.ground.ids import BlobId, JobId
from mesh.wire.records import FailureKind, Output
from sim.delays import Delays
from sim.disk import BlobFacts, NoRoom
from sim.scenario import Scenario
from sim.stills import bucket_ms, bucket_size, crashing_cell

if TYPE_CHECKING:
    from sim.host import Host
    from sim.world import World

PICTURE_CHECK_MS = 60
"""Decoding, checking and storing a picture."""

PROGRESS_STEPS = 3
HUNG_MS = 60_000
"""A shell ends a renderer that was silent for so long."""

PICTURE_BYTES = 1_500_000
PICTURE_PIECES = 2
_CONTEXT = "meshnode sim picture"


@dataclass(slots=True, kw_only=True)
class Render:
    """One frame or bucket in hand; `writing` until its file is on the disk and its slot is free for the next."""

    effect: StartRender
    started_ms: int
    opening_ms: int = 0
    """Of this time, what opening the stage takes: an engine starts and loads the scene."""
    writing: bool = True

    @property
    def job(self) -> JobId:
        """The job of the frame."""
        return JobId(self.effect.job.id)


def frame_ms(name: str, task: int, scenario: Scenario) -> int:
    """Return how long a whole frame of a job takes the fastest slot that has loaded the scene."""
    heaviness = int.from_bytes(blake3(name.encode() + task.to_bytes(4, "big")).digest(length=2), "big")
    spread = scenario.frame_ms * scenario.spread_percent // 100
    return scenario.frame_ms - spread + 2 * spread * (heaviness % 1_000) // 1_000


class Farm:
    """One host's renderers."""

    def __init__(self, world: "World", host: "Host", speed_percent: int) -> None:
        self._world = world
        self._host = host
        self._dice = world.dice.fork(b"farm" + host.index.to_bytes(4, "big"))
        self.speed_percent = speed_percent
        self._loaded: set[tuple[JobId, int]] = set()
        self.renders: dict[int, Render] = {}
        self._freed_ms = 0
        """When a slot was last freed."""
        self._later = Delays(world, host, self.renders).later

    def start(self, effect: StartRender) -> None:
        """Start one frame; how it ends is drawn now."""
        self._world.safety.render_starts(self._host, effect)
        self._world.economy.started(self._host, effect)
        render = Render(effect=effect, started_ms=self._world.now_ms)
        self.renders[effect.op] = render
        self._world.fair.began(render)
        duration_ms = self._duration_ms(render)
        fate = self._dice.below(1_000)
        scenario = self._world.scenario
        hangs = fate < scenario.crash_permille + scenario.hang_permille
        if self._is_poisoned(effect):
            self._later(duration_ms // 2, effect.op, self._fail, FailureKind.CRASHED)
        elif hangs and self._world.faulty and self._may_fail(effect):
            crashes = fate < scenario.crash_permille
            after_ms, kind = (duration_ms // 2, FailureKind.CRASHED) if crashes else (HUNG_MS, FailureKind.HUNG)
            self._later(after_ms, effect.op, self._fail, kind)
        else:
            for step in range(1, PROGRESS_STEPS + 1):
                self._later(duration_ms * step // (PROGRESS_STEPS + 1), effect.op, self._progress, step)
            self._later(duration_ms, effect.op, self._write, duration_ms)

    def _may_fail(self, effect: StartRender) -> bool:
        """Let chance fail a render at fewer hosts than would stop its task, which only poison may."""
        unlucky = self._world.people.plan(effect.job.body.name).unlucky.setdefault((effect.task, effect.block), {})
        if len(unlucky) < effect.job.body.tries - 1:
            unlucky[self._host.index] = None
        return self._host.index in unlucky

    def _is_poisoned(self, effect: StartRender) -> bool:
        """Tell whether a task crashes every renderer: of a cut frame the buckets with one of its cells."""
        name, cut, block = effect.job.body.name, effect.job.body.cut, effect.block
        if not self._world.people.is_poisoned(name, effect.task):
            return False
        if cut is None or block is None:
            return True
        return crashing_cell(name, effect.task, len(cut.grid)) in tuple(cut.grid.cells(block))

    def _duration_ms(self, render: Render) -> int:
        """Return how long a render occupies its slot; opening the stage is no part of what it says that it took."""
        stage, duration_ms = (render.job, render.effect.slot), self._work_ms(render.effect)
        if stage not in self._loaded:
            self._loaded.add(stage)
            render.opening_ms = self._world.scenario.stage_ms * 100 // self.speed_percent
        return max(1, duration_ms * 100 // self.speed_percent) + render.opening_ms

    def _work_ms(self, effect: StartRender) -> int:
        name, cut, block = effect.job.body.name, effect.job.body.cut, effect.block
        scenario = self._world.people.plan(name).scenario
        if cut is not None and block is not None:
            return bucket_ms(name, effect.task, block, cut, scenario)
        return frame_ms(name, effect.task, scenario)

    def kill(self, op: int) -> None:
        """End one frame; nothing of it is heard any more."""
        render = self.renders.pop(op, None)
        if render is not None:
            self._free(render)

    def _free(self, render: Render) -> None:
        """Let the next one have the slot."""
        if render.writing:
            render.writing = False
            self._freed_ms = self._world.now_ms
            self._world.fair.freed(render)

    def close(self, job: JobId) -> None:
        """Forget the job's loaded stages."""
        self._loaded = {stage for stage in self._loaded if stage[0] != job}

    def idle_ms(self, since_ms: int) -> int:
        """Return for how long nothing has been rendered, `since_ms` at most."""
        busy = any(render.writing for render in self.renders.values())
        return 0 if busy else self._world.now_ms - max(since_ms, self._freed_ms)

    def die(self) -> None:
        """End everything: the node is gone, and renderers end with it."""
        for render in self.renders.values():
            self._free(render)
        self.renders.clear()
        self._loaded.clear()

    # What happens on the way.

    def _progress(self, op: int, step: int) -> None:
        self._host.receive(RenderProgressed(op=op, progress=step))

    def _write(self, op: int, duration_ms: int) -> None:
        if self._host.disk.full:
            self._fail(op, FailureKind.DISK_FULL)
            return
        render = self.renders[op]
        self._free(render)
        self._later(PICTURE_CHECK_MS, op, self._finish, None)
        self._host.receive(FrameWritten(op=op, render_ms=duration_ms - render.opening_ms))

    def _finish(self, op: int, _: None) -> None:
        facts = self._file(self.renders[op])
        self._world.blobs[facts.blob] = facts
        try:
            self._host.disk.ingest(facts)
        except NoRoom:
            self._fail(op, FailureKind.DISK_FULL)
            return
        render = self.renders.pop(op)
        self._world.economy.rendered(self._host, render, facts.look)
        self._world.trust.rendered(self._host, render, facts)
        if render.effect.block is None:
            self._world.safety.rendered(facts.blob, render.job, render.effect.task)
        else:
            self._world.safety.bucket_rendered(facts.blob, render.effect)
        outputs = (Output(blob=facts.blob, size=facts.size),)
        self._host.receive(Rendered(op=op, outputs=outputs, log=None))

    def _file(self, render: Render) -> BlobFacts:
        """Return what a render leaves: a picture, or a bucket of one."""
        effect = render.effect
        named = look = render.job + effect.task.to_bytes(4, "big")
        wrong = self._host.index in self._world.scenario.wrong
        if wrong:
            look += b"wrong" + (b"" if self._world.scenario.league else self._host.name.encode())
            named = look
        if effect.block is not None:
            named += repr(effect.block).encode()
        if not self._world.scenario.repeatable:
            named += self._host.boot + effect.op.to_bytes(8, "big")
        blob = BlobId(blake3(named, derive_key_context=_CONTEXT).digest())
        cut = effect.job.body.cut
        if cut is not None and effect.block is not None:
            pieces, size = bucket_size(cut, effect.block)
            return BlobFacts(blob=blob, pieces=pieces, size=size, bucket=True, look=look, wrong=wrong)
        return BlobFacts(blob=blob, pieces=PICTURE_PIECES, size=PICTURE_BYTES, picture=True, look=look, wrong=wrong)

    def _fail(self, op: int, kind: FailureKind) -> None:
        self._free(self.renders.pop(op))
        self._host.receive(RenderFailed(op=op, kind=kind, reason=f"simulated {kind.name.lower()}", log=None))
