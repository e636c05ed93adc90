"""Frames that are cut into buckets, pasted and finished: equal to frames that Blender alone rendered whole."""

from pathlib import Path

import pytest

from mesh.ports.renderer import FrameFailed, Inspection, RenderTask, StageLimits
from mesh.wire.grids import Region
from tests.support import buckets, scenes

FRAME = 2


@pytest.mark.parametrize("name", ["passes", "passes_adaptive"])
def test_every_bit_of_every_pass_is_the_same(name: str, tmp_path: Path) -> None:
    """Buckets of two processes in turn, and the whole frame by a third that never saw a bucket."""

    async def cut() -> tuple[Path, Path]:
        async with scenes.renderer() as renderer:
            inspection = await renderer.inspect(scenes.scene(name), None, scenes.engine())
            assert inspection.cutting.obstacles == ()
            stages = [await scenes.opened(renderer, scenes.scene(name), tmp_path / "tree")]
            stages.append(await renderer.open_stage(scenes.engine(), tmp_path / "tree", StageLimits(threads=2)))
            whole = await buckets.pasted(stages, inspection.cutting, FRAME, tmp_path)
            after = await scenes.rendered(stages[0], FRAME, tmp_path / "out")
            return whole, after.files[0]

    whole, after = scenes.run(cut)
    own = scenes.reference(name, FRAME, FRAME) / after.name
    assert buckets.layout(whole)[:2] == buckets.layout(own)[:2]
    assert buckets.changed(buckets.channels(whole), buckets.channels(own)) == {}
    assert buckets.changed(buckets.channels(after), buckets.channels(own)) == {}, "buckets left something behind"


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
            return inspection, failed.value

    inspection, failed = scenes.run(asked)
    obstacles = inspection.cutting.obstacles
    assert list(dict.fromkeys(each.code for each in obstacles)) == [
        "whole-time-limit",
        "whole-path-guiding",
        "whole-shadow-catcher",
        "whole-freestyle",
        "whole-sequencer",
        "whole-grease-pencil",
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
