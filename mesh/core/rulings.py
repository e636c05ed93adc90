"""Who says that a picture is wrong: whoever may, rejects it; anybody else complains, which makes one who may look.

Theory: a reject is a record, and acts wherever it comes to. A complaint changes nothing, so it is no record: it goes to
the job's submitter, judges and keepers and to the admins that are connected, and keepers pass it on to those who may
rule when they meet them. It is forgotten once its result was rejected, with the job, and when its peer is started anew.

Invariants: of a frame that was made of buckets these are rejected, too: nobody sees which of them is wrong.
"""

from collections.abc import Iterable, Iterator

from mesh.core.delivery import Delivery
from mesh.core.directory import Directory
from mesh.core.effects import Declined, Reply, Ruled
from mesh.core.events import RejectAsked
from mesh.core.fold import result_of
from mesh.core.judge import may_reject
from mesh.core.keepers import Keepers
from mesh.core.ledger import JobLedger, Ledger
from mesh.core.membership import Members
from mesh.core.notes import EntryAdded, JobEnded, PeerReached, Publish
from mesh.core.sync import Sync
from mesh.core.turn import Turn
from mesh.ground.ids import JobId, PeerId, RecordId
from mesh.ground.limits import COMPLAINTS_PER_AUTHOR, COMPLAINTS_PER_JOB
from mesh.wire.codec import clipped
from mesh.wire.complaints import Complaint, Complaints
from mesh.wire.envelope import Signed, Signer, sign
from mesh.wire.kept import KeptComplaint
from mesh.wire.messages import portions
from mesh.wire.records import MAX_REASON_BYTES, Entry, Reject

_NAMED_AT_MOST = 8
"""Frames that an answer names one by one."""


