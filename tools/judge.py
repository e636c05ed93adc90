"""Hold delivered frames against what Blender alone renders of the same scene.

Theory: a reference is one fresh Blender process that renders the animation by itself (`alone`). An engine that repeats
itself gives one reference, and a frame must equal it in every bit. Any other is rendered several times first: the worst
pair of its own pictures says how far a good frame may be off.

Must not know peers or jobs: it gets files and says what they are.
"""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from tools.compare import Difference, Noise, Ratios, acceptable, compare, noise, ratios, read

SCATTERED_REFERENCES = 5
"""References of one frame of an engine that scatters: ten pairs."""

_ALONE = Path(__file__).with_name("alone.py")
_REPEATING = ("4.2.",)
"""Versions of the embedded engine that repeat themselves bit for bit, whatever the threads."""


class ReferenceFailed(Exception):
    """Blender alone could not render the scene; the message is the end of what it printed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """The program that renders references; `embedded`: it is the Python that has `bpy`, not Blender's own program."""

    program: Path
    version: str
    embedded: bool

    @property
    def repeats_itself(self) -> bool:
        """Whether two renders of a frame are equal in every bit."""
        return self.embedded and self.version.startswith(_REPEATING)

    @property
    def references(self) -> int:
        """How many references a verdict takes."""
        return 1 if self.repeats_itself else SCATTERED_REFERENCES


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was found of one delivered frame."""

    difference: Difference
    own: Noise
    """How far the engine's own pictures of this frame are from each other."""

    @property
    def ratios(self) -> Ratios:
        """The difference as multiples of the engine's own noise."""
        return ratios(self.difference, self.own)

    @property
    def good(self) -> bool:
        """Whether the frame is no different from what Blender alone renders."""
        return acceptable(self.difference, self.own)


def render_references(engine: Engine, scene: Path, out: Path, first: int, last: int) -> list[Path]:
    """Render as many references as the engine needs, each by a fresh process; return their directories.

    Raises ReferenceFailed.
    """
    directories = [out / f"reference-{number}" for number in range(1, engine.references + 1)]
    for directory in directories:
        render_alone(engine, scene, directory, first, last)
    return directories


def render_alone(engine: Engine, scene: Path, out: Path, first: int, last: int) -> None:
    """Have Blender alone render frames into `out`, under the scene's own names. Raises ReferenceFailed."""
    out.mkdir(parents=True, exist_ok=True)
    script = ["-I", str(_ALONE)]
    if not engine.embedded:
        script = ["-b", "--factory-startup", "--disable-autoexec", "--python-exit-code", "70", "--python", str(_ALONE)]
    command = [str(engine.program), *script, "--", str(scene), str(out), str(first), str(last), "0"]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode != 0:
        raise ReferenceFailed(f"{scene.name}: {done.stdout.decode('utf-8', 'replace')[-2000:]}")


def judge(delivered: Path, references: Sequence[Path]) -> Verdict:
    """Compare a frame with its references, all of them files. Raises `compare.Unreadable`."""
    pictures = [read(path) for path in references]
    own = noise(compare(one, other) for one, other in combinations(pictures, 2))
    return Verdict(difference=compare(read(delivered), pictures[0]), own=own)
