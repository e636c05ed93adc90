#!/usr/bin/env python3
"""Show the mesh at work and prove its pictures: `python3 tools/demo.py`, from a fresh checkout and a bare Python.

Three peers found a mesh on this machine, one submits an animation, another is killed with SIGKILL in the middle of a
frame, and the rest deliver every frame. Then each frame is compared with what Blender alone renders of the same file:
equal in every bit, or, with an engine that does not repeat itself, no further off than its own pictures are from each
other. A second, short job does the same with float EXR files.

Ends with 0 when everything holds, with 1 and a plain sentence when a frame or a check does not, with 2 when the machine
lacks something. Only processes that were started here are ever signalled; Ctrl-C ends them all.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

sys.path[0] = str(Path(__file__).resolve().parent.parent)

from tools import setup

if __name__ == "__main__":
    setup.enter(__file__, ["render"])

from tools import scenes
from tools.compare import Unreadable
from tools.contact_sheet import Bar, Sheet, Tile, draw
from tools.judge import Engine, ReferenceFailed, Verdict, judge, render_references
from tools.peers import Peer, PeerFailed, WaitedInVain, found
from tools.watching import Show, Watched, render_job

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tools.watching import Frame

NAMES = ("ada", "bela", "cleo", "dora", "egon")
FRAMES, FRAMES_LEAST, FRAMES_EXR = 12, 4, 3
LEAST_SHARE = 0.4
"""Of its fair share, that each surviving peer must have rendered: of two survivors a fifth of all frames each."""
ORPHAN_S = 1.0
"""A killed peer's renderers may outlive it by so much."""


class DemoFailed(Exception):
    """A check did not hold, or the demo could not go on; the message is the sentence that people read."""


class Phases:
    """The times of the demo's parts, told as they begin."""

    def __init__(self) -> None:
        self.times: list[tuple[str, float]] = []

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Tell that a part begins, and keep how long it took."""
        say(f"\n{name} ...")
        begun = time.monotonic()
        yield
        self.times.append((name, time.monotonic() - begun))


def say(text: str) -> None:
    """Tell the person something."""
    print(text, flush=True)


def meshnode(*words: str) -> list[str]:
    """Return the command line of a `meshnode` command that needs no peer."""
    return [sys.executable, "-m", "mesh.cli", *words]


def install_engine() -> None:
    """Install the embedded Blender, once per user, with its progress shown."""
    if subprocess.run(meshnode("engine", "install", "blender"), check=False).returncode != 0:
        raise DemoFailed("The engine could not be installed; the lines above say what to do.")


def choose_engine(version: str | None) -> tuple[Engine, Path]:
    """Return the engine to render with, and the embedded engine's Python, which makes the scenes."""
    done = subprocess.run(meshnode("engine", "list", "--json"), stdout=subprocess.PIPE, check=True)
    engines = [
        Engine(program=Path(row["program"]), version=row["version"], embedded=row["build"].endswith(".bpy"))
        for row in json.loads(done.stdout)["usable"]
    ]
    makers = [engine.program for engine in engines if engine.embedded]
    chosen = [engine for engine in engines if version is None or engine.version.startswith(version)]
    if not makers:
        raise DemoFailed("The embedded engine does not render here: `meshnode engine list` says why.")
    if not chosen:
        has = ", ".join(engine.version for engine in engines)
        raise DemoFailed(f"There is no engine {version} here; there is {has}.")
    return chosen[0], makers[0]


