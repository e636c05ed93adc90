"""The demo does what it promises, leaves nothing behind, and its verdicts can be wrong: the proof is proven."""

import itertools
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import OpenImageIO
import pytest

from tests.support import peers, scenes
from tools import demo
from tools.judge import Engine, judge, render_references
from tools.peers import processes, wait_for
from tools.watching import Frame, Span, Watched

ROOT = Path(__file__).resolve().parents[2]
FRAMES = 8
DEMO_S = 280.0
START_S = 60.0
PART_DIFFERS = 0.01 * 432 * 243
"""Pixels in which any two frames differ at least."""


def frame(number: int, peer: str) -> Frame:
    return Frame(frame=number, file=f"frame_{number:04d}.png", peer=peer, render_ms=1000)


def test_the_demo_proves_its_frames_and_ends_well(tmp_path: Path) -> None:
    """Slow: eight frames and three with floats, by three peers, and again by Blender alone."""
    scenes.engine()
    kept = tmp_path / "kept"
    command = [sys.executable, "tools/demo.py", "--frames", str(FRAMES), "--keep", str(kept)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=DEMO_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "killed" in done.stdout
    assert done.stdout.count("equal in every bit") == FRAMES + demo.FRAMES_EXR
    assert str(kept / "contact-sheet.png") in done.stdout
    sheet = OpenImageIO.ImageBuf(str(kept / "contact-sheet.png"))
    assert (sheet.spec().width, sheet.spec().nchannels) == (1364, 3)
    assert np.asarray(sheet.get_pixels("uint8")).std() > 10
    assert processes(f"TMPDIR={kept}".encode()) == []
    alone = sorted((kept / "references" / "demo").rglob("frame_*.png"))
    assert {path.name for path in alone} == {f"frame_{number:04d}.png" for number in range(1, FRAMES + 1)}
    for one, other in itertools.combinations(alone, 2):
        assert judge(one, [other]).difference.pixels > PART_DIFFERS, "no frame passes for another"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_ends_its_peers(number: signal.Signals, tmp_path: Path) -> None:
    scenes.engine()
    kept = tmp_path / "kept"
    command = [sys.executable, "tools/demo.py", "--keep", str(kept)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        mark = f"TMPDIR={kept}".encode()
        try:
            wait_for("peers run", lambda: len(processes(mark)) >= 3, START_S)
            # As a terminal does: every process of the group hears it.
            os.killpg(process.pid, number)
            assert process.wait(timeout=START_S) == 130
            assert processes(mark) == []
        finally:
            process.kill()
    assert not kept.exists()


def test_a_demo_that_cannot_go_on_says_why(tmp_path: Path) -> None:
    scenes.engine()
    command = [sys.executable, "tools/demo.py", "--engine", "1.0", "--keep", str(tmp_path / "kept")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=START_S, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "There is no engine 1.0 here" in done.stdout


def test_an_engine_that_may_scatter_is_measured_against_itself(tmp_path: Path) -> None:
    """A Blender that was installed: here it happens to repeat itself."""
    program = Path(peers.engine_with("none")["PATH"].split(os.pathsep)[0]) / "blender"
    engine = Engine(program=program, version="4.2.23", embedded=False)
    references = render_references(engine, scenes.scene("tiny"), tmp_path / "alone", 2, 3)
    assert len(references) == 5
    alone = scenes.reference("tiny", 1, 4)
    assert judge(alone / "frame_0003.png", [each / "frame_0003.png" for each in references]).good
    assert not judge(alone / "frame_0002.png", [each / "frame_0003.png" for each in references]).good


def test_two_swapped_frames_fail(tmp_path: Path) -> None:
    alone = scenes.reference("tiny", 1, 4)
    shutil.copytree(alone, tmp_path / "delivered")
    one, two = (tmp_path / "delivered" / f"frame_{number:04d}.png" for number in (2, 3))
    one.rename(tmp_path / "swapped")
    two.rename(one)
    (tmp_path / "swapped").rename(two)
    verdicts = {path.name: judge(path, [alone / path.name]) for path in (tmp_path / "delivered").iterdir()}
    assert {name for name, verdict in verdicts.items() if not verdict.good} == {one.name, two.name}
    assert all(verdict.difference.pixels for verdict in (verdicts[one.name], verdicts[two.name]))


def test_two_frames_of_the_demo_differ_widely() -> None:
    """Every frame shows its own number, so that no frame can pass for another."""
    alone = scenes.reference("demo_exr", 1, 2)
    for one, other in itertools.combinations(sorted(alone.iterdir()), 2):
        assert judge(one, [other]).difference.pixels > PART_DIFFERS


def test_one_float_of_a_frame_changed_by_a_unit_in_the_last_place_fails(tmp_path: Path) -> None:
    alone = scenes.reference("tiny_exr", 1, 4) / "frame_0001.exr"
    changed = OpenImageIO.ImageBuf(str(alone))
    pixel = changed.getpixel(30, 20)
    changed.setpixel(30, 20, 0, [*pixel[:1], np.nextafter(np.float32(pixel[1]), np.float32(9)), *pixel[2:]])
    assert changed.write(str(tmp_path / alone.name))
    assert judge(alone, [alone]).good
    verdict = judge(tmp_path / alone.name, [alone])
    assert verdict.difference.pixels == 1
    assert not verdict.good


def watched(tmp_path: Path, *frames: Frame, together: tuple[str, ...] = ("ada", "bela")) -> Watched:
    for one in frames:
        (tmp_path / one.file).touch()
    return Watched(job="", out=tmp_path, frames=list(frames), together={frozenset(together)})


def test_a_run_as_promised_has_no_problems(tmp_path: Path) -> None:
    seen = watched(tmp_path, *(frame(number, "ada" if number > 1 else "bela") for number in range(1, 6)))
    assert demo.check_run(seen, ["ada", "bela"]) == []


def test_whatever_was_not_as_promised_is_said(tmp_path: Path) -> None:
    frames = [frame(number, "ada" if number > 1 else "bela") for number in range(1, 7)]
    seen = watched(tmp_path, *frames, together=("ada",))
    (tmp_path / "frame_0003.png").unlink()
    seen.orphans.append("4711 (blender)")
    seen.bars.append(Span(peer="cleo", frame=3, begin_s=0, end_s=1, cut=True))
    said = demo.check_run(seen, ["ada", "bela"])
    assert [sentence.split()[0] for sentence in said] == ["These", "bela", "The", "Renderers"]
    assert "frame_0003.png" in said[0]
    assert "1 of 6" in said[1]
    assert "4711" in said[3]
