"""The checker of L5: some time after all has healed every peer knows who lives, of those that it should.

In a mesh in which everybody keeps a channel with everybody, each peer must have one to every other that runs and that
it lets in, and to nobody who is gone. In a larger one each must have a way to each, by channels and routing tables of
others: no part of the mesh is left by itself. That every peer then knows those nearest to it is asked of a crowd alone,
since a table takes few peers of one range of addresses, and here all are of one.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from mesh.core.peer import Peer
from sim.crowd_reach import has_way
from sim.crowd_report import bounds_for
from sim.infront import InFront
from sim.violation import Violation

if TYPE_CHECKING:
    from sim.host import Core, Host
    from sim.world import World


class Views:
    """When every view was right, once all had healed."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._healed_ms = 0
        self.converged_ms: int | None = None
        """How long after healing; None: not yet."""

    def healed(self) -> None:
        """Begin to look: from now on nothing breaks any more."""
        self._healed_ms = self._world.now_ms
        self.look()

    def look(self) -> None:
        """See whether each view is right; raises `Violation` where that takes too long."""
        if self.converged_ms is not None:
            return
        wrong = self._first_wrong()
        took_ms = self._world.now_ms - self._healed_ms
        if wrong is None:
            self.converged_ms = took_ms
        elif took_ms > bounds_for(self._world.scenario.peers).heal_ms:
            host, other, text = wrong
            raise Violation("L5", f"{took_ms} ms after healing {host.name} {text} {other.name}", other.peer_id)

    def _first_wrong(self) -> "tuple[Host, Host, str] | None":
        faults, scenario = self._world.faults, self._world.scenario
        there = [host for host in self._world.hosts if faults.is_core(host) and host.running]
        gone = [host for host in self._world.hosts if not host.running and scenario.original(host.index) is None]
        for host in there:
            directory = peer_behind(host.core).directory
            for other in gone:
                if directory.connected(other.peer_id):
                    return host, other, "still believes in"
            for other in there if scenario.peers <= scenario.everybody else ():
                if _welcome(host, other) and not directory.connected(other.peer_id):
                    return host, other, "has no channel to"
        for way in (_knows, lambda host, other: _knows(other, host)) if scenario.peers > scenario.everybody else ():
            apart = _unreached(there, way)
            if apart:
                return there[0], apart[0], "has lost, or is lost to,"
        return None


def _welcome(host: "Host", other: "Host") -> bool:
    """Tell whether two hosts let each other in; two that share an identity never meet as peers."""
    return host.peer_id != other.peer_id and host.opens_to(other) and other.opens_to(host)


def _knows(host: "Host", other: "Host") -> bool:
    return has_way(peer_behind(host.core), other.peer_id)


def _unreached(hosts: "list[Host]", way: "Callable[[Host, Host], bool]") -> "list[Host]":
    """Return the hosts that no chain of ways leads to from the first; of those it would not let in none."""
    left = [host for host in hosts[1:] if _welcome(hosts[0], host)]
    reached = hosts[:1]
    while reached and left:
        host = reached.pop()
        found = [other for other in left if way(host, other)]
        reached += found
        left = [other for other in left if other not in found]
    return left


def peer_behind(core: "Core") -> Peer:
    """Return the real core, whatever stands in front of it."""
    while isinstance(core, InFront):
        core = core.inner
    assert isinstance(core, Peer)
    return core
