"""Which frames a job has, as ranges: a task's number is its place in the job's order, from 0.

Invariants: no frame comes twice, since each has one file and one task, and there is at least one. Whoever makes a value
by hand is held to the same bounds as bytes are, by `ValueError`.
"""

import dataclasses
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated

from mesh.ground.errors import UsageError
from mesh.wire.codec import AtMost, Between

MAX_TASKS = 100_000
MAX_RANGES = 256
FRAME_LIMIT = 1_048_574
"""The greatest frame number that Blender knows (MAXFRAME in its DNA_scene_types.h)."""

MAX_STEP = 2 * FRAME_LIMIT
"""From the first frame that there is to the last."""

_RANGE = re.compile(r"(-?[0-9]{1,18})(?:-(-?[0-9]{1,18}))?")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FrameRange:
    """The frames first, first + step, ... up to last."""

    first: Annotated[int, Between(-FRAME_LIMIT, FRAME_LIMIT)]
    last: Annotated[int, Between(-FRAME_LIMIT, FRAME_LIMIT)]
    step: Annotated[int, Between(1, MAX_STEP)]

    def __post_init__(self) -> None:
        if not -FRAME_LIMIT <= self.first <= self.last <= FRAME_LIMIT or not 1 <= self.step <= MAX_STEP:
            raise ValueError(f"from frame {self.first} to {self.last} by {self.step} is no range of frames")

    def __len__(self) -> int:
        return (self.last - self.first) // self.step + 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """The frames of a job, in the order in which they are to be rendered."""

    ranges: Annotated[tuple[FrameRange, ...], AtMost(MAX_RANGES)]

    def __post_init__(self) -> None:
        if not 1 <= len(self) <= MAX_TASKS:
            raise ValueError(f"a job has 1 to {MAX_TASKS} frames")
        if self._may_overlap() and len(set(self)) < len(self):
            raise ValueError("a job has no frame twice")

    def _may_overlap(self) -> bool:
        spans = sorted((piece.first, piece.last) for piece in self.ranges)
        return any(after <= last for (_, last), (after, _) in pairwise(spans))

    def __len__(self) -> int:
        return sum(len(piece) for piece in self.ranges)

    def __iter__(self) -> Iterator[int]:
        for piece in self.ranges:
            yield from range(piece.first, piece.last + 1, piece.step)

    def frame(self, task: int) -> int:
        """Return the frame number of task `task`; raises `IndexError` beyond the last."""
        if task < 0:
            raise IndexError(task)
        for piece in self.ranges:
            if task < len(piece):
                return piece.first + task * piece.step
            task -= len(piece)
        raise IndexError(task)


def parse_frames(text: str, step: int = 1) -> Frames:
    """Read what a person types: `1-240`, `7`, `1,5,10-20`; a step thins each range; a frame named twice counts once.

    Raises `UsageError`.
    """
    if not 1 <= step <= FRAME_LIMIT:
        raise UsageError(f"--step {step}: it takes a whole number from 1")
    frames: dict[int, None] = {}
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None:
            raise UsageError(f"--frames {text}: '{part.strip()}' is neither a frame nor a range like 10-20")
        first = int(match[1])
        last = int(match[2]) if match[2] is not None else first
        if last < first:
            raise UsageError(f"--frames {text}: '{part.strip()}' ends before it begins")
        if max(abs(first), abs(last)) > FRAME_LIMIT:
            raise UsageError(f"--frames {text}: Blender has no frames beyond {FRAME_LIMIT:,}")
        frames.update(dict.fromkeys(range(first, last + 1, step)))
        if len(frames) > MAX_TASKS:
            raise UsageError(f"--frames {text}: a job has at most {MAX_TASKS} frames")
    return frames_of(list(frames))


def frames_of(numbers: list[int]) -> Frames:
    """Return `numbers`, each once, as ranges in their order; raises `UsageError` when there are too many or none.

    Numbers that Blender does not have are a `ValueError`: who reads them from a person or a scene checks them first.
    """
    numbers = list(dict.fromkeys(numbers))
    if not 1 <= len(numbers) <= MAX_TASKS:
        raise UsageError(f"a job has 1 to {MAX_TASKS} frames, not {len(numbers)}")
    ranges: list[FrameRange] = []
    start = 0
    while start < len(numbers):
        end = start + 1
        step = max(1, numbers[end] - numbers[start]) if end < len(numbers) else 1
        while end < len(numbers) and numbers[end] - numbers[end - 1] == step:
            end += 1
        ranges.append(FrameRange(first=numbers[start], last=numbers[end - 1], step=step))
        start = end
    if len(ranges) > MAX_RANGES:
        raise UsageError(f"these frames fall into {len(ranges)} ranges; a job has at most {MAX_RANGES}")
    return Frames(ranges=tuple(ranges))
