"""Scenarios that people know: a day in a studio, each told in a person's words, with what must hold.

What a scenario shows beyond the checkers' rules `tests/sim/test_studio.py` says.
"""

import dataclasses

from sim.bases import S_MS, long_still, small
from sim.scenario import Act, Scenario, Shape

_EVENING_MS = 600 * S_MS
_STAY = (0, 9)
"""Of ten peers, a fifth; the last one is the artist's."""


def _leaving(name: str, what: str, **options: object) -> Scenario:
    """Return an evening on which eight of ten leave in ten minutes, one every seventy-five seconds."""
    leavers = [peer for peer in range(10) if peer not in _STAY]
    first_ms, each_ms = 30 * S_MS, _EVENING_MS // len(leavers)
    acts = tuple(Act(at_ms=first_ms + place * each_ms, what=what, peers=(peer,)) for place, peer in enumerate(leavers))
    evening: dict[str, object] = {
        "peers": 10, "renderers": 9, "submitters": (9,), "frames": 100, "frame_ms": 20 * S_MS,
        "safety_ms": first_ms + _EVENING_MS + 10 * S_MS, "least_ms": first_ms + _EVENING_MS + 10 * S_MS,
        "script": acts,
    }  # fmt: skip
    return small(name, **(evening | options))


def evening() -> Scenario:
    """People go home: within ten minutes four of five machines are shut down in order, in the middle of a job.

    Whatever is safe can be fetched from somebody at every moment (L6), no frame that a machine had in hand is lost with
    it, and those that stay finish the job.
    """
    return _leaving("evening", "stop", core=_STAY, reachable_permille=1_000)


def evening_crash() -> Scenario:
    """The same evening, but each machine's plug is pulled; in the morning all are switched on again.

    Ninety-nine in a hundred safe pictures can be fetched meanwhile, and all of them in the morning (L6).
    """
    return _leaving("evening-crash", "power", reachable_permille=990)


def morning() -> Scenario:
    """A job was submitted at night and two machines render it; at nine all others are switched on at once.

    Nearly every one renders within five seconds, though all come at the same time, and none renders what another does.
    """
    return small(
        "morning", peers=24, renderers=24, submitters=(0,), frames=120, late=22, late_ms=20 * S_MS,
        safety_ms=45 * S_MS, least_ms=45 * S_MS, steady=True,
    )  # fmt: skip


def laptop() -> Scenario:
    """Somebody closes a laptop in the middle of a frame and opens it again while there is much to do.

    Others have its frame within eight seconds. When it wakes, it hears the news before it claims or publishes anything:
    the old frame, which others have rendered by then, it gives up.
    """
    asleep = (Act(at_ms=12 * S_MS, what="sleep", peers=(1,)), Act(at_ms=55 * S_MS, what="thaw", peers=(1,)))
    more = tuple(Act(at_ms=45 * S_MS, what="submit", job=job) for job in range(1, 5))
    return small(
        "laptop", jobs=5, frames=4, frame_ms=20 * S_MS, safety_ms=70 * S_MS, least_ms=70 * S_MS, script=(*asleep, *more)
    )


def split_studio() -> Scenario:
    """The line between two sites of a studio is cut for an hour; the artist sits on one side.

    Both sides go on (L7), finish the job, and seal it, each with pictures of its own. When the line is back both settle
    on the same ones, and no file that the artist has changes.
    """
    cut = (Act(at_ms=12 * S_MS, what="cut", peers=(0, 1, 2)), Act(at_ms=3_612 * S_MS, what="mend"))
    return small("split-studio", repeatable=False, safety_ms=3_620 * S_MS, least_ms=3_650 * S_MS, script=cut)


def flaky_switch() -> Scenario:
    """Half of the machines are behind a switch that loses its uplink for three seconds, again and again.

    That is shorter than any lease: nobody is given up, nothing is rendered twice, and the job is hardly late.
    """
    flaps = [
        Act(at_ms=at_s * S_MS, what=what, peers=(3, 4, 5) if what == "cut" else ())
        for up_s in range(10, 55, 8)
        for at_s, what in ((up_s, "cut"), (up_s + 3, "mend"))
    ]
    return small("flaky-switch", frames=50, script=tuple(flaps), steady=True)


def plug_puller() -> Scenario:
    """Whoever coordinates a still is killed every thirty seconds, and is back ten later.

    The next one goes on from what all know: the still takes at most half as long again as it could (L3).
    """
    kills = (Act(at_ms=at_s * S_MS, what="kill-coordinator") for at_s in (10, 40, 70, 100))
    return long_still("plug-puller", *kills, down_ms=10 * S_MS)


