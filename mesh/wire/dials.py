"""What peers say about reaching each other: a question to be dialled back, and its answer.

Who is asked dials no address but those of the asker's own channel and hello, and tells of no third party's.
"""

import dataclasses
import enum
from typing import Annotated, ClassVar, TypeAlias

from mesh.ground.instants import WallTime
from mesh.wire.addresses import MAX_ADDRESSES, Address
from mesh.wire.codec import AtMost, Between

Number: TypeAlias = Annotated[int, Between(0, 2**31)]


class Outcome(enum.IntEnum):
    """What came of dialling an address."""

    REACHED = 1
    """The peer that was meant answered."""
    REFUSED = 2
    """The host answered that nothing listens there."""
    SILENT = 3
    """Nothing answered in time."""
    NO_WAY = 4
    """No route, no such host, or somebody else; also whatever is not told of a third party's address."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """An address that was dialled, and what came of it: an `Outcome`."""

    address: Address
    outcome: Annotated[int, Between(1, 255)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DialMe:
    """Dial the sender at the addresses of its channel and its hello, and say what came of each.

    Who was asked by the same peer a moment ago answers at once that it tried nothing.
    """

    NUMBER: ClassVar[int] = 29

    number: Number


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DialledBack:
    """The answer; when the question was heard and when this was told, by the sender's clock, compare the two clocks."""

    NUMBER: ClassVar[int] = 30

    number: Number
    heard: WallTime
    told: WallTime
    tried: Annotated[tuple[Tried, ...], AtMost(MAX_ADDRESSES)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Parting:
    """The sender is about to close this channel, for which it has no use; it lives on, and may be dialled again."""

    NUMBER: ClassVar[int] = 36
