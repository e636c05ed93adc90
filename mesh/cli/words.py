"""Numbers as people read them: spans, sizes, ages, frames. Pure functions; time is an argument."""

from collections.abc import Iterable
from datetime import UTC, datetime

SHORT_DIGITS = 8
"""Of an id: as many as make a coincidence among thousands of jobs unlikely, and few enough to type."""

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def short(identifier: str) -> str:
    """Return the beginning of an id, which commands take in its place."""
    return identifier[:SHORT_DIGITS]


def called(name: str, identifier: str) -> str:
    """Return what people call something that may have no name, or the beginning of its id."""
    return name or short(identifier)


def size(count: int) -> str:
    """Return a size, such as `84.2 MiB`."""
    value = float(count)
    for unit in _UNITS:
        if value < 1024 or unit == _UNITS[-1]:
            break
        value /= 1024
    return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"


def span(ms: float) -> str:
    """Return a duration with its two greatest units, such as `14 min 3 s`; below a minute as `3.2 s` or `34 ms`."""
    if ms < 1_000:
        return f"{ms:.0f} ms"
    if ms < 60_000:
        return f"{ms / 1000:.1f} s"
    seconds = round(ms / 1000)
    if seconds < 3_600:
        return _two(seconds, "min", "s")
    if seconds < 86_400:
        return _two(seconds // 60, "h", "min")
    return _two(seconds // 3_600, "d", "h", ratio=24)


def _two(number: int, great: str, small: str, ratio: int = 60) -> str:
    whole, rest = divmod(number, ratio)
    return f"{whole} {great} {rest} {small}" if rest else f"{whole} {great}"


def rough(ms: float) -> str:
    """Return a duration that is only guessed, such as `14 min`: to the whole second, minute or hour."""
    seconds = max(1, round(ms / 1000))
    if seconds < 90:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if hours < 10 and rest else f"{hours} h"


def ago(at_ms: int, now_ms: int) -> str:
    """Return how long ago something was, such as `12 min ago`."""
    past_ms = now_ms - at_ms
    if past_ms < 5_000:
        return "just now"
    if past_ms < 36 * 3_600_000:
        return f"{rough(past_ms)} ago"
    return f"{past_ms // 86_400_000} days ago"


def moment(at_ms: int) -> str:
    """Return a time by this machine's calendar and clock, to the minute."""
    return datetime.fromtimestamp(at_ms / 1000, tz=UTC).astimezone().strftime("%Y-%m-%d %H:%M")


def day(at_ms: int) -> str:
    """Return the day of a time by this machine's calendar."""
    return moment(at_ms).partition(" ")[0]


def paused(since_ms: int, until_ms: int | None) -> str:
    """Say since when a host is paused, and until when if that is known."""
    until = "" if until_ms is None else f" until {moment(until_ms)}"
    return f"paused since {moment(since_ms)}{until}"


def percent(done: int, total: int) -> str:
    """Return a share, rounded down so that 100 % means all."""
    return f"{100 * done // total if total else 0} %"


def frames(numbers: Iterable[int]) -> str:
    """Return frame numbers as ranges, such as `1-120, 130`."""
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def count(number: int, thing: str) -> str:
    """Return a number of things, such as `1 frame` and `2 frames`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def area(region: list[int]) -> str:
    """Say which pixels of a frame a bucket is: its size, and its corner from the left and the top."""
    left, top, right, bottom = region
    return f"bucket {right - left}x{bottom - top} at {left},{top}"
