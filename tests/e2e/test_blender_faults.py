"""Renderers that crash, hang, eat memory, lose their node or their disk: a named error, and nothing left behind."""

import functools
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import OpenImageIO
import pytest
import trio
import trio.testing

from mesh.ports.renderer import (
    Output,
    OutputTruncated,
    OutputUnwritable,
    OutputWrong,
    Progress,
    RendererCrashed,
    RendererError,
    RendererHung,
    RendererOutOfMemory,
    RenderTask,
    SceneUnreadable,
    StageClosed,
    StageLimits,
)
from mesh.render import process
from mesh.render.blender.stages import BlenderStage
from tests.support import scenes

ORPHAN_S = 1.0
"""A renderer may outlive its node by this much."""

START_S = 60.0


def pid_of(stage: object) -> int:
    assert isinstance(stage, BlenderStage)
    assert stage._session is not None
    return stage._session.child.pid


async def struck(blow: Callable[[int], None], error: type[RendererError], tree: Path, limits: StageLimits) -> None:
    """Strike a stage in the middle of a frame, and expect the error, no process, and a closed stage."""
    async with scenes.renderer() as renderer:
        stage = await scenes.opened(renderer, scenes.scene("slow"), tree, limits)
        pid = pid_of(stage)
        told: list[int] = []

        def on_progress(progress: Progress) -> None:
            if progress.sample > 0 and not told:
                told.append(progress.sample)
                blow(pid)

        with trio.fail_after(START_S), pytest.raises(error) as raised:
            await stage.render(RenderTask(frame=1, directory=tree.parent / "out"), on_progress)
        assert told
        assert "Sample" in raised.value.log
        assert not scenes.is_alive(pid)
        assert list((tree.parent / "out").iterdir()) == []
        with pytest.raises(StageClosed):
            await scenes.rendered(stage, 2, tree.parent / "out")


@pytest.mark.parametrize(
    ("blow", "error", "silence_ms"),
    [
        (lambda pid: os.kill(pid, signal.SIGSEGV), RendererCrashed, 60_000),
        (lambda pid: os.kill(pid, signal.SIGKILL), RendererCrashed, 60_000),
        (lambda pid: os.kill(pid, signal.SIGSTOP), RendererHung, 2_000),
    ],
    ids=["crash", "killed", "hang"],
)
def test_a_struck_renderer(
    blow: Callable[[int], None], error: type[RendererError], silence_ms: int, tmp_path: Path
) -> None:
    limits = StageLimits(threads=2, silence_ms=silence_ms)
    scenes.run(functools.partial(struck, blow, error, tmp_path / "tree", limits))


def test_a_renderer_above_its_memory_is_ended_by_name(tmp_path: Path) -> None:
    async def main() -> None:
        async with scenes.renderer() as renderer:
            limits = StageLimits(threads=2, memory_bytes=64 << 20)

            async def render() -> None:
                stage = await scenes.opened(renderer, scenes.scene("slow"), tmp_path / "tree", limits)
                await scenes.rendered(stage, 1, tmp_path / "out")

            with trio.fail_after(START_S), pytest.raises(RendererOutOfMemory, match="64 MiB"):
                await render()

    scenes.run(main)


def test_a_waiting_engine_that_died_is_not_taken(tmp_path: Path) -> None:
    async def main() -> None:
        async with scenes.renderer() as renderer, trio.open_nursery() as nursery:
            inspection = await renderer.inspect(scenes.scene("tiny"), None, scenes.engine())
            renderer.check_out(tmp_path / "tree", scenes.tree_files(inspection))
            nursery.start_soon(renderer.warm, scenes.engine())
            await trio.testing.wait_all_tasks_blocked()
            (waiting,) = renderer._adapters["blender"]._waiting.values()
            await waiting.ready.wait()
            assert waiting.session is not None
            os.kill(waiting.session.child.pid, signal.SIGKILL)
            await waiting.session.child.exit_code()
            stage = await renderer.open_stage(scenes.engine(), tmp_path / "tree", StageLimits(threads=2))
            await scenes.rendered(stage, 1, tmp_path / "out")

    scenes.run(main)


