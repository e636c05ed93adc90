"""What every renderer behind the port must do, tried on the real one: Blender, embedded."""

import functools
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
import trio.testing

from mesh.ports.renderer import (
    FrameNames,
    Output,
    OutputTruncated,
    OutputWrong,
    Progress,
    RenderTask,
    StageClosed,
)
from tests.support import scenes

PATIENCE_S = 120


def timed(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an async test that starts engines: they may have to wait for a busy machine."""

    @functools.wraps(test)
    def run(**arguments: object) -> None:
        async def bounded() -> None:
            with trio.fail_after(PATIENCE_S):
                await test(**arguments)

        scenes.run(bounded)

    return run


def children() -> list[str]:
    """List the processes that this one has started and that still are."""
    return sorted(pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split())


@pytest.fixture(scope="module")
def tiny() -> Path:
    """A scene of four small frames."""
    return scenes.scene("tiny")


@timed
async def test_the_probe_names_a_proven_engine() -> None:
    async with scenes.renderer() as renderer:
        engine = (await renderer.probe()).usable[0]
        assert engine.name == "blender"
        assert engine.key == f"blender-{engine.version}-{engine.build}"
        assert "CYCLES" in engine.renders


@timed
async def test_inspection_tells_what_a_submitter_must_know(tiny: Path) -> None:
    async with scenes.renderer() as renderer:
        found = await renderer.inspect(tiny, None, scenes.engine())
    assert (found.first_frame, found.last_frame, found.frame_step) == (1, 4, 1)
    assert found.output == Output(format="PNG", width=64, height=36, color_mode="RGBA", depth=8)
    assert found.output_directory == tiny.parent / "render"
    assert found.frame_names == FrameNames(prefix="frame_", digits=4, suffix=".png")
    assert {file.name for file in found.files} == {"tiny.blend", "textures/checks.png"}
    assert found.refusals == found.missing == ()
    assert found.saved_by == scenes.engine().version.rpartition(".")[0]


@timed
async def test_frames_come_in_any_order_under_their_names(tiny: Path, tmp_path: Path) -> None:
    async with scenes.renderer() as renderer:
        stage = await scenes.opened(renderer, tiny, tmp_path / "tree")
        for frame in (3, 1):
            done = await scenes.rendered(stage, frame, tmp_path / "out")
            assert [file.name for file in done.files] == [f"frame_{frame:04d}.png"]
            assert done.memory_bytes > 0
            report = await renderer.check_picture(done.files[0], stage.output)
            assert (report.width, report.height, report.constant) == (64, 36, False)
        assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["frame_0001.png", "frame_0003.png"]


@timed
async def test_progress_tells_samples(tiny: Path, tmp_path: Path) -> None:
    heard: list[Progress] = []
    async with scenes.renderer() as renderer:
        stage = await scenes.opened(renderer, tiny, tmp_path / "tree")
        await stage.render(RenderTask(frame=2, directory=tmp_path / "out"), heard.append)
    assert {progress.frame for progress in heard} == {2}
    assert any(0 < progress.sample <= progress.samples for progress in heard)


@timed
async def test_two_stages_of_one_tree_work_side_by_side(tiny: Path, tmp_path: Path) -> None:
    async with scenes.renderer() as renderer:
        first = await scenes.opened(renderer, tiny, tmp_path / "tree")
        second = await renderer.open_stage(scenes.engine(), tmp_path / "tree", scenes.StageLimits(threads=1))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scenes.rendered, first, 1, tmp_path / "out")
            nursery.start_soon(scenes.rendered, second, 2, tmp_path / "out")
    assert len(list((tmp_path / "out").iterdir())) == 2


@timed
async def test_a_stage_takes_the_engine_that_waits_even_one_that_is_being_started(tiny: Path, tmp_path: Path) -> None:
    async with scenes.renderer() as renderer:
        inspection = await renderer.inspect(tiny, None, scenes.engine())
        renderer.check_out(tmp_path / "tree", scenes.tree_files(inspection))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(renderer.warm, scenes.engine())
            await trio.testing.wait_all_tasks_blocked()
            await renderer.warm(scenes.engine())
            waiting = children()
            stage = await renderer.open_stage(scenes.engine(), tmp_path / "tree", scenes.StageLimits(threads=2))
        assert len(waiting) == 1
        assert children() == waiting
        await stage.aclose()
        assert not children()


@timed
async def test_an_engine_that_nobody_takes_ends_with_whoever_held_it() -> None:
    async with scenes.renderer() as renderer:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(renderer.warm, scenes.engine())
            await trio.testing.wait_all_tasks_blocked()
            assert len(children()) == 1
            nursery.cancel_scope.cancel()
        assert not children()


@timed
async def test_a_closed_stage_renders_no_more(tiny: Path, tmp_path: Path) -> None:
    async with scenes.renderer() as renderer:
        stage = await scenes.opened(renderer, tiny, tmp_path / "tree")
        await stage.aclose()
        stage.kill()
        with pytest.raises(StageClosed):
            await scenes.rendered(stage, 1, tmp_path / "out")


@timed
async def test_a_killed_stage_ends_its_render(tmp_path: Path) -> None:
    async with scenes.renderer() as renderer:
        stage = await scenes.opened(renderer, scenes.scene("slow"), tmp_path / "tree")
        task = RenderTask(frame=1, directory=tmp_path / "out")
        with pytest.raises(StageClosed):
            await stage.render(task, lambda _: stage.kill())
    assert list((tmp_path / "out").iterdir()) == []


@timed
async def test_a_cancelled_render_leaves_nothing(tmp_path: Path) -> None:
    async with scenes.renderer() as renderer:
        stage = await scenes.opened(renderer, scenes.scene("slow"), tmp_path / "tree")
        with trio.CancelScope() as scope:
            await stage.render(RenderTask(frame=1, directory=tmp_path / "out"), lambda _: scope.cancel())
        assert scope.cancelled_caught
    assert list((tmp_path / "out").iterdir()) == []


@timed
async def test_a_bad_picture_is_refused_by_name(tiny: Path, tmp_path: Path) -> None:
    async with scenes.renderer() as renderer:
        stage = await scenes.opened(renderer, tiny, tmp_path / "tree")
        good = (await scenes.rendered(stage, 1, tmp_path / "out")).files[0]
        truncated = tmp_path / "truncated.png"
        truncated.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
        with pytest.raises(OutputTruncated):
            await renderer.check_picture(truncated, stage.output)
        larger = Output(format="PNG", width=128, height=36, color_mode="RGBA", depth=8)
        with pytest.raises(OutputWrong, match="64x36"):
            await renderer.check_picture(good, larger)
        fewer = Output(format="PNG", width=64, height=36, color_mode="RGB", depth=8)
        with pytest.raises(OutputWrong, match="4 channels"):
            await renderer.check_picture(good, fewer)
