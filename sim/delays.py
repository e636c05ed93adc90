"""Acts of one host's machine that take time: they stand still while it sleeps, and die with its process."""

from collections.abc import Callable, Container
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sim.host import Host
    from sim.world import World


class Delays:
    """Later acts of one host about things in hand, by their op; nothing comes of one that is in hand no more."""

    def __init__(self, world: "World", host: "Host", in_hand: Container[int]) -> None:
        self._world = world
        self._host = host
        self._in_hand = in_hand

    def later(self, after_ms: int, op: int, action: Callable[[int, Any], None], argument: Any) -> None:
        """Act in `after_ms` from now, while the machine does not sleep."""
        due_ms = self._world.now_ms + after_ms
        self._world.at(due_ms, self._due, self._host.life, op, (due_ms, self._host.slept_ms), (action, argument))

    def _due(self, life: int, op: int, due: tuple[int, int], then: tuple[Callable[[int, Any], None], Any]) -> None:
        """Act, or wait for as long as the machine has slept since the act was planned."""
        host = self._host
        if host.life != life or op not in self._in_hand:
            return
        due_ms, slept_ms = due
        if host.asleep:
            self._world.at(host.wakes_ms, self._due, life, op, due, then)
            return
        due_ms += host.slept_ms - slept_ms
        if due_ms > self._world.now_ms:
            self._world.at(due_ms, self._due, life, op, (due_ms, host.slept_ms), then)
            return
        action, argument = then
        action(op, argument)
