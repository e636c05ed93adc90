"""What the node asks of the local network: to carry a datagram to whoever listens there, and to hear what others send.

Theory: a LAN is the machines that one broadcast reaches. What it carries may be lost, doubled, recorded and invented;
anybody may send, and everybody hears. Callers must not know how many interfaces, IP families and sockets there are.

Invariants that every adapter and every fake keeps: sending never waits and never fails visibly. However much arrives,
a bounded number of datagrams a second is taken.
"""

from collections.abc import Callable
from typing import Protocol


class Lan(Protocol):
    """The networks that this machine is on."""

    @property
    def port(self) -> int:
        """Give the UDP port that all use."""
        ...

    def faults(self) -> list[str]:
        """Say what keeps this machine from hearing or from sending, as far as that is known."""
        ...

    def send(self, datagram: bytes) -> None:
        """Send to everybody within reach, this machine's other peers included."""
        ...

    async def hear(self, take: Callable[[bytes, str], None]) -> None:
        """Give `take` each datagram and the address of the machine that it comes from, for ever."""
        ...
