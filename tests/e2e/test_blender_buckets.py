"""Frames that are cut into buckets, pasted and finished: equal to frames that Blender alone rendered whole."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from mesh.ports.renderer import FinishTask, FrameFailed, Inspection, RenderTask, StageLimits
from mesh.wire.grids import Region
from tests.support import buckets, scenes

FRAME = 2
BY_NATURE = {"DateTime", "Date", "Time", "RenderTime", "Hostname", "Memory", "File"}
"""Headers that two renders of one frame do not share."""


class Made(NamedTuple):
    """Files of one frame of one scene, in the order they were made by the same stage, and Blender's own."""

    pasted: Path
    finished: Path
    whole: Path
    own: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Made]:
    """Make a frame in buckets of two processes in turn, finish it, and render it whole; once for each scene."""

    async def make(name: str, directory: Path) -> Made:
        async with scenes.renderer() as renderer:
            inspection = await renderer.inspect(scenes.scene(name), None, scenes.engine())
            assert inspection.cutting.obstacles == ()
            stages = [await scenes.opened(renderer, scenes.scene(name), directory / "tree")]
            stages.append(await renderer.open_stage(scenes.engine(), directory / "tree", StageLimits(threads=2)))
            passes = await buckets.pasted(stages, inspection.cutting, FRAME, directory)
            task = FinishTask(frame=FRAME, directory=directory / "out", passes=passes)
            done = await stages[0].finish(task, scenes.ignore)
            whole = await scenes.rendered(stages[0], FRAME, directory / "whole")
            own = scenes.reference(name, FRAME, FRAME) / done.files[0].name
            return Made(passes, done.files[0], whole.files[0], own)

    return functools.cache(lambda name: scenes.run(make, name, tmp_path_factory.mktemp(name)))


@pytest.mark.parametrize("name", ["passes", "passes_adaptive"])
def test_every_bit_of_every_pass_is_the_same(name: str, made: Callable[[str], Made]) -> None:
    """Buckets of two processes in turn, against the whole frame of a third that never saw a bucket."""
    frame = made(name)
    assert buckets.layout(frame.pasted)[:2] == buckets.layout(frame.own)[:2]
    assert buckets.changed(buckets.channels(frame.pasted), buckets.channels(frame.own)) == {}


@pytest.mark.parametrize("name", ["passes", "passes_png", "passes_border"])
def test_the_file_is_blenders_own(name: str, made: Callable[[str], Made]) -> None:
    """Composited, stamped, dithered, cropped or not."""
    frame = made(name)
    assert told(frame.finished) == told(frame.own)
    assert buckets.changed(buckets.channels(frame.finished), buckets.channels(frame.own)) == {}


def test_denoised_passes_are_those_that_cycles_denoised(made: Callable[[str], Made]) -> None:
    """Only what was denoised differs, in the last bits; its guides are in the file where the scene has them."""
    frame = made("passes_denoised")
    assert told(frame.finished) == told(frame.own)
    left, right = buckets.channels(frame.finished), buckets.channels(frame.own)
    denoised = [f"{layer}.Combined.{letter}" for layer in ("ViewLayer", "Second") for letter in "RGB"]
    assert set(buckets.changed(left, right)) <= set(denoised)
    for name in denoised:
        assert buckets.rmse(left[name], right[name]) < 1e-5
        assert buckets.rmse(left[name], left[name.replace("Combined", "Noisy Image")]) > 1e-2
    assert {"ViewLayer.Denoising Albedo.R", "Third.Combined.R"} < left.keys()
    assert not {"Second.Denoising Albedo.R", "Third.Noisy Image.R"} & left.keys()


def test_a_denoised_picture_of_a_part_is_blenders_own(made: Callable[[str], Made]) -> None:
    """One value in a thousand may lie on the other side of a step."""
    frame = made("passes_png_denoised")
    assert told(frame.finished) == told(frame.own)
    left, right = scenes.pixels(frame.finished), scenes.pixels(frame.own)
    assert float((left != right).mean()) <= 1e-3
    assert float(abs(left - right).max()) < 1.5 / 255


@pytest.mark.parametrize("name", ["passes", "passes_png", "passes_border", "passes_denoised", "passes_png_denoised"])
def test_a_whole_frame_afterwards_is_as_if_nothing_had_been(name: str, made: Callable[[str], Made]) -> None:
    frame = made(name)
    assert told(frame.whole) == told(frame.own)
    assert buckets.changed(buckets.channels(frame.whole), buckets.channels(frame.own)) == {}


def told(picture: Path) -> tuple[object, ...]:
    """Give size, channels and headers, but for those that differ from one render to the next."""
    size, kinds, headers = buckets.layout(picture)
    kept = {name: value for name, value in headers.items() if name not in BY_NATURE and not name.endswith("_time")}
    assert "cycles.ViewLayer.samples" in kept
    return size, kinds, kept


def test_without_its_margin_adaptive_sampling_differs(tmp_path: Path) -> None:
    """What the margin is for, and that the test above would see it missing."""

    async def cut() -> tuple[int, Path]:
        async with scenes.renderer() as renderer:
            inspection = await renderer.inspect(scenes.scene("passes_adaptive"), None, scenes.engine())
            stage = await scenes.opened(renderer, scenes.scene("passes_adaptive"), tmp_path / "tree")
            whole = await buckets.pasted([stage], inspection.cutting, FRAME, tmp_path, margin=0)
            return inspection.cutting.margin, whole

    margin, whole = scenes.run(cut)
    own = next(scenes.reference("passes_adaptive", FRAME, FRAME).iterdir())
    assert margin > 0
    assert buckets.changed(buckets.channels(whole), buckets.channels(own))["ViewLayer.Combined.R"] > 0


