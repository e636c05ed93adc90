"""Values of any type that can travel, made from its annotations: drawn, at a fixed place, or as large as they get.

The bounds that the codec reads are read here a second time, by other code, so that a test of encoding and decoding
does not believe the codec about what is allowed. Types that refuse more than their bounds say have a line of their own
at the end.
"""

from __future__ import annotations

import dataclasses
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, NewType, Union, get_args, get_origin, get_type_hints

from blake3 import blake3
from hypothesis import strategies as st

from mesh.ground.ids import Boot
from mesh.ground.instants import WallTime
from mesh.wire.codec import AtMost, Between, Size
from mesh.wire.envelope import Signed, sign
from mesh.wire.grids import MAX_SIDE, Cut, Region, Ruler, Run, counting
from mesh.wire.lookups import Endpoint
from mesh.wire.messages import MAX_BITS_BYTES, Address, Have
from mesh.wire.records import Check, Job, OutputNames
from mesh.wire.signing import Ed25519Signer
from mesh.wire.tasks import FRAME_LIMIT, MAX_RANGES, FrameRange, Frames

SIGNERS = [Ed25519Signer(blake3(b"a test's key %d" % number).digest()) for number in range(3)]

HOSTS = ["192.0.2.7", "2001:db8::7", "fe80::1%eth0", "render-3", "studio.example.org", "::ffff:192.0.2.7"]


