"""The network of a crowd: channels and datagrams between nodes, with latency, jitter, loss, and every byte counted.

Theory: it is as little of a network as bytes and time need. A pair of nodes has one way between them, as long as their
numbers say, with jitter; what is lost on a channel comes late, a lost datagram never. A node without power answers
nothing, and a cut swallows what crosses it: what was on a channel arrives when the cut is mended, if both ends hold it
still. Who calls by datagrams does what the shell's pairs do: one call at a time, the keys doubted once nothing
came back.

Invariants: a channel keeps the order of its messages. Both ends of one hear `ChannelOpened` and `ChannelClosed` in
turn. Bytes are the sender's when they leave and the receiver's when they arrive.
"""

from typing import TYPE_CHECKING, Final, cast

from mesh.core.effects import Dial, Knock, Send, SendDatagram
from mesh.core.events import ChannelClosed, ChannelOpened, DatagramHeard, DialFailed, MessageHeard
from mesh.ground.datagram_limits import (
    CALL_AGAIN_MS,
    CALL_MS,
    CALL_PAYLOADS,
    FLIGHT_AGAIN_MS,
    MAX_CALLS,
    PAIR_DOUBT_MS,
    PAIR_DOUBT_QUIET_MS,
    PAIR_FRESH_MS,
    PAIR_IDLE_MS,
    PAIR_MS,
    PAIR_QUIET_MS,
)
from mesh.ground.ids import PeerId
from mesh.ground.limits import MAX_CHANNELS
from mesh.wire import lookups, messages
from mesh.wire.lookups import Lookup
from mesh.wire.messages import Address, Message
from sim.crowd_costs import (
    HANG_UP_BYTES,
    RECORD_BYTES,
    SEALED_BYTES,
    UNANSWERED_CALL_BYTES,
    UNANSWERED_DIAL_BYTES,
    acknowledged_bytes,
    flight_bytes,
)
from sim.draws import Draws

if TYPE_CHECKING:
    from sim.crowd import Crowd, Node

PORT = 7_000
LOSS_PPM = 5_000
LEAST_MS = 5
SPREAD_MS = 50
"""One way between two nodes takes 5 to 54 ms, always the same for a pair, and up to `JITTER_MS` more."""

JITTER_MS = 6
DIAL_GIVEN_UP_MS = 5_000
CARRIED_BYTES = 6
"""What wraps a look-up that a channel carries."""
RESENT_MS = 200
"""What a connection's lost segment costs."""

IN_ONE_RANGE = 100
_LOOKUPS: Final = lookups.LOOKUPS
_PART = 1_000_000
_PAIRS_LEAST = 256


class Channel:
    """One connection. A node holds it while it stands in the node's `channels`."""

    __slots__ = ("closed", "dialler", "listener", "until")

    def __init__(self, dialler: "Node", listener: "Node", opens_ms: int) -> None:
        self.dialler = dialler
        self.listener = listener
        self.until = [opens_ms, opens_ms]
        """When the last message arrives, at the listener and at the dialler: later ones do not overtake it."""
        self.closed = False
        """Whether one of the ends has let go of it."""

    def other(self, node: "Node") -> "Node":
        """Return the node across from `node`."""
        return self.listener if node is self.dialler else self.dialler


class Pair:
    """One side's keys for datagrams with another node, in short: what `mesh.wire.pairs` decides by."""

    __slots__ = ("born_ms", "calling_ms", "heard_ms", "reached", "unanswered_ms", "waiting")

    def __init__(self, now_ms: int) -> None:
        self.born_ms = self.heard_ms = now_ms
        self.unanswered_ms: int | None = None
        self.calling_ms = 0
        """Until when a call of it is under way."""
        self.reached = False
        """Whether that call finds somebody."""
        self.waiting = 0

    def sure(self, now_ms: int) -> bool:
        """Whether what is said under the keys is likely to be heard."""
        quiet_ms = now_ms - self.heard_ms
        if self.unanswered_ms is not None:
            patience_ms = PAIR_DOUBT_MS if quiet_ms < PAIR_QUIET_MS else PAIR_DOUBT_QUIET_MS
            if now_ms - self.unanswered_ms >= patience_ms:
                return False
        return quiet_ms < PAIR_FRESH_MS and now_ms - self.born_ms < PAIR_MS - PAIR_IDLE_MS


