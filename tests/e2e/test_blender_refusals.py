"""Scenes that would render wrong elsewhere, or reach out of their tree, are refused by name, twice."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from mesh.ports.renderer import (
    RECIPE_NAME,
    CheckoutFile,
    EngineTooOld,
    PathLeavesTree,
    RendererError,
    SceneRefused,
    StageLimits,
)
from mesh.render.blender import blendfile
from tests.support import scenes

REFUSED = {
    "python_driver": {"python-driver"},
    "undefined_node": {"undefined-node"},
    "absent_engine": {"absent-engine"},
    "unbaked_cloth": {"unbaked-simulation"},
    "many_refusals": {"no-camera", "movie-output", "file-output-node", "udim", "movie-clip"},
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_at_submit_and_again_on_the_peer(name: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with scenes.renderer() as renderer:
            found = await renderer.inspect(scenes.scene(name), None, scenes.engine())
            assert {refusal.code for refusal in found.refusals} == REFUSED[name]
            assert all(refusal.subject and refusal.text and refusal.remedy for refusal in found.refusals)
            renderer.check_out(tmp_path / "tree", scenes.tree_files(found))
            with pytest.raises(SceneRefused) as raised:
                await renderer.open_stage(scenes.engine(), tmp_path / "tree", StageLimits())
            assert REFUSED[name] <= {refusal.code for refusal in raised.value.refusals}

    scenes.run(main)


def test_a_simple_driver_is_no_python(tmp_path: Path) -> None:
    """The refused scene has a second driver, which Blender evaluates by itself."""

    async def main() -> None:
        async with scenes.renderer() as renderer:
            found = await renderer.inspect(scenes.scene("python_driver"), None, scenes.engine())
        (refusal,) = found.refusals
        assert "sin(" not in refusal.text

    scenes.run(main)


@pytest.mark.parametrize(
    ("name", "missing", "user"),
    [
        ("missing_texture", "textures/checks.png", "material 'Floor'"),
        ("missing_library", "deep/inner.blend", "object 'Inner'"),
    ],
)
def test_a_missing_file_is_named_with_its_user(name: str, missing: str, user: str) -> None:
    async def main() -> None:
        async with scenes.renderer() as renderer:
            found = await renderer.inspect(scenes.scene(name), None, scenes.engine())
        (refusal,) = found.missing
        assert refusal.subject == str(scenes.scene(name).parent / missing)
        assert user in refusal.text

    scenes.run(main)


def test_a_peer_never_renders_with_a_file_missing(tmp_path: Path) -> None:
    async def main() -> None:
        async with scenes.renderer() as renderer:
            found = await renderer.inspect(scenes.scene("nested"), None, scenes.engine())
            for name in ("far/floor.png", "deep/inner.blend", "deep/inner.png"):
                files = [file for file in scenes.tree_files(found) if file.name != name]
                renderer.check_out(tmp_path / "tree", files)
                with pytest.raises(SceneRefused, match=name):
                    await renderer.open_stage(scenes.engine(), tmp_path / "tree", StageLimits())

    scenes.run(main)


@pytest.mark.parametrize("name", ["nested.blend", "deep/inner.blend"])
def test_a_file_of_a_newer_blender_is_refused_before_any_launch(name: str, tmp_path: Path) -> None:
    own = scenes.own_scene("nested", tmp_path)
    path = own.parent / name
    path.write_bytes(path.read_bytes().replace(b"BLENDER-v402", b"BLENDER-v405", 1))

    async def main() -> None:
        async with scenes.renderer() as renderer:
            with pytest.raises(EngineTooOld, match=r"4\.5"):
                await renderer.inspect(own, None, scenes.engine())
            good = await renderer.inspect(scenes.scene("nested"), None, scenes.engine())
            files = [
                scenes.CheckoutFile(name=file.name, size=file.size, blocks=[(own.parent / file.name).read_bytes()])
                if file.name.endswith(".blend")
                else file
                for file in scenes.tree_files(good)
            ]
            renderer.check_out(tmp_path / "tree", files)
            with pytest.raises(EngineTooOld, match=r"4\.5"):
                await renderer.open_stage(scenes.engine(), tmp_path / "tree", StageLimits())

    scenes.run(main)


def test_a_registered_script_warns_and_does_not_run(tmp_path: Path) -> None:
    path = scenes.scene("canary")

    async def main() -> None:
        async with scenes.renderer() as renderer:
            found = await renderer.inspect(path, None, scenes.engine())
            assert any("spy.py" in warning for warning in found.warnings)
            stage = await scenes.opened(renderer, path, tmp_path / "tree")
            await scenes.rendered(stage, 1, tmp_path / "out")

    scenes.run(main)
    assert sorted(file.name for file in (path.parent.parent / "beyond").iterdir()) == ["canary.png"]


SEEN_AFTER = {"Image": "tiny", "VFont": "font", "Library": "nested"}
"""What still names the file outside once the scene is loaded, and a scene that has one."""

UNSEEN = ("ImageView", "CacheFileLayer")
"""What no script can see: it is refused before the scene is loaded."""

OTHERS = tuple(kind for kind in blendfile.PATH_FIELDS if kind not in (*SEEN_AFTER, *UNSEEN))
"""What the mesh does not carry: it is loaded without its files, and refused by name."""


async def open_with_pipes(name: str, kinds: Sequence[str], tmp_path: Path) -> tuple[RendererError, list[Path]]:
    """Open a scene in which paths of these kinds lead to named pipes outside: whoever opened one would wait for ever.

    Give the error, and the pipes.
    """
    main = f"{name}.blend"
    files = [file for file in scenes.scene(name).parent.rglob("*") if file.is_file()]
    document = {"version": 1, "main": main, "links": [], "absent": []}
    pipes = []
    async with scenes.renderer() as renderer:
        named = [(file.relative_to(scenes.scene(name).parent).as_posix(), file.read_bytes()) for file in files]
        named.append((RECIPE_NAME, scenes.as_json(document)))
        renderer.check_out(
            tmp_path / "tree", [CheckoutFile(name=name, size=len(data), blocks=[data]) for name, data in named]
        )
        changes = {}
        for stored in blendfile.scan(str(tmp_path / "tree" / main)).paths:
            # Of two libraries the outer one is opened for the scene's own sake.
            if stored.kind in kinds and (stored.kind != "Library" or stored.stored == "//outer.blend"):
                pipe = tmp_path / f"{stored.kind}-{stored.offset}"
                os.mkfifo(pipe)
                pipes.append(pipe)
                changes[stored.offset] = (stored.size, str(pipe))
        blendfile.rewrite(str(tmp_path / "tree" / main), changes)
        with trio.fail_after(60), pytest.raises(RendererError) as raised:
            await renderer.open_stage(scenes.engine(), tmp_path / "tree", StageLimits())
    return raised.value, pipes


@pytest.mark.parametrize("kind", [*SEEN_AFTER, *UNSEEN])
def test_nothing_outside_the_tree_is_opened(kind: str, tmp_path: Path) -> None:
    error, pipes = scenes.run(open_with_pipes, SEEN_AFTER.get(kind, "every_path"), [kind], tmp_path)
    assert isinstance(error, PathLeavesTree), error
    assert any(str(pipe) in str(error) for pipe in pipes)


def test_nothing_outside_the_tree_is_opened_by_what_is_refused_by_name(tmp_path: Path) -> None:
    error, pipes = scenes.run(open_with_pipes, "every_path", OTHERS, tmp_path)
    assert {pipe.name.partition("-")[0] for pipe in pipes} == set(OTHERS), "a kind of path that no test scene has"
    assert isinstance(error, SceneRefused), error


def test_views_of_an_image_are_refused_by_name() -> None:
    async def main() -> None:
        async with scenes.renderer() as renderer:
            found = await renderer.inspect(scenes.scene("every_path"), None, scenes.engine())
        assert "multiview-image" in {refusal.code for refusal in found.refusals}

    scenes.run(main)


@pytest.mark.parametrize("target", ["../canary", "/etc/passwd", "a/../../canary"])
def test_a_recipe_cannot_lead_out_of_the_tree(target: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with scenes.renderer() as renderer:
            found = await renderer.inspect(scenes.scene("tiny"), None, scenes.engine())
            links = [["tiny.blend", "//textures/checks.png", target]]
            document = {"version": 1, "main": "tiny.blend", "links": links, "absent": []}
            renderer.check_out(tmp_path / "tree", scenes.tree_files(found, scenes.as_json(document)))
            with pytest.raises(PathLeavesTree):
                await renderer.open_stage(scenes.engine(), tmp_path / "tree", StageLimits())

    scenes.run(main)
