"""The tables of peers and jobs, and the lines around them, from what is known. Pure.

Theory: columns keep their places while values change. A column is as wide as its widest value, at least as wide as its
title; the few that may be cut share what is left over; the last one, whose values change all the time, takes the rest,
so that nothing moves when they do. A column that only helps is left out where there is no room for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from rich.cells import cell_len

from mesh.cli import jobrows, words
from mesh.cli.top.board import Board
from mesh.cli.top.lines import Line, Span, Tone, clip, cut, fit
from mesh.ports.desk import JobRow, StatusAnswer
from mesh.ports.roster import PeerRow

GAP: Final = 2
MARK: Final = "▸ "
"""Stands before the row where the cursor is, so that it can be found without colour."""
REST_LEAST: Final = 6
NAME_LEAST: Final = 8
"""A name that is cut keeps so much, which mostly tells it from others."""
HELPS_FROM: Final = 100
"""Columns that only help are shown on terminals at least so wide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column; `gives`: it may be cut, `rest`: it takes what is left, `helps`: only where there is room.

    `most_first`: sorting by it begins with the greatest.
    """

    title: str
    least: int = 0
    right: bool = False
    gives: bool = False
    rest: bool = False
    helps: bool = False
    most_first: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row; `ranks` are what its cells are sorted by, and `job` is what its last cell shows as a bar."""

    key: str
    cells: tuple[Span, ...]
    ranks: tuple[int | float | str, ...]
    job: JobRow | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sort:
    """By which column, from the left; None: as the peer tells them."""

    column: int | None = None
    backwards: bool = False

    def next(self, columns: int) -> "Sort":
        """Return the sort after this one: by the next column, and after the last one as told."""
        if self.column is None:
            return Sort(column=0)
        return Sort(column=self.column + 1) if self.column + 1 < columns else Sort()

    def turned(self) -> "Sort":
        """Return the other way round."""
        return Sort(column=self.column, backwards=not self.backwards)

    def order(self, rows: Sequence[Row], columns: Sequence[Column]) -> list[Row]:
        """Sort rows; equal ones stay as told."""
        if self.column is None:
            return list(reversed(rows)) if self.backwards else list(rows)
        place, down = self.column, columns[self.column].most_first != self.backwards
        return sorted(rows, key=lambda row: _rank(row.ranks[place]), reverse=down)


def _rank(value: float | str) -> tuple[float, str]:
    return (0.0, value.casefold()) if isinstance(value, str) else (value, "")


PEERS: Final = (
    Column(title="PEER", gives=True),
    Column(title="STATE", least=9),
    Column(title="BUSY", right=True, most_first=True),
    Column(title="PING", right=True, least=6),
    Column(title="ENGINE", gives=True),
    Column(title="RENDERS", rest=True),
)

JOBS: Final = (
    Column(title="JOB", gives=True),
    Column(title="STATE", least=9),
    Column(title="COUNTS", right=True, least=7, most_first=True),
    Column(title="HERE", right=True, most_first=True),
    Column(title="SAFE", right=True, most_first=True),
    Column(title="RATE", right=True, least=6, most_first=True),
    Column(title="LEFT", right=True, least=6),
    Column(title="FROM", gives=True, helps=True),
    Column(title="PROGRESS", rest=True, most_first=True),
)

_JOB_TONES: Final = {
    "waiting": Tone.DIM,
    "rendering": Tone.BUSY,
    "stopped": Tone.BAD,
    "rendered": Tone.BUSY,
    "sealed": Tone.GOOD,
    "cancelled": Tone.DIM,
}


def peer_rows(board: Board) -> list[Row]:
    """Return a row for each peer: this one first, then those connected by name, then those away, then those revoked."""
    if board.status is None:
        return []
    renders = board.rendered_by()
    peers = sorted(board.status["peers"], key=_place)
    return [_peer_row(peer, renders.get(peer["id"], [])) for peer in peers]


def _place(peer: PeerRow) -> tuple[bool, bool, bool, str]:
    return (not peer["me"], peer["revoked"], not peer["connected"], peer["name"].casefold())


def _peer_row(peer: PeerRow, renders: list[tuple[str, int]]) -> Row:
    state, tone = peer_state(peer)
    here = peer["me"] or peer["connected"]
    ping = peer["round_trip_ms"] if here else None
    name = words.called(peer["name"], peer["id"])
    engine = _engine(peer["engines"])
    busy = f"{peer['busy']}/{peer['slots']}" if peer["slots"] and here else "–"
    doing = renders_text(renders, peer["busy"]) or ("rendering" if peer["busy"] else "–") if here else ""
    return Row(
        key=peer["id"],
        cells=(
            Span(name, Tone.BOLD if peer["me"] else Tone.PLAIN if here else Tone.DIM),
            Span(state, tone),
            Span(busy, Tone.BUSY if peer["busy"] and here else Tone.DIM),
            Span("–" if ping is None else f"{ping} ms", Tone.DIM if ping is None else Tone.PLAIN),
            Span(engine or "–", Tone.PLAIN if engine and here else Tone.DIM),
            Span(doing, Tone.BUSY if renders and here else Tone.DIM),
        ),
        ranks=(name, state, peer["busy"], -1 if ping is None else ping, engine, doing),
    )


