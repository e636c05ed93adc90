"""Second opinions: of a job that is checked twice, whether another peer's picture of a task is like this peer's own.

Theory: who rendered a task is not believed before somebody else has rendered it, too. So a picture is not published at
once where another author's waits: it is compared with that one. If they are alike this peer vouches for the other's
result, and its own picture is no longer needed; if they differ, it publishes its own, and a third peer decides. The
same is done with pictures that two peers published without knowing of each other, as on both sides of a cut.

Invariants: nobody vouches but for what is like a picture that this host rendered itself and still has. What "like"
means is the world's business: it looks at both files. Of each author one result is looked at, the lowest. After a gap
of the clock nothing is said before the news was heard.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from mesh.core.effects import CompareOutputs
from mesh.core.events import OutputsCompared
from mesh.core.fold import result_of
from mesh.core.host import HostFacts
from mesh.core.ledger import JobLedger, Ledger
from mesh.core.notes import BlobComplete, ClaimEnded, JobEnded, OpinionDue, Publish, TaskChanged
from mesh.core.ops import Ops
from mesh.core.swarm import Swarm
from mesh.core.turn import Turn
from mesh.ground.ids import BlobId, JobId, PeerId, RecordId
from mesh.ground.instants import Instant
from mesh.ground.limits import LOST_BUCKET_MS, OPINION_MS
from mesh.wire.envelope import Signed
from mesh.wire.records import Claim, Entry, Lost, Result, Vouch

_REASON = b"vouch"


@dataclass(slots=True, kw_only=True)
class Picture:
    """One that this peer rendered, of a task that has no result that counts."""

    claim: Signed[Claim]
    blob: BlobId
    render_ms: int
    since: Instant
    unpublished: Result | None
    """None: the mesh knows it."""
    alike: dict[RecordId, bool | None] = field(default_factory=dict)
    """What looking at others' results came to; None: nobody had the file for too long."""
    fetched: dict[RecordId, BlobId] = field(default_factory=dict)
    """Others' pictures that are on their way."""
    looking: dict[RecordId, BlobId] = field(default_factory=dict)
    vouched: bool = False

    @property
    def task(self) -> int:
        """The task that was rendered."""
        return self.claim.body.task


