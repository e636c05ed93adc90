"""What a person asks here about a job's frames: for that, its records are compared with somebody who has all of them.

Theory: who only rendered some frames of a job has its own records of it, and who did not has none (`sync`). A person
who asks this peer about single frames wants all of them. So a question begins a look: this peer tells its streams to
one of the job's keepers or its submitter, is told theirs, and fetches what it lacks. When nothing lacks of what one of
them told, the question is answered; else after a moment, in which nobody minds waiting, and the look goes on, so that
the next question finds more.

Invariants: what is asked of others is bounded: so many jobs at a time, each for so long, by questions in vain and by
one peer after the other; what was compared a moment ago is not compared again. When a look is over this peer wants of
the job's records what it wanted before, though it keeps what came. The module must not know what a record says.
"""

from dataclasses import dataclass, field

from mesh.core.directory import Directory
from mesh.core.effects import Declined, Looked, Reply
from mesh.core.events import LookAsked
from mesh.core.keepers import Keepers
from mesh.core.ledger import JobLedger, Ledger
from mesh.core.notes import JobForgotten, PeersNeeded
from mesh.core.sync import STREAMS_PER_ANSWER, Sync
from mesh.core.timers import LookDue
from mesh.core.turn import Turn
from mesh.ground.ids import Boot, JobId, PeerId
from mesh.ground.instants import SECOND_MS, Instant, Now, later
from mesh.ground.limits import LOOK_FRESH_MS, LOOK_WAIT_MS
from mesh.wire.messages import Entries, StreamDigest, StreamDigests

LOOKS = 8
"""Jobs looked at at a time: a person looks at one, a program that lists them at some. The oldest look makes way."""

LOOK_MS = 10 * SECOND_MS
"""How long one goes on after it began: some ten thousand records come in that time."""

LOOK_AGAIN_MS = 500
"""Where nothing has come for so long, the next peer is asked: two round trips to the other end of the world."""

LOOK_IN_VAIN = 4
"""After so many questions that brought nothing a look is over: there may be records that this peer does not take."""

assert LOOK_AGAIN_MS < LOOK_WAIT_MS < LOOK_MS

_Key = tuple[PeerId, Boot]


@dataclass(slots=True, kw_only=True)
class _Look:
    """One job that is looked at."""

    number: int
    since: Instant
    waiting: dict[int, Instant] = field(default_factory=dict)
    """Until when each question waits, by its op."""
    peer: PeerId | None = None
    """Who was asked last."""
    asked: dict[PeerId, None] = field(default_factory=dict)
    """Who was asked and has not told its streams yet."""
    lacking: dict[PeerId, dict[_Key, tuple[StreamDigest, int]]] = field(default_factory=dict)
    """Of who told its streams those that differ here, and how many records of each were here then."""
    told_at: dict[PeerId, Instant] = field(default_factory=dict)
    coming: dict[PeerId, tuple[_Key, ...]] = field(default_factory=dict)
    """Those of them that it was asked for."""
    entries: int = 0
    """How many records were here when it was last seen to."""
    vain: int = 0


