"""Records find their way: pushed to the keepers when they are made, compared by digest ever after.

Every peer that keeps a job or submitted it compares digests with the job's keepers every ten seconds and on
connecting. Digests that differ are followed by digests of each stream, then by short ids of the streams that differ,
then by the missing records, which one is asked for of those that have them: traffic grows with the difference. Stream
numbers only address; what is compared are ids.

Whoever only wrote some of a job's records has those, and what concerns all who wrote any: seals, losses, rejects. It
offers its own streams in the same rhythm and is sent the rest of that share. All results would be as much traffic for
each author as for a keeper.
"""

import enum
from collections.abc import Callable, Iterable

from mesh.core.judge import acts
from mesh.core.keepers import Keepers
from mesh.core.ledger import JobLedger, Ledger
from mesh.core.membership import Members
from mesh.core.notes import (
    ClaimWon,
    EntryAdded,
    JobForgotten,
    MarkHeard,
    OpinionWanted,
    PeerReached,
    PeersNeeded,
    Publish,
)
from mesh.core.sought import Sought
from mesh.core.streams import Stream
from mesh.core.turn import Turn
from mesh.ground.ids import Boot, JobId, PeerId
from mesh.ground.instants import SECOND_MS, Instant, Now, later
from mesh.ground.limits import SYNC_PERIOD_MS
from mesh.wire.envelope import Signed, Signer, sign
from mesh.wire.kept import KeptEntries
from mesh.wire.messages import MAX_IDS, Entries, LedgerDigest, StreamDigest, StreamDigests, StreamIds
from mesh.wire.records import Entry

_SHORT_ID = 16
_ENTRIES_PER_MESSAGE = 16
_CHAINS_PER_MESSAGE = 16
_STREAMS_PER_MESSAGE = 512
STREAMS_PER_ANSWER = 32
"""Streams compared further in answer to one message, so that a false one draws little; the next goes on from there."""
_ENDED_FACTOR = 18
"""Jobs that have ended are compared that much more seldom: only their seals can still differ."""

_SENT_PER_ANSWER = 512
"""Records sent in answer to one list of ids; the next comparison goes on from there."""


class Share(enum.Enum):
    """What a peer wants of a job's records."""

    NOTHING = "nothing"
    """It only follows the job, if at all."""
    OWN = "own"
    """What it wrote itself, and what concerns all who wrote anything."""
    ALL = "all"


