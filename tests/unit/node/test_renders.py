"""Renders: frames follow each other at once, pictures are checked behind, stages live and die as they should."""

import itertools
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import trio
import trio.lowlevel

from mesh.core.effects import CloseStage, KillRender, OpenStage, StartRender, WarmEngine
from mesh.core.events import Event, FrameWritten, Rendered, RenderFailed, RenderProgressed
from mesh.ground.ids import BlobId, JobId
from mesh.ground.instants import WallTime
from mesh.node.bench import OUTGROWN_LEAST_BYTES, Tools, has_outgrown
from mesh.node.engines import EngineRack, engine_id
from mesh.node.renders import LATER_PARTS, PROGRESS_PERIOD_S, Pace, Renders
from mesh.node.timings import Step, marks
from mesh.ports.renderer import Progress, StageLimits
from mesh.ports.storage import DiskFull
from mesh.store.scenes import StoreScenes
from mesh.wire.envelope import Signed, sign
from mesh.wire.records import FailureKind, Job, OutputNames, Picture
from mesh.wire.signing import Ed25519Signer
from mesh.wire.tasks import FrameRange, Frames
from sim.fakes import MemoryBlobStore, Shelves
from sim.stagehand import MEMORY_BYTES, NAMES, PICTURE, SCENE_NAME, Stagehand, engine, picture
from tests.support.meshes import seed
from tests.support.worlds import VirtualWorld, virtual


class FillingStore(MemoryBlobStore):
    """A store whose disk can be full."""

    full = False

    def ingest(self, source: bytes | Path, *, page: bool = False) -> BlobId:
        if self.full:
            raise DiskFull("no room")
        return super().ingest(source, page=page)


@dataclass(kw_only=True)
class Room:
    """A host's renders, and what its core would hear."""

    renders: Renders
    stagehand: Stagehand
    store: FillingStore
    scratch: Path
    job: Signed[Job]
    heard: list[Event]
    marks: list[str]

    def start(self, op: int, task: int) -> None:
        self.renders.start(StartRender(op=op, slot=0, job=self.job, task=task))

    async def until(self, *kinds: type[Event], op: int) -> Event:
        """Wait for the event of one of these kinds that answers `op`."""
        while True:
            for event in self.heard:
                if isinstance(event, kinds) and getattr(event, "op", None) == op:
                    return event
            await trio.sleep(0.001)

    async def answer(self, op: int) -> Event:
        return await self.until(Rendered, RenderFailed, op=op)


@asynccontextmanager
async def room(tmp_path: Path, scene: str = "ms 100", **options: object) -> AsyncIterator[Room]:
    """Yield the renders of a host that has the scene of one job."""
    world, store = VirtualWorld(), FillingStore(Shelves())
    scenes = StoreScenes(store)
    stagehand = Stagehand(**options)  # type: ignore[arg-type]
    source = tmp_path / "source.txt"
    source.write_text(scene)
    stored = scenes.ingest_tree([(SCENE_NAME, source)])
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    heard: list[Event] = []
    noted: list[str] = []

    async def tell(event: Event) -> None:
        await trio.lowlevel.checkpoint()
        heard.append(event)

    def hint(event: Event) -> bool:
        heard.append(event)
        return True

    rack = EngineRack(renderer=stagehand, facts=world.facts(), slots=1, tell=tell)
    await rack.probe()
    async with trio.open_nursery() as nursery:
        tools = Tools(
            world=world,
            store=store,
            scenes=scenes,
            renderer=stagehand,
            rack=rack,
            limits=StageLimits(),
            mark=marks(world, noted.append),
        )
        renders = Renders(nursery=nursery, tools=tools, scratch=scratch, tell=tell, hint=hint)
        yield Room(
            renders=renders,
            stagehand=stagehand,
            store=store,
            scratch=scratch,
            job=a_job(stored.root),
            heard=heard,
            marks=noted,
        )
        nursery.cancel_scope.cancel()
    assert not stagehand.open, "a stage outlives its bench"
    assert list(scratch.iterdir()) == [], "a bench leaves something behind"


