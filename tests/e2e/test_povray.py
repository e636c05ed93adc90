"""POV-Ray itself: frames, buckets, what is refused, and how it ends."""

import hashlib
import itertools
import os
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from mesh.ports.renderer import (
    FinishTask,
    FrameFailed,
    OutputUnwritable,
    PathLeavesTree,
    Progress,
    RendererCrashed,
    RendererHung,
    RendererOutOfMemory,
    RenderTask,
    SceneRefused,
    SceneUnreadable,
    StageClosed,
    StageLimits,
)
from mesh.render.assemble import assembly
from mesh.render.povray import confine, proving, recipe, stages
from mesh.wire.grids import Region
from tests.support import povray, scenes
from tests.support.povray import timed


def by_itself(path: Path, *more: str) -> Path:
    """Render a scene as its artist would, with its own .ini, and give the picture."""
    out = path.parent / "by-itself"
    out.mkdir()
    command = [povray.engine().program, f"{path.stem}.ini", f"Output_File_Name={out}/", "-D", "-GA", "+WT1", *more]
    subprocess.run(command, cwd=path.parent, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    (picture,) = out.iterdir()
    return picture


def add(path: Path, text: str) -> None:
    """Add to a file."""
    path.write_text(path.read_text(encoding="ascii") + text, encoding="ascii")


def children_of(pid: int) -> list[int]:
    """List the processes that a process has started and that still are."""
    found = [task / "children" for task in Path(f"/proc/{pid}/task").iterdir()]
    return [int(child) for each in found for child in each.read_text().split()]


def allowed_file() -> str:
    """Find a file that every program behind the wall may read."""
    return next(str(path) for path in Path("/usr/lib").rglob("*") if path.is_file() and not path.is_symlink())


@timed
async def test_a_frame_is_what_the_artist_would_get(tmp_path: Path) -> None:
    path = povray.scene("still", tmp_path)
    heard: list[Progress] = []
    async with povray.renderer() as renderer:
        stage = await povray.opened(renderer, path, tmp_path / "tree")
        done = await stage.render(RenderTask(frame=1, directory=tmp_path / "out"), heard.append)
        report = await renderer.check_picture(done.files[0], stage.output)
    assert not report.constant
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["still1.png"]
    assert scenes.changed_part(done.files[0], by_itself(path)) == 0
    assert any(0 < progress.sample <= progress.samples for progress in heard)
    assert done.memory_bytes > 0
    assert "POV-Ray finished" in done.log


@pytest.mark.parametrize("name", ["still", "deep", "dithered", "halves", "grey"])
@timed
async def test_what_is_pasted_from_buckets_is_the_whole(name: str, tmp_path: Path) -> None:
    """Slow: six processes for each kind of picture."""
    path = povray.scene(name, tmp_path)
    columns, rows = (0, 96, 201, 333), (0, 77, 217)
    async with povray.renderer() as renderer:
        found = await renderer.inspect(path, None, povray.engine())
        assert found.cutting.obstacles == ()
        stage = await povray.opened(renderer, path, tmp_path / "tree")
        async with assembly(found.cutting.width, found.cutting.height, found.cutting.region) as picture:
            for (top, bottom), (left, right) in itertools.product(
                itertools.pairwise(rows), itertools.pairwise(columns)
            ):
                region = Region(left=left, top=top, right=right, bottom=bottom)
                task = RenderTask(frame=1, directory=tmp_path / "buckets", region=region)
                (bucket,) = (await stage.render(task, scenes.ignore)).files
                assert bucket.suffix == ".exr"
                assert scenes.pixels(bucket).shape[:2] == (region.height, region.width)
                await picture.paste(bucket, held=region, taken=region)
            await picture.write(tmp_path / "passes.exr")
        task = FinishTask(frame=1, directory=tmp_path / "out", passes=tmp_path / "passes.exr")
        (made,) = (await stage.finish(task, scenes.ignore)).files
        report = await renderer.check_picture(made, stage.output)
    assert (report.width, report.height, report.constant) == (333, 217, False)
    own = by_itself(path)
    assert made.name == found.frame_names.name(1)
    assert scenes.changed_part(made, own) == 0
    if made.suffix == ".png":
        assert _header(made) == _header(own)


def _header(picture: Path) -> list[tuple[bytes, bytes]]:
    """Give what a PNG says of how its values are meant."""
    data, at, found = picture.read_bytes(), 8, []
    while at < len(data):
        length, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if name in (b"IHDR", b"gAMA", b"sRGB", b"sBIT", b"cHRM"):
            found.append((name, data[at + 8 : at + 8 + length]))
        at += length + 12
    return found


@timed
async def test_an_animation_has_its_clock_and_its_names(tmp_path: Path) -> None:
    path = povray.scene("moving", tmp_path)
    async with povray.renderer() as renderer:
        found = await renderer.inspect(path.with_suffix(".ini"), None, povray.engine())
        assert (found.first_frame, found.last_frame, found.frame_step) == (1, 12, 1)
        assert found.output_directory == path.parent / "out"
        stage = await povray.opened(renderer, path, tmp_path / "tree")
        done = [await scenes.rendered(stage, frame, tmp_path / "out") for frame in (12, 3)]
    assert [each.files[0].name for each in done] == ["shot_12.png", "shot_03.png"]
    assert scenes.changed_part(done[1].files[0], by_itself(path, "+SF3", "+EF3")) == 0
    assert scenes.changed_part(done[0].files[0], done[1].files[0]) > 0.1


@timed
async def test_frames_that_the_scene_does_not_have_are_refused(tmp_path: Path) -> None:
    async with povray.renderer() as renderer:
        found = await renderer.inspect(povray.scene("moving", tmp_path), [range(1, 20)], povray.engine())
        assert [refusal.code for refusal in found.refusals] == ["frame-outside"]
        found = await renderer.inspect(povray.scene("still", tmp_path), [range(2, 3)], povray.engine())
        assert "it is a still" in found.refusals[0].text


@timed
async def test_missing_files_are_named_and_a_peer_renders_without_them_only_if_told(tmp_path: Path) -> None:
    path = povray.scene("lacking", tmp_path)
    async with povray.renderer() as renderer:
        found = await renderer.inspect(path, None, povray.engine())
        assert {refusal.code for refusal in found.missing} == {"missing-include", "missing-image"}
        assert {Path(refusal.subject).name for refusal in found.missing} == {"lost.inc", "lost.png"}
        # The submitter knew of them: what POV-Ray says is what people read.
        stage = await povray.opened(renderer, path, tmp_path / "tree")
        with pytest.raises(FrameFailed, match=r"line \d+.*lost\.inc"):
            await scenes.rendered(stage, 1, tmp_path / "out")
        unknown = found.recipe.replace(b'["lost.inc","lost.png"]', b"[]")
        assert unknown != found.recipe
        with pytest.raises(SceneRefused, match=r"lost\.inc is missing"):
            await povray.opened(renderer, path, tmp_path / "other", recipe=unknown)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("radiosity", "radiosity"),
        ("photons", "photons"),
        ("media", "media"),
        ("jitter", "jitter"),
        ("grains", "crand"),
        ("diffused", "dither"),
        ("jpeg", "file-format"),
    ],
)
def test_what_cannot_be_cut_is_named(name: str, code: str, tmp_path: Path) -> None:
    from mesh.render.povray import inspection

    found = inspection.inspect(povray.scene(name, tmp_path), None, povray.engine())
    assert [refusal.code for refusal in found.cutting.obstacles] == [code]
    assert found.refusals == ()


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("prying", "path-outside"),
        ("climbing", "path-outside"),
        ("computing", "computed-name"),
        ("writing", "writes-files"),
        ("shelling", "shell-out"),
    ],
)
@timed
async def test_what_is_refused_here_is_refused_everywhere(name: str, code: str, tmp_path: Path) -> None:
    path = povray.scene(name, tmp_path)
    async with povray.renderer() as renderer:
        found = await renderer.inspect(path, None, povray.engine())
        assert code in {refusal.code for refusal in found.refusals}
        if code == "shell-out":
            assert b"rm" not in found.recipe
            return
        error = PathLeavesTree if code == "path-outside" else SceneRefused
        with pytest.raises(error):
            await povray.opened(renderer, path, tmp_path / "tree")


