"""Numbers as people read them."""

import pytest

from mesh.cli import words


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (88_290_000, "84.2 MiB"),
        (5 * 2**40, "5.0 TiB"),
        (2**60, "1048576.0 TiB"),
    ],
)
def test_sizes(count: int, text: str) -> None:
    assert words.size(count) == text


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (34, "34 ms"),
        (3_249, "3.2 s"),
        (60_000, "1 min"),
        (843_000, "14 min 3 s"),
        (3_600_000, "1 h"),
        (4_320_000, "1 h 12 min"),
        (183_600_000, "2 d 3 h"),
    ],
)
def test_spans(ms: int, text: str) -> None:
    assert words.span(ms) == text


@pytest.mark.parametrize(
    ("ms", "text"),
    [(0, "1 s"), (89_000, "89 s"), (90_000, "2 min"), (5_400_000, "1 h 30 min"), (40_000_000, "11 h")],
)
def test_rough_spans(ms: int, text: str) -> None:
    assert words.rough(ms) == text


def test_ages() -> None:
    now_ms = 1_790_000_000_000
    assert words.ago(now_ms, now_ms) == "just now"
    assert words.ago(now_ms + 60_000, now_ms) == "just now", "a clock that is ahead"
    assert words.ago(now_ms - 720_000, now_ms) == "12 min ago"
    assert words.ago(now_ms - 5 * 86_400_000, now_ms) == "5 days ago"


def test_all_is_only_said_of_all() -> None:
    assert words.percent(239, 240) == "99 %"
    assert words.percent(240, 240) == "100 %"
    assert words.percent(0, 0) == "0 %"


def test_frames_as_ranges() -> None:
    assert words.frames([]) == ""
    assert words.frames([5, 1, 2, 3, -1]) == "-1, 1-3, 5"


def test_counts() -> None:
    assert (words.count(1, "frame"), words.count(0, "frame")) == ("1 frame", "0 frames")
