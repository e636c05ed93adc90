"""Run seeds of tier B and print them; the seed comes first, the trace hash last.

A run has a temporary directory, which it works in by relative names, so that no name of it is in what peers say.
"""

import contextlib
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from mesh.core.me import Me
from mesh.core.peer import Peer
from mesh.node.node import Node
from mesh.node.plain import most_telling
from sim.run import uncollected
from sim.shell.course import Course, draw
from sim.shell.loop import on_virtual_clock
from sim.shell.mesh import MakeNode, Mesh
from sim.violation import Violation


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellRan:
    """How a run ended."""

    seed: int
    turns: int
    lives: int
    packets: int
    folds: int
    tapes: int
    virtual_ms: int
    processor_s: float
    trace: str
    rule: str = ""
    """Which rule was broken, or what was raised."""
    story: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """Whether no rule was broken, and nothing raised."""
        return not self.rule

    def line(self) -> str:
        """Tell a person."""
        return (
            f"seed {self.seed}: {self.turns} turns, {self.lives} processes, {self.virtual_ms / 1000:.0f} s virtual, "
            f"{self.processor_s:.1f} s; {self.tapes} tapes replayed, {self.folds} tasks folded, "
            f"{self.packets} packets looked into"
        )


class _Watched:
    """A context in which a run may fail in any way."""

    error: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> bool:
        if isinstance(error, BaseExceptionGroup):
            error = most_telling(error)
        if not isinstance(error, Exception):
            return False
        self.error = error
        return True


@contextlib.contextmanager
def _somewhere() -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="shell-") as directory, contextlib.chdir(directory):
        yield


def run_course(
    course: Course, *, make_node: MakeNode = Node, make_core: Callable[[Me, bytes], Peer] = Peer
) -> ShellRan:
    """Run one course to its end and say how it ended."""
    began_s = time.process_time()
    ended_ms = 0
    mesh = Mesh(course, make_node=make_node, make_core=make_core)

    async def main() -> None:
        nonlocal ended_ms
        try:
            await mesh.run()
        finally:
            ended_ms = mesh.now_ms

    with uncollected(), _somewhere(), _Watched() as watched:
        on_virtual_clock(course.seed, main)
    story = watched.error
    return ShellRan(
        seed=course.seed,
        turns=mesh.trace.turns,
        lives=sum(len(host.lives) for host in mesh.hosts),
        packets=mesh.checks.packets,
        folds=mesh.checks.folds,
        tapes=mesh.tapes,
        virtual_ms=ended_ms,
        processor_s=time.process_time() - began_s,
        trace=mesh.trace.hexdigest(),
        rule="" if story is None else story.rule if isinstance(story, Violation) else type(story).__name__,
        story=() if story is None else tuple(_told(mesh, story)),
    )


def _told(mesh: Mesh, error: BaseException) -> Iterator[str]:
    yield f"FAILED: {error}"
    if not isinstance(error, Violation):
        cause = error.__cause__ if not isinstance(error.__cause__, BaseExceptionGroup) else None
        for each in filter(None, (cause, error)):
            yield "".join(traceback.format_exception(each, chain=False))
    hosts = {bytes(host.peer): host.name for host in mesh.hosts}
    yield from mesh.trace.story(error.ids if isinstance(error, Violation) else (), hosts)


def run_shell(seeds: range, peers: int | None) -> int:
    """Run seeds one after the other and print each; return the exit code."""
    bad: list[int] = []
    for seed in seeds:
        course = draw(seed, peers)
        print(f"seed {seed}: {course.told()}", flush=True)
        ran = run_course(course)
        print(ran.line(), *ran.story, ran.trace, sep="\n", flush=True)
        if not ran.good:
            bad.append(seed)
            again = f"python -m sim shell --seeds {seed}:{seed + 1}" + (f" --peers {peers}" if peers else "")
            print(f"to repeat: {again}", flush=True)
    print(f"{len(seeds) - len(bad)} of {len(seeds)} seeds held" + (f"; not {bad}" if bad else ""))
    return 1 if bad else 0
