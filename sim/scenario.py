"""What one run is made of: a frozen value, written down by name or drawn by `randomiser`, that goes to TOML and back.

Rates of faults are per minute of the safety phase and for the whole mesh; a fault of a given kind that a scenario does
not want has rate 0. `script` adds acts at fixed times. The liveness phase begins when the safety phase ends: everything
heals, the core set of peers is started again, and no new fault comes.
"""

import dataclasses
import tomllib
from dataclasses import dataclass
from typing import Any

from mesh.ground.errors import UsageError
from mesh.ground.instants import MINUTE_MS, SECOND_MS
from mesh.ground.limits import EVERYBODY
from mesh.ground.share_limits import WEIGHT_DEFAULT

ACTS = (
    *("kill", "power", "start", "freeze", "sleep", "thaw", "cut", "mend", "cut-one-way", "stop", "submit", "cancel"),
    *("pause", "pause-now", "resume", "move", "revoke", "strike", "kill-assembler", "lose-assembler"),
    *("kill-coordinator", "mute-coordinator", "usurp", "fill", "empty", "clone", "wipe", "leave", "weigh"),
    "upgrade",
)

PEERS_MOST = 4_096
"""Of a scenario."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One thing that happens at a fixed time: to these peers; cuts part `peers` from all others, or from `others`.

    Who revokes is the first host, which alone is an admin.
    What moves is a host whose process does not run: it gets an address that it never had. Whoever assembles a frame
    at that time is killed, and starts again after a while, or is lost for good. Whoever coordinates a still is killed,
    or grants no more though it lives; a keeper that does not lead announces the highest epoch that there can be, and
    freezes. Disks are filled, and emptied again. What is cloned is a disk: the host that is to run on its copy starts.
    Who is wiped loses its disk and stays away, as does who leaves, who hands over first what it holds. Who is upgraded
    stops in order and starts as the present version of the program.
    """

    at_ms: int
    what: str
    peers: tuple[int, ...] = ()
    others: tuple[int, ...] = ()
    job: int = 0
    weight: int = WEIGHT_DEFAULT
    """What a job is given."""

    def __post_init__(self) -> None:
        if self.what not in ACTS:
            raise UsageError(f"no act is called {self.what}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a job is like: its frames, how they are cut, and its scene; times in milliseconds of the world."""

    frames: int = 60
    frame_ms: int = 6 * SECOND_MS
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
    memory_mb: int = 0
    """What a host must have to render it; every host has 16,384. Only the present version of the wire can say so."""
    weight: int = WEIGHT_DEFAULT
    """How much time each host is to give it beside other jobs."""
    scene_blobs: int = 3
    scene_pieces: int = 4
    """Pieces of each blob of a scene."""
    twice: bool = False
    """A result counts once another peer's render was like it; nothing of such a job is cut."""

    def __post_init__(self) -> None:
        if not 0 <= self.still_frames <= self.frames or len(self.buckets) not in (0, 2):
            raise UsageError(f"{self.still_frames} of {self.frames} frames are cut, to buckets of {self.buckets}")
        if self.twice and self.still_frames:
            raise UsageError("what is checked twice is not cut")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario(Shape):
    """All options of one run; what is said of the shape of a job holds for every job that `shapes` gives no other."""

    name: str = "random"
    peers: int = 20
    renderers: int = 16
    """The first so many peers have an engine."""
    slots: int = 1
    mixed_slots: bool = False
    """A renderer has any number of slots up to `slots`."""
    engines: int = 1
    """So many kinds of engines there are, and jobs want them in turn; of several the first peer has all, any other
    renderer some."""
    late: int = 0
    """The last so many peers first start at `late_ms`, all at once."""
    late_ms: int = 0
    everybody: int = EVERYBODY
    """Up to so many peers are all kept channels with."""
    beacons: bool = False
    """All hosts are on one LAN and hear each other's beacons."""
    islanders: tuple[int, ...] = ()
    """Peers that know where the first of them listens, and of others only an address where nobody is; the others know
    nothing of them."""
    bridges: tuple[int, ...] = ()
    """Peers that know both sides; they start late."""
    clone_of: tuple[int, ...] = ()
    """The last so many peers run on copies of these hosts' disks, under their identities; the act `clone` makes one."""
    old: tuple[int, ...] = ()
    """Peers that begin with the version before: of the wire, and of what people can ask for."""
    ahead: tuple[int, ...] = ()
    """Peers that also say, every two seconds and to all, what only a version after the present one knows."""
    hoarders: tuple[int, ...] = ()
    """Peers that claim all they are told of, say each second that they render it, and render nothing."""
    wrong: tuple[int, ...] = ()
    """Peers that return wrong pixels, each its own."""
    league: bool = False
    """All of them return the same wrong pixels, and so vouch for each other."""
    judges: tuple[int, ...] = ()
    """Peers that every job names to rule on complaints."""
    safety_ms: int = 70 * SECOND_MS
    """How long faults come."""
    least_ms: int = 2 * MINUTE_MS
    """The run goes on at least so long."""
    extra_ms: int = 20 * MINUTE_MS
    """After the safety phase all must be finished within so long."""

    jobs: int = 2
    spread_percent: int = 40
    """A frame takes up to so much less or more."""
    slowest_percent: int = 60
    """Speed of the slowest peer, the fastest being 100."""
    stage_ms: int = 800
    probe_ms: int = 500
    paste_ms: int = 20
    finish_ms: int = 1_500
    """What a bucket costs whoever assembles its frame, and what making the file of all does."""
    shapes: tuple[Shape, ...] = ()
    """What the jobs are like, in turn; empty: each as the scenario's own options say."""
    submitters: tuple[int, ...] = ()
    """Who submits the jobs in turn; empty: drawn."""
    submit_at_ms: int = 3 * SECOND_MS
    submit_every_ms: int = 10 * SECOND_MS
    repeatable: bool = False
    """The engines give the same bytes for the same frame."""

    latency_ms: int = 2
    jitter_ms: int = 2
    sites: int = 1
    """Peers are spread over so many places; between two of them everything takes `far_ms` longer."""
    far_ms: int = 0
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
    isolations: int = 0
    """One peer is cut off from all others."""
    clogs: int = 0
    """Two peers are cut off from each other, and from nobody else."""
    one_ways: int = 0
    lags: int = 0
    """Everything from and to one peer takes `lag_ms` longer for a time."""
    lag_ms: int = 1_000
    stops: int = 0
    steps: int = 0
    rots: int = 0
    full_disks: int = 0
    slow_disks: int = 0
    """One peer's fsync takes `stall_ms` longer for a time."""
    stall_ms: int = 1_000
    moves: int = 0
    """A process is killed and comes back at an address that it never had; not those whose addresses all were given."""
    quota_mb: int = 0
    """How much each store may hold, in millions of bytes; 0: any amount."""
    roomy: tuple[int, ...] = ()
    """Peers whose store has no quota."""
    scrub_ms: int = 0
    """A host looks at one blob for rot so often; 0: never."""
    pauses: int = 0
    churn_percent: int = 0
    """Of all peers, so many per cent die each hour."""
    down_ms: int = 8 * SECOND_MS
    """How long a fault lasts in the mean."""
    crash_permille: int = 0
    hang_permille: int = 0
    poisoned: int = 0
    """Tasks of each job that crash every renderer."""
    cancels: int = 0
    """The first so many jobs are cancelled at some time."""
    weighings: int = 0
    """So many times somebody gives a job another weight."""
    fetches: int = 0
    """So many peers fetch a job's files, too."""
    rejects: int = 0
    """So often somebody says that a frame of some job is wrong, whether he may reject it or only complain."""
    looks: int = 0
    """So often somebody asks about the frames of some job, at any peer."""
    strangers: int = 0
    liars: int = 0
    equivocations: int = 0
    """A member signs two statements under one number, and tells different peers different ones."""
    replays: int = 0
    poisoned_dht: bool = False
    """Every answer in the DHT is replaced: by garbage, or by a lie that is well formed."""

    core: tuple[int, ...] = ()
    """Peers that the liveness phase starts; empty: all."""
    remnants: int = 0
    """So many of the others go on in the liveness phase, cut off from the core one way for good."""
    makespan_percent: int = 0
    """Of the ideal, which the jobs may take at most; 0: it is not looked at."""
    waste_percent: int = 0
    """Of the render time, what may go to frames that were rendered before; 0: it is not looked at."""
    reachable_permille: int = 0
    """Of what is safe, which some running host must have at any time of the safety phase; 0: it is not looked at."""
    steady: bool = False
    """Nothing disturbs: hardly any frame may be rendered twice."""
    script: tuple[Act, ...] = ()

    def __post_init__(self) -> None:
        Shape.__post_init__(self)  # a class with slots is made twice, and `super` would know the first one
        if not 1 <= self.peers <= PEERS_MOST or not 0 <= self.renderers <= self.peers:
            raise UsageError(f"{self.peers} peers of which {self.renderers} render")
        if self.sites < 1 or self.engines < 1 or not 0 <= self.late < self.peers:
            raise UsageError(f"{self.sites} sites, {self.engines} engines, {self.late} of {self.peers} peers come late")
        if any(original >= self.peers - len(self.clone_of) for original in self.clone_of):
            raise UsageError(f"the last {len(self.clone_of)} of {self.peers} peers cannot be clones of {self.clone_of}")

    def original(self, index: int) -> int | None:
        """Return of which host's disk a host has a copy; None: it has its own."""
        place = index - (self.peers - len(self.clone_of))
        return self.clone_of[place] if place >= 0 else None

    @property
    def ends_ms(self) -> int:
        """The latest end of the run."""
        return max(self.least_ms, self.safety_ms + self.extra_ms)

    def of_job(self, number: int) -> "Scenario":
        """Return the scenario as one job of it sees it: its own shape in the place of the common one."""
        if not self.shapes:
            return self
        shape = self.shapes[number % len(self.shapes)]
        own: dict[str, Any] = {field.name: getattr(shape, field.name) for field in dataclasses.fields(shape)}
        return dataclasses.replace(self, shapes=(), **own)


def told(scenario: Scenario) -> str:
    """Return in a few words how large a scenario is."""
    frames = [scenario.of_job(number).frames for number in range(scenario.jobs)]
    return f"{scenario.peers} peers, {scenario.jobs} jobs, frames {' + '.join(map(str, frames)) or '0'}"


_TABLES: dict[str, type[Any]] = {"script": Act, "shapes": Shape}
"""Options that are rows of values, each a table of its own in TOML."""


def to_toml(scenario: Scenario, seed: int, comment: str) -> str:
    """Write what differs from the defaults, for `sim/regressions`."""
    lines = [f"# {line}" for line in comment.splitlines()]
    lines.append(f"seed = {seed}")
    always = ("name", "peers", "renderers")
    lines += _told(scenario, always)
    for table in _TABLES:
        for row in getattr(scenario, table):
            lines += ["", f"[[{table}]]", *_told(row)]
    return "\n".join(lines) + "\n"


def _told(row: Any, always: tuple[str, ...] = ()) -> list[str]:
    """Return a line for each option that differs from its default."""
    lines: list[str] = []
    for field in dataclasses.fields(row):
        value = getattr(row, field.name)
        if field.name not in _TABLES and (field.name in always or value != field.default):
            lines.append(f"{field.name} = {_toml(value)}")
    return lines


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
    rows = {name: tuple(_made(kind, row) for row in table.pop(name, [])) for name, kind in _TABLES.items()}
    return dataclasses.replace(_made(Scenario, table), **rows), seed


def _made(kind: type[Any], table: dict[str, Any]) -> Any:
    known = {field.name for field in dataclasses.fields(kind)}
    for name in table:
        if name not in known:
            raise UsageError(f"a {kind.__name__.lower()} has no option {name}")
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in table.items()})
