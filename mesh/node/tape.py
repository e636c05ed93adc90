"""The recorder: writes down all that a core hears and a digest of all that it asks for, as it happens.

Theory: what replays is in `mesh.core.tape`; here it meets a file. Each entry is written in one go before the core goes
on, so that a process that is killed leaves all but its last turn. The signer is watched, and only what it makes is
written: a key never comes near the tape.

Invariants: a tape never grows beyond its bound, and says so as its last word. A disk that takes no more ends the tape,
not the peer. The module must not know what events and effects mean, nor where the bytes go.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

import mesh
from mesh.core.effects import Effect
from mesh.core.events import Event
from mesh.core.me import Me
from mesh.core.tape import MAGIC, Asked, Broke, Full, Heard, TapeEntry, digests, frame, head_of
from mesh.ground.ids import PublicKey
from mesh.ground.instants import Now
from mesh.ground.tape_limits import TAPE_MAX_BYTES
from mesh.wire.envelope import Signer

_FULL: Final = frame(Full())


class _Watched:
    """A signer of which what it signs is noted."""

    def __init__(self, signer: Signer, note: Callable[[bytes], None]) -> None:
        self._signer = signer
        self._note = note

    @property
    def key(self) -> PublicKey:
        """Give the signer's public key."""
        return self._signer.key

    def sign(self, message: bytes) -> bytes:
        """Sign, and note the signature."""
        signature = self._signer.sign(message)
        self._note(signature)
        return signature


class Recorder:
    """The driver's tape, written to wherever `write` puts it, all at once or not at all."""

    def __init__(
        self, write: Callable[[bytes], object], say: Callable[[str], None], *, most_bytes: int = TAPE_MAX_BYTES
    ) -> None:
        self._write = write
        self._say = say
        self._left_bytes = most_bytes
        self._signatures: list[bytes] = []
        self._goes_on = True

    def begin(self, me: Me, seed: bytes) -> Me:
        """Write down who the core is, and return the same with a signer that is watched."""
        self._put(MAGIC + frame(head_of(me, seed, mesh.__version__)))
        return replace(me, signer=_Watched(me.signer, self._signatures.append))

    def heard(self, now: Now, event: Event) -> None:
        """Write down what the core is about to hear."""
        self._signatures.clear()
        if self._goes_on:
            self._add(Heard(now=now, event=event))

    def asked(self, effects: Sequence[Effect]) -> None:
        """Write down what it asked for."""
        if self._goes_on:
            self._add(Asked(signatures=tuple(self._signatures), effects=digests(effects)))

    def broke(self, error: Exception) -> None:
        """Write down that it broke a rule."""
        if self._goes_on:
            self._add(Broke(signatures=tuple(self._signatures), error=type(error).__name__))

    def _add(self, entry: TapeEntry) -> None:
        data = frame(entry)
        if len(data) + len(_FULL) > self._left_bytes:
            self._put(_FULL)
            self._end("it is full")
        else:
            self._put(data)

    def _put(self, data: bytes) -> None:
        try:
            self._write(data)
        except OSError as error:
            self._end(error.strerror or str(error))
        self._left_bytes -= len(data)

    def _end(self, why: str) -> None:
        if self._goes_on:
            self._goes_on = False
            with suppress(OSError):
                self._say(f"the tape ends here: {why}")
