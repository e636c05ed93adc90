"""The runner leaves no test out, counts what pytest counted, and can fail."""

from __future__ import annotations

import os
import re
import sys
import textwrap
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tools import seeds
from tools import test as runner

if TYPE_CHECKING:
    from collections.abc import Callable

pytest_plugins = ["pytester"]
TESTS = runner.ROOT / "tests"


def test_every_test_file_belongs_to_exactly_one_stage() -> None:
    source = (runner.ROOT / "tools/test.py").read_text("utf-8")
    folders = re.findall(r'"(tests/[a-z0-9]+)"', source)
    assert len(folders) == len(set(folders))
    for path in sorted(TESTS.rglob("test_*.py")):
        name = path.relative_to(runner.ROOT).as_posix()
        assert sum(name.startswith(folder + "/") for folder in folders) == 1, f"{name} is run by no stage"
    assert (runner.ROOT / runner.ENGINE_CONTRACT).is_file()


def test_a_stage_that_does_not_exist_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        runner.parse_arguments(["unit", "unti"])
    assert ended.value.code == 2
    assert "no stage unti" in capsys.readouterr().err


def test_what_stands_after_two_dashes_goes_to_pytest() -> None:
    options = runner.parse_arguments(["unit", "--stop", "--", "-k", "fold", "--stop"])
    assert (options.stages, options.stop, options.pytest) == (["unit"], True, ["-k", "fold", "--stop"])


def test_a_missing_folder_and_an_empty_one_fail(tmp_path: Path) -> None:
    run = runner.Run(60, [], tmp_path)
    assert run.pytest(["tests/nowhere"]) == runner.Outcome(False, note="missing: tests/nowhere")
    empty = tmp_path / "empty"
    empty.mkdir()
    outcome = run.pytest([str(empty)])
    assert (outcome.good, outcome.note) == (False, "found no tests")


def test_passed_failed_erred_and_skipped_tests_are_counted(tmp_path: Path) -> None:
    (tmp_path / "test_mixed.py").write_text(
        textwrap.dedent("""
        import pytest

        @pytest.fixture
        def broken():
            raise OSError("no")

        def test_good(): pass
        def test_bad(): assert 1 == 2
        def test_erring(broken): pass
        @pytest.mark.skip(reason="to be counted")
        def test_skipped(): pass
        """)
    )
    outcome = runner.Run(60, ["-p", "no:cacheprovider"], tmp_path).pytest([str(tmp_path)])
    assert (outcome.good, outcome.counts) == (False, runner.Counts(passed=1, failed=2, skipped=1))


def test_a_stage_is_killed_at_its_limit_with_all_that_it_started(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reader, writer = os.pipe()
    # The command starts one of its own; both hold the pipe's other end and wait for ever.
    wait = "import signal; signal.pause()"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {wait!r}])"
    run = runner.Run(1.0, [], tmp_path)
    with open(writer, "wb") as output:
        process = run.start(sys.executable, "-c", child, output=output)
    assert run.wait(process) == 124
    assert os.read(reader, 1) == b""  # the end of file comes only when the last holder is gone
    os.close(reader)
    assert "killed: the stage has" in capsys.readouterr().out


def test_the_last_line_counts_all_stages(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def good(run: runner.Run) -> runner.Outcome:
        """Pass."""
        return runner.Outcome(True, runner.Counts(3, 0, 1))

    def bad(run: runner.Run) -> runner.Outcome:
        """Fail."""
        return runner.Outcome(False, runner.Counts(1, 2, 0), "said why")

    monkeypatch.setattr(runner, "STAGES", (runner.Stage("one", good, 1), runner.Stage("two", bad, 1)))
    assert runner.main([]) == 1
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1] == "4 passed, 2 failed, 1 skipped"
    assert "said why" in printed
    assert runner.main(["one"]) == 0


def stage_of(name: str, answer: Callable[[runner.Run], object], *, aside: bool = False) -> runner.Stage:
    def answered(run: runner.Run) -> runner.Outcome:
        """Do what the test says."""
        return runner.Outcome(answer(run) is not False)

    return runner.Stage(name, answered, 1, aside=aside)


