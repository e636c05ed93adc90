"""The small worlds that have names, and the mutants that the search through one of them must catch."""

import dataclasses
from dataclasses import dataclass

from sim.cheats import DeafToEpochs, IgnoresCancels
from sim.named import named
from sim.scenario import Scenario
from sim.small import Small
from sim.small_cheats import DeliversAnew, ForgetsItsOwn, SaysYoursToAll, SealsNothing, SendsBeforeItWrites
from sim.small_moves import CHANNEL, Bounds
from sim.small_world import MakeCore


def _scenario(peers: int, frames: int) -> Scenario:
    return dataclasses.replace(
        named("calm"), name="small", peers=peers, renderers=peers, jobs=1, frames=frames, submitters=(0,)
    )


def _frames(peers: int, frames: int, bounds: Bounds, **options: int) -> Small:
    return Small(scenario=_scenario(peers, frames), bounds=bounds, **options)


def _still(peers: int, bounds: Bounds) -> Small:
    """One still of two buckets, from the moment on at which nobody leads yet."""
    scenario = dataclasses.replace(_scenario(peers, 1), still_frames=1, width=32, height=16, buckets=(16, 16))
    return Small(scenario=scenario, bounds=bounds, seed=2)


_UNHEARD = ((CHANNEL, 0, 1),)
"""What the first peer says is heard by the second at any later moment: it claims in vain, and renders all the same."""

SMALL: dict[str, Small] = {
    "pair": _frames(2, 1, Bounds(until_ms=4_000, slow=1)),
    "pair-all": _frames(2, 1, Bounds(until_ms=3_000, all_slow=True)),
    "pair-all-crash": _frames(2, 1, Bounds(until_ms=2_500, all_slow=True, crashes=1)),
    "pair-unheard": _frames(2, 1, Bounds(until_ms=4_000, slow_already=_UNHEARD)),
    "pair-late": _frames(2, 1, Bounds(until_ms=4_500, slow_already=_UNHEARD), begin_ms=4_000, seed=6),
    "pair-unheard-slow": _frames(2, 1, Bounds(until_ms=4_000, slow_already=_UNHEARD, slow=1)),
    "pair-unheard-crash": _frames(2, 1, Bounds(until_ms=4_000, slow_already=_UNHEARD, crashes=1)),
    "pair-crash": _frames(2, 2, Bounds(until_ms=4_000, crashes=1)),
    "pair-crash-slow": _frames(2, 1, Bounds(until_ms=4_000, crashes=1, slow=1)),
    "pair-crashes": _frames(2, 1, Bounds(until_ms=4_000, crashes=2)),
    "pair-cut": _frames(2, 1, Bounds(until_ms=4_000, cuts=1)),
    "pair-cut-slow": _frames(2, 1, Bounds(until_ms=4_000, cuts=1, slow=1)),
    "pair-cancel": _frames(2, 1, Bounds(until_ms=4_000, slow=1, cancel=True)),
    "trio": _frames(3, 2, Bounds(until_ms=4_000, slow=1), seed=2),
    "trio-all": _frames(3, 1, Bounds(until_ms=3_000, all_slow=True)),
    "trio-crash": _frames(3, 1, Bounds(until_ms=4_000, crashes=1)),
    "handover": _still(3, Bounds(until_ms=4_000, crashes=1)),
    "handover-slow": _still(3, Bounds(until_ms=4_000, slow=1)),
    "handover-crash-slow": _still(3, Bounds(until_ms=4_000, crashes=1, slow=1)),
    "handover-all": _still(3, Bounds(until_ms=3_000, all_slow=True)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A mutant, the small world in which it shows itself, and the rule that must catch it."""

    rule: str
    mutant: MakeCore
    world: str


FOUND: tuple[Found, ...] = (
    Found(rule="lease", mutant=SaysYoursToAll, world="trio"),
    Found(rule="S3", mutant=DeliversAnew, world="pair-late"),
    Found(rule="S4", mutant=ForgetsItsOwn, world="pair-crash"),
    Found(rule="S3", mutant=SealsNothing, world="pair-crash"),
    Found(rule="barrier", mutant=SendsBeforeItWrites, world="pair-crash"),
    Found(rule="S8", mutant=DeafToEpochs, world="handover-slow"),
    Found(rule="S11", mutant=IgnoresCancels, world="pair-cancel"),
)
