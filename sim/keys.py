"""Keys of simulated peers: real Ed25519, or a stand-in that costs a hundredth and still rejects forgeries.

A stand-in signature is a BLAKE3 of the message keyed with the author's secret. The verifier belongs to the world, which
knows every secret, so it can tell a forgery as surely as mathematics could. Public keys are the real ones in both
modes.

A statement that carries another one carries its signature too, so that ids, and with them every tie that ids break,
depend on signatures. That both modes may give one trace, the real mode lets the stand-in's bytes travel as a token for
the real signature, which is made and verified all the same.
"""

from typing import Literal, TypeAlias

from blake3 import blake3

from mesh.ground.ids import PublicKey
from mesh.wire.envelope import SIGNATURE_SIZE, Signer, Verifier
from mesh.wire.signing import Ed25519Signer, Ed25519Verifier

Signatures: TypeAlias = Literal["stand-in", "real"]

_CONTEXT = "meshnode sim stand-in signature"


class StandInSigner:
    """Sign with a keyed hash under a real public key."""

    __slots__ = ("_secret", "key")

    def __init__(self, secret: bytes, key: PublicKey) -> None:
        self._secret = secret
        self.key = key

    def sign(self, message: bytes) -> bytes:
        """Return 64 bytes that only this signer's secret makes of `message`."""
        return blake3(message, key=self._secret).digest(length=SIGNATURE_SIZE)


class RealSigner:
    """Sign with Ed25519, and let a stand-in's bytes travel for the signature."""

    __slots__ = ("_real", "_signed", "_token", "key")

    def __init__(self, real: Ed25519Signer, token: StandInSigner, signed: dict[bytes, bytes]) -> None:
        self._real = real
        self._token = token
        self._signed = signed
        self.key = real.key

    def sign(self, message: bytes) -> bytes:
        """Sign `message` and return the token of the signature."""
        token = self._token.sign(message)
        self._signed[token] = self._real.sign(message)
        return token


class StandInVerifier:
    """Verify stand-in signatures by making them again."""

    __slots__ = ("_signers",)

    def __init__(self, signers: dict[PublicKey, StandInSigner]) -> None:
        self._signers = signers

    def verifies(self, key: PublicKey, message: bytes, signature: bytes) -> bool:
        """Tell whether `signature` is `key`'s over `message`; nothing verifies under a key that nobody enrolled."""
        signer = self._signers.get(key)
        return signer is not None and signer.sign(message) == signature


class RealVerifier:
    """Verify the Ed25519 signature behind a token."""

    __slots__ = ("_ed25519", "_signed")

    def __init__(self, signed: dict[bytes, bytes]) -> None:
        self._signed = signed
        self._ed25519 = Ed25519Verifier()

    def verifies(self, key: PublicKey, message: bytes, signature: bytes) -> bool:
        """Tell whether the signature that `signature` stands for is `key`'s over `message`."""
        real = self._signed.get(signature)
        return real is not None and self._ed25519.verifies(key, message, real)


class Keyring:
    """Makes the world's signers, and holds the one verifier that everybody's shell uses."""

    __slots__ = ("_enrolled", "_real", "_signed", "secrets", "verifier")

    def __init__(self, mode: Signatures) -> None:
        self._enrolled: dict[PublicKey, StandInSigner] = {}
        self._signed: dict[bytes, bytes] = {}
        self._real = mode == "real"
        self.secrets: list[bytes] = []
        """All that signers are made from."""
        self.verifier: Verifier = RealVerifier(self._signed) if self._real else StandInVerifier(self._enrolled)

    def signer(self, seed: bytes) -> Signer:
        """Return the signer whose real key pair comes from 32 bytes of `seed`."""
        real = Ed25519Signer(seed)
        secret = blake3(seed, derive_key_context=_CONTEXT).digest()
        self.secrets += (seed, secret)
        stand_in = StandInSigner(secret, real.key)
        self._enrolled[real.key] = stand_in
        return RealSigner(real, stand_in, self._signed) if self._real else stand_in
