"""The owner's pause: a host that renders nothing for a while, and remains a member in all else.

Theory: a pause is a fact of the host, kept in the journal so that it survives any crash, until its owner ends it or its
time comes by the host's own clock. While it lasts nothing is claimed; what is rendered is finished, or given up at once
if the owner says so, as when a peer stops. Keeping, handing on, delivering and submitting go on as ever.

Invariants: nobody else changes the pause; whoever acts on it hears `PauseChanged` after the journal was told. The
module must not know what a claim or a render is.
"""

from collections.abc import Iterable

from mesh.core.effects import Declined, Done, Reply
from mesh.core.events import PauseAsked, ResumeAsked
from mesh.core.host import HostFacts, Pause
from mesh.core.notes import PauseChanged
from mesh.core.turn import Turn
from mesh.wire.kept import KeptPause


class Pausing:
    """Begin and end the host's pause."""

    def __init__(self, host: HostFacts) -> None:
        self._host = host

    def restore(self, kept: Iterable[KeptPause]) -> None:
        """Take up the pause that the journal tells of last; one whose time has passed ends with the first tick."""
        for entry in kept:
            self._host.pause = None if entry.over else Pause(since=entry.since, until=entry.until)

    def on_pause_asked(self, turn: Turn, event: PauseAsked) -> None:
        """Pause, or give a pause that lasts another end."""
        if self._host.draining:
            turn.do(Reply(op=event.op, reply=Declined(code="draining", text="this peer is about to stop")))
            return
        since = self._host.pause.since if self._host.pause is not None else turn.now.wall
        self._host.pause = Pause(since=since, until=event.until)
        turn.keep(KeptPause(since=since, until=event.until, over=False))
        turn.tell(PauseChanged(now=event.now))
        turn.do(Reply(op=event.op, reply=Done()))

    def on_resume_asked(self, turn: Turn, event: ResumeAsked) -> None:
        """End the pause, if there is one."""
        self._end(turn)
        turn.do(Reply(op=event.op, reply=Done()))

    def on_tick(self, turn: Turn) -> None:
        """End the pause when its time has come."""
        pause = self._host.pause
        if pause is not None and pause.until is not None and pause.until <= turn.now.wall:
            self._end(turn)

    def _end(self, turn: Turn) -> None:
        pause = self._host.pause
        if pause is not None:
            self._host.pause = None
            turn.keep(KeptPause(since=pause.since, until=pause.until, over=True))
            turn.tell(PauseChanged(now=False))
