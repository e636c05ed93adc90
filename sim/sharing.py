"""Scenarios of several jobs at once: twenty slots, for longer than ten minutes, and what each job must get (L10)."""

from dataclasses import replace

from sim.bases import S_MS, small
from sim.scenario import Scenario, Shape


def _sharing(name: str, *shapes: Shape, **options: object) -> Scenario:
    """Return a scenario of five hosts with four slots each, whom several people give jobs one after the other."""
    shared: dict[str, object] = {
        "peers": 5, "renderers": 5, "slots": 4, "submitters": (0, 1, 2), "jobs": len(shapes), "shapes": shapes,
        "safety_ms": 660 * S_MS, "least_ms": 660 * S_MS, "spread_percent": 40,
    }  # fmt: skip
    return small(name, **(shared | options))


_ANIMATION = Shape(frames=720, frame_ms=20 * S_MS)
_STILL = Shape(frames=1, still_frames=1, width=1_920, height=1_080, still_ms=20 * 660 * S_MS)

SHARING = (
    # Three people's jobs, of long and of short frames: each gets a third of the time.
    _sharing(
        "fair",
        Shape(frames=240, frame_ms=20 * S_MS),
        Shape(frames=410, frame_ms=12 * S_MS),
        Shape(frames=800, frame_ms=5 * S_MS),
    ),
    # The second one comes when the first has had all of the mesh for two minutes.
    _sharing(
        "fair-late",
        Shape(frames=490, frame_ms=20 * S_MS),
        Shape(frames=1_100, frame_ms=5 * S_MS),
        submit_every_ms=120 * S_MS,
        safety_ms=750 * S_MS,
        least_ms=750 * S_MS,
    ),
    # One gets three times as much as the other.
    _sharing(
        "fair-weights",
        Shape(frames=520, frame_ms=20 * S_MS, weight=30),
        Shape(frames=720, frame_ms=5 * S_MS),
    ),
    # A still beside an animation: a host takes up a bucket that it is granted when it is the still's turn.
    _sharing("fair-still", _ANIMATION, _STILL),
    _sharing("fair-still-weights", replace(_ANIMATION, weight=30), _STILL),
)
