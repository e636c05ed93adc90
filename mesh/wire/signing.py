"""Ed25519, as the envelope's signer and verifier."""

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from mesh.ground.ids import PublicKey


class Ed25519Signer:
    """Sign with a key made from 32 secret bytes; it shows neither them nor itself."""

    __slots__ = ("_secret", "key")

    def __init__(self, seed: bytes) -> None:
        self._secret = SigningKey(seed)
        self.key = PublicKey(bytes(self._secret.verify_key))

    def sign(self, message: bytes) -> bytes:
        """Return the 64 bytes of the signature of `message`."""
        return self._secret.sign(message).signature

    def __repr__(self) -> str:
        return "Ed25519Signer(...)"


class Ed25519Verifier:
    """Verify signatures of any key."""

    __slots__ = ()

    def verifies(self, key: PublicKey, message: bytes, signature: bytes) -> bool:
        """Tell whether `signature` is `key`'s over `message`."""
        try:
            VerifyKey(key).verify(message, signature)
        except (BadSignatureError, ValueError, TypeError):
            return False
        return True
