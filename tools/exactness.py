"""Print how exactly frames made of buckets are what one host renders: `python -m tools.exactness`.

Each scene is rendered in buckets by three stages, pasted and finished; in buckets by three real peers, to which it is
submitted; then whole by a fresh stage, and by the engine alone, without anything of the project. Compared are all
passes before the picture is finished, the finished files, the mattes by the names of things, and what neighbours differ
across the borders of buckets. Ends with 0 when every bound is met, with 1 when one is missed, with 2 when something
could not be rendered.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import trio

from mesh.ground.errors import MeshError
from mesh.ports.renderer import Engine, Engines, Renderer
from mesh.render.engines import cache_directory
from mesh.render.install import embedded_python
from mesh.render.installed import renderers
from tools import judge, povray_scenes, scenes, seams, still_scenes
from tools.bench import report
from tools.buckets import Files, Pieces, Subject, in_buckets, whole
from tools.compare import Difference, Part, Unreadable, compare, read
from tools.cryptomatte import Unmatched, lost, mattes
from tools.household import Delivered, Household, household
from tools.peers import PeerFailed, WaitedInVain

CELL = (75, 61)
"""Pixels; no divisor of any picture's side, so that the last columns and rows are narrow."""
DENOISED_PART, DENOISED_RMSE = 1e-5, 1e-6
"""What a denoiser that got the same passes may differ by: of the highest value, and over all. It gets them upside down
and adds in another order; measured are 0 to 5.4e-6 and 3.7e-7."""
NOT_RENDERED = 2

POVRAY_SCENES = ("still", "deep", "dithered", "halves")
PEERS_LEAST = 2
"""Of the three peers, so many at least have rendered something of each still; a small one may be done before the third
has loaded it."""

Alone = Callable[[Engine, Path, Path, int], Path]
"""Have an engine alone render a frame of a scene into a directory. Raises judge.ReferenceFailed."""


class NothingToMeasure(Exception):
    """No scene of a kind can be rendered on this machine; the message says what is missing."""


class OnlyWhole(Exception):
    """Frames of a scene are never cut, and so are what one host renders; the message says why."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What renders scenes of one kind: which of the engines, and the engine alone."""

    choose: Callable[[Engines], Engine | None]
    alone: Alone


def _blender_alone(engine: Engine, scene: Path, out: Path, frame: int) -> Path:
    program = judge.Engine(program=engine.program, version=engine.version, embedded=engine.embedded)
    judge.render_alone(program, scene, out, frame, frame)
    return _only(out)


