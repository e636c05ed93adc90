"""One call of `Peer.handle`: what the machines read of the world, and where they leave effects and notes."""

from collections import deque

from mesh.core.effects import Append, Effect, Send, SetTimer
from mesh.core.notes import Note
from mesh.core.timers import Timer
from mesh.ground.dice import Dice
from mesh.ground.ids import PeerId
from mesh.ground.instants import Now, later
from mesh.wire.kept import Kept
from mesh.wire.messages import Message


class Turn:
    """The only thing that machines share: clocks, dice, and the two queues of one event's consequences."""

    __slots__ = ("_me", "dice", "effects", "heard", "notes", "now")

    def __init__(self, now: Now, dice: Dice, me: PeerId) -> None:
        self.now = now
        self.dice = dice
        self._me = me
        self.effects: list[Effect] = []
        self.notes: deque[Note] = deque()
        self.heard: deque[Message] = deque()
        """Messages of this peer to itself: a keeper treats its own claims like anybody's."""

    def do(self, effect: Effect) -> None:
        """Ask the world for `effect`, after everything asked before."""
        self.effects.append(effect)

    def tell(self, note: Note) -> None:
        """Tell the other machines `note`, after everything told before."""
        self.notes.append(note)

    def send(self, peer: PeerId, message: Message) -> None:
        """Send `message`; to oneself it is heard within this turn."""
        if peer == self._me:
            self.heard.append(message)
        else:
            self.effects.append(Send(peer=peer, message=message))

    def keep(self, *entries: Kept) -> None:
        """Write `entries` to the journal before anything asked later."""
        self.effects.append(Append(entries=entries))

    def wake(self, timer: Timer, after_ms: int) -> None:
        """Ask for `timer` in `after_ms` milliseconds."""
        self.effects.append(SetTimer(timer=timer, at=later(self.now.instant, after_ms)))
