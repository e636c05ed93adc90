"""What the core asks to be woken for: each timer says by its type who wakes and by its fields about what.

A timer that is no longer needed is not cancelled: its machine looks at the state when it fires, and finds nothing to
do.
"""

from dataclasses import dataclass
from typing import TypeAlias

from mesh.ground.ids import BlobId, JobId, PeerId, RecordId
from mesh.wire.messages import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """Once a second: heartbeats, leases, whatever is looked at regularly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleEnds:
    """A keeper decides a task's claims."""

    job: JobId
    task: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstClaims:
    """A new job's keepers have had time to show themselves: it may be claimed from."""

    job: JobId


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswered:
    """A claim has waited long enough for a keeper's verdict."""

    claim: RecordId


@dataclass(frozen=True, slots=True, kw_only=True)
class ElectionDue:
    """A new job's keepers have had time to show themselves: one of them coordinates its stills."""

    job: JobId


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantLate:
    """A slot of this host would soon have nothing to do, unless a bucket was granted meanwhile."""

    job: JobId


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowDue:
    """A keeper may tell its followers again."""

    job: JobId


@dataclass(frozen=True, slots=True, kw_only=True)
class Redial:
    """A known peer without a channel may be dialled again."""

    peer: PeerId


@dataclass(frozen=True, slots=True, kw_only=True)
class KnockAgain:
    """An address given by a person is tried again, in case nobody was there."""

    address: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchLate:
    """A request to a source has had its time."""

    op: int
    blob: BlobId


@dataclass(frozen=True, slots=True, kw_only=True)
class HearingEnds:
    """A peer that slept has had the time to hear the news."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReachEnds:
    """Who was asked to dial back has had the time for it."""

    op: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LookDue:
    """A person looks at a job: it is seen whether what was asked for has come."""

    job: JobId
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswersLate:
    """A question of the DHT has waited its time, or would have, were it not answered by now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshDue:
    """The buckets of the routing table are looked into."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketDue:
    """The next of the buckets is looked into."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeDue:
    """The next member of the view is probed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeLate:
    """A probe has waited its time."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TidingsDue:
    """Fresh tidings are told, and doubts looked at."""


Timer: TypeAlias = (
    Tick
    | SettleEnds
    | FirstClaims
    | Unanswered
    | ElectionDue
    | GrantLate
    | WindowDue
    | Redial
    | KnockAgain
    | FetchLate
    | HearingEnds
    | ReachEnds
    | LookDue
    | AnswersLate
    | RefreshDue
    | BucketDue
    | ProbeDue
    | ProbeLate
    | TidingsDue
)
