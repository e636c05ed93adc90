"""From an adapter's error to what a record says of it: one table.

Invariants: every `RendererError` and `StorageError` has a row, its own or its parent's. Some kinds are about this host,
not about the task (`UNFIT_KINDS`): it is unfit, and claims nothing more of the job for a while. Such failures count all
the same, each for less, so that a job which only unfit hosts could render stops and says why."""

from typing import Final

from mesh.core.events import RenderFailed
from mesh.ground.errors import MeshError
from mesh.ground.ids import BlobId
from mesh.ports import renderer, storage
from mesh.wire.codec import clipped
from mesh.wire.records import MAX_REASON_BYTES, FailureKind

_KINDS: Final[dict[type[MeshError], FailureKind]] = {
    renderer.EngineMissing: FailureKind.ENGINE_BROKEN,
    renderer.EngineBroken: FailureKind.ENGINE_BROKEN,
    renderer.EngineTooOld: FailureKind.SCENE_REFUSED,
    renderer.SceneUnreadable: FailureKind.SCENE_UNREADABLE,
    renderer.SceneRefused: FailureKind.SCENE_REFUSED,
    renderer.PathLeavesTree: FailureKind.PATH_LEAVES_TREE,
    renderer.RendererCrashed: FailureKind.CRASHED,
    renderer.RendererHung: FailureKind.HUNG,
    renderer.RendererOutOfMemory: FailureKind.OUT_OF_MEMORY,
    renderer.FrameFailed: FailureKind.REPORTED,
    renderer.OutputTruncated: FailureKind.TRUNCATED,
    renderer.OutputWrong: FailureKind.WRONG_PICTURE,
    renderer.OutputUnwritable: FailureKind.DISK_FULL,
    renderer.StageClosed: FailureKind.CRASHED,
    renderer.RendererError: FailureKind.REPORTED,
    # A disk that is full or rotten is this host's alone.
    storage.StorageError: FailureKind.DISK_FULL,
    # A tree that cannot be read, or a name that cannot be checked out.
    MeshError: FailureKind.SCENE_UNREADABLE,
}


def kind_of(error: MeshError) -> FailureKind:
    """Return the kind of failure that `error` is."""
    return next(_KINDS[parent] for parent in type(error).__mro__ if parent in _KINDS)


def failure_of(op: int, error: MeshError, log: BlobId | None) -> RenderFailed:
    """Return the event that answers the render `op` which ended in `error`."""
    reason = clipped(f"{type(error).__name__}: {error}", MAX_REASON_BYTES)
    return RenderFailed(op=op, kind=kind_of(error), reason=reason, log=log)
