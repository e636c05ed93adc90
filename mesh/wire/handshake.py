"""How two peers open a channel: who speaks first, what each shows, and what a stranger learns, which is nothing.

The initiator begins with a clear preamble, which is the prologue of the Noise handshake, and message 1. A responder
whose mesh hint differs, or who cannot decrypt message 1 for want of the mesh secret, does not answer. Message 2
carries the responder's credentials and the version that it chose; message 3 carries the initiator's, or a joiner's
invite. The responder ends with a sealed welcome, so that the initiator knows that it was let in before it says
anything.

    preamble        magic (4) | lowest version (1) | highest version (1) | purpose (1) | zero (1) | mesh hint (8)
    message 1, 2, 3 length (2, big-endian, at most 4,096) | Noise message
    welcome         the first packet of the record layer: the kind of the channel

Each side judges the other: chain and static key by `members`, everything that changes with time (expiry, revocation)
by the `Door` that it was given. The channel gets the narrower of the two judgements, the same at both ends.

Invariants: before the other side has proven that it knows the mesh secret, a responder gives out nothing; before it
has proven its membership, nobody gives out anything after message 2. Both sides never ask for more than one message
of bytes. The module draws no entropy, reads no clock, and does not know how bytes travel.
"""

import dataclasses
import enum
from collections.abc import Callable, Generator
from typing import Annotated, Final, Protocol, TypeVar

from blake3 import blake3

from mesh.ground.errors import WireError
from mesh.ground.ids import Boot, MeshId, PeerId
from mesh.ground.instants import WallTime
from mesh.wire import cbor
from mesh.wire.cipher import CONTROL_PACKET_MAX_BYTES, DATA_PACKET_MAX_BYTES, Opener, Sealer
from mesh.wire.codec import Between, from_value, to_value
from mesh.wire.envelope import Verifier, check, mesh_id
from mesh.wire.members import Credentials, JoinRequest, Membership, judge_chain, judge_credentials, judge_join
from mesh.wire.noise import Handshake, KeyPair
from mesh.wire.revocations import Bans
from mesh.wire.versions import VERSION_HIGHEST, VERSION_LOWEST

MAGIC: Final = b"mshn"

HINT_SIZE: Final = 8
PREAMBLE_SIZE: Final = 16
LENGTH_SIZE: Final = 2

MESSAGE_MAX_BYTES: Final = 4 * 1024
"""A handshake message: the longest chain and an invite need 2 KiB; more would only help who floods."""

HANDSHAKE_MS: Final = 5_000
"""All of a handshake: some round trips of the slowest link, and no longer, since half-open ones are few."""

_HINT_LABEL: Final = b"meshnode 1 mesh hint"

_T = TypeVar("_T")


class Purpose(enum.IntEnum):
    """What a connection is opened for; numbers are never used twice."""

    CONTROL = 1
    BULK = 2
    """Who dialled asks for pieces."""
    JOIN = 3
    LEND = 4
    """Who listens asks for pieces: the way to those whom nobody can dial."""
    DATAGRAM = 5
    """Single datagrams, see `datagram`; never on a connection."""


_FOR_PIECES: Final = (Purpose.BULK, Purpose.LEND)
_FOR_MEMBERS: Final = (*_FOR_PIECES, Purpose.DATAGRAM)


class ChannelKind(enum.IntEnum):
    """What may be said on a channel, from much to little; numbers are never used twice."""

    MEMBER = 1
    """Everything."""
    RENEW = 2
    """Only asking for a renewal, and its answer: one of the two has expired."""
    ADMIT = 3
    """Only asking for admission, and its answer: a joiner with an invite."""


class Door(Protocol):
    """Who may open a channel here now. Asked after every signature and chain was found good."""

    def member(self, shown: Credentials, membership: Membership) -> ChannelKind | None:
        """Return the kind of channel for this member, or None to shut the door."""
        ...

    def joiner(self, shown: JoinRequest, inviter: Membership) -> bool:
        """Say whether somebody with this invite may ask for admission."""
        ...


