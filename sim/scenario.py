"""What one run is made of: a frozen value, drawn from a seed or written down by name, that goes to TOML and back.

Rates of faults are per minute of the safety phase and for the whole mesh; a fault of a given kind that a scenario does
not want has rate 0. `script` adds acts at fixed times. The liveness phase begins when the safety phase ends: everything
heals, the core set of peers is started again, and no new fault comes.
"""

import dataclasses
import tomllib
from dataclasses import dataclass
from typing import Any

from mesh.ground.dice import Dice
from mesh.ground.errors import UsageError
from mesh.ground.instants import MINUTE_MS, SECOND_MS
from mesh.ground.limits import EVERYBODY

ACTS = (
    *("kill", "power", "start", "freeze", "sleep", "thaw", "cut", "mend", "cut-one-way", "stop", "submit", "cancel"),
    *("pause", "pause-now", "resume", "move", "revoke", "strike", "kill-assembler", "lose-assembler"),
    *("kill-coordinator", "mute-coordinator", "usurp"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One thing that happens at a fixed time: to these peers; cuts part `peers` from all others, or from `others`.

    Who revokes is the first host, which alone is an admin.
    What moves is a host whose process does not run: it gets an address that it never had. Whoever assembles a frame
    at that time is killed, and starts again after a while, or is lost for good. Whoever coordinates a still is killed,
    or grants no more though it lives; a keeper that does not lead announces the highest epoch that there can be, and
    freezes.
    """

    at_ms: int
    what: str
    peers: tuple[int, ...] = ()
    others: tuple[int, ...] = ()
    job: int = 0

    def __post_init__(self) -> None:
        if self.what not in ACTS:
            raise UsageError(f"no act is called {self.what}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """All options of one run; times in milliseconds of the world."""

    name: str = "random"
    peers: int = 20
    renderers: int = 16
    """The first so many peers have an engine."""
    slots: int = 1
    everybody: int = EVERYBODY
    """Up to so many peers are all kept channels with."""
    beacons: bool = False
    """All hosts are on one LAN and hear each other's beacons."""
    islanders: tuple[int, ...] = ()
    """Peers that know where the first of them listens, and of others only an address where nobody is; the others know
    nothing of them."""
    bridges: tuple[int, ...] = ()
    """Peers that know both sides; they start late."""
    safety_ms: int = 70 * SECOND_MS
    """How long faults come."""
    least_ms: int = 2 * MINUTE_MS
    """The run goes on at least so long."""
    extra_ms: int = 20 * MINUTE_MS
    """After the safety phase all must be finished within so long."""

    jobs: int = 2
    frames: int = 60
    frame_ms: int = 6 * SECOND_MS
    spread_percent: int = 40
    """A frame takes up to so much less or more."""
    slowest_percent: int = 60
    """Speed of the slowest peer, the fastest being 100."""
    stage_ms: int = 800
    probe_ms: int = 500
    still_frames: int = 0
    """So many last frames of each job are cut into cells."""
    width: int = 640
    height: int = 360
    margin: int = 0
    """Of a cut frame, in pixels."""
    buckets: tuple[int, ...] = ()
    """Width and height of buckets that a person asked for; empty: of any size."""
    order: int = 0
    """From the middle, round and round, along the rows: 0 to 2."""
    still_ms: int = 2 * MINUTE_MS
    """What one cut frame costs a slot of the fastest peer, margins and the costs of each bucket aside."""
    paste_ms: int = 20
    finish_ms: int = 1_500
    """What a bucket costs whoever assembles its frame, and what making the file of all does."""
    scene_blobs: int = 3
    scene_pieces: int = 4
    """Pieces of each blob of a scene."""
    submitters: tuple[int, ...] = ()
    """Who submits the jobs in turn; empty: drawn."""
    submit_at_ms: int = 3 * SECOND_MS
    submit_every_ms: int = 10 * SECOND_MS
    repeatable: bool = False
    """The engines give the same bytes for the same frame."""

    latency_ms: int = 2
    jitter_ms: int = 2
    piece_ms: int = 10
    """What a piece takes on a line that nothing else is on."""
    line_mbit: int = 0
    """What each host sends and receives at most, in megabits a second; 0: no line is ever busy, `piece_ms` holds."""
    loss_ppm: int = 0
    duplicate_ppm: int = 0
    reorder_ppm: int = 0
    fsync_ms: int = 2
    drift_ppm: int = 20
    wall_offset_ms: int = 500

    kills: int = 0
    powers: int = 0
    fuses: int = 0
    """Deaths between two effects."""
    freezes: int = 0
    sleeps: int = 0
    splits: int = 0
    one_ways: int = 0
    stops: int = 0
    steps: int = 0
    rots: int = 0
    full_disks: int = 0
    quota_mb: int = 0
    """How much each store may hold, in millions of bytes; 0: any amount."""
    roomy: tuple[int, ...] = ()
    """Peers whose store has no quota."""
    scrub_ms: int = 0
    """A host looks at one blob for rot so often; 0: never."""
    pauses: int = 0
    down_ms: int = 8 * SECOND_MS
    """How long a fault lasts in the mean."""
    crash_permille: int = 0
    hang_permille: int = 0
    poisoned: int = 0
    """Tasks of each job that crash every renderer."""
    cancels: int = 0
    """The first so many jobs are cancelled at some time."""
    fetches: int = 0
    """So many peers fetch a job's files, too."""
    strangers: int = 0
    liars: int = 0
    replays: int = 0
    poisoned_dht: bool = False
    """Every answer in the DHT is replaced: by garbage, or by a lie that is well formed."""

    core: tuple[int, ...] = ()
    """Peers that the liveness phase starts; empty: all."""
    makespan_percent: int = 0
    """Of the ideal, which the jobs may take at most; 0: it is not looked at."""
    steady: bool = False
    """Nothing disturbs: hardly any frame may be rendered twice."""
    script: tuple[Act, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.peers <= 4_096 or not 0 <= self.renderers <= self.peers:
            raise UsageError(f"{self.peers} peers of which {self.renderers} render")
        if not 0 <= self.still_frames <= self.frames or len(self.buckets) not in (0, 2):
            raise UsageError(f"{self.still_frames} of {self.frames} frames are cut, to buckets of {self.buckets}")

    @property
    def ends_ms(self) -> int:
        """The latest end of the run."""
        return max(self.least_ms, self.safety_ms + self.extra_ms)


def draw(seed: int, peers: int, minutes: int) -> Scenario:
    """Draw a scenario: each fault is on in about a third of all seeds, so that they meet in every mix."""
    dice = Dice(b"scenario" + seed.to_bytes(8, "big"))

    def maybe(most: int) -> int:
        return 1 + dice.below(most) if dice.below(3) == 0 else 0

    jobs = 1 + dice.below(3)
    chaos = dice.below(4) == 0
    frame_ms = 1_000 + dice.below(7_000)
    safety_ms = minutes * MINUTE_MS * 6 // 10
    renderers = max(1, peers * (5 + dice.below(6)) // 10)
    frames = max(2, safety_ms * renderers * (3 + dice.below(4)) // (10 * frame_ms * jobs))
    drawn = Scenario(
        name="random",
        peers=peers,
        renderers=renderers,
        slots=1 + dice.below(2) * dice.below(2),
        safety_ms=safety_ms,
        least_ms=minutes * MINUTE_MS,
        jobs=jobs,
        frames=min(frames, 200),
        frame_ms=frame_ms,
        spread_percent=dice.below(80),
        slowest_percent=30 + dice.below(71),
        stage_ms=dice.below(3_000),
        probe_ms=dice.below(3_000),
        scene_blobs=1 + dice.below(5),
        scene_pieces=1 + dice.below(6),
        submit_every_ms=dice.below(15_000),
        repeatable=dice.below(2) == 0,
        latency_ms=1 + dice.below(3) * dice.below(40),
        jitter_ms=dice.below(20) * dice.below(4),
        piece_ms=1 + dice.below(60),
        loss_ppm=dice.below(20_000) if chaos else 0,
        duplicate_ppm=dice.below(20_000) if chaos or dice.below(3) == 0 else 0,
        reorder_ppm=dice.below(20_000) if chaos else 0,
        fsync_ms=1 + dice.below(3) * dice.below(20),
        drift_ppm=dice.below(200),
        wall_offset_ms=dice.below(2) * dice.below(30_000),
        kills=maybe(6),
        powers=maybe(4),
        fuses=maybe(6),
        freezes=maybe(4),
        sleeps=maybe(3),
        splits=maybe(2),
        one_ways=maybe(3),
        stops=maybe(3),
        steps=maybe(3),
        rots=maybe(4),
        full_disks=maybe(2),
        down_ms=2_000 + dice.below(20_000),
        crash_permille=maybe(30),
        hang_permille=maybe(5),
        poisoned=maybe(2) if dice.below(3) == 0 else 0,
        cancels=maybe(1) if jobs > 1 else 0,
        fetches=maybe(2),
        strangers=maybe(6),
        liars=maybe(6),
        replays=maybe(10),
        core=_draw_core(dice, peers),
        pauses=maybe(4),
        beacons=dice.below(2) == 0,
        everybody=6 if dice.below(3) == 0 else EVERYBODY,
    )
    return _draw_stills(dice, drawn)


def _draw_stills(dice: Dice, drawn: Scenario) -> Scenario:
    """Let a third of all seeds have frames that are cut: alone, or after some that are not."""
    if dice.below(3):
        return drawn
    slots = drawn.renderers * drawn.slots
    still_frames = 1 + dice.below(3)
    work_ms = drawn.safety_ms * slots * (3 + dice.below(6)) // 10
    alone = dice.below(2) == 0
    side = 16 * (1 + dice.below(6))
    return dataclasses.replace(
        drawn,
        frames=still_frames if alone else min(drawn.frames, 20) + still_frames,
        still_frames=still_frames,
        width=200 + dice.below(800),
        height=100 + dice.below(500),
        margin=dice.below(2) * dice.below(5),
        buckets=(side, side) if dice.below(4) == 0 else (),
        order=dice.below(3),
        still_ms=work_ms // (drawn.jobs * still_frames * (1 if alone else 2)),
        paste_ms=1 + dice.below(200),
        finish_ms=100 + dice.below(6_000),
    )


def _draw_core(dice: Dice, peers: int) -> tuple[int, ...]:
    """Mostly everybody comes back; sometimes only some do."""
    if peers < 3 or dice.below(4):
        return ()
    order = sorted(range(peers), key=lambda _: dice.below(2**32))
    return tuple(sorted(order[: max(2, peers // 2 + dice.below(peers // 2))]))


def to_toml(scenario: Scenario, seed: int, comment: str) -> str:
    """Write what differs from the defaults, for `sim/regressions`."""
    lines = [f"# {line}" for line in comment.splitlines()]
    lines.append(f"seed = {seed}")
    defaults = Scenario(name=scenario.name, peers=scenario.peers, renderers=scenario.renderers)
    always = ("name", "peers", "renderers")
    for field in dataclasses.fields(scenario):
        value = getattr(scenario, field.name)
        if field.name != "script" and (field.name in always or value != getattr(defaults, field.name)):
            lines.append(f"{field.name} = {_toml(value)}")
    for act in scenario.script:
        lines += ["", "[[script]]"]
        given = (field.name for field in dataclasses.fields(act))
        lines += [f"{name} = {_toml(getattr(act, name))}" for name in given if getattr(act, name) not in ((), 0)]
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str):
        assert '"' not in value and "\\" not in value
        return f'"{value}"'
    return str(value)


def from_toml(text: str) -> tuple[Scenario, int]:
    """Read a scenario and its seed; raises `UsageError` for an option that there is not."""
    table: dict[str, Any] = tomllib.loads(text)
    seed = int(table.pop("seed"))
    script = tuple(_made(Act, act) for act in table.pop("script", []))
    return dataclasses.replace(_made(Scenario, table), script=script), seed


def _made(kind: type[Any], table: dict[str, Any]) -> Any:
    known = {field.name for field in dataclasses.fields(kind)}
    for name in table:
        if name not in known:
            raise UsageError(f"a {kind.__name__.lower()} has no option {name}")
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in table.items()})
