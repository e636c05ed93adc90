"""A peer's secrets, each in a file of its own that only its user can read.

    identity  the Ed25519 seed whose public key's hash is the peer's id; made once, for good
    static    the X25519 key of its channels
    mesh      the mesh secret, once it belongs to a mesh
    root      the mesh's root seed, at its founder; nothing but founding and revoking ever needs it

A file is one line: what it holds, the key in hexadecimal, and a check by which a rotten key is told from a good one.
Both keys that every peer has are made together: where one is missing, somebody took it, and no new identity is made up.

Invariant: no secret is part of an error, a representation or a pickle. The module must not sign or open anything.
"""

import hmac
import secrets
import shutil
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from blake3 import blake3

from mesh.ports.storage import KeyUnusable
from mesh.store import posix

KEY_BYTES = 32
_CHECK_DIGITS = 8
_LINE_MAX_BYTES = 256
_ALWAYS = ("identity", "static")


class Secret:
    """Bytes that show themselves only to who asks for them by name."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """Return the bytes."""
        return self._value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value, other._value)

    __hash__ = None  # type: ignore[assignment]  # a hash would tell something of the value

    def __repr__(self) -> str:
        return "Secret(...)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not copied into a pickle")


class KeyRing:
    """The keys in one directory."""

    def __init__(self, directory: Path) -> None:
        """Make the keys that every peer has if the directory is not there; else check them all.

        Raises `KeyExposed` when others can read one, `KeyUnusable` when one is missing or not as it was written.
        """
        self._directory = directory
        if not directory.exists():
            _make(directory)
        posix.refuse_exposed_directory(directory)
        for path in directory.iterdir():
            if not path.name.startswith("."):
                _read(path)
        self._identity, self._static = (_read(directory / kind) for kind in _ALWAYS)

    def identity(self) -> Secret:
        """Return the seed of the Ed25519 identity key."""
        return self._identity

    def static(self) -> Secret:
        """Return the X25519 private key of the peer's channels."""
        return self._static

    def mesh(self) -> Secret | None:
        """Return the mesh secret, or nothing while the peer belongs to no mesh."""
        return self._optional("mesh")

    def keep_mesh(self, secret: Secret) -> None:
        """Store the mesh secret, durably."""
        _write(self._directory / "mesh", secret)

    def forget_mesh(self) -> None:
        """Remove the mesh secret; a root key stays, since without it a mesh can never revoke again."""
        path = self._directory / "mesh"
        with posix.named_errors(path), suppress(FileNotFoundError):
            path.unlink()
            posix.sync_directory(self._directory)

    def root(self) -> Secret | None:
        """Return the seed of the mesh's root key, or nothing at a peer that did not found it."""
        return self._optional("root")

    def keep_root(self, seed: Secret) -> None:
        """Store the root seed, durably."""
        _write(self._directory / "root", seed)

    def _optional(self, kind: str) -> Secret | None:
        path = self._directory / kind
        return _read(path) if path.exists() else None


def _make(directory: Path) -> None:
    """Make the directory with its keys at once: a crash leaves all of it or none."""
    temporary = directory.with_name(f".{directory.name}.new")
    shutil.rmtree(temporary, ignore_errors=True)
    posix.make_private_directory(temporary)
    for kind in _ALWAYS:
        _write(temporary / kind, Secret(secrets.token_bytes(KEY_BYTES)))
    with posix.named_errors(directory):
        posix.rename_durably(temporary, directory)


def _write(path: Path, secret: Secret) -> None:
    assert len(secret.reveal()) == KEY_BYTES
    posix.write_private(path, _line(path.name, secret.reveal()))


def _read(path: Path) -> Secret:
    words = posix.read_private(path, _LINE_MAX_BYTES).split()
    if len(words) == len(b"meshnode kind 1 key check".split()):
        with suppress(ValueError, UnicodeDecodeError):
            value = bytes.fromhex(words[3].decode("ascii"))
            if len(value) == KEY_BYTES and _line(path.name, value).split() == words:
                return Secret(value)
    raise KeyUnusable(f"{path}: it does not hold the {path.name} key, or it was damaged")


def _line(kind: str, value: bytes) -> bytes:
    check = blake3(kind.encode() + value).hexdigest()[:_CHECK_DIGITS]
    return f"meshnode {kind} 1 {value.hex()} {check}\n".encode()
