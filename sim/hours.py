"""Jobs in a mesh in which peers die all the time and come back: what L1 and L4 are judged by, and L10 of several.

So many per cent of all peers die in an hour, half of them by SIGKILL and half with their machines, and are back about a
minute later. The hours take minutes of a processor each; `churn` makes them of any size.
"""

from dataclasses import replace
from typing import Final

from mesh.ground.instants import HOUR_MS, MINUTE_MS, SECOND_MS
from sim.scenario import Scenario, Shape

TASKS_EACH: Final = 25
"""For each slot: with fewer the last frames are all that is measured."""

BOUNDS: Final = {30: 125, 100: 200}
"""What the makespan may be of the ideal at most, by deaths an hour, both in per cent (L1)."""

WASTE_PERCENT: Final = {30: 5}
"""Of the render time, what may go to frames that were rendered before, by deaths an hour in per cent (L4)."""

_SLOWEST_PERCENT = 60
_MEAN_PERCENT = (100 + _SLOWEST_PERCENT) // 2


def churn(percent: int, *, peers: int, frame_ms: int, name: str = "") -> Scenario:
    """Return a job of `TASKS_EACH` frames for each peer, which takes five sixths of the time in which they die."""
    lasts_ms = TASKS_EACH * frame_ms * 100 // _MEAN_PERCENT
    safety_ms = lasts_ms * 6 // 5
    return Scenario(
        name=name or f"churn of {percent} %/h",
        peers=peers,
        renderers=peers,
        jobs=1,
        frames=TASKS_EACH * peers,
        frame_ms=frame_ms,
        slowest_percent=_SLOWEST_PERCENT,
        submitters=(peers - 1,),
        safety_ms=safety_ms,
        least_ms=safety_ms,
        churn_percent=percent,
        down_ms=MINUTE_MS,
        makespan_percent=BOUNDS.get(percent, 0),
        waste_percent=WASTE_PERCENT.get(percent, 0),
    )


_FRAME_MS = HOUR_MS * 5 // 6 * _MEAN_PERCENT // 100 // TASKS_EACH // SECOND_MS * SECOND_MS


def shared(alone: Scenario, *frames_ms: int, name: str) -> Scenario:
    """Return the same work as equal jobs, each with frames as long as said: all are rivals for as long as it lasts."""
    each_ms = alone.frames * alone.frame_ms // len(frames_ms)
    return replace(
        alone,
        name=name,
        jobs=len(frames_ms),
        shapes=tuple(Shape(frames=each_ms // frame_ms, frame_ms=frame_ms) for frame_ms in frames_ms),
        submit_every_ms=SECOND_MS,
        makespan_percent=0,
    )


_HOUR = churn(30, peers=100, frame_ms=_FRAME_MS, name="churn-hour")

HOURS: Final = (
    _HOUR,
    churn(100, peers=100, frame_ms=_FRAME_MS, name="churn-hour-heavy"),
)

FAIR_HOUR: Final = shared(_HOUR, 25 * SECOND_MS, 15 * SECOND_MS, name="fair-hour")
"""Judged by L10, which asks for its bound of equal jobs and of tasks of up to 30 s."""
