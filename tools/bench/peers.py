"""Real peers for the benches: started as processes, asked through their API, timed by the marks that they write.

Invariants: every process that is started here is ended here. Times are milliseconds of the clock that peers mark with,
which all processes of a machine share.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mesh.net.machine import Machine
from mesh.render.engines import cache_directory
from mesh.render.install import embedded_python
from mesh.render.posix import NICENESS
from tools import scenes
from tools.peers import Peer, wait_for

HERE = Path(__file__).resolve().parent
TRIAL_SAMPLES = (4, 24)
"""With which it is found out how many a frame of some length needs."""

JOB_S = 600.0
"""A job that takes longer hangs."""

OVER = ("sealed", "stopped", "cancelled")


class BenchFailed(Exception):
    """The machine lacks something, or a peer did not do what it should; nothing was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """One step that a peer marked; `job` is empty and `frame` None where the step has none."""

    at_ms: int
    step: str
    job: str = ""
    frame: int | None = None


def now_ms() -> int:
    """Read the clock that peers mark with."""
    return Machine().now().instant


def read_marks(text: str) -> list[Marked]:
    """Return the steps of whole lines; one that is being written is left for the next look."""
    whole, end, _ = text.rpartition("\n")
    return [
        Marked(at_ms=said["at_ms"], step=said["step"], job=said.get("job", ""), frame=said.get("frame"))
        for said in (json.loads(line) for line in whole.splitlines())
        if end
    ]


class TimedPeer:
    """A peer that marks its steps."""

    def __init__(
        self,
        directory: Path,
        name: str,
        *,
        renders: bool,
        settings: Mapping[str, int] | None = None,
        within: Sequence[str] = (),
        listen: str | None = None,
        program: Sequence[str] | None = None,
    ) -> None:
        """Make a peer; `program` is what it is started with in place of `meshnode`."""
        self.peer = Peer(directory, name, settings=settings, within=within, program=program)
        self.name = name
        self.renders = renders
        self._within = tuple(within)
        self._timings = self.peer.directory / "timings.jsonl"
        self._options = ["--timings", str(self._timings), *([] if renders else ["--no-render"])]
        if listen is not None:
            self._options += ["--listen", listen]

    def start(self, *options: str, token: str | None = None) -> None:
        """Start the peer without waiting until it is ready."""
        self.peer.start(*self._options, *options, token=token)

    def marks(self, job: str | None = None) -> list[Marked]:
        """Return all steps so far, of one job where it is named."""
        try:
            found = read_marks(self._timings.read_text("utf-8"))
        except FileNotFoundError:
            return []
        return [mark for mark in found if job is None or mark.job == job]

    def forget(self) -> None:
        """Begin the marks anew, between two measurements."""
        with contextlib.suppress(FileNotFoundError):
            os.truncate(self._timings, 0)

    def status(self) -> dict[str, Any]:
        """Ask the peer what it sees, where it is: a namespace has a loopback interface of its own."""
        if not self._within:
            answer: dict[str, Any] = self.peer.ask("/status")
            return answer
        command = [*self._within, sys.executable, "-m", "mesh.cli", "status", "--home", str(self.peer.home), "--json"]
        said: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        return said

    def job(self, job: str) -> dict[str, Any]:
        """Ask the peer for everything of a job."""
        answer: dict[str, Any] = self.peer.ask(f"/jobs/{job}")
        return answer

    def submit(self, scene: Path, frames: str, out: Path) -> str:
        """Submit a scene, and return the job's id once this peer may go."""
        words = ("submit", str(scene), "--frames", frames, "--output", str(out))
        return str(self.peer.typed(*words)[0]["job"]["id"])

    def wait_over(self, job: str, within_s: float = JOB_S) -> dict[str, Any]:
        """Wait until no frame of a job is to come any more, and return the job. Raises BenchFailed when one failed."""

        def look() -> dict[str, Any] | None:
            answer = self.job(job)
            done = answer["job"]["delivered"] + answer["job"]["stopped"] == answer["job"]["tasks"]
            return answer if done or answer["job"]["state"] in OVER else None

        answer = wait_for(f"the job {job[:8]} is over", look, within_s, every_s=0.1)
        if answer["job"]["stopped"]:
            raise BenchFailed(f"frames failed: {'; '.join(answer['job']['problems'])}")
        return answer

    def processor_ms(self) -> int:
        """Return the processor time that this peer and all that it ever started have used."""
        return sum(_processor_ms(process) for process in (self.peer.number, *self._started()))

    def own_processor_ms(self) -> int:
        """Return the processor time of the peer itself, without anything that it started."""
        return _processor_ms(self.peer.number, own=True)

    def engines(self) -> list[int]:
        """Return the processes of this peer's stages, whether they render or wait."""
        return [one.process for one in self.peer.started() if "stage.py" in one.command]

    def _started(self) -> list[int]:
        return [one.process for one in self.peer.started()]


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """Give a directory that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="meshnode-bench-", ignore_cleanup_errors=True) as made:
        yield Path(made)


@contextlib.contextmanager
def mesh(peers: Sequence[TimedPeer], *, at_once: int = 64) -> Iterator[Sequence[TimedPeer]]:
    """Found a mesh of these peers, the first its founder, and leave no process of it behind.

    No more than `at_once` start together: each keeps a core busy until it is ready.
    """
    try:
        peers[0].start("--new", "bench")
        peers[0].peer.wait_ready()
        (invite,) = peers[0].peer.typed("invite", "--uses", str(max(1, len(peers) - 1)))
        for begin in range(1, len(peers), at_once):
            for peer in peers[begin : begin + at_once]:
                peer.start(token=invite["token"])
            for peer in peers[begin : begin + at_once]:
                peer.peer.wait_ready()
        wait_connected(peers)
        yield peers
    finally:
        for peer in peers:
            peer.peer.end()


def wait_connected(peers: Sequence[TimedPeer], within_s: float = 60.0) -> None:
    """Wait until every peer sees all others, with what they render with."""
    for peer in peers:
        wait_for(f"{peer.name} sees everybody", lambda peer=peer: _sees_all(peer, peers), within_s, every_s=0.1)  # type: ignore[misc]


def wait_cold(peers: Sequence[TimedPeer], within_s: float = 30.0) -> None:
    """Wait until no peer has an engine's process any more, so that the next job starts its own, and all that they used
    is known.
    """

    def cold() -> bool:
        return not any(peer.engines() or peer.peer.unreaped() for peer in peers)

    wait_for("no engine runs", cold, within_s, every_s=0.05)


def first(marks: Sequence[Marked], step: str, frame: int | None = None) -> Marked | None:
    """Return the earliest mark of a step."""
    found = [mark for mark in marks if mark.step == step and frame in (None, mark.frame)]
    return min(found, key=lambda mark: mark.at_ms, default=None)


def engine_python() -> Path:
    """Return the embedded engine's Python. Raises BenchFailed where it is not installed."""
    python = embedded_python(cache_directory(os.environ))
    if python is None:
        raise BenchFailed("the embedded engine is not installed; type: meshnode engine install blender")
    return python