def test_no_renderer_outlives_its_node(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.support.lone_node", scenes.scene("slow"), tmp_path / "tree"]
    with subprocess.Popen(command, cwd=scenes.ROOT, stdout=subprocess.PIPE, text=True) as node:
        assert node.stdout is not None
        pid = int(node.stdout.readline())
        assert scenes.is_alive(pid)
        node.kill()
        node.wait()
        deadline = time.monotonic() + ORPHAN_S
        while scenes.is_alive(pid):
            assert time.monotonic() < deadline, f"the renderer lives {ORPHAN_S} s after its node"
    left = f"meshnode-stage-{node.pid}-*"
    assert list(Path(tempfile.gettempdir()).glob(left))
    process.sweep()
    assert not list(Path(tempfile.gettempdir()).glob(left))


def test_a_stage_ends_at_the_end_of_its_channel_alone(tmp_path: Path) -> None:
    """The system's own means may be lacking: the closed socket must do, in the middle of a frame."""

    async def main() -> None:
        async with scenes.renderer() as renderer:
            stage = await scenes.opened(renderer, scenes.scene("slow"), tmp_path / "tree")
            pid = pid_of(stage)
            assert isinstance(stage, BlenderStage)
            assert stage._session is not None
            channel = stage._session.child.channel
            sampling = trio.Event()

            async def render() -> None:
                with pytest.raises(RendererError):
                    await stage.render(
                        RenderTask(frame=1, directory=tmp_path / "out"),
                        lambda progress: sampling.set() if progress.sample > 0 else None,
                    )

            async with trio.open_nursery() as nursery:
                nursery.start_soon(render)
                await sampling.wait()
                channel.close()
                with trio.fail_after(ORPHAN_S):
                    while scenes.is_alive(pid):
                        await trio.lowlevel.checkpoint()

    scenes.run(main)


@pytest.fixture(params=["tiny", "tiny_exr"])
def full_scene(request: pytest.FixtureRequest) -> Path:
    """A scene for each way in which Blender hides that a disk is full."""
    return scenes.scene(request.param)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for a few kilobytes."""
    place = tmp_path / "small"
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip(reason="mounting a small file system needs root")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "none", place], check=True)
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk_is_named_and_the_stage_goes_on(full_scene: Path, small_disk: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with scenes.renderer() as renderer:
            stage = await scenes.opened(renderer, full_scene, tmp_path / "tree")
            with pytest.raises(OutputUnwritable, match="full"):
                await scenes.rendered(stage, 1, small_disk)
            assert os.listdir(small_disk) == []
            done = await scenes.rendered(stage, 1, tmp_path / "out")
            await renderer.check_picture(done.files[0], stage.output)

    scenes.run(main)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    async def main() -> None:
        async with scenes.renderer() as renderer:
            stage = await scenes.opened(renderer, scenes.scene("tiny"), tmp_path / "tree")
            with pytest.raises(OutputUnwritable):
                await scenes.rendered(stage, 1, tmp_path / "file" / "out")

    scenes.run(main)


def make_exr(path: Path, values: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]") -> Path:
    height, width, channels = values.shape
    image = OpenImageIO.ImageBuf(OpenImageIO.ImageSpec(width, height, channels, OpenImageIO.FLOAT))
    image.set_pixels(OpenImageIO.ROI(0, width, 0, height, 0, 1, 0, channels), values)
    assert image.write(str(path))
    return path


def test_pictures_are_judged_by_their_pixels(tmp_path: Path) -> None:
    wanted = Output(format="OPEN_EXR", width=32, height=100, color_mode="RGBA", depth=32)
    values = np.random.default_rng(1).random((100, 32, 4), dtype=np.float32)

    async def main() -> None:
        async with scenes.renderer() as renderer:
            good = make_exr(tmp_path / "good.exr", values)
            assert not (await renderer.check_picture(good, wanted)).constant
            flat = make_exr(tmp_path / "flat.exr", np.zeros_like(values))
            assert (await renderer.check_picture(flat, wanted)).constant
            bad = values.copy()
            bad[90, 3, 1] = np.nan
            with pytest.raises(OutputWrong, match="no numbers"):
                await renderer.check_picture(make_exr(tmp_path / "nan.exr", bad), wanted)
            for size in (0, 100, good.stat().st_size * 3 // 4):
                cut = tmp_path / "cut.exr"
                cut.write_bytes(good.read_bytes()[:size])
                with pytest.raises(OutputTruncated):
                    await renderer.check_picture(cut, wanted)
            assert renderer._pictures._child is not None
            os.kill(renderer._pictures._child.pid, signal.SIGKILL)
            with pytest.raises(OutputTruncated, match="died"):
                await renderer.check_picture(good, wanted)
            await renderer.check_picture(good, wanted)

    scenes.run(main)


@pytest.mark.parametrize("keep", [0, 9, 0.5, 0.99])
def test_a_damaged_scene_is_unreadable(keep: float, tmp_path: Path) -> None:
    path = scenes.own_scene("demo", tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep if keep > 1 else len(whole) * keep)])

    async def main() -> None:
        async with scenes.renderer() as renderer:
            with pytest.raises(SceneUnreadable, match=r"demo\.blend"):
                await renderer.inspect(path, None, scenes.engine())

    scenes.run(main)
