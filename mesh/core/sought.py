"""Whom this peer has asked for which records, so that it asks one for what many have.

Theory: whoever comes back, or keeps a job anew, compares with everybody at once, and all tell the same digest of a
stream that differs from its own. What one of them sends is what each would. So while one has its time to answer the
others are not asked for it. Who has sent a part is asked for the rest; where nothing has come it is the others' turn,
since that one may be gone, or a liar that says that it has what it has not.

Invariants: a digest that was not heard lately is asked for at once. What is remembered is bounded, whatever streams
others invent. The module must not know how questions travel, nor what records say.
"""

from collections.abc import Mapping

from mesh.core.streams import Stream
from mesh.ground.ids import Boot, JobId, PeerId
from mesh.ground.instants import SECOND_MS, Instant
from mesh.ground.limits import SYNC_PERIOD_MS
from mesh.wire.messages import StreamDigest

ANSWER_MS = SECOND_MS
"""How long one peer's answer is waited for."""

_TURN_MS = SYNC_PERIOD_MS // 2
"""Who has not sent what it was asked for is not asked again before that, as long as others have it."""

_STREAMS = 4_096
"""Streams that are remembered."""


class Sought:
    """What was asked of whom, when, and how much of it was here then."""

    def __init__(self) -> None:
        self._put_off: dict[JobId, tuple[Instant, dict[tuple[PeerId, Boot], StreamDigest]]] = {}
        """Since when, and of which streams, somebody who has them was not asked."""
        self._asked: dict[tuple[JobId, PeerId, Boot], tuple[StreamDigest, dict[PeerId, tuple[Instant, int]]]] = {}

    def ask(self, job: JobId, theirs: StreamDigest, here: int, peer: PeerId, now: Instant) -> bool:
        """Tell whether to ask `peer`, who has `theirs`, for what is not among the records `here`: so it was asked."""
        key = (job, theirs.author, theirs.boot)
        digest, asked = self._asked.get(key, (None, {}))
        if digest != theirs:
            if len(self._asked) >= _STREAMS:
                self._asked.clear()
            asked = {}
            self._asked[key] = (theirs, asked)
        before = asked.get(peer)
        if before is None or here <= before[1]:
            waits = any(now - at < ANSWER_MS for at, _ in asked.values())
            if waits or (before is not None and now - before[0] < _TURN_MS):
                self._put_off.setdefault(job, (now, {}))[1][theirs.author, theirs.boot] = theirs
                return False
        asked[peer] = (now, here)
        return True

    def in_vain(self, job: JobId, streams: Mapping[tuple[PeerId, Boot], Stream], now: Instant) -> bool:
        """Tell once, when answers have had their time, whether streams lack that somebody was not asked for."""
        since, told = self._put_off.get(job, (now, {}))
        if now - since < ANSWER_MS:
            return False
        del self._put_off[job]
        return any(key not in streams or len(streams[key].ids) < theirs.count for key, theirs in told.items())
