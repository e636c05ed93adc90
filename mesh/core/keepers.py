"""Who keeps a job's records and arbitrates its claims: a hint that nobody must agree on.

A peer that was asked signs a mark, and the mesh set spreads it. Whoever has something to say to the keepers takes the
five closest to the job id among the marked that answer it; if none has for a while, the closest live peers. In a large
mesh, where most have no channel with a job's keepers, only those near the job miss them. Two peers may see different
keepers: what a keeper decides bounds waste, it never decides which picture stands.
"""

from collections.abc import Callable, Iterable, Iterator

from mesh.core.directory import Directory
from mesh.core.ledger import JobLedger, Ledger
from mesh.core.meshset import MeshSet
from mesh.core.notes import HeadHeard, JobForgotten, MarkHeard, PeerDead, PeerReached, PeersNeeded
from mesh.core.offers import send_items
from mesh.core.turn import Turn
from mesh.ground.ids import JobId, PeerId
from mesh.ground.instants import Instant, Now, wall_later
from mesh.ground.limits import KEEPERLESS_MS, KEEPERS, MARK_LIFE_MS, MARK_MS
from mesh.wire.envelope import Signer, sign
from mesh.wire.messages import KeepAsk
from mesh.wire.records import Mark
from mesh.wire.versions import VERSION_LOWEST

_FRESH_MS = 1_000
"""How long after submission its submitter vouches that no task was claimed: nobody has been told of a keeper before."""

_LOOK_EACH_MS = 3_000

_ASKED_AGAIN_MS = 60_000
"""Who was asked to keep a job and has not said after two looks that it does declines, as with a full store: others are
asked, and it again after a minute."""

_SEEK_MS = KEEPERLESS_MS // 3
"""Keepers that do not answer are looked for after that: a newcomer has mostly met those by then that are nearer to the
job, and leaves it to them."""


def distance(peer: PeerId, job: JobId) -> int:
    """Return how far `peer` is from `job`: the exclusive or of their bits, as in Kademlia."""
    return int.from_bytes(peer, "big") ^ int.from_bytes(job, "big")


