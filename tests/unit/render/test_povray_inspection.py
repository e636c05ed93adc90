"""What is read of a scene for POV-Ray without POV-Ray."""

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mesh.ports.renderer import Engine, Inspection, Output, RendererError, SceneUnreadable
from mesh.render.blender import recipe as blender_recipe
from mesh.render.povray import files, inspection, recipe
from mesh.render.povray.inspection import output_of
from mesh.render.povray.options import complete
from mesh.render.povray.serving import Lines
from tools import povray_scenes

ENGINE = Engine(
    name="povray",
    version="3.7.0.10",
    build="x",
    program=Path("/nowhere/bin/povray"),
    embedded=False,
    renders=("POV-Ray",),
)


def inspect(scene: Path) -> Inspection:
    return inspection.inspect(scene, None, ENGINE)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_scene_alone_has_pov_rays_own_defaults(tmp_path: Path) -> None:
    found = inspect(write(tmp_path / "ball.pov", "#version 3.7;\nsphere { 0, 1 }"))
    assert found.output == Output(format="PNG", width=800, height=600, color_mode="RGB", depth=8)
    assert found.frame_names.name(1) == "ball1.png"
    assert (found.first_frame, found.last_frame) == (1, 1)
    assert found.saved_by == "3.7"
    assert found.output_directory == tmp_path
    assert "800x600" in found.warnings[0]
    assert found.refusals == found.missing == ()


def test_an_ini_beside_it_counts_unless_it_is_anothers(tmp_path: Path) -> None:
    scene = write(tmp_path / "ball.pov", "sphere { 0, 1 }")
    ini = write(tmp_path / "ball.ini", "Width=64\nHeight=48\nOutput_File_Name=out/b.png\n")
    assert (inspect(scene).output.width, inspect(scene).output_directory) == (64, tmp_path / "out")
    assert inspect(scene).frame_names.name(1) == "b1.png"
    write(ini, "Input_File_Name=other.pov\nWidth=64\n")
    assert inspect(scene).output.width == 800
    with pytest.raises(SceneUnreadable, match=r"other\.pov is not there"):
        inspect(ini)
    write(ini, "Input_File_Name=ball\nWidth=65\n")
    assert inspect(ini).output.width == inspect(scene).output.width == 65


def test_inis_include_each_other_but_not_for_ever(tmp_path: Path) -> None:
    write(tmp_path / "ball.pov", "sphere { 0, 1 }")
    write(tmp_path / "size.ini", "Width=64\n")
    ini = write(tmp_path / "ball.ini", "Input_File_Name=ball.pov\nInclude_Ini=size.ini\n")
    assert inspect(ini).output.width == 64
    write(ini, "Input_File_Name=ball.pov\nInclude_Ini=ball.ini\n")
    with pytest.raises(SceneUnreadable, match="deeper"):
        inspect(ini)


@pytest.mark.parametrize("text", ["Width=3\n", "Input_File_Name=/etc/passwd\n", "Input_File_Name=../a.pov\n"])
def test_an_ini_without_a_scene_of_its_own_is_named(text: str, tmp_path: Path) -> None:
    with pytest.raises(SceneUnreadable, match=r"a\.ini"):
        inspect(write(tmp_path / "a.ini", text))


