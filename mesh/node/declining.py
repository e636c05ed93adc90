"""What a person reads where the core declines a command, or is not even asked."""

from typing import Final

from mesh.core.effects import Declined
from mesh.ground.errors import MeshError, UsageError
from mesh.ground.share_limits import WEIGHT_MOST
from mesh.ports.desk import DeskError, Draining, JobCancelled, JobOver, NotAllowed, NotFound, ThrownOut
from mesh.ports.trust import NoPicture

_DECLINED: Final[dict[str, type[MeshError]]] = {
    "may-not-submit": NotAllowed,
    "may-not-cancel": NotAllowed,
    "may-not-change": NotAllowed,
    "may-not-revoke": NotAllowed,
    "over": JobOver,
    "revoked": ThrownOut,
    "unknown-job": NotFound,
    "draining": Draining,
    "cancelled": JobCancelled,
    "sealed": JobOver,
    "no-picture": NoPicture,
    "no-such-frame": UsageError,
}


def declined(reply: Declined) -> MeshError:
    """Return the error that says so."""
    return _DECLINED.get(reply.code, DeskError)(reply.text)


def check_weight(weight: int) -> None:
    """Raise UsageError for a weight that no job can have."""
    if not 1 <= weight <= WEIGHT_MOST:
        raise UsageError(f"a job has a weight from 1 to {WEIGHT_MOST}, not {weight}")
