"""`python -m sim replay`: a fresh core hears a tape again, and must ask for the same, turn by turn.

A signer that has no key gives back the signatures that are on the tape, in their order, and looks at each whether it is
one over what the core has signed now: a core that has something else signed differs, even where nothing else shows it.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from blake3 import blake3

from mesh.core.effects import Effect
from mesh.core.me import Me
from mesh.core.peer import Peer
from mesh.core.tape import Asked, Broke, Full, Head, Heard, TapeDamaged, digests, read_tape
from mesh.ground.errors import MeshError
from mesh.ground.ids import PublicKey, short
from mesh.wire.envelope import Verifier, peer_id
from mesh.wire.signing import Ed25519Verifier

_EVENT_MAX = 300
"""Characters of an event that are shown."""


class TapeDiffers(MeshError):
    """A core asked for something else than the one that was recorded. The message says in which turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """How a tape went."""

    name: str
    """What the peer is called."""
    program: str
    turns: int
    effects: int
    digest: str
    """Of all effects of all turns, as this core asked for them."""
    end: str
    """How the tape ends."""
    differs: str = ""
    """The first turn that is not as recorded; empty: all are."""

    def lines(self) -> Iterator[str]:
        """Tell a person."""
        yield f"{self.name}, meshnode {self.program}: {self.turns} turns, {self.effects} effects; {self.end}"
        yield f"DIFFERS {self.differs}" if self.differs else f"identical {self.digest}"


class TapeSigner:
    """A signer that only knows what was signed before."""

    def __init__(self, key: PublicKey, verifier: Verifier) -> None:
        self.key = key
        self._verifier = verifier
        self.signatures: deque[bytes] = deque()

    def sign(self, message: bytes) -> bytes:
        """Give back the next signature, if it is one of `message`; raise `TapeDiffers`."""
        if not self.signatures:
            raise TapeDiffers("it has more signed than was recorded")
        signature = self.signatures.popleft()
        if not self._verifier.verifies(self.key, message, signature):
            raise TapeDiffers("it has something else signed than was recorded")
        return signature


class _Broken:
    """A context in which a core may break any rule; what it asks to have signed is another matter."""

    error: Exception | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> bool:
        if isinstance(error, Exception) and not isinstance(error, TapeDiffers):
            self.error = error
        return self.error is not None


class Replay:
    """One tape, heard by one core."""

    def __init__(self, head: Head, verifier: Verifier, make_core: Callable[[Me, bytes], Peer]) -> None:
        self.head = head
        self._signer = TapeSigner(head.key, verifier)
        me = Me(
            signer=self._signer,
            chain=head.chain,
            mesh=head.mesh,
            boot=head.boot,
            name=head.name,
            everybody=head.everybody,
        )
        self.core = make_core(me, head.seed)
        self.turns = 0
        self.effects = 0
        self._hash = blake3()

    def turn(self, heard: Heard, answer: Asked | Broke) -> None:
        """Let the core take one turn; raise `TapeDiffers` where it is not the one that was recorded."""
        self.turns += 1
        self._signer.signatures = deque(answer.signatures)
        effects: list[Effect] = []
        with _Broken() as broken:
            effects = self.core.handle(heard.now, heard.event)
        fault, recorded = broken.error, answer.error if isinstance(answer, Broke) else ""
        if fault is not None and type(fault).__name__ != recorded:
            raise TapeDiffers(f"it broke a rule: {fault!r}")
        if fault is None and recorded:
            raise TapeDiffers(f"it broke no rule, where {recorded} was recorded")
        if isinstance(answer, Broke):
            return
        asked = digests(effects)
        for place, (now, then) in enumerate(zip(asked, answer.effects, strict=False), 1):
            if now != then:
                what = f"{now[0]}" if now[0] != then[0] else f"another {now[0]}"
                raise TapeDiffers(f"its effect {place} is {what}, where {then[0]} was recorded")
        if len(asked) != len(answer.effects):
            raise TapeDiffers(f"it asked for {len(asked)} effects, where {len(answer.effects)} were recorded")
        if self._signer.signatures:
            raise TapeDiffers(f"it had {len(self._signer.signatures)} statements fewer signed")
        self.effects += len(asked)
        for name, digest in asked:
            self._hash.update(name.encode() + digest)

    def told(self, end: str, differs: str = "") -> Replayed:
        """Say how it went."""
        return Replayed(
            name=f"{self.head.name} ({short(peer_id(self.head.key))}) boot {short(self.head.boot)}",
            program=self.head.program,
            turns=self.turns,
            effects=self.effects,
            digest=self._hash.hexdigest(),
            end=end,
            differs=differs,
        )


def replay(
    read: Callable[[int], bytes],
    *,
    verifier: Verifier | None = None,
    make_core: Callable[[Me, bytes], Peer] = Peer,
) -> Replayed:
    """Let a core hear a tape, of which `read` gives the next bytes; raises `TapeDamaged`."""
    entries = read_tape(read)
    head = next(entries, None)
    if not isinstance(head, Head):
        raise TapeDamaged("it does not say whose it is")
    run = Replay(head, verifier or Ed25519Verifier(), make_core)
    heard: Heard | None = None
    end = "it ends between two turns"
    for entry in entries:
        match entry:
            case Full():
                return run.told("it was full, and ends before its peer")
            case Heard() if heard is None:
                heard = entry
            case Asked() | Broke() if heard is not None:
                try:
                    run.turn(heard, entry)
                except TapeDiffers as error:
                    where = f"turn {run.turns}, at {heard.now.instant} ms"
                    return run.told(end, f"in {where}, {heard.event!r:.{_EVENT_MAX}}: {error}")
                if isinstance(entry, Broke):
                    end = "a broken rule ended it"
                heard = None
            case _:
                raise TapeDamaged("its entries are not in their order")
    return run.told(end if heard is None else "it ends within a turn")


def replay_all(paths: list[Path]) -> int:
    """Replay files and print how each went; return the exit code."""
    differ = 0
    for path in paths:
        with path.open("rb") as file:
            replayed = replay(file.read)
        print(path.name, *replayed.lines(), sep="\n  ", flush=True)
        differ += bool(replayed.differs)
    return 1 if differ else 0
