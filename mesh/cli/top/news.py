"""What the peer may tell a screen, as values that the feed makes and the board takes."""

from dataclasses import dataclass
from typing import TypeAlias

from mesh.ports.desk import JobAnswer, JobChange, StatusAnswer
from mesh.ports.logs import LogAnswer
from mesh.ports.stills import BucketsAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusTold:
    """The peer's status, now or whenever it changed."""

    status: StatusAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerLost:
    """The peer does not answer any more, from `at_ms` on; `why` is a person's text."""

    why: str
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobTold:
    """A job in full, before its changes."""

    answer: JobAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class JobChanged:
    """What changed of a job that was told in full."""

    change: JobChange


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRefused:
    """The peer cannot tell of a job: it does not know it any more."""

    job: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogTold:
    """What the engine printed; `frame` None: of the whole job."""

    job: str
    frame: int | None
    answer: LogAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRefused:
    """The log could not be had."""

    job: str
    frame: int | None
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StillTold:
    """Who renders which part of a frame."""

    job: str
    answer: BucketsAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class StillRefused:
    """The peer does not know who renders which part of a frame."""

    job: str
    frame: int


News: TypeAlias = (
    StatusTold | PeerLost | JobTold | JobChanged | JobRefused | LogTold | LogRefused | StillTold | StillRefused
)
