"""Shells with one thing broken each, which the checkers of tier B must catch: thin cheats around the real node."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mesh.core.effects import Append, Effect
from mesh.core.events import Event, Exported
from mesh.core.me import Me
from mesh.core.peer import Peer
from mesh.node.driver import Driver, Over
from mesh.node.identity import Identity
from mesh.node.node import Beginning, Node, Parts, Tape
from sim.shell.mesh import MakeNode


class ActsFirst(Node):
    """barrier: performs what stands after an `Append` before its fsync."""

    async def _perform(self, effects: Sequence[Effect]) -> None:
        later = [effect for effect in effects if isinstance(effect, Append)]
        await super()._perform([*(effect for effect in effects if not isinstance(effect, Append)), *later])


class _Forgetful(Driver):
    async def tell(self, event: Event, over: Over | None = None) -> None:
        if not isinstance(event, Exported):
            await super().tell(event, over)


class LosesEvents(Node):
    """L2: never tells its core that a file was written."""

    def __init__(
        self,
        parts: Parts,
        who: Identity,
        beginning: Beginning,
        *,
        tape: Tape | None = None,
        make_core: Callable[[Me, bytes], Peer] = Peer,
    ) -> None:
        super().__init__(parts, who, beginning, tape=tape, make_core=make_core)
        self._driver.__class__ = _Forgetful  # it was made within, and has told nobody yet who it is


class LeavesFiles(Node):
    """resources: leaves a file behind in its directory."""

    async def _perform(self, effects: Sequence[Effect]) -> None:
        (self._parts.scratch / "left").touch()
        await super()._perform(effects)


class Counts(Peer):
    """tape: a core that is no function of what it hears: it also knows how many came before it."""

    lives = 0

    def __init__(self, me: Me, seed: bytes) -> None:
        Counts.lives += 1
        super().__init__(me, seed + bytes([Counts.lives % 256]))


@dataclass(frozen=True, slots=True, kw_only=True)
class CaughtShell:
    """A mutant, and the rule that must catch it."""

    rule: str
    node: MakeNode = Node
    core: Callable[[Me, bytes], Peer] = Peer


SHELL_MUTANTS: tuple[CaughtShell, ...] = (
    CaughtShell(rule="barrier", node=ActsFirst),
    CaughtShell(rule="L2", node=LosesEvents),
    CaughtShell(rule="resources", node=LeavesFiles),
    CaughtShell(rule="tape", core=Counts),
)
