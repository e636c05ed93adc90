"""The Noise handshake XXpsk0 over X25519, ChaCha20-Poly1305 and BLAKE2b, as the Noise specification (revision 34) has
it.

Three messages; in the specification's notation

    -> psk, e
    <- e, ee, s, es
    -> s, se

The pre-shared key enters before anything else, so that a responder can tell from the first message whether its sender
knows it, and stay silent if not. Each side ends up with the other's static key, proven, and with a key per direction
that nobody else can compute, not even who later steals both static keys and the pre-shared key.

Invariants: the handshake is a straight line: write and read alternate, nothing is repeated. After any `WireError` it
is dead; where messages may be forged on the way, each is read by a `twin` that may die. The module draws no entropy
(the ephemeral secret is an argument) and does not know what the payloads mean, nor what travels around its messages.
"""

import hashlib
import hmac
from copy import copy
from dataclasses import dataclass, field
from typing import Final, Literal

from nacl import bindings
from nacl.exceptions import CryptoError
from nacl.exceptions import RuntimeError as SodiumError

from mesh.ground.errors import WireError

KEY_SIZE: Final = 32
"""Bytes of a static, ephemeral, pre-shared or cipher key."""

TAG_SIZE: Final = 16
"""Bytes by which encryption lengthens a payload."""

HASH_SIZE: Final = 64
"""Bytes of the handshake hash."""

NAME: Final = b"Noise_XXpsk0_25519_ChaChaPoly_BLAKE2b"

NONCE_MAX: Final = 2**64 - 1
"""The nonce that the specification sets aside for rekeying."""

_Token = Literal["psk", "e", "s", "ee", "es", "se"]
_PATTERN: Final[tuple[tuple[_Token, ...], ...]] = (("psk", "e"), ("e", "ee", "s", "es"), ("s", "se"))

#: Bytes that each message adds to its payload: keys, and a tag for each thing that is encrypted.
OVERHEAD: Final = (KEY_SIZE + TAG_SIZE, 2 * KEY_SIZE + 2 * TAG_SIZE, KEY_SIZE + 2 * TAG_SIZE)

assert len(OVERHEAD) == len(_PATTERN)
assert len(NAME) <= HASH_SIZE


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair:
    """An X25519 key pair; the secret stays out of every printed form."""

    secret: bytes = field(repr=False)
    public: bytes

    @staticmethod
    def of(secret: bytes) -> "KeyPair":
        """Return the pair whose secret is these 32 uniformly random bytes."""
        assert len(secret) == KEY_SIZE
        return KeyPair(secret=secret, public=bindings.crypto_scalarmult_base(secret))


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelKeys:
    """The two cipher keys of a finished handshake, as one side sees them."""

    send: bytes = field(repr=False)
    receive: bytes = field(repr=False)


def nonce_of(counter: int) -> bytes:
    """Return the 12-byte nonce of ChaCha20-Poly1305 for a counter: four zero bytes and the counter, little-endian."""
    return b"\0\0\0\0" + counter.to_bytes(8, "little")


def rekey(key: bytes) -> bytes:
    """Return the key that follows `key`, from which `key` cannot be computed."""
    zeros = bytes(KEY_SIZE)
    return bindings.crypto_aead_chacha20poly1305_ietf_encrypt(zeros, None, nonce_of(NONCE_MAX), key)[:KEY_SIZE]


