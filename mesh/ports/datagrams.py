"""What the node asks of the network beside channels: single payloads to and from members that it has no channel with.

Theory: a payload is worth so little that nobody waits for it: a question of the DHT, a probe. It is sealed under keys
that the two peers agreed on in a handshake as a channel's, made when there is something to say.

Invariants that every adapter and every fake keeps (one contract suite tests both): a payload arrives whole, once, or
not at all; it comes from a member that proved itself and that the door accepts at that moment, and is delivered with
the address at which that member reads; whatever a stranger sends earns no byte, and what one who knows the mesh secret
sends before its proof earns no longer one. Callers must not rely on any payload's arrival, nor on an order of them.
"""

from collections.abc import Sequence
from typing import Protocol

from mesh.ground.ids import PeerId
from mesh.wire.members import Credentials
from mesh.wire.messages import Address
from mesh.wire.pairs import Heard


class Datagrams(Protocol):
    """Single payloads, lost silently."""

    async def listen(self, host: str, port: int) -> int:
        """Send and receive on `host` (empty: every address, IPv4 and IPv6) and return the port (0: any free one).

        May be called for several addresses. Raises `ListenFailed`.
        """
        ...

    def leave(self, port: int) -> None:
        """Listen on this port no longer."""
        ...

    def send(self, peer: PeerId, addresses: Sequence[Address], payload: bytes, *, awaited: bool = True) -> None:
        """Send 1 to `PAYLOAD_MAX_BYTES` bytes to `peer`, or lose them; never wait.

        The addresses, each an IP address and no name, are tried where no keys are shared with the peer yet, or where
        it said nothing after something that `awaited` an answer.
        """
        ...

    async def receive(self) -> Heard:
        """Wait for the next payload; those that nobody takes in time are lost."""
        ...

    def show(self, shown: Credentials) -> None:
        """Prove membership by `shown` in every handshake from now on."""
        ...
