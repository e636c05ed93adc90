"""From packets to messages whose every signature was checked, the same signature no more than once.

Theory: nearly all the cost of a message is its signatures, and the same records come from many sides. What was verified
is remembered by id *and* signature: an id leaves the signature out, so that a forged copy of a known record has its id
too. Small packets are read in place, since a thread costs more than a signature; large ones in a thread.

Invariants: no message leaves with a signature that was not verified here. The memory is bounded.
"""

import threading
from contextlib import suppress
from typing import Final

from mesh.ground.errors import UnknownKind, WireError
from mesh.ground.ids import RecordId
from mesh.ports.world import World
from mesh.wire import messages
from mesh.wire.envelope import Signed, Verifier, message_of, statements
from mesh.wire.messages import Message

IN_PLACE_BYTES: Final = 2_048
"""Larger packets are read in a thread: some ten signatures, under a millisecond."""

REMEMBERED: Final = 65_536
"""Statements known to be good, about ten megabytes; the records of a large job."""


class Hearing:
    """Reads packets; any thread may."""

    def __init__(self, verifier: Verifier, world: World) -> None:
        self._verifier = verifier
        self._world = world
        self._lock = threading.Lock()
        self._good: dict[tuple[RecordId, bytes], None] = {}

    async def message(self, packet: bytes) -> Message:
        """Return the message in `packet`, verified; raise `WireError`."""
        if len(packet) <= IN_PLACE_BYTES:
            return self.read(packet)
        return await self._world.in_thread(lambda: self.read(packet))

    async def weighed(self, packet: bytes) -> tuple[Message | None, int]:
        """Do the same, and return how many nanoseconds of a processor it took, too.

        None for a message of a kind that only a newer version may know.
        """
        if len(packet) <= IN_PLACE_BYTES:
            return self._weighed(packet)
        return await self._world.in_thread(lambda: self._weighed(packet))

    def _weighed(self, packet: bytes) -> tuple[Message | None, int]:
        begun_ns, message = self._world.spent_ns(), None
        with suppress(UnknownKind):
            message = self.read(packet)
        return message, self._world.spent_ns() - begun_ns

    def read(self, packet: bytes) -> Message:
        """Do the same, here and now."""
        message = messages.decode(packet)
        self.check(message)
        return message

    def check(self, thing: object) -> None:
        """Check every signature in `thing`, a statement or what carries some; raise `WireError`."""
        for signed in statements(thing):
            key = (signed.id, signed.signature)
            if key not in self._good:
                self._verify(signed)
                self._remember(key)

    def _verify(self, signed: Signed[object]) -> None:  # type: ignore[type-var]  # any body: its domain is all we read
        domain = type(signed.body).DOMAIN  # type: ignore[attr-defined]
        if not self._verifier.verifies(signed.key, message_of(domain, signed.key, signed.data), signed.signature):
            raise WireError(f"a forged signature under a {domain}")

    def _remember(self, key: tuple[RecordId, bytes]) -> None:
        with self._lock:
            if len(self._good) >= REMEMBERED:
                del self._good[next(iter(self._good))]
            self._good[key] = None
