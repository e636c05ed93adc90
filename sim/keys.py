"""Keys of simulated peers: real Ed25519, or a stand-in that costs a hundredth and still rejects forgeries.

A stand-in signature is a BLAKE3 of the message keyed with the author's secret. The verifier belongs to the world,
which knows every secret, so it can tell a forgery as surely as mathematics could. Public keys are the real ones in
both modes: ids leave signatures out, so nothing that is named by a hash differs between the modes.
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


class StandInVerifier:
    """Verify stand-in signatures by making them again."""

    __slots__ = ("_signers",)

    def __init__(self) -> None:
        self._signers: dict[PublicKey, StandInSigner] = {}

    def enrol(self, signer: StandInSigner) -> None:
        """Learn a signer's secret."""
        self._signers[signer.key] = signer

    def verifies(self, key: PublicKey, message: bytes, signature: bytes) -> bool:
        """Tell whether `signature` is `key`'s over `message`; nothing verifies under a key that nobody enrolled."""
        signer = self._signers.get(key)
        return signer is not None and signer.sign(message) == signature


class Keyring:
    """Makes the world's signers, and holds the one verifier that everybody's shell uses."""

    __slots__ = ("_stand_in", "verifier")

    def __init__(self, mode: Signatures) -> None:
        self._stand_in = StandInVerifier() if mode == "stand-in" else None
        self.verifier: Verifier = self._stand_in or Ed25519Verifier()

    def signer(self, seed: bytes) -> Signer:
        """Return the signer whose real key pair comes from 32 bytes of `seed`."""
        real = Ed25519Signer(seed)
        if self._stand_in is None:
            return real
        signer = StandInSigner(blake3(seed, derive_key_context=_CONTEXT).digest(), real.key)
        self._stand_in.enrol(signer)
        return signer
