"""What is said of stills: who grants their buckets, and which cells are open.

None of it is recorded: a lost or false word costs time, never a picture.
"""

import dataclasses
from typing import Annotated, ClassVar

from mesh.ground.ids import JobId, PeerId
from mesh.wire.codec import AtMost, Between
from mesh.wire.envelope import Signed
from mesh.wire.grids import MAX_CELLS, Block
from mesh.wire.records import Task

MAX_EPOCH = 2**31
"""Nobody counts so far, but anybody may say so; the epoch after it is the same number of a higher id."""

MAX_CUT_FRAMES = 4
"""Frames whose cells one window tells: the next one's are started while the last ones of a frame render."""

Attempts = Annotated[int, Between(0, 2**31)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """The author grants the buckets of the job's frames from now on; the highest (number, author) is followed."""

    DOMAIN: ClassVar[str] = "epoch"

    job: JobId
    number: Annotated[int, Between(1, MAX_EPOCH)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """The author proposes that a peer renders this bucket next; the claim that carries it binds."""

    DOMAIN: ClassVar[str] = "grant"

    job: JobId
    epoch: Annotated[int, Between(1, MAX_EPOCH)]
    number: Annotated[int, Between(1, 2**53)]
    """Of this boot's grants."""
    peer: PeerId
    task: Task
    """The frame."""
    block: Block
    attempt: Attempts
    """The highest attempt heard of for any of its cells (0: none)."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Leading:
    """The highest epoch that the sender has heard of; each second from its author to the job's keepers."""

    NUMBER: ClassVar[int] = 38

    epoch: Signed[Epoch]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Grants:
    """Buckets for the receiver; those that it cannot take it gives back with `Withdraw`."""

    NUMBER: ClassVar[int] = 39

    grants: Annotated[tuple[Signed[Grant], ...], AtMost(64)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OpenCells:
    """The cells of a frame that can be claimed: one bit each, the lowest bit of the first byte first."""

    task: Task
    """The frame."""
    attempt: Attempts
    """The highest attempt heard of for any of them (0: none)."""
    bits: Annotated[bytes, AtMost(MAX_CELLS // 8)]