def make_scene(directory: Path, name: str) -> Path:
    """Make one of the project's scenes and return its file."""
    scenes.make(engine_python(), directory / "scenes", [name])
    return directory / "scenes" / name / f"{name}.blend"


def resized(scene: Path, out: Path, *, size: tuple[int, int], samples: int, form: str, depth: str) -> Path:
    """Save a scene again with another size, samples and format."""
    words = [str(scene), str(out), str(size[0]), str(size[1]), str(samples), form, depth]
    _blender("resize.py", words)
    return out


def timed_scene(tiny: Path, name: str, *, size: tuple[int, int], form: str, depth: str, frame_s: float) -> Path:
    """Save the tiny scene with so many samples that a warm frame takes about `frame_s` seconds on this machine now."""

    def of(samples: int) -> Path:
        return resized(tiny, tiny.with_name(f"{name}.blend"), size=size, samples=samples, form=form, depth=depth)

    with workplace() as trial:
        few_s, many_s = (_warm_frame_s(of(samples), trial) for samples in TRIAL_SAMPLES)
    few, many = TRIAL_SAMPLES
    each_s = max(1e-6, (many_s - few_s) / (many - few))
    return of(max(1, round((frame_s - few_s) / each_s + few)))


def _warm_frame_s(scene: Path, out: Path) -> float:
    """Return the seconds of a second frame, which has nothing to load any more."""
    _, marks, _ = bare(scene, out, 1, 2)
    return (marks[-1].at_ms - [mark for mark in marks if mark.step == "called"][-1].at_ms) / 1000


def bare(scene: Path, out: Path, first_frame: int, last_frame: int) -> tuple[int, list[Marked], int]:
    """Render frames without the mesh; return when the process began, its steps, and when it had ended.

    It has the priority that a peer's renderers have, so that whatever else the machine does slows both alike.
    """
    out.mkdir(parents=True, exist_ok=True)
    begun = now_ms()
    said = _blender("bare.py", [str(scene), str(out), str(first_frame), str(last_frame)], NICENESS)
    return begun, read_marks(said), now_ms()


def pause(seconds: float) -> None:
    """Let so much time go by: what is measured is what happens in it."""
    time.sleep(seconds)


def pulse_ms() -> float:
    """Return how long an empty Python process takes from start to end: what the machine itself costs just now."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-I", "-c", ""], check=True)
    return (time.perf_counter() - begun) * 1000


def _blender(script: str, words: Sequence[str], niceness: int = 0) -> str:
    """Run a script inside Blender and return what it told. Raises BenchFailed."""
    command = ["nice", "-n", str(niceness), str(engine_python()), "-I", str(HERE / script), "--", *words]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchFailed(f"{script} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


def _processor_ms(process: int, *, own: bool = False) -> int:
    """Return the processor time of a process and, unless it is its `own` that is asked for, of its children that have
    ended; 0 when it has ended itself.
    """
    try:
        fields = Path(f"/proc/{process}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return 0
    return sum(map(int, fields[11 : 13 if own else 15])) * 1000 // os.sysconf("SC_CLK_TCK")


def _sees_all(peer: TimedPeer, peers: Sequence[TimedPeer]) -> bool:
    rows = [row for row in peer.status()["peers"] if row["connected"] or row["me"]]
    able = [row for row in rows if row["slots"]]
    return len(rows) == len(peers) and len(able) == sum(peer.renders for peer in peers)
