"""Who has to be of the core set of peers, so that what the liveness phase asks for can be done at all."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from mesh.ground.ids import JobId, RecordId
from mesh.ground.limits import KEEPERS, LOST_PER_AUTHOR
from mesh.wire.records import Result, Seal

if TYPE_CHECKING:
    from sim.host import Host
    from sim.people import Plan
    from sim.world import World


def enlarge(world: "World", core: dict[int, None], for_good: Collection[int]) -> None:
    """See to it that the core set can do what is asked: a renderer, every scene, and every job's record; and where two
    have to agree, two who can.

    Where the scene or the record had no time to spread, the submitter has to come back; also where more outputs have
    gone with others than anybody but the submitter may say, and where disks are so small that nobody else surely has
    room for as many copies as a seal asks. Who left `for_good` cannot.
    """
    for plan in world.people.plans:
        if not any(_renders(world, index, plan) for index in core):
            core[0] = None
        if plan.scenario.twice:
            _enlarge_for_two(world, core, for_good, plan)
    for plan in world.people.plans:
        if plan.submitter in for_good:
            continue
        hosts = [world.hosts[index] for index in core]
        known = plan.job is not None and any(plan.job in world.books.of(host).heads for host in hosts)
        if not known or plan.job is None or plan.cancel_asked or world.scenario.quota_mb:
            core[plan.submitter] = None
            continue
        job = world.books.jobs[plan.job].body
        scene = (job.scene, *world.trees[job.scene])
        whole = any(all(host.disk.intact(blob) for blob in scene) for host in hosts)
        may_say_lost = LOST_PER_AUTHOR * min(KEEPERS, len(hosts))
        if not whole or plan.poisoned or _out_of_reach(world, plan.job, hosts) > may_say_lost:
            core[plan.submitter] = None


def _enlarge_for_two(world: "World", core: dict[int, None], for_good: Collection[int], plan: "Plan") -> None:
    """See to it that two can agree on a job's pictures: whose disks have room for all of them, where others' are small.

    A store that is full of copies that nobody may let go renders no more.
    """
    scenario = world.scenario
    able = [
        host.index
        for host in world.hosts
        if _renders(world, host.index, plan) and host.index not in for_good
        if host.index not in scenario.wrong
    ]
    able.sort(key=lambda index: (bool(scenario.quota_mb) and index not in scenario.roomy, index not in core))
    core |= dict.fromkeys(able[:2])


def _out_of_reach(world: "World", job: JobId, hosts: "list[Host]") -> int:
    """Return how many results of whole frames are known to these hosts and on none of their disks: of a job that is
    sealed none, since nobody says then that one is lost; a seal tells nothing to whom cannot read its page.
    """
    here = {blob: None for host in hosts for blob in host.disk.whole() if host.disk.intact(blob)}
    known: dict[RecordId, Result] = {}
    for host in hosts:
        for entry in world.books.of(host).entries.get(job, {}).values():
            what = entry.body.what
            if isinstance(what, Seal) and what.blob in here:
                return 0
            if isinstance(what, Result) and what.block is None:
                known[entry.id] = what
    return sum(any(output.blob not in here for output in result.outputs) for result in known.values())


def _renders(world: "World", index: int, plan: "Plan") -> bool:
    """Tell whether a host has a slot and the engine of a job, a program that can have part in it, and means it."""
    host = world.hosts[index]
    honest = index not in world.scenario.hoarders
    reads = host.next_version >= world.versions.needs(plan)
    return honest and reads and host.slots > 0 and world.engine_of(plan.number) in host.engines