class Sync:
    """Publish this peer's records, take others', and make ledgers equal."""

    def __init__(
        self,
        ledger: Ledger,
        members: Members,
        keepers: Keepers,
        *,
        signer: Signer,
        boot: Boot,
        assembles: Callable[[JobId], bool],
        hears: Callable[[Instant], bool],
    ) -> None:
        self._ledger = ledger
        self._members = members
        self._keepers = keepers
        self._signer = signer
        self._boot = boot
        self._assembles = assembles
        """Whether this peer has claimed to assemble a frame of a job, for which it needs others' buckets."""
        self._hears = hears
        """Whether this peer still listens for what it missed while it slept."""
        self._me = members.mine.peer
        self._number: dict[JobId, int] = {}
        self._next: dict[JobId, Instant] = {}
        self._watched: dict[JobId, None] = {}
        self._looking: dict[JobId, None] = {}
        self._looked: dict[JobId, None] = {}
        """Jobs of which this peer took others' results only because a person asked about them."""
        self._sought = Sought()

    def restore(self, entries: Iterable[Signed[Entry]]) -> None:
        """Take the journal's records; their chains were learned before."""
        for entry in entries:
            ledger = self._ledger.get(entry.body.job)
            if ledger is not None and acts(entry, ledger, self._members):
                ledger.add(entry)

    def watch(self, turn: Turn, job: JobId) -> None:
        """Have a job's records compared although this peer has no part in it: a person here wants its files."""
        self._watched[job] = None
        self._looked.pop(job, None)  # all is wanted for good now
        ledger = self._ledger.jobs[job]
        for peer in self._keepers.parties(ledger, turn.now):
            self._compare(turn, ledger, peer)

    def begin_look(self, ledger: JobLedger, now: Now) -> None:
        """Want all records of a job until `end_look`, and what is wanted now again afterwards."""
        if self.share(ledger, now) is Share.ALL:
            self._looked.pop(ledger.id, None)
        else:
            self._looked[ledger.id] = None
        self._looking[ledger.id] = None

    def end_look(self, job: JobId) -> None:
        """Want of a job's records what was wanted before: whoever once looked would else be one more keeper."""
        self._looking.pop(job, None)

    def ask_streams(self, turn: Turn, ledger: JobLedger, peer: PeerId) -> None:
        """Tell a peer all streams and ask for its own, which it tells even where nothing differs."""
        _tell_streams(turn, peer, ledger, [stream.told() for stream in ledger.streams.values()], asked=True)

    def share(self, ledger: JobLedger, now: Now) -> Share:
        """Return what this peer wants of a job's records.

        Whoever has another's result has kept the job, and wants all: what it shows must not be half of them. So does
        who renders buckets, of which many make one picture.
        """
        job, me = ledger.id, self._me
        if ledger.submitter == me or job in self._watched or ledger.in_buckets or self._assembles(job):
            return Share.ALL
        if job in self._looking or self._keepers.marked(job, now) or self._keepers.acting(job, now):
            return Share.ALL
        # Who took others' results for a person's question alone goes on as before.
        others = (stream for stream in ledger.streams.values() if stream.author != me and job not in self._looked)
        if any(len(stream.ids) > len(stream.common) for stream in others):
            return Share.ALL
        return Share.OWN if ledger.entries else Share.NOTHING

    def has_all(self, ledger: JobLedger, now: Now) -> bool:
        """Whether this peer compares until it has all records of a job, and not for a moment alone."""
        return not self.looks_only(ledger.id) and self.share(ledger, now) is Share.ALL

    def looks_only(self, job: JobId) -> bool:
        """Whether all records of a job are wanted for a person's question alone, and may not be here yet."""
        return job in self._looking and job in self._looked

    def central(self, ledger: JobLedger, now: Now) -> bool:
        """Whether this peer is one that all others send a job's records to."""
        return ledger.submitter == self._me or self._keepers.marked(ledger.id, now)

    def on_publish(self, turn: Turn, note: Publish) -> None:
        """Write a record in this peer's stream, to the disk first, then to the keepers and the submitter."""
        ledger = self._ledger.get(note.job)
        if ledger is None:
            return
        number = self._number.get(note.job, 0) + 1
        self._number[note.job] = number
        entry = sign(Entry(job=note.job, boot=self._boot, number=number, what=note.what), self._signer)
        if not acts(entry, ledger, self._members):
            return
        self._add(turn, ledger, [entry], own=True)
        message = self._message(ledger.id, [entry])
        for peer in self._keepers.parties(ledger, turn.now):
            turn.send(peer, message)

    def on_opinion_wanted(self, turn: Turn, note: OpinionWanted) -> None:
        """Send the results that a peer's own picture is to be compared with."""
        ledger = self._ledger.get(note.job)
        waiting = ledger.task(note.task).waiting[:_ENTRIES_PER_MESSAGE] if ledger is not None else ()
        if ledger is not None and waiting and note.peer != self._me:
            turn.send(note.peer, self._message(ledger.id, list(waiting)))

    def on_entries(self, turn: Turn, message: Entries) -> None:
        """Take records, to the disk before they act."""
        ledger = self._ledger.get(message.job)
        if ledger is None:
            return
        for chain in message.chains:
            self._members.take(turn, chain)
        new = [entry for entry in message.entries if entry.id not in ledger.entries]
        fresh = [entry for entry in new if acts(entry, ledger, self._members)]
        self._add(turn, ledger, fresh, own=False)
        if len(fresh) >= _ENTRIES_PER_MESSAGE:
            self._next[ledger.id] = later(turn.now.instant, SECOND_MS)  # much was missing here: more may be

    def on_mark_heard(self, turn: Turn, note: MarkHeard) -> None:
        """Compare with a keeper that is new to us."""
        ledger = self._ledger.get(note.mark.body.job)
        if note.mark.author == self._me:
            self._looked.pop(note.mark.body.job, None)  # who kept it once wants all for good
        elif ledger is not None:
            self._compare(turn, ledger, note.mark.author)

    def on_peer_reached(self, turn: Turn, note: PeerReached) -> None:
        """Compare every job that both may have part in: anybody may know another seal of one that has ended."""
        for ledger in self._ledger.jobs.values():
            share = self.share(ledger, turn.now)
            own = share is Share.OWN and not ledger.ended
            if not own or note.peer in self._keepers.parties(ledger, turn.now):
                self._tell(turn, ledger, note.peer, share)

    def on_job_forgotten(self, _turn: Turn, note: JobForgotten) -> None:
        """Forget that a person looked at a job."""
        self._looking.pop(note.job, None)
        self._looked.pop(note.job, None)

    def on_claim_won(self, turn: Turn, note: ClaimWon) -> None:
        """Learn of the buckets of a frame that this peer is to assemble."""
        ledger = self._ledger.get(note.claim.body.job)
        if ledger is not None and note.claim.body.assembles:
            for peer in self._partners(turn, ledger):
                self._compare(turn, ledger, peer)

    def on_tick(self, turn: Turn) -> None:
        """Compare with the keepers now and then."""
        for job, ledger in self._ledger.jobs.items():
            due = self._next.get(job)
            if due is None:
                self._next[job] = later(turn.now.instant, turn.dice.below(SYNC_PERIOD_MS))
            elif due <= turn.now.instant or self._sought.in_vain(job, ledger.streams, turn.now.instant):
                period_ms = SYNC_PERIOD_MS * (_ENDED_FACTOR if ledger.ended else 1)
                self._next[job] = later(turn.now.instant, turn.dice.jitter(period_ms))
                if self.share(ledger, turn.now) is not Share.NOTHING:
                    turn.tell(PeersNeeded(peers=self._keepers.company(ledger, turn.now)))
                    for peer in self._partners(turn, ledger):
                        self._compare(turn, ledger, peer)

    def _partners(self, turn: Turn, ledger: JobLedger) -> list[PeerId]:
        """Return whom to compare with now: a keeper or submitter with all of them, anybody else with one of them.

        What others lack is mostly what they were not told, and each of the keepers would send all of it.
        """
        parties = self._keepers.parties(ledger, turn.now)
        if self.central(ledger, turn.now) or self._keepers.acting(ledger.id, turn.now) or not parties:
            return parties
        return [parties[turn.dice.below(len(parties))]]

    def compare_all(self, turn: Turn) -> None:
        """Compare every job with its keepers now: this host has missed something."""
        for ledger in self._ledger.jobs.values():
            if not ledger.ended:
                for peer in self._keepers.parties(ledger, turn.now):
                    self._compare(turn, ledger, peer)

    def on_ledger_digest(self, turn: Turn, peer: PeerId, message: LedgerDigest) -> None:
        """Answer a digest that differs."""
        ledger = self._ledger.get(message.job)
        if ledger is None or (message.count, message.digest) == (len(ledger.entries), ledger.digest()):
            return
        match self.share(ledger, turn.now):
            case Share.ALL:
                _tell_streams(turn, peer, ledger, [stream.told() for stream in ledger.streams.values()], asked=True)
            case Share.OWN:
                self._tell_own(turn, peer, ledger)
            case Share.NOTHING:
                pass

    def on_stream_digests(self, turn: Turn, peer: PeerId, message: StreamDigests) -> None:
        """Ask for what differs by telling what is here; tell one's own streams when asked, else what concerns all."""
        ledger = self._ledger.get(message.job)
        share = self.share(ledger, turn.now) if ledger is not None else Share.NOTHING
        if ledger is None or share is Share.NOTHING:
            return
        answered = 0
        for theirs in message.streams:
            mine = ledger.streams.get((theirs.author, theirs.boot)) or Stream(theirs.author, theirs.boot)
            # Who asks has all records. Others tell all of their own streams, but of any else what concerns everybody.
            wanted = share is Share.ALL or theirs.author == self._me or not (message.asked or theirs.author == peer)
            if wanted and not mine.is_told(theirs):
                if not self._sought.ask(ledger.id, theirs, len(mine.ids), peer, turn.now.instant):
                    continue
                self._tell_ids(turn, peer, ledger.id, mine)
                answered += 1
            if answered >= STREAMS_PER_ANSWER:
                if share is Share.ALL:
                    self._next[ledger.id] = later(turn.now.instant, SECOND_MS)  # more differ: go on soon
                break
        if not message.asked:
            self._send_common(turn, peer, ledger, message.streams)
        elif share is Share.OWN:
            self._tell_own(turn, peer, ledger)
        elif not self._hears(turn.now.instant):
            # Who slept may lack what is long known, and whoever looks for all there is would take its word: it hears
            # first, and compares again then.
            _tell_streams(turn, peer, ledger, [stream.told() for stream in ledger.streams.values()], asked=False)

    def on_stream_ids(self, turn: Turn, peer: PeerId, message: StreamIds) -> None:
        """Send what the other lacks of one stream."""
        ledger = self._ledger.get(message.job)
        stream = ledger.streams.get((message.author, message.boot)) if ledger else None
        if ledger is None or stream is None:
            return
        theirs = frozenset(message.ids)
        lacking = [
            ledger.entries[identifier]
            for identifier in stream.ids
            if message.low <= identifier[:_SHORT_ID] <= message.high and identifier[:_SHORT_ID] not in theirs
        ]
        self._send(turn, peer, ledger.id, lacking)

    def _send_common(self, turn: Turn, peer: PeerId, ledger: JobLedger, streams: Iterable[StreamDigest]) -> None:
        """Send what concerns all who wrote records, as far as none of the streams told shows that the other has it."""
        found = [(key, stream) for key, stream in ledger.streams.items() if stream.common and stream.author != peer]
        if not found:
            return  # as nearly always
        told = {(theirs.author, theirs.boot): theirs for theirs in streams}
        lacking: list[Signed[Entry]] = []
        for key, stream in found:
            if not (key in told and stream.is_told(told[key])):
                lacking += [ledger.entries[identifier] for identifier in stream.common]
        self._send(turn, peer, ledger.id, lacking)

    def _send(self, turn: Turn, peer: PeerId, job: JobId, entries: list[Signed[Entry]]) -> None:
        for at in range(0, min(len(entries), _SENT_PER_ANSWER), _ENTRIES_PER_MESSAGE):
            turn.send(peer, self._message(job, entries[at : at + _ENTRIES_PER_MESSAGE]))

    def _tell_own(self, turn: Turn, peer: PeerId, ledger: JobLedger) -> None:
        """Tell this peer's own streams, and of others' what concerns all who wrote any."""
        told = [
            stream.told() if stream.author == self._me else stream.told_common()
            for stream in ledger.streams.values()
            if stream.author == self._me or stream.common
        ]
        _tell_streams(turn, peer, ledger, told, asked=False)

    def _tell_ids(self, turn: Turn, peer: PeerId, job: JobId, stream: Stream) -> None:
        """Tell all ids of a stream, in parts by their order: authors choose their ids, and no part may be too long."""
        ids = sorted(dict.fromkeys(identifier[:_SHORT_ID] for identifier in stream.ids))
        low = bytes(_SHORT_ID)
        for at in range(0, max(1, len(ids)), MAX_IDS):
            after = ids[at + MAX_IDS] if at + MAX_IDS < len(ids) else None
            high = _before(after) if after is not None else b"\xff" * _SHORT_ID
            part = tuple(ids[at : at + MAX_IDS])
            turn.send(
                peer,
                StreamIds(job=job, author=stream.author, boot=stream.boot, ids=part, low=low, high=high),
            )
            low = after if after is not None else low

    def _compare(self, turn: Turn, ledger: JobLedger, peer: PeerId) -> None:
        self._tell(turn, ledger, peer, self.share(ledger, turn.now))

    def _tell(self, turn: Turn, ledger: JobLedger, peer: PeerId, share: Share) -> None:
        match share:
            case Share.ALL:
                turn.send(peer, LedgerDigest(job=ledger.id, count=len(ledger.entries), digest=ledger.digest()))
            case Share.OWN:
                self._tell_own(turn, peer, ledger)
            case Share.NOTHING:
                pass

    def _add(self, turn: Turn, ledger: JobLedger, entries: list[Signed[Entry]], *, own: bool) -> None:
        fresh: list[Signed[Entry]] = []
        changed: dict[int, None] = {}
        for entry in entries:
            tasks = ledger.add(entry)
            if tasks is None:
                continue
            fresh.append(entry)
            changed.update(dict.fromkeys(tasks))
        if fresh:
            turn.keep(KeptEntries(entries=tuple(fresh)))
        for entry in fresh:
            turn.tell(EntryAdded(entry=entry, own=own))
        for note in ledger.news(changed):
            turn.tell(note)

    def _message(self, job: JobId, entries: list[Signed[Entry]]) -> Entries:
        authors = dict.fromkeys(entry.author for entry in entries)
        chains = [chain for author in authors if (chain := self._members.chain(author)) is not None]
        return Entries(job=job, entries=tuple(entries), chains=tuple(chains[:_CHAINS_PER_MESSAGE]))


def _before(short: bytes) -> bytes:
    return (int.from_bytes(short, "big") - 1).to_bytes(_SHORT_ID, "big")


def _tell_streams(turn: Turn, peer: PeerId, ledger: JobLedger, told: list[StreamDigest], *, asked: bool) -> None:
    """Tell streams; the last message asks for the other's, also where there is nothing to tell."""
    for at in range(0, max(1, len(told)), _STREAMS_PER_MESSAGE):
        part, last = tuple(told[at : at + _STREAMS_PER_MESSAGE]), at + _STREAMS_PER_MESSAGE >= len(told)
        turn.send(peer, StreamDigests(job=ledger.id, streams=part, asked=asked and last))
