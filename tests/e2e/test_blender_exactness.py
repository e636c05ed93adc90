"""Frames of a stage against frames of Blender alone: equal in every bit, whatever the order they are rendered in."""

import functools
from pathlib import Path

import pytest

from mesh.ports.renderer import RECIPE_NAME, StageLimits
from mesh.render.blender import recipe
from tests.support import scenes

DEMO_FILES = ("textures/floor.png", "textures/wall.png", "library/textures/bands.png", "library/props.blend")


async def stage_frames(name: str, frames: tuple[int, ...], directory: Path) -> None:
    async with scenes.renderer() as renderer:
        stage = await scenes.opened(renderer, scenes.scene(name), directory / "tree")
        for frame in frames:
            await scenes.rendered(stage, frame, directory / "out")


@pytest.mark.parametrize("name", ["tiny", "tiny_exr", "nested", "sequence", "font"])
def test_every_bit_is_the_same(name: str, tmp_path: Path) -> None:
    scenes.run(stage_frames, name, (3, 1, 4, 2), tmp_path)
    frames = sorted((tmp_path / "out").iterdir())
    assert len(frames) == 4
    for frame in frames:
        assert scenes.changed_part(frame, scenes.reference(name, 1, 4) / frame.name) == 0.0, frame.name


def test_the_demo_is_the_same_and_its_frames_differ(tmp_path: Path) -> None:
    scenes.run(stage_frames, "demo_exr", (2, 1), tmp_path)
    one, two = sorted((tmp_path / "out").iterdir())
    known = scenes.reference("demo_exr", 1, 2)
    assert scenes.changed_part(one, known / one.name) == 0.0
    assert scenes.changed_part(two, known / two.name) == 0.0
    assert scenes.changed_part(one, known / two.name) > 0.01


def test_the_demos_files_are_those_that_are_taken_away() -> None:
    async def listed() -> set[str]:
        async with scenes.renderer() as renderer:
            found = await renderer.inspect(scenes.scene("demo"), None, scenes.engine())
            return {file.name for file in found.files}

    assert scenes.run(listed) == {"demo.blend", *DEMO_FILES}


@pytest.mark.parametrize("name", DEMO_FILES)
def test_each_file_of_the_demo_shows_in_its_pictures(name: str, tmp_path: Path) -> None:
    """Without any texture or library more than one pixel in a hundred changes."""

    async def render_without() -> Path:
        async with scenes.renderer() as renderer:
            own = scenes.own_scene("demo", tmp_path)
            (own.parent / name).unlink()
            stage = await scenes.opened(renderer, own, tmp_path / "tree")
            return (await scenes.rendered(stage, 1, tmp_path / "out")).files[0]

    frame = scenes.run(render_without)
    assert scenes.changed_part(frame, scenes.reference("demo", 1, 1) / frame.name) > 0.01


def test_a_fresh_stage_goes_on_the_same(tmp_path: Path) -> None:
    async def renew() -> None:
        async with scenes.renderer() as renderer:
            first = await scenes.opened(renderer, scenes.scene("tiny_exr"), tmp_path / "tree")
            await scenes.rendered(first, 1, tmp_path / "out")
            second = await renderer.open_stage(scenes.engine(), tmp_path / "tree", StageLimits(threads=2))
            await first.aclose()
            await scenes.rendered(second, 2, tmp_path / "out")

    scenes.run(renew)
    for frame in sorted((tmp_path / "out").iterdir()):
        assert scenes.changed_part(frame, scenes.reference("tiny_exr", 1, 4) / frame.name) == 0.0


def test_files_from_anywhere_find_their_place(tmp_path: Path) -> None:
    """A checkout in which every name is another one than the artist's renders the same."""

    async def scattered() -> Path:
        async with scenes.renderer() as renderer:
            found = await renderer.inspect(scenes.scene("nested"), None, scenes.engine())
            new = {file.name: f"x{index}/{Path(file.name).name}" for index, file in enumerate(found.files)}
            old = recipe.parse(found.recipe)
            links = [[new[owner], stored, new[target]] for owner, stored, target in old.links]
            document = {"version": 1, "main": new[old.main], "links": links, "absent": []}
            files = [
                scenes.CheckoutFile(name=new.get(file.name, file.name), size=file.size, blocks=file.blocks)
                for file in scenes.tree_files(found, scenes.as_json(document))
            ]
            assert {file.name for file in files} & set(new) == set()
            assert files[-1].name == RECIPE_NAME
            renderer.check_out(tmp_path / "tree", files)
            stage = await renderer.open_stage(scenes.engine(), tmp_path / "tree", StageLimits(threads=2))
            return (await scenes.rendered(stage, 2, tmp_path / "out")).files[0]

    frame = scenes.run(functools.partial(scattered))
    assert scenes.changed_part(frame, scenes.reference("nested", 1, 4) / frame.name) == 0.0
