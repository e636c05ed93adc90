"""What the node asks of the network: channels to other peers, and pieces of blobs from them.

Theory: a *channel* carries packets between two peers that have proven who they are; one *control* channel joins two
peers and carries all that their cores say. Pieces travel on connections of their own, so that a scene of 10 GB never
delays a heartbeat; the node never sees those connections, only `Pieces`.

Invariants that every adapter and every fake keeps (one contract suite tests both): packets arrive whole, in order,
once, or the channel ends; a channel ends cleanly only when the other side said so under its key; nobody gets a
channel without a proof that the door accepted; whatever a stranger sends costs bounded memory and earns no byte.
Callers must not know how peers are reached, how packets are encrypted, or that there are sockets.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from mesh.ground.errors import MeshError
from mesh.ground.ids import BlobId, Boot, PeerId
from mesh.wire.handshake import ChannelKind, Purpose
from mesh.wire.manifest import Manifest
from mesh.wire.members import Credentials, JoinRequest, Membership
from mesh.wire.messages import Address


class TransportError(MeshError):
    """Another peer could not be reached, or the connection to it ended. The mesh goes on without it."""

    exit_code = 80


class DialRefused(TransportError):
    """The host answered that nothing listens there. The peer is not running, or the port is wrong."""

    exit_code = 81


class DialTimedOut(TransportError):
    """Nothing answered in time. The host is off, cut off, or a firewall drops what is sent to it."""

    exit_code = 82


class DialUnreachable(TransportError):
    """There is no way to that address from here, or no such host. Check the address and this machine's network."""

    exit_code = 83


class HandshakeFailed(TransportError):
    """What answered is no peer of this mesh that lets this one in. Check the address, or ask for a new invite."""

    exit_code = 84


class DialledSelf(HandshakeFailed):
    """The address leads to this very peer. Nothing is to be done."""

    exit_code = 85


class ChannelClosed(TransportError):
    """The connection to another peer ended. It is dialled again."""

    exit_code = 86

    def __init__(self, *, clean: bool, reason: str = "") -> None:
        super().__init__(reason or ("the other peer closed the channel" if clean else "the connection broke"))
        self.clean = clean
        """Whether the other side ended the channel itself, under its key; False says nothing about why."""


class ListenFailed(TransportError):
    """The address cannot be listened on: another program uses it, or it is not this machine's. Choose another port."""

    exit_code = 87


class PortTaken(ListenFailed):
    """Another program, perhaps another peer, listens there. Choose another port: `meshnode join --listen :PORT`."""

    exit_code = 90


class AddressNotHere(ListenFailed):
    """No interface of this machine has that address now. `meshnode join` without `--listen` uses all that there are."""

    exit_code = 91


class TooManyChannels(TransportError):
    """This peer has as many connections as it can hold. Nothing is to be done: it serves those that it has."""

    exit_code = 88


class FetchFailed(TransportError):
    """Another peer stopped sending, or sent nonsense instead of pieces. They are fetched from somebody else."""

    exit_code = 89


class Channel(Protocol):
    """An encrypted connection to one peer; `send` may be called by many tasks, `receive` by one at a time."""

    @property
    def peer(self) -> PeerId:
        """Who is at the other end, proven; a joiner has an id already, but no membership."""
        ...

    @property
    def boot(self) -> Boot | None:
        """Which start of that peer's process it is; None for a joiner."""
        ...

    @property
    def kind(self) -> ChannelKind:
        """What may be said here, the same at both ends."""
        ...

    @property
    def version(self) -> int:
        """Which version of the wire is spoken here: the highest that both ends know."""
        ...

    @property
    def shown(self) -> Credentials | JoinRequest:
        """What the other side showed, its signatures checked."""
        ...

    @property
    def membership(self) -> Membership:
        """What its chain proves; for a joiner: its inviter's membership."""
        ...

    @property
    def remote(self) -> Address:
        """The other end of the connection; its port is where the peer listens only if `dialled`."""
        ...

    @property
    def dialled(self) -> bool:
        """Whether this side opened the channel."""
        ...

    @property
    def backlog_bytes(self) -> int:
        """How much was queued and has not left yet."""
        ...

    async def send(self, packet: bytes) -> None:
        """Queue one packet of at most 64 KiB, waiting while the queue is full; may raise `ChannelClosed`."""
        ...

    def offer(self, packet: bytes) -> bool:
        """Queue one packet without waiting; return False, and drop it, if the queue is full or the channel ended."""
        ...

    async def receive(self) -> bytes:
        """Return the next packet; raise `ChannelClosed` when there will be none."""
        ...

    async def aclose(self) -> None:
        """Send what is queued and a signed close, for some two seconds at most, then let go; twice does no harm."""
        ...


