"""Scenes come to those who need them: peers that can render a job, and its keepers, who then hold them.

A scene is a tree: its root names all its blobs. A peer claims nothing of a job before the whole scene is on its disk. A
root that is no tree names nothing more: who claims of its job finds that out by name, as with any scene that cannot be
read, so that the job tells its person. Of a scene for which this host has no room nothing but the root is fetched.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from mesh.core.effects import OpenStage, ReadTree, WarmEngine
from mesh.core.events import BlobDamaged, TreeRead
from mesh.core.hand import Hand
from mesh.core.host import HostFacts
from mesh.core.keepers import Keepers
from mesh.core.ledger import JobLedger, Ledger
from mesh.core.notes import BlobComplete, BlobsEvicted, HeadHeard, JobEnded, MarkHeard, RoomLacking, SceneComplete
from mesh.core.ops import Ops
from mesh.core.swarm import Swarm
from mesh.core.turn import Turn
from mesh.ground.ids import BlobId, JobId, PeerId
from mesh.ground.instants import Instant, Now

_READ_AGAIN_MS = 5_000
_LOOK_EACH_MS = 5_000
"""How often it is looked whether a scene is needed that went, or has room now."""


@dataclass(slots=True)
class Coming:
    """A scene on its way."""

    jobs: dict[JobId, None] = field(default_factory=dict)
    blobs: tuple[BlobId, ...] | None = None
    """What the root names; None: it was not read yet."""
    lacking: dict[BlobId, int] = field(default_factory=dict)
    """Blobs that are not here, and their sizes in bytes as far as the root tells."""
    admitted: bool = False
    """Whether there was room for what is lacking, so that it is fetched."""
    read_at: Instant = Instant(0)
    """When the root was last to be read."""


class Scenes:
    """Fetch the scenes of jobs that this peer renders or keeps."""

    def __init__(
        self,
        ledger: Ledger,
        keepers: Keepers,
        host: HostFacts,
        swarm: Swarm,
        hand: Hand,
        *,
        ops: Ops,
        me: PeerId,
        rendered: Callable[[JobId], bool],
    ) -> None:
        self._ledger = ledger
        self._keepers = keepers
        self._host = host
        self._swarm = swarm
        self._hand = hand
        self._ops = ops
        self._me = me
        self._rendered = rendered
        """Whether nothing of a job is left to be rendered, as far as this peer was told."""
        self._coming: dict[BlobId, Coming] = {}
        self._whole: dict[BlobId, tuple[BlobId, ...]] = {}
        """What the roots of the scenes name that are wholly here."""
        self._reading: dict[int, BlobId] = {}
        self._looked_at: Instant | None = None

    def complete(self, job: JobId) -> bool:
        """Whether the job's whole scene is on this peer's disk."""
        ledger = self._ledger.get(job)
        return ledger is not None and ledger.job.scene in self._whole

    def needs(self, ledger: JobLedger, now: Now) -> bool:
        """Whether this peer needs a job's scene: to render of it, or to keep it."""
        if ledger.ended or ledger.job.last_day < now.wall:
            return False
        able = self._host.can_render(ledger.job) and not self._host.draining
        # Who has a claim may have heard that the job is over, or have to stop, before it has let go of it.
        renders = (able and not self._rendered(ledger.id)) or bool(self._hand.of(ledger.id))
        return renders or self._keepers.marked(ledger.id, now)

    def in_use(self) -> Iterable[BlobId]:
        """Return which roots are being read, or wait for room."""
        return (*self._reading.values(), *self._coming)

    def lacking_bytes(self) -> int:
        """Return how many bytes are on their way, or soon will be."""
        coming = (each.lacking.items() for each in self._coming.values() if each.admitted)
        return sum(self._swarm.lacking_bytes(blob, size) for lacking in coming for blob, size in lacking)

    def without_room(self) -> Iterator[tuple[JobId, int]]:
        """Yield the jobs whose scene has no room here, and how many bytes of it are lacking."""
        for coming in self._coming.values():
            if coming.lacking and not coming.admitted:
                yield from ((job, sum(coming.lacking.values())) for job in coming.jobs)

    def add(self, turn: Turn, job: JobLedger, blobs: tuple[BlobId, ...]) -> None:
        """Note that this peer itself stored a job's whole scene, which are these blobs."""
        self._whole[job.job.scene] = blobs
        turn.tell(SceneComplete(job=job.id))

    def on_head_heard(self, turn: Turn, note: HeadHeard) -> None:
        """Fetch the scene of a job that this host can render."""
        ledger = self._ledger.get(JobId(note.head.job.id))
        if ledger is not None:
            self.consider(turn, ledger)

    def on_mark_heard(self, turn: Turn, note: MarkHeard) -> None:
        """Fetch the scene of a job that this peer now keeps, to hold it; it may be here already."""
        ledger = self._ledger.get(note.mark.body.job)
        if ledger is None or note.mark.author != self._me:
            return
        if self.complete(ledger.id):
            turn.tell(SceneComplete(job=ledger.id))
        else:
            self.consider(turn, ledger)

    def consider_all(self, turn: Turn) -> None:
        """Look at every job again: this host's engines or its part in jobs have changed."""
        for ledger in self._ledger.jobs.values():
            self.consider(turn, ledger)

    def consider(self, turn: Turn, ledger: JobLedger) -> None:
        """Fetch a job's scene if this peer needs it."""
        if self.complete(ledger.id) or not self.needs(ledger, turn.now):
            return
        coming = self._coming.get(ledger.job.scene)
        if coming is None:
            coming = self._coming[ledger.job.scene] = Coming()
        if ledger.id in coming.jobs:
            return
        coming.jobs[ledger.id] = None
        if self._host.takes_frames and self._host.can_render(ledger.job) and not self._rendered(ledger.id):
            turn.do(WarmEngine(job=ledger.head.job))
        self._fetch_root(turn, ledger.job.scene, coming)

    def on_blob_complete(self, turn: Turn, note: BlobComplete) -> None:
        """Read a root that came; note a part that came."""
        for root, coming in list(self._coming.items()):
            if note.blob == root or note.blob in coming.lacking:
                coming.lacking.pop(note.blob, None)
                self._advance(turn, root, coming)

    def on_blob_damaged(self, turn: Turn, _event: BlobDamaged) -> None:
        """Look at every scene again: which of them the blob belonged to is not kept."""
        self._whole.clear()
        for root, coming in self._coming.items():
            coming.blobs = None
            self._fetch_root(turn, root, coming)
        self.consider_all(turn)

    def on_blobs_evicted(self, _turn: Turn, note: BlobsEvicted) -> None:
        """Believe no more that a scene is here of which something went."""
        gone = dict.fromkeys(note.blobs)
        for root, blobs in list(self._whole.items()):
            if root in gone or not gone.keys().isdisjoint(blobs):
                self._whole.pop(root)
        for root, coming in list(self._coming.items()):
            if not gone.keys().isdisjoint(coming.blobs or ()):
                self._let_be(root)  # nobody needs it, or all of it were bound; who needs it again begins anew

    def on_tick(self, turn: Turn) -> None:
        """Read a root again that the disk would not give; fetch what is needed now, or has room now."""
        for root, coming in list(self._coming.items()):
            if coming.blobs is None and turn.now.instant - coming.read_at >= _READ_AGAIN_MS:
                self._fetch_root(turn, root, coming)
        if self._looked_at is None or turn.now.instant - self._looked_at >= _LOOK_EACH_MS:
            self._looked_at = turn.now.instant
            self.consider_all(turn)
            for root, coming in self._coming.items():
                if coming.lacking and not coming.admitted:
                    self._fetch_parts(turn, root, coming)

    def on_tree_read(self, turn: Turn, event: TreeRead) -> None:
        """Fetch all that the root names."""
        self._reading.pop(event.op, None)
        coming = self._coming.get(event.root)
        if coming is None or event.blobs is None:
            return
        coming.blobs = event.blobs
        sizes = dict(zip(event.blobs, event.sizes, strict=False))
        coming.lacking = {blob: sizes.get(blob, 0) for blob in event.blobs if not self._swarm.complete(blob)}
        coming.admitted = False
        self._fetch_parts(turn, event.root, coming)
        self._advance(turn, event.root, coming)

    def on_job_ended(self, _turn: Turn, note: JobEnded) -> None:
        """Fetch no more for a job that has ended."""
        for root, coming in list(self._coming.items()):
            coming.jobs.pop(note.job, None)
            if not coming.jobs:
                self._let_be(root)

    def _let_be(self, root: BlobId) -> None:
        for blob in (root, *self._coming.pop(root).lacking):
            self._swarm.drop(blob, root)

    def _fetch_parts(self, turn: Turn, root: BlobId, coming: Coming) -> None:
        """Fetch what is lacking, if there is room for all of it."""
        size = sum(coming.lacking.values())
        if not self._host.has_room(size):
            turn.tell(RoomLacking())
            return
        coming.admitted = True
        if self._host.room_bytes is not None:
            self._host.room_bytes -= size
        submitters = [self._ledger.jobs[job].submitter for job in coming.jobs]
        for blob in coming.lacking:
            # Everybody is asked from the start, not just the source: who fetches a scene also passes it on.
            self._swarm.want(turn, blob, root)
            self._swarm.want(turn, blob, root, *submitters)

    def _fetch_root(self, turn: Turn, root: BlobId, coming: Coming) -> None:
        self._swarm.want(turn, root, root, *(self._ledger.jobs[job].submitter for job in coming.jobs))
        self._advance(turn, root, coming)

    def _advance(self, turn: Turn, root: BlobId, coming: Coming) -> None:
        if not self._swarm.complete(root):
            return
        if coming.blobs is None:
            if root not in self._reading.values():
                op = self._ops.next()
                self._reading[op] = root
                coming.read_at = turn.now.instant
                turn.do(ReadTree(op=op, root=root))
            return
        if not coming.lacking:
            self._coming.pop(root)
            self._whole[root] = coming.blobs
            for job in coming.jobs:
                turn.tell(SceneComplete(job=job))

    def on_scene_complete(self, turn: Turn, note: SceneComplete) -> None:
        """Load the scene before the first claim is won."""
        ledger = self._ledger.get(note.job)
        if ledger is None or ledger.ended or ledger.all_count or not self._host.takes_frames:
            return
        if self._host.can_render(ledger.job):
            turn.do(OpenStage(job=ledger.head.job))
