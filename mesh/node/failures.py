"""From an adapter's error to what a record says of it: one table.

Invariants: every `RendererError` and `StorageError` has a row, its own or its parent's; a row that is `unfit` is about
this host, not about the task: it claims nothing more of the job for a while. The failure counts all the same, so that
a job which only unfit hosts could render stops and says why."""

from typing import Final

from mesh.core.events import RenderFailed
from mesh.ground.errors import MeshError
from mesh.ground.ids import BlobId
from mesh.ports import renderer, storage
from mesh.wire.codec import clipped
from mesh.wire.records import MAX_REASON_BYTES, FailureKind

_KINDS: Final[dict[type[MeshError], tuple[FailureKind, bool]]] = {
    renderer.EngineMissing: (FailureKind.ENGINE_BROKEN, True),
    renderer.EngineBroken: (FailureKind.ENGINE_BROKEN, True),
    renderer.EngineTooOld: (FailureKind.SCENE_REFUSED, False),
    renderer.SceneUnreadable: (FailureKind.SCENE_UNREADABLE, False),
    renderer.SceneRefused: (FailureKind.SCENE_REFUSED, False),
    renderer.PathLeavesTree: (FailureKind.PATH_LEAVES_TREE, False),
    renderer.RendererCrashed: (FailureKind.CRASHED, False),
    renderer.RendererHung: (FailureKind.HUNG, False),
    renderer.RendererOutOfMemory: (FailureKind.OUT_OF_MEMORY, False),
    renderer.FrameFailed: (FailureKind.REPORTED, False),
    renderer.OutputTruncated: (FailureKind.TRUNCATED, False),
    renderer.OutputWrong: (FailureKind.WRONG_PICTURE, False),
    renderer.OutputUnwritable: (FailureKind.DISK_FULL, True),
    renderer.StageClosed: (FailureKind.CRASHED, False),
    renderer.RendererError: (FailureKind.REPORTED, False),
    # A disk that is full or rotten is this host's alone.
    storage.StorageError: (FailureKind.DISK_FULL, True),
    # A tree that cannot be read, or a name that cannot be checked out.
    MeshError: (FailureKind.SCENE_UNREADABLE, False),
}


def kind_of(error: MeshError) -> tuple[FailureKind, bool]:
    """Return the kind of failure that `error` is, and whether it makes this host unfit."""
    return next(_KINDS[parent] for parent in type(error).__mro__ if parent in _KINDS)


def failure_of(op: int, error: MeshError, log: BlobId | None) -> RenderFailed:
    """Return the event that answers the render `op` which ended in `error`."""
    kind, unfit = kind_of(error)
    reason = clipped(f"{type(error).__name__}: {error}", MAX_REASON_BYTES)
    return RenderFailed(op=op, kind=kind, reason=reason, unfit=unfit, log=log)
