"""Scenarios with names: the walks that the mesh must never lose, each as short as it can be.

Small meshes and few frames, so that each runs in about a second. What a scenario must show beyond the checkers'
rules, such as how soon a dead peer's frame is claimed again, its test says.
"""

import dataclasses
from collections.abc import Callable

from mesh.ground.errors import UsageError
from sim.bases import S_MS, long_still, small, still
from sim.hours import FAIR_HOUR, HOURS
from sim.scenario import Act, Scenario
from sim.sharing import SHARING
from sim.studio import STUDIO


def _reclaim(name: str, what: str) -> Scenario:
    """Four frames among ten renderers, of which five are lost while they render."""
    return small(
        name,
        peers=11,
        renderers=10,
        submitters=(10,),
        frames=4,
        frame_ms=30 * S_MS,
        script=(Act(at_ms=20 * S_MS, what=what, peers=(0, 1, 2, 3, 4)),),
    )


def _one_way(name: str, cut: Callable[[int, tuple[int, ...]], Act]) -> Scenario:
    """Six peers render many frames, and each in turn is cut off one way for twelve seconds."""
    acts: list[Act] = []
    for peer in range(6):
        others = tuple(other for other in range(6) if other != peer)
        acts.append(dataclasses.replace(cut(peer, others), at_ms=(15 + 18 * peer) * S_MS))
        acts.append(Act(at_ms=(27 + 18 * peer) * S_MS, what="mend"))
    return small(name, frames=240, frame_ms=2 * S_MS, safety_ms=125 * S_MS, least_ms=125 * S_MS, script=tuple(acts))


