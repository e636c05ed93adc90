"""The trace of a run: a running hash that two equal runs share, and the last of it as a story for people.

A turn is hashed as (time, host, event, effects), every signed statement by its id: ids leave signatures out, so that
the hash is the same with real signatures and with stand-ins, and it is made of values alone, so that it is the same
whether messages went by reference or as bytes.

The hash is a part of what every run costs. So what is hashed is made plain, mostly by one call in C for each event and
effect, and written by `marshal`, which takes a tenth of the time of `repr`.
"""

import dataclasses
import marshal
import operator
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from types import NoneType, UnionType
from typing import Any, NewType, TypeAlias, Union, get_args, get_origin, get_type_hints

from blake3 import blake3

from mesh.core.effects import Effect, Send
from mesh.core.events import Event, MessageHeard
from mesh.ground.ids import ID_SIZE, short
from mesh.wire.envelope import Signed
from mesh.wire.messages import Message

STORY_LINES = 40
_KEPT_TURNS = 60_000
_TOLD_LATELY = 4_096
_HAPPENINGS = 100
_UNHASHED_MOST = 4_096
"""Things told are hashed so many at a time: that costs a third of doing so at each turn."""

SEARCHED_EACH = 16
"""Searching all of it would cost a fifth of a run; what shows once shows again."""

_FORMAT = 2
"""Of what `marshal` writes: the last in which equal values are equal bytes, whoever else holds the same objects."""

_HEAD_BYTES = 5
"""Before a list's items it writes what it is, and how long."""

_BUILT_IN = (int, str, bytes, bool, NoneType)
_ANY_LENGTH = 2
"""Arguments of the annotation of a tuple of any length: its items' type, and an ellipsis."""

Turn: TypeAlias = tuple[int, int, Event | str, Sequence[Effect]]
Shape: TypeAlias = Callable[[Any], Any]
"""What makes values of one type plain."""

_SHAPES: dict[type, Shape] = {}
_id_of: Shape = operator.attrgetter("id")


def canonical(value: object) -> str:
    """Return text that names `value`: dataclasses by type and fields, signed statements by id."""
    return repr(plain(value))


def plain(value: object) -> object:
    """Return `value` as tuples, numbers, text and bytes, all of it."""
    shape = _SHAPES.get(type(value))
    if shape is None:
        shape = _SHAPES[type(value)] = _shape(type(value))
    return shape(value)


def _shape(kind: type[Any]) -> Shape:
    if kind is Signed:
        return _id_of
    if kind in (tuple, list):
        return _plain_items
    if not dataclasses.is_dataclass(kind):
        return _as_it_is if kind in _BUILT_IN else int if issubclass(kind, int) else repr
    fields, name = _fields_of(kind), kind.__name__
    return lambda thing: (name, fields(thing))


def _fields_of(kind: type[Any]) -> Shape:
    """Return what reads all fields of a dataclass at once, without its name."""
    paths, others = _paths(kind)
    # One call in C reads all that is plain, however deep; what is left is made plain one by one.
    read = operator.attrgetter(*paths) if paths else _nothing
    if not others:
        return read
    if len(others) == 1:
        (other,) = others
        return lambda thing: (read(thing), other(thing))
    return lambda thing: (read(thing), *[shape(thing) for shape in others])


def _paths(kind: type[Any], prefix: str = "") -> tuple[list[str], list[Shape]]:
    """Return where in a dataclass its plain values are, and what reads each of the other fields."""
    hints = get_type_hints(kind)
    paths: list[str] = []
    others: list[Shape] = []
    for field in dataclasses.fields(kind):
        hint, path = hints[field.name], prefix + field.name
        if _is_plain(hint):
            paths.append(path)
        elif get_origin(hint) is Signed:
            paths.append(f"{path}.id")
        elif _is_final(hint):
            deeper = _paths(hint, f"{path}.")
            paths += deeper[0]
            others += deeper[1]
        else:
            others.append(_reader(operator.attrgetter(path), hint))
    return paths, others


def _reader(read: Shape, hint: Any) -> Shape:
    """Return what makes one field plain: of many things of one type each is read the same way."""
    arguments = get_args(hint)
    if get_origin(hint) is tuple and len(arguments) == _ANY_LENGTH and arguments[1] is Ellipsis:
        (item, _) = arguments
        shape = _id_of if get_origin(item) is Signed else _fields_of(item) if _is_final(item) else None
        if shape is not None:
            each = shape
            return lambda thing: tuple(map(each, read(thing)))
    shape_of = _SHAPES.get

    def read_any(thing: Any) -> object:
        value = read(thing)
        shape = shape_of(type(value))
        return plain(value) if shape is None else shape(value)

    return read_any