def test_why_a_frame_is_only_rendered_whole(tmp_path: Path) -> None:
    """The submitter hears all reasons, and a stage that is asked for a bucket all the same says them too."""

    async def asked() -> tuple[Inspection, FrameFailed]:
        async with scenes.renderer() as renderer:
            inspection = await renderer.inspect(scenes.scene("uncuttable"), None, scenes.engine())
            stage = await scenes.opened(renderer, scenes.scene("uncuttable"), tmp_path / "tree")
            region = Region(left=0, top=0, right=8, bottom=8)
            task = RenderTask(frame=FRAME, directory=tmp_path / "out", region=region)
            with pytest.raises(FrameFailed) as failed:
                await stage.render(task, scenes.ignore)
            finish = FinishTask(frame=FRAME, directory=tmp_path / "out", passes=tmp_path / "no.exr")
            with pytest.raises(FrameFailed, match="only rendered whole"):
                await stage.finish(finish, scenes.ignore)
            return inspection, failed.value

    inspection, failed = scenes.run(asked)
    obstacles = inspection.cutting.obstacles
    assert list(dict.fromkeys(each.code for each in obstacles)) == [
        "whole-border",
        "whole-time-limit",
        "whole-path-guiding",
        "whole-sample-count",
        "whole-shadow-catcher",
        "whole-freestyle",
        "whole-sequencer",
        "whole-grease-pencil",
        "whole-compositor",
        "whole-animated",
    ]
    assert all(each.subject and each.text in str(failed) and each.remedy for each in obstacles)
    assert inspection.refusals == ()


def test_other_engines_than_cycles_render_whole_frames() -> None:
    async def asked() -> Inspection:
        async with scenes.renderer() as renderer:
            return await renderer.inspect(scenes.scene("uncuttable_engine"), None, scenes.engine())

    cutting = scenes.run(asked).cutting
    assert [(each.code, each.subject) for each in cutting.obstacles] == [("whole-engine", "BLENDER_WORKBENCH")]
    assert cutting.margin == 0


def test_pixels_that_the_frame_lacks_fail_it(tmp_path: Path) -> None:
    """The stage lives on, and renders the smallest of all buckets: the corner."""

    async def asked() -> tuple[Path, Region]:
        async with scenes.renderer() as renderer:
            inspection = await renderer.inspect(scenes.scene("passes_border"), None, scenes.engine())
            stage = await scenes.opened(renderer, scenes.scene("passes_border"), tmp_path / "tree")
            width, height = inspection.cutting.width, inspection.cutting.height
            beyond = Region(left=width - 1, top=0, right=width + 1, bottom=8)
            with pytest.raises(FrameFailed, match="is no part of"):
                await stage.render(RenderTask(frame=FRAME, directory=tmp_path / "out", region=beyond), scenes.ignore)
            corner = Region(left=width - 1, top=height - 1, right=width, bottom=height)
            task = RenderTask(frame=FRAME, directory=tmp_path / "out", region=corner)
            return (await stage.render(task, scenes.ignore)).files[0], inspection.cutting.region

    corner, region = scenes.run(asked)
    assert buckets.layout(corner)[0] == (1, 1)
    assert region == Region(left=8, top=10, right=60, bottom=33)


def test_passes_that_are_not_the_frames_fail_it(tmp_path: Path) -> None:
    """Another size, another scene's, half a file, none: the stage names each and lives on."""

    async def asked() -> list[str]:
        async with scenes.renderer() as renderer:
            inspection = await renderer.inspect(scenes.scene("passes"), None, scenes.engine())
            stage = await scenes.opened(renderer, scenes.scene("passes"), tmp_path / "tree")
            passes = await buckets.pasted([stage], inspection.cutting, FRAME, tmp_path)
            data = passes.read_bytes()
            bad = {
                "part.exr": next((tmp_path / "buckets").iterdir()).read_bytes(),
                "head.exr": data[:100],
                "half.exr": data[: len(data) // 2],
                "text.exr": b"no picture",
                "less.exr": data.replace(b"Second.GlossDir", b"Second.GlossXir"),
            }
            said = []
            for name, each in bad.items():
                (tmp_path / name).write_bytes(each)
            for name in (*bad, "none.exr"):
                task = FinishTask(frame=FRAME, directory=tmp_path / "out", passes=tmp_path / name)
                with pytest.raises(FrameFailed) as failed:
                    await stage.finish(task, scenes.ignore)
                said.append(str(failed.value))
                assert list((tmp_path / "out").iterdir()) == []
            task = FinishTask(frame=FRAME, directory=tmp_path / "out", passes=passes)
            assert (await stage.finish(task, scenes.ignore)).files
            return said

    part, head, half, text, less, none = scenes.run(asked)
    assert "pixels instead of 67x41" in part
    assert "head.exr: its header" in head
    assert "half.exr: it stops before its end" in half
    assert "text.exr: it is no EXR file" in text
    assert "the passes lack Second.GlossDir.R" in less
    assert "none.exr: No such file" in none
