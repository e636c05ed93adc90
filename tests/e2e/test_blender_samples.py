"""Frames of which stages render ranges of samples: added up and finished, they are what Blender alone renders."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from mesh.ports.renderer import FinishTask, FrameFailed, Inspection, RenderTask, StageLimits
from mesh.wire.grids import SampleRange
from tests.support import buckets, scenes

FRAME = 2
EDGES = [0, 7, 8, 20]
"""No two ranges are alike, and none is a power of two but the shortest."""

CLOSE = 1e-6
"""What floats lose, whose sums are made in another order; values are 20 at most."""


CLOSE_DENOISED = 1e-5
"""What the denoiser makes of that."""


class Made(NamedTuple):
    """Files of one frame: added up, finished, rendered whole by the same stage afterwards, and Blender's own."""

    added: Path
    finished: Path
    whole: Path
    own: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Made]:
    """Make a frame in ranges of two processes in turn, finish it, and render it whole; once for each scene."""

    async def make(name: str, directory: Path) -> Made:
        async with scenes.renderer() as renderer:
            cutting = (await renderer.inspect(scenes.scene(name), None, scenes.engine())).cutting
            assert (cutting.samples, cutting.sample_obstacles) == (EDGES[-1], ())
            stages = [await scenes.opened(renderer, scenes.scene(name), directory / "tree")]
            stages.append(await renderer.open_stage(scenes.engine(), directory / "tree", StageLimits(threads=2)))
            passes = await buckets.added(stages, cutting, FRAME, EDGES, directory)
            task = FinishTask(frame=FRAME, directory=directory / "out", passes=passes)
            done = await stages[0].finish(task, scenes.ignore)
            whole = await scenes.rendered(stages[0], FRAME, directory / "whole")
            own = scenes.reference(name, FRAME, FRAME) / done.files[0].name
            return Made(passes, done.files[0], whole.files[0], own)

    return functools.cache(lambda name: scenes.run(make, name, tmp_path_factory.mktemp(name)))


def test_every_pass_is_as_if_its_samples_had_been_rendered_together(made: Callable[[str], Made]) -> None:
    """Passes that are averages, of the first sample, and quotients; denoised ones, too."""
    frame = made("samples_apart")
    added, finished, own = map(buckets.channels, (frame.added, frame.finished, frame.own))
    assert finished.keys() == own.keys()
    for name in own:
        assert float(abs(own[name]).max()) > 0 or ".Emit." in name or ".Custom." in name, f"{name} shows nothing"
        denoised = name.startswith("Second.Combined.")
        assert buckets.rmse(finished[name], own[name]) <= (CLOSE_DENOISED if denoised else CLOSE), name
        noisy = name.replace("Combined", "Noisy Image") if denoised else name
        assert name not in added or buckets.rmse(added[name], own[noisy]) <= CLOSE, name
    first = {name: float(abs(own[name] - finished[name]).max()) for name in own}
    exact = [name for name in own if name.split(".")[-2] in ("Depth", "Position", "IndexOB", "IndexMA")]
    assert len(exact) == 12
    assert not any(first[name] for name in exact)
    _, _, headers = buckets.layout(frame.finished)
    assert "Note" not in headers
    assert headers["cycles.ViewLayer.samples"] == "20"


def test_the_file_is_blenders_own_but_for_a_step(made: Callable[[str], Made]) -> None:
    """Denoised, composited, dithered, stamped, with a border: 8 bits, of which few lie on the other side of a step."""
    frame = made("samples_apart_png")
    left, right = scenes.pixels(frame.finished), scenes.pixels(frame.own)
    assert left.shape == right.shape
    assert float(abs(left - right).max()) < 1.5 / 255
    assert float((left != right).mean()) <= 1e-3


@pytest.mark.parametrize("name", ["samples_apart", "samples_apart_png"])
def test_a_whole_frame_afterwards_is_as_if_nothing_had_been(name: str, made: Callable[[str], Made]) -> None:
    frame = made(name)
    assert buckets.layout(frame.whole)[:2] == buckets.layout(frame.own)[:2]
    assert buckets.changed(buckets.channels(frame.whole), buckets.channels(frame.own)) == {}


def inspected(name: str) -> Inspection:
    async def inspect() -> Inspection:
        async with scenes.renderer() as renderer:
            return await renderer.inspect(scenes.scene(name), None, scenes.engine())

    return scenes.run(inspect)


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("passes", ["samples-layers", "samples-pattern", "samples-pass"]),
        ("passes_adaptive", ["samples-adaptive", "samples-pattern", "samples-pass"]),
        ("uncuttable_engine", ["samples-engine"]),
        (
            "unaddable",
            [
                "samples-offset",
                "samples-many",
                "samples-scrambling",
                *["samples-pass"] * 5,
                "samples-shadow-catcher",
                "samples-animated",
            ],
        ),
    ],
)
def test_why_samples_are_only_rendered_together(name: str, codes: list[str]) -> None:
    obstacles = inspected(name).cutting.sample_obstacles
    assert [each.code for each in obstacles] == codes
    assert all(each.subject and each.text and each.remedy for each in obstacles)


def test_a_stage_renders_no_samples_that_do_not_add_up(tmp_path: Path) -> None:
    async def asked() -> list[str]:
        said = []
        async with scenes.renderer() as renderer:
            for name, of in (("passes", 4), ("samples_apart", 21)):
                stage = await scenes.opened(renderer, scenes.scene(name), tmp_path / name)
                samples = SampleRange(first=0, count=1, of=of)
                task = RenderTask(frame=FRAME, directory=tmp_path / "out", samples=samples)
                with pytest.raises(FrameFailed) as failed:
                    await stage.render(task, scenes.ignore)
                said.append(str(failed.value))
        return said

    pattern, other = scenes.run(asked)
    assert "a pattern in which parts are not those of the whole" in pattern
    assert "1 samples from 0 of 21 are no part of 20" in other
