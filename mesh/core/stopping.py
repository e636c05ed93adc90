"""How a peer stops: it takes nothing new, finishes what it renders, waits until that is safe, and says farewell.

Theory: whoever pulls the plug may do so at any moment, so that stopping in order is a kindness only: others need not
render again what this peer has just finished. Once nothing is in hand, pictures that are not safe yet keep it for
`DRAIN_MS` at most, and not at all where nobody is there to take them. Whoever leaves for good hands over what it has
promised to keep, for `HAND_OVER_MS` at most, and not what nobody can take.

Invariant: after `Stopped` nothing is asked of the world any more.
"""

from collections.abc import Callable

from mesh.core.directory import Directory
from mesh.core.effects import CloseChannel, Stopped
from mesh.core.events import StopAsked
from mesh.core.host import HostFacts
from mesh.core.turn import Turn
from mesh.ground.instants import Instant, later
from mesh.ground.limits import DRAIN_MS, HAND_OVER_MS


class Stopping:
    """Say when this peer is done."""

    def __init__(
        self,
        host: HostFacts,
        directory: Directory,
        idle: Callable[[], bool],
        unsafe: Callable[[], bool],
        handing_over: Callable[[], int],
    ) -> None:
        self._host = host
        self._directory = directory
        self._idle = idle
        """Whether no slot has anything in hand."""
        self._unsafe = unsafe
        """Whether a picture of this peer's is not safe yet."""
        self._handing_over = handing_over
        """How many copies others have yet to take."""
        self.asked = False
        """Whether a turn may be the last."""
        self._drain_until: Instant | None = None
        """When to stop although this peer's last pictures are not safe yet; None: it still renders."""
        self._leaves = False
        """Whether it is for good, so that others take first what this peer holds."""
        self._hand_over_until: Instant | None = None
        """When to stop although they have not taken all; None: it still renders, or hands nothing over."""
        self.over = False

    def on_stop_asked(self, turn: Turn, event: StopAsked) -> None:
        """Take nothing new from now on."""
        self._host.draining = True
        self.asked = True
        self._drain_until = turn.now.instant if event.now else None
        self._leaves = event.leave and not event.now
        self._hand_over_until = None

    def settle(self, turn: Turn) -> None:
        """At the end of a turn, stop if it is time."""
        if not self.asked:
            return
        if self._drain_until is None:
            if not self._idle():
                return
            self._drain_until = later(turn.now.instant, DRAIN_MS)
            if self._leaves:
                self._hand_over_until = later(turn.now.instant, HAND_OVER_MS)
        now, connected = turn.now.instant, self._directory.all_connected()
        unsafe = now < self._drain_until and self._unsafe()
        hands_over = self._hand_over_until is not None and now < self._hand_over_until and self._handing_over() > 0
        if not (unsafe and connected) and not hands_over:
            for peer in connected:
                turn.do(CloseChannel(peer=peer, channel=self._directory.peers[peer].channel))
            turn.do(Stopped())
            self.over = True