@timed
async def test_what_gets_by_all_that_meets_the_wall(tmp_path: Path) -> None:
    """A scene that was never looked at reads nothing outside, and writes nothing."""
    outside = tmp_path / "secret.inc"
    outside.write_text("#declare Secret = 1;\n", encoding="ascii")
    tree = tmp_path / "tree"
    tree.mkdir()
    settings = {"Width": "8", "Height": "8", "Output_File_Type": "N", "Bits_Per_Color": "8"}
    bodies = {
        f'#include "{outside}"': "secret.inc",
        f'#include concat("{tmp_path}/sec", "ret.inc")': "secret.inc",
        '#include "../secret.inc"': "secret.inc",
        '#fopen F "/etc/passwd" read': "passwd",
        '#fopen F "left.txt" write': "left.txt",
    }
    session = await stages.launch(povray.engine().program)
    try:
        for body, named in bodies.items():
            (tree / "a.pov").write_text(f"#version 3.7;\n{body}\nsphere {{ 0, 1 }}\n", encoding="ascii")
            written = recipe.Recipe(main="a.pov", prefix="a", libraries=0, headers=(), settings=settings, declares={})
            scene = stages.Scene(program=povray.engine().program, directory=tree, recipe=written, libraries=())
            await stages.open_scene(session, scene, StageLimits(threads=1))
            with pytest.raises(SceneUnreadable, match=named):
                await session.ask(60_000, do="try", arguments=[])
        assert [path.name for path in tree.iterdir()] == ["a.pov"]
    finally:
        await session.child.aclose()