class Handshake:
    """One side of one handshake.

    `psk` is the 32-byte pre-shared key; `prologue` are bytes that both sides must have seen alike; `ephemeral_seed`
    are 32 uniformly random bytes used for nothing else, ever.
    """

    __slots__ = (
        "_dead",
        "_ephemeral",
        "_initiator",
        "_psk",
        "_remote_ephemeral",
        "_static",
        "_step",
        "_symmetric",
        "remote_static",
    )

    def __init__(self, *, initiator: bool, static: KeyPair, psk: bytes, prologue: bytes, ephemeral_seed: bytes) -> None:
        assert len(psk) == KEY_SIZE
        self._initiator = initiator
        self._static = static
        self._psk = psk
        self._ephemeral = KeyPair.of(ephemeral_seed)
        self._remote_ephemeral = b""
        self._symmetric = _Symmetric(prologue)
        self._step = 0
        self._dead = False
        self.remote_static: bytes | None = None
        """The other side's static key, once its message has been read."""

    @property
    def finished(self) -> bool:
        """Whether all three messages have passed."""
        return self._step == len(_PATTERN)

    @property
    def my_turn(self) -> bool:
        """Whether this side writes the next message."""
        return not self.finished and (self._step % 2 == 0) == self._initiator

    @property
    def hash(self) -> bytes:
        """The 64 bytes that name this finished handshake, the same on both sides; they are no secret."""
        assert self.finished
        return self._symmetric.digest

    def write(self, payload: bytes) -> bytes:
        """Return the next message, with `payload` in it; raise `WireError` if the other side's keys are degenerate."""
        assert self.my_turn
        assert not self._dead
        self._dead = True
        parts = [self._write_token(token) for token in _PATTERN[self._step]]
        parts.append(self._symmetric.seal(payload))
        self._step += 1
        self._dead = False
        return b"".join(parts)

    def read(self, message: bytes) -> bytes:
        """Return the payload of the other side's next message, or raise `WireError` and be dead."""
        assert not self.finished
        assert not self.my_turn
        if self._dead:
            raise WireError("the handshake failed before")
        self._dead = True
        rest = message
        for token in _PATTERN[self._step]:
            rest = self._read_token(token, rest)
        payload = self._symmetric.open(rest)
        self._step += 1
        self._dead = False
        return payload

    def split(self) -> ChannelKeys:
        """Return the keys of the channel that this handshake opened."""
        return self._keys(b"")

    def further(self, label: bytes) -> ChannelKeys:
        """Return two more keys, named by a label that is not empty; nothing follows from them about any others."""
        assert label
        return self._keys(label)

    def twin(self) -> "Handshake":
        """Return an independent handshake in the same state.

        Of all twins one may go on to write: two different payloads would use one key and nonce twice.
        """
        twin = copy(self)
        twin._symmetric = copy(self._symmetric)  # noqa: SLF001 (its own kind)
        return twin

    def _keys(self, label: bytes) -> ChannelKeys:
        assert self.finished
        first, second = self._symmetric.split(label)
        return ChannelKeys(send=first, receive=second) if self._initiator else ChannelKeys(send=second, receive=first)

    def _write_token(self, token: _Token) -> bytes:
        match token:
            case "e":
                self._symmetric.mix_ephemeral(self._ephemeral.public)
                return self._ephemeral.public
            case "s":
                return self._symmetric.seal(self._static.public)
            case _:
                self._mix(token)
                return b""

    def _read_token(self, token: _Token, rest: bytes) -> bytes:
        match token:
            case "e":
                self._remote_ephemeral, rest = _cut(rest, KEY_SIZE)
                self._symmetric.mix_ephemeral(self._remote_ephemeral)
            case "s":
                sealed, rest = _cut(rest, KEY_SIZE + TAG_SIZE)
                self.remote_static = self._symmetric.open(sealed)
            case _:
                self._mix(token)
        return rest

    def _mix(self, token: _Token) -> None:
        """Mix in what both sides know: the pre-shared key, or a Diffie-Hellman output."""
        if token == "psk":  # noqa: S105 (the pattern's name of the token, not its value)
            self._symmetric.mix_psk(self._psk)
            return
        # "es" is the initiator's ephemeral with the responder's static key, "se" the other way round.
        mine_is_static = token == ("se" if self._initiator else "es")
        theirs_is_static = token == ("es" if self._initiator else "se")
        mine = self._static if mine_is_static else self._ephemeral
        theirs = self.remote_static if theirs_is_static else self._remote_ephemeral
        assert theirs
        try:
            shared = bindings.crypto_scalarmult(mine.secret, theirs)
        except SodiumError as error:  # libsodium refuses points of low order, whose product would be no secret
            raise WireError("a degenerate public key") from error
        self._symmetric.mix_key(shared)


class _Symmetric:
    """The specification's SymmetricState, with the CipherState that it owns."""

    __slots__ = ("_chaining", "_counter", "_key", "digest")

    def __init__(self, prologue: bytes) -> None:
        self._chaining = self.digest = NAME.ljust(HASH_SIZE, b"\0")
        self._key = b""
        self._counter = 0
        self._mix_hash(prologue)

    def mix_psk(self, psk: bytes) -> None:
        self._chaining, extra, key = _hkdf(self._chaining, psk, 3)
        self._mix_hash(extra)
        self._take(key)

    def mix_ephemeral(self, public: bytes) -> None:
        """Mix in an ephemeral public key, which with a pre-shared key keys the cipher too: no key is used twice."""
        self._mix_hash(public)
        self.mix_key(public)

    def mix_key(self, material: bytes) -> None:
        self._chaining, key = _hkdf(self._chaining, material, 2)
        self._take(key)

    def seal(self, plain: bytes) -> bytes:
        nonce = self._next_nonce()
        sealed = bindings.crypto_aead_chacha20poly1305_ietf_encrypt(plain, self.digest, nonce, self._key)
        self._mix_hash(sealed)
        return sealed

    def open(self, sealed: bytes) -> bytes:
        if len(sealed) < TAG_SIZE:
            raise WireError("a handshake message is cut short")
        nonce = self._next_nonce()
        try:
            plain = bindings.crypto_aead_chacha20poly1305_ietf_decrypt(sealed, self.digest, nonce, self._key)
        except CryptoError as error:
            raise WireError("a handshake message does not decrypt") from error
        self._mix_hash(sealed)
        return plain

    def split(self, label: bytes) -> tuple[bytes, bytes]:
        """Return the specification's two keys where the label is empty; others take its place as HKDF's input."""
        first, second = _hkdf(self._chaining, label, 2)
        return first[:KEY_SIZE], second[:KEY_SIZE]

    def _take(self, key: bytes) -> None:
        self._key = key[:KEY_SIZE]
        self._counter = 0

    def _next_nonce(self) -> bytes:
        nonce = nonce_of(self._counter)
        self._counter += 1
        return nonce

    def _mix_hash(self, data: bytes) -> None:
        self.digest = hashlib.blake2b(self.digest + data).digest()


def _hkdf(chaining: bytes, material: bytes, outputs: int) -> list[bytes]:
    """Return two or three outputs of HKDF with HMAC-BLAKE2b, each `HASH_SIZE` bytes."""
    temporary = hmac.digest(chaining, material, hashlib.blake2b)
    made: list[bytes] = []
    previous = b""
    for number in range(1, outputs + 1):
        previous = hmac.digest(temporary, previous + bytes([number]), hashlib.blake2b)
        made.append(previous)
    return made


def _cut(data: bytes, size: int) -> tuple[bytes, bytes]:
    if len(data) < size:
        raise WireError("a handshake message is cut short")
    return data[:size], data[size:]
