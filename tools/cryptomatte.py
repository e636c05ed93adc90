"""Read which objects a picture's cryptomattes tell of, and how many pixels each covers.

Theory: for each kind of matte (objects, materials, assets) the headers hold a name and a manifest that maps names of
things to ids, and channels hold pairs of an id and the part of the pixel that is its. An id is the 32-bit MurmurHash3
of the thing's name, seen as a float (the specification of Friedman and Jones, version 1.2). The hash is computed here
once more, so that a manifest that names the wrong things is found out. Nothing is shared with what writes mattes.
"""

import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tools.compare import Part

_MASK = 0xFFFFFFFF


class Unmatched(Exception):
    """What headers and channels say of mattes makes no sense; the message says where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matte:
    """One kind of matte: pixels covered by each thing, in the manifest's order, and by ids that it does not have."""

    name: str
    covered: Mapping[str, float]
    unnamed: float


def mattes(part: Part) -> tuple[Matte, ...]:
    """Read all mattes of a picture, by name. Raises Unmatched."""
    found = []
    for header in sorted(part.headers):
        prefix, _, word = header.rpartition("/")
        if prefix.startswith("cryptomatte/") and word == "name":
            found.append(_matte(part, prefix, part.headers[header]))
    return tuple(sorted(found, key=lambda each: each.name))


def _matte(part: Part, prefix: str, name: str) -> Matte:
    if prefix.rpartition("/")[2] != f"{murmur(name.encode()):08x}"[:7]:
        raise Unmatched(f"{prefix} is not the key of {name}")
    for word, wanted in (("hash", "MurmurHash3_32"), ("conversion", "uint32_to_float32")):
        if part.headers.get(f"{prefix}/{word}") != wanted:
            raise Unmatched(f"{name}: its {word} is {part.headers.get(f'{prefix}/{word}')}")
    covered = _covered(part, name)
    try:
        manifest: dict[str, str] = json.loads(part.headers.get(f"{prefix}/manifest", ""))
    except ValueError as error:
        raise Unmatched(f"{name}: its manifest cannot be read: {error}") from error
    for thing, written in manifest.items():
        if int(written, 16) != ident(thing):
            raise Unmatched(f"{name}: the manifest says {written} of {thing}, whose id is {ident(thing):08x}")
    named = {thing: covered.get(int(written, 16), 0.0) for thing, written in manifest.items()}
    known = {int(written, 16) for written in manifest.values()}
    # Where there is nothing the id is 0, with whatever part.
    unnamed = sum(amount for each, amount in covered.items() if each and each not in known)
    return Matte(name=name, covered=named, unnamed=unnamed)


def _covered(part: Part, name: str) -> dict[int, float]:
    """Give the pixels that each id covers, over all ranks."""
    found: dict[int, float] = {}
    rank = 0
    while f"{name}{rank:02d}.r" in part.channels:
        for which, amount in (("r", "g"), ("b", "a")):
            ids = np.ascontiguousarray(part.channels[f"{name}{rank:02d}.{which}"], np.float32).view(np.uint32)
            amounts = part.channels[f"{name}{rank:02d}.{amount}"]
            for each in np.unique(ids):
                found[int(each)] = found.get(int(each), 0.0) + float(amounts[ids == each].sum(dtype=np.float64))
        rank += 1
    if not rank:
        raise Unmatched(f"there are no channels of {name}")
    return found


def ident(name: str) -> int:
    """Give the id of a thing: its hash, changed so that as a float it is a common number."""
    value = murmur(name.encode())
    exponent = value >> 23 & 0xFF
    return value ^ 1 << 23 if exponent in (0, 255) else value


def murmur(data: bytes) -> int:
    """Compute MurmurHash3 in 32 bits, seed 0."""
    value = 0
    whole = len(data) // 4 * 4
    for (word,) in struct.iter_unpack("<I", data[:whole]):
        value = (_rotated(value ^ _mixed(word), 13) * 5 + 0xE6546B64) & _MASK
    value ^= _mixed(int.from_bytes(data[whole:], "little")) ^ len(data)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        value = (value ^ value >> shift) * factor & _MASK
    return value ^ value >> 16


def _mixed(word: int) -> int:
    return _rotated(word * 0xCC9E2D51 & _MASK, 15) * 0x1B873593 & _MASK


def _rotated(value: int, bits: int) -> int:
    return (value << bits | value >> 32 - bits) & _MASK


def lost(mine: Iterable[Matte], reference: Iterable[Matte]) -> Sequence[str]:
    """Say what mattes of a picture lack that a reference has, or tell otherwise; nothing where both are the same."""
    ours = {each.name: each for each in mine}
    said = []
    for matte in reference:
        own = ours.pop(matte.name, None)
        if own is None:
            said.append(f"the matte {matte.name} is absent")
            continue
        if own.unnamed > matte.unnamed:
            said.append(f"{matte.name}: ids without a name cover {own.unnamed:g} pixels")
        for thing, amount in matte.covered.items():
            if own.covered.get(thing) != amount:
                said.append(f"{matte.name}: {thing} covers {own.covered.get(thing, 0.0):g} pixels, not {amount:g}")
    return [*said, *(f"the matte {name} is new" for name in ours)]