@timed
async def test_a_python_that_lies_where_every_program_may_read_breaks_no_pov_ray(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashlib, "__file__", allowed_file())
    found = await proving.find(tmp_path, lambda _: None)
    assert found.broken == ()
    assert [engine.program for engine in found.usable] == [povray.engine().program]


@pytest.mark.parametrize(
    ("prying", "reason"), [('#error "no such luck"', "no such luck"), ("sphere { 0, 1 }", "reads files outside")]
)
@timed
async def test_only_one_that_fails_at_the_file_outside_is_proven(
    prying: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proving, "_PRYING", f"{prying}\n{proving._LIT}")
    found = await proving.find(tmp_path, lambda _: None)
    assert found.usable == ()
    assert reason in found.broken[0].reason


@timed
async def test_temporary_files_where_every_scene_may_read_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confine, "SYSTEM", (*confine.SYSTEM, tempfile.gettempdir()))
    found = await proving.find(tmp_path, lambda _: None)
    assert "set TMPDIR" in found.broken[0].reason


@timed
async def test_a_mistake_is_told_in_pov_rays_own_words(tmp_path: Path) -> None:
    path = povray.scene("mistaken", tmp_path)
    async with povray.renderer() as renderer:
        with pytest.raises(SceneUnreadable, match=r"mistaken\.pov' line \d+: Parse Error: .*blu"):
            await renderer.inspect(path, None, povray.engine())


@timed
async def test_a_frame_that_fails_leaves_the_stage_open(tmp_path: Path) -> None:
    path = povray.scene("moving", tmp_path)
    add(path, '#if (frame_number = 2)\n  #error "no second frame"\n#end\n')
    async with povray.renderer() as renderer:
        stage = await povray.opened(renderer, path, tmp_path / "tree")
        with pytest.raises(FrameFailed, match=r"Parse halted by #error directive: no second frame") as caught:
            await scenes.rendered(stage, 2, tmp_path / "out")
        assert "Parse Error" in caught.value.log
        await scenes.rendered(stage, 1, tmp_path / "out")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["shot_01.png"]


