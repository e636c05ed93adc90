"""Rot: what the disk no longer holds as it was written, told to the core.

Theory: whoever reads a piece may be the one who finds it rotten: a checkout, a peer that is served, a file that is
written. The store sees all of them, in whatever thread they run; the core then believes no more that the blob is here,
and whoever needs it fetches it again.

Invariants: every blob that the store found rotten while `run` runs is told, once for each time. The module must not
know who read it, nor who needs it.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress

import trio
import trio.lowlevel

from mesh.core.events import BlobDamaged, Event
from mesh.ground.ids import BlobId


class Rot:
    """Carries what the store finds into the event loop; to be made there."""

    def __init__(self, tell: Callable[[Event], Awaitable[None]]) -> None:
        self._tell = tell
        self._loop = trio.lowlevel.current_trio_token()
        self._found: deque[BlobId] = deque()
        self._more = trio.Event()

    def found(self, blob: BlobId) -> None:
        """Note a rotten blob; called in any thread."""
        with suppress(trio.RunFinishedError):
            self._loop.run_sync_soon(self._note, blob)

    async def run(self) -> None:
        """Tell the core, for ever."""
        while True:
            await self._more.wait()
            self._more = trio.Event()
            while self._found:
                await self._tell(BlobDamaged(blob=self._found.popleft()))

    def _note(self, blob: BlobId) -> None:
        self._found.append(blob)
        self._more.set()