def test_files_are_found_as_pov_ray_finds_them(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    write(tmp_path / "lib" / "parts.inc", '#declare Tex = "wood"; #include "deep/more"')
    write(tmp_path / "deep" / "more.inc", "height_field { png Tex }")
    for name in ("wood.png", "a.ttf"):
        (tmp_path / name).write_bytes(b"x")
    write(tmp_path / "s.ini", "Library_Path=lib\nLibrary_Path=none\n")
    scene = write(tmp_path / "s.pov", '#include "parts"\ntext { ttf "a" "A" 1, 0 }\n#if (file_exists("no.inc")) #end')
    found = inspect(scene)
    names = {file.name for file in found.files}
    assert names == {"s.pov", "_meshnode_library/0/parts.inc", "deep/more.inc", "wood.png", "a.ttf"}
    assert {each.kind for each in found.external} == {"include", "image", "font"}
    assert found.refusals == found.missing == ()
    assert recipe.parse(found.recipe).libraries == 1


def test_a_name_that_is_not_known_is_refused(tmp_path: Path) -> None:
    macro = '#macro M(Name) png Name #end\n#declare Other = "a.png"; #declare Other = str(1, 0, 0);\npng Other'
    found = inspect(write(tmp_path / "s.pov", f"sphere {{ 0, 1 }}\n{macro}"))
    assert [refusal.code for refusal in found.refusals] == ["computed-name"] * 2
    assert "s.pov line 2" in found.refusals[0].text


@pytest.mark.parametrize("name", ["/etc/passwd", "../a.inc", "a/../../b.inc", "a\\\\b.inc", ""])
def test_names_that_lead_out_are_refused_and_never_opened(name: str, tmp_path: Path) -> None:
    found = inspect(write(tmp_path / "in" / "s.pov", f'sphere {{ 0, 1 }}\n#include "{name}"'))
    assert [refusal.code for refusal in found.refusals] == ["path-outside"]
    assert len(found.files) == 1


def test_a_name_that_needs_quotes_is_another_in_the_tree(tmp_path: Path) -> None:
    found = inspect(write(tmp_path / "my own; scene.pov", "sphere { 0, 1 }"))
    assert [file.name for file in found.files] == ["scene.pov"]
    assert recipe.parse(found.recipe).main == "scene.pov"


@pytest.mark.parametrize(
    ("said", "form", "mode", "depth"),
    [
        ({}, "PNG", "RGB", 8),
        ({"Bits_Per_Color": "12"}, "PNG", "RGB", 16),
        ({"Output_Alpha": "on"}, "PNG", "RGBA", 8),
        ({"Grayscale_Output": "on"}, "PNG", "BW", 16),
        ({"Output_File_Type": "E", "Output_Alpha": "on"}, "OPEN_EXR", "RGBA", 16),
        ({"Output_File_Type": "J", "Output_Alpha": "on"}, "JPEG", "RGB", 8),
        ({"Output_File_Type": "S"}, "PNG", "RGB", 8),
        ({"Output_File_Type": "C"}, "TARGA", "RGB", 8),
        ({"Output_File_Type": "H"}, "HDR", "RGB", 32),
    ],
)
def test_the_output_is_what_pov_ray_writes(said: dict[str, str], form: str, mode: str, depth: int) -> None:
    output = output_of(complete(said))
    assert (output.format, output.color_mode, output.depth) == (form, mode, depth)


GOOD = {
    "renderer": "povray",
    "version": 1,
    "main": "a.pov",
    "prefix": "a",
    "libraries": 0,
    "headers": [],
    "settings": {"Width": "8", "Height": "8", "Output_File_Type": "N", "Bits_Per_Color": "8"},
    "declares": {},
    "absent": [],
}


@pytest.mark.parametrize(
    "change",
    [
        {"renderer": "blender"},
        {"version": 2},
        {"main": "/etc/passwd"},
        {"main": "../a.pov"},
        {"main": 'a" +Ix'},
        {"prefix": "a/b"},
        {"prefix": "../a"},
        {"libraries": 65},
        {"libraries": True},
        {"headers": ["/etc/passwd"]},
        {"headers": ['a" +Ix']},
        {"settings": {"Width": "8 +I/etc/passwd"}},
        {"settings": {"Input_File_Name": "x"}},
        {"settings": {}},
        {"settings": ["Width"]},
        {"declares": {"a b": "1"}},
        {"declares": {"a": "1\n2"}},
        {"absent": [1]},
    ],
)
def test_a_recipe_that_is_not_one_is_refused(change: dict[str, object]) -> None:
    assert recipe.parse(json.dumps(GOOD).encode()).main == "a.pov"
    with pytest.raises(SceneUnreadable):
        recipe.parse(json.dumps({**GOOD, **change}).encode())


def test_recipes_of_others_are_foreign() -> None:
    with pytest.raises(SceneUnreadable, match="not for POV-Ray"):
        recipe.parse(b'{"version":1,"main":"a.blend","links":[],"absent":[]}')
    with pytest.raises(SceneUnreadable):
        blender_recipe.parse(json.dumps(GOOD).encode())


@given(st.binary(max_size=200) | st.builds(lambda text: json.dumps({**GOOD, "main": text}).encode(), st.text()))
def test_any_bytes_give_a_recipe_or_an_error(data: bytes) -> None:
    with suppress(SceneUnreadable):
        assert files.is_plain(recipe.parse(data).main)


SCRAPS = st.sampled_from(
    [
        "#include",
        "#fopen",
        "png",
        '"a.inc"',
        '"b.png"',
        '"../x"',
        '"/etc/passwd"',
        "Name",
        "read",
        "{",
        "\n",
        "#declare",
    ]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    scene=st.binary(max_size=200) | st.lists(SCRAPS, max_size=40).map(lambda parts: " ".join(parts).encode()),
    ini=st.binary(max_size=100),
)
def test_any_bytes_give_an_inspection_or_an_error(scene: bytes, ini: bytes, tmp_path: Path) -> None:
    (tmp_path / "s.pov").write_bytes(scene)
    (tmp_path / "a.inc").write_bytes(scene)
    (tmp_path / "s.ini").write_bytes(ini)
    for path in (tmp_path / "s.pov", tmp_path / "s.ini"):
        try:
            inspection.saved_by(path)
            found = inspect(path)
        except RendererError:
            continue
        assert all(file.path.is_relative_to(tmp_path) for file in found.files)
        assert recipe.parse(found.recipe).main == "s.pov"


def test_the_projects_own_scenes_read_well(tmp_path: Path) -> None:
    povray_scenes.make(tmp_path)
    for name in povray_scenes.NAMES:
        for path in (tmp_path / name / f"{name}.pov", tmp_path / name / f"{name}.ini"):
            assert inspection.reads(path)
            assert inspection.saved_by(path).version == "3.7"


LOG = b"""povray: cannot open the user configuration file /root/.povray/3.7/povray.conf: No such file or directory
Persistence of Vision(tm) Ray Tracer Version 3.7.0.10.unofficial (g++ @
 x86_64-pc-linux-gnu)
Parser Options
  Input file: a.pov
==== [Rendering...] ====
Rendered 1024 of 72261 pixels (1%)\rRendered 2048 of 72261 pixels (2%)\r"""


def test_the_log_is_parted_from_progress_whole_and_byte_by_byte(capsys: pytest.CaptureFixture[str]) -> None:
    whole, bytewise = Lines(), Lines()
    whole.add(LOG)
    printed = capsys.readouterr().out
    for byte in LOG:
        bytewise.add(bytes([byte]))
    for lines in (whole, bytewise):
        assert (lines.done, lines.total, lines.version) == (2048, 72261, "3.7.0.10")
    assert capsys.readouterr().out == printed == "Parser Options\n  Input file: a.pov\n==== [Rendering...] ====\n"


UNDECLARED = b"""File 'e.pov' line 3: Parse Error: No matching } in 'pigment', undeclared
 identifier 'bogus' found
Fatal error in parser: Cannot parse input.
Render failed
"""
NO_FILE = b"""File 'e.pov' line 2: Possible Parse Error: Cannot find image file.
Fatal error in parser: Cannot open file.
"""


@pytest.mark.parametrize(
    ("log", "why"),
    [
        (
            UNDECLARED,
            "File 'e.pov' line 3: Parse Error: No matching } in 'pigment', undeclared identifier 'bogus' found",
        ),
        (NO_FILE, "File 'e.pov' line 2: Possible Parse Error: Cannot find image file."),
        (b"Failed to parse command-line option\n", "Failed to parse command-line option"),
        (b"", ""),
    ],
)
def test_why_there_is_no_picture_is_told_in_pov_rays_words(log: bytes, why: str) -> None:
    lines = Lines()
    lines.add(log)
    lines.end()
    assert lines.why() == why
