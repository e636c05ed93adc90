"""What bytes cost on the way: headers, the record layer, and what two peers say before they say anything.

Theory: the figures of a crowd are bytes on the wire. Messages are encoded for their length; handshakes are the same for
all members whose chains have the same form, so that one of each kind is run, for real, and its bytes stand for all.

Counted are the headers of IPv4 and of TCP or UDP without options, each segment's own, and an acknowledgement for every
two segments that come in, although a busy connection's travel with its own data. The module knows no time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from mesh.ground.datagram_limits import CALL_AGAIN_MS, CALL_MS
from mesh.ground.dice import Dice
from mesh.ground.ids import Boot, MeshId
from mesh.ground.instants import Instant, WallTime
from mesh.wire.cipher import HEAD_SIZE
from mesh.wire.datagram import COUNTER_SIZE, DATAGRAM_MAX_BYTES, INDEX_SIZE
from mesh.wire.envelope import Signer, Verifier, sign
from mesh.wire.greeting import Company
from mesh.wire.handshake import DatedDoor, Papers, Purpose, initiate, respond
from mesh.wire.members import Chain, Credentials, StaticKey
from mesh.wire.messages import Address
from mesh.wire.noise import KEY_SIZE, TAG_SIZE, KeyPair
from mesh.wire.pairs import Pairs

T = TypeVar("T")

TCP_BYTES: Final = 40
UDP_BYTES: Final = 28
SEGMENT_BYTES: Final = 1_460
RECORD_BYTES: Final = HEAD_SIZE + TAG_SIZE
SEALED_BYTES: Final = UDP_BYTES + 1 + INDEX_SIZE + COUNTER_SIZE + TAG_SIZE
FIRST_BYTES: Final = UDP_BYTES + DATAGRAM_MAX_BYTES

UNANSWERED_DIAL_BYTES: Final = 3 * TCP_BYTES
"""A connection to nobody: asked for at once, after one second and after three."""

UNANSWERED_CALL_BYTES: Final = 2 * FIRST_BYTES
"""A call of nobody by datagrams: the first one at once and after a second."""

assert CALL_AGAIN_MS < CALL_MS <= 3 * CALL_AGAIN_MS

HANG_UP_BYTES: Final = 2 * TCP_BYTES
"""What each side says to end a connection."""

_LATELY: Final = 4_096
_PAYLOAD: Final = bytes(32)


def flight_bytes(size: int) -> int:
    """Return the bytes of so many on a TCP connection, sent at once."""
    return size + TCP_BYTES * -(-size // SEGMENT_BYTES)


def acknowledged_bytes(size: int) -> int:
    """Return the bytes by which their coming in is acknowledged."""
    return TCP_BYTES * -(-size // (2 * SEGMENT_BYTES))


class Sizes:
    """Lengths of messages; by reference, one goes to many peers and is encoded once."""

    def __init__(self) -> None:
        self._lately: dict[int, tuple[object, int]] = {}

    def of(self, message: T, encode: Callable[[T], bytes]) -> int:
        """Return how many bytes `encode` makes of a message."""
        known = self._lately.get(id(message))
        if known is not None and known[0] is message:
            return known[1]
        size = len(encode(message))
        if len(self._lately) >= _LATELY:
            self._lately.clear()
        self._lately[id(message)] = message, size
        return size


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What each side says before the first message; a datagram's own bytes are not in it."""

    dialler: int
    listener: int
    caller: int
    called: int


def measured(
    mesh: MeshId, member: Callable[[], tuple[Signer, Chain]], verifier: Verifier, wall: WallTime, dice: Dice
) -> Costs:
    """Let two members open a channel to each other, and then a pair of datagrams."""
    door = DatedDoor(lambda: wall)
    one, other = (_papers(mesh, *member(), dice) for _ in range(2))
    first = initiate(papers=one, purpose=Purpose.CONTROL, door=door, verifier=verifier, seed=dice.draw(KEY_SIZE))
    second = respond(papers=other, door=door, verifier=verifier, seed=dice.draw(KEY_SIZE))
    dialler, listener = TCP_BYTES, TCP_BYTES
    said = first.feed(b"")
    while said:
        dialler += flight_bytes(len(said))
        answered = second.feed(said)
        listener += flight_bytes(len(answered))
        said = first.feed(answered)
    assert first.opened is not None and second.opened is not None
    used = first.opened.sealer.seal(b"\x01")  # the dialler's word that it uses the channel
    caller, called = _datagrams(Company(papers=one, door=door, verifier=verifier), other, dice)
    return Costs(
        dialler=dialler + flight_bytes(len(used)),
        listener=listener + acknowledged_bytes(len(used)),
        caller=caller,
        called=called,
    )


def credentials(mesh: MeshId, signer: Signer, chain: Chain, static: bytes, boot: Boot) -> Credentials:
    """Return what a member shows in every handshake."""
    return Credentials(chain=chain, static=sign(StaticKey(mesh=mesh, static=static), signer), boot=boot)


def _papers(mesh: MeshId, signer: Signer, chain: Chain, dice: Dice) -> Papers:
    static = KeyPair.of(dice.draw(KEY_SIZE))
    shown = credentials(mesh, signer, chain, static.public, Boot(dice.draw(16)))
    return Papers(mesh=mesh, secret=bytes(KEY_SIZE), static=static, shown=shown)


def _datagrams(company: Company, other: Papers, dice: Dice) -> tuple[int, int]:
    """Return what caller and called say until a payload was heard, that one left out."""
    now = Instant(0)
    here, there = Address(host="10.0.0.1", port=7_000), Address(host="10.0.0.2", port=7_000)
    calling = Pairs(company, dice.draw)
    answering = Pairs(Company(papers=other, door=company.door, verifier=company.verifier), dice.draw)
    assert isinstance(other.shown, Credentials)
    to = other.shown.static.author
    caller, called = -(SEALED_BYTES + len(_PAYLOAD)), 0
    waiting = [outgoing.data for outgoing in calling.send(now, to, (there,), _PAYLOAD)]
    while waiting:
        caller += sum(UDP_BYTES + len(data) for data in waiting)
        answers = [outgoing.data for data in waiting for outgoing in answering.hear(now, here, data).send]
        called += sum(UDP_BYTES + len(data) for data in answers)
        waiting = [outgoing.data for data in answers for outgoing in calling.hear(now, there, data).send]
    return caller, called