class DatedDoor:
    """The door of a peer: it looks at the date, and at those whom the revocations in `bans` shut out.

    An invite that is expired or revoked may still ask, so that its bearer is told why it is not admitted.
    """

    __slots__ = ("_wall", "bans")

    def __init__(self, wall: Callable[[], WallTime]) -> None:
        self._wall = wall
        self.bans = Bans()
        """Set anew whenever a revocation comes in."""

    def member(self, shown: Credentials, membership: Membership) -> ChannelKind | None:
        """Let an expired member do nothing but renew, and one that was thrown out nothing at all."""
        if self.bans.chain(shown.chain) is not None:
            return None
        expires = membership.expires
        if shown.renewed is not None and self.bans.chain(shown.renewed.by) is not None:
            expires = judge_chain(shown.chain, mesh_id(shown.chain[0].key)).expires
        return ChannelKind.MEMBER if self._wall() < expires else ChannelKind.RENEW

    def joiner(self, shown: JoinRequest, inviter: Membership) -> bool:  # noqa: ARG002 (the protocol's)
        """Let every bearer of a good invite ask."""
        return True


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Papers:
    """What this side brings to every handshake."""

    mesh: MeshId
    secret: bytes = dataclasses.field(repr=False)
    """The mesh secret, 32 bytes: it silences strangers and proves nothing else."""
    static: KeyPair
    shown: Credentials | JoinRequest
    """Proof of membership, or the invite of one who wants it; both name `static`."""
    lowest: int = VERSION_LOWEST
    highest: int = VERSION_HIGHEST
    """The versions of the wire that this side speaks; a test may have it speak less."""

    def preamble(self, purpose: "Purpose") -> bytes:
        """Return the first bytes of a handshake that this side begins."""
        hint = mesh_hint(self.mesh, self.secret)
        return Preamble(lowest=self.lowest, highest=self.highest, purpose=purpose, hint=hint).encode()

    def agreed(self, answered: int) -> int:
        """Return the version that the other side chose of those offered; raise `WireError` for any other."""
        if not self.lowest <= answered <= self.highest:
            raise WireError("a version that was not offered")
        return answered


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Opened:
    """A finished handshake: who is there, and the two ends of the record layer."""

    purpose: Purpose
    version: int
    kind: ChannelKind
    shown: Credentials | JoinRequest
    membership: Membership
    """The other side's; for a joiner: its inviter's."""
    sealer: Sealer
    opener: Opener

    @property
    def peer(self) -> PeerId:
        """The id of the other side."""
        return self.shown.by_subject.author if isinstance(self.shown, JoinRequest) else self.membership.peer

    @property
    def boot(self) -> Boot | None:
        """The other side's boot; a joiner has none to tell."""
        return None if isinstance(self.shown, JoinRequest) else self.shown.boot


class MetSelf(WireError):
    """The other side of the handshake is this very peer. Nothing is to be done."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Preamble:
    """The clear bytes at the start of a connection."""

    lowest: int
    highest: int
    purpose: Purpose
    hint: bytes

    def encode(self) -> bytes:
        """Return the 16 bytes."""
        return MAGIC + bytes([self.lowest, self.highest, self.purpose, 0]) + self.hint

    @staticmethod
    def decode(data: bytes) -> "Preamble":
        """Return the preamble in `data`, or raise `WireError`."""
        if len(data) != PREAMBLE_SIZE or not data.startswith(MAGIC) or data[7] != 0:
            raise WireError("not the start of a channel")
        lowest, highest, purpose = data[4:7]
        if not 1 <= lowest <= highest or not min(Purpose) <= purpose <= max(Purpose):
            raise WireError("a channel of an unknown kind")
        return Preamble(lowest=lowest, highest=highest, purpose=Purpose(purpose), hint=data[8:])


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The payload of message 2."""

    version: Annotated[int, Between(1, 255)]
    shown: Credentials


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The payload of message 3."""

    shown: Credentials | JoinRequest
    kind: Annotated[int, Between(1, 3)]
    """How the initiator judged the responder."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Welcome:
    """The first packet of the record layer."""

    kind: Annotated[int, Between(1, 3)]


def mesh_hint(mesh: MeshId, secret: bytes) -> bytes:
    """Return the eight bytes by which members recognise their mesh; without the secret they are noise."""
    return blake3(_HINT_LABEL + mesh, key=secret).digest(length=HINT_SIZE)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """What a side does next: it sends, then waits for exactly `wants` bytes."""

    send: bytes = b""
    wants: int


_Line = Generator[_Step, bytes, Opened]


