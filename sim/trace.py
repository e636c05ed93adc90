"""The trace of a run: a running hash that two equal runs share, and the last of it as a story for people.

A turn is hashed as (time, host, event, effects) in plain text, every signed statement by its id: ids leave signatures
out, so that the hash is the same with real signatures and with stand-ins, and it is made of values alone, so that it
is the same whether messages went by reference or as bytes.
"""

import dataclasses
import operator
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, NewType, TypeAlias, Union, get_args, get_origin, get_type_hints

from blake3 import blake3

from mesh.core.effects import Effect, Send
from mesh.core.events import Event, MessageHeard
from mesh.ground.ids import ID_SIZE, short
from mesh.wire.envelope import Signed
from mesh.wire.messages import Message, OpenTask, StreamDigest

STORY_LINES = 40
_KEPT_TURNS = 60_000
_TOLD_LATELY = 4_096
_HAPPENINGS = 100
_UNHASHED_MOST = 512
SEARCHED_EACH = 16
"""Searching all of it would cost a fifth of a run; what shows once shows again."""

Turn: TypeAlias = tuple[int, int, Event | str, tuple[Effect, ...]]
Teller: TypeAlias = Callable[[Any], str]

_TELLERS: dict[type, Teller] = {}

_TOLD_AGAIN = (OpenTask, StreamDigest)
"""What messages tell hundreds of at a time, nearly all of them told before."""


def canonical(value: object) -> str:
    """Return text that names `value`: dataclasses by type and fields, signed statements by id."""
    teller = _TELLERS.get(type(value))
    if teller is None:
        teller = _TELLERS[type(value)] = _teller(type(value))
    return teller(value)


def _teller(kind: type[Any]) -> Teller:
    if kind is Signed:
        return lambda signed: repr(signed.id)
    if kind in (tuple, list):
        return _tell_items
    if not dataclasses.is_dataclass(kind):
        return repr
    hints = get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]
    plain = [name for name in names if _is_plain(hints[name])]
    nested = [name for name in names if name not in plain]
    head = kind.__name__
    # One call in C reads all plain fields; the others are told one by one.
    read_plain: Callable[[Any], Any] = operator.attrgetter(*plain) if plain else lambda _: ""
    if not nested:
        return lambda thing: f"{head}{read_plain(thing)!r}"
    if len(nested) == 1:
        read_nested = operator.attrgetter(nested[0])
        return lambda thing: f"{head}{read_plain(thing)!r}{[canonical(read_nested(thing))]}"
    read_all = operator.attrgetter(*nested)
    return lambda thing: f"{head}{read_plain(thing)!r}{list(map(canonical, read_all(thing)))}"


def _tell_items(items: Sequence[object]) -> str:
    """Tell items that are mostly of one type: its teller is looked up once."""
    kinds = dict.fromkeys(map(type, items))
    if len(kinds) != 1:
        return f"({','.join(map(canonical, items))})"
    (kind,) = kinds
    teller = _tell_again if kind in _TOLD_AGAIN else _TELLERS.get(kind) or canonical
    return f"({','.join(map(teller, items))})"


@lru_cache(maxsize=16_384)
def _tell_again(item: object) -> str:
    return canonical(item)


def _is_plain(annotation: Any) -> bool:
    """Tell whether the text that Python itself has for values of this annotation names them wholly."""
    if annotation in (int, str, bytes, bool, NoneType) or annotation is Ellipsis or isinstance(annotation, NewType):
        return True
    arguments = get_args(annotation)
    return bool(arguments) and get_origin(annotation) in (tuple, Union, UnionType) and all(map(_is_plain, arguments))


class Trace:
    """Hash every turn, and remember the last ones."""

    def __init__(self, searched: Callable[[str], None] | None = None) -> None:
        self._searched = searched
        """Looks through some of the text: one batch in `SEARCHED_EACH`, the first among them."""
        self._batches = 0
        self._unsearched: list[str] = []
        """What messages say of this batch, where it is searched: of them only digests are hashed with the turns."""
        self._hash = blake3()
        self._unhashed: list[str] = []
        self._turns: deque[Turn] = deque(maxlen=_KEPT_TURNS)
        self._told: dict[int, tuple[Message, str]] = {}
        """Messages told lately, by identity: one goes to many peers, and is heard soon after it was sent."""
        self.turns = 0
        self.happenings: deque[tuple[int, int, str]] = deque(maxlen=_HAPPENINGS)
        """What the world did lately: when, to which host, and what."""

    def turn(self, time_ms: int, host: int, event: Event, effects: list[Effect]) -> None:
        """Add one turn of a host."""
        self.turns += 1
        self._turns.append((time_ms, host, event, tuple(effects)))
        told = [f"{time_ms} {host} "]
        if type(event) is MessageHeard:
            told.append(f"heard {event.peer.hex()} {self._message(event.message)}")
        else:
            told.append(canonical(event))
        for effect in effects:
            if type(effect) is Send:
                told.append(f"send {effect.peer.hex()} {self._message(effect.message)}")
            else:
                told.append(canonical(effect))
        self._add(" ".join(told))

    def happened(self, time_ms: int, host: int, text: str) -> None:
        """Add something that the world did to a host."""
        self._turns.append((time_ms, host, text, ()))
        self.happenings.append((time_ms, host, text))
        self._add(f"{time_ms} {host} {text}")

    def _add(self, text: str) -> None:
        """Hash text, some of it at a time: that costs a third of doing so at each turn."""
        self._unhashed.append(text)
        if len(self._unhashed) >= _UNHASHED_MOST:
            self._search(self._hash_up())

    def _hash_up(self) -> str:
        """Hash what is not hashed yet, and return it."""
        text = "".join(self._unhashed)
        self._hash.update(text.encode())
        self._unhashed.clear()
        return text

    def _search(self, text: str) -> None:
        """Have a batch looked through, if it is its turn."""
        if self._searched is not None and self._searching:
            said, self._unsearched = "\n".join((text, *self._unsearched)), []
            self._batches += 1
            self._searched(said)
        else:
            self._batches += 1

    @property
    def _searching(self) -> bool:
        return self._searched is not None and not self._batches % SEARCHED_EACH

    def _message(self, message: Message) -> str:
        told = self._told.get(id(message))
        if told is not None and told[0] is message:
            return told[1]
        if len(self._told) >= _TOLD_LATELY:
            self._told.clear()
        text = canonical(message)
        if self._searching:
            self._unsearched.append(text)
        digest = blake3(text.encode()).hexdigest()
        self._told[id(message)] = (message, digest)
        return digest

    def hexdigest(self) -> str:
        """Return the hash of the whole run so far."""
        self._hash_up()
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
