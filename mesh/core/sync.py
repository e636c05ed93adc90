"""Records find their way: pushed to the keepers when they are made, compared by digest ever after.

Every peer that keeps a job, submitted it or wrote records of it compares digests with the job's keepers every ten
seconds and on connecting. Digests that differ are followed by digests of each stream, then by short ids of the streams
that differ, then by the missing records: traffic grows with the difference. Stream numbers only address; what is
compared are ids.
"""

from collections.abc import Iterable

from mesh.core.judge import acts
from mesh.core.keepers import Keepers
from mesh.core.ledger import JobLedger, Ledger
from mesh.core.membership import Members
from mesh.core.notes import EntryAdded, MarkHeard, OpinionWanted, PeerReached, PeersNeeded, Publish
from mesh.core.streams import Stream
from mesh.core.turn import Turn
from mesh.ground.ids import Boot, JobId, PeerId
from mesh.ground.instants import SECOND_MS, Instant, Now, later
from mesh.ground.limits import SYNC_PERIOD_MS
from mesh.wire.envelope import Signed, Signer, sign
from mesh.wire.kept import KeptEntries
from mesh.wire.messages import MAX_IDS, Entries, LedgerDigest, StreamDigests, StreamIds
from mesh.wire.records import Entry

_SHORT_ID = 16
_ENTRIES_PER_MESSAGE = 16
_CHAINS_PER_MESSAGE = 16
_STREAMS_PER_MESSAGE = 512
_STREAMS_PER_ANSWER = 32
"""Streams compared further in answer to one message, so that a false one draws little; the next goes on from there."""
_ENDED_FACTOR = 18
"""Jobs that have ended are compared that much more seldom: only their seals can still differ."""

_SENT_PER_ANSWER = 512
"""Records sent in answer to one list of ids; the next comparison goes on from there."""


class Sync:
    """Publish this peer's records, take others', and make ledgers equal."""

    def __init__(self, ledger: Ledger, members: Members, keepers: Keepers, *, signer: Signer, boot: Boot) -> None:
        self._ledger = ledger
        self._members = members
        self._keepers = keepers
        self._signer = signer
        self._boot = boot
        self._me = members.mine.peer
        self._number: dict[JobId, int] = {}
        self._next: dict[JobId, Instant] = {}
        self._watched: dict[JobId, None] = {}

    def restore(self, entries: Iterable[Signed[Entry]]) -> None:
        """Take the journal's records; their chains were learned before."""
        for entry in entries:
            ledger = self._ledger.get(entry.body.job)
            if ledger is not None and acts(entry, ledger, self._members):
                ledger.add(entry)

    def watch(self, turn: Turn, job: JobId) -> None:
        """Have a job's records compared although this peer has no part in it: a person here wants its files."""
        self._watched[job] = None
        ledger = self._ledger.jobs[job]
        for peer in self._keepers.parties(ledger, turn.now):
            self._compare(turn, ledger, peer)

    def takes_part(self, ledger: JobLedger, now: Now) -> bool:
        """Whether this peer wants all records of the job. Whoever has one does: what it shows must not be half of them,
        and above a seal that it knows another may stand.
        """
        job = ledger.id
        if ledger.submitter == self._me or job in self._watched or ledger.entries:
            return True
        return self._keepers.marked(job, now) or self._keepers.acting(job, now)

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
        if ledger is not None and note.mark.author != self._me and self.takes_part(ledger, turn.now):
            self._compare(turn, ledger, note.mark.author)

    def on_peer_reached(self, turn: Turn, note: PeerReached) -> None:
        """Compare every job that both may have part in."""
        for ledger in self._ledger.jobs.values():
            if self.takes_part(ledger, turn.now):
                self._compare(turn, ledger, note.peer)

    def on_tick(self, turn: Turn) -> None:
        """Compare with the keepers now and then."""
        for job, ledger in self._ledger.jobs.items():
            due = self._next.get(job)
            if due is None:
                self._next[job] = later(turn.now.instant, turn.dice.below(SYNC_PERIOD_MS))
            elif due <= turn.now.instant:
                period_ms = SYNC_PERIOD_MS * (_ENDED_FACTOR if ledger.ended else 1)
                self._next[job] = later(turn.now.instant, turn.dice.jitter(period_ms))
                if self.takes_part(ledger, turn.now):
                    turn.tell(PeersNeeded(peers=self._keepers.company(ledger, turn.now)))
                    for peer in self._partners(turn, ledger):
                        self._compare(turn, ledger, peer)

    def _partners(self, turn: Turn, ledger: JobLedger) -> list[PeerId]:
        """Return whom to compare with now: a keeper or submitter with all of them, anybody else with one of them.

        What others lack is mostly what they were not told, and each of the keepers would send all of it.
        """
        parties = self._keepers.parties(ledger, turn.now)
        central = ledger.submitter == self._me or self._keepers.marked(ledger.id, turn.now)
        if central or self._keepers.acting(ledger.id, turn.now) or not parties:
            return parties
        return [parties[turn.dice.below(len(parties))]]

    def compare_all(self, turn: Turn) -> None:
        """Compare every job with its keepers now: this host has missed something."""
        for ledger in self._ledger.jobs.values():
            if not ledger.ended and self.takes_part(ledger, turn.now):
                for peer in self._keepers.parties(ledger, turn.now):
                    self._compare(turn, ledger, peer)

    def on_ledger_digest(self, turn: Turn, peer: PeerId, message: LedgerDigest) -> None:
        """Answer a digest that differs."""
        ledger = self._ledger.get(message.job)
        if ledger is None or (message.count, message.digest) == (len(ledger.entries), ledger.digest()):
            return
        _tell_streams(turn, peer, ledger, asked=True)

    def on_stream_digests(self, turn: Turn, peer: PeerId, message: StreamDigests) -> None:
        """Ask for what differs by telling what is here; tell one's own streams when asked."""
        ledger = self._ledger.get(message.job)
        if ledger is None:
            return
        answered = 0
        for theirs in message.streams:
            mine = ledger.streams.get((theirs.author, theirs.boot)) or Stream(theirs.author, theirs.boot)
            told = mine.told()
            if told.digest != theirs.digest or told.count != theirs.count:
                self._tell_ids(turn, peer, ledger.id, mine)
                answered += 1
            if answered >= _STREAMS_PER_ANSWER:
                break
        if message.asked and ledger.streams:
            _tell_streams(turn, peer, ledger, asked=False)

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
        for at in range(0, min(len(lacking), _SENT_PER_ANSWER), _ENTRIES_PER_MESSAGE):
            turn.send(peer, self._message(ledger.id, lacking[at : at + _ENTRIES_PER_MESSAGE]))

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
        turn.send(peer, LedgerDigest(job=ledger.id, count=len(ledger.entries), digest=ledger.digest()))

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


def _tell_streams(turn: Turn, peer: PeerId, ledger: JobLedger, *, asked: bool) -> None:
    """Tell all streams; the last message asks for the other's, also where there is nothing to tell."""
    listed = [stream.told() for stream in ledger.streams.values()]
    for at in range(0, max(1, len(listed)), _STREAMS_PER_MESSAGE):
        part, last = tuple(listed[at : at + _STREAMS_PER_MESSAGE]), at + _STREAMS_PER_MESSAGE >= len(listed)
        turn.send(peer, StreamDigests(job=ledger.id, streams=part, asked=asked and last))
