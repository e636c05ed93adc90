"""What people's programs are told of frames that are rendered in buckets: part of the desk, by its conventions.

A region is a list of left, top, right and bottom in pixels, counted from the left and from the top of the frame.

This module must stay light, as the desk's: nothing from outside the standard library.
"""

from typing import Literal, TypeAlias, TypedDict

BucketStateName: TypeAlias = Literal["open", "running", "counts", "stopped"]


class RenderRow(TypedDict):
    """One frame or bucket that this host renders now; `sample` 0 until the engine has reported one.

    `region` is a bucket's left, top, right and bottom in pixels, its margin apart; empty for a whole frame.
    """

    job: str
    frame: int
    region: list[int]
    slot: int
    sample: int


class ShareRow(TypedDict):
    """What one peer rendered of a job's frames in buckets, as far as it counts; `render_ms` is of all these buckets."""

    peer: str
    peer_name: str
    buckets: int
    pixels: int
    render_ms: int


class BucketRow(TypedDict):
    """A rectangle of a frame: what counts of one bucket, or what somebody renders or has claimed, or what is open.

    `peer` is empty where nobody has it, or where the peer that was asked does not know who rendered it. `bucket` is the
    whole bucket: other results may count for parts of it, and what is left may be several rectangles. `attempt` and
    `render_ms` are the whole bucket's, 0 where nothing tells them.
    """

    frame: int
    region: list[int]
    bucket: list[int]
    state: BucketStateName
    peer: str
    peer_name: str
    attempt: int
    render_ms: int


class BucketsAnswer(TypedDict):
    """One frame that is rendered in buckets, as the records tell that are here.

    `width` and `height` are the whole frame's, `region` is what is rendered of it: `buckets` are it without gap or
    overlap, at most as many as its cells. But where `shares` is not 0, each bucket is the whole picture with some of so
    many shares of its samples: then `width` and regions count shares, and `height` is 1. `assembler` pastes them
    together, or did; it is empty where nobody does. `known` is false where this peer only hears what the job's keepers
    tell: then it does not know who renders what.
    """

    job: str
    name: str
    frame: int
    state: Literal["open", "running", "counts", "safe", "stopped"]
    shares: int
    width: int
    height: int
    region: list[int]
    assembler: str
    assembler_name: str
    known: bool
    buckets: list[BucketRow]
