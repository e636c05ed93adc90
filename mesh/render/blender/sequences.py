"""Say which files of an image sequence a range of frames needs.

Theory: Blender finds the last run of digits in the first file's name and puts a number of the same width there. The
number follows from the scene's frame and the image user's start, length, offset and cyclic flag, as in Blender's own
`BKE_image_user_frame_get`.

This module runs in both halves, is pure and must not know `bpy`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

_LAST_DIGITS = re.compile(r"(.*?)([0-9]+)([^0-9]*)", re.DOTALL)


@dataclass(frozen=True)
class Pattern:
    """Name the files of a sequence: `head`, a number of at least `width` digits, `tail`."""

    head: str
    width: int
    tail: str

    def file(self, number: int) -> str:
        """Give the file of one number; Blender takes negative ones as 0."""
        return f"{self.head}{max(0, number):0{self.width}d}{self.tail}"


@dataclass(frozen=True)
class User:
    """Be one use of a sequence: scene frame of its start, length, offset in frames, and whether it repeats."""

    start: int
    length: int
    offset: int
    cyclic: bool

    def number(self, frame: int) -> tuple[int, bool]:
        """Give (the number in the file's name, whether the frame lies within the sequence)."""
        if self.length == 0:
            return 0, False
        place = frame - self.start + 1
        if self.cyclic:
            place = place % self.length or self.length
        within = 1 <= place <= self.length
        return min(max(place, 0), self.length) + self.offset, within


def pattern(path: str) -> Pattern | None:
    """Take a sequence's first path apart, or give None when its file name holds no digits before the extension."""
    cut = path.rfind("/") + 1
    name = path[cut:]
    dot = name.rfind(".")
    stem, extension = (name[:dot], name[dot:]) if dot >= 0 else (name, "")
    match = _LAST_DIGITS.fullmatch(stem)
    if match is None:
        return None
    head, digits, tail = match.groups()
    return Pattern(head=path[:cut] + head, width=len(digits), tail=tail + extension)


def needed(user: User, frames: Iterable[range], blur: bool) -> tuple[set[int], set[int]]:
    """Give (numbers that must exist, numbers to take along if they exist) for the frames to be rendered.

    Motion blur reaches one frame to either side. A frame outside the sequence shows nothing or its last picture in
    Blender too, so what is missing there is the artist's own choice.
    """
    must: set[int] = set()
    may: set[int] = set()
    for run in frames:
        for frame in run:
            number, within = user.number(frame)
            (must if within else may).add(number)
            if blur:
                may.update(user.number(frame + step)[0] for step in (-1, 1))
    return must, may - must