def peer_state(peer: PeerRow) -> tuple[str, Tone]:
    """Say in a word how a peer is, as `meshnode status` does."""
    if peer["revoked"]:
        return "revoked", Tone.BAD
    if not peer["me"] and not peer["connected"]:
        return "away", Tone.BAD
    if peer["draining"]:
        return "stopping", Tone.WARN
    if peer["paused"]:
        return "paused", Tone.WARN
    return ("here" if peer["me"] else "connected"), Tone.GOOD


def _engine(engines: Sequence[str]) -> str:
    """Return the best engine without its build, and how many more there are."""
    if not engines:
        return ""
    more = f" +{len(engines) - 1}" if len(engines) > 1 else ""
    return engines[0].partition(" (")[0] + more


def renders_text(renders: Sequence[tuple[str, int]], busy: int) -> str:
    """Return frames under their jobs' names, such as `shot 12, 15; logo 3`; those claimed ahead stand after `then`."""
    # A peer claims its next frame while it renders: no more than its busy slots are rendered now.
    now, ahead = _by_job(renders[: max(1, busy)]), _by_job(renders[max(1, busy) :])
    return f"{now}, then {ahead}" if ahead else now


def _by_job(renders: Sequence[tuple[str, int]]) -> str:
    by_job: dict[str, list[int]] = {}
    for job, frame in renders:
        by_job.setdefault(job, []).append(frame)
    return "; ".join(f"{job} {', '.join(map(str, frames))}" for job, frames in by_job.items())


def job_rows(board: Board) -> list[Row]:
    """Return a row for each job, those that are over last."""
    rows = board.status["jobs"] if board.status is not None else []
    ordered = sorted(rows, key=lambda job: job["state"] in ("sealed", "cancelled"))
    return [_job_row(board, job) for job in ordered]


def _job_row(board: Board, job: JobRow) -> Row:
    left = jobrows.left_ms(job)
    rate = board.per_hour(job)
    alarm = job["state"] != "stopped" and (job["stopped"] or job["problems"])
    state = job["state"] + (" !" if alarm else "")
    none = Tone.DIM
    return Row(
        key=job["id"],
        cells=(
            Span(job["name"], Tone.DIM if job["state"] == "cancelled" else Tone.PLAIN),
            Span(state, Tone.BAD if alarm else _JOB_TONES[job["state"]]),
            Span(jobrows.share(job) if jobrows.in_buckets(job) else f"{job['counting']}/{job['tasks']}"),
            Span(str(job["delivered"]) if job["mine"] else "–", Tone.PLAIN if job["mine"] else none),
            Span(str(job["safe"])),
            Span(rate_text(rate) or "–", Tone.PLAIN if rate else none),
            Span("–" if left is None else words.rough(left), none if left is None else Tone.PLAIN),
            Span(job["submitter_name"]),
            Span(""),
        ),
        ranks=(
            job["name"],
            job["state"],
            _part(job),
            job["delivered"],
            job["safe"],
            rate,
            left if left is not None else float("inf"),
            job["submitter_name"],
            _part(job),
        ),
        job=job,
    )


def _part(job: JobRow) -> float:
    """Return which part of a job is rendered."""
    if jobrows.in_buckets(job):
        return job["pixels_counting"] / job["pixels"]
    return job["counting"] / max(1, job["tasks"])


def rate_text(per_hour: float) -> str:
    """Return a rate such as `340/h` or `2.1/s`; empty for none."""
    if not per_hour:
        return ""
    return f"{per_hour / 3_600:.1f}/s" if per_hour >= 3_600 else f"{per_hour:.0f}/h"


def sheet(
    columns: Sequence[Column], rows: Sequence[Row], seen: range, sort: Sort, columns_wide: int
) -> tuple[Line, list[Line]]:
    """Lay rows out under their titles, each line `columns_wide` wide; return the titles and the rows that are seen."""
    shown = [place for place, column in enumerate(columns) if columns_wide >= HELPS_FROM or not column.helps]
    # All rows count for the widths, so that scrolling moves nothing sideways.
    widths = _widths(columns, rows, shown, columns_wide - cell_len(MARK))
    blank = Span(" " * cell_len(MARK))
    titles: list[Span] = []
    for place in shown:
        column = columns[place]
        arrow = ("▼" if column.most_first != sort.backwards else "▲") if sort.column == place else ""
        text = fit(column.title + arrow, widths[place], right=column.right)
        titles += [Span(" " * GAP), Span(text, Tone.BOLD if arrow else Tone.DIM)]
    lines = []
    for at in seen:
        line: list[Span] = []
        for place in shown:
            line.append(Span(" " * GAP))
            line += _cells(columns[place], rows[at], place, widths[place])
        lines.append(clip((blank, *line[1:]), columns_wide))
    return clip((blank, *titles[1:]), columns_wide), lines


