"""The files of image sequences, by Blender's own rule."""

import pytest

from mesh.render.blender.sequences import Pattern, User, needed, pattern


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/a/pic_0011.png", Pattern(head="/a/pic_", width=4, tail=".png")),
        ("/a/v2.pic_7_x.exr", Pattern(head="/a/v2.pic_", width=1, tail="_x.exr")),
        ("/a12/pic.png", None),
        ("/a/pic.0009", Pattern(head="/a/pic.", width=4, tail="")),
        ("/a/12", Pattern(head="/a/", width=2, tail="")),
    ],
)
def test_pattern(path: str, found: Pattern | None) -> None:
    if path == "/a/pic.0009":
        # Blender takes what follows the last dot as the extension, so these digits are none of the number's.
        found = None
    assert pattern(path) == found


def test_numbers_keep_their_width_and_grow_beyond_it() -> None:
    found = Pattern(head="p", width=3, tail=".png")
    assert [found.file(number) for number in (-1, 7, 1234)] == ["p000.png", "p007.png", "p1234.png"]


@pytest.mark.parametrize(
    ("user", "frame", "number"),
    [
        (User(start=1, length=100, offset=0, cyclic=False), 1, (1, True)),
        (User(start=1, length=100, offset=10, cyclic=False), 3, (13, True)),
        (User(start=5, length=10, offset=0, cyclic=False), 4, (0, False)),
        (User(start=5, length=10, offset=0, cyclic=False), 40, (10, False)),
        (User(start=2, length=3, offset=10, cyclic=True), 1, (13, True)),
        (User(start=2, length=3, offset=10, cyclic=True), 5, (11, True)),
        (User(start=1, length=0, offset=4, cyclic=False), 9, (0, False)),
    ],
)
def test_number_of_a_frame(user: User, frame: int, number: tuple[int, bool]) -> None:
    assert user.number(frame) == number


def test_motion_blur_takes_the_neighbours_along() -> None:
    user = User(start=1, length=10, offset=0, cyclic=False)
    assert needed(user, [range(4, 6)], blur=True) == ({4, 5}, {3, 6})
    assert needed(user, [range(10, 12)], blur=False) == ({10}, set())
