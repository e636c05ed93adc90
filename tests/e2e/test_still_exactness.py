"""Stills made of buckets by three stages, or by three peers, are what one stage and Blender alone render of them."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.ports.renderer import RenderTask
from mesh.wire.grids import Region
from tests.support import buckets, scenes
from tools import seams
from tools.buckets import Subject, in_buckets, whole_passes
from tools.compare import compare, read
from tools.exactness import CELL, KINDS, Hands, Row, measure
from tools.household import Household, household

ADAPTIVE = "still_cropped_exr_adaptive"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    """Three peers."""
    scenes.engine()
    with household(tmp_path_factory.mktemp("household")) as made:
        yield made


@pytest.fixture(scope="module")
def passes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All passes of a real picture that is sampled adaptively, rendered at once by a stage that does nothing else."""

    async def rendered(directory: Path) -> Path:
        async with scenes.renderer() as renderer:
            found = await renderer.inspect(scenes.scene(ADAPTIVE), None, scenes.engine())
            assert found.cutting.margin > 0
            return await whole_passes(
                Subject(renderer=renderer, engine=scenes.engine(), inspection=found, directory=directory)
            )

    return scenes.run(rendered, tmp_path_factory.mktemp("passes"))


async def measured(name: str, home: Household, directory: Path) -> Row:
    async with scenes.renderer() as renderer:
        alone = KINDS[".blend"].alone
        hands = Hands(renderer=renderer, engine=scenes.engine(), alone=alone, peers=home)
        return await measure(hands, scenes.scene(name), directory)


@pytest.mark.parametrize(
    ("name", "adaptive", "of"),
    [
        ("still_border", False, (4, 0)),
        (ADAPTIVE, True, (23, 0)),
        # Five things in the first layer, each with a matte of its own, of its material and as an asset; two behind.
        ("still_layers", False, (80, 3 * (5 + 2))),
    ],
)
def test_buckets_make_what_one_host_renders(
    name: str, adaptive: bool, of: tuple[int, int], home: Household, tmp_path: Path
) -> None:
    """Slow: real pictures, each rendered five times; `of` how many channels and things."""
    channels, things = of
    row = scenes.run(measured, name, home, tmp_path)
    assert row.misses() == []
    assert (row.adaptive, row.things) == (adaptive, things)
    assert row.buckets > 4
    assert row.passes.values_of == channels * row.passes.of > 0
    assert row.picture.values_of == row.alone.values_of == row.delivered.values_of > 0


def test_without_its_margin_a_bucket_is_found_out(passes: Path, tmp_path: Path) -> None:
    """Slow: a real picture, sampled adaptively, so that neighbours count; else the comparison would prove little."""

    async def without() -> Path:
        async with scenes.renderer() as renderer:
            found = await renderer.inspect(scenes.scene(ADAPTIVE), None, scenes.engine())
            assert found.cutting.margin > 0
            cutting = dataclasses.replace(found.cutting, margin=0)
            bare = dataclasses.replace(found, cutting=cutting)
            subject = Subject(renderer=renderer, engine=scenes.engine(), inspection=bare, directory=tmp_path)
            return (await in_buckets(subject, CELL)).files.passes

    pasted = scenes.run(without)
    # These are too few to be seen: that the seams' figure finds a margin that is wrong is shown below.
    difference = compare(read(pasted), read(passes))
    assert 0 < difference.values < difference.values_of / 10
    assert "ViewLayer.Combined.R" in difference.channels


def test_a_peer_that_takes_its_margin_for_half_as_wide_leaves_seams(passes: Path, tmp_path: Path) -> None:
    """Slow: real buckets with their margins, of which every third is pasted from four pixels beside its place."""

    async def displaced() -> tuple[Path, list[Region]]:
        async with scenes.renderer() as renderer:
            found = await renderer.inspect(scenes.scene(ADAPTIVE), None, scenes.engine())
            subject = Subject(renderer=renderer, engine=scenes.engine(), inspection=found, directory=tmp_path)
            cutting, pasted, taken = found.cutting, tmp_path / "displaced.exr", []
            stage = await subject.open("peer", threads=0)
            try:
                async with renderer.assembly(cutting.width, cutting.height, cutting.region) as growing:
                    for number, bucket in enumerate(buckets.cells(cutting.region)):
                        held = buckets.widened(bucket, cutting.margin, cutting.region)
                        task = RenderTask(frame=subject.frame, directory=tmp_path / "buckets", region=held)
                        done = await stage.render(task, scenes.ignore)
                        off = 4 if number % 3 == 0 and held.right - 4 >= bucket.right else 0
                        said = Region(left=held.left - off, top=held.top, right=held.right - off, bottom=held.bottom)
                        await growing.paste(done.files[0], held=said, taken=bucket)
                        taken.append(bucket)
                    await growing.write(pasted)
            finally:
                await stage.aclose()
            return pasted, taken

    pasted, taken = scenes.run(displaced)
    region = taken[0]
    assert seams.figure(read(pasted)[0], read(passes)[0], taken, (region.left, region.top)) > seams.FIGURE_MOST