def liars() -> Scenario:
    """A fifth of the machines return wrong pixels, each its own; strangers have their statements passed on, a member
    breaks the rules, and old messages are heard again.

    The job is checked twice: no wrong picture is delivered or sealed (L8). Of the statements nothing is kept, started
    or written (S5, S6, S9).
    """
    return small(
        "liars", peers=11, renderers=10, submitters=(10,), twice=True, wrong=(1, 4), strangers=40, liars=40, replays=60,
        safety_ms=70 * S_MS, least_ms=70 * S_MS,
    )  # fmt: skip


def poisoned_dht() -> Scenario:
    """Nothing that the DHT says is true, and a host moves too.

    The job is finished without it, and none of the lies comes into anybody's table.
    """
    moves = (("kill", 20), ("move", 21), ("start", 22))
    script = tuple(Act(at_ms=at_s * S_MS, what=what, peers=(1,)) for what, at_s in moves)
    return small("poisoned-dht", poisoned_dht=True, script=script)


def full_disks() -> Scenario:
    """The disks of two of five renderers are full for a minute and a half, and the artist's for a while, too.

    They are fewer than the tries that a frame has: none stops. Those that have room go on, files are written as soon as
    there is room for them, and afterwards all render again.
    """
    script = (
        Act(at_ms=12 * S_MS, what="fill", peers=(1, 3)),
        Act(at_ms=30 * S_MS, what="fill", peers=(5,)),
        Act(at_ms=60 * S_MS, what="empty", peers=(5,)),
        Act(at_ms=100 * S_MS, what="empty", peers=(1, 3)),
    )
    return small("full-disks", frames=120, safety_ms=110 * S_MS, least_ms=110 * S_MS, script=script)


def hoarder() -> Scenario:
    """One member claims every frame that it hears of, says each second that it works on it, and renders nothing.

    Its leases end for want of progress, and the others render all of the job.
    """
    return small("hoarder", hoarders=(1,))


def cloned_disk() -> Scenario:
    """Somebody copies a machine's disk and starts both: two processes live under one identity, until one is removed.

    As soon as they have met, neither begins another frame; what they had in hand counts, and the others go on. When the
    copy is gone and the original is started again, it renders as before.
    """
    script = (
        Act(at_ms=15 * S_MS, what="clone", peers=(6,)),
        Act(at_ms=45 * S_MS, what="kill", peers=(2, 6)),
        Act(at_ms=46 * S_MS, what="start", peers=(2,)),
    )
    return small(
        "cloned-disk", peers=7, renderers=7, submitters=(0,), frames=100, clone_of=(2,), core=(0, 1, 2, 3, 4, 5),
        script=script,
    )  # fmt: skip


def rolling_upgrade() -> Scenario:
    """Somebody updates one machine after the other, in the middle of jobs; the last but one is forgotten.

    Old and new ones work on one job together. Who has the new version submits a job that asks for much memory, which
    the old one cannot say: those that do not know of it have no part in it until they are updated.
    """
    upgrades = (Act(at_ms=(12 + 8 * peer) * S_MS, what="upgrade", peers=(peer,)) for peer in (0, 1, 2, 3, 5))
    plain = Shape(frames=60, frame_ms=4 * S_MS)
    return small(
        "rolling-upgrade", old=(0, 1, 2, 3, 4, 5), jobs=2, shapes=(plain, dataclasses.replace(plain, memory_mb=8_000)),
        submitters=(5, 0), submit_every_ms=22 * S_MS, script=tuple(upgrades), safety_ms=80 * S_MS, least_ms=80 * S_MS,
    )  # fmt: skip


def mixed_versions() -> Scenario:
    """Half of the machines are never updated, and one is ahead of all others.

    A plain job is everybody's. One that asks for much memory is sealed by those that can read it.
    """
    plain = Shape(frames=40, frame_ms=3 * S_MS)
    return small(
        "mixed-versions", peers=8, renderers=8, old=(1, 3, 5, 7), ahead=(2,), jobs=3, submitters=(0, 1, 4),
        shapes=(dataclasses.replace(plain, memory_mb=8_000), plain, plain), kills=2, down_ms=4 * S_MS,
    )  # fmt: skip


STUDIO = (
    evening(),
    evening_crash(),
    morning(),
    laptop(),
    split_studio(),
    flaky_switch(),
    plug_puller(),
    liars(),
    poisoned_dht(),
    full_disks(),
    hoarder(),
    cloned_disk(),
    rolling_upgrade(),
    mixed_versions(),
)


def artist_leaves(scenario: Scenario) -> Scenario:
    """Return an evening on which the artist's machine is the first to go, once others have the scene."""
    first = Act(at_ms=scenario.script[0].at_ms - 5 * S_MS, what=scenario.script[0].what, peers=scenario.submitters)
    core = tuple(peer for peer in scenario.core if peer not in scenario.submitters)
    return dataclasses.replace(scenario, core=core, script=(first, *scenario.script))
