"""One run, live in a terminal: who is up and what it does, how jobs get on, and what goes wrong.

Theory: the world runs as it always does; every so often an act on its own heap paints the screen and waits until the
clock on the wall has caught up. Watching changes no draw and no order, so that a seed that failed unseen fails here.

Invariants: it only reads. `picture` turns a world into what is painted and knows no terminal.
"""

import re
import select
import sys
import termios
import time
import tty
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from mesh.core.status import JobView
from mesh.ground.errors import UsageError
from sim.host import Host
from sim.people import Plan
from sim.run import Order, run
from sim.scenario import told
from sim.world import World

PER_SECOND: Final = 10
"""How often the screen is painted."""

_COLUMN: Final = 19
_BAR: Final = 20
_FRAME_LINES: Final = 2
"""Of a panel: its top and its bottom."""

_DIM, _GOOD, _WARN, _BAD = "grey58", "green", "yellow", "red"
_GOOD_ENDS: Final = ("starts", "goes on", "is resumed", "is mended")
_BAD_ENDS: Final = ("is killed", "loses power", "is revoked", "grants no more")
_PEERS: Final = re.compile(r"\((\d[\d, ]*?),?\)")
_NAMED_MOST: Final = 6
_HUES: Final = ("cyan", "magenta", "bright_blue", "green", "yellow", "bright_red")
"""One for each job, in turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doing:
    """What a host is seen to do: a sign that needs no colour, a word to count it by, and what it has in hand."""

    sign: str
    word: str
    style: str
    text: str = ""


def watch(order: Order, seed: int, *, speed: float) -> int:
    """Show a run at `speed` virtual seconds a second, until it ends or a person types q; return the exit code.

    Raises UsageError where there is no terminal, or no speed.
    """
    console = Console()
    if not console.is_terminal or not sys.stdin.isatty():
        raise UsageError("watch needs a terminal; `python -m sim run` does without")
    if speed <= 0:
        raise UsageError(f"nothing can be watched at {speed} virtual seconds a second")
    scenario = order.scenario_for(seed)
    try:
        with _keys(), Live(console=console, screen=True, auto_refresh=False) as live:
            show = _Show(live, f"{scenario.name}, seed {seed}: {told(scenario)}", speed)
            ran = run(scenario, seed, wire=order.wire, signatures=order.signatures, prepare=show.begin)
            show.end("all is done" if ran.good else ran.story[0])
    except KeyboardInterrupt:
        return 0
    console.print(*(ran.story or (ran.trace,)), f"repeat: {order.command(seed)}", sep="\n", markup=False)
    return 0 if ran.good else 1


class _Show:
    """The screen of one run."""

    def __init__(self, live: Live, title: str, speed: float) -> None:
        self._live = live
        self._title = title
        self._speed = speed
        self._world: World | None = None
        self._began_s = time.monotonic()

    def begin(self, world: World) -> None:
        """Paint the world from its beginning on."""
        self._world = world
        world.at(0, self._go_on, world)

    def _go_on(self, world: World) -> None:
        self._paint(world, "")
        ahead_s = world.now_ms / 1000 / self._speed - (time.monotonic() - self._began_s)
        if ahead_s < -1:  # the machine is slower than what was asked: it goes on from here
            self._began_s -= ahead_s
        _wait(max(0.0, ahead_s))
        world.after(max(1, int(1000 * self._speed / PER_SECOND)), self._go_on, world)

    def end(self, how: str) -> None:
        """Show how it ended, until a key is typed."""
        assert self._world is not None
        self._paint(self._world, how)
        while not _typed(1.0):
            pass

    def _paint(self, world: World, ended: str) -> None:
        size = self._live.console.size
        self._live.update(picture(world, self._title, ended, size.width, size.height), refresh=True)


# The keyboard.


@contextmanager
def _keys() -> Iterator[None]:
    """Read each key as it is typed, and give the terminal back as it was."""
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _typed(within_s: float) -> str:
    ready, _, _ = select.select([sys.stdin], [], [], within_s)
    return sys.stdin.read(1) if ready else ""


def _wait(for_s: float) -> None:
    """Wait until the time has come; q ends everything, as Ctrl-C does."""
    if _typed(for_s) == "q":
        raise KeyboardInterrupt


# The picture.


def picture(world: World, title: str, ended: str, width: int, height: int) -> Group:
    """Return what is painted of a world on a screen of so many columns and lines."""
    columns = max(1, (width - 4) // _COLUMN)
    doings = [doing(world, host) for host in world.hosts]
    rows = -(-len(doings) // columns)
    jobs = [_job(world, plan, width - 4) for plan in world.people.plans]
    left = height - 2 - (len(jobs) + _FRAME_LINES) - (rows + _FRAME_LINES) - _FRAME_LINES
    return Group(
        _head(world, title, ended, width),
        Panel(Group(*jobs), title="jobs", title_align="left", border_style=_DIM, width=width),
        Panel(_peers(doings, columns, rows), title=_counts(doings), title_align="left", border_style=_DIM, width=width),
        Panel(
            _happenings(world, max(1, left)), title="what happened", title_align="left", border_style=_DIM, width=width
        ),
    )


def _head(world: World, title: str, ended: str, width: int) -> Text:
    seconds, phase = world.now_ms / 1000, "faults come" if world.faulty else "all is mended"
    clock = f"{int(seconds // 60)}:{seconds % 60:04.1f}"
    head = Text(f" {clock}  ", style="bold")
    head.append(ended or phase, style=(_GOOD if ended == "all is done" else _BAD) if ended else "bold")
    head.append(f"  {title}", style=_DIM)
    keys = "any key ends" if ended else "q ends"
    head.truncate(max(1, width - len(keys) - 2), overflow="ellipsis", pad=True)
    head.append(keys, style=_DIM)
    return head


def _job(world: World, plan: Plan, width: int) -> Text:
    """Tell how far a job is, as its submitter sees it, or whoever has seen most."""
    line = Text(f"{plan.name} ", style=_hue(plan.number), no_wrap=True, overflow="ellipsis")
    view = _seen(world, plan)
    if view is None:
        return line.append(
            f"of p{plan.submitter}: {'not known to anybody who is up' if plan.job else 'not yet there'}", _DIM
        )
    done, of = (view.pixels_counting, view.pixels) if view.pixels else (view.counting, view.tasks)
    full = _BAR * done // max(1, of)
    line.append("█" * full + "░" * (_BAR - full), _hue(plan.number))
    line.append(f" {view.counting:3}/{view.tasks} count, {view.safe:3} safe, {view.delivered:3} delivered")
    if view.cells:
        line.append(f", {view.cells_counting}/{view.cells} cells")
    line.append(f"  {view.state.value}", _GOOD if view.state.value == "sealed" else "bold")
    line.append(f"  of p{plan.submitter}", _DIM)
    if view.problems:
        line.append(f"  {view.problems[0]}", _WARN)
    line.truncate(width, overflow="ellipsis")
    return line


def _seen(world: World, plan: Plan) -> JobView | None:
    """Return the view of the submitter, or else of whoever is up and counts most."""
    if plan.job is None:
        return None
    submitter = world.hosts[plan.submitter]
    hosts = [submitter] if submitter.works else [host for host in world.hosts if host.works]
    views = [view for host in hosts if (view := host.core.job_view(host.now(), plan.job)) is not None]
    return max(views, key=lambda view: view.counting, default=None)


def _counts(doings: list[Doing]) -> Text:
    counted = Counter(each.word for each in doings)
    return Text("peers: " + ", ".join(f"{count} {word}" for word, count in counted.items()))


def _peers(doings: list[Doing], columns: int, rows: int) -> Table:
    """Paint all hosts, from the top to the bottom and then to the right."""
    table = Table.grid(padding=0)
    for _ in range(columns):
        table.add_column(width=_COLUMN, no_wrap=True)
    cells = [
        Text.assemble((f"{f'p{index}':<4}", _DIM), (f"{each.sign} {each.text or each.word}", each.style))
        for index, each in enumerate(doings)
    ]
    for row in range(rows):
        table.add_row(*cells[row::rows])
    return table


def doing(world: World, host: Host) -> Doing:
    """Tell what a host is seen to do now."""
    if not host.running:
        if not host.life and host.boot == b"":
            return Doing(sign="·", word="not there yet", style=_DIM)
        return Doing(sign="✗", word="down" if host.powered else "without power", style=_BAD)
    if host.frozen:
        return Doing(sign="‖", word="asleep" if host.asleep else "frozen", style=_WARN)
    others = [other.index for other in world.hosts if other is not host]
    cut = sum(not world.net.connects(host.index, other) for other in others)
    if others and 2 * cut > len(others):
        return Doing(sign="⊘", word="cut off", style=_WARN)
    if host.disk.full:
        return Doing(sign="▒", word="full disk", style=_WARN)
    return _working(world, host, "~" if cut else " ")


def _working(world: World, host: Host, cut: str) -> Doing:
    """Tell what a host that is up and not cut off has in hand; `~` where it does not reach some."""
    renders = [render for render in host.farm.renders.values() if render.writing]
    if renders:
        plan = world.people.plan(renders[0].effect.job.body.name)
        what = f"job{plan.number} {renders[0].effect.task}" + (f" +{len(renders) - 1}" if renders[1:] else "")
        return Doing(sign="▶", word="render", style=_hue(plan.number), text=f"{cut}{what}")
    for growing in host.assemblies.growing.values():
        plan = world.people.plan(growing.effect.job.body.name)
        return Doing(
            sign="▣", word="assemble", style=_hue(plan.number), text=f"{cut}job{plan.number} {growing.effect.task}"
        )
    if world.books.of(host).paused:
        return Doing(sign="=", word="paused", style=_DIM)
    return Doing(sign="○", word="up", style=_DIM, text=f"{cut}{'' if host.slots else 'no engine'}")


def _hue(job: int) -> str:
    return _HUES[job % len(_HUES)]


def _named(peers: re.Match[str]) -> str:
    """Name a few peers, and of many their number."""
    numbers = [number for number in peers[1].split(", ") if number]
    return " ".join(f"p{number}" for number in numbers) if len(numbers) <= _NAMED_MOST else f"{len(numbers)} peers"


def _tone(text: str) -> str:
    if text.endswith(_GOOD_ENDS):
        return _GOOD
    return _BAD if text.endswith(_BAD_ENDS) else "default"


def _happenings(world: World, lines: int) -> Group:
    """Paint what happened last, the newest at the bottom."""
    last = list(world.trace.happenings)[-lines:]
    shown: list[Text] = []
    for time_ms, host, text in last:
        line = Text(f"{time_ms / 1000:8.1f} ", style=_DIM, no_wrap=True, overflow="ellipsis")
        whole = text.startswith("cut ")  # it is the world's, not one host's
        line.append(_PEERS.sub(_named, text) if whole else f"p{host} {text}", style=_tone(text))
        shown.append(line)
    shown += [Text("")] * (lines - len(shown))
    return Group(*shown)
