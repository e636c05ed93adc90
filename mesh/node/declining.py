"""What a person reads where the core declines a command, or is not even asked."""

from typing import Final

from mesh.core.effects import Declined
from mesh.ground.errors import UsageError
from mesh.ground.share_limits import WEIGHT_MOST
from mesh.ports.desk import DeskError, Draining, JobCancelled, JobOver, NotAllowed, NotFound, ThrownOut

_DECLINED: Final[dict[str, type[DeskError]]] = {
    "may-not-submit": NotAllowed,
    "may-not-cancel": NotAllowed,
    "may-not-change": NotAllowed,
    "may-not-revoke": NotAllowed,
    "over": JobOver,
    "revoked": ThrownOut,
    "unknown-job": NotFound,
    "draining": Draining,
    "cancelled": JobCancelled,
}


def declined(reply: Declined) -> DeskError:
    """Return the error that says so."""
    return _DECLINED.get(reply.code, DeskError)(reply.text)


def check_weight(weight: int) -> None:
    """Raise UsageError for a weight that no job can have."""
    if not 1 <= weight <= WEIGHT_MOST:
        raise UsageError(f"a job has a weight from 1 to {WEIGHT_MOST}, not {weight}")
