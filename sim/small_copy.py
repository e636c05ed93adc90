"""Copies of a core: all that it remembers as values that can be compared, kept, and put back.

Theory: a core is a graph of machines that is built once, and what they remember hangs on it. So a core is walked once
when it is new: the objects found then are its *fixtures*, which stay where they are. A copy says for each fixture what
its attributes are: containers become tuples, other objects a tuple of their attributes, fixtures their numbers,
immutable values themselves. Equal tuples are kept once, so that copies of neighbours share nearly all, and a copy is
the numbers of its parts.

Invariants: nothing that a core can reach is left out, but for what is named opaque: the world's own, which no core
changes. What is reached twice is one thing again when a copy is put back. The order of a dictionary is part of a copy,
since a core may depend on it. So cores with equal copies behave alike for ever.
"""

import enum
import types
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from typing import Any, TypeAlias

Copy: TypeAlias = tuple[int, ...]
"""A core's memory: for each fixture the number of what it remembers."""

_PLAIN = frozenset((int, str, bytes, bool, type(None), float))
_CALLED = (types.FunctionType, types.MethodType, types.BuiltinFunctionType, type)
_DICTS = frozenset((dict, OrderedDict, Counter))
_ROWS = frozenset((list, deque, set))


class Shared:
    """Immutable things that much has in common, each under one number."""

    def __init__(self) -> None:
        self._numbers: dict[Any, int] = {}
        self._things: list[Any] = []

    def number(self, thing: Any) -> int:
        """Return the number of a thing."""
        found = self._numbers.get(thing)
        if found is None:
            found = self._numbers[thing] = len(self._things)
            self._things.append(thing)
        return found

    def thing(self, number: int) -> Any:
        """Return what has that number."""
        return self._things[number]

    def __len__(self) -> int:
        return len(self._things)


class _Tag:
    """What a tuple in a copy stands for, other than an object of a class."""

    __slots__ = ()


_FIXTURE, _MET, _TUPLE, _UNSET = _Tag(), _Tag(), _Tag(), _Tag()


class Body:
    """One core whose memory can be taken out and put back."""

    def __init__(self, roots: tuple[object, ...], opaque: tuple[object, ...], shared: Shared) -> None:
        self._shared = shared
        self._opaque = opaque
        self._fixtures: list[Any] = []
        self._fixed: dict[int, tuple[_Tag, int]] = {}
        """What stands for each fixture in a copy, by its identity."""
        self._find(roots)
        known = {id(each) for each in opaque}
        named = [
            (place, each, () if id(each) in known else tuple(_changing(each)))
            for place, each in enumerate(self._fixtures)
        ]
        self._parts = [(place, each, names) for place, each, names in named if names]
        self._met: list[list[Any]] = [[] for _ in self._fixtures]
        """Of each fixture the objects below it, in the order in which they were met first."""
        self._where: dict[int, tuple[int, int]] = {}
        self._holds: Copy | None = None
        """What the core remembers now, where that is known."""
        self._elsewhere: dict[int, tuple[int, ...]] = {}
        """Of what is remembered, by number: other fixtures below which some of it was met before."""

    def _find(self, roots: tuple[object, ...]) -> None:
        waiting, seen = list(reversed(roots)), {id(each) for each in self._opaque}
        while waiting:
            thing = waiting.pop()
            if id(thing) in seen or _is_value(thing):
                continue
            seen.add(id(thing))
            below = list(_within(thing))
            if isinstance(thing, _CALLED):
                caught = [each for each in below if type(each) in _DICTS or type(each) in _ROWS]
                assert not caught, f"{thing} has caught a container, which cannot be put back"
            if not (type(thing) in _DICTS or type(thing) in _ROWS or isinstance(thing, tuple)):
                self._fixed[id(thing)] = (_FIXTURE, len(self._fixtures))
                self._fixtures.append(thing)
            waiting.extend(reversed(below))
        for each in self._opaque:
            self._fixed[id(each)] = (_FIXTURE, len(self._fixtures))
            self._fixtures.append(each)

    # Taking out.

    def take(self) -> Copy:
        """Return what the core remembers now."""
        number, copy, fixed = self._shared.number, [], self._fixed
        self._where = {}
        for place, fixture, names in self._parts:
            below: list[Any] = []
            elsewhere: dict[int, None] = {}
            self._met[place] = below
            values = []
            for name in names:
                thing = getattr(fixture, name, _UNSET)
                frozen = thing if type(thing) in _PLAIN else fixed.get(id(thing))
                values.append(self._freeze(thing, place, elsewhere) if frozen is None else frozen)
            found = number(tuple(values))
            if elsewhere:
                self._elsewhere[found] = tuple(elsewhere)
            copy.append(found)
        self._holds = tuple(copy)
        return self._holds

    def _freeze(self, thing: Any, place: int, elsewhere: dict[int, None]) -> Any:
        kind = type(thing)
        if kind in _PLAIN or thing is _UNSET:
            return thing
        if kind is tuple:
            if all(map(_is_value, thing)):
                return (_TUPLE, thing)
            return (tuple, *[self._freeze(each, place, elsewhere) for each in thing])
        if _VALUES.get(kind) or _is_value(thing):
            return thing
        key = id(thing)
        fixture = self._fixed.get(key)
        if fixture is not None:
            return fixture
        if key in self._where:
            where, which = self._where[key]
            if where != place:
                elsewhere[where] = None
            return (_MET, where, which)
        self._meet(key, thing, place)
        if kind in _DICTS:
            items: list[Any] = [kind]
            for name, value in thing.items():
                items.append(name if type(name) in _PLAIN else self._freeze(name, place, elsewhere))
                items.append(value if type(value) in _PLAIN else self._freeze(value, place, elsewhere))
            return tuple(items)
        if kind in _ROWS:
            row = sorted(thing) if kind is set else thing
            return (kind, *[self._freeze(each, place, elsewhere) for each in row])
        assert not isinstance(thing, _CALLED), f"{thing} was made on the way, and cannot be copied"
        names = _names_of(thing)
        return (kind, *[self._freeze(getattr(thing, name, _UNSET), place, elsewhere) for name in names])

    def _meet(self, key: int, thing: Any, place: int) -> None:
        below = self._met[place]
        self._where[key] = (place, len(below))
        below.append(thing)

    # Putting back.

    def put(self, copy: Copy) -> None:
        """Make the core remember what `copy` says."""
        before, self._holds = self._holds, None
        fresh: dict[int, None] = {}
        for at, (place, fixture, names) in enumerate(self._parts):
            number = copy[at]
            same = before is not None and before[at] == number
            if same and not any(where in fresh for where in self._elsewhere.get(number, ())):
                continue
            fresh[place] = None
            self._met[place] = []
            for name, value in zip(names, self._shared.thing(number), strict=True):
                thing = self._thaw(value, place) if type(value) is tuple else value
                if thing is not _UNSET:
                    object.__setattr__(fixture, name, thing)
        self._holds = copy

    def forget(self) -> None:
        """Know no more what the core remembers: something was done with it that nobody looked at."""
        self._holds = None

    def _thaw(self, frozen: tuple[Any, ...], place: int) -> Any:
        kind = frozen[0]
        if kind is _TUPLE:
            return frozen[1]
        if kind is _FIXTURE:
            return self._fixtures[frozen[1]]
        if kind is _MET:
            return self._met[frozen[1]][frozen[2]]
        if kind is tuple:
            return tuple([self._thaw(each, place) if type(each) is tuple else each for each in frozen[1:]])
        below = self._met[place]
        if kind in _DICTS:
            made = kind()
            below.append(made)
            values = [self._thaw(each, place) if type(each) is tuple else each for each in frozen[1:]]
            for at in range(0, len(values), 2):
                made[values[at]] = values[at + 1]
            return made
        made = kind() if kind in _ROWS else kind.__new__(kind)
        below.append(made)
        values = [self._thaw(each, place) if type(each) is tuple else each for each in frozen[1:]]
        if kind is set:
            made.update(values)
        elif kind in _ROWS:
            made.extend(values)
        else:
            for name, value in zip(_NAMES[kind], values, strict=True):
                if value is not _UNSET:
                    object.__setattr__(made, name, value)
        return made