def _cells(column: Column, row: Row, place: int, wide: int) -> list[Span]:
    if column.rest and row.job is not None:
        return bar(row.job, wide)
    return [Span(fit(row.cells[place].text, wide, right=column.right), row.cells[place].tone)]


def marked(line: Line, *, focused: bool) -> Line:
    """Return a row's line with the cursor on it, and whether keys go there."""
    if not focused:
        return (Span(MARK, Tone.DIM), *line[1:])
    return (Span(MARK, Tone.BOLD, True), *(Span(span.text, span.tone, True) for span in line[1:]))


def _widths(columns: Sequence[Column], rows: Sequence[Row], shown: Sequence[int], total: int) -> dict[int, int]:
    needs = {}
    for place in shown:
        column = columns[place]
        # A title has a place for the arrow of the sort, so that sorting moves nothing.
        title = cell_len(column.title) + 1
        cells = 0 if column.rest else max((cell_len(row.cells[place].text) for row in rows), default=0)
        needs[place] = REST_LEAST if column.rest else max(title, column.least, cells)
    spare = total - sum(needs.values()) - GAP * (len(shown) - 1)
    for place in shown:
        if spare < 0 and columns[place].gives:
            taken = min(-spare, max(0, needs[place] - NAME_LEAST))
            needs[place] -= taken
            spare += taken
    for place in shown:
        if columns[place].rest and spare > 0:
            needs[place] += spare
    return needs


_BAR: Final = (
    ("█", Tone.GOOD),
    ("▓", Tone.GOOD),
    ("▒", Tone.BUSY),
    ("x", Tone.BAD),
)
"""How safe, counting, running and stopped frames look in a bar."""


def bar(job: JobRow, columns: int) -> list[Span]:
    """Return a job as a bar: safe, counting, running, stopped, open; whatever is there at all shows."""
    if columns <= 0 or not job["tasks"]:
        return [Span(" " * max(0, columns))]
    total, amounts = _amounts(job)
    lengths = [max(1, round(columns * amount / total)) if amount > 0 else 0 for amount in amounts]
    whole = sum(max(0, amount) for amount in amounts) >= total
    # Rounding may have made it a little too long, or too short where nothing is open: the longest part pays.
    while sum(lengths) > columns:
        lengths[lengths.index(max(lengths))] -= 1
    if whole:
        lengths[lengths.index(max(lengths))] += columns - sum(lengths)
    spans = [Span(sign * length, tone) for length, (sign, tone) in zip(lengths, _BAR, strict=True) if length > 0]
    return [*spans, Span("·" * max(0, columns - sum(lengths)), Tone.DIM)]


def _amounts(job: JobRow) -> tuple[int, tuple[int, ...]]:
    """Return all that there is, and what of it is safe, counts, is running and is stopped: frames, or their pixels."""
    if not jobrows.in_buckets(job):
        running = min(job["running"], job["tasks"] - job["counting"] - job["stopped"])
        return job["tasks"], (job["safe"], job["counting"] - job["safe"], running, job["stopped"])
    frame = job["pixels"] // job["tasks"]
    safe, stopped, done = job["safe"] * frame, job["stopped"] * frame, job["pixels_counting"]
    # How large the buckets are that are rendered now is not told; that some are is seen.
    running = min(int(job["running"] > 0), job["pixels"] - done)
    return job["pixels"], (safe, done - safe, running, min(stopped, job["pixels"] - done))


def head(board: Board, columns: int) -> Line:
    """Return the first line of every screen: whose peer it is, and how the mesh is, or that the peer is lost."""
    if board.lost is not None:
        name = board.status["name"] if board.status is not None else "the peer"
        text = f" {name} does not answer since {clock(board.lost.at_ms)}: {board.lost.why}; trying again … "
        return (Span(fit(text, columns), Tone.ALARM),)
    if board.status is None:
        return (Span(fit(" asking the peer …", columns), Tone.DIM),)
    status = board.status
    left: list[Span] = [Span(f" {cut(status['name'], 24)}", Tone.BOLD)]
    if status["mesh_name"]:
        left += [Span(" in ", Tone.DIM), Span(cut(status["mesh_name"], 24), Tone.BOLD)]
    if status["thrown_out"]:
        left.append(Span("  revoked", Tone.BAD))
    elif status["draining"]:
        left.append(Span("  about to stop", Tone.WARN))
    elif status["paused"] is not None:
        left.append(Span("  paused", Tone.WARN))
    elif board.returned:
        left.append(Span("  is back", Tone.GOOD))
    room = max(0, columns - sum(cell_len(span.text) for span in left) - 1)
    right = _mesh_parts(status)
    # What has no room beside the name would run into it.
    while right and len(" · ".join(right)) + GAP > room:
        right.pop()
    return clip((*left, Span(fit(" · ".join(right), room, right=True)), Span(" ")), columns)