def a_job(root: BlobId) -> Signed[Job]:
    return sign(
        Job(
            number=1,
            name="shot",
            scene=root,
            engine=engine_id(engine()),
            frames=Frames(ranges=(FrameRange(first=1, last=9, step=1),)),
            names=OutputNames(prefix=NAMES.prefix, digits=NAMES.digits, suffix=NAMES.suffix),
            picture=Picture(
                format=PICTURE.format,
                width=PICTURE.width,
                height=PICTURE.height,
                color_mode=PICTURE.color_mode,
                depth=PICTURE.depth,
            ),
            copies=1,
            tries=1,
            submitted=WallTime(1),
            last_day=WallTime(2),
        ),
        Ed25519Signer(seed()),
    )


@virtual
async def test_a_frame_is_written_told_checked_and_stored(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        here.start(1, 4)
        answer = await here.answer(1)
        assert isinstance(answer, Rendered)
        (output,) = answer.outputs
        data = here.store.read(output.blob, 0, output.size)
        assert data == picture([b"ms 100"], 5)
        assert answer.log is not None
        assert here.store.read(answer.log, 0, 8) == b"frame 5\n"
        kinds = [type(event) for event in here.heard]
        assert kinds.index(FrameWritten) < kinds.index(Rendered)
        steps = [Step(json.loads(mark)["step"]) for mark in here.marks]
        assert set(steps) == {*list(Step)[3:]} - {Step.PASTED, Step.ASSEMBLED}
        assert RenderProgressed in kinds


@virtual
async def test_the_next_frame_starts_in_the_same_stage_while_the_last_is_checked(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        here.renders.open_stage(OpenStage(job=here.job))
        for op in range(1, 4):
            here.start(op, op)
            await here.until(FrameWritten, op=op)
        await here.answer(3)
        assert here.stagehand.opened == 1
        starts_s = [at for at, _ in here.stagehand.calls]
        assert [after - before for before, after in itertools.pairwise(starts_s)] == pytest.approx([0.1, 0.1], abs=0.01)


@virtual
async def test_what_goes_wrong_has_a_name(tmp_path: Path) -> None:
    cases = {
        "crash 2": FailureKind.CRASHED,
        "truncated 2": FailureKind.TRUNCATED,
        "unreadable": FailureKind.SCENE_UNREADABLE,
    }
    for number, (scene, kind) in enumerate(cases.items()):
        place = tmp_path / str(number)
        place.mkdir()
        async with room(place, scene) as here:
            here.start(1, 1)
            answer = await here.answer(1)
            assert isinstance(answer, RenderFailed)
            assert answer.kind is kind, scene


@virtual
async def test_a_full_disk_and_an_absent_engine_are_this_hosts_failure(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        here.store.full = True
        here.start(1, 1)
        answer = await here.answer(1)
        assert isinstance(answer, RenderFailed)
        assert (answer.kind, answer.log) == (FailureKind.DISK_FULL, None)
        here.store.full = False
        other = replace(here.job.body, engine=replace(here.job.body.engine, build="another"))
        here.renders.start(StartRender(op=2, slot=0, job=sign(other, Ed25519Signer(seed())), task=1))
        answer = await here.answer(2)
        assert isinstance(answer, RenderFailed)
        assert answer.kind is FailureKind.ENGINE_BROKEN


@virtual
async def test_a_scene_that_is_no_tree_is_unreadable(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        here.job = a_job(here.store.ingest(b"noise"))
        here.start(1, 1)
        answer = await here.answer(1)
        assert isinstance(answer, RenderFailed)
        assert answer.kind is FailureKind.SCENE_UNREADABLE


async def fails_for_want_of_room(here: Room, ops: Iterable[int]) -> None:
    for op in ops:
        here.start(op, 2)
        answer = await here.answer(op)
        assert isinstance(answer, RenderFailed)
        assert answer.kind is FailureKind.DISK_FULL


@virtual
async def test_no_room_for_a_scene_is_this_hosts_failure_and_passes(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        here.scratch.rmdir()
        here.scratch.touch()
        here.renders.open_stage(OpenStage(job=here.job))
        await fails_for_want_of_room(here, (1, 2))
        here.scratch.unlink()
        here.scratch.mkdir()
        here.start(3, 2)
        assert isinstance(await here.answer(3), Rendered)


@virtual
async def test_no_room_for_a_frame_is_this_hosts_failure_and_passes(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        here.start(1, 1)
        assert isinstance(await here.answer(1), Rendered)
        (bench,) = here.scratch.iterdir()
        frames = bench / "frames"
        frames.rmdir()
        frames.touch()
        await fails_for_want_of_room(here, (2, 3))
        frames.unlink()
        here.start(4, 2)
        assert isinstance(await here.answer(4), Rendered)


@virtual
async def test_an_old_stage_that_dies_as_it_begins_is_not_held_against_the_frame(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        here.start(1, 1)
        await here.answer(1)
        for stage in here.stagehand.open:
            stage.kill()
        here.start(2, 2)
        assert isinstance(await here.answer(2), Rendered)
        assert here.stagehand.opened == 2


def test_a_stage_starts_afresh_above_a_third_more_memory() -> None:
    mebibyte = 2**20
    assert not has_outgrown(1000 * mebibyte, 1300 * mebibyte)
    assert has_outgrown(1000 * mebibyte, 1301 * mebibyte)
    assert not has_outgrown(100 * mebibyte, 160 * mebibyte), "a small process may grow by what a start would cost"


@virtual
async def test_a_stage_that_outgrew_its_first_frame_is_replaced(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        here.start(1, 1)
        await here.answer(1)
        (stage,) = here.stagehand.open
        stage.memory_bytes = MEMORY_BYTES + OUTGROWN_LEAST_BYTES
        here.start(2, 2)
        await here.answer(2)
        assert list(here.stagehand.open) == [stage]
        stage.memory_bytes += 1
        here.start(3, 3)
        await here.answer(3)
        here.start(4, 4)
        await here.answer(4)
        assert stage not in here.stagehand.open
        assert here.stagehand.opened == 2


@virtual
async def test_a_killed_render_says_nothing_more(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        here.start(1, 1)
        await here.until(RenderProgressed, op=1)
        here.renders.kill(KillRender(op=1))
        here.renders.kill(KillRender(op=1))
        here.start(2, 2)
        await here.answer(2)
        assert not any(isinstance(event, Rendered | RenderFailed) and event.op == 1 for event in here.heard)


@virtual
async def test_a_render_killed_while_its_frame_waits_to_be_checked_leaves_its_stage_to_the_next(tmp_path: Path) -> None:
    checked = trio.Event()
    async with room(tmp_path, look=checked.wait) as here:
        for op in range(1, LATER_PARTS + 1):
            here.start(op, op)
            await here.until(FrameWritten, op=op)
        waiting = LATER_PARTS + 1
        here.start(waiting, waiting)
        await trio.sleep(1)
        assert len(here.stagehand.calls) == waiting, "the frame is written"
        here.renders.kill(KillRender(op=waiting))
        checked.set()
        here.start(waiting + 1, waiting + 1)
        assert isinstance(await here.answer(waiting + 1), Rendered)
        assert here.stagehand.opened == 1


@virtual
async def test_closing_a_jobs_stage_ends_all_of_it_and_it_may_be_opened_again(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        here.start(1, 1)
        await here.until(RenderProgressed, op=1)
        here.renders.close_stage(CloseStage(job=JobId(here.job.id)))
        here.renders.open_stage(OpenStage(job=here.job))
        await trio.sleep(1)
        assert not any(isinstance(event, Rendered | RenderFailed) for event in here.heard)
        assert len(here.stagehand.open) == 1
        here.start(2, 2)
        assert isinstance(await here.answer(2), Rendered)


@virtual
async def test_an_engine_is_warmed_if_it_is_here(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        here.renders.warm(WarmEngine(job=here.job))
        other = replace(here.job.body, engine=replace(here.job.body.engine, version="9.9"))
        here.renders.warm(WarmEngine(job=sign(other, Ed25519Signer(seed()))))
        await trio.sleep(1)
        assert here.stagehand.warmed == 1


@virtual
async def test_progress_grows_only_when_something_was_done() -> None:
    heard: list[int] = []

    def hint(event: Event) -> bool:
        assert isinstance(event, RenderProgressed)
        heard.append(event.progress)
        return True

    pace = Pace(1, hint, lambda _step: None)
    for sample, text in ((0, "loading 10 %"), (0, "loading 20 %"), (0, "building"), (3, "x 1"), (3, "x 2"), (4, "x 9")):
        await trio.sleep(PROGRESS_PERIOD_S)
        pace.heard(Progress(frame=1, sample=sample, samples=9, text=text, memory_bytes=0))
    assert heard == [1, 2, 3, 4]
