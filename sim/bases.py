"""What named scenarios are made of: a small mesh and a few frames, or one still, from which each differs by little."""

import dataclasses

from sim.scenario import Act, Scenario

S_MS = 1_000

_SMALL = Scenario(
    peers=6,
    renderers=5,
    jobs=1,
    frames=40,
    frame_ms=4 * S_MS,
    submitters=(5,),
    safety_ms=60 * S_MS,
    least_ms=60 * S_MS,
    spread_percent=20,
)


def small(name: str, **options: object) -> Scenario:
    """Return a scenario of six peers that render forty frames in half a minute, changed by `options`."""
    changed: dict[str, object] = {"name": name, **options}
    return dataclasses.replace(_SMALL, **changed)  # type: ignore[arg-type]


def still(name: str, **options: object) -> Scenario:
    """One still that twenty peers render in about half a minute."""
    still: dict[str, object] = {
        "peers": 20, "renderers": 19, "submitters": (19,), "frames": 1, "still_frames": 1, "still_ms": 400 * S_MS,
        "slowest_percent": 80, "spread_percent": 60,
    }  # fmt: skip
    return small(name, **(still | options))


def long_still(name: str, *acts: Act, **options: object) -> Scenario:
    """One still that nine peers render in a minute and a half, which is timed."""
    long: dict[str, object] = {
        "peers": 10, "renderers": 9, "submitters": (9,), "still_ms": 9 * 90 * S_MS, "safety_ms": 110 * S_MS,
        "least_ms": 110 * S_MS, "width": 1280, "height": 720, "makespan_percent": 150, "script": acts,
    }  # fmt: skip
    return still(name, **(long | options))