class Transport(Protocol):
    """The way to all other peers."""

    async def listen(self, host: str, port: int) -> int:
        """Accept channels on `host` too (empty: every address, IPv4 and IPv6) and return the port (0: any free one).

        Raises `ListenFailed`.
        """
        ...

    def addresses(self) -> tuple[Address, ...]:
        """Return where others may try to reach this peer, best first, loopback last; empty before `listen`."""
        ...

    async def accept(self) -> Channel:
        """Wait for the next channel that another peer opened."""
        ...

    async def dial(self, address: Address, purpose: Purpose = Purpose.CONTROL) -> Channel:
        """Open a channel, within ten seconds (five to connect, five for the handshake).

        Raises `DialRefused`, `DialTimedOut`, `DialUnreachable`, `HandshakeFailed`, `DialledSelf` or
        `TooManyChannels`. `Purpose.BULK` is for the adapter itself.
        """
        ...

    async def lend(self, address: Address) -> None:
        """Connect, let the peer that listens there ask this one for pieces, and return when it has had enough.

        Raises what `dial` raises.
        """
        ...

    def judge_again(self) -> None:
        """Ask the door again about all who exchange pieces with this peer, and let go of those whom it shuts out now.

        Channels stay: they are closed by who uses them.
        """
        ...

    def show(self, shown: Credentials) -> None:
        """Prove membership by `shown` in every handshake from now on; open channels stay as they are."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Lender:
    """A peer that may be where nobody can dial it: it opens the connection itself on which it is then asked."""

    peer: PeerId
    beckon: Callable[[], None]
    """Asks it to."""


Provider: TypeAlias = Address | Lender
"""Whom pieces are fetched from."""


class PieceSource(Protocol):
    """Where pieces that others ask for come from: the blob store. Called in threads; may raise `StorageError`."""

    def manifest(self, blob: BlobId) -> Manifest:
        """Return the manifest of `blob`, or raise `BlobMissing`."""
        ...

    def read_piece(self, blob: BlobId, number: int) -> bytes:
        """Return one piece, verified, or raise `BlobMissing`."""
        ...


class PieceSink(Protocol):
    """Where fetched pieces go. Called in a thread, one piece at a time, each of the size that its manifest says.

    Their bytes are not verified yet: the store does that as it writes them. What it raises ends the fetch and reaches
    the caller of `fetch_pieces`.
    """

    def __call__(self, number: int, piece: bytes, /) -> None: ...


class Pieces(Protocol):
    """Pieces and manifests from other peers, on bulk connections."""

    async def fetch_manifest(self, provider: Provider, blob: BlobId) -> Manifest | None:
        """Return the manifest of `blob`, checked against its id; None when that peer does not have it.

        Raises what `Transport.dial` raises, and `FetchFailed`.
        """
        ...

    async def fetch_pieces(
        self, provider: Provider, blob: BlobId, manifest: Manifest, numbers: Sequence[int], sink: PieceSink
    ) -> tuple[int, ...]:
        """Hand the pieces `numbers` of `blob` to `sink` as they come; return those which that peer does not have.

        Cancelling it is safe at any time: whole pieces have reached the sink, others have not. Raises what
        `Transport.dial` raises, `FetchFailed`, and whatever `sink` raises.
        """
        ...
