"""Frames as ranges: what a person types, in that order, and no frame twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.ground.errors import UsageError
from mesh.wire.tasks import FRAME_LIMIT, MAX_RANGES, MAX_TASKS, FrameRange, Frames, frames_of, parse_frames

numbers = st.lists(st.integers(-500, 500), min_size=1, max_size=60, unique=True)


def span(first: int, last: int, step: int = 1) -> FrameRange:
    return FrameRange(first=first, last=last, step=step)


@pytest.mark.parametrize(
    ("text", "step", "frames"),
    [
        ("7", 1, [7]),
        ("1-4", 1, [1, 2, 3, 4]),
        ("1,5,10-12", 1, [1, 5, 10, 11, 12]),
        (" 1 , 5 ", 1, [1, 5]),
        ("1-10", 4, [1, 5, 9]),
        ("1-5,2-6", 2, [1, 3, 5, 2, 4, 6]),
        ("10,1-3", 1, [10, 1, 2, 3]),
        ("1-3,2-4", 1, [1, 2, 3, 4]),
        ("5,5,5", 1, [5]),
        ("-3--1", 1, [-3, -2, -1]),
        ("-2-1", 1, [-2, -1, 0, 1]),
        ("0", 1, [0]),
        (f"{FRAME_LIMIT}", 1, [FRAME_LIMIT]),
        ("1-3", FRAME_LIMIT, [1]),
    ],
)
def test_what_a_person_types(text: str, step: int, frames: list[int]) -> None:
    assert list(parse_frames(text, step)) == frames


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("", 1),
        ("a", 1),
        ("1-", 1),
        ("1,,2", 1),
        ("3-1", 1),
        ("1-2-3", 1),
        ("1.5", 1),
        ("0x1", 1),
        ("١", 1),
        ("99999999", 1),
        (f"{FRAME_LIMIT + 1}", 1),
        (f"-{FRAME_LIMIT + 1}", 1),
        ("1-100001", 1),
        ("1-60000,100001-160000", 1),
        ("1", 0),
        ("1", -1),
        ("1", FRAME_LIMIT + 1),
    ],
)
def test_what_cannot_be_understood_is_named(text: str, step: int) -> None:
    with pytest.raises(UsageError, match=r"--frames|--step"):
        parse_frames(text, step)


def test_the_most_frames_may_be_typed() -> None:
    assert len(parse_frames("1-100000")) == MAX_TASKS


def test_too_many_ranges_are_named() -> None:
    # No two neighbours make a range with the next number: 0, 1, 10, 11, ... would.
    scattered = [number * number for number in range(2 * MAX_RANGES + 1)]
    with pytest.raises(UsageError, match=f"at most {MAX_RANGES}"):
        frames_of(scattered)


@given(numbers)
def test_ranges_are_the_numbers_in_their_order(listed: list[int]) -> None:
    frames = frames_of(listed)
    assert list(frames) == listed
    assert len(frames) == len(listed)
    assert [frames.frame(task) for task in range(len(frames))] == listed
    for task in (-1, len(listed)):
        with pytest.raises(IndexError):
            frames.frame(task)


@given(numbers, st.lists(st.integers(0, 59), max_size=5))
def test_a_number_given_twice_counts_once(listed: list[int], again: list[int]) -> None:
    doubled = listed + [listed[at % len(listed)] for at in again]
    assert list(frames_of(doubled)) == listed


def test_no_frames_are_no_job() -> None:
    with pytest.raises(UsageError):
        frames_of([])
    with pytest.raises(ValueError, match="1 to"):
        Frames(ranges=())


@pytest.mark.parametrize(
    ("first", "last", "step"),
    [
        (2, 1, 1),
        (1, 2, 0),
        (1, 2, -1),
        (0, 1, 2 * FRAME_LIMIT + 1),
        (0, FRAME_LIMIT + 1, 1),
        (-FRAME_LIMIT - 1, 0, 1),
        (0, 2**70, 1),
    ],
)
def test_what_is_no_range_is_refused(first: int, last: int, step: int) -> None:
    with pytest.raises(ValueError, match="no range"):
        span(first, last, step)


def test_lengths_are_exact_up_to_the_longest() -> None:
    whole = span(-FRAME_LIMIT, FRAME_LIMIT)
    assert len(whole) == 2 * FRAME_LIMIT + 1
    for ranges in ((whole,), (whole,) * MAX_RANGES):
        with pytest.raises(ValueError, match=f"1 to {MAX_TASKS}"):
            Frames(ranges=ranges)
    assert len(Frames(ranges=(span(1, MAX_TASKS),))) == MAX_TASKS
    assert len(Frames(ranges=(span(-FRAME_LIMIT, FRAME_LIMIT, 21),))) == 99_865
    with pytest.raises(ValueError, match="frames"):
        Frames(ranges=(span(1, MAX_TASKS), span(MAX_TASKS + 1, MAX_TASKS + 1)))


@given(
    st.lists(
        st.builds(
            lambda first, count, step: span(first, first + count * step, step),
            st.integers(0, 60),
            st.integers(0, 8),
            st.integers(1, 9),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_no_frame_comes_twice(ranges: list[FrameRange]) -> None:
    listed = [frame for piece in ranges for frame in range(piece.first, piece.last + 1, piece.step)]
    if len(set(listed)) == len(listed):
        assert list(Frames(ranges=tuple(ranges))) == listed
    else:
        with pytest.raises(ValueError, match="twice"):
            Frames(ranges=tuple(ranges))


def test_the_last_frame_of_a_range_need_not_be_hit() -> None:
    frames = Frames(ranges=(span(1, 10, 4),))
    assert list(frames) == [1, 5, 9]
    assert frames.frame(2) == 9
