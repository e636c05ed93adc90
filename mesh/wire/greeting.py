"""One handshake by datagrams, its two sides: who calls, and who answers.

Theory: the messages are those of a channel, with the purpose `DATAGRAM` and the caller's index in the prologue. Any
datagram may be lost, doubled, late, or forged by somebody who watches: so each message is read by a twin of the
handshake, and only one that decrypts counts. What then proves nothing ends the handshake, since nobody but the other
side can have said it.

Invariants: both sides that end with keys have the same ones, and each has judged the other as a member that may enter
now. The answerer says no more than one part of message 2 for each first datagram, never longer than that. At most
`FORGERIES` messages that do not decrypt are tried. The module reads no clock: how long anything is waited for and how
often it is said again is for others to know.
"""

from dataclasses import dataclass
from typing import Final

from mesh.ground.datagram_limits import FORGERIES
from mesh.ground.errors import WireError
from mesh.ground.ids import PeerId
from mesh.wire import cbor
from mesh.wire.codec import to_value
from mesh.wire.datagram import (
    DATAGRAM_MAX_BYTES,
    KEYS_LABEL,
    NO_COOKIE,
    Collector,
    CookieSent,
    DatagramOpener,
    DatagramSealer,
    First,
    Kind,
    Part,
    open_cookie,
    parted,
)
from mesh.wire.envelope import Verifier
from mesh.wire.handshake import (
    Answer,
    ChannelKind,
    Door,
    Judge,
    Papers,
    Preamble,
    Purpose,
    Reply,
    common_version,
    payload_of,
)
from mesh.wire.members import Credentials, Membership
from mesh.wire.noise import Handshake

COLLECTORS: Final = 4
"""Answerers' indexes whose parts one caller collects side by side: a true one, one that started anew, forged ones."""

HASTE: Final = 4
"""How often a caller asks on at once, and not by the clock: forged answers must not make it flood whom it calls."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Proven:
    """A finished handshake: who is there, and the ends of the row of datagrams."""

    shown: Credentials
    membership: Membership
    sealer: DatagramSealer
    opener: DatagramOpener

    @property
    def peer(self) -> PeerId:
        """The other side."""
        return self.membership.peer


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """What a side brings to every handshake, and by what it judges the other."""

    papers: Papers
    door: Door
    verifier: Verifier
    datagram_bytes: int = DATAGRAM_MAX_BYTES
    """The longest datagram of a handshake; a test may set it low."""

    @property
    def shown(self) -> Credentials:
        """This side's own proof; a joiner has none, and no datagrams."""
        assert isinstance(self.papers.shown, Credentials)
        return self.papers.shown

    def judge(self) -> Judge:
        """Return this side's judgement."""
        return Judge(self.papers, self.door, self.verifier)

    def noise(self, *, initiator: bool, prologue: bytes, seed: bytes) -> Handshake:
        """Begin a handshake; `seed` are 32 uniformly random bytes, used once."""
        papers = self.papers
        return Handshake(
            initiator=initiator, static=papers.static, psk=papers.secret, prologue=prologue, ephemeral_seed=seed
        )


