"""Jobs as people give, cancel and fetch them."""

from dataclasses import replace

from mesh.core.delivery import Delivery
from mesh.core.directory import Directory, copies_for
from mesh.core.effects import Accepted, Declined, Reply
from mesh.core.events import CancelAsked, FetchAsked, JobPlanned, WeightAsked
from mesh.core.holds import Holding
from mesh.core.keepers import Keepers
from mesh.core.ledger import JobLedger, Ledger
from mesh.core.membership import Members
from mesh.core.meshset import MeshSet
from mesh.core.notes import Publish
from mesh.core.scenes import Scenes
from mesh.core.swarm import Swarm
from mesh.core.sync import Share, Sync
from mesh.core.turn import Turn
from mesh.ground.ids import JobId, PeerId
from mesh.ground.instants import Now, wall_later
from mesh.ground.limits import (
    COPIES_DEFAULT,
    DURABLE,
    HEARD_MS,
    JOB_DAYS_MS,
    MAX_JOBS_EACH,
    SCENE_HOLDERS,
    TRIES_DEFAULT,
    TRIES_LEAST,
)
from mesh.ground.share_limits import CONTROLS_PER_AUTHOR
from mesh.wire.envelope import Signer, sign
from mesh.wire.members import Role
from mesh.wire.messages import Head
from mesh.wire.records import Cancel, Control, Job
from mesh.wire.versions import needed


