"""The trace of a run: a running hash that two equal runs share, and the last of it as a story for people.

A turn is hashed as (time, host, event, effects) in CBOR, every signed statement by its id: ids leave signatures out,
so that the hash is the same with real signatures and with stand-ins, and it is made of values alone, so that it is
the same whether messages went by reference or as bytes.
"""

import dataclasses
import enum
import operator
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

import cbor2
from blake3 import blake3

from mesh.core.effects import Effect, Send
from mesh.core.events import Event, MessageHeard
from mesh.ground.ids import ID_SIZE, short
from mesh.wire.envelope import Signed
from mesh.wire.messages import Message

STORY_LINES = 40
_KEPT_TURNS = 60_000

Turn: TypeAlias = tuple[int, int, Event | str, tuple[Effect, ...]]

_GETTERS: dict[type, Callable[[Any], Any]] = {}


def canonical(value: object) -> bytes:
    """Return bytes that name `value`: dataclasses by type and fields, signed statements by id."""
    return cbor2.dumps(value, default=_encode_other)


def _encode_other(encoder: Any, value: Any) -> None:
    kind = type(value)
    if kind is Signed:
        encoder.encode(value.id)
        return
    getter = _GETTERS.get(kind)
    if getter is None:
        getter = _GETTERS[kind] = _getter(kind)
    encoder.encode((kind.__name__, getter(value)))


def _getter(kind: type[Any]) -> Callable[[Any], Any]:
    if issubclass(kind, enum.Enum):
        return operator.attrgetter("value")
    names = [field.name for field in dataclasses.fields(kind)]
    return operator.attrgetter(*names) if names else lambda _: None


class Trace:
    """Hash every turn, and remember the last ones."""

    def __init__(self) -> None:
        self._hash = blake3()
        self._turns: deque[Turn] = deque(maxlen=_KEPT_TURNS)
        self._last_message: Message | None = None
        self._last_digest = b""
        self.turns = 0

    def turn(self, time_ms: int, host: int, event: Event, effects: list[Effect]) -> None:
        """Add one turn of a host."""
        self.turns += 1
        self._turns.append((time_ms, host, event, tuple(effects)))
        heard: object = event
        if isinstance(event, MessageHeard):
            heard = ("MessageHeard", event.peer, self._message(event.message))
        asked: list[object] = [
            ("Send", effect.peer, self._message(effect.message)) if type(effect) is Send else effect
            for effect in effects
        ]
        self._hash.update(canonical((time_ms, host, heard, asked)))

    def happened(self, time_ms: int, host: int, text: str) -> None:
        """Add something that the world did to a host."""
        self._turns.append((time_ms, host, text, ()))
        self._hash.update(canonical((time_ms, host, text)))

    def _message(self, message: Message) -> bytes:
        # One message often goes to many peers in a row.
        if message is not self._last_message:
            self._last_message = message
            self._last_digest = canonical(message)
        return self._last_digest

    def hexdigest(self) -> str:
        """Return the hash of the whole run so far."""
        return self._hash.hexdigest()

    def story(self, ids: Iterable[bytes], hosts: dict[bytes, str]) -> list[str]:
        """Return the last lines that involve all of `ids`, or else any of them; without ids, the last of all."""
        wanted = [bytes(identifier) for identifier in ids]
        for enough in (all, any):
            lines: deque[str] = deque(maxlen=STORY_LINES)
            for time_ms, host, event, effects in self._turns:
                said = [event, *effects]
                if wanted and not enough(any(_names(thing, one) for thing in said) for one in wanted):
                    continue
                lines.extend(_tell(time_ms, host, said, wanted, hosts))
            if lines:
                return list(lines)
        return []


def _names(thing: object, wanted: bytes) -> bool:
    """Tell whether `wanted` occurs anywhere within `thing`."""
    if isinstance(thing, bytes):
        return thing == wanted
    if isinstance(thing, Signed):
        return wanted in (thing.id, thing.author) or _names(thing.body, wanted)
    if isinstance(thing, tuple):
        return any(_names(item, wanted) for item in thing)
    if dataclasses.is_dataclass(thing):
        return any(_names(getattr(thing, field.name), wanted) for field in dataclasses.fields(thing))
    return False


def _tell(
    time_ms: int, host: int, said: list[Event | str | Effect], wanted: list[bytes], hosts: dict[bytes, str]
) -> Iterator[str]:
    head = f"{time_ms / 1000:9.3f} p{host:<3}"
    event, *effects = said
    yield f"{head} {event if isinstance(event, str) else '> ' + describe(event, hosts)}"
    for effect in effects:
        if not wanted or any(_names(effect, one) for one in wanted):
            yield f"{head}   < {describe(effect, hosts)}"


def describe(thing: object, hosts: dict[bytes, str]) -> str:
    """Return a line for people: ids short, peers by their names, long lists by their length."""
    if isinstance(thing, bytes):
        if thing in hosts:
            return hosts[thing]
        return short(thing) if len(thing) >= ID_SIZE // 2 else thing.hex()
    if isinstance(thing, Signed):
        return f"{describe(thing.body, hosts)}#{short(thing.id)} by {describe(thing.author, hosts)}"
    if isinstance(thing, tuple):
        shown = ", ".join(describe(item, hosts) for item in thing[:4])
        return f"({shown}{f', +{len(thing) - 4}' if len(thing) > 4 else ''})"
    if dataclasses.is_dataclass(thing):
        fields = ", ".join(
            f"{field.name}={describe(getattr(thing, field.name), hosts)}" for field in dataclasses.fields(thing)
        )
        return f"{type(thing).__name__}({fields})"
    return str(thing)
