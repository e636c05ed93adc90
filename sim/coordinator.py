"""What happens to whoever coordinates a still: it is killed, falls mute, or somebody claims to be it who is not."""

from typing import TYPE_CHECKING

from mesh.core.election import rank
from mesh.core.events import MessageHeard
from mesh.ground.ids import JobId
from mesh.wire.envelope import sign
from mesh.wire.stills import MAX_EPOCH, Epoch, Leading

if TYPE_CHECKING:
    from sim.host import Host
    from sim.world import World


def strike(world: "World", what: str) -> None:
    """Do what an act says to the coordinator of each job that has one."""
    for plan in world.people.plans:
        leader = leading(world, plan.job) if plan.job is not None else None
        if plan.job is None or leader is None:
            continue
        match what:
            case "kill-coordinator":
                world.faults.kill(leader, power=False)
                world.after(world.scenario.down_ms, world.faults.start, leader)
            case "mute-coordinator":
                world.trace.happened(world.now_ms, leader.index, "grants no more")
                leader.mute = True
            case _:
                _usurp(world, plan.job, leader)


def leading(world: "World", job: JobId) -> "Host | None":
    """Return the running host that follows its own epoch; of several the one of the highest."""
    found = [(rank(epoch), host) for host in world.hosts if host.works and (epoch := host.core.election.epoch(job))]
    own = [(ranked, host.index) for ranked, host in found if ranked[1] == host.peer_id]
    return world.hosts[max(own)[1]] if own else None


def _usurp(world: "World", job: JobId, leader: "Host") -> None:
    """Let a keeper that does not lead announce the highest epoch that there can be to all that it has a channel to, and
    freeze.
    """
    book = world.books.of(leader)
    keepers = [index for of, peer in book.keepers if of == job and (index := world.index_of(peer)) is not None]
    able = [host for host in (world.hosts[index] for index in keepers) if host.works and host is not leader]
    if not able:
        return
    liar = min(able, key=lambda host: host.peer_id)
    epoch = sign(Epoch(job=job, number=MAX_EPOCH), liar.signer)
    for other in world.hosts:
        if other is not liar and world.net.holds(other, liar):
            world.tell(
                other,
                world.net.latency_ms(liar.index, other.index),
                MessageHeard(peer=liar.peer_id, message=Leading(epoch=epoch)),
            )
    world.faults.suspend(liar, world.scenario.ends_ms, machine=False)