class Exchange:
    """One side of one handshake under way: bytes in, in any portions; bytes out."""

    __slots__ = ("_buffer", "_line", "_step", "opened")

    def __init__(self, line: _Line) -> None:
        self._line = line
        self._buffer = bytearray()
        self._step = next(line)
        self.opened: Opened | None = None
        """The channel, once the handshake is over; what `feed` returned has yet to be sent."""

    @property
    def wanted(self) -> int:
        """How many bytes are missing until the next step; the shell should read no more than that."""
        return 0 if self.opened else max(0, self._step.wants - len(self._buffer))

    def feed(self, data: bytes) -> bytes:
        """Return what to send now that `data` came in; begin with an empty `data`.

        Raises `WireError`: then the connection must be let go without another byte.
        """
        self._buffer += data
        outgoing = [self._take_outgoing()]
        while self.opened is None and len(self._buffer) >= self._step.wants:
            taken = bytes(self._buffer[: self._step.wants])
            del self._buffer[: self._step.wants]
            try:
                self._step = self._line.send(taken)
            except StopIteration as finished:
                self.opened = finished.value
            outgoing.append(self._take_outgoing())
        if self.opened is not None and self._buffer:
            raise WireError("bytes before the handshake was over")
        return b"".join(outgoing)

    def _take_outgoing(self) -> bytes:
        outgoing, self._step = self._step.send, dataclasses.replace(self._step, send=b"")
        return outgoing


def initiate(*, papers: Papers, purpose: Purpose, door: Door, verifier: Verifier, seed: bytes) -> Exchange:
    """Begin a handshake with whoever listens; `seed` are 32 uniformly random bytes, used once."""
    assert (purpose is Purpose.JOIN) == isinstance(papers.shown, JoinRequest)
    assert purpose is not Purpose.DATAGRAM
    return Exchange(_initiator(papers, purpose, Judge(papers, door, verifier), seed))


def respond(*, papers: Papers, door: Door, verifier: Verifier, seed: bytes) -> Exchange:
    """Begin to listen to whoever connected; `seed` are 32 uniformly random bytes, used once."""
    assert isinstance(papers.shown, Credentials)
    return Exchange(_responder(papers, papers.shown, Judge(papers, door, verifier), seed))


def _initiator(papers: Papers, purpose: Purpose, judge: "Judge", seed: bytes) -> _Line:
    preamble = papers.preamble(purpose)
    noise = Handshake(initiator=True, static=papers.static, psk=papers.secret, prologue=preamble, ephemeral_seed=seed)
    second = yield from _message(preamble + _framed(noise.write(b"")))
    answer = payload_of(Answer, noise.read(second))
    version = papers.agreed(answer.version)
    mine, membership = judge.member(answer.shown, noise, purpose)
    third = _framed(noise.write(cbor.encode(to_value(Reply(shown=papers.shown, kind=mine)))))
    keys = noise.split()
    limit = _packet_max_bytes(purpose)
    opener = Opener(keys.receive, limit)
    kind = yield from _welcome(third, opener)
    if kind < mine or (kind is ChannelKind.ADMIT) != (purpose is Purpose.JOIN):
        raise WireError("a welcome to something else than was offered")
    return Opened(
        purpose=purpose,
        version=version,
        kind=kind,
        shown=answer.shown,
        membership=membership,
        sealer=Sealer(keys.send, limit),
        opener=opener,
    )


def common_version(asked: Preamble, papers: Papers) -> int:
    """Return the highest version that both sides speak; raise `WireError` if there is none, or it is another mesh."""
    version = min(asked.highest, papers.highest)
    if asked.hint != mesh_hint(papers.mesh, papers.secret) or version < max(asked.lowest, papers.lowest):
        raise WireError("a channel of another mesh, or without a common version")
    return version


def _responder(papers: Papers, shown: Credentials, judge: "Judge", seed: bytes) -> _Line:
    preamble = yield _Step(wants=PREAMBLE_SIZE)
    asked = Preamble.decode(preamble)
    if asked.purpose is Purpose.DATAGRAM:
        raise WireError("a datagram's handshake on a connection")
    version = common_version(asked, papers)
    noise = Handshake(initiator=False, static=papers.static, psk=papers.secret, prologue=preamble, ephemeral_seed=seed)
    noise.read((yield from _message(b"")))
    second = _framed(noise.write(cbor.encode(to_value(Answer(version=version, shown=shown)))))
    reply = payload_of(Reply, noise.read((yield from _message(second))))
    kind, membership = judge.initiator(reply, noise, asked.purpose)
    keys = noise.split()
    limit = _packet_max_bytes(asked.purpose)
    sealer = Sealer(keys.send, limit)
    yield _Step(send=sealer.seal(cbor.encode(to_value(_Welcome(kind=kind)))), wants=0)
    return Opened(
        purpose=asked.purpose,
        version=version,
        kind=kind,
        shown=reply.shown,
        membership=membership,
        sealer=sealer,
        opener=Opener(keys.receive, limit),
    )


