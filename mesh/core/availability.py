"""What this host offers, told to its contacts: at once where it matters for who can render, how busy it is seldom.

Theory: engines, slots, and whether the host stops or is paused decide who can help with a job, so that a change of
these leaves in the turn in which it comes. How many slots are busy changes with every frame and decides nothing: people
see it. It is told when it changed and `BUSY_MS` have passed since anything was. An offer that does not change is told
again after `OFFER_AGAIN_MS`.

The module must not know who hears it, nor what anybody makes of it.
"""

from collections.abc import Callable
from dataclasses import replace

from mesh.core.host import HostFacts
from mesh.core.turn import Turn
from mesh.ground.instants import Instant
from mesh.ground.limits import BUSY_MS, OFFER_AGAIN_MS
from mesh.wire.messages import Available


def due(told: Available, offer: Available, waited_ms: int) -> bool:
    """Whether `offer` is to be told, `waited_ms` after `told` was."""
    if told == offer:
        return waited_ms >= OFFER_AGAIN_MS
    if replace(told, busy=offer.busy) != offer:
        return True
    return waited_ms >= BUSY_MS


class Availability:
    """Tell contacts what this host offers, when that is due."""

    def __init__(self, host: HostFacts, busy: Callable[[], int], announce: Callable[[Turn, Available], None]) -> None:
        self._host = host
        self._busy = busy
        self._announce = announce
        self._told: Available | None = None
        self._told_at = Instant(0)

    def tell(self, turn: Turn, _about: object = None) -> None:
        """Tell what is to be told now."""
        offer = Available(
            engines=self._host.engines,
            slots=self._host.slots,
            busy=self._busy(),
            cores=self._host.cores,
            memory_mb=self._host.memory_mb,
            draining=self._host.draining,
            paused=self._host.pause is not None,
        )
        if self._told is None or due(self._told, offer, turn.now.instant - self._told_at):
            self._told = offer
            self._told_at = turn.now.instant
            self._announce(turn, offer)
