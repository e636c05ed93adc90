"""When each step of a job's way happened, for whoever measures: `meshnode join --timings FILE`.

Theory: what a person feels as speed lies between steps of different peers, so each peer notes its own against the one
clock that all processes of a machine share, and the differences are taken afterwards. A mark costs a few microseconds:
it is written to a file, and nothing waits for a disk.

Invariants: nothing is decided by a mark, and without a file none is made. Each mark is one line of JSON: `at_ms`, the
monotonic clock in milliseconds; `step`; and, where they are known, `job`, in hexadecimal, and `frame`.

The module must not know what any step means."""

import json
from collections.abc import Callable
from enum import Enum
from typing import Protocol, TypeAlias

from mesh.ports.world import World

Write: TypeAlias = Callable[[str], object]
"""Writes a line where measurements go."""


class Step(Enum):
    """What is marked, in the order in which it happens."""

    ASKED = "asked"
    """A submission came in."""
    INSPECTED = "inspected"
    """The scene was read."""
    PLANNED = "planned"
    """The scene is stored; what follows signs the job record."""
    OPENING = "opening"
    """The scene is checked out; what follows loads it into a renderer."""
    OPENED = "opened"
    """The stage is ready to render."""
    CLAIMED = "claimed"
    """This peer's claim of a frame was won and its slot is free: the render begins."""
    CALLED = "called"
    """The stage was told to render."""
    SAMPLED = "sampled"
    """The renderer reported the frame's first sample."""
    WRITTEN = "written"
    """The frame's file was heard to be whole."""
    STORED = "stored"
    """The frame was checked and is in the store; what follows publishes the result."""
    PASTED = "pasted"
    """The last bucket of the frame is pasted; what follows writes all passes."""
    ASSEMBLED = "assembled"
    """All passes of the frame are one file; what follows has an engine make the frame's own file of it."""


class Mark(Protocol):
    """Notes that a step happened now."""

    def __call__(self, step: Step, job: bytes | None = None, frame: int | None = None) -> None: ...


def unmarked(step: Step, job: bytes | None = None, frame: int | None = None) -> None:
    """Note nothing: nobody measures."""


def marks(world: World, write: Write | None) -> Mark:
    """Return what writes marks, or nothing where there is nothing to write to."""
    if write is None:
        return unmarked

    def mark(step: Step, job: bytes | None = None, frame: int | None = None) -> None:
        said: dict[str, int | str] = {"at_ms": world.now().instant, "step": step.value}
        if job is not None:
            said["job"] = job.hex()
        if frame is not None:
            said["frame"] = frame
        write(json.dumps(said) + "\n")

    return mark