class Judge:
    """This side's judgement of the other: proofs by the rules of membership, the rest by the door."""

    __slots__ = ("_door", "_papers", "_verifier")

    def __init__(self, papers: Papers, door: Door, verifier: Verifier) -> None:
        self._papers = papers
        self._door = door
        self._verifier = verifier

    def initiator(self, reply: Reply, noise: Handshake, purpose: Purpose) -> tuple[ChannelKind, Membership]:
        """Return the kind of channel that both sides agree to, and who vouches for it; raise `WireError` if none."""
        if isinstance(reply.shown, JoinRequest) != (purpose is Purpose.JOIN):
            raise WireError("a purpose that the proof does not serve")
        if isinstance(reply.shown, JoinRequest):
            return ChannelKind.ADMIT, self._joiner(reply.shown, noise)
        mine, membership = self.member(reply.shown, noise, purpose)
        kind = max(mine, ChannelKind(reply.kind))
        if kind is ChannelKind.ADMIT or (purpose in _FOR_MEMBERS and kind is not ChannelKind.MEMBER):
            raise WireError("a judgement that the purpose does not allow")
        return kind, membership

    def member(self, shown: Credentials, noise: Handshake, purpose: Purpose) -> tuple[ChannelKind, Membership]:
        """Return what the other side may do here and what it proved; raise `WireError` if nothing."""
        check(shown, self._verifier)
        membership = judge_credentials(shown, self._papers.mesh, static_of(noise))
        mine = self._papers.shown
        # The same boot only: another boot under this key is a clone of this disk, which the node must hear of.
        if isinstance(mine, Credentials) and shown.static.author == mine.static.author and shown.boot == mine.boot:
            raise MetSelf("the address is this peer's own")
        kind = self._door.member(shown, membership)
        if kind is None:
            raise WireError("a member that has no entry")
        if purpose in _FOR_MEMBERS and kind is not ChannelKind.MEMBER:
            raise WireError("an expired member where only members may speak")
        return kind, membership

    def _joiner(self, shown: JoinRequest, noise: Handshake) -> Membership:
        check(shown, self._verifier)
        inviter = judge_join(shown, self._papers.mesh, static_of(noise))
        if not self._door.joiner(shown, inviter):
            raise WireError("an invite that has no entry")
        return inviter


def _message(send: bytes) -> Generator[_Step, bytes, bytes]:
    """Send, then wait for one handshake message."""
    size = int.from_bytes((yield _Step(send=send, wants=LENGTH_SIZE)), "big")
    if not 0 < size <= MESSAGE_MAX_BYTES:
        raise WireError(f"a handshake message of {size} bytes")
    return (yield _Step(wants=size))


def _welcome(send: bytes, opener: Opener) -> Generator[_Step, bytes, ChannelKind]:
    """Send, then wait for the first packet of the record layer."""
    packets = opener.feed((yield _Step(send=send, wants=opener.wanted)))
    if opener.wanted > MESSAGE_MAX_BYTES:
        raise WireError("a welcome that says too much")
    packets += opener.feed((yield _Step(wants=opener.wanted)))
    if len(packets) != 1:
        raise WireError("a close instead of a welcome")
    return ChannelKind(payload_of(_Welcome, packets[0]).kind)


def _framed(message: bytes) -> bytes:
    assert len(message) <= MESSAGE_MAX_BYTES, f"a handshake message of {len(message)} bytes"
    return len(message).to_bytes(LENGTH_SIZE, "big") + message


def payload_of(kind: type[_T], data: bytes) -> _T:
    """Return what a handshake message's payload says; raise `WireError`."""
    return from_value(kind, cbor.decode(data, MESSAGE_MAX_BYTES))


def static_of(noise: Handshake) -> bytes:
    """Return the other side's Noise key, which its message has brought."""
    assert noise.remote_static is not None
    return noise.remote_static


def _packet_max_bytes(purpose: Purpose) -> int:
    return DATA_PACKET_MAX_BYTES if purpose in _FOR_PIECES else CONTROL_PACKET_MAX_BYTES