class Rulings:
    """Take what people say of pictures; keep and pass on complaints."""

    def __init__(
        self,
        ledger: Ledger,
        members: Members,
        keepers: Keepers,
        directory: Directory,
        *,
        delivery: Delivery,
        sync: Sync,
        signer: Signer,
    ) -> None:
        self._ledger = ledger
        self._members = members
        self._keepers = keepers
        self._directory = directory
        self._delivery = delivery
        self._sync = sync
        self._signer = signer
        self._complaints: dict[JobId, dict[RecordId, Signed[Complaint]]] = {}

    def restore(self, kept: Iterable[Signed[Complaint]]) -> None:
        """Take the journal's complaints about jobs that go on."""
        for complaint in kept:
            self._take(complaint)

    def of(self, job: JobId) -> list[Signed[Complaint]]:
        """Return the complaints about a job that nobody has ruled on by a reject, in the order of their frames."""
        found = self._complaints.get(job, {}).values()
        return sorted(found, key=lambda complaint: (complaint.body.task, complaint.id))

    def on_reject_asked(self, turn: Turn, event: RejectAsked) -> None:
        """Reject the pictures of these frames, or complain about them."""
        ledger = self._ledger.get(event.job)
        me = self._directory.me
        if ledger is None:
            _decline(turn, event, "unknown-job", "no such job is known here")
            return
        if problem := self._too_late(ledger):
            _decline(turn, event, *problem)
            return
        numbers = list(ledger.job.frames)
        wanted = event.frames or tuple(numbers)
        if strange := [frame for frame in wanted if frame not in numbers]:
            _decline(turn, event, "no-such-frame", f"the job has no frame {_told(strange)}")
            return
        found = {frame: self._pictures(ledger, numbers.index(frame)) for frame in wanted}
        if event.frames and (bare := [frame for frame, pictures in found.items() if not pictures]):
            _decline(turn, event, "no-picture", f"there is no picture yet of frame {_told(bare)}")
            return
        reason, pictures = clipped(event.reason, MAX_REASON_BYTES), [each for some in found.values() for each in some]
        may = may_reject(me, ledger, self._members)
        for entry in pictures:
            if may:
                self._reject(turn, ledger, entry, reason)
        if not may:
            self._complain(turn, ledger, pictures, reason)
        done = sum(bool(some) for some in found.values())
        turn.do(Reply(op=event.op, reply=Ruled(job=event.job, frames=done, complained=not may)))

    def on_complaints(self, turn: Turn, peer: PeerId, message: Complaints) -> None:
        """Keep what is new, and pass it on to those who may rule."""
        fresh = [complaint for complaint in message.complaints if self._keep(turn, complaint)]
        for job in dict.fromkeys(complaint.body.job for complaint in fresh):
            ledger = self._ledger.jobs[job]
            if self._keepers.marked(job, turn.now):
                others = [judge for judge in self._judges(ledger) if judge != peer]
                _send(turn, others, [complaint for complaint in fresh if complaint.body.job == job])

    def on_entry_added(self, _turn: Turn, note: EntryAdded) -> None:
        """Forget the complaints about what was rejected."""
        what, about = note.entry.body.what, self._complaints.get(note.entry.body.job, {})
        if isinstance(what, Reject):
            for complaint in [each for each in about.values() if each.body.result == what.result]:
                about.pop(complaint.id)

    def on_peer_reached(self, turn: Turn, note: PeerReached) -> None:
        """Tell whoever may rule what was said while it was away."""
        for job, complaints in self._complaints.items():
            ledger = self._ledger.get(job)
            if ledger is not None and may_reject(note.peer, ledger, self._members):
                _send(turn, [note.peer], list(complaints.values()))

    def on_job_ended(self, _turn: Turn, note: JobEnded) -> None:
        """Forget what was said of a job that is over."""
        self._complaints.pop(note.job, None)

    def _too_late(self, ledger: JobLedger) -> tuple[str, str] | None:
        """Return why nothing is to be rejected any more; the submitter may until it has sealed the job itself."""
        if ledger.cancel is not None:
            return "cancelled", "the job was cancelled"
        if ledger.is_over_for(ledger.submitter) or (ledger.seals and ledger.submitter != self._directory.me):
            return "sealed", "the job is sealed: what it delivered stands; submit the frames again as a new job"
        return None

    def _pictures(self, ledger: JobLedger, task: int) -> list[Signed[Entry]]:
        """Return the results that a person means by a frame: its file's, what counts, or what waits to be checked; and
        the buckets that it was made of.
        """
        own, folded = self._delivery.own(ledger.id), ledger.task(task)
        written = ledger.entries.get(own.delivered[task]) if own is not None and task in own.delivered else None
        meant = [entry for entry in (written, ledger.standing(task)) if entry is not None] or list(folded.waiting)
        if any(result_of(entry).claim.body.assembles for entry in meant):
            cells = (ledger.task(cell).counting for cell in ledger.parts.cells_of(task))
            meant += [entry for entry in cells if entry is not None]
        unruled = (entry for entry in meant if not ledger.opinions.rejected(entry))
        return list({entry.id: entry for entry in unruled}.values())

    def _reject(self, turn: Turn, ledger: JobLedger, entry: Signed[Entry], reason: str) -> None:
        result = result_of(entry)
        what = Reject(task=result.task, result=RecordId(entry.id), reason=reason, block=result.block)
        # Not by a note: it goes to the disk before its person hears that it was taken.
        self._sync.on_publish(turn, Publish(job=ledger.id, what=what))

    def _complain(self, turn: Turn, ledger: JobLedger, pictures: list[Signed[Entry]], reason: str) -> None:
        said: list[Signed[Complaint]] = []
        for entry in pictures:
            result = result_of(entry)
            if result.block is not None:
                continue
            body = Complaint(job=ledger.id, task=result.task, result=RecordId(entry.id), reason=reason)
            complaint = sign(body, self._signer)
            if self._keep(turn, complaint):
                said.append(complaint)
        heard = dict.fromkeys((*self._judges(ledger), *self._keepers.parties(ledger, turn.now)))
        _send(turn, list(heard), said)

    def _keep(self, turn: Turn, complaint: Signed[Complaint]) -> bool:
        """Keep a complaint, over a restart too; tell whether it is new, and one that may be made."""
        new = self._take(complaint)
        if new:
            turn.keep(KeptComplaint(complaint=complaint))
        return new

    def _take(self, complaint: Signed[Complaint]) -> bool:
        body = complaint.body
        ledger = self._ledger.get(body.job)
        if ledger is None or ledger.ended or body.task >= ledger.frames:
            return False
        kept = self._complaints.setdefault(body.job, {})
        same = sum(other.author == complaint.author for other in kept.values())
        full = same >= COMPLAINTS_PER_AUTHOR or len(kept) >= COMPLAINTS_PER_JOB
        ruled = ledger.entries.get(body.result)
        settled = ruled is not None and ledger.is_out(ruled)
        if complaint.id in kept or full or settled or not self._members.is_member(complaint.author):
            return False
        kept[RecordId(complaint.id)] = complaint
        return True

    def _judges(self, ledger: JobLedger) -> Iterator[PeerId]:
        """Yield who may rule and has a channel."""
        return (peer for peer in self._directory.all_connected() if may_reject(peer, ledger, self._members))


def _send(turn: Turn, peers: list[PeerId], complaints: list[Signed[Complaint]]) -> None:
    for portion in portions(Complaints, "complaints", complaints):
        for peer in peers:
            turn.send(peer, Complaints(complaints=portion))


def _decline(turn: Turn, event: RejectAsked, code: str, text: str) -> None:
    turn.do(Reply(op=event.op, reply=Declined(code=code, text=text)))


def _told(frames: list[int]) -> str:
    named = ", ".join(map(str, frames[:_NAMED_AT_MOST]))
    return f"{named} and {len(frames) - _NAMED_AT_MOST} more" if len(frames) > _NAMED_AT_MOST else named