def test_what_only_computes_runs_beside_what_waits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    meeting = threading.Barrier(2, timeout=60)
    ask = (
        "import os, sys, pathlib as p; print('priority', os.nice(0)); group = p.Path('/proc/self/autogroup')\n"
        # It is told to the kernel once the process runs; the stage's limit ends one that waits in vain.
        "while group.exists() and group.read_text().split()[1:] != ['nice', '19']: pass\n"
        "print('in a word', file=sys.stderr)"
    )

    def compute(run: runner.Run) -> bool:
        meeting.wait()
        return run.python("-c", ask) == 0

    def wait(_: runner.Run) -> None:
        meeting.wait()

    stages = (stage_of("one", compute, aside=True), stage_of("two", wait), stage_of("bad", lambda _: False, aside=True))
    monkeypatch.setattr(runner, "STAGES", stages)
    assert runner.main([]) == 1
    printed = capsys.readouterr().out
    assert "priority 19\nin a word\n" in printed
    table = [line.split() for line in printed.split("stage ", 1)[1].splitlines()[1:4]]
    assert [(row[0], row[1], row[-1]) for row in table] == [
        ("one", "ok", "aside"),
        ("two", "ok", "0"),
        ("bad", "FAILED", "aside"),
    ]


@pytest.mark.parametrize(("words", "ran"), [(["--stop"], ["one", "two"]), (["one", "three"], ["one", "three"])])
def test_whoever_stops_at_a_failure_or_names_what_computes_alone_has_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch, words: list[str], ran: list[str]
) -> None:
    begun: list[str] = []

    def note(name: str, good: bool, aside: bool) -> runner.Stage:
        def answer(run: runner.Run) -> bool:
            assert threading.current_thread() is threading.main_thread()
            begun.append(name)
            return good

        return stage_of(name, answer, aside=aside)

    stages = (note("one", True, True), note("two", False, False), note("three", True, True))
    monkeypatch.setattr(runner, "STAGES", stages)
    runner.main(words)
    assert begun == ran


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_stage_that_breaks_aside_has_failed_and_so_have_those_after_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: runner.Run) -> None:
        raise OSError("no disk")

    stages = (
        stage_of("one", broken, aside=True),
        stage_of("two", lambda _: True, aside=True),
        stage_of("three", lambda _: True),
    )
    monkeypatch.setattr(runner, "STAGES", stages)
    assert runner.main([]) == 1
    assert capsys.readouterr().out.count("the runner broke") == 2


def test_an_interrupt_ends_what_runs_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()

    def compute(run: runner.Run) -> None:
        with open(writer, "wb") as output:
            process = run.start(
                sys.executable, "-c", "import signal; print('runs', flush=True); signal.pause()", output=output
            )
        run.wait(process)
        run.python("-c", "raise SystemExit('and starts nothing more')")

    def interrupted(_: runner.Run) -> None:
        assert os.read(reader, 4) == b"runs"
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "STAGES", (stage_of("one", compute, aside=True), stage_of("two", interrupted)))
    with pytest.raises(KeyboardInterrupt):
        runner.main([])
    while os.read(reader, 4):
        pass
    os.close(reader)


SKIPPING = """
    import pytest

    @pytest.mark.skip(reason="no namespaces here")
    def test_needs_namespaces(): pass
"""


@pytest.mark.parametrize("ci", ["true", ""])
def test_ci_refuses_to_skip_what_needs_the_network_or_blender(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, ci: str
) -> None:
    monkeypatch.setenv("CI", ci)
    lay_out(pytester, "netns")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    # A test that skips by its mark does so before its call: pytest then speaks of an error.
    outcomes = result.parseoutcomes()
    assert (result.ret, outcomes) == ((1, {"errors": 1}) if ci else (0, {"skipped": 1}))