@cache
def instances(kind: Any) -> st.SearchStrategy[Any]:
    """Draw values of `kind`, a type or an annotation, all over its bounds but with short tuples."""
    if kind in _DRAWN:
        return _DRAWN[kind]
    base, bound = _parts(kind)
    match bound:
        case Size(exactly=size):
            return st.binary(min_size=size, max_size=size)
        case Between(low=low, high=high):
            return st.integers(low, high) | st.sampled_from([low, high])
        case AtMost(length=most) if base is bytes:
            return st.binary(max_size=min(most, 40))
        case AtMost(length=most) if base is str:
            return st.text(max_size=min(most // 4, 12))
        case AtMost(length=most):
            return st.lists(instances(get_args(base)[0]), max_size=min(most, 3)).map(tuple)
    if base is bool:
        return st.booleans()
    if base is NoneType:
        return st.none()
    if get_origin(base) in (Union, UnionType):
        return st.one_of([instances(option) for option in get_args(base)])
    if get_origin(base) is Signed:
        return st.builds(sign, instances(get_args(base)[0]), st.sampled_from(SIGNERS))
    fields = {name: instances(hint) for name, hint in _fields(base).items()}
    return st.fixed_dictionaries(fields).map(lambda drawn: base(**_agreeing(base, drawn)))


def sample(kind: Any, place: str = "") -> Any:
    """Return one value of `kind` that depends on nothing but the names of the fields on the way to it."""
    if kind in _SAMPLES:
        return _SAMPLES[kind]
    base, bound = _parts(kind)
    draw = int.from_bytes(blake3(place.encode()).digest()[:4], "big")
    match bound:
        case Size(exactly=size):
            return blake3(place.encode()).digest(length=size)
        case Between(low=low, high=high):
            return low + draw % (high - low + 1)
        case AtMost(length=most) if base is bytes:
            return blake3(place.encode()).digest(length=min(most, 20))
        case AtMost(length=most) if base is str:
            return place.rpartition(".")[2][:most]
        case AtMost(length=most):
            return tuple(sample(get_args(base)[0], f"{place}[{number}]") for number in range(min(most, 2)))
    if base is bool:
        return bool(draw % 2)
    if get_origin(base) in (Union, UnionType):
        return sample(next(option for option in get_args(base) if option is not NoneType), place)
    if get_origin(base) is Signed:
        return sign(sample(get_args(base)[0], place), SIGNERS[draw % len(SIGNERS)])
    return base(**_agreeing(base, {name: sample(hint, f"{place}.{name}") for name, hint in _fields(base).items()}))


def largest(kind: Any) -> Any:
    """Return a value of `kind` that no other of its kind is larger than when encoded."""
    if kind in _LARGEST:
        return _LARGEST[kind]()
    base, bound = _parts(kind)
    match bound:
        case Size(exactly=size):
            return bytes(size)
        case Between(low=low, high=high):
            return max(low, high, key=lambda end: end if end >= 0 else -1 - end)
        case AtMost(length=most) if base is bytes:
            return bytes(most)
        case AtMost(length=most) if base is str:
            return "x" * most
        case AtMost(length=most):
            return (largest(get_args(base)[0]),) * most
    if base is bool:
        return True
    if get_origin(base) in (Union, UnionType):
        from mesh.wire.codec import most_bytes

        return largest(max((option for option in get_args(base) if option is not NoneType), key=most_bytes))
    if get_origin(base) is Signed:
        return sign(largest(get_args(base)[0]), SIGNERS[0])
    return base(**_agreeing(base, {name: largest(hint) for name, hint in _fields(base).items()}))


def _agreeing(kind: Any, fields: dict[str, Any]) -> dict[str, Any]:
    """Return fields of which none forbids another's value."""
    return fields | {"check": Check.ONCE} if kind is Job and fields["cut"] is not None else fields


def _parts(kind: Any) -> tuple[Any, Any]:
    if isinstance(kind, NewType):
        if kind.__supertype__ is bytes:
            return bytes, Size(16 if kind is Boot else 32)
        assert kind is WallTime
        return int, Between(0, 2**62)
    if get_origin(kind) is Annotated:
        base, bound = get_args(kind)
        return base, bound
    return kind, None


def _fields(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _range(bounds: list[int], step: int) -> FrameRange:
    return FrameRange(first=min(bounds), last=max(bounds), step=step)


def _frames(starts: list[int], count: int, step: int) -> Frames:
    # Ranges of fewer frames than lie between their starts: apart, whatever their order.
    return Frames(
        ranges=tuple(FrameRange(first=1000 * at, last=1000 * at + (count - 1) * step, step=step) for at in starts)
    )


def _cut(runs: list[tuple[int, int]], first: int, more: int, **fields: Any) -> Cut:
    ruler = Ruler(first=first, runs=tuple(Run(cells=cells, size=size) for cells, size in runs))
    last = ruler.edges[-1]
    return Cut(width=last + more, height=last, across=ruler, down=ruler, frames=1, **fields)


def _shared(shares: int, more: int, left: int, **fields: Any) -> Cut:
    part = Region(left=left, top=3, right=left + 90, bottom=50)
    shapes: dict[str, Any] = {"width": left + 100, "height": 60, "across": counting(shares), "down": counting(1)}
    return Cut(**shapes, margin=0, fixed=True, samples=shares + more, part=part, **fields)


_LONGEST = Ruler(first=2**16, runs=(Run(cells=16, size=1_000), Run(cells=16, size=1_001)) * 2)

_frame_numbers = st.integers(-FRAME_LIMIT, FRAME_LIMIT)
_DRAWN: dict[Any, st.SearchStrategy[Any]] = {
    FrameRange: st.builds(_range, st.lists(_frame_numbers, min_size=2, max_size=2), st.integers(1, 2 * FRAME_LIMIT)),
    Frames: st.builds(
        _frames,
        st.lists(st.integers(-1000, 1000), min_size=1, max_size=4, unique=True),
        st.integers(1, 20),
        st.integers(1, 50),
    ),
    OutputNames: st.builds(
        OutputNames,
        prefix=st.text("abcXYZ_0123456789 .-éß漢", max_size=20).filter(lambda text: not text.startswith(" ")),
        digits=st.integers(0, 32),
        suffix=st.sampled_from(["", ".png", ".exr", "_final.jpg"]),
    ),
    Ruler: st.builds(
        Ruler,
        first=st.integers(0, 100),
        runs=st.lists(st.builds(Run, cells=st.integers(1, 9), size=st.integers(1, 500)), max_size=4).map(tuple),
    ),
    Cut: st.builds(
        _cut,
        st.lists(st.tuples(st.integers(1, 8), st.integers(1, 500)), min_size=1, max_size=4),
        st.integers(0, 100),
        st.integers(0, 100),
        margin=st.integers(0, 1_024),
        order=st.integers(1, 3),
        fixed=st.booleans(),
        whole=st.booleans(),
    )
    | st.builds(
        _shared,
        st.integers(1, 4_096),
        st.integers(0, 1_000),
        st.integers(0, 100),
        order=st.integers(1, 3),
        frames=st.just(1),
        whole=st.booleans(),
    ),
    Address: st.builds(Address, host=st.sampled_from(HOSTS), port=st.integers(1, 65_535)),
    Endpoint: st.builds(
        Endpoint,
        ip=st.binary(min_size=4, max_size=4) | st.binary(min_size=15, max_size=15).map(lambda tail: b" " + tail),
        port=st.integers(1, 65_535),
    ),
    Have: st.integers(0, 200).flatmap(
        lambda pieces: st.builds(
            Have,
            blob=st.binary(min_size=32, max_size=32),
            pieces=st.just(pieces),
            bits=st.integers(0, 2**pieces - 1).map(lambda bits: bits.to_bytes(-(-pieces // 8), "little")),
        )
    ),
}

_SAMPLES: dict[Any, Any] = {
    Frames: Frames(
        ranges=(FrameRange(first=1, last=240, step=1), FrameRange(first=-7, last=-7, step=1), _range([300, 320], 5))
    ),
    OutputNames: OutputNames(prefix="shot_0040.", digits=4, suffix=".exr"),
    Cut: _shared(12, 500, 7, order=1, frames=1, whole=True),
    Address: Address(host="studio.example.org", port=7_301),
    Endpoint: Endpoint(ip=bytes((192, 0, 2, 7)), port=7_301),
    Have: Have(blob=bytes(range(32)), pieces=11, bits=bytes([0b1010_0111, 0b0000_0101])),
}

_LARGEST: dict[Any, Any] = {
    Frames: lambda: Frames(
        ranges=tuple(
            FrameRange(first=-FRAME_LIMIT + number, last=-FRAME_LIMIT + number, step=2 * FRAME_LIMIT)
            for number in range(MAX_RANGES)
        )
    ),
    OutputNames: lambda: OutputNames(prefix="p" * 192, digits=30, suffix=".exrexrexrexrexrexrexrexrexrexre"),
    Cut: lambda: Cut(
        width=MAX_SIDE,
        height=MAX_SIDE,
        across=_LONGEST,
        down=_LONGEST,
        margin=1_024,
        order=3,
        fixed=True,
        frames=1,
        whole=True,
    ),
    Address: lambda: Address(host=".".join(["x" * 49] * 2) + "x", port=65_535),
    Endpoint: lambda: Endpoint(ip=b"\xff" * 16, port=65_535),
    Have: lambda: Have(blob=bytes(32), pieces=8 * MAX_BITS_BYTES, bits=b"\xff" * MAX_BITS_BYTES),
}