_VALUES: dict[type, bool] = {}
_NAMES: dict[type, tuple[str, ...]] = {}


def _is_value(thing: Any) -> bool:
    """Tell whether a thing never changes: a number, an id, an enum's member, a frozen dataclass, a tuple of such."""
    kind = type(thing)
    if issubclass(kind, tuple):
        return all(map(_is_value, thing))
    known = _VALUES.get(kind)
    if known is None:
        parameters = getattr(kind, "__dataclass_params__", None)
        frozen = parameters is not None and parameters.frozen
        known = _VALUES[kind] = frozen or kind in _PLAIN or issubclass(kind, enum.Enum | type)
    return known


def _names_of(thing: Any) -> tuple[str, ...]:
    """Return the names of what an object holds: its class's slots, and what else every instance has."""
    kind = type(thing)
    found = _NAMES.get(kind)
    if found is None:
        names: dict[str, None] = {}
        for each in reversed(kind.__mro__):
            slots = each.__dict__.get("__slots__", ())
            names.update(dict.fromkeys((slots,) if isinstance(slots, str) else slots))
        names.pop("__dict__", None)
        names.pop("__weakref__", None)
        names.update(dict.fromkeys(getattr(thing, "__dict__", ())))
        found = _NAMES[kind] = tuple(names)
    assert len(getattr(thing, "__dict__", ())) <= len(found), f"{thing} has more than others of its class"
    return found


def _changing(fixture: Any) -> Iterator[str]:
    """Yield the names of what a fixture holds, but for functions and tables of them, which stay."""
    if isinstance(fixture, _CALLED):
        return
    for name in _names_of(fixture):
        held = getattr(fixture, name, None)
        table = list(held.values()) if isinstance(held, dict) else [held]
        if not table or not all(_is_called(each) for each in table):
            yield name


def _is_called(thing: object) -> bool:
    return isinstance(thing, _CALLED) or (isinstance(thing, tuple) and any(isinstance(each, _CALLED) for each in thing))


def _within(thing: Any) -> Iterator[Any]:
    """Yield what a thing holds."""
    if type(thing) in _DICTS:
        yield from thing.keys()
        yield from thing.values()
    elif type(thing) in _ROWS or isinstance(thing, tuple):
        yield from thing
    elif isinstance(thing, types.MethodType):
        yield thing.__self__
    elif isinstance(thing, types.FunctionType):
        for cell in thing.__closure__ or ():
            yield cell.cell_contents
        yield from thing.__defaults__ or ()
    elif isinstance(thing, types.BuiltinFunctionType):
        yield thing.__self__
    elif not isinstance(thing, type):
        for name in _names_of(thing):
            if hasattr(thing, name):
                yield getattr(thing, name)