class Jobs:
    """Turn commands into records and orders."""

    def __init__(
        self,
        ledger: Ledger,
        members: Members,
        meshset: MeshSet,
        directory: Directory,
        delivery: Delivery,
        *,
        scenes: Scenes,
        swarm: Swarm,
        sync: Sync,
        holding: Holding,
        keepers: Keepers,
        signer: Signer,
    ) -> None:
        self._ledger = ledger
        self._members = members
        self._meshset = meshset
        self._directory = directory
        self._delivery = delivery
        self._scenes = scenes
        self._swarm = swarm
        self._sync = sync
        self._holding = holding
        self._keepers = keepers
        self._signer = signer

    def on_job_planned(self, turn: Turn, event: JobPlanned) -> None:
        """Sign the job, put it on the disk, then tell everybody."""
        if not self._members.mine.roles & Role.SUBMIT:
            text = "this peer was admitted without the role `submit`; ask for an invite that has it"
            turn.do(Reply(op=event.op, reply=Declined(code="may-not-submit", text=text)))
            return
        mine = [ledger.job.number for ledger in self._ledger.jobs.values() if ledger.submitter == self._directory.me]
        draft = Job(
            number=1 + max(mine, default=0),
            name=event.name,
            scene=event.scene,
            engine=event.engine,
            frames=event.frames,
            names=event.names,
            picture=event.picture,
            copies=1,
            tries=1,
            submitted=turn.now.wall,
            last_day=wall_later(turn.now.wall, JOB_DAYS_MS),
            cut=event.cut,
            weight=event.weight,
            check=event.check,
            judges=event.judges,
            memory_mb=event.memory_mb,
        )
        needs, wall = needed(draft), turn.now.wall
        body = replace(
            draft,
            copies=copies_for(self._directory, wall, COPIES_DEFAULT, needs),
            tries=max(TRIES_LEAST, copies_for(self._directory, wall, TRIES_DEFAULT, needs)),
        )
        head = Head(job=sign(body, self._signer), chain=self._members.my_chain)
        job = JobId(head.job.id)
        for blob in event.scene_blobs:
            self._swarm.add(turn, blob)
        self._meshset.add_head(turn, head)
        ledger = self._ledger.get(job)
        if ledger is None:
            text = (
                f"this peer has {MAX_JOBS_EACH} jobs in the mesh, or all peers together have as many as can be; "
                "a job counts until two hours after it has ended"
            )
            turn.do(Reply(op=event.op, reply=Declined(code="too-many-jobs", text=text)))
            return
        self._delivery.order(turn, ledger, event.directory, overwrite=event.overwrite)
        self._scenes.add(turn, ledger, event.scene_blobs)
        turn.do(Reply(op=event.op, reply=Accepted(job=job)))

    def on_cancel_asked(self, turn: Turn, event: CancelAsked) -> None:
        """Cancel a job for good."""
        ledger = self._mine_to_change(turn, event, "cancel")
        if ledger is not None:
            if ledger.cancel is None:
                # Not by a note: the cancel goes to the disk before its person hears that it was taken.
                self._sync.on_publish(turn, Publish(job=event.job, what=Cancel()))
            turn.do(Reply(op=event.op, reply=Accepted(job=event.job)))

    def on_weight_asked(self, turn: Turn, event: WeightAsked) -> None:
        """Give a job another weight."""
        ledger = self._mine_to_change(turn, event, "change")
        if ledger is None:
            return
        if self._sync.share(ledger, turn.now) is Share.NOTHING or self._sync.looks_only(event.job):
            # What others changed is not here: a change that had not seen theirs might not stand.
            self._sync.watch(turn, event.job)
            text = "this peer had no part in the job, and asks its keepers now how it stands: say it again in a moment"
            turn.do(Reply(op=event.op, reply=Declined(code="not-heard", text=text)))
        elif ledger.ended:
            text = "the job is over: there is nothing left to render"
            turn.do(Reply(op=event.op, reply=Declined(code="over", text=text)))
        elif ledger.weight != event.weight and not ledger.controls.may_say(self._directory.me):
            text = f"this peer has changed the job {CONTROLS_PER_AUTHOR} times, which is as often as one may"
            turn.do(Reply(op=event.op, reply=Declined(code="too-many-changes", text=text)))
        else:
            if ledger.weight != event.weight:
                stands = ledger.controls.stands(ledger.voids)
                control = Control(saw=(stands[0],) if stands is not None else (), weight=event.weight)
                self._sync.on_publish(turn, Publish(job=event.job, what=control))
            turn.do(Reply(op=event.op, reply=Accepted(job=event.job)))

    def _mine_to_change(self, turn: Turn, event: CancelAsked | WeightAsked, what: str) -> JobLedger | None:
        """Return the job that a person may change, or say why not."""
        ledger = self._ledger.get(event.job)
        if ledger is None:
            turn.do(Reply(op=event.op, reply=Declined(code="unknown-job", text="no such job is known here")))
            return None
        if ledger.submitter == self._directory.me or self._members.mine.roles & Role.ADMIN:
            return ledger
        text = f"only the peer that submitted a job, or an admin, can {what} it"
        turn.do(Reply(op=event.op, reply=Declined(code=f"may-not-{what}", text=text)))
        return None

    def on_fetch_asked(self, turn: Turn, event: FetchAsked) -> None:
        """Have a job's files brought to a directory of this host."""
        ledger = self._ledger.get(event.job)
        if ledger is None:
            turn.do(Reply(op=event.op, reply=Declined(code="unknown-job", text="no such job is known here")))
            return
        if ledger.cancel is not None:
            turn.do(Reply(op=event.op, reply=Declined(code="cancelled", text="the job was cancelled")))
            return
        self._sync.watch(turn, event.job)
        self._delivery.order(turn, ledger, event.directory, overwrite=event.overwrite)
        turn.do(Reply(op=event.op, reply=Accepted(job=event.job)))

    def scene_holders(self, ledger: JobLedger) -> list[PeerId]:
        """Return the other peers that are known to hold the whole scene."""
        holders = self._holding.holders(ledger.id, ledger.job.scene)
        return [peer for peer in holders if peer != self._directory.me]

    def durable(self, ledger: JobLedger, now: Now) -> bool:
        """Whether the job's record is on as many disks as it should be: a mark is given once it is on the keeper's."""
        others = len(self._directory.heard_within(now.wall, HEARD_MS, ledger.version))
        keeping = [peer for peer in self._meshset.live_marks(ledger.id, now.wall) if peer != self._directory.me]
        return len(keeping) >= min(DURABLE - 1, others)

    def may_go(self, ledger: JobLedger, now: Now) -> bool:
        """Whether this host may be switched off and nothing of the job is lost."""
        others = len(self._directory.heard_within(now.wall, HEARD_MS, ledger.version))
        holders = len(self.scene_holders(ledger))
        return others > 0 and holders >= max(1, min(SCENE_HOLDERS, others)) and self.durable(ledger, now)
