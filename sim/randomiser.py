"""A scenario drawn from a seed: who is there, what they want rendered, over which lines, and what goes wrong.

Every option is drawn, and so is how many of them are on: in some seeds hardly anything goes wrong, in some nearly
everything does, so that faults meet in every mix and each is also seen without the others. In most seeds so many
processes fail that it would be each one's turn at least once. What is drawn can always be finished: `_possible` says
what that takes.

Invariants: only `dice` decides, and the seed decides what it rolls; an option that is added draws after all others of
its group, or the older seeds mean something else.
"""

import dataclasses
from dataclasses import dataclass
from math import isqrt
from typing import Any

from mesh.ground.dice import Dice
from mesh.ground.instants import MINUTE_MS, SECOND_MS
from mesh.ground.limits import EVERYBODY
from mesh.ground.share_limits import WEIGHT_MOST
from sim.scenario import Act, Scenario, Shape

PEERS_LEAST, PEERS_MOST = 20, 50
"""Where nobody says how many."""

FRAMES_MOST = 240
"""Of all jobs of a run: what a run costs grows with them."""

_CELLS_MOST = 600
"""Of a still whose buckets have a size that a person chose."""

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
        order = sorted(range(of), key=lambda _: self.dice.below(2**32))
        return tuple(sorted(order[: 1 + self.dice.below(min(most, of))]))


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
    for group in (_mesh, _jobs, _lines, _failures, _partitions, _renderers, _liars, _script, _weights):
        options |= group(it, options)
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
    return Shape(
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
    """Draw who lies."""
    del options
    return {
        "strangers": it.maybe(12),
        "liars": it.maybe(12),
        "equivocations": it.maybe(12),
        "replays": it.maybe(20),
        "poisoned_dht": it.on(),
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


def _weights(it: _Draw, options: dict[str, Any]) -> dict[str, Any]:
    """Draw what jobs are to have beside each other, in half of the seeds with several, and how often that changes."""
    shapes: tuple[Shape, ...] = options["shapes"]
    if len(shapes) > 1 and it.below(2):
        shapes = tuple(dataclasses.replace(shape, weight=it.spread(1, WEIGHT_MOST)) for shape in shapes)
    return {"shapes": shapes, "weighings": it.maybe(6)}


def _possible(options: dict[str, Any]) -> dict[str, Any]:
    """Change what could not be finished, whoever tried.

    Islanders are found by their beacons. Who was thrown out comes to nothing: he neither submits nor is of the core. Of
    a core that not all belong to, or who came late to, one must be whose address all were given. And the slowest slot
    may be all that is left for the whole work.
    """
    peers = options["peers"]
    out = {peer for act in options["script"] if act.what in ("revoke", "strike") for peer in act.peers}
    if out:
        staying = tuple(peer for peer in range(peers) if peer not in out)
        options["core"] = tuple(peer for peer in options["core"] or staying if peer not in out)
        options["submitters"] = tuple(peer for peer in options["submitters"] if peer not in out) or (0,)
    if options["core"]:
        options["core"] = tuple(sorted({0, *options["core"]}))
    if not options["beacons"]:
        options["islanders"] = ()
    works_ms = sum(
        shape.frame_ms * (shape.frames - shape.still_frames) + shape.still_ms * shape.still_frames
        for shape in options["shapes"]
    )
    options["extra_ms"] = 20 * MINUTE_MS + 2 * works_ms * 100 // options["slowest_percent"]
    return options
