"""A scenario drawn from a seed: who is there, what they want rendered, over which lines, and what goes wrong.

Every option is drawn, and so is how many of them are on: in some seeds hardly anything goes wrong, in some nearly
everything does, so that faults meet in every mix and each is also seen without the others. In most seeds so many
processes fail that it would be each one's turn at least once. What is drawn can always be finished: `_possible` says
what that takes.

Invariants: only `dice` decides, and the seed decides what it rolls; an option that is added draws after all others of
its group, or the older seeds mean something else.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isqrt
from typing import Any

from mesh.ground.dice import Dice
from mesh.ground.instants import MINUTE_MS, SECOND_MS
from mesh.ground.limits import EVERYBODY, FAILURES_PER_TRY, STALLED_UNKNOWN_MS, TRIES_DEFAULT
from mesh.ground.share_limits import WEIGHT_MOST
from sim.scenario import Act, Scenario, Shape

PEERS_LEAST, PEERS_MOST = 20, 50
"""Where nobody says how many."""

FRAMES_MOST = 240
"""Of all jobs of a run: what a run costs grows with them."""

_CELLS_MOST = 600
"""Of a still whose buckets have a size that a person chose."""

FOUND_OUT_MS = 50 * SECOND_MS
"""Longer than a side of a split takes to find out that it is alone."""

_FAILURES = ("kills", "powers", "fuses", "freezes", "sleeps", "stops", "moves")
"""The kinds of failures of one process or machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draw:
    """The dice of one seed, and how often an option is on: so many times of eight."""

    dice: Dice
    on_in_eight: int

    def below(self, bound: int) -> int:
        return self.dice.below(bound)

    def on(self) -> bool:
        return self.dice.below(8) < self.on_in_eight

    def maybe(self, most: int) -> int:
        """Return 0, or from 1 to `most` where the option is on."""
        return 1 + self.dice.below(most) if self.on() else 0

    def spread(self, least: int, most: int) -> int:
        """Return a number from `least` to `most`, each doubling as likely as the next."""
        doublings = (most // least).bit_length()
        low = least << self.dice.below(doublings)
        return min(most, low + self.dice.below(low))

    def some(self, of: int, most: int) -> tuple[int, ...]:
        """Return from 1 to `most` different numbers below `of`."""
        return self.among(range(of), most)

    def among(self, them: Sequence[int], most: int) -> tuple[int, ...]:
        """Return from 1 to `most` of them."""
        order = self.shuffled(them)
        return tuple(sorted(order[: 1 + self.dice.below(min(most, len(them)))]))

    def shuffled(self, them: Sequence[int]) -> list[int]:
        """Return them in any order."""
        return sorted(them, key=lambda _: self.dice.below(2**32))

    def apart(self, label: bytes) -> "_Draw":
        """Return dice of their own for a group that came later: all older groups go on to draw what they drew."""
        return _Draw(dice=self.dice.fork(label), on_in_eight=self.on_in_eight)


def draw(seed: int, peers: int | None, minutes: int) -> Scenario:
    """Draw a scenario of so many virtual minutes, the liveness phase within them where all is well; `peers` None: from
    20 to 50.
    """
    dice = Dice(b"scenario" + seed.to_bytes(8, "big"))
    it = _Draw(dice=dice, on_in_eight=(1, 2, 3, 3, 4, 6)[dice.below(6)])
    drawn_peers = PEERS_LEAST + it.below(PEERS_MOST - PEERS_LEAST + 1)
    options: dict[str, Any] = {"peers": drawn_peers if peers is None else peers}
    options["safety_ms"] = minutes * MINUTE_MS * (4 + it.below(4)) // 10
    options["least_ms"] = minutes * MINUTE_MS
    for group in (_mesh, _jobs, _lines, _failures, _partitions, _renderers, _liars, _script, _versions, _weights):
        options |= group(it, options)
    for label, later in ((b"losses", _losses), (b"split", _long_split), (b"looks", _looks)):
        options |= later(it.apart(label), options)
    return Scenario(name="random", **_possible(options))


def _mesh(it: _Draw, options: dict[str, Any]) -> dict[str, Any]:
    """Draw who is there: renderers, slots, engines, who comes late, who stays for the liveness phase."""
    peers, safety_ms = options["peers"], options["safety_ms"]
    core, late = _core(it, peers), it.on() and peers >= 4
    return {
        "renderers": max(1, peers * (3 + it.below(8)) // 10),
        "slots": 1 + it.below(4) * it.below(2),
        "mixed_slots": it.on(),
        "engines": 1 + it.maybe(2),
        "late": 1 + it.below(peers * 3 // 4) if late else 0,
        "late_ms": it.below(safety_ms * 3 // 4) if late else 0,
        "everybody": (EVERYBODY, EVERYBODY, 12, 6)[it.below(4)],
        "beacons": it.below(2) == 0,
        "islanders": it.some(peers, peers // 2) if it.on() and peers >= 4 else (),
        "slowest_percent": 30 + it.below(71),
        "core": core,
        "remnants": it.maybe(4) if core else 0,
    }


def _core(it: _Draw, peers: int) -> tuple[int, ...]:
    """Mostly everybody comes back; sometimes only some do, now and then hardly anybody."""
    if peers < 3 or not it.on():
        return ()
    least = 2 if it.below(4) == 0 else max(2, peers // 2)
    order = sorted(range(peers), key=lambda _: it.below(2**32))
    return tuple(sorted(order[: least + it.below(max(1, peers // 2))]))


def _jobs(it: _Draw, options: dict[str, Any]) -> dict[str, Any]:
    """Draw what is asked for: from one job of one frame to six of many kinds, frames from milliseconds to minutes.

    All the work together would keep the renderers busy for from a third to most of the safety phase, but there are at
    most `FRAMES_MOST` frames, and stills are half of that: in two seeds of three it is less.
    """
    jobs = (1, 1, 2, 3, 4, 6)[it.below(6)]
    slots = options["renderers"] * options["slots"]
    work_ms = options["safety_ms"] * slots * (3 + it.below(5)) // 10
    return {
        "jobs": jobs,
        "shapes": tuple(_shape(it, work_ms // jobs, FRAMES_MOST // jobs) for _ in range(jobs)),
        "spread_percent": it.below(90),
        "stage_ms": it.spread(20, 10_000),
        "probe_ms": it.below(3_000),
        "paste_ms": it.spread(1, 200),
        "finish_ms": it.spread(50, 6_000),
        "submitters": tuple(it.below(options["peers"]) for _ in range(1 + it.below(jobs))),
        "submit_at_ms": it.spread(500, 12_000),
        "submit_every_ms": it.below(15_000),
        "repeatable": it.below(2) == 0,
        "cancels": it.maybe(max(1, jobs // 2)) if jobs > 1 else 0,
        "fetches": it.maybe(3),
    }


def _shape(it: _Draw, work_ms: int, frames_most: int) -> Shape:
    """Draw one job of about so much work."""
    frame_ms = it.spread(20, 3 * MINUTE_MS)
    frames = min(max(1, work_ms // frame_ms), frames_most)
    stills = 1 + it.below(3) if it.below(3) == 0 else 0
    before = min(frames, 20) if stills and it.below(2) else 0
    width, height = 200 + it.below(800), 100 + it.below(500)
    side = max(16 * (1 + it.below(6)), isqrt(width * height // _CELLS_MOST))
    drawn = Shape(
        frames=before + stills if stills else frames,
        frame_ms=frame_ms,
        still_frames=stills,
        width=width,
        height=height,
        margin=it.below(2) * it.below(5),
        buckets=(side, side) if it.below(4) == 0 else (),
        order=it.below(3),
        still_ms=max(SECOND_MS, work_ms // (2 * max(1, stills))),
        scene_blobs=1 + it.below(5),
        scene_pieces=it.spread(1, 16),
    )
    if it.below(4) or stills:
        return drawn
    return replace(drawn, twice=True, frames=max(1, drawn.frames // 2))  # each is rendered by two


def _lines(it: _Draw, options: dict[str, Any]) -> dict[str, Any]:
    """Draw the network, disks and clocks as they are all the time."""
    del options
    sites = 1 + it.maybe(3)
    return {
        "latency_ms": it.spread(1, 80),
        "jitter_ms": it.below(20) * it.below(4),
        "sites": sites,
        "far_ms": it.spread(5, 160) if sites > 1 else 0,
        "piece_ms": it.spread(1, 60),
        "line_mbit": (20, 50, 100, 1_000)[it.below(4)] if it.on() else 0,
        "loss_ppm": it.maybe(20_000),
        "duplicate_ppm": it.maybe(20_000),
        "reorder_ppm": it.maybe(20_000),
        "fsync_ms": it.spread(1, 60),
        "drift_ppm": it.below(300),
        "wall_offset_ms": it.maybe(30_000),
    }


def _failures(it: _Draw, options: dict[str, Any]) -> dict[str, Any]:
    """Draw how processes and machines fail: in four seeds of five at least as often as there are peers."""
    percent = 100 + it.below(150) if it.below(5) else it.below(60)
    kinds = [kind for kind in _FAILURES if it.on()] or [_FAILURES[it.below(len(_FAILURES))]]
    weights = [1 + it.below(4) for _ in kinds]
    per_minute = options["peers"] * percent * MINUTE_MS // (100 * options["safety_ms"])
    drawn = {kind: -(-per_minute * weight // sum(weights)) for kind, weight in zip(kinds, weights, strict=True)}
    return drawn | {
        "down_ms": it.spread(1_000, 40_000),
        "steps": it.maybe(6),
        "rots": it.maybe(6),
        "full_disks": it.maybe(4),
        "slow_disks": it.maybe(6),
        "stall_ms": it.spread(50, 5_000),
        "pauses": it.maybe(6),
    }


def _partitions(it: _Draw, options: dict[str, Any]) -> dict[str, Any]:
    """Draw what is cut off from what."""
    del options
    return {
        "splits": it.maybe(2),
        "isolations": it.maybe(6),
        "clogs": it.maybe(12),
        "one_ways": it.maybe(6),
        "lags": it.maybe(8),
        "lag_ms": it.spread(100, 4_000),
    }


def _renderers(it: _Draw, options: dict[str, Any]) -> dict[str, Any]:
    """Draw how renderers fail."""
    del options
    return {
        "crash_permille": it.maybe(40),
        "hang_permille": it.maybe(10),
        "poisoned": it.maybe(2) if it.below(2) else 0,
    }


def _liars(it: _Draw, options: dict[str, Any]) -> dict[str, Any]:
    """Draw who lies, of pictures too, and how often people say that one is wrong."""
    return {
        "strangers": it.maybe(12),
        "liars": it.maybe(12),
        "equivocations": it.maybe(12),
        "replays": it.maybe(20),
        "poisoned_dht": it.on(),
        "wrong": it.some(options["renderers"], max(1, options["renderers"] // 5)) if it.on() else (),
        "judges": it.some(options["peers"], 3) if it.on() else (),
        "rejects": it.maybe(6),
    }


def _script(it: _Draw, options: dict[str, Any]) -> dict[str, Any]:
    """Draw what happens once or to somebody in particular: many leave, somebody is thrown out, who leads is struck."""
    peers, safety_ms = options["peers"], options["safety_ms"]
    acts: list[Act] = []

    def when() -> int:
        return 4_000 + it.below(max(1, safety_ms - 4_000))

    for what in ("kill-coordinator", "mute-coordinator", "usurp", "kill-assembler"):
        if any(shape.still_frames for shape in options["shapes"]) and it.on():
            acts += [Act(at_ms=when(), what=what) for _ in range(1 + it.below(3 if what.startswith("kill") else 1))]
    if it.on():  # most of all peers leave, within a time that is drawn, too
        how, first_ms, within_ms = ("stop", "kill", "power")[it.below(3)], when(), it.spread(1_000, 60_000)
        leaving = it.some(peers, max(1, peers * 8 // 10))
        acts += [Act(at_ms=first_ms + it.below(within_ms), what=how, peers=(peer,)) for peer in leaving]
    if it.on() and peers >= 4:
        what = ("revoke", "strike")[it.below(2)]
        acts.append(Act(at_ms=when(), what=what, peers=(1 + it.below(peers - 1),)))
    in_time = [act for act in acts if act.at_ms < safety_ms]
    return {"script": tuple(sorted(in_time, key=lambda act: act.at_ms))}


def _versions(it: _Draw, options: dict[str, Any]) -> dict[str, Any]:
    """Draw who runs the program of before, who of them is updated and when, and who is ahead of all.

    The first peer is of the present version: it alone has every engine and is of every core, so that somebody can have
    part in each job.
    """
    peers, percent = options["peers"], 1 + it.below(100)
    drawn = tuple(peer for peer in range(1, peers) if it.below(100) < percent)
    old = drawn if it.on() else ()
    late_ms = max(1, options["safety_ms"] - 4_000)
    updated = [peer for peer in old if it.below(2)]
    acts = [Act(at_ms=4_000 + it.below(late_ms), what="upgrade", peers=(peer,)) for peer in updated]
    ahead = it.some(peers, 3) if it.on() else ()
    large, shapes = it.on() or bool(old), options["shapes"]
    return {
        "old": old,
        "ahead": tuple(peer for peer in ahead if peer not in old),
        "shapes": tuple(replace(shape, memory_mb=8_000 * it.below(2)) if large else shape for shape in shapes),
        "script": tuple(sorted((*options["script"], *acts), key=lambda act: act.at_ms)),
    }


def _losses(it: _Draw, options: dict[str, Any]) -> dict[str, Any]:
    """Draw what comes back no more or is never enough: hoarders, lost disks, leavers, small disks, islands' one bridge.

    The first peer stays and is honest, has room for all and can render all: it alone could finish everything. So do
    submitters. One disk is lost at most: nobody could promise that there is time to copy before the next one goes.
    """
    peers, safety_ms, script = options["peers"], options["safety_ms"], options["script"]
    needed = {0, *options["submitters"], *_thrown_out(options)}
    drawn: dict[str, Any] = {}
    if options["islanders"] and not options["beacons"] and it.below(2):
        drawn |= _bridged(it, options)
        needed |= {*drawn["islanders"][:1], *drawn["bridges"]}
    others = [peer for peer in range(peers) if peer not in needed]
    drawn["hoarders"] = it.among(others, max(1, peers // 8)) if it.on() and others else ()
    gone: list[tuple[str, tuple[int, ...]]] = []
    for what, most in (("wipe", 1), ("leave", max(1, peers // 4))):
        gone += [(what, (peer,)) for peer in it.among(others, most)] if it.on() and others else []
    if any(shape.still_frames for shape in options["shapes"]) and it.on() and not drawn.get("bridges"):
        gone.append(("lose-assembler", ()))
    acts = [Act(at_ms=4_000 + it.below(max(1, safety_ms - 4_000)), what=what, peers=them) for what, them in gone]
    drawn["script"] = tuple(sorted((*script, *acts), key=lambda act: act.at_ms))
    return drawn | (_small_disks(it, options) if it.on() else {})


def _bridged(it: _Draw, options: dict[str, Any]) -> dict[str, Any]:
    """Draw one or two who know both sides of a mesh of two islands; the first peer is on the larger one."""
    islanders = tuple(peer for peer in options["islanders"] if peer) or (1,)
    first = islanders[0]
    able = [peer for peer in range(first + 1, options["peers"]) if peer not in islanders]
    able = [peer for peer in able if peer not in _thrown_out(options)]
    if not able or first in _thrown_out(options):
        return {"islanders": (), "bridges": ()}
    return {"islanders": islanders, "bridges": it.among(able, 2)}


def _small_disks(it: _Draw, options: dict[str, Any]) -> dict[str, Any]:
    """Draw stores that hold from one job's scene and stills to all that there is; only those that files are wanted of,
    or that everything may come to, have room.
    """
    shapes = options["shapes"]
    stills = [shape.width * shape.height * shape.still_frames * 8 // 1_000_000 for shape in shapes]
    scenes = [shape.scene_blobs * shape.scene_pieces * 1_048_576 // 1_000_000 + 1 for shape in shapes]
    least = 12 + max(scene + still for scene, still in zip(scenes, stills, strict=True))
    most = sum(scenes) + sum(stills) + sum(2 * shape.frames for shape in shapes)
    return {
        "quota_mb": it.spread(least, max(least, most)),
        "roomy": tuple(sorted({0, *options["submitters"]})),
        "scrub_ms": it.below(2) * it.spread(500, 10_000),
        "fetches": 0,
    }


def _long_split(it: _Draw, options: dict[str, Any]) -> dict[str, Any]:
    """In one seed of eight draw a split that outlasts a job on either side, with renderers and the scene on both.

    Only so long a split says that a side got on (L7), and only where no other fault excuses it: lines are as bad as
    they were drawn, but processes and disks hold.
    """
    if it.below(8) or options["peers"] < 6:
        return {}
    peers, each = options["peers"], 2 + it.below(min(4, options["peers"] // 3))
    frame_ms, stage_ms = 4_000 + it.below(4_000), it.spread(20, 1_000)
    alone_ms = FOUND_OUT_MS + 9 * (frame_ms + stage_ms)
    first_ms = options["submit_at_ms"] + 20_000
    frames = each * (alone_ms + 45_000) // frame_ms
    idle = range(2 * each, peers)
    side = it.shuffled(range(2 * each))[:each] + it.shuffled(idle)[: it.below(len(idle) + 1)]
    quiet = dict.fromkeys((*_FAILURES, "pauses", "rots", "full_disks", "steps", "poisoned", "hang_permille", "late"), 0)
    cuts = dict.fromkeys(("splits", "isolations", "clogs", "one_ways", "quota_mb", "line_mbit", "cancels"), 0)
    drawn = {
        "renderers": 2 * each,
        "slots": 1,
        "engines": 1,
        "jobs": 1,
        "submitters": options["submitters"][:1],
        "shapes": (Shape(frames=frames, frame_ms=frame_ms, scene_blobs=2, scene_pieces=2),),
        "spread_percent": it.below(30),
        "slowest_percent": 60 + it.below(41),
        "stage_ms": stage_ms,
        "islanders": (),
        "bridges": (),
        "hoarders": (),
        "remnants": 0,
        "core": (),
        "script": (
            Act(at_ms=first_ms, what="cut", peers=tuple(sorted(side))),
            Act(at_ms=first_ms + alone_ms, what="mend"),
        ),
        "safety_ms": first_ms + alone_ms + 5_000,
    }
    return quiet | cuts | drawn


def _looks(it: _Draw, _options: dict[str, Any]) -> dict[str, Any]:
    """Draw how often people ask about jobs, wherever they sit."""
    return {"looks": it.maybe(30)}


def _thrown_out(options: dict[str, Any]) -> set[int]:
    return {peer for act in options["script"] if act.what in ("revoke", "strike") for peer in act.peers}


def _weights(it: _Draw, options: dict[str, Any]) -> dict[str, Any]:
    """Draw what jobs are to have beside each other, in half of the seeds with several, and how often that changes."""
    shapes: tuple[Shape, ...] = options["shapes"]
    if len(shapes) > 1 and it.below(2):
        shapes = tuple(replace(shape, weight=it.spread(1, WEIGHT_MOST)) for shape in shapes)
    return {"shapes": shapes, "weighings": it.maybe(6)}


def _room_for_two(roomy: tuple[int, ...], honest: list[int]) -> tuple[int, ...]:
    """Return who has room, two honest ones among them: once all others' stores are full, only these render."""
    small = [peer for peer in honest if peer not in roomy]
    lacking = 2 - (len(honest) - len(small))
    return tuple(sorted((*roomy, *small[: max(0, lacking)])))


def _possible(options: dict[str, Any]) -> dict[str, Any]:
    """Change what could not be finished, whoever tried.

    Where two have to agree there are three honest peers that could, two of them with room for all. Islanders are found
    by their beacons, or by who knows both sides. Who was thrown out comes to nothing: he neither submits nor is of the
    core. Of a core that not all belong to, or who came late to, one must be whose address all were given; of one of two
    islands also whoever brings them together. And the slowest slot may be all that is left for the whole work. Each
    hoarder may keep the only frame of a job until its lease stalls.
    """
    peers = options["peers"]
    out = _thrown_out(options)
    if out:
        staying = tuple(peer for peer in range(peers) if peer not in out)
        options["core"] = tuple(peer for peer in options["core"] or staying if peer not in out)
        options["submitters"] = tuple(peer for peer in options["submitters"] if peer not in out) or (0,)
    if options["core"]:
        bridged = (*options["islanders"][:1], *options["bridges"]) if options.get("bridges") else ()
        options["core"] = tuple(sorted({0, *options["core"], *bridged}))
    if not options["beacons"] and not options.get("bridges"):
        options["islanders"] = ()
    gone = {peer for act in options["script"] if act.what in ("wipe", "leave") for peer in act.peers}
    unable = {*out, *gone, *options["wrong"], *options["hoarders"], *options["old"]}
    honest = [peer for peer in range(options["renderers"]) if peer not in unable]
    if options["engines"] > 1 or len(honest) < 3:
        options["shapes"] = tuple(replace(shape, twice=False) for shape in options["shapes"])
    if options.get("quota_mb") and any(shape.twice for shape in options["shapes"]):
        options["roomy"] = _room_for_two(options["roomy"], honest)
    works_ms = sum(
        shape.frame_ms * (shape.frames - shape.still_frames) * (3 if shape.twice else 1)
        + shape.still_ms * shape.still_frames
        for shape in options["shapes"]
    )
    rejected = -(-options["rejects"] * options["safety_ms"] // MINUTE_MS)
    again_ms = (2 * shape.frame_ms + shape.still_ms * bool(shape.still_frames) for shape in options["shapes"])
    works_ms += rejected * max(again_ms)
    # Whoever alone can render fails a frame that nobody can so many times before it stops.
    most = FAILURES_PER_TRY * TRIES_DEFAULT
    works_ms += sum(most * shape.frame_ms * min(options["poisoned"], shape.frames) for shape in options["shapes"])
    hoarded_ms = STALLED_UNKNOWN_MS * len(options["hoarders"])
    options["extra_ms"] = 20 * MINUTE_MS + hoarded_ms + 2 * works_ms * 100 // options["slowest_percent"]
    return options
