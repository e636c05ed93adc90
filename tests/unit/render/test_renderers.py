"""One renderer made of several adapters: who is asked what."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
import trio

from mesh.ports.renderer import (
    Engine,
    EngineMissing,
    Engines,
    SavedBy,
    SceneUnreadable,
    StageLimits,
)
from mesh.render.installed import reads_blend, renderers
from mesh.render.povray import inspection
from mesh.render.renderers import Adapter, Renderers


def engine(name: str) -> Engine:
    return Engine(name=name, version="1.0", build="x", program=Path("/p"), embedded=False, renders=())


class Told:
    """An adapter that tells what it was asked."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked: list[str] = []

    async def probe(self, *, thorough: bool = False) -> Engines:
        self.asked.append(f"probe {thorough}")
        return Engines(usable=(engine(self.name),))

    def saved_by(self, scene: Path) -> SavedBy:
        return SavedBy(engine=self.name, version="1")

    async def inspect(self, scene: Path, *_: object) -> str:
        return f"{self.name} inspects {scene.name}"

    async def open_stage(self, _: Engine, tree: Path, __: StageLimits) -> str:
        return f"{self.name} opens {tree.name}"

    async def warm(self, _: Engine) -> None:
        self.asked.append("warm")

    async def aclose(self) -> None:
        self.asked.append("close")


def ends_with(name: str, scene: Path) -> bool:
    return scene.suffix == f".{name}"


@pytest.fixture
def adapters() -> dict[str, Told]:
    return {name: Told(name) for name in ("one", "two")}


@pytest.fixture
def made(adapters: dict[str, Told]) -> Renderers:
    return Renderers(
        {name: (cast("Adapter", adapter), functools.partial(ends_with, name)) for name, adapter in adapters.items()}
    )


def test_all_are_probed_and_closed(made: Renderers, adapters: dict[str, Told]) -> None:
    found = trio.run(functools.partial(made.probe, thorough=True))
    assert [each.name for each in found.usable] == ["one", "two"]
    trio.run(made.aclose)
    assert [each.asked for each in adapters.values()] == [["probe True", "close"]] * 2


def test_a_scene_goes_to_the_adapter_that_reads_it(made: Renderers) -> None:
    assert made.saved_by(Path("a.two")).engine == "two"
    assert trio.run(made.inspect, Path("a.one"), None, engine("one")) == "one inspects a.one"
    with pytest.raises(SceneUnreadable, match="for two, not for one"):
        trio.run(made.inspect, Path("a.two"), None, engine("one"))
    with pytest.raises(SceneUnreadable, match="no scene of one or two"):
        made.saved_by(Path("a.three"))


def test_a_tree_goes_to_the_adapter_of_its_engine(made: Renderers, adapters: dict[str, Told]) -> None:
    assert trio.run(made.open_stage, engine("two"), Path("tree"), StageLimits()) == "two opens tree"
    trio.run(made.warm, engine("one"))
    assert adapters["one"].asked == ["warm"]
    with pytest.raises(EngineMissing):
        trio.run(made.open_stage, engine("three"), Path("tree"), StageLimits())


@pytest.mark.parametrize(
    ("name", "data", "reads"),
    [
        ("a.blend", b"BLENDER-v402RENDH", "blender"),
        ("renamed.pov", b"BLENDER-v402RENDH", "blender"),
        ("packed", b"\x28\xb5\x2f\xfd....", "blender"),
        ("damaged.blend", b"sphere { 0, 1 }", "blender"),
        ("a.pov", b"sphere { 0, 1 }", "povray"),
        ("a.txt", b"#version 3.7;\n", "povray"),
        ("a.ini", b"Input_File_Name=a.pov", "povray"),
        ("renamed", b"; mine\nInput_File_Name=a.pov", "povray"),
        ("a.txt", b"Dear all", ""),
        ("a.pov", b"Dear all", ""),
        ("a.pov", b"sphere { \0 }", ""),
        ("a.png", b"\x89PNG\r\n\x1a\n", ""),
        ("empty", b"", ""),
    ],
)
def test_real_scenes_are_known_by_what_is_in_them(name: str, data: bytes, reads: str, tmp_path: Path) -> None:
    scene = tmp_path / name
    scene.write_bytes(data)
    kinds: dict[str, Callable[[Path], bool]] = {"blender": reads_blend, "povray": inspection.reads}
    assert next((kind for kind, does in kinds.items() if does(scene)), "") == reads
    if not reads:
        with pytest.raises(SceneUnreadable, match="no scene of blender or povray"):
            renderers(tmp_path).saved_by(scene)


@pytest.mark.parametrize("name", ["gone.blend", "gone.pov", "."])
def test_a_scene_that_cannot_be_opened_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(SceneUnreadable):
        renderers(tmp_path).saved_by(tmp_path / name)