class Caller:
    """The side that begins: it wants `peer`, and nobody else."""

    __slots__ = (
        "_collectors",
        "_company",
        "_cookie",
        "_forgeries",
        "_haste",
        "_noise",
        "_preamble",
        "_said",
        "index",
        "wanted",
    )

    def __init__(self, company: Company, peer: PeerId, *, index: bytes, seed: bytes) -> None:
        self.wanted = peer
        self.index = index
        self._company = company
        papers = company.papers
        self._preamble = papers.preamble(Purpose.DATAGRAM)
        self._noise = company.noise(initiator=True, prologue=self._preamble + index, seed=seed)
        self._said = self._noise.write(b"")
        self._cookie = NO_COOKIE
        self._forgeries = 0
        self._haste = HASTE
        self._collectors: dict[bytes, Collector] = {}

    def questions(self) -> list[bytes]:
        """Return the datagrams that ask for what is missing of message 2.

        The first part always is: what is here of it may be forged.
        """
        missing = {0}.union(*(known.missing() for known in self._collectors.values()))
        return [self._question(number) for number in sorted(missing)]

    def take_cookie(self, sent: CookieSent) -> list[bytes]:
        """Show this cookie from now on; return what to say now if it is another than before. Raises `WireError`."""
        before = self._cookie
        self._cookie = open_cookie(sent, self._said, secret=self._company.papers.secret)
        return self.questions() if self._cookie != before and self._in_haste() else []

    def take(self, part: Part) -> tuple[Proven, list[bytes]] | list[bytes] | None:
        """Return what follows from a part of message 2.

        Either the proof, with the datagrams of message 3; or further questions; or None where it does not decrypt.
        Raises `WireError` when the handshake is over without a proof.
        """
        known = self._collectors.get(part.sender)
        if known is None:
            while len(self._collectors) >= COLLECTORS:
                del self._collectors[next(iter(self._collectors))]
            known = self._collectors[part.sender] = Collector()
        noise = self._noise.twin()
        try:
            message = known.take(part)
            if message is None:
                # Asked at once only when the first part tells that there are more: later ones come again by the clock.
                if part.number or not self._in_haste():
                    return []
                return [self._question(number) for number in known.missing()]
            payload = noise.read(message)
        except WireError:
            self._forgeries += 1
            if self._forgeries >= FORGERIES:
                raise
            return None
        return self._proven(noise, payload, part.sender)

    def _in_haste(self) -> bool:
        self._haste -= 1
        return self._haste >= 0

    def _question(self, number: int) -> bytes:
        first = First(part=number, cookie=self._cookie, index=self.index, preamble=self._preamble, message=self._said)
        return first.encode(self._company.datagram_bytes)

    def _proven(self, noise: Handshake, payload: bytes, answerer: bytes) -> tuple[Proven, list[bytes]]:
        answer = payload_of(Answer, payload)
        self._company.papers.agreed(answer.version)
        _, membership = self._company.judge().member(answer.shown, noise, Purpose.DATAGRAM)
        if membership.peer != self.wanted:
            raise WireError("another member than the wanted one")
        reply = Reply(shown=self._company.shown, kind=ChannelKind.MEMBER)
        message = noise.write(cbor.encode(to_value(reply)))
        parts = parted(Kind.THIRD, message, to=answerer, sender=self.index, size=self._company.datagram_bytes)
        return _proof(noise, answer.shown, membership, answerer), [part.encode() for part in parts]


class Answerer:
    """The side that was called. Raises `WireError` at once for somebody who does not know the mesh secret."""

    __slots__ = ("_collector", "_company", "_forgeries", "_noise", "_parts", "_version", "caller", "index", "message")

    def __init__(self, company: Company, first: First, *, index: bytes, seed: bytes) -> None:
        asked = Preamble.decode(first.preamble)
        if asked.purpose is not Purpose.DATAGRAM:
            raise WireError("a connection's handshake in a datagram")
        self.index = index
        self.caller = first.index
        self.message = first.message
        self._company = company
        self._version = common_version(asked, company.papers)
        self._noise = company.noise(initiator=False, prologue=first.preamble + first.index, seed=seed)
        self._noise.read(first.message)
        self._parts: tuple[Part, ...] = ()
        self._collector = Collector()
        self._forgeries = 0

    def second(self, number: int, size: int) -> bytes | None:
        """Return the datagram with part `number` of message 2, unless there is none or it has more than `size` bytes.

        The first call costs most of what an answer costs.
        """
        if not self._parts:
            answer = Answer(version=self._version, shown=self._company.shown)
            message = self._noise.write(cbor.encode(to_value(answer)))
            self._parts = parted(
                Kind.SECOND, message, to=self.caller, sender=self.index, size=self._company.datagram_bytes
            )
        if number >= len(self._parts):
            return None
        said = self._parts[number].encode()
        return said if len(said) <= size else None

    def take(self, part: Part) -> Proven | None:
        """Return the proof when a part of message 3 completes one, None when more is needed.

        Raises `WireError` when the handshake is over without a proof.
        """
        noise = self._noise.twin()
        try:
            message = self._collector.take(part)
            if message is None:
                return None
            payload = noise.read(message)
        except WireError:
            self._forgeries += 1
            if self._forgeries >= FORGERIES:
                raise
            return None
        reply = payload_of(Reply, payload)
        _, membership = self._company.judge().initiator(reply, noise, Purpose.DATAGRAM)
        assert isinstance(reply.shown, Credentials), "a joiner's purpose is another"
        return _proof(noise, reply.shown, membership, self.caller)


def _proof(noise: Handshake, shown: Credentials, membership: Membership, index: bytes) -> Proven:
    keys = noise.further(KEYS_LABEL)
    return Proven(
        shown=shown,
        membership=membership,
        sealer=DatagramSealer(keys.send, index),
        opener=DatagramOpener(keys.receive),
    )