class Vouching:
    """Compare what this peer rendered with what others did, then vouch or publish."""

    def __init__(self, ledger: Ledger, swarm: Swarm, ops: Ops, me: PeerId, host: HostFacts) -> None:
        self._ledger = ledger
        self._swarm = swarm
        self._ops = ops
        self._me = me
        self._host = host
        self._stopping = False
        self._pictures: dict[tuple[JobId, int], Picture] = {}
        self._looks: dict[int, tuple[JobId, int, RecordId]] = {}

    @property
    def idle(self) -> bool:
        """Whether nothing waits here to be published."""
        return all(picture.unpublished is None for picture in self._pictures.values())

    def in_use(self) -> Iterator[BlobId]:
        """Yield this peer's own pictures that nobody may have besides, and others' that are looked at."""
        for picture in self._pictures.values():
            yield from (picture.blob, *picture.fetched.values(), *picture.looking.values())

    def on_started(self, turn: Turn) -> None:
        """Take up what this peer had published before it was started again."""
        for ledger in self._ledger.jobs.values():
            for task in ledger.open_frames() if ledger.twice else ():
                self._consider(turn, ledger, task)

    def on_opinion_due(self, turn: Turn, note: OpinionDue) -> None:
        """Look what others say of a task that was just rendered here."""
        body, result = note.claim.body, note.result
        picture = Picture(
            claim=note.claim,
            blob=result.outputs[0].blob,
            render_ms=result.render_ms,
            since=turn.now.instant,
            unpublished=result,
        )
        former = self._pictures.pop((body.job, body.task), None)
        if former is not None:
            self._let_go(turn, former)
        self._pictures[body.job, body.task] = picture
        self._consider(turn, self._ledger.jobs[body.job], body.task)

    def on_task_changed(self, turn: Turn, note: TaskChanged) -> None:
        """Look at what others have published; give up what somebody has agreed on."""
        ledger = self._ledger.jobs[note.job]
        if ledger.twice:
            self._consider(turn, ledger, note.task)

    def on_blob_complete(self, turn: Turn, note: BlobComplete) -> None:
        """Compare a picture that came."""
        for (job, task), picture in list(self._pictures.items()):
            if note.blob in picture.fetched.values():
                self._consider(turn, self._ledger.jobs[job], task)

    def on_outputs_compared(self, turn: Turn, event: OutputsCompared) -> None:
        """Vouch for what is alike, or publish."""
        job, task, result = self._looks.pop(event.op, (None, 0, None))
        picture = self._pictures.get((job, task)) if job is not None else None
        if job is None or result is None or picture is None or picture.looking.pop(result, None) is None:
            return
        picture.alike[result] = event.alike
        self._consider(turn, self._ledger.jobs[job], task)

    def on_job_ended(self, turn: Turn, note: JobEnded) -> None:
        """Forget all of the job."""
        for job, task in [key for key in self._pictures if key[0] == note.job]:
            self._let_go(turn, self._pictures.pop((job, task)))

    def on_stop_asked(self, turn: Turn) -> None:
        """Publish what waits: somebody else may compare it."""
        self._stopping = True
        for job, task in list(self._pictures):
            self._consider(turn, self._ledger.jobs[job], task)

    def on_tick(self, turn: Turn) -> None:
        """Wait no longer for pictures that nobody has."""
        for (job, task), picture in list(self._pictures.items()):
            if picture.unpublished is None:
                continue
            late = turn.now.instant - picture.since >= OPINION_MS
            for result, blob in list(picture.fetched.items()):
                if late or self._swarm.in_vain(blob, LOST_BUCKET_MS, turn.now):
                    self._fetch_no_more(picture, result)
                    picture.alike[result] = None
            self._consider(turn, self._ledger.jobs[job], task)

    def _consider(self, turn: Turn, ledger: JobLedger, task: int) -> None:
        """Do what is to be done about one task now."""
        folded = ledger.task(task)
        picture = self._pictures.get((ledger.id, task)) or self._published(turn, ledger, task)
        if picture is None:
            return
        if ledger.ended or folded.counting is not None:
            self._let_go(turn, self._pictures.pop((ledger.id, task)))
            return
        others = self._others(ledger, task)
        for result in [result for result in picture.fetched if result not in others]:
            self._fetch_no_more(picture, result)
        if not self._swarm.complete(picture.blob):
            self._lose(turn, ledger, picture)
            return
        for entry in others.values():
            self._look(turn, ledger, picture, entry)
        if self._host.hears(turn.now.instant):
            return  # others may have agreed on a picture while this host slept: the next tick knows better
        agreed = next((result for result in others if picture.alike.get(result)), None)
        if agreed is not None:
            self._vouch(turn, ledger, picture, agreed)
        elif picture.unpublished is not None and (self._stopping or all(result in picture.alike for result in others)):
            self._publish(turn, ledger.id, picture)

    def _others(self, ledger: JobLedger, task: int) -> dict[RecordId, Signed[Entry]]:
        """Return the results that wait for an opinion, the lowest of each other author, lowest first."""
        lowest: dict[PeerId, Signed[Entry]] = {}
        for entry in ledger.task(task).waiting:
            lowest.setdefault(entry.author, entry)
        return {RecordId(entry.id): entry for author, entry in lowest.items() if author != self._me}

    def _published(self, turn: Turn, ledger: JobLedger, task: int) -> Picture | None:
        """Return the picture of an own result that waits, which was published in this boot or before it."""
        own = next((entry for entry in ledger.task(task).waiting if entry.author == self._me), None)
        if own is None:
            return None
        result = result_of(own)
        picture = self._pictures[ledger.id, task] = Picture(
            claim=result.claim,
            blob=result.outputs[0].blob,
            render_ms=result.render_ms,
            since=turn.now.instant,
            unpublished=None,
        )
        return picture

    def _look(self, turn: Turn, ledger: JobLedger, picture: Picture, entry: Signed[Entry]) -> None:
        result, blob = RecordId(entry.id), result_of(entry).outputs[0].blob
        if result in picture.alike or result in picture.looking:
            return
        if blob == picture.blob:
            picture.alike[result] = True
        elif self._swarm.complete(blob):
            self._fetch_no_more(picture, result)
            picture.looking[result] = blob
            op = self._ops.next()
            self._looks[op] = (ledger.id, picture.task, result)
            turn.do(CompareOutputs(op=op, job=ledger.head.job, mine=picture.blob, theirs=blob))
        elif result not in picture.fetched:
            picture.fetched[result] = blob
            self._swarm.want(turn, blob, _reason(picture), entry.author)

    def _vouch(self, turn: Turn, ledger: JobLedger, picture: Picture, result: RecordId) -> None:
        """Agree with a result; the first word is enough."""
        if picture.vouched:
            return
        picture.vouched = True
        what = Vouch(claim=picture.claim, result=result, render_ms=picture.render_ms)
        turn.tell(Publish(job=ledger.id, what=what))
        if picture.unpublished is not None:
            turn.tell(ClaimEnded(claim=picture.claim, gave_up=False))
            picture.unpublished = None

    def _publish(self, turn: Turn, job: JobId, picture: Picture) -> None:
        """Publish a picture that is like nobody's; what could not be had may still come, and be like it."""
        if picture.unpublished is None:
            return
        turn.tell(Publish(job=job, what=picture.unpublished))
        turn.tell(ClaimEnded(claim=picture.claim, gave_up=False))
        picture.unpublished = None
        picture.alike = {result: alike for result, alike in picture.alike.items() if alike is not None}

    def _lose(self, turn: Turn, ledger: JobLedger, picture: Picture) -> None:
        """Have a task open for this peer, too, where its own picture is gone before anybody compared it."""
        self._pictures.pop((ledger.id, picture.task))
        self._let_go(turn, picture)
        own = [entry for entry in ledger.task(picture.task).waiting if entry.author == self._me]
        for entry in own[: ledger.may_say_lost(self._me)]:
            turn.tell(Publish(job=ledger.id, what=Lost(task=picture.task, result=RecordId(entry.id))))

    def _let_go(self, turn: Turn, picture: Picture) -> None:
        for result in list(picture.fetched):
            self._fetch_no_more(picture, result)
        if picture.unpublished is not None:
            turn.tell(ClaimEnded(claim=picture.claim, gave_up=True))

    def _fetch_no_more(self, picture: Picture, result: RecordId) -> None:
        blob = picture.fetched.pop(result, None)
        if blob is not None and blob not in picture.fetched.values():
            self._swarm.drop(blob, _reason(picture))


def _reason(picture: Picture) -> bytes:
    return _REASON + picture.claim.id
