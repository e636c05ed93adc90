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
    LooksAtItsOwn,
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
from sim.churncheats import BelievesInTheGone, NeverDialsAgain, StartsLate
from sim.holdcheats import LeavesWithAll, TakesNothing, TakesPlaces, TellsFirst
from sim.host import Core, Host
from sim.hours import churn
from sim.named import named
from sim.scenario import Act, Scenario
from sim.secretcheats import TellsItsKey
from sim.sharingcheats import CountsTasks, FirstJobFirst, IgnoresWeights, TakesAllGrants, TakesNoGrants
from sim.silencecheats import FinishesTheCancelled, WaitsForAnAnswer
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
from sim.studiocheats import Evicts, ForgivesIdlers, IgnoresItsTwin, NoticesNoGap, RefusesWhatItGranted, WaitsForEver
from sim.trapcheats import CancelsQuietly
from sim.trustcheats import AgreesWithAll, CountsAlone, ObeysAnybody, TakesItsOwnVouch, VouchesUnseen
from sim.versioncheats import HangsUp, SpeaksTheNewest


@dataclass(frozen=True, slots=True, kw_only=True)
class Caught:
    """A mutant, where it shows itself, and the rule that must catch it."""

    rule: str
    mutant: Callable[[Host, bytes], Core]
    scenario: Scenario


def _longer(scenario: Scenario) -> Scenario:
    """Return the same with jobs that last for the whole time, however unfairly it is shared out.

    Every host has one slot: these mutants get shares wrong by far more than fewer frames can blur.
    """
    shapes = tuple(dataclasses.replace(shape, frames=3 * shape.frames // scenario.slots) for shape in scenario.shapes)
    return dataclasses.replace(scenario, shapes=shapes, slots=1)


_CALM = dataclasses.replace(named("calm"), extra_ms=30_000)
_STILL = dataclasses.replace(
    named("still"), peers=6, renderers=5, submitters=(5,), still_ms=60_000, extra_ms=30_000, steady=False
)
_FAIR = _longer(named("fair"))
_WEIGHTS = _longer(named("fair-weights"))
_HOARDER = dataclasses.replace(named("hoarder"), extra_ms=5 * 60_000)
_NEAR = dataclasses.replace(_HOARDER, frames=4, extra_ms=10 * 60_000, sites=2, far_ms=120, jitter_ms=0)
"""With so few frames a hoarder that is as good as anybody has some of them again and again."""

_CHURN = dataclasses.replace(churn(30, peers=8, frame_ms=3_000), churn_percent=1_500, down_ms=10_000)
"""As many die as in an hour of 30 % for each frame that a slot renders."""

_TWICE = dataclasses.replace(_CALM, twice=True, frames=20, steady=False)
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
    Caught(rule="S14", mutant=LooksAtItsOwn, scenario=named("onlookers")),
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
    Caught(rule="grant", mutant=RefusesWhatItGranted, scenario=_STILL),
    Caught(rule="L1", mutant=StartsLate, scenario=_CHURN),
    Caught(rule="L2", mutant=NeverRenders, scenario=_CALM),
    Caught(rule="L2", mutant=WritesAllButOne, scenario=_CALM),
    Caught(rule="L3", mutant=StartsLate, scenario=named("plug-puller")),
    Caught(rule="L4", mutant=RendersTwice, scenario=named("calm")),
    Caught(rule="L4", mutant=RendersTwice, scenario=_CHURN),
    Caught(rule="L4", mutant=CopiesAll, scenario=named("still-short")),
    Caught(rule="L2", mutant=WaitsForEver, scenario=_HOARDER),
    Caught(rule="L2", mutant=ForgivesIdlers, scenario=_NEAR),
    Caught(rule="L5", mutant=NeverDialsAgain, scenario=named("split")),
    Caught(rule="L5", mutant=BelievesInTheGone, scenario=named("submitter-gone")),
    Caught(rule="L6", mutant=Evicts, scenario=dataclasses.replace(_CALM, reachable_permille=1_000)),
    Caught(rule="news", mutant=NoticesNoGap, scenario=named("laptop")),
    Caught(rule="twin", mutant=IgnoresItsTwin, scenario=named("cloned-disk")),
    Caught(rule="L9", mutant=WaitsForAnAnswer, scenario=named("one-way-mute")),
    Caught(rule="L10", mutant=FirstJobFirst, scenario=_FAIR),
    Caught(rule="L10", mutant=CountsTasks, scenario=_FAIR),
    Caught(rule="L10", mutant=IgnoresWeights, scenario=_WEIGHTS),
    Caught(rule="L10", mutant=TakesAllGrants, scenario=named("fair-still")),
    Caught(rule="L10", mutant=TakesNoGrants, scenario=named("fair-still")),
    Caught(rule="L11", mutant=CancelsQuietly, scenario=named("cancel-large")),
    Caught(rule="L11", mutant=FinishesTheCancelled, scenario=named("cancel")),
    Caught(rule="L7", mutant=NeedsAll, scenario=named("split")),
    Caught(rule="wire", mutant=SpeaksTheNewest, scenario=named("rolling-upgrade")),
    Caught(rule="wire", mutant=HangsUp, scenario=named("mixed-versions")),
    Caught(rule="S4", mutant=CountsAlone, scenario=_TWICE),
    Caught(rule="S4", mutant=TakesItsOwnVouch, scenario=_TWICE),
    Caught(rule="S4", mutant=ObeysAnybody, scenario=dataclasses.replace(_CALM, liars=60)),
    Caught(rule="L8", mutant=VouchesUnseen, scenario=dataclasses.replace(_TWICE, wrong=(1,))),
    Caught(rule="L8", mutant=AgreesWithAll, scenario=dataclasses.replace(_TWICE, wrong=(1,))),
)