def address_of(index: int) -> Address:
    """Return where a node listens: a hundred of them share an address range."""
    block, place = divmod(index, IN_ONE_RANGE)
    return Address(host=f"10.{block >> 8}.{block & 255}.{1 + place}", port=PORT)


class CrowdNet:
    """All channels and datagrams of a crowd."""

    def __init__(self, crowd: "Crowd", draws: Draws) -> None:
        self._crowd = crowd
        self._draws = draws
        self._at: dict[Address, Node] = {}
        self.cut = False
        """Whether nodes of different sides reach each other not."""
        self._held: list[tuple[Channel, Node, Message | Lookup, int]] = []
        """What waits behind the cut."""

    def place(self, node: "Node") -> None:
        """Let a node be found at its address."""
        self._at[node.address] = node

    def reaches(self, one: "Node", other: "Node") -> bool:
        """Whether two nodes reach each other now."""
        return other.up and not (self.cut and one.side != other.side)

    def mend(self) -> None:
        """Take the cut away, and let arrive what waited."""
        self.cut = False
        held, self._held = self._held, []
        for channel, target, message, size in held:
            if not channel.closed:
                self._transmit(channel, target, message, size)

    # Dialling.

    def dial(self, node: "Node", effect: Dial) -> None:
        """Open a channel to a peer, or tell that it could not be."""
        if effect.peer in node.channels:
            return
        target = next((self._at[address] for address in effect.addresses if address in self._at), None)
        if target is None or target is node or not self.reaches(node, target):
            self._crowd.count(node, "dials in vain", UNANSWERED_DIAL_BYTES)
            self._crowd.after(DIAL_GIVEN_UP_MS, node.hear, DialFailed(peer=effect.peer, refused=False))
            return
        self._shake_hands(node, target, effect.peer)

    def knock(self, node: "Node", effect: Knock) -> None:
        """Open a channel to whoever is at an address, unless one was dialled there and lasts."""
        target = self._at.get(effect.address)
        if target is None or target is node or not self.reaches(node, target):
            self._crowd.count(node, "dials in vain", UNANSWERED_DIAL_BYTES)
            return
        old = node.channels.get(target.id)
        if old is None or old.dialler is not node:
            self._shake_hands(node, target, None)

    def _shake_hands(self, node: "Node", target: "Node", peer: PeerId | None) -> None:
        self._crowd.count(node, "handshakes of channels", self._crowd.costs.dialler)
        self._crowd.count(target, "handshakes of channels", self._crowd.costs.listener)
        node.received += self._crowd.costs.listener
        target.received += self._crowd.costs.dialler
        self._crowd.after(6 * self._one_way_ms(node, target), self._met, node, target, peer)

    def _met(self, node: "Node", target: "Node", peer: PeerId | None) -> None:
        """End a handshake: a channel, or none."""
        if not node.up:
            return
        full = len(target.channels) >= MAX_CHANNELS
        if not self.reaches(node, target) or full or peer not in (None, target.id):
            if peer is not None:
                node.hear(DialFailed(peer=peer, refused=False))
            return
        for end, across in ((node, target), (target, node)):
            old = end.channels.get(across.id)
            if old is not None and not old.closed:
                return  # the other side's dial was faster: both ends hear of that channel
            if old is not None:
                self._end(old, end)
        opens_ms = self._crowd.now_ms + self._one_way_ms(node, target)
        channel = node.channels[target.id] = Channel(node, target, opens_ms)
        self._crowd.at(opens_ms, self._used, channel)
        node.hear(ChannelOpened(peer=target.id, boot=target.shown.boot, address=target.address, shown=target.shown))

    def _used(self, channel: Channel) -> None:
        """Let the listener hear of a channel that its dialler uses."""
        node, dialler = channel.listener, channel.dialler
        if not node.up or channel.closed:
            return
        node.channels[dialler.id] = channel
        node.hear(ChannelOpened(peer=dialler.id, boot=dialler.shown.boot, address=None, shown=dialler.shown))

    # Messages.

    def send(self, node: "Node", effect: Send) -> None:
        """Put a message on a channel, if the node holds one."""
        channel = node.channels.get(effect.peer)
        if channel is not None:
            self._put(node, channel, effect.message, self._crowd.sizes.of(effect.message, messages.encode))

    def _put(self, node: "Node", channel: Channel, message: Message | Lookup, length: int) -> None:
        size = flight_bytes(length + RECORD_BYTES)
        self._crowd.count(node, type(message), size)
        target = channel.other(node)
        if channel.closed:
            if self.reaches(node, target):
                self._crowd.after(2 * self._one_way_ms(node, target), self._end, channel, node)
        elif not target.up:
            return
        elif self.cut and node.side != target.side:
            self._held.append((channel, target, message, size))
        else:
            self._transmit(channel, target, message, size)

    def _transmit(self, channel: Channel, target: "Node", message: Message | Lookup, size: int) -> None:
        late_ms = RESENT_MS if self._draws.below(_PART) < LOSS_PPM else 0
        end = target is channel.dialler
        arrives_ms = self._crowd.now_ms + self._one_way_ms(channel.dialler, channel.listener) + late_ms
        arrives_ms = channel.until[end] = max(arrives_ms, channel.until[end])
        self._crowd.at(arrives_ms, self._deliver, channel, target, message, size)

    def _deliver(self, channel: Channel, target: "Node", message: Message | Lookup, size: int) -> None:
        source = channel.other(target)
        if target.channels.get(source.id) is not channel:
            return
        target.received += size
        acknowledged = acknowledged_bytes(size)
        self._crowd.count(target, "acknowledgements", acknowledged)
        source.received += acknowledged
        self._crowd.checked.check(message)
        if isinstance(message, _LOOKUPS):
            target.hear(DatagramHeard(peer=source.id, address=source.address, message=message))
        else:
            target.hear(MessageHeard(peer=source.id, message=cast("Message", message)))

    def close(self, node: "Node", peer: PeerId) -> None:
        """Let go of a channel; the other end hears of it if it can, and not that the peer stops."""
        channel = node.channels.pop(peer, None)
        if channel is None:
            return
        self._crowd.count(node, "ends of channels", HANG_UP_BYTES + RECORD_BYTES)
        if not channel.closed:
            channel.closed = True
            target = channel.other(node)
            if self.reaches(node, target):
                end = target is channel.dialler
                self._crowd.count(target, "ends of channels", HANG_UP_BYTES)
                at_ms = max(self._crowd.now_ms + self._one_way_ms(node, target), channel.until[end])
                self._crowd.at(at_ms, self._end, channel, target)

    def _end(self, channel: Channel, node: "Node") -> None:
        """Let one end hear that its channel is gone."""
        peer = channel.other(node).id
        if node.channels.get(peer) is channel:
            del node.channels[peer]
            node.hear(ChannelClosed(peer=peer, clean=False))

    # Datagrams.

    def send_datagram(self, node: "Node", effect: SendDatagram) -> None:
        """Send on the channel where there is one; else a datagram, after a call where there are no keys.

        A loss, a cut or a dead node swallows a datagram silently.
        """
        channel = node.channels.get(effect.peer)
        if channel is not None:
            length = self._crowd.sizes.of(effect.message, lookups.encode) + CARRIED_BYTES
            self._put(node, channel, effect.message, length)
            return
        now_ms = self._crowd.now_ms
        target = next((self._at[address] for address in effect.addresses if address in self._at), None)
        if target is not None and target.id != effect.peer:
            target = None  # the handshake proves somebody else
        pair = node.pairs.get(effect.peer)
        if pair is None:
            if len(node.pairs) >= node.pairs_most:
                _forget_idle(node, now_ms)
            pair = node.pairs[effect.peer] = Pair(now_ms - PAIR_MS)
        size = self._crowd.sizes.of(effect.message, lookups.encode) + SEALED_BYTES
        starts_ms = now_ms
        if now_ms < pair.calling_ms or not pair.sure(now_ms):
            if not self._called(node, target, pair):
                return
            starts_ms = pair.calling_ms
        elif pair.unanswered_ms is None and type(effect.message) in lookups.ANSWERS:
            pair.unanswered_ms = now_ms
        self._crowd.count(node, type(effect.message), size)
        if target is None or not self.reaches(node, target):
            return
        if self._draws.below(_PART) < LOSS_PPM:
            if starts_ms == now_ms:
                return
            starts_ms += FLIGHT_AGAIN_MS  # what flies with a handshake is sent until it has landed
        self._crowd.at(
            starts_ms + self._one_way_ms(node, target), self._deliver_datagram, node, target, effect.message, size
        )

    def _called(self, node: "Node", target: "Node | None", pair: Pair) -> bool:
        """Call, or wait for the call under way; return whether what waits for it will be said."""
        now_ms = self._crowd.now_ms
        if now_ms < pair.calling_ms:
            pair.waiting += 1
            return pair.reached and pair.waiting <= CALL_PAYLOADS
        calling = node.calls
        while calling and calling[0] <= now_ms:
            calling.popleft()
        if len(calling) >= MAX_CALLS:
            return False
        pair.waiting = 1
        pair.reached = target is not None and self.reaches(node, target)
        if target is None or not pair.reached:
            self._crowd.count(node, "calls in vain", UNANSWERED_CALL_BYTES)
            pair.calling_ms = now_ms + CALL_MS
            calling.append(pair.calling_ms)
            return False
        self._crowd.count(node, "handshakes of datagrams", self._crowd.costs.caller)
        self._crowd.count(target, "handshakes of datagrams", self._crowd.costs.called)
        node.received += self._crowd.costs.called
        target.received += self._crowd.costs.caller
        lost = sum(self._draws.below(_PART) < LOSS_PPM for _ in range(2))
        pair.calling_ms = now_ms + 2 * self._one_way_ms(node, target) + lost * CALL_AGAIN_MS
        pair.born_ms = pair.heard_ms = pair.calling_ms
        pair.unanswered_ms = None  # the other side says welcome
        return True

    def _deliver_datagram(self, source: "Node", target: "Node", message: Lookup, size: int) -> None:
        if not self.reaches(source, target):
            return
        pair = target.pairs.get(source.id)
        now_ms = self._crowd.now_ms
        if pair is None or now_ms - pair.born_ms >= PAIR_MS:
            pair = target.pairs[source.id] = Pair(now_ms)
        pair.heard_ms = now_ms
        pair.unanswered_ms = None
        target.received += size
        self._crowd.checked.check(message)
        target.hear(DatagramHeard(peer=source.id, address=source.address, message=message))

    def _one_way_ms(self, one: "Node", other: "Node") -> int:
        return LEAST_MS + (one.index + other.index) * 31 % SPREAD_MS + self._draws.below(JITTER_MS)


def _forget_idle(node: "Node", now_ms: int) -> None:
    """Forget keys that were not used for long, now that there are many."""
    idle = [peer for peer, pair in node.pairs.items() if now_ms - pair.heard_ms >= PAIR_IDLE_MS]
    for peer in idle:
        del node.pairs[peer]
    node.pairs_most = max(_PAIRS_LEAST, 2 * len(node.pairs))