_SCENARIOS = (
    *STUDIO,
    *HOURS,
    FAIR_HOUR,
    *SHARING,
    small("calm", steady=True),
    small("calm-many", peers=20, renderers=20, frames=200, steady=True),
    # Renderers die with their nodes, one of them for long.
    small(
        "kill",
        script=(Act(at_ms=15 * S_MS, what="kill", peers=(1, 2)), Act(at_ms=40 * S_MS, what="start", peers=(1,))),
    ),
    # Idle peers take over what dead ones had in hand, and what silent ones had.
    _reclaim("reclaim-killed", "kill"),
    _reclaim("reclaim-powerless", "power"),
    _reclaim("reclaim-frozen", "freeze"),
    # Every process dies in the same millisecond: running tasks must not look open to keepers that come back.
    small(
        "all-restart",
        script=(
            Act(at_ms=18 * S_MS, what="kill", peers=(0, 1, 2, 3, 4, 5)),
            Act(at_ms=20 * S_MS, what="start", peers=(0, 1, 2, 3, 4, 5)),
        ),
    ),
    # Every machine loses power: only what was fsynced is left.
    small(
        "blackout",
        script=(
            Act(at_ms=18 * S_MS, what="power", peers=(0, 1, 2, 3, 4, 5)),
            Act(at_ms=25 * S_MS, what="start", peers=(0, 1, 2, 3, 4, 5)),
        ),
    ),
    # Only the keepers' processes die, and are cut off for a moment from the others, who render on.
    small(
        "keeper-restart",
        peers=8,
        renderers=8,
        submitters=(7,),
        script=(
            Act(at_ms=16 * S_MS, what="kill", peers=(0, 1, 2, 3)),
            Act(at_ms=16 * S_MS, what="cut", peers=(0, 1, 2, 3)),
            Act(at_ms=17 * S_MS, what="start", peers=(0, 1, 2, 3)),
            Act(at_ms=20 * S_MS, what="mend"),
        ),
    ),
    # Both sides can render and have the scene: both finish, and agree after healing.
    small(
        "split",
        frames=60,
        safety_ms=140 * S_MS,
        least_ms=150 * S_MS,
        script=(Act(at_ms=15 * S_MS, what="cut", peers=(0, 1, 5)), Act(at_ms=135 * S_MS, what="mend")),
    ),
    # Two owners want their hosts in the middle of a job, and one of them gives it back.
    small(
        "pause",
        script=(Act(at_ms=15 * S_MS, what="pause", peers=(1, 2)), Act(at_ms=40 * S_MS, what="resume", peers=(1,))),
    ),
    # Idle peers take over at once what the owners of others could not wait for.
    _reclaim("pause-now", "pause-now"),
    # Nobody may render: the job waits, and says why, until the owners let it go on. A restart forgets no pause.
    small(
        "all-paused",
        safety_ms=80 * S_MS,
        least_ms=90 * S_MS,
        script=(
            Act(at_ms=15 * S_MS, what="pause", peers=(0, 1, 2, 3, 4)),
            Act(at_ms=30 * S_MS, what="kill", peers=(0, 1)),
            Act(at_ms=32 * S_MS, what="start", peers=(0, 1)),
            Act(at_ms=60 * S_MS, what="resume", peers=(0, 1, 2, 3, 4)),
        ),
    ),
    # Two parts of a mesh of which neither knows an address of the other: they meet by their beacons, or by somebody who
    # comes later and knows one of each.
    small("islands-beacon", islanders=(3, 4, 5), beacons=True),
    small("islands-third", peers=7, islanders=(3, 4, 5), bridges=(6,)),
    # The submitter leaves for good once the scene is elsewhere; the others render and seal.
    small("submitter-gone", core=(0, 1, 2, 3, 4), script=(Act(at_ms=14 * S_MS, what="power", peers=(5,)),)),
    # Another attempt counts once the frozen one wakes up, and its files stay as they are.
    small(
        "frozen",
        script=(Act(at_ms=15 * S_MS, what="freeze", peers=(1,)), Act(at_ms=45 * S_MS, what="thaw", peers=(1,))),
    ),
    # A peer's plug is pulled among many that work: nothing tells so but its silence, and nobody else is taken for gone.
    small(
        "powerless",
        peers=16,
        renderers=15,
        submitters=(15,),
        frames=60,
        core=tuple(peer for peer in range(16) if peer != 3),
        loss_ppm=5_000,
        latency_ms=5,
        jitter_ms=20,
        script=(Act(at_ms=30 * S_MS, what="power", peers=(3,)),),
    ),
    # The submitter is cut off with frames delivered; the others go on and seal; nothing on its disk may change.
    small(
        "cut-submitter",
        safety_ms=100 * S_MS,
        least_ms=100 * S_MS,
        script=(Act(at_ms=20 * S_MS, what="cut", peers=(5,)), Act(at_ms=95 * S_MS, what="mend")),
    ),
    # A holder cannot be heard by one keeper: its lease lives by the others'.
    small(
        "one-keeper-deaf",
        script=(
            Act(at_ms=10 * S_MS, what="cut-one-way", peers=(1,), others=(0,)),
            Act(at_ms=55 * S_MS, what="mend"),
        ),
    ),
    small("two-peers", peers=2, renderers=2, submitters=(0,), frames=16),
    # Of two peers the submitter goes once it may, and the other one finishes.
    small(
        "two-peers-one-goes",
        peers=2,
        renderers=2,
        submitters=(0,),
        frames=16,
        core=(1,),
        fetches=8,
        script=(Act(at_ms=15 * S_MS, what="kill", peers=(0,)),),
    ),
    small("alone", peers=1, renderers=1, submitters=(0,), frames=8),
    # One of three dies for good: what is left delivers at once, and the submitter seals.
    small(
        "one-of-three-dies",
        peers=3,
        renderers=3,
        submitters=(0,),
        frames=24,
        core=(0, 1),
        script=(Act(at_ms=14 * S_MS, what="power", peers=(2,)),),
    ),
    # The only capable peer fails now and then, and has to try again what it failed.
    small("one-capable", peers=3, renderers=1, submitters=(2,), frames=10, crash_permille=200),
    small("fetch", fetches=3),
    small("cancel", cancels=1, script=(Act(at_ms=20 * S_MS, what="cancel", job=0),)),
    # A hundred peers, and some that know each other by way of others only: all hear of a cancel in two seconds (L11).
    small(
        "cancel-crowd", peers=100, renderers=30, submitters=(99,), frames=200, frame_ms=6 * S_MS,
        safety_ms=22 * S_MS, least_ms=22 * S_MS, script=(Act(at_ms=18 * S_MS, what="cancel", job=0),),
    ),
    small(
        "cancel-large", peers=40, renderers=16, submitters=(39,), frames=200, frame_ms=6 * S_MS, everybody=6,
        safety_ms=34 * S_MS, least_ms=34 * S_MS, script=(Act(at_ms=30 * S_MS, what="cancel", job=0),),
    ),
    # A peer is thrown out in the middle of a frame: its channels close, others render what it had in hand.
    small("revoke", core=(0, 2, 3, 4, 5), script=(Act(at_ms=15 * S_MS, what="revoke", peers=(1,)),)),
    small(
        "reclaim-revoked",
        peers=11,
        renderers=10,
        submitters=(10,),
        frames=4,
        frame_ms=30 * S_MS,
        core=(0, 5, 6, 7, 8, 9, 10),
        script=(Act(at_ms=20 * S_MS, what="revoke", peers=(1, 2, 3, 4)),),
    ),
    # The same while it is away: it comes back, and nobody who knows opens a channel.
    small(
        "revoke-away",
        core=(0, 2, 3, 4, 5),
        script=(
            Act(at_ms=12 * S_MS, what="kill", peers=(1,)),
            Act(at_ms=15 * S_MS, what="revoke", peers=(1,)),
            Act(at_ms=20 * S_MS, what="start", peers=(1,)),
        ),
    ),
    # What it rendered is void, too: other peers render it again, and its files are replaced.
    small("strike", core=(0, 2, 3, 4, 5), script=(Act(at_ms=22 * S_MS, what="strike", peers=(1,)),)),
    # The same once the job is sealed: nothing is rendered again, and no file changes.
    small("strike-late", frames=15, core=(0, 2, 3, 4, 5), script=(Act(at_ms=50 * S_MS, what="strike", peers=(1,)),)),
    # Each in turn is heard by nobody for a while, then each hears nobody: the others go on (L9).
    _one_way("one-way-mute", lambda peer, others: Act(at_ms=0, what="cut-one-way", peers=(peer,), others=others)),
    _one_way("one-way-deaf", lambda peer, others: Act(at_ms=0, what="cut-one-way", peers=others, others=(peer,))),
    # Sixty idle slots choose from one window: few may collide.
    small(
        "crowd", peers=30, renderers=30, slots=2, frames=300, submitters=(0,), frame_ms=5 * S_MS, steady=True,
        safety_ms=50 * S_MS, least_ms=50 * S_MS, probe_ms=0,
    ),
    # One render in six hangs for a minute.
    small("hangs", hang_permille=150, extra_ms=10 * 60 * S_MS),
    small("bad-lines", loss_ppm=20_000, duplicate_ppm=20_000, reorder_ppm=20_000, latency_ms=20, jitter_ms=40),
    # Everything at once.
    small(
        "storm", peers=8, renderers=7, submitters=(), jobs=3, frames=20, kills=12, powers=6, fuses=12,
        freezes=6, sleeps=4, splits=3, one_ways=4, stops=4, steps=3, rots=4, full_disks=3, pauses=4, crash_permille=20,
        hang_permille=5, fetches=1, strangers=6, liars=6, replays=20, loss_ppm=3_000, duplicate_ppm=10_000,
        reorder_ppm=10_000, down_ms=6 * S_MS,
    ),
    # Two renderers come back elsewhere at the same time: each finds the other, which nobody could tell it beforehand.
    small(
        "moved",
        script=(
            Act(at_ms=20 * S_MS, what="kill", peers=(1, 2)),
            Act(at_ms=21 * S_MS, what="move", peers=(1, 2)),
            Act(at_ms=22 * S_MS, what="start", peers=(1, 2)),
        ),
    ),
    small("rot", rots=12, safety_ms=40 * S_MS),
    # Of a job that one of many peers submits all hear within a second, although it tells only a few.
    small(
        "told-on", peers=60, renderers=4, submitters=(59,), frames=8, frame_ms=2 * S_MS, submit_at_ms=8 * S_MS,
        safety_ms=25 * S_MS, least_ms=30 * S_MS,
    ),
    # A mesh too large to be connected to all: who has part in a job finds whom it needs, and most peers never meet.
    small(
        "large", peers=40, renderers=16, submitters=(39,), frames=32, everybody=6, steady=True, submit_at_ms=20 * S_MS,
        safety_ms=45 * S_MS, least_ms=45 * S_MS,
    ),
    # The same, cut in two while a job runs; each side submits another one, and on healing all know of all.
    small(
        "large-split", peers=40, renderers=16, submitters=(39, 3, 38), jobs=3, frames=12, everybody=6,
        submit_every_ms=15 * S_MS, safety_ms=50 * S_MS, least_ms=100 * S_MS,
        script=(
            Act(at_ms=12 * S_MS, what="cut", peers=tuple(range(0, 40, 2))),
            Act(at_ms=45 * S_MS, what="mend", peers=tuple(range(0, 40, 2))),
        ),
    ),
    # The disks of holders are lost one after the other once all is sealed, with time to copy between: of eight peers,
    # the submitter among them, three are left, and have everything.
    small(
        "wiped",
        peers=8,
        renderers=7,
        submitters=(7,),
        frames=24,
        core=(4, 5, 6),
        safety_ms=150 * S_MS,
        least_ms=160 * S_MS,
        script=tuple(
            Act(at_ms=(40 + 20 * place) * S_MS, what="wipe", peers=(peer,))
            for place, peer in enumerate((7, 0, 1, 2, 3))
        ),
    ),
    # Keepers seal while the submitter is away. When it comes back, all holders of many pictures are away in their turn:
    # what others have comes meanwhile, and the rest once they are back.
    small(
        "unfetched",
        peers=12,
        renderers=8,
        submitters=(11,),
        frames=240,
        frame_ms=1 * S_MS,
        safety_ms=180 * S_MS,
        least_ms=190 * S_MS,
        script=(
            Act(at_ms=14 * S_MS, what="power", peers=(11,)),
            Act(at_ms=100 * S_MS, what="power", peers=(0, 1, 2, 3, 4, 5, 6)),
            Act(at_ms=101 * S_MS, what="start", peers=(11,)),
            Act(at_ms=170 * S_MS, what="start", peers=(0, 1, 2, 3, 4, 5, 6)),
        ),
    ),
    # All who hold most of it leave in order, at the same time: nothing they held goes with them.
    small(
        "leavers",
        peers=8,
        renderers=7,
        submitters=(7,),
        frames=24,
        core=(4, 5, 6),
        script=(Act(at_ms=40 * S_MS, what="leave", peers=(7, 0, 1, 2, 3)),),
    ),
    # Every frame is rendered by two peers, and by no third.
    small("twice", twice=True, frames=24, steady=True),
    # The same with a peer whose pictures are wrong, and the submitter away until others have sealed.
    small(
        "twice-away",
        twice=True,
        frames=24,
        wrong=(1,),
        safety_ms=90 * S_MS,
        least_ms=90 * S_MS,
        script=(Act(at_ms=12 * S_MS, what="kill", peers=(5,)), Act(at_ms=80 * S_MS, what="start", peers=(5,))),
    ),
    # Somebody says again and again that a picture is wrong: its submitter, a judge, or one who may only complain.
    small("rejects", wrong=(1,), judges=(2,), rejects=20, fetches=1, jobs=2, frames=20),
    # People ask about single frames at everybody all the time, most of whom have only rendered some.
    small("onlookers", peers=14, renderers=13, submitters=(13,), frames=200, frame_ms=1_500, looks=120),
    # The submitter is cut off when half is delivered, until the others have sealed.
    small(
        "rejects-apart",
        frames=24,
        safety_ms=90 * S_MS,
        least_ms=100 * S_MS,
        script=(Act(at_ms=18 * S_MS, what="cut", peers=(5,)), Act(at_ms=80 * S_MS, what="mend")),
    ),
    # One still among twenty peers: nothing of it is rendered twice, and one of them makes the picture.
    still("still", steady=True),
    # Peers die while they render it, whoever assembles it twice, and come back.
    still(
        "still-churn",
        kills=8,
        down_ms=6 * S_MS,
        script=(Act(at_ms=20 * S_MS, what="kill-assembler"), Act(at_ms=35 * S_MS, what="kill-assembler")),
    ),
    # Who assembles is lost for good, and so are authors of finished buckets: their cells are open again.
    still(
        "still-lost",
        core=tuple(peer for peer in range(20) if peer not in (1, 2, 3)),
        script=(
            Act(at_ms=25 * S_MS, what="power", peers=(1, 2, 3)),
            Act(at_ms=25 * S_MS, what="lose-assembler"),
        ),
    ),
    # The same of buckets whose size a person chose: the lost have hundreds of them.
    still(
        "still-lost-small",
        peers=6,
        renderers=5,
        submitters=(5,),
        width=480,
        height=270,
        buckets=(16, 16),
        still_ms=90 * S_MS,
        core=(0, 4, 5),
        script=(Act(at_ms=20 * S_MS, what="power", peers=(1, 2, 3)), Act(at_ms=20 * S_MS, what="lose-assembler")),
    ),
    # Some frames of an animation, each cut.
    still("stills", peers=10, renderers=9, submitters=(9,), frames=5, still_frames=5, still_ms=60 * S_MS, steady=True),
    # Stores that hold little more than what is bound: buckets, scenes and what was cancelled make way all the time.
    small(
        "small-disks", peers=8, renderers=7, submitters=(7,), roomy=(7,), quota_mb=50, scrub_ms=S_MS, jobs=3, frames=14,
        frame_ms=2 * S_MS, still_frames=2, still_ms=40 * S_MS, submit_every_ms=12 * S_MS, scene_blobs=2, scene_pieces=3,
        kills=2, fuses=2,
    ),
    # Who coordinates says so each second, and grants nothing: slots claim by themselves.
    long_still("still-mute", Act(at_ms=15 * S_MS, what="mute-coordinator")),
    # A keeper announces the highest epoch that there can be, and is heard of no more.
    long_still("still-usurped", Act(at_ms=30 * S_MS, what="usurp")),
    # Buckets of half a second, granted over a line on which a grant takes half of that: slots claim against grants.
    long_still(
        "still-short", width=640, height=360, buckets=(20, 20), still_ms=288 * S_MS, latency_ms=100, jitter_ms=150,
        safety_ms=60 * S_MS, least_ms=60 * S_MS, makespan_percent=0, steady=True,
    ),
)  # fmt: skip

NAMED: dict[str, Scenario] = {scenario.name: scenario for scenario in _SCENARIOS}


def named(name: str) -> Scenario:
    """Return the scenario called `name`; raises `UsageError` with the names that there are."""
    if name not in NAMED:
        raise UsageError(f"no scenario is called {name}; there are: {', '.join(NAMED)}")
    return NAMED[name]
