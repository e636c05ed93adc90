"""Beacons between the core and the LAN: sealed on the way out, opened on the way in.

Invariant: what is not of this mesh ends here, without a trace. The module must not know when a beacon is due, nor what
one that was heard leads to.
"""

from collections.abc import Callable
from contextlib import suppress

from mesh.core.effects import SendBeacon
from mesh.core.events import BeaconHeard, Event
from mesh.ground.errors import WireError
from mesh.ground.ids import PeerId
from mesh.ground.instants import WallTime
from mesh.ports.lan import Lan
from mesh.ports.owner import BeaconRow
from mesh.ports.world import World
from mesh.wire.addresses import same_network, tellable
from mesh.wire.beacon import MAX_TOLD, NONCE_SIZE, Beacon, seal, unseal
from mesh.wire.messages import Address


class BeaconPost:
    """Sends this peer's beacons and hears others'."""

    def __init__(
        self,
        *,
        lan: Lan | None,
        me: PeerId,
        key: bytes,
        world: World,
        addresses: Callable[[], tuple[Address, ...]],
        hint: Callable[[Event], bool],
    ) -> None:
        self._lan = lan
        self._me = me
        self._key = key
        self._world = world
        self._addresses = addresses
        self._hint = hint
        self._since = world.now().wall
        self._heard_at: WallTime | None = None

    def row(self) -> BeaconRow:
        """Tell whether beacons come in and go out."""
        return {
            "on": self._lan is not None,
            "port": self._lan.port if self._lan is not None else 0,
            "since_at_ms": self._since,
            "heard_at_ms": self._heard_at,
            "faults": self._lan.faults() if self._lan is not None else [],
        }

    def send(self, effect: SendBeacon) -> None:
        """Say where this peer listens now."""
        if self._lan is None:
            return
        own = self._addresses()
        beacon = Beacon(
            peer=self._me,
            wall=effect.wall,
            port=own[0].port if own else 0,
            addresses=tuple(filter(tellable, own))[:MAX_TOLD],
        )
        self._lan.send(seal(beacon, self._key, self._world.entropy(NONCE_SIZE)))

    async def run(self) -> None:
        """Hear others, for ever."""
        if self._lan is not None:
            await self._lan.hear(self._hear)

    def _hear(self, datagram: bytes, host: str) -> None:
        with suppress(WireError):
            beacon = unseal(datagram, self._key)
            if beacon.peer != self._me:
                self._heard_at = self._world.now().wall
                # A busy core may miss it: there is always a next one.
                self._hint(BeaconHeard(peer=beacon.peer, wall=beacon.wall, addresses=likeliest(beacon, host)))


def likeliest(beacon: Beacon, host: str) -> tuple[Address, ...]:
    """Return where a beacon's peer may be reached: first what it names in the network that the beacon comes from.

    The machine that sent it comes next, since its peer may listen on one of its other addresses only; then whatever
    else it names.
    """
    # Not even a member of our own mesh makes us dial this machine's own loopback.
    named = [address for address in beacon.addresses if tellable(address)]
    near = [address for address in named if address.host == host or same_network(address.host, host)]
    source = _address(host, beacon.port)
    return tuple(dict.fromkeys((*near, *source, *named)))


def _address(host: str, port: int) -> tuple[Address, ...]:
    """Return the address; nothing where no port is given, or a link-local one's interface has a strange name."""
    try:
        return (Address(host=host, port=port),) if port else ()
    except ValueError:
        return ()