def found_mesh(directory: Path, count: int) -> list[Peer]:
    """Start peers as processes of their own: the first founds a mesh, the others enter it by invite."""
    # Together they have as many threads as there are cores, as peers on machines of their own would.
    threads = max(1, (os.cpu_count() or 1) // count)
    peers = [Peer(directory, name, settings={"engine_threads": threads}) for name in NAMES[:count]]
    try:
        found(peers, "demo")
    except BaseException:
        end_all(peers)
        raise
    for peer in peers:
        say(f"  {peer.name}: process {peer.number}, {threads} {'thread' if threads == 1 else 'threads'}")
    return peers


def end_all(peers: Sequence[Peer]) -> None:
    """Leave no process of these peers behind."""
    for peer in peers:
        peer.end()


def check_run(watched: Watched, survivors: Sequence[str]) -> list[str]:
    """Return what of the promised did not happen, in sentences."""
    problems = []
    missing = [frame.file for frame in watched.frames if not (watched.out / frame.file).is_file()]
    if missing:
        problems.append(f"These frames were not delivered: {', '.join(missing)}.")
    least = LEAST_SHARE * len(watched.frames) / len(survivors)
    for name in survivors:
        share = sum(frame.peer == name for frame in watched.frames)
        if share < least:
            problems.append(f"{name} rendered {share} of {len(watched.frames)} frames; at least {least:.1f} were due.")
    if not watched.overlapped(survivors):
        problems.append("The surviving peers never rendered at the same time.")
    if watched.orphans:
        problems.append(f"Renderers of the killed peer lived after {ORPHAN_S:g} s: {', '.join(watched.orphans)}.")
    return problems


def judge_all(watched: Watched, scene: Path, engine: Engine, directory: Path) -> list[tuple[Frame, Verdict]]:
    """Render the references of a job's frames and compare."""
    numbers = [frame.frame for frame in watched.frames]
    references = render_references(engine, scene, directory, min(numbers), max(numbers))
    return [
        (frame, judge(watched.out / frame.file, [reference / frame.file for reference in references]))
        for frame in watched.frames
    ]


def print_table(verdicts: Sequence[tuple[Frame, Verdict]]) -> None:
    """Print what was found of each frame; the ratios are to the worst pair of the engine's own pictures."""
    say(
        f"\n{'frame':>5}  {'peer':<6}{'render':>10}  {'file':<15} "
        f"{'pixels that differ':>20} {'rmse':>9} {'largest':>9}   {'ratios':<17} verdict"
    )
    for frame, verdict in verdicts:
        found, ratio = verdict.difference, verdict.ratios
        ratios = " ".join(f"{value:5.2f}" for value in (ratio.pixels, ratio.rmse, ratio.largest))
        word = "equal in every bit" if found.none else "as the engine's own" if verdict.good else "DIFFERENT"
        say(
            f"{frame.frame:>5}  {frame.peer:<6}{frame.render_ms:>7} ms  {frame.file:<15} "
            f"{f'{found.pixels} of {found.of}':>20} {found.rmse:>9.2g} {found.largest:>9.2g}   {ratios} {word}"
        )
        for line in found.structure:
            say(f"{'':>9}{line}")


def draw_sheet(watched: Watched, names: Sequence[str], path: Path) -> None:
    """Draw all frames with who rendered them, and who rendered when."""
    places = {name: place for place, name in enumerate(names)}
    killed = next(bar for bar in watched.bars if bar.cut)
    sheet = Sheet(
        title=f"One animation, {len(names)} peers, one of them killed",
        subtitle=f"{killed.peer} was killed in the middle of frame {killed.frame}; the others went on. "
        "Every pixel is what Blender alone renders.",
        peers=names,
        tiles=[
            Tile(
                picture=watched.out / frame.file,
                frame=frame.frame,
                peer=places[frame.peer],
                text=f"{frame.render_ms / 1000:.1f} s",
            )
            for frame in watched.frames
        ],
        bars=[
            Bar(peer=places[bar.peer], frame=bar.frame, begin_s=bar.begin_s, end_s=bar.end_s, cut=bar.cut)
            for bar in watched.bars
        ],
    )
    draw(sheet).write(path)


def show(options: argparse.Namespace, directory: Path, phases: Phases) -> None:
    """Do everything; raise DemoFailed with all that did not hold."""
    with phases.phase("Installing the engine (350 MB, once per user)"):
        install_engine()
        engine, maker = choose_engine(options.engine)
    with phases.phase("Making the scenes"):
        scenes.make(maker, directory / "scenes", ["demo", "demo_exr"])
    made = {name: directory / "scenes" / name / f"{name}.blend" for name in ("demo", "demo_exr")}
    problems: list[str] = []
    with phases.phase(f"Starting {options.peers} peers"):
        peers = found_mesh(directory / "peers", options.peers)
    names = [peer.name for peer in peers]
    wanted = Show(engine=engine.version, out=directory, orphan_s=ORPHAN_S, tell=say)
    try:
        with phases.phase(f"Rendering {options.frames} PNG frames, and killing a peer"):
            animation = render_job(peers, made["demo"], options.frames, wanted, kill=True)
        survivors = [peer.name for peer in peers if peer.is_alive()]
        problems += check_run(animation, survivors)
        with phases.phase(f"Rendering {FRAMES_EXR} EXR frames"):
            floats = render_job(peers, made["demo_exr"], FRAMES_EXR, wanted, kill=False)
        for peer in peers:
            if peer.is_alive() and (code := peer.stop()) != 0:
                problems.append(f"{peer.name} ended with exit code {code}.")
    finally:
        end_all(peers)
    with phases.phase(f"Rendering the same with Blender {engine.version} alone, and comparing"):
        verdicts = judge_all(animation, made["demo"], engine, directory / "references" / "demo")
        verdicts += judge_all(floats, made["demo_exr"], engine, directory / "references" / "demo_exr")
    print_table(verdicts)
    problems += [f"{frame.file} differs from what Blender alone renders." for frame, it in verdicts if not it.good]
    sheet = directory / "contact-sheet.png"
    draw_sheet(animation, names, sheet)
    say(f"\nThe contact sheet: {sheet}")
    if problems:
        raise DemoFailed("\n".join(problems))
    say(f"Every frame was delivered, and all {len(verdicts)} are no different from what Blender alone renders.")


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Show the mesh at work and prove its pictures.")
    parser.add_argument("--frames", type=int, default=FRAMES, metavar="N", help=f"of the animation (default: {FRAMES})")
    parser.add_argument("--peers", type=int, default=3, choices=range(3, 6), help="to start (default: 3)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="work in this new directory and keep everything")
    parser.add_argument("--engine", metavar="VERSION", help="of Blender (default: the embedded one)")
    options = parser.parse_args(argv)
    if not FRAMES_LEAST <= options.frames <= scenes.DEMO_FRAMES:
        parser.error(f"--frames is from {FRAMES_LEAST} to {scenes.DEMO_FRAMES}")
    if options.keep is not None and options.keep.exists():
        parser.error(f"{options.keep} exists; --keep makes a new directory")
    return options


def interrupted(_signal: int, _frame: object) -> NoReturn:
    """End as Ctrl-C does: everything that was started is ended on the way out."""
    raise KeyboardInterrupt


def tidy_up(directory: Path) -> None:
    """Leave the pictures and take away the rest: scenes, references, and the peers' homes."""
    for name in ("scenes", "references", "peers"):
        shutil.rmtree(directory / name, ignore_errors=True)


def main(argv: Sequence[str]) -> int:
    """Run the demo and return its exit code."""
    options = parse_arguments(argv)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    directory = options.keep or Path(tempfile.mkdtemp(prefix="meshnode-demo-"))
    directory = directory.absolute()
    directory.mkdir(parents=True, exist_ok=True)
    phases, begun = Phases(), time.monotonic()
    try:
        show(options, directory, phases)
    except (DemoFailed, PeerFailed, WaitedInVain, ReferenceFailed, Unreadable, scenes.ScenesFailed) as error:
        say(f"\nThe demo failed. {error}\nEverything that it left, the peers' logs too, is in {directory}")
        return 1
    except KeyboardInterrupt:
        shutil.rmtree(directory, ignore_errors=True)
        say("\nEnded; no process of the demo is left.")
        return 130
    say("")
    for name, seconds in phases.times:
        say(f"{seconds:7.1f} s  {name}")
    say(f"{time.monotonic() - begun:7.1f} s  all")
    if options.keep is None:
        tidy_up(directory)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
