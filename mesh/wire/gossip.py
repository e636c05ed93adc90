"""What peers say so that all have one mesh set: offers and wants of single items, and the comparison of whole sets.

An item goes by its short ids: the first eight bytes of its statement's id, which a push offers, and its key, which
sets are compared by. The key of a job, an admission or a revocation is its short id; that of a mark is a hash of job
and keeper, without the date, and that of a cancel a hash of the job, whoever cancelled it.

A part of a set is named by one integer: the bits after its highest one are the first bits of the keys in the part.
"""

import dataclasses
from typing import Annotated, ClassVar, TypeAlias

from mesh.ground.ids import PeerId
from mesh.wire.codec import AtMost, Between, Size
from mesh.wire.members import Chain

SHORT_BYTES = 8
BRANCHES = 16

ShortId: TypeAlias = Annotated[bytes, Size(SHORT_BYTES)]
Part: TypeAlias = Annotated[int, Between(1, 2**60)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """The sender has these items; who lacks one asks for it."""

    NUMBER: ClassVar[int] = 31

    ids: Annotated[tuple[ShortId, ...], AtMost(4096)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """Send these items, which were offered, and the chains of these authors, of whom an item was just heard."""

    NUMBER: ClassVar[int] = 32

    ids: Annotated[tuple[ShortId, ...], AtMost(512)]
    authors: Annotated[tuple[PeerId, ...], AtMost(32)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SetNode:
    """A part of the sender's set: a hash over the keys in each of its sixteen parts, in their order; empty: zeros."""

    part: Part
    digests: Annotated[bytes, Size(BRANCHES * SHORT_BYTES)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SetDigests:
    """Compare these parts: the whole set to begin with, then what differs. Nothing answers what is equal."""

    NUMBER: ClassVar[int] = 33

    nodes: Annotated[tuple[SetNode, ...], AtMost(64)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SetLeaf:
    """A part of the sender's set in which it has few items: the keys of all of them."""

    part: Part
    keys: Annotated[tuple[ShortId, ...], AtMost(64)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SetKeys:
    """Parts that differ, in full; the receiver wants what it lacks of them and offers what the sender lacks."""

    NUMBER: ClassVar[int] = 34

    leaves: Annotated[tuple[SetLeaf, ...], AtMost(64)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Chains:
    """Chains of authors whom the receiver may not know."""

    NUMBER: ClassVar[int] = 35

    chains: Annotated[tuple[Chain, ...], AtMost(32)]
