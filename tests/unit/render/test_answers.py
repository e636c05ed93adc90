"""What Blender prints and says, read without Blender."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.ports.renderer import (
    Cutting,
    Engine,
    EngineBroken,
    ExternalFile,
    FrameNames,
    Inspection,
    Refusal,
    SceneUnreadable,
)
from mesh.render import process
from mesh.render.blender.inspection import Closure, assemble, missing_datablocks
from mesh.render.blender.session import command_line, printed_progress
from mesh.wire.grids import Region

LOG_42 = """\
Read blend: "/p/s.blend"
Warning: LIB: Object: 'Tree' missing from '//lib/props.blend', parent '<direct>'
LIB: Material: 'Bark's' missing from '//lib/props.blend', parent '//lib/deep.blend'
LIB: Object: 'Gone' missing from '//lib/gone.blend', parent '<direct>'
"""


def library(name: str, *, missing: bool) -> ExternalFile:
    path = Path("/p/lib") / name
    return ExternalFile(
        kind="library",
        path=path,
        stored=f"//lib/{name}",
        owner=Path("/p/s.blend"),
        user="",
        files=(path,),
        missing=(path,) if missing else (),
    )


def test_missing_datablocks_are_read_from_the_log_but_not_those_of_missing_libraries() -> None:
    external = [library("props.blend", missing=False), library("gone.blend", missing=True)]
    found = missing_datablocks(LOG_42 + LOG_42, external)
    assert [(refusal.code, refusal.subject) for refusal in found] == [
        ("missing-datablock", "Tree"),
        ("missing-datablock", "Bark's"),
    ]


LOG_34 = """\
Fra:7 Mem:13.27M (Peak 13.27M) | Time:00:00.00 | Mem:0.20M, Peak:0.20M | Scene, ViewLayer | Updating Lights
Fra:7 Mem:13.27M (Peak 13.27M) | Time:00:02.10 | Remaining:00:08.00 | Mem:0.20M | Scene, ViewLayer | Sample 12/64
Saved: '/p/frame_0007.png'
"""


def test_progress_is_read_from_what_old_blenders_print() -> None:
    found = printed_progress(LOG_34)
    assert found is not None
    assert (found["sample"], found["samples"]) == (12, 64)
    first = printed_progress(LOG_34.splitlines()[0])
    assert first is not None
    assert (first["sample"], first["samples"]) == (0, 0)
    assert printed_progress("Saved: 'Fra:1 Sample 1/2'") is None


def test_frame_names() -> None:
    names = FrameNames(prefix="5.jpg", digits=4, suffix=".png")
    assert [names.name(frame) for frame in (12, -3, 12345)] == ["5.jpg0012.png", "5.jpg-0003.png", "5.jpg12345.png"]


def test_an_installed_blender_runs_no_scripts_and_no_startup_file() -> None:
    line = command_line(Path("/usr/bin/blender"), embedded=False)
    assert line[0] == "/usr/bin/blender"
    assert {"-b", "--factory-startup", "--disable-autoexec"} < set(line)
    assert line[-1] == "--"
    assert command_line(Path("/e/python"), embedded=True)[:2] == ["/e/python", "-I"]


def test_what_blender_says_of_a_scene_is_refused_where_it_makes_no_sense(tmp_path: Path) -> None:
    scene = tmp_path / "a.blend"
    scene.touch()
    engine = Engine(name="blender", version="4.2", build="abc", program=scene, embedded=True, renders=("CYCLES",))
    closure = Closure(saved_by="4.2", engines={}, stored=())
    nonsense: tuple[dict[str, object], ...] = (
        {},
        {"files": 7},
        {"files": [{}]},
        {"files": [], "scene": "Scene", "names": {"prefix": 1}},
    )
    for facts in nonsense:
        with pytest.raises(SceneUnreadable, match="makes no sense"):
            assemble(scene, engine, closure, facts, "")


CUTTING: dict[str, object] = {"width": 8, "height": 6, "region": [1, 2, 8, 6], "margin": 8, "obstacles": []} | {
    "samples": 16,
    "sample_obstacles": [],
}


def inspected(directory: Path, cutting: object) -> Inspection:
    """Put together an inspection of a scene of which Blender says this."""
    scene = directory / "a.blend"
    scene.touch()
    engine = Engine(name="blender", version="4.2", build="abc", program=scene, embedded=True, renders=("CYCLES",))
    facts = {
        "scene": "Scene",
        "render_engine": "CYCLES",
        "first": 1,
        "last": 2,
        "step": 1,
        "current": 1,
        "output": {"format": "PNG", "width": 8, "height": 6, "color_mode": "RGB", "depth": 8},
        "cutting": cutting,
        "directory": str(directory),
        "names": {"prefix": "", "digits": 4, "suffix": ".png"},
        "color": [],
        "files": [],
        "refusals": [],
        "warnings": [],
    }
    return assemble(scene, engine, Closure(saved_by="4.2", engines={}, stored=()), facts, "")


def test_how_a_frame_can_be_cut_is_as_blender_says(tmp_path: Path) -> None:
    why = {"code": "whole-engine", "subject": "X", "text": "it does not", "remedy": "Cycles"}
    told = {"obstacles": [why], "sample_obstacles": [why, why]}
    assert inspected(tmp_path, CUTTING | told).cutting == Cutting(
        width=8,
        height=6,
        region=Region(left=1, top=2, right=8, bottom=6),
        margin=8,
        obstacles=(Refusal(**why),),
        samples=16,
        sample_obstacles=(Refusal(**why), Refusal(**why)),
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": 7},
        {"width": "8"},
        {"height": 2**17 + 1},
        {"width": 1e300},
        {"region": [1, 2, 8]},
        {"region": [1, 2, 8, 6, 9]},
        {"region": [1, 2, 1, 6]},
        {"region": [-1, 2, 8, 6]},
        {"region": [True, 2, 8, 6]},
        {"region": None},
        {"margin": -1},
        {"margin": 2**70},
        {"margin": None},
        {"obstacles": [7]},
        {"obstacles": [{"code": "x"}]},
        {"obstacles": [{"code": "x", "subject": "y", "text": ["z"]}]},
        {"obstacles": None},
        {"samples": -1},
        {"samples": 2**24 + 1},
        {"samples": True},
        {"samples": None},
        {"sample_obstacles": [7]},
        {"sample_obstacles": None},
    ],
    ids=str,
)
def test_a_cut_that_makes_no_sense_refuses_the_scene(wrong: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(SceneUnreadable, match="makes no sense"):
        inspected(tmp_path, CUTTING | wrong)
    with pytest.raises(SceneUnreadable, match="makes no sense"):
        inspected(tmp_path, None)


def test_a_program_that_gets_no_room_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(EngineBroken, match="does not start: No such file"):
        process.start(["/bin/true"])
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(EngineBroken, match="does not start: No such file"):
        process.start([str(tmp_path / "no program")])
    assert list(tmp_path.iterdir()) == []


@given(st.lists(st.binary(max_size=50_000), max_size=8), st.integers(min_value=0, max_value=200_000))
def test_the_log_keeps_its_end(parts: list[bytes], place: int) -> None:
    tail = process.LogTail()
    for part in parts:
        tail.add(part)
    whole = b"".join(parts)
    assert tail.place() == len(whole)
    kept = max(place, len(whole) - process.LOG_TAIL_BYTES)
    assert tail.since(place) == whole[kept:].decode("utf-8", "replace")