class Looks:
    """Bring what a person looks at."""

    def __init__(self, ledger: Ledger, keepers: Keepers, directory: Directory, sync: Sync) -> None:
        self._ledger = ledger
        self._keepers = keepers
        self._directory = directory
        self._sync = sync
        self._looks: dict[JobId, _Look] = {}
        self._number = 0
        self._whole_at: dict[JobId, Instant] = {}
        """When nothing was last found to lack of a job, as long as that is fresh."""

    def fresh(self, job: JobId, now: Now) -> bool:
        """Whether a moment ago nothing of a job's records was lacking here."""
        whole_at = self._whole_at.get(job)
        return whole_at is not None and now.instant - whole_at < LOOK_FRESH_MS

    def under_way(self) -> tuple[JobId, ...]:
        """Return the jobs that are looked at now."""
        return tuple(self._looks)

    def on_look_asked(self, turn: Turn, event: LookAsked) -> None:
        """Answer at once who asks what is known here anyway, or was compared a moment ago; else begin a look."""
        ledger = self._ledger.get(event.job)
        if ledger is None:
            turn.do(Reply(op=event.op, reply=Declined(code="unknown-job", text="no such job is known here")))
        elif self.fresh(event.job, turn.now) or self._needs_nobody(ledger, turn.now):
            turn.do(Reply(op=event.op, reply=Looked(whole=True)))
        else:
            look = self._looks.get(event.job)
            if look is None:
                look = self._begin(turn, ledger)
            elif _drop_stale(look, turn.now) and not look.lacking and look.peer is not None:
                self._ask(turn, ledger, look, look.peer)  # what was told before is no answer to this question
            look.waiting[event.op] = later(turn.now.instant, LOOK_WAIT_MS)

    def on_stream_digests(self, turn: Turn, peer: PeerId, message: StreamDigests) -> None:
        """Note what lacks here of what was told; `Sync` has asked for it."""
        look, ledger = self._looks.get(message.job), self._ledger.get(message.job)
        if look is None or ledger is None or message.asked or peer not in look.asked:
            return
        look.asked.pop(peer)
        lacking = look.lacking[peer] = {}
        look.told_at[peer] = turn.now.instant
        for theirs in message.streams:
            stream = ledger.streams.get((theirs.author, theirs.boot))
            if theirs.count and (stream is None or stream.told() != theirs):
                lacking[theirs.author, theirs.boot] = (theirs, len(stream.ids) if stream is not None else 0)
        look.coming[peer] = tuple(lacking)[:STREAMS_PER_ANSWER]
        self._settle(turn, ledger, look)

    def on_entries(self, turn: Turn, message: Entries) -> None:
        """See whether all has come, now that `Sync` has taken these."""
        look, ledger = self._looks.get(message.job), self._ledger.get(message.job)
        if look is not None and ledger is not None:
            self._settle(turn, ledger, look)

    def on_look_due(self, turn: Turn, timer: LookDue) -> None:
        """Answer who has waited long enough; ask the next one where nothing comes."""
        look, ledger = self._looks.get(timer.job), self._ledger.get(timer.job)
        if look is None or ledger is None or look.number != timer.number:
            return
        for op, until in list(look.waiting.items()):
            if until <= turn.now.instant:
                look.waiting.pop(op)
                turn.do(Reply(op=op, reply=Looked(whole=False)))
        if turn.now.instant - look.since >= LOOK_MS or look.vain >= LOOK_IN_VAIN:
            self._end(turn, timer.job, whole=False)
            return
        if len(ledger.entries) == look.entries:
            look.vain += look.peer is not None
            self._ask_next(turn, ledger, look)
        look.entries = len(ledger.entries)
        turn.wake(timer, LOOK_AGAIN_MS)

    def on_job_forgotten(self, turn: Turn, note: JobForgotten) -> None:
        """Look no more at what is not known any more."""
        if note.job in self._looks:
            self._end(turn, note.job, whole=False)
        self._whole_at.pop(note.job, None)

    def _begin(self, turn: Turn, ledger: JobLedger) -> _Look:
        while len(self._looks) >= LOOKS:
            self._end(turn, next(iter(self._looks)), whole=False)
        self._number += 1
        look = _Look(number=self._number, since=turn.now.instant, entries=len(ledger.entries))
        self._looks[ledger.id] = look
        self._sync.begin_look(ledger, turn.now)
        self._ask_next(turn, ledger, look)
        turn.wake(LookDue(job=ledger.id, number=look.number), LOOK_AGAIN_MS)
        return look

    def _needs_nobody(self, ledger: JobLedger, now: Now) -> bool:
        """Whether all is sent here anyway, or nobody can be asked of a job whose seal names each frame's result."""
        return self._sync.central(ledger, now) or (ledger.sealed is not None and not self._able(ledger, now))

    def _able(self, ledger: JobLedger, now: Now) -> list[PeerId]:
        company = self._keepers.company(ledger, now)
        return [peer for peer in company if self._directory.connected(peer) and peer != self._directory.me]

    def _ask_next(self, turn: Turn, ledger: JobLedger, look: _Look) -> None:
        _drop_stale(look, turn.now)
        turn.tell(PeersNeeded(peers=self._keepers.company(ledger, turn.now)))
        able = self._able(ledger, turn.now)
        if able:
            look.peer = able[(able.index(look.peer) + 1) % len(able)] if look.peer in able else able[0]
            self._ask(turn, ledger, look, look.peer)

    def _ask(self, turn: Turn, ledger: JobLedger, look: _Look, peer: PeerId) -> None:
        look.asked[peer] = None
        look.lacking.pop(peer, None)
        look.coming.pop(peer, None)
        self._sync.ask_streams(turn, ledger, peer)

    def _settle(self, turn: Turn, ledger: JobLedger, look: _Look) -> None:
        """End a look where nothing lacks of what somebody told; go on where all has come that he was asked for."""
        for peer, lacking in list(look.lacking.items()):
            for key, (theirs, before) in list(lacking.items()):
                stream = ledger.streams.get(key)
                # He may have got more of it since he told it, and then sent that too.
                count = len(stream.ids) if stream is not None else 0
                same = stream is not None and count == theirs.count and stream.told() == theirs
                if same or count >= max(theirs.count, before + 1):
                    lacking.pop(key)
            if not lacking:
                self._end(turn, ledger.id, whole=True)
                return
            if not any(key in lacking for key in look.coming[peer]):
                self._ask(turn, ledger, look, peer)

    def _end(self, turn: Turn, job: JobId, *, whole: bool) -> None:
        look = self._looks.pop(job)
        self._sync.end_look(job)
        if whole:
            kept = [other for other in self._whole_at if self.fresh(other, turn.now)]
            self._whole_at = {other: self._whole_at[other] for other in kept} | {job: turn.now.instant}
        for op in look.waiting:
            turn.do(Reply(op=op, reply=Looked(whole=whole)))


def _drop_stale(look: _Look, now: Now) -> bool:
    """Believe no more what somebody told more than a moment ago; tell whether there was any such."""
    stale = [peer for peer, at in look.told_at.items() if now.instant - at >= LOOK_FRESH_MS]
    for peer in stale:
        for known in (look.lacking, look.coming, look.told_at):
            known.pop(peer, None)
    return bool(stale)