class Keepers:
    """Choose keepers for this peer's needs, keep when asked, and find successors."""

    def __init__(
        self,
        ledger: Ledger,
        meshset: MeshSet,
        directory: Directory,
        signer: Signer,
        nodes: Callable[[], Iterable[PeerId]] = tuple,
        *,
        full: Callable[[], bool] = lambda: False,
    ) -> None:
        self._ledger = ledger
        self._meshset = meshset
        self._directory = directory
        self._signer = signer
        self._nodes = nodes
        """The DHT's table: who answered lately."""
        self._full = full
        """Whether this host has no room for what a keeper holds."""
        self._asked_at: dict[JobId, dict[PeerId, Instant]] = {}
        """When peers were first asked to keep one of this peer's jobs."""
        self._keeperless_since: dict[JobId, Instant] = {}
        self._looked_at: dict[JobId, Instant] = {}
        self._submitted_at: dict[JobId, Instant] = {}
        self._introduced: dict[JobId, dict[PeerId, None]] = {}
        """Keepers of this peer's own jobs of whom the others have heard from here."""
        self._ordered: dict[JobId, dict[PeerId, None]] = {}
        """Who has marked each job, closest first, whether the mark still holds or not: asked for many times a turn."""
        self.fresh: dict[JobId, None] = {}
        """Jobs that this boot was asked to keep before anybody could claim from them."""

    def marked(self, job: JobId, now: Now) -> bool:
        """Whether this peer keeps the job's records."""
        return self.keeps(self._directory.me, job, now)

    def keeps(self, peer: PeerId, job: JobId, now: Now) -> bool:
        """Whether `peer` has said that it keeps the job."""
        mark = self._meshset.marks.get(job, {}).get(peer)
        return mark is not None and mark.body.expires >= now.wall

    def of(self, job: JobId, now: Now) -> list[PeerId]:
        """Return the peers that claims and records go to, closest first; this peer may be one."""
        answering = self._answering(job, now)
        if answering:
            return answering[:KEEPERS]
        return self._closest_live(job, now)[:KEEPERS] if self._keeperless(job, now) else []

    def company(self, ledger: JobLedger, now: Now) -> tuple[PeerId, ...]:
        """Return whom whoever has part in a job needs channels with: its closest marked keepers and its submitter."""
        return tuple(dict.fromkeys((*self._live_marks(ledger.id, now)[:KEEPERS], ledger.submitter)))

    def closest(self, ledger: JobLedger, now: Now) -> PeerId | None:
        """Return the closest of those that said that they keep the job, whether it answers or not; None: nobody did."""
        return next(iter(self._live_marks(ledger.id, now)), None)

    def acting(self, job: JobId, now: Now) -> bool:
        """Whether this peer is among those that arbitrate the job."""
        answering = self._answering(job, now)
        if answering:
            return self._directory.me in answering[:KEEPERS]
        return self._keeperless(job, now) and self._near(job, now)

    def parties(self, ledger: JobLedger, now: Now) -> list[PeerId]:
        """Return whom records and holds of a job are told: its keepers and its submitter, without this peer."""
        parties = dict.fromkeys(self.of(ledger.id, now))
        if self._directory.connected(ledger.submitter):
            parties[ledger.submitter] = None
        parties.pop(self._directory.me, None)
        return list(parties)

    def on_started(self, turn: Turn) -> None:
        """Look after the journal's jobs from now on."""
        for job in self._ledger.jobs:
            self._keeperless_since.setdefault(job, turn.now.instant)

    def on_head_heard(self, turn: Turn, note: HeadHeard) -> None:
        """Ask peers to keep this peer's own new job."""
        if note.head.job.author == self._directory.me:
            job = JobId(note.head.job.id)
            self._submitted_at[job] = turn.now.instant
            self.fresh[job] = None
            self._recruit(turn, self._ledger.jobs[job])

    def on_keep_ask(self, turn: Turn, peer: PeerId, ask: KeepAsk) -> None:
        """Keep a job that its submitter or one of its keepers asks this peer to keep, unless the store is full."""
        ledger = self._ledger.get(ask.job)
        if ledger is None or ledger.ended or self.marked(ask.job, turn.now) or self._full():
            return
        if peer != ledger.submitter and peer not in self._meshset.live_marks(ask.job, turn.now.wall):
            return
        if ask.fresh and peer == ledger.submitter and not ledger.entries:
            self.fresh[ask.job] = None
        self._mark(turn, ask.job)

    def on_tick(self, turn: Turn) -> None:
        """Renew own marks in time, replace keepers that are gone, take over where there are none."""
        for job, ledger in self._ledger.jobs.items():
            if ledger.ended:
                continue
            looked = self._looked_at.get(job)
            if looked is None or turn.now.instant - looked >= _LOOK_EACH_MS:
                self._looked_at[job] = turn.now.instant
                self._look_after(turn, ledger)

    def on_peer_dead(self, turn: Turn, note: PeerDead) -> None:
        """Look for a successor at once."""
        for job, ledger in self._ledger.jobs.items():
            if not ledger.ended and note.peer in self._meshset.marks.get(job, {}):
                self._look_after(turn, ledger)

    def on_mark_heard(self, turn: Turn, note: MarkHeard) -> None:
        """A keeper is known again; in a large mesh this peer's own job's other keepers hear of it from here.

        The mesh set takes seconds there, in which each of five would miss the other four, and ask others to keep.
        """
        job, author = note.mark.body.job, note.mark.author
        self._keeperless_since.pop(job, None)
        if not self._directory.crowd or self._ledger.jobs[job].submitter != self._directory.me:
            return
        introduced = self._introduced.setdefault(job, {})
        if author in introduced or author == self._directory.me:
            return  # once each: whoever renews its mark every moment must not have the others hear of it from here
        introduced[author] = None
        marks, live = self._meshset.marks[job], self._meshset.live_marks(job, turn.now.wall)
        others = [peer for peer in live if peer not in (author, self._directory.me)]
        send_items(turn, author, [marks[peer] for peer in others])
        for peer in others:
            send_items(turn, peer, [note.mark])

    def on_peer_reached(self, _turn: Turn, note: PeerReached) -> None:
        """Take a peer that was away for one that was not asked: what it was asked may not have come."""
        for asked in self._asked_at.values():
            asked.pop(note.peer, None)

    def on_job_forgotten(self, _turn: Turn, note: JobForgotten) -> None:
        """Forget when a job was looked at."""
        for times in (self._keeperless_since, self._looked_at, self._submitted_at):
            times.pop(note.job, None)
        for peers in (self._introduced, self._ordered):
            peers.pop(note.job, None)
        self._asked_at.pop(note.job, None)

    def _look_after(self, turn: Turn, ledger: JobLedger) -> None:
        job, now = ledger.id, turn.now
        marks = self._meshset.marks.get(job, {})
        mine = marks.get(self._directory.me)
        if mine is not None and mine.body.expires - now.wall < MARK_LIFE_MS - MARK_MS:
            self._mark(turn, job)
        answering = self._answering(job, now)
        if answering:
            self._keeperless_since.pop(job, None)
        else:
            self._miss(turn, ledger)
        if self._directory.me == ledger.submitter or self._directory.me in answering:
            turn.tell(PeersNeeded(peers=self.company(ledger, now)))
            self._recruit(turn, ledger)

    def _miss(self, turn: Turn, ledger: JobLedger) -> None:
        """Take over a job whose keepers have not answered for long.

        In a large mesh a peer has no channel with most jobs' keepers, which says nothing of them. There it is for those
        near the job to look for them, and to miss them; all others hear of whoever takes over.
        """
        job, now = ledger.id, turn.now
        near = self._near(job, now)
        if self._directory.crowd and not near:
            self._keeperless_since.pop(job, None)
            return
        since = self._keeperless_since.setdefault(job, now.instant)
        if self.acting(job, now):
            self._mark(turn, job)
        elif near and now.instant - since >= _SEEK_MS:
            # Not in large meshes alone: who came lately may not have met its keepers, nor know how large the mesh is.
            turn.tell(PeersNeeded(peers=self.company(ledger, now)))

    def _recruit(self, turn: Turn, ledger: JobLedger) -> None:
        job = ledger.id
        marked = self._meshset.live_marks(job, turn.now.wall)
        live = self._closest_live(job, turn.now)
        # In a large mesh whoever has just said that it keeps the job may not have been reached from here yet.
        keeping = [peer for peer in marked if peer in live or self._just_marked(peer, job, turn.now)]
        able = [peer for peer in live if peer not in marked and not self._declines(job, peer, turn.now)]
        wanted = able[: max(0, KEEPERS - len(keeping))]
        submitted = self._submitted_at.get(job)
        fresh = submitted is not None and turn.now.instant - submitted < _FRESH_MS
        for peer in wanted:
            self._asked_at.setdefault(job, {}).setdefault(peer, turn.now.instant)
            self._meshset.show(turn, peer, ledger)
            turn.send(peer, KeepAsk(job=job, fresh=fresh))

    def _declines(self, job: JobId, peer: PeerId, now: Now) -> bool:
        """Whether a peer was asked to keep a job, had time to say that it does, and has not."""
        asked = self._asked_at.get(job, {})
        if peer not in asked or now.instant - asked[peer] < 2 * _LOOK_EACH_MS:
            return False
        if now.instant - asked[peer] >= _ASKED_AGAIN_MS:
            asked.pop(peer)
            return False
        return True

    def _just_marked(self, peer: PeerId, job: JobId, now: Now) -> bool:
        mark = self._meshset.marks[job][peer]
        return mark.body.expires - now.wall > MARK_LIFE_MS - KEEPERLESS_MS

    def _live_marks(self, job: JobId, now: Now) -> list[PeerId]:
        """Return who has said that it keeps a job, closest first."""
        marks, ordered = self._meshset.marks.get(job, {}), self._ordered.get(job, {})
        if ordered.keys() != marks.keys():
            ordered = dict.fromkeys(sorted(marks, key=lambda peer: distance(peer, job)))
            self._ordered[job] = ordered
        return [peer for peer in ordered if marks[peer].body.expires >= now.wall]

    def _answering(self, job: JobId, now: Now) -> list[PeerId]:
        """Return those of them that answer."""
        return [peer for peer in self._live_marks(job, now) if self._directory.answers(peer, now.instant)]

    def _keeperless(self, job: JobId, now: Now) -> bool:
        since = self._keeperless_since.get(job)
        return since is not None and now.instant - since >= KEEPERLESS_MS

    def _near(self, job: JobId, now: Now) -> bool:
        """Whether this peer is among the closest to the job of those that it has channels with.

        In a large mesh: of the DHT's nodes, too. Everybody's table has more of those near any job than it has channels
        with.
        """
        mine = distance(self._directory.me, job)
        closer: dict[PeerId, None] = {}
        for peer in self._heard_of(job, now):
            if distance(peer, job) < mine:
                closer[peer] = None
                if len(closer) >= KEEPERS:
                    return False
        return True

    def _heard_of(self, job: JobId, now: Now) -> Iterator[PeerId]:
        """Yield who is there, as far as this peer knows; those of the table last, which is seldom asked for them."""
        yield from self._live(job, now)
        if self._directory.crowd:
            yield from self._nodes()

    def _closest_live(self, job: JobId, now: Now) -> list[PeerId]:
        return sorted([self._directory.me, *self._live(job, now)], key=lambda peer: distance(peer, job))

    def _live(self, job: JobId, now: Now) -> Iterator[PeerId]:
        """Yield the others that have a channel, answer on it, and can read what is said of the job."""
        ledger, directory = self._ledger.get(job), self._directory
        needs = ledger.version if ledger is not None else VERSION_LOWEST
        there = (peer for peer in directory.all_connected() if directory.answers(peer, now.instant))
        return (peer for peer in there if directory.speaks(peer, needs))

    def _mark(self, turn: Turn, job: JobId) -> None:
        mark = sign(Mark(job=job, expires=wall_later(turn.now.wall, MARK_LIFE_MS)), self._signer)
        self._meshset.add_mark(turn, mark)