def _mesh_parts(status: StatusAnswer) -> list[str]:
    """Say how the mesh is, what matters most first."""
    members = [peer for peer in status["peers"] if peer["me"] or not peer["revoked"]]
    up = [peer for peer in members if peer["me"] or peer["connected"]]
    away = len(members) - len(up)
    slots, busy = sum(peer["slots"] for peer in up), sum(peer["busy"] for peer in up)
    parts = [words.count(len(up), "peer") + (f" and {away} away" if away else "")]
    parts.append(f"{busy} of {words.count(slots, 'slot')} busy")
    going = sum(job["state"] not in ("sealed", "cancelled") for job in status["jobs"])
    parts.append(words.count(going, "open job"))
    return parts


def clock(at_ms: int) -> str:
    """Return a time of this machine's day, to the second."""
    return datetime.fromtimestamp(at_ms / 1000, tz=UTC).astimezone().strftime("%H:%M:%S")


def peer_details(board: Board, key: str | None) -> list[Line]:
    """Return two lines about one peer: what its row has no room for."""
    peers = board.status["peers"] if board.status is not None else []
    peer = next((peer for peer in peers if peer["id"] == key), None)
    if peer is None:
        return [(), ()]
    renders = renders_text(board.rendered_by().get(peer["id"], []), peer["busy"])
    first = [Span(f" {peer['name']}", Tone.BOLD), Span(f"  {words.short(peer['id'])}  ", Tone.DIM)]
    first.append(Span(f"renders {renders}" if renders else ", ".join(peer["addresses"])))
    return [tuple(first), (Span(f" {', '.join(peer['engines']) or 'no engine'}", Tone.DIM),)]


def job_details(board: Board, key: str | None) -> list[Line]:
    """Return two lines about one job: where it comes from and goes to, and what a person should look at."""
    job = board.job_row(key) if key is not None else None
    if job is None:
        return [(), ()]
    first = [
        Span(f" {job['name']}", Tone.BOLD),
        Span(f"  {words.short(job['id'])}  ", Tone.DIM),
        Span(f"frames {job['frames']}, {job['engine'].partition(' (')[0]}"),
    ]
    return [tuple(first), problem_line(job)]


def problem_line(job: JobRow) -> Line:
    """Return a job's first problem, or where its frames come from and go to."""
    if job["problems"]:
        more = f" (and {len(job['problems']) - 1} more)" if len(job["problems"]) > 1 else ""
        return (Span(f" ✗ {job['problems'][0]}{more}", Tone.BAD),)
    if job["stopped"]:
        return (Span(f" ✗ {words.count(job['stopped'], 'frame')} failed too often", Tone.BAD),)
    goes = f" to {job['directory']}" if job["directory"] else ""
    return (Span(f" from {job['submitter_name']}{goes}", Tone.DIM),)


def _how_far(job: JobRow) -> str:
    """Say how far a job is: its frames, or how much of the picture where it has one in buckets."""
    frames = f"{job['counting']}/{job['tasks']}"
    if not jobrows.in_buckets(job):
        return f"{frames}, {jobrows.share(job)}"
    return jobrows.picture(job) if job["tasks"] == 1 else f"{frames}, {jobrows.picture(job)}"


def job_line(board: Board, job: JobRow, columns: int) -> Line:
    """Return the line above a job's frames: how far it is, how fast, how long still; less where there is no room."""
    left, rate = jobrows.left_ms(job), rate_text(board.per_hour(job))
    parts = [
        _how_far(job),
        f"{words.rough(left)} left" if left is not None else "",
        f"{job['safe']} safe",
        f"{job['delivered']} here" if job["mine"] else "",
        rate,
    ]
    numbers = ""
    for part in filter(None, parts):
        longer = f"{numbers} · {part}" if numbers else f"  {part}"
        if len(longer) + len(job["state"]) + NAME_LEAST + 3 <= columns:
            numbers = longer
    room = columns - len(numbers) - len(job["state"]) - 3
    return (
        Span(f" {cut(job['name'], room)}  ", Tone.BOLD),
        Span(job["state"], _JOB_TONES[job["state"]]),
        Span(numbers),
    )
