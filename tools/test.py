#!/usr/bin/env python3
"""Run the project's checks and tests, stage by stage, from a bare Python: `python3 tools/test.py [STAGE ...]`.

Each stage answers one question, costs more than the one before it, and can be run by itself; CI runs all of them by
this same file. The stages share nothing but the checkout: any one may be repeated alone. Those that only compute run
aside, at the lowest priority, while others wait for peers, leases and engines: what they print comes once they ended.

Invariants: a stage that finds nothing to run has failed, so that no folder can go missing unseen; a stage that runs
longer than its limit, aside twice that, is killed with all that it started; in CI a skipped test of real Blender or of
the network is a failure (tests/conftest.py sees to that). The last line counts the tests of all stages; the exit code
is 1 on any failure and 2 when the machine lacks something, with the remedy.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree as ET

sys.path[0] = str(Path(__file__).resolve().parent.parent)

from tools import setup

if __name__ == "__main__":
    setup.enter(__file__)

from tools import seeds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ROOT = setup.ROOT
# The engine's contract needs Blender; the other contracts run on whatever machine there is.
ENGINE_CONTRACT = "tests/contract/test_renderer.py"
# Forty processes fill the machine: whatever ran beside them would be late.
FORTY = "tests/netns/test_forty.py"
# Real peers wait for each other and for engines half of the time; what ends first takes from what is left.
TWO_THAT_WAIT = ("-n", "2", "--dist", "worksteal")


# Whoever has anything else to do comes first.
_LAST_NICE = 19
_LAST = ("nice", "-n", str(_LAST_NICE))
_TRIES = 3


class Interrupted(Exception):
    """Nothing more is started."""


class Counts(NamedTuple):
    """How many tests ended which way."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def plus(self, other: Counts) -> Counts:
        """Add up two counts."""
        return Counts(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)


class Outcome(NamedTuple):
    """What one stage came to."""

    good: bool
    counts: Counts = Counts()
    note: str = ""


