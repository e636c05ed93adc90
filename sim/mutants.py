"""Peers with one thing broken each, to prove that the checkers look: every mutant must be caught by the rule it
breaks.

A mutant is the real core behind a thin cheat. `MUTANTS` pairs each with the rule and the scenario in which it shows
itself.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from sim.cheats import (
    BorrowsClaims,
    CountsTheStruck,
    DeafToEpochs,
    EvictsTheBound,
    GoesOnAfterStop,
    GrantsUnasked,
    HoldsNothing,
    IgnoresCancels,
    IgnoresItsQuota,
    IgnoresPauses,
    KeepsTalking,
    KeepsTwice,
    NeverRenders,
    OffersNothing,
    OpensToAll,
    PublishesNothing,
    RendersInOneSlot,
    RendersTwice,
    Rewrites,
    ShowsAnother,
    TakesStrangers,
    WritesAllButOne,
)
from sim.holdcheats import LeavesWithAll, TakesNothing, TakesPlaces, TellsFirst
from sim.host import Core, Host
from sim.named import named
from sim.scenario import Act, Scenario
from sim.secretcheats import TellsItsKey
from sim.stillcheats import (
    AssemblesTheCancelled,
    AssemblesTwice,
    CopiesAll,
    DeliversBuckets,
    FinishesAtOnce,
    NeedsAll,
    PastesNothing,
    StopsCells,
)
from sim.studiocheats import Evicts, ForgivesIdlers, IgnoresItsTwin, NoticesNoGap, WaitsForEver


@dataclass(frozen=True, slots=True, kw_only=True)
class Caught:
    """A mutant, where it shows itself, and the rule that must catch it."""

    rule: str
    mutant: Callable[[Host, bytes], Core]
    scenario: Scenario


_CALM = dataclasses.replace(named("calm"), extra_ms=30_000)
_STILL = dataclasses.replace(
    named("still"), peers=6, renderers=5, submitters=(5,), still_ms=60_000, extra_ms=30_000, steady=False
)
_HOARDER = dataclasses.replace(named("hoarder"), extra_ms=5 * 60_000)
_STOP = dataclasses.replace(_CALM, script=(Act(at_ms=15_000, what="stop", peers=(1,)),), steady=False)

MUTANTS: tuple[Caught, ...] = (
    Caught(rule="S1", mutant=HoldsNothing, scenario=_CALM),
    Caught(rule="S1", mutant=TakesPlaces, scenario=_CALM),
    Caught(rule="S1", mutant=TellsFirst, scenario=_CALM),
    Caught(rule="S1", mutant=EvictsTheBound, scenario=_CALM),
    Caught(rule="S1", mutant=TakesNothing, scenario=named("wiped")),
    Caught(rule="S1", mutant=LeavesWithAll, scenario=named("leavers")),
    Caught(rule="S1", mutant=EvictsTheBound, scenario=named("small-disks")),
    Caught(rule="S2", mutant=PublishesNothing, scenario=_CALM),
    Caught(rule="S3", mutant=Rewrites, scenario=_CALM),
    Caught(rule="S4", mutant=ShowsAnother, scenario=_CALM),
    Caught(rule="S5", mutant=TakesStrangers, scenario=_CALM),
    Caught(rule="S5", mutant=KeepsTalking, scenario=named("revoke")),
    Caught(rule="S5", mutant=OpensToAll, scenario=named("revoke-away")),
    Caught(rule="S5", mutant=CountsTheStruck, scenario=named("strike")),
    Caught(rule="S6", mutant=BorrowsClaims, scenario=_CALM),
    Caught(rule="S7", mutant=OffersNothing, scenario=_CALM),
    Caught(rule="S8", mutant=DeafToEpochs, scenario=named("still")),
    Caught(rule="S8", mutant=GrantsUnasked, scenario=named("still")),
    Caught(rule="S9", mutant=KeepsTwice, scenario=dataclasses.replace(named("liars"), replays=600)),
    Caught(rule="S10", mutant=IgnoresItsQuota, scenario=named("small-disks")),
    Caught(rule="S11", mutant=IgnoresCancels, scenario=named("cancel")),
    Caught(rule="S12", mutant=GoesOnAfterStop, scenario=_STOP),
    Caught(rule="S13", mutant=TellsItsKey, scenario=_CALM),
    Caught(rule="pause", mutant=IgnoresPauses, scenario=named("pause")),
    Caught(rule="slot", mutant=RendersInOneSlot, scenario=_CALM),
    Caught(rule="S2", mutant=DeliversBuckets, scenario=_STILL),
    Caught(rule="S4", mutant=StopsCells, scenario=_STILL),
    Caught(rule="S7", mutant=PastesNothing, scenario=_STILL),
    Caught(
        rule="S11",
        mutant=AssemblesTheCancelled,
        scenario=dataclasses.replace(_STILL, cancels=1, script=(Act(at_ms=8_000, what="cancel", job=0),)),
    ),
    Caught(rule="assembly", mutant=FinishesAtOnce, scenario=_STILL),
    Caught(rule="assembly", mutant=AssemblesTwice, scenario=_STILL),
    Caught(rule="waste", mutant=RendersTwice, scenario=_STILL),
    Caught(rule="L2", mutant=NeverRenders, scenario=_CALM),
    Caught(rule="L2", mutant=WritesAllButOne, scenario=_CALM),
    Caught(rule="L4", mutant=RendersTwice, scenario=named("calm")),
    Caught(rule="L4", mutant=CopiesAll, scenario=named("still-short")),
    Caught(rule="L2", mutant=WaitsForEver, scenario=_HOARDER),
    Caught(rule="L2", mutant=ForgivesIdlers, scenario=_HOARDER),
    Caught(rule="L6", mutant=Evicts, scenario=dataclasses.replace(_CALM, reachable_permille=1_000)),
    Caught(rule="news", mutant=NoticesNoGap, scenario=named("laptop")),
    Caught(rule="twin", mutant=IgnoresItsTwin, scenario=named("cloned-disk")),
    Caught(rule="L7", mutant=NeedsAll, scenario=named("split")),
)