@timed
async def test_a_killed_stage_leaves_no_process_and_no_file(tmp_path: Path) -> None:
    running: list[int] = []
    async with povray.renderer() as renderer:
        stage = await povray.opened(renderer, povray.scene("slow", tmp_path), tmp_path / "tree")

        def kill(_: Progress) -> None:
            assert stage._session is not None
            running.extend([stage._session.child.pid, *children_of(stage._session.child.pid)])
            stage.kill()

        with pytest.raises(StageClosed):
            await stage.render(RenderTask(frame=1, directory=tmp_path / "out"), kill)
        with pytest.raises(StageClosed):
            await scenes.rendered(stage, 1, tmp_path / "out")
    assert len(set(running)) == 2
    assert not any(map(scenes.is_alive, running))
    assert list((tmp_path / "out").iterdir()) == []


@timed
async def test_pov_ray_ends_with_whoever_stands_beside_it(tmp_path: Path) -> None:
    async with povray.renderer() as renderer:
        stage = await povray.opened(renderer, povray.scene("slow", tmp_path), tmp_path / "tree")
        assert stage._session is not None
        beside = stage._session.child.pid
        program: list[int] = []

        def end(_: Progress) -> None:
            program.extend(children_of(beside))
            os.kill(beside, signal.SIGKILL)

        with pytest.raises(RendererCrashed, match="signal 9"):
            await stage.render(RenderTask(frame=1, directory=tmp_path / "out"), end)
        await renderer.aclose()
    assert program
    assert not any(map(scenes.is_alive, program))


@timed
async def test_one_that_shows_no_life_is_ended(tmp_path: Path) -> None:
    async with povray.renderer() as renderer:
        limits = StageLimits(threads=1, silence_ms=3000)
        stage = await povray.opened(renderer, povray.scene("slow", tmp_path), tmp_path / "tree", limits)
        assert stage._session is not None
        beside = stage._session.child.pid

        def stop(_: Progress) -> None:
            for pid in children_of(beside):
                os.kill(pid, signal.SIGSTOP)

        with pytest.raises(RendererHung):
            await stage.render(RenderTask(frame=1, directory=tmp_path / "out"), stop)
        assert not children_of(os.getpid())


@timed
async def test_one_that_takes_too_much_memory_is_ended(tmp_path: Path) -> None:
    path = povray.scene("greedy", tmp_path)
    async with povray.renderer() as renderer:
        limits = StageLimits(threads=1, memory_bytes=64 << 20)
        stage = await povray.opened(renderer, path, tmp_path / "tree", limits)
        with pytest.raises(RendererOutOfMemory):
            await scenes.rendered(stage, 1, tmp_path / "out")


@timed
async def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    async with povray.renderer() as renderer:
        stage = await povray.opened(renderer, povray.scene("moving", tmp_path), tmp_path / "tree")
        (tmp_path / "out").write_bytes(b"a file")
        with pytest.raises(OutputUnwritable):
            await scenes.rendered(stage, 1, tmp_path / "out")
        (tmp_path / "kept").mkdir()
        await scenes.rendered(stage, 1, tmp_path / "kept")


@timed
async def test_a_library_travels_with_the_scene(tmp_path: Path) -> None:
    path = povray.scene("moving", tmp_path)
    library = tmp_path / "a library of parts"
    (library / "sub").mkdir(parents=True)
    (library / "sub" / "extra.inc").write_text("sphere { <-1.5, 1, 0>, 0.5 pigment { Red } }\n", encoding="ascii")
    add(path, '#include "sub/extra.inc"\n')
    add(path.with_suffix(".ini"), f'Library_Path="{library}"\n')
    async with povray.renderer() as renderer:
        found = await renderer.inspect(path, None, povray.engine())
        assert "_meshnode_library/0/sub/extra.inc" in {file.name for file in found.files}
        stage = await povray.opened(renderer, path, tmp_path / "tree")
        done = await scenes.rendered(stage, 1, tmp_path / "out")
    assert scenes.changed_part(done.files[0], by_itself(path, "+SF1", "+EF1")) == 0
