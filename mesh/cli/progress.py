"""How far something is, on standard error: one line drawn anew on a terminal, a plain line now and then elsewhere.

Both forms use the same words, which are pure functions here. On a terminal the line is rich's, imported only then.
"""

import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Final, Protocol, Self

from mesh.cli import output, words
from mesh.cli.caller import is_terminal
from mesh.ports.desk import Progress

PLAIN_PERIOD_S: Final = 5.0
"""A log gets a line about progress that often."""

RATE_SAMPLES: Final = 24
"""A rate is taken over so many last steps: it follows what happens now without jumping."""


class Rate:
    """How fast a number rises, from when it was seen to rise; times in seconds of any one clock."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque(maxlen=RATE_SAMPLES)

    def see(self, done: int, at_s: float) -> None:
        """Note a value; one that is not greater than the last says nothing."""
        if not self._seen or done > self._seen[-1][1]:
            self._seen.append((at_s, done))

    def per_second(self) -> float:
        """Return the rate, 0 while nothing tells it."""
        if len(self._seen) < 2:
            return 0.0
        (start_s, first), (end_s, last) = self._seen[0], self._seen[-1]
        return (last - first) / (end_s - start_s) if end_s > start_s else 0.0

    def left_ms(self, remaining: int) -> float | None:
        """Guess how long what remains takes."""
        rate = self.per_second()
        return remaining / rate * 1000 if rate else None


def amount(progress: Progress) -> str:
    """Say how much is done, such as `12.3 MiB of 84.2 MiB`; of pixels nothing, since the text says it better."""
    if progress["unit"] == "pixels":
        return ""
    show: Callable[[int], str] = words.size if progress["unit"] == "bytes" else str
    if not progress["total"]:
        return show(progress["done"]) if progress["done"] else ""
    return f"{show(progress['done'])} of {show(progress['total'])}"


def line(progress: Progress, rate: Rate) -> str:
    """Say all in one line: what, how much, how fast, how long still."""
    parts = [amount(progress)]
    if speed := rate.per_second():
        if progress["unit"] == "bytes":
            parts.append(f"{words.size(round(speed))}/s")
        elif progress["unit"] == "frames":
            parts.append(f"{speed * 3600:.0f} frames/h" if speed < 1 else f"{speed:.1f} frames/s")
    if (
        progress["total"]
        and progress["unit"] != "pixels"
        and (left := rate.left_ms(progress["total"] - progress["done"]))
    ):
        parts.append(f"{words.rough(left)} left")
    told = ", ".join(part for part in parts if part)
    return f"{progress['text']}: {told}" if told else progress["text"]


class Meter(Protocol):
    """Shows progress for as long as its block lasts."""

    def __enter__(self) -> Self:
        """Begin."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End, and take away what was drawn."""
        ...

    def update(self, progress: Progress) -> None:
        """Show how far it is."""
        ...

    def tell(self, text: str) -> None:
        """Print a line that stays."""
        ...


class PlainMeter:
    """Prints a line when a phase begins and ends, and every few seconds between where there is something new."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._phase = ""
        self._rate = Rate()
        self._said = ""
        self._said_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, progress: Progress) -> None:
        now_s = self._clock()
        begins = progress["phase"] != self._phase
        if begins:
            self._phase, self._rate = progress["phase"], Rate()
        self._rate.see(progress["done"], now_s)
        ends = 0 < progress["total"] == progress["done"]
        # Where nothing is counted, another text is another step.
        steps = not progress["total"]
        text = line(progress, self._rate)
        if text != self._said and (begins or ends or steps or now_s - self._said_s >= PLAIN_PERIOD_S):
            self._said, self._said_s = text, now_s
            output.notice(text)

    def tell(self, text: str) -> None:
        self._said_s = self._clock()
        output.notice(text)


class TerminalMeter:
    """Draws one line with a bar, and keeps it below what is told."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, SpinnerColumn, TextColumn
        from rich.progress import Progress as Bars

        console = Console(stderr=True, highlight=False, width=output.width())
        columns = (SpinnerColumn(), BarColumn(bar_width=16), TextColumn("{task.description}", markup=False))
        self._bars: Bars = Bars(*columns, console=console, transient=True)
        self._task = self._bars.add_task("", total=None, visible=False)
        self._phase = ""
        self._rate = Rate()

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def update(self, progress: Progress) -> None:
        if progress["phase"] != self._phase:
            self._phase, self._rate = progress["phase"], Rate()
        self._rate.see(progress["done"], time.monotonic())
        room = output.width() - 20
        self._bars.update(
            self._task,
            description=output.cut(line(progress, self._rate), room),
            total=progress["total"] or None,
            completed=progress["done"],
            visible=True,
        )

    def tell(self, text: str) -> None:
        from rich.text import Text

        self._bars.console.print(Text.from_ansi(text), soft_wrap=True)


def meter() -> Meter:
    """Return the meter that suits where notices go."""
    return TerminalMeter() if is_terminal() else PlainMeter()
