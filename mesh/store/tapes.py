"""Files of tapes: a new one at each start of a peer, in a directory that its owner named.

What a tape says is nobody else's business: names, addresses, jobs. So only its owner can read it. The module must not
know what is on a tape.
"""

import errno
import itertools
import os
from pathlib import Path

from mesh.ground.ids import PeerId
from mesh.ground.instants import WallTime
from mesh.ground.tape_limits import TAPES_KEPT
from mesh.ports.storage import StorageError

_SUFFIX = ".tape"
_NAME_DIGITS = 16


class TapeFile:
    """A tape that is being written."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    def write(self, data: bytes) -> None:
        """Hand all of `data` to the system, so that it outlives this process; raise `OSError` where it took less."""
        if os.write(self._descriptor, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)


def open_tape(directory: Path, peer: PeerId, now: WallTime) -> TapeFile:
    """Begin a tape of a peer, and delete its oldest ones beyond those that are kept. Raises `StorageError`."""
    whose = peer.hex()[:_NAME_DIGITS]
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        older = sorted(directory.glob(f"{whose}-*{_SUFFIX}"))
        for path in older[: max(0, len(older) - TAPES_KEPT + 1)]:
            path.unlink()
        for wall in itertools.count(now):
            path = directory / f"{whose}-{wall:014d}{_SUFFIX}"
            if not path.exists():
                break
        return TapeFile(path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600))
    except OSError as error:
        raise StorageError(f"no tape can be written in {directory}: {error.strerror}") from error