def _is_final(hint: Any) -> bool:
    """Tell whether a value of this annotation is of one dataclass and no other."""
    return isinstance(hint, type) and dataclasses.is_dataclass(hint) and not hint.__subclasses__()


def _written(things: list[object]) -> bytes:
    """Return the bytes of things one after the other: the list's own head is left out."""
    try:
        return marshal.dumps(things, _FORMAT)[_HEAD_BYTES:]
    except ValueError:
        return marshal.dumps(list(map(_numbered, things)), _FORMAT)[_HEAD_BYTES:]


def _numbered(thing: object) -> object:
    """Return the number of each member of an enumeration that stands where a number is told, as its bytes do."""
    if isinstance(thing, tuple):
        return tuple(map(_numbered, thing))
    return int(thing) if isinstance(thing, int) and not isinstance(thing, bool) else thing


def _plain_items(items: Sequence[object]) -> object:
    return tuple(map(plain, items))


def _as_it_is(value: object) -> object:
    return value


def _nothing(_: object) -> object:
    return ()


def _is_plain(annotation: Any) -> bool:
    """Tell whether values of this annotation are plain as they are."""
    if annotation in _BUILT_IN or annotation is Ellipsis or isinstance(annotation, NewType):
        return True
    arguments = get_args(annotation)
    return bool(arguments) and get_origin(annotation) in (tuple, Union, UnionType) and all(map(_is_plain, arguments))


@cache
def _brief(kind: type[Any]) -> Shape | None:
    """Return what makes messages of a flat type plain: to hash one by itself would cost more than it saves."""
    return None if _paths(kind)[1] else _shape(kind)


class Trace:
    """Hash every turn, and remember the last ones."""

    def __init__(self, searched: Callable[[bytes], None] | None = None) -> None:
        self._searched = searched
        """Looks through some of what is hashed: one batch in `SEARCHED_EACH`, the first among them."""
        self._batches = 0
        self._unsearched: list[bytes] = []
        """What messages say of this batch, where it is searched: of them only digests are hashed with the turns."""
        self._hash = blake3()
        self._unhashed: list[object] = []
        """What happened since, one turn after the other: each begins with two numbers, which nothing else here is."""
        self._turns: deque[Turn] = deque(maxlen=_KEPT_TURNS)
        self._told: dict[int, tuple[Message, bytes]] = {}
        """Messages told lately, by identity: one goes to many peers, and is heard soon after it was sent."""
        self.turns = 0
        self.happenings: deque[tuple[int, int, str]] = deque(maxlen=_HAPPENINGS)
        """What the world did lately: when, to which host, and what."""

    def turn(self, time_ms: int, host: int, event: Event, effects: list[Effect]) -> None:
        """Add one turn of a host; nobody may change `effects` after it."""
        self.turns += 1
        self._turns.append((time_ms, host, event, effects))
        told = self._unhashed
        if type(event) is MessageHeard:
            told += time_ms, host, "heard", event.peer, self._message(event.message)
        else:
            told += time_ms, host, plain(event)
        for effect in effects:
            if type(effect) is Send:
                told += "send", effect.peer, self._message(effect.message)
            else:
                told.append(plain(effect))
        if len(told) >= _UNHASHED_MOST:
            self._search(self._hash_up())

    def happened(self, time_ms: int, host: int, text: str) -> None:
        """Add something that the world did to a host."""
        self._turns.append((time_ms, host, text, []))
        self.happenings.append((time_ms, host, text))
        self._unhashed.append((time_ms, host, text))

    def _hash_up(self) -> bytes:
        """Hash what is not hashed yet, and return it."""
        if not self._unhashed:
            return b""
        written = _written(self._unhashed)
        self._hash.update(written)
        self._unhashed.clear()
        return written

    def _search(self, written: bytes) -> None:
        """Have a batch looked through, if it is its turn."""
        if self._searched is not None and self._searching:
            said, self._unsearched = b"\n".join((written, *self._unsearched)), []
            self._batches += 1
            self._searched(said)
        else:
            self._batches += 1

    @property
    def _searching(self) -> bool:
        return self._searched is not None and not self._batches % SEARCHED_EACH

    def _message(self, message: Message) -> object:
        kind: Any = type(message)
        brief = _brief(kind)
        if brief is not None:
            return brief(message)
        told = self._told.get(id(message))
        if told is not None and told[0] is message:
            return told[1]
        if len(self._told) >= _TOLD_LATELY:
            self._told.clear()
        written = _written([plain(message)])
        if self._searching:
            self._unsearched.append(written)
        digest = blake3(written).digest()
        self._told[id(message)] = (message, digest)
        return digest

    def forget(self) -> None:
        """Let go of the story: it is most of what a world leaves behind, and none of it is in cycles."""
        self._turns.clear()

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