class Run:
    """One run of one stage: starts its commands, and holds it to its limit."""

    def __init__(
        self, limit_s: float, arguments: Sequence[str], scratch: Path, *, aside: IO[bytes] | None = None
    ) -> None:
        """Begin; `aside` is where all goes that is printed by one that runs at the lowest priority."""
        self._deadline_s = time.monotonic() + limit_s
        self._limit_s = limit_s
        self._arguments = list(arguments)
        self._aside = aside
        self._running: subprocess.Popen[bytes] | None = None
        self._ended = False
        self._starting = threading.Lock()
        self.scratch = scratch

    def say(self, text: str) -> None:
        """Print a line, where what its commands print goes too."""
        if self._aside is None:
            print(text, flush=True)
        else:
            self._aside.write(f"{text}\n".encode())
            self._aside.flush()

    def command(self, *command: str) -> int:
        """Run one command in the checkout and return its exit code; 124 if it was killed at the stage's limit."""
        return self.wait(self.start(*command))

    def python(self, *arguments: str, environment: Mapping[str, str] | None = None) -> int:
        """Run the environment's Python and return its exit code."""
        return self.wait(self.start(sys.executable, *arguments, environment=environment))

    def start(
        self, *command: str, environment: Mapping[str, str] | None = None, output: IO[bytes] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start one command in the checkout; what it prints goes to our own output, or to a pipe or file.

        It runs in a process group of its own, so that the limit and an interrupt end whatever it started.
        """
        with self._starting:
            if self._ended:
                raise Interrupted
            self.say(f"$ {shlex.join(short(command))}")
            self._running = subprocess.Popen(
                command if self._aside is None else (*_LAST, *command),
                cwd=ROOT,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=output or self._aside,
                stderr=self._aside,
                start_new_session=True,
            )
            if self._aside is not None:
                come_last(self._running.pid)
            return self._running

    def end(self) -> None:
        """Kill what runs, from another thread, and start nothing more."""
        with self._starting:
            self._ended = True
        if self._running is not None and self._running.poll() is None:
            kill_group(self._running)

    def wait(self, process: subprocess.Popen[bytes]) -> int:
        """Wait for a command, no longer than to the stage's limit; return its exit code, 124 if it was killed."""
        try:
            return process.wait(timeout=max(1.0, self._deadline_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.say(f"killed: the stage has {self._limit_s / 60:.0f} minutes")
            return 124
        finally:
            kill_group(process)

    @property
    def chooses(self) -> bool:
        """Whether somebody said more to pytest than which stage."""
        return bool(self._arguments)

    def pytest(self, paths: Sequence[str], *options: str, environment: Mapping[str, str] | None = None) -> Outcome:
        """Run pytest over these paths and count its tests; a path that does not exist is a failure."""
        missing = [path for path in paths if not (ROOT / path).exists()]
        if missing:
            return Outcome(False, note=f"missing: {' '.join(missing)}")
        report = self.scratch / "report.xml"
        words = ("-m", "pytest", "-q", f"--junitxml={report}", *options, *self._arguments, *paths)
        code = self.python(*words, environment=environment)
        counts = read_counts(report)
        if code == 5:
            return Outcome(False, counts, "found no tests")
        return Outcome(code == 0, counts, "" if code in (0, 1) else f"pytest ended with {code}")


def come_last(process: int) -> None:
    """Give the session that a process leads the lowest priority where Linux shares processors out among sessions.

    There (`CONFIG_SCHED_AUTOGROUP`, sched(7)) a process's own priority only counts within its session: one that was
    started in a session of its own had half of a processor beside another, whatever its nice value.
    """
    for _ in range(_TRIES):
        try:
            Path(f"/proc/{process}/autogroup").write_text(str(_LAST_NICE))
        except BlockingIOError:  # the kernel lets whoever is not root do this ten times a second
            time.sleep(0.1)
        except OSError:  # a kernel without such groups, or a process that has ended
            return
        else:
            return


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of a command's process group, the command itself included, and wait for it."""
    # Nothing may be left of it; macOS says so with EPERM for a group of zombies.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def short(command: Sequence[str]) -> list[str]:
    """Shorten a command for people: the environment's Python is just `python`."""
    return ["python" if part == sys.executable else part.removeprefix(f"{ROOT}/") for part in command]


def read_counts(report: Path) -> Counts:
    """Count the tests in pytest's XML report; a test that erred in set-up or tear-down has failed."""
    try:
        suites = ET.parse(report).getroot().iter("testsuite")
    except (OSError, ET.ParseError):
        return Counts()
    total = Counts()
    for suite in suites:
        tests, failed, errors, skipped = (int(suite.get(k, 0)) for k in ("tests", "failures", "errors", "skipped"))
        total = total.plus(Counts(max(0, tests - failed - errors - skipped), failed + errors, skipped))
    return total


def lint(run: Run) -> Outcome:
    """Run the linter, the formatter's check and the house rules."""
    codes = (
        run.python("-m", "ruff", "check", "."),
        run.python("-m", "ruff", "format", "--check", "."),
        run.python("tools/tidy.py"),
        run.python("tools/readme.py", "--check"),
    )
    return Outcome(not any(codes))


def types(run: Run) -> Outcome:
    """Run mypy, strict, over everything that is not a test."""
    return Outcome(run.python("-m", "mypy") == 0)


def floors(run: Run) -> Outcome:
    """Check that each floor imports only from below."""
    return Outcome(run.python("tools/floors.py") == 0)


def unit(run: Run) -> Outcome:
    """Run what needs no input or output: units and frozen vectors."""
    return run.pytest(["tests/unit", "tests/vectors"], "-n", "2")


def properties(run: Run) -> Outcome:
    """Run what draws its own examples: properties and fuzz targets."""
    return run.pytest(["tests/property", "tests/fuzz"], "-n", "2")


def sim(run: Run) -> Outcome:
    """Run the simulator over many seeds, some again interpreted and under another hash seed, and its regressions."""
    first = seeds.drawn_seed()
    compiled = seeds.compiled_copy(run)
    outcome = tests_of_sim(run, compiled)
    found = seeds.run_all(run, first, compiled)
    return outcome._replace(good=False, note=found) if found else outcome


_IS_COMPILED = "import mesh.core.peer as peer, sys; sys.exit(peer.__file__.endswith('.py'))"


def tests_of_sim(run: Run, compiled: Mapping[str, str]) -> Outcome:
    """Run the simulator's own tests, on the compiled copy what puts no code of its own into the core."""
    folder, workers = ["tests/sim"], ("-n", "2", "--dist", "worksteal")
    if not compiled or run.chooses:
        return run.pytest(folder, *workers)
    # The copy comes first; tests, and whatever else it lacks, come from the checkout.
    paths = os.pathsep.join((*compiled.values(), str(ROOT)))
    environment = {"PYTHONPATH": paths, "PYTHONSAFEPATH": "1"}
    if run.python("-c", _IS_COMPILED, environment=environment) != 0:
        return Outcome(False, note="the compiled copy did not come first")
    one = run.pytest(folder, *workers, "-o", "pythonpath=", "-m", "not interpreted", environment=environment)
    other = run.pytest(folder, *workers, "-m", "interpreted")
    return Outcome(one.good and other.good, one.counts.plus(other.counts), one.note or other.note)


def integration(run: Run) -> Outcome:
    """Run the adapters' contracts and real peers on loopback and on this disk."""
    return run.pytest(["tests/contract", "tests/integration"], *TWO_THAT_WAIT, f"--ignore={ENGINE_CONTRACT}")


def netns(run: Run) -> Outcome:
    """Run peers in network namespaces: cut, slow, behind a NAT."""
    setup.require_packages(["netns"])
    # They mostly wait; names of hosts differ from process to process.
    return run.pytest(["tests/netns"], "-n", "2", f"--ignore={FORTY}")


def forty(run: Run) -> Outcome:
    """Run forty peers in network namespaces, and nothing beside them."""
    setup.require_packages(["netns"])
    return run.pytest([FORTY])


def e2e(run: Run) -> Outcome:
    """Run whole meshes with real Blender, after bringing its environment up to date."""
    setup.require_packages(["render", "povray"])
    if run.python("-m", "mesh.render.install") != 0:
        return Outcome(False, note="the engine could not be installed")
    return run.pytest([ENGINE_CONTRACT, "tests/e2e"], *TWO_THAT_WAIT)


def meta(run: Run) -> Outcome:
    """Test the tools and the rules themselves."""
    return run.pytest(["tests/meta"])


def package(run: Run) -> Outcome:
    """Build the wheel, look inside, and try it from an empty directory in an empty environment."""
    return Outcome(run.python("tools/package.py") == 0)


class Stage(NamedTuple):
    """One question that the runner asks, and how long the answer may take."""

    name: str
    answer: Callable[[Run], Outcome]
    limit_minutes: float
    named_only: bool = False
    """Whether it runs only where it is named: a soak, too long for every commit."""
    aside: bool = False
    """Whether it only computes, heeds no clock but its processor's, and so may run beside those that wait."""


STAGES = (
    Stage("lint", lint, 3),
    Stage("types", types, 5, aside=True),
    Stage("floors", floors, 1, aside=True),
    Stage("unit", unit, 4),
    Stage("property", properties, 6),
    Stage("sim", sim, 18, aside=True),
    Stage("integration", integration, 8),
    Stage("netns", netns, 8),
    Stage("forty", forty, 25, named_only=True),
    Stage("e2e", e2e, 20),
    Stage("meta", meta, 3, aside=True),
    Stage("package", package, 5, aside=True),
)


class Row(NamedTuple):
    """A stage that has ended: its name, what it came to, the seconds it took, and whether it ran aside."""

    name: str
    outcome: Outcome
    seconds: float
    aside: bool = False


def run_stage(stage: Stage, arguments: Sequence[str]) -> tuple[Outcome, float]:
    """Run one stage; return its outcome and the seconds it took."""
    with tempfile.TemporaryDirectory(prefix="meshnode-test-") as scratch:
        return answer(stage, Run(stage.limit_minutes * 60, arguments, Path(scratch)))


def answer(stage: Stage, run: Run) -> tuple[Outcome, float]:
    """Have one stage answer its question in a run; return its outcome and the seconds it took."""
    run.say(f"\n{stage.name}: {(stage.answer.__doc__ or '').splitlines()[0]}")
    started_s = time.monotonic()
    try:
        outcome = stage.answer(run)
    except setup.SetupError as error:
        run.say(str(error))
        outcome = Outcome(False, note="the machine lacks something, see above")
    return outcome, time.monotonic() - started_s


class Aside:
    """Stages that run one after the other beside those of the main thread."""

    def __init__(self, stages: Sequence[Stage], arguments: Sequence[str]) -> None:
        self._stages = stages
        self._arguments = arguments
        self._rows: list[Row] = []
        self._run: Run | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._work, name="aside", daemon=True)
        self._thread.start()

    def rows(self) -> list[Row]:
        """Wait until all have ended and return what they came to; a stage that broke is missing, and so has failed."""
        while self._thread.is_alive():  # an interrupt is heard between two waits
            self._thread.join(0.2)
        came = {row.name: row for row in self._rows}
        broke = Outcome(False, note="the runner broke, see above")
        return [came.get(stage.name, Row(stage.name, broke, 0.0, True)) for stage in self._stages]

    def end(self) -> None:
        """Leave nothing of them behind."""
        self._ended = True
        if self._run is not None:
            self._run.end()
        self._thread.join()

    def _work(self) -> None:
        for stage in self._stages:
            with contextlib.suppress(Interrupted), tempfile.TemporaryDirectory(prefix="meshnode-test-") as scratch:
                said = Path(scratch) / "said"
                try:
                    with said.open("wb") as output:
                        # The others have most of the machine meanwhile.
                        limit_s = 2 * stage.limit_minutes * 60
                        self._run = Run(limit_s, self._arguments, Path(scratch), aside=output)
                        if self._ended:
                            return
                        self._rows.append(Row(stage.name, *answer(stage, self._run), True))
                finally:
                    print(said.read_text("utf-8", "replace"), flush=True)


def print_table(rows: Sequence[Row], took_s: float) -> None:
    """Print what each stage came to."""
    print(f"\n{'stage':<12} {'result':<7} {'seconds':>8} {'passed':>7} {'failed':>7} {'skipped':>8}")
    for name, outcome, seconds, aside in rows:
        result = "ok" if outcome.good else "FAILED"
        note = "; ".join(each for each in ("aside" if aside else "", outcome.note) if each)
        print(
            f"{name:<12} {result:<7} {seconds:8.1f} {outcome.counts.passed:7} {outcome.counts.failed:7} "
            f"{outcome.counts.skipped:8}  {note}".rstrip()
        )
    print(f"{'all':<12} {'':<7} {took_s:8.1f}\n")


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line: stages, and after `--` what goes on to pytest."""
    names = [stage.name for stage in STAGES]
    parser = argparse.ArgumentParser(
        description="Run the project's checks and tests.",
        epilog="What stands after -- goes to pytest: tools/test.py unit -- -k fold",
    )
    which = f"of: {', '.join(names)} (default: all but forty, a soak)"
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=which)
    parser.add_argument("--stop", action="store_true", help="stop after the first stage that fails")
    own, rest = list(argv), []
    if "--" in own:
        rest = own[own.index("--") + 1 :]
        own = own[: own.index("--")]
    options = parser.parse_args(own)
    options.pytest = rest
    unknown = [name for name in options.stages if name not in names]
    if unknown:
        parser.error(f"no stage {', '.join(unknown)}; there are: {', '.join(names)}")
    return options


def main(argv: Sequence[str]) -> int:
    """Run the stages that were asked for, in their own order; return the exit code."""
    options = parse_arguments(argv)
    asked = [stage for stage in STAGES if stage.name in options.stages or not (options.stages or stage.named_only)]
    started_s = time.monotonic()
    # Who wants to stop at the first failure wants to know which was the first; a soak wants the machine for itself.
    alone = options.stop or any(stage.named_only for stage in asked)
    rows = run_stages(asked, options.pytest, stop=options.stop, side_by_side=not alone)
    print_table(rows, time.monotonic() - started_s)
    total = Counts()
    for row in rows:
        total = total.plus(row.outcome.counts)
    print(f"{total.passed} passed, {total.failed} failed, {total.skipped} skipped", flush=True)
    return 0 if all(row.outcome.good for row in rows) else 1


def run_stages(stages: Sequence[Stage], arguments: Sequence[str], *, stop: bool, side_by_side: bool) -> list[Row]:
    """Run stages, `stop`: up to the first that fails; return what they came to, in their order."""
    front = [stage for stage in stages if not stage.aside]
    if not side_by_side or not front:
        rows: list[Row] = []
        for stage in stages:
            rows.append(Row(stage.name, *run_stage(stage, arguments)))
            if stop and not rows[-1].outcome.good:
                break
        return rows
    aside = Aside([stage for stage in stages if stage.aside], arguments)
    try:
        rows = [Row(stage.name, *run_stage(stage, arguments)) for stage in front]
        rows += aside.rows()
    finally:
        aside.end()
    names = [stage.name for stage in stages]
    return sorted(rows, key=lambda row: names.index(row.name))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
