"""S13: whether anything that is said, written or shown holds a secret of the world: a key, or what a key is made from.

A secret is looked for as bytes, as hexadecimal digits, as base64 and as Python prints bytes. The module must not know
what it looks through.
"""

import base64
import re
from collections.abc import Iterable

from sim.violation import Violation

_PLAIN_LEAST = 8
"""Of bytes whose printed form has no quotes to escape: shorter ones are met by chance."""


class Secrets:
    """What nobody may see, and a search for it."""

    def __init__(self) -> None:
        self._known: dict[bytes, str] = {}
        self._in_bytes: list[tuple[bytes, str]] = []
        self._in_text: list[tuple[str, str]] = []
        self.looked_bytes = 0
        """How much was looked through."""

    def __len__(self) -> int:
        return len(self._known)

    def add(self, what: str, *secrets: bytes) -> None:
        """Keep secrets from everybody from now on."""
        for secret in secrets:
            if secret not in self._known:
                self._known[secret] = what
                forms = (secret.hex(), base64.b64encode(secret).decode().rstrip("="), _printed(secret))
                self._in_text += [(form, what) for form in forms]
                self._in_bytes += [(form, what) for form in (secret, secret.hex().encode())]

    def look(self, where: str, *things: bytes | str) -> None:
        """Raise `Violation` where one of them holds a secret."""
        for thing in things:
            self.looked_bytes += len(thing)
            found = self._found(self._in_text, thing) if isinstance(thing, str) else self._found(self._in_bytes, thing)
            if found is not None:
                raise Violation("S13", f"{where}: {found} shows")

    @staticmethod
    def _found(forms: "Iterable[tuple[str, str]] | Iterable[tuple[bytes, str]]", thing: "str | bytes") -> str | None:
        return next((what for form, what in forms if form in thing), None)  # type: ignore[operator]


def _printed(secret: bytes) -> str:
    """Return the longest part of how Python prints a secret that is the same among any other bytes."""
    parts = [part for part in re.split(rb"['\"\\]", secret) if len(part) >= _PLAIN_LEAST]
    return repr(max(parts, key=len, default=secret))[2:-1]