def _povray_alone(engine: Engine, scene: Path, out: Path, frame: int) -> Path:
    out.mkdir()
    command = [str(engine.program), f"{scene.stem}.ini", f"Output_File_Name={out}/", "-D", "-GA"]
    done = subprocess.run(command, cwd=scene.parent, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise judge.ReferenceFailed(f"{scene.name}, frame {frame}: {done.stderr[-500:]}")
    return _only(out)


def _only(directory: Path) -> Path:
    files = list(directory.iterdir())
    if len(files) != 1:
        raise judge.ReferenceFailed(f"{len(files)} files came of one frame")
    return files[0]


def _embedded(engines: Engines) -> Engine | None:
    return next((engine for engine in engines.usable if engine.embedded), None)


def _povray(engines: Engines) -> Engine | None:
    return next((engine for engine in engines.usable if engine.name == "povray"), None)


KINDS: Mapping[str, Kind] = {
    ".blend": Kind(choose=_embedded, alone=_blender_alone),
    ".pov": Kind(choose=_povray, alone=_povray_alone),
}
"""By the ending of a scene's file. Another renderer joins the table with its line here."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What was found of one scene."""

    scene: str
    adaptive: bool
    denoised: bool
    format: str
    buckets: int
    passes: Difference
    """What was pasted, against all passes rendered at once."""
    picture: Difference
    """The finished file, against that of a fresh stage."""
    alone: Difference
    """The finished file, against the engine's own."""
    delivered: Difference
    """What three real peers delivered, against the engine's own."""
    peers: int
    """Of the three, so many rendered some of it."""
    peak: float
    """The highest value of the finished file's colours."""
    things: int
    """Things that mattes name and that cover pixels."""
    lost: tuple[str, ...]
    seam: float
    seconds: float

    def misses(self) -> list[str]:
        """Say which bounds are missed, in sentences."""
        said = [f"{self.scene}: {what}" for what in self.lost]
        # Nothing was denoised yet in the passes, so they are always the same.
        wanted = (
            ("passes", self.passes, 0.0),
            ("file", self.picture, self._most),
            ("engine's file", self.alone, self._most),
            ("peers' file", self.delivered, self._most),
        )
        for what, difference, most in wanted:
            said += [f"{self.scene}, {what}: {line}" for line in difference.structure]
            # A file of whole numbers is bounded by its steps alone.
            rmse = DENOISED_RMSE if most and self.format == "EXR" else most
            near = difference.largest <= most and difference.rmse <= rmse
            if difference.values and not (near and all(map(seams.is_colour, difference.channels))):
                text = (
                    f"{difference.values} of {difference.values_of} values differ, by at most {difference.largest:.3g}"
                )
                said.append(f"{self.scene}, {what}: {text}, in {', '.join(difference.channels[:4])}")
        if self.peers < PEERS_LEAST:
            said.append(f"{self.scene}: {self.peers} of the peers rendered it, fewer than {PEERS_LEAST}")
        if not self.seam <= seams.FIGURE_MOST:
            said.append(f"{self.scene}: {self.seam:.4f} x the steps across borders, over {seams.FIGURE_MOST}")
        return said

    @property
    def _most(self) -> float:
        if not self.denoised:
            return 0.0
        # A value that lies just between two steps may fall to either.
        return 1 / 255 if self.format == "PNG" else DENOISED_PART * max(1.0, self.peak)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Hands:
    """Who renders: a renderer with its engine, the engine alone, three real peers."""

    renderer: Renderer
    engine: Engine
    alone: Alone
    peers: Household


async def measure(hands: Hands, scene: Path, directory: Path) -> Row:
    """Render a scene in all ways, in a directory of its own, and compare.

    Raises OnlyWhole, and what renderers, engines and readers raise.
    """
    begun = time.monotonic()
    inspection = await hands.renderer.inspect(scene, None, hands.engine)
    subject = Subject(renderer=hands.renderer, engine=hands.engine, inspection=inspection, directory=directory)
    if subject.cutting.obstacles:
        raise OnlyWhole(f"{scene.stem}: {'; '.join(each.text for each in subject.cutting.obstacles)}")
    pieces = await in_buckets(subject, CELL)
    reference = await whole(subject)
    alone = await trio.to_thread.run_sync(hands.alone, hands.engine, scene, directory / "alone", subject.frame)
    out = directory / "delivered"
    delivered = await trio.to_thread.run_sync(hands.peers.render, scene, subject.frame, CELL, out)
    found = await trio.to_thread.run_sync(_compared, subject, pieces, (reference, alone, delivered))
    return dataclasses.replace(found, seconds=time.monotonic() - begun)


def _compared(subject: Subject, pieces: Pieces, others: tuple[Files, Path, Delivered]) -> Row:
    reference, alone, delivered = others
    inspection, cutting = subject.inspection, subject.cutting
    pasted, passes = _unplaced(read(pieces.files.passes)), _unplaced(read(reference.passes))
    finished, own = read(pieces.files.picture), read(alone)
    height, width = next(iter(finished[0].channels.values())).shape
    origin = (0, 0) if (width, height) == (cutting.width, cutting.height) else (cutting.region.left, cutting.region.top)
    form = "PNG" if inspection.output.format == "PNG" else "EXR"
    named = [(mattes(pasted[0]), mattes(passes[0]))]
    # Blender writes the headers of mattes into every file, and their channels into those with layers.
    if form == "EXR":
        named.append((mattes(finished[0]), mattes(own[0])))
    return Row(
        scene=inspection.scene.stem,
        adaptive=cutting.margin > 0,
        denoised=any(".Denoising " in name for name in pasted[0].channels),
        format=form,
        buckets=len(pieces.buckets),
        passes=compare(pasted, passes),
        picture=compare(finished, read(reference.picture)),
        alone=compare(finished, own),
        delivered=compare(read(delivered.file), own),
        peers=delivered.peers,
        peak=max(float(samples.max()) for name, samples in finished[0].channels.items() if seams.is_colour(name)),
        things=sum(amount > 0 for matte in named[0][0] for amount in matte.covered.values()),
        lost=tuple(what for one, other in named for what in lost(one, other)),
        seam=seams.figure(finished[0], own[0], pieces.buckets, origin),
        seconds=0.0,
    )


def _unplaced(parts: Sequence[Part]) -> list[Part]:
    """Forget where in its frame a picture lies: a pasted one says it, an engine's does not."""
    kept = [{name: text for name, text in part.headers.items() if name != "window"} for part in parts]
    return [Part(channels=part.channels, headers=headers) for part, headers in zip(parts, kept, strict=True)]


HEADS = (
    "scene",
    "sampling",
    "buckets",
    "channels",
    "values",
    "differ",
    "largest",
    "rmse",
    "file",
    "values",
    "differ (stage, alone, peers)",
    "pixels",
    "largest",
    "headers",
    "mattes",
    "seam",
    "s",
)


def cells(row: Row) -> tuple[str, ...]:
    """Write a row of the table."""
    channels = row.passes.values_of // max(1, row.passes.of)
    files = (row.picture, row.alone, row.delivered)
    return (
        row.scene,
        "adaptive" if row.adaptive else "fixed",
        str(row.buckets),
        str(channels),
        str(row.passes.values_of),
        str(row.passes.values),
        f"{row.passes.largest:.2g}",
        f"{row.passes.rmse:.2g}",
        row.format,
        str(row.alone.values_of),
        ", ".join(str(each.values) for each in files),
        ", ".join(str(each.pixels) for each in files),
        f"{max(each.largest for each in files):.2g}",
        str(sum(len(each.structure) for each in (row.passes, *files))),
        f"{row.things - len(row.lost)}/{row.things}" if row.things else "-",
        f"{row.seam:.4f}",
        f"{row.seconds:.0f}",
    )


def table(rows: Sequence[Row]) -> list[str]:
    """Return the lines of the table."""
    lines = [HEADS, *map(cells, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADS))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def as_json(row: Row) -> dict[str, Any]:
    """Return all that was found of a scene; infinite distances are null."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(each) for name, each in value.items()}
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return {**plain(dataclasses.asdict(row)), "missed": row.misses()}


async def measure_all(
    files: Sequence[Path], directory: Path, cache: Path, peers: Household
) -> tuple[list[Row], list[str]]:
    """Measure scene after scene, with the engines that their kinds need; tell which are only rendered whole."""
    rows: list[Row] = []
    only_whole: list[str] = []
    renderer = renderers(cache)
    try:
        engines = await renderer.probe()
        for number, file in enumerate(files):
            kind = KINDS[file.suffix]
            engine = kind.choose(engines)
            if engine is None:
                raise NothingToMeasure(f"no engine here renders {file.name}; `meshnode engine list` says why")
            report.say(f"{file.stem} ...")
            hands = Hands(renderer=renderer, engine=engine, alone=kind.alone, peers=peers)
            with tempfile.TemporaryDirectory(dir=directory, prefix=f"{number}-") as own:
                try:
                    row = await measure(hands, file, Path(own))
                except OnlyWhole as whole_scene:
                    only_whole.append(str(whole_scene))
                    continue
            rows.append(row)
            report.say("  ".join(cells(row)))
    finally:
        await renderer.aclose()
    return rows, only_whole


def make_scenes(cache: Path, out: Path, names: Sequence[str]) -> list[Path]:
    """Make the project's own scenes and return their files. Raises NothingToMeasure, ScenesFailed."""
    povray_scenes.make(out, [name for name in names if name in POVRAY_SCENES])
    if blends := [name for name in names if name not in POVRAY_SCENES]:
        python = embedded_python(cache)
        if python is None:
            raise NothingToMeasure("Blender is not installed; type: meshnode engine install blender")
        scenes.make(python, out, blends)
    return [out / name / f"{name}{'.pov' if name in POVRAY_SCENES else '.blend'}" for name in names]


def main(arguments: Sequence[str]) -> int:
    """Measure the scenes that are asked for and print the table; return the exit code."""
    known = [*sorted(name for name in still_scenes.SCENES if name not in still_scenes.FOR_TIME), *POVRAY_SCENES]
    parser = argparse.ArgumentParser(description="Print how exactly frames made of buckets are what one host renders.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was found there, too")
    parser.add_argument(
        "--scene", nargs="+", default=known, metavar="NAME", help=f"only these, or scene files; of: {', '.join(known)}"
    )
    options = parser.parse_args(arguments)
    cache = cache_directory(os.environ)
    files = [Path(name) for name in options.scene if Path(name).suffix in KINDS]
    names = [name for name in options.scene if Path(name).suffix not in KINDS]
    if unknown := [name for name in names if name not in (*scenes.SCENES, *POVRAY_SCENES)]:
        parser.error(f"no scene {', '.join(unknown)}")
    with tempfile.TemporaryDirectory(prefix="meshnode-exactness-") as made:
        try:
            files += make_scenes(cache, Path(made) / "scenes", names)
            with household(Path(made)) as peers:
                rows, only_whole = trio.run(measure_all, files, Path(made), cache, peers)
        except (
            MeshError,
            NothingToMeasure,
            PeerFailed,
            WaitedInVain,
            scenes.ScenesFailed,
            judge.ReferenceFailed,
            Unreadable,
            Unmatched,
        ) as error:
            print(f"error: {error}", file=sys.stderr)
            return NOT_RENDERED
    misses = [miss for row in rows for miss in row.misses()]
    print("\n".join(table(rows)))
    for text in only_whole:
        print(f"WHOLE   {text}")
    for miss in misses:
        print(f"MISSED  {miss}")
    if options.json is not None:
        value = {"machine": report.machine(), "rows": list(map(as_json, rows)), "only_whole": only_whole}
        options.json.write_text(json.dumps(value, indent=1) + "\n", "utf-8")
    return report.MISSED if misses else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