def test_ci_still_lets_other_tests_skip(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    lay_out(pytester, "unit")
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(skipped=1)


def lay_out(pytester: pytest.Pytester, folder: str) -> None:
    """Make a project with our conftest and one test that skips."""
    tests = pytester.mkdir("tests")
    (tests / "conftest.py").write_text((TESTS / "conftest.py").read_text("utf-8"))
    (tests / folder).mkdir()
    (tests / folder / "test_some.py").write_text(textwrap.dedent(SKIPPING))


@pytest.mark.parametrize(
    ("second", "good"),
    [("7 ab\n8 cd\n", True), ("7 ab\n", False), ("7 ab\n8 ce\n", False), ("7 ab\n9 ab\n", False)],
)
def test_a_trace_that_hangs_on_the_hash_seed_or_on_the_compiler_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, second: str, good: bool
) -> None:
    asked: list[tuple[int, range]] = []

    def simulate(
        run: runner.Run, part: seeds.Slice, which: range, compiled: dict[str, str], *options: str, hash_seed: str
    ) -> int:
        assert bool(compiled) is (hash_seed != "2")  # what runs again runs interpreted
        asked.append((part.peers, which))
        if options:
            Path(options[1]).write_text("7 ab\n8 cd\n9 ef\n" if hash_seed == "1" else second)
        return 0

    drawn = {name: seeds.Slice(3, peers, 1, again=2) for name, peers in (("SIM_SMALL", 4), ("SIM_LARGE", 5))}
    for name, part in drawn.items():
        monkeypatch.setattr(seeds, name, part)
    monkeypatch.setattr(seeds, "simulate", simulate)
    monkeypatch.setattr(seeds, "compiled_copy", lambda _: {"PYTHONPATH": "copy"})
    monkeypatch.setattr(runner.Run, "pytest", lambda *_, **__: runner.Outcome(True))
    monkeypatch.setattr(runner.Run, "python", lambda *_, **__: 0)
    assert runner.sim(runner.Run(60, [], tmp_path)).good is good
    once = [seed for _, which in asked for seed in which]
    assert len(asked) == 5
    assert len(set(once)) == 3 + 3 + seeds.SIM_FIXED.seeds
    monkeypatch.setattr(seeds, "simulate", lambda *_, **__: 1)
    assert not runner.sim(runner.Run(60, [], tmp_path)).good


@pytest.mark.parametrize(("arguments", "compiled"), [([], {}), (["-k", "fold"], {"PYTHONPATH": "copy"})])
def test_the_simulators_tests_run_once_and_interpreted_without_a_copy_or_where_somebody_chooses(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str], compiled: dict[str, str]
) -> None:
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr(runner.Run, "pytest", lambda *words, **more: asked.append((*words[2:], *more)))
    runner.tests_of_sim(runner.Run(60, arguments, tmp_path), compiled)
    ((*options,),) = asked
    assert "-m" not in options


def test_each_of_the_simulators_tests_runs_compiled_or_interpreted_and_either_may_fail(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: dict[str, dict[str, str] | None] = {}
    failing, counts = [""], runner.Counts(passed=2)

    def pytest_(
        _run: runner.Run, _paths: list[str], *options: str, environment: dict[str, str] | None = None
    ) -> runner.Outcome:
        which = options[options.index("-m") + 1]
        asked[which] = environment
        return runner.Outcome(which not in failing, counts)

    monkeypatch.setattr(runner.Run, "pytest", pytest_)
    refused = runner.tests_of_sim(runner.Run(60, [], tmp_path), {"PYTHONPATH": "copy"})
    assert (refused.good, refused.note, asked) == (False, "the compiled copy did not come first", {})
    monkeypatch.setattr(runner.Run, "python", lambda *_, **__: 0)
    for failing[0], good in (("", True), ("interpreted", False), ("not interpreted", False)):
        outcome = runner.tests_of_sim(runner.Run(60, [], tmp_path), {"PYTHONPATH": "copy"})
        assert (outcome.good, outcome.counts.passed) == (good, 4)
    assert asked["interpreted"] is None
    assert asked["not interpreted"] == {"PYTHONPATH": f"copy{os.pathsep}{runner.ROOT}", "PYTHONSAFEPATH": "1"}


def test_a_stage_that_needs_a_commit_fails_by_name_without_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = next(stage for stage in runner.STAGES if stage.name == "sim")
    monkeypatch.setattr(runner.setup, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    outcome, _ = runner.run_stage(stage, [])
    assert not outcome.good
    assert "git does not know" in capsys.readouterr().out
    monkeypatch.setenv("PATH", str(tmp_path))
    outcome, _ = runner.run_stage(stage, [])
    assert not outcome.good
    assert "apt-get install -y git" in capsys.readouterr().out


def test_a_checkout_of_another_owner_has_a_commit_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    assert seeds.drawn_seed() >= seeds.SIM_FIXED.seeds


def test_the_seeds_of_a_commit_are_drawn_from_it_and_never_the_fixed_ones() -> None:
    assert seeds.drawn_seed() == seeds.drawn_seed() >= seeds.SIM_FIXED.seeds


def test_every_commit_draws_three_hundred_seeds_and_some_of_them_are_large() -> None:
    large, small, fixed = seeds.SIM_LARGE, seeds.SIM_SMALL, seeds.SIM_FIXED
    assert large.seeds + small.seeds >= 300
    assert (large.peers, large.minutes) == (fixed.peers, fixed.minutes) == (20, 2)
    assert large.seeds >= 20
    assert large.seeds + fixed.seeds >= 80
    assert min(large.again, small.again) > 0
