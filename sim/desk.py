"""A desk with made-up jobs, for tests of the local API and of what a person types.

It keeps jobs in a dictionary and answers from them; a test changes a job and calls `changed`. It knows nothing of
peers, records or renderers, and never waits for anything but `changed`.
"""

from collections.abc import AsyncIterator, Callable

import trio

from mesh.ground.errors import MeshError
from mesh.ground.ids import short
from mesh.ports.desk import (
    Ambiguous,
    ChangedAnswer,
    FetchAnswer,
    JobAnswer,
    JobChange,
    JobRow,
    JobsAnswer,
    NotFound,
    Progress,
    RefusalRow,
    Refused,
    Report,
    StatusAnswer,
    SubmitAnswer,
    TaskRow,
    UnknownPeer,
)
from mesh.ports.enginerows import EnginesAnswer
from mesh.ports.logs import LogAnswer
from mesh.ports.owner import PauseAnswer, PauseRow, ReachAnswer
from mesh.ports.roster import (
    InviteAnswer,
    MembersAnswer,
    PeerAnswer,
    PeerRow,
    PointerRow,
    RevokeAnswer,
    RevokeInviteAnswer,
    RevokeRequest,
)
from mesh.ports.stills import BucketsAnswer
from mesh.ports.stores import BoundRow, FreeAnswer, RotRow, StoreAnswer, StoreRow
from mesh.ports.submission import PictureRow, SubmitRequest
from mesh.ports.trust import RejectAnswer
from mesh.wire.tasks import parse_frames
from sim import bucketrows, storerows
from sim.memberrows import ME, OTHER, member_row, peer_row

EXAMPLE_INVITE = "meshnode1-example"
"""The invite that it makes up."""
PICTURE = PictureRow(format="PNG", width=1920, height=1080, color_mode="RGB", depth=8)


def job_row(number: int = 1, name: str = "shot", tasks: int = 4) -> JobRow:
    """Make a fresh job's row."""
    return JobRow(
        id=number.to_bytes(1, "big").hex() * 32,
        name=name,
        state="rendering",
        mine=True,
        submitter=ME,
        submitter_name="desk",
        submitted_at_ms=1_790_000_000_000,
        last_day_at_ms=1_797_776_000_000,
        engine="blender 4.2.23",
        frames=f"1-{tasks}",
        tasks=tasks,
        counting=0,
        running=1,
        safe=0,
        stopped=0,
        cells=0,
        cells_counting=0,
        coordinator="",
        pixels=0,
        pixels_counting=0,
        pixel_ns=0,
        delivered=0,
        copies=2,
        durable=False,
        scene_holders=0,
        may_go=False,
        only_here=False,
        keeping=True,
        weight=10,
        median_ms=2_500,
        directory="/shots/render",
        preview="",
        problems=[],
        unwritten=[],
        blocked=0,
        check="once",
        judges=[],
        waiting=0,
        complaints=[],
    )


def task_row(frame: int, state: str = "open") -> TaskRow:
    """Make a frame's row, open or counting."""
    done = state == "counts"
    return TaskRow(
        frame=frame,
        file=f"shot_{frame:04d}.png",
        state="counts" if done else "open",
        delivered=done,
        holder=OTHER if done else "",
        holder_name="studio" if done else "",
        attempt=1 if done else 0,
        render_ms=2_500 if done else 0,
        holds=1 if done else 0,
        has_log=done,
        failures=[],
        waiting=[],
        voucher_name="",
    )


class FakeDesk:
    """A desk that does as a test says; `calls` lists what was asked of it, with its arguments."""

    def __init__(self) -> None:
        self.rows: dict[str, JobRow] = {}
        self.tasks: dict[str, list[TaskRow]] = {}
        self.stills: dict[str, dict[int, BucketsAnswer]] = {}
        """By job and frame, those that are rendered in buckets."""
        self.peers = [peer_row(), peer_row(OTHER, "studio", me=False)]
        self.member_rows = [member_row(ME, "desk"), member_row(OTHER, "studio", by=ME)]
        self.calls: list[tuple[object, ...]] = []
        self.fails: dict[str, MeshError] = {}
        """What a method of that name raises."""
        self.refusals: list[RefusalRow] = []
        """What `submit` finds against the next scene."""
        self.progress: list[Progress] = []
        """What `submit` and `fetch` report on the way."""
        self.log_text = "Fra:1 Mem:20M\nSegmentation fault\n"
        """What the engine printed in every attempt."""
        self.paused: PauseRow | None = None
        self.reached = ReachAnswer(peer="", peer_name="", connected=False, tried=[], reports=[], silent=[])
        """What `reach` found, but for the peer that was named."""
        self.whole = True
        """Whether all that is known of jobs is here."""
        self.on_watch: Callable[[], None] | None = None
        """Called whenever somebody who watches a job has been told what there is."""
        self.thrown_out = ""
        """Why this peer is no member any more."""
        self.on_status: Callable[[], None] | None = None
        """Called whenever somebody asked for the status, after that was taken down."""
        self.store_row = StoreRow(quota_bytes=0, full=False, no_room=[])
        """How the store stands."""
        self.bound: list[BoundRow] = []
        """What jobs bind of it."""
        self.rotten: list[RotRow] = []
        self._change = trio.Event()

    def add(self, row: JobRow) -> JobRow:
        """Let the desk know a job whose frames are all open."""
        self.rows[row["id"]] = row
        self.tasks[row["id"]] = [task_row(frame) for frame in range(1, row["tasks"] + 1)]
        self.changed()
        return row

    def grow(self, row: JobRow, told: BucketsAnswer) -> None:
        """Let a frame of the job have grown so far."""
        self.stills.setdefault(row["id"], {})[told["frame"]] = told
        bucketrows.take_in(row, told)
        self.changed()

    def deliver(self, row: JobRow, frame: int) -> None:
        """Let a frame of the job be rendered and delivered."""
        self.tasks[row["id"]][frame - 1] = task_row(frame, "counts")
        row["counting"] += 1
        row["delivered"] += 1
        if row["delivered"] == row["tasks"]:
            row["state"], row["running"] = "sealed", 0
        self.changed()

    def changed(self) -> None:
        """Tell everybody who watches."""
        self._change.set()
        self._change = trio.Event()

    def _asked(self, *call: object) -> None:
        self.calls.append(call)
        if (error := self.fails.get(str(call[0]))) is not None:
            raise error

    def _find(self, wanted: str) -> JobRow:
        found = [row for row in self.rows.values() if row["id"].startswith(wanted) or row["name"] == wanted]
        if not found:
            raise NotFound(f"there is no job {wanted}")
        if len(found) > 1:
            raise Ambiguous(f"{wanted} may be {', '.join(short(bytes.fromhex(row['id'])) for row in found)}")
        return found[0]

    async def peer(self, peer: str) -> PeerAnswer:
        """Tell of one of the two, as if its pointer were in the DHT."""
        self._asked("peer", peer)
        found = [row for row in self.peers if peer in (row["name"], row["id"])]
        if not found:
            raise NotFound(f"no peer is called {peer!r}")
        row = found[0]
        told = PointerRow(
            name=row["name"],
            addresses=row["addresses"],
            slots=row["slots"],
            busy=row["busy"],
            cores=8,
            memory_mb=16_384,
            draining=False,
            expires_at_ms=1_790_001_260_000,
        )
        return PeerAnswer(id=row["id"], seen=row, told=told)

    async def status(self) -> StatusAnswer:
        """Tell of two peers and all jobs."""
        self._asked("status")
        answer = StatusAnswer(
            version="0.1.0",
            id=ME,
            name="desk",
            mesh="c3" * 32,
            mesh_name="films",
            home="/home/desk",
            roles=["render", "submit", "invite"],
            membership_expires_at_ms=1_792_592_000_000,
            now_at_ms=1_790_000_060_000,
            draining=False,
            handing_over=0,
            paused=self.paused,
            addresses=["192.168.1.5:40001"],
            bootstraps=[],
            beacon={"on": True, "port": 47_877, "since_at_ms": 1_790_000_000_000, "heard_at_ms": None, "faults": []},
            stored_bytes=storerows.STORED_BYTES,
            free_bytes=storerows.FREE_BYTES,
            store=StoreRow(**self.store_row),
            peers=[PeerRow(**peer) for peer in self.peers],
            cloned="",
            given_up=0,
            thrown_out=self.thrown_out,
            renders=[
                {"job": row["id"], "frame": 2, "region": [], "slot": 0, "sample": 7} for row in self.rows.values()
            ],
            jobs=list(self.rows.values()),
        )
        if self.on_status is not None:
            self.on_status()
        return answer

    async def jobs(self) -> JobsAnswer:
        """List the jobs."""
        self._asked("jobs")
        return JobsAnswer(jobs=list(self.rows.values()), paused=self.paused)

    async def job(self, job: str) -> JobAnswer:
        """Tell of one job."""
        self._asked("job", job)
        row = self._find(job)
        helpers = [
            {"id": ME, "name": "desk", "lacks": ""},
            {"id": OTHER, "name": "studio", "lacks": "it lacks blender 4.2.23"},
        ]
        return JobAnswer(
            job=row,
            picture=PICTURE,
            scene="d4" * 32,
            helpers=[{"id": one["id"], "name": one["name"], "lacks": one["lacks"]} for one in helpers],
            whole=self.whole,
            shares=[share for told in self.stills.get(row["id"], {}).values() for share in bucketrows.shares(told)],
            frames=self.tasks[row["id"]],
        )

    async def buckets(self, job: str, frame: int | None) -> BucketsAnswer:
        """Tell of a frame in buckets, the first one where none is named."""
        self._asked("buckets", job, frame)
        row = self._find(job)
        grown = self.stills.get(row["id"], {})
        number = next(iter(grown), None) if frame is None else frame
        if number not in grown:
            raise NotFound(f"frame {frame} of {row['name']} is not rendered in buckets, but whole")
        return grown[number]

    async def engines(self) -> EnginesAnswer:
        """Tell of one good engine and a broken one."""
        self._asked("engines")
        return EnginesAnswer(
            usable=[
                {
                    "name": "blender",
                    "version": "4.2.23",
                    "build": "a1b2c3d4e5f6",
                    "program": "/cache/bpy/bin/python",
                    "renders": ["CYCLES"],
                }
            ],
            broken=[{"name": "blender", "program": "/usr/bin/blender", "reason": "libGL.so.1 is missing"}],
        )

    async def submit(self, request: SubmitRequest, report: Report) -> SubmitAnswer:
        """Take any scene that nothing was said against."""
        self._asked("submit", request)
        for progress in self.progress:
            report(progress)
            await trio.lowlevel.checkpoint()
        if self.refusals:
            raise Refused(self.refusals)
        row = None if request["dry_run"] else self.add(job_row(len(self.rows) + 1, request["name"] or "shot"))
        return SubmitAnswer(
            job=row,
            name=request["name"] or "shot",
            scene=request["scene"],
            saved_by="blender 4.2",
            saved_at_ms=1_790_000_000_000,
            engine="blender 4.2.23",
            frames=request["frames"] or "1-4",
            tasks=4,
            picture=PICTURE,
            directory=request["output"] or "/shots/render",
            first_file="shot_0001.png",
            last_file="shot_0004.png",
            buckets="as large as suits, from the centre" if request["still"] else "",
            files=3,
            scene_bytes=12_345_678,
            existing=["shot_0001.png"] if request["overwrite"] else [],
            helpers=[{"id": OTHER, "name": "studio", "lacks": "it lacks blender 4.2.23"}],
            warnings=["the script startup.py does not run"],
        )

    async def cancel(self, job: str) -> ChangedAnswer:
        """Cancel a job."""
        self._asked("cancel", job)
        row = self._find(job)
        row["state"], row["running"] = "cancelled", 0
        return self._changed(row)

    async def weigh(self, job: str, weight: int) -> ChangedAnswer:
        """Give a job another weight."""
        self._asked("weigh", job, weight)
        row = self._find(job)
        row["weight"] = weight
        return self._changed(row)

    def _changed(self, row: JobRow) -> ChangedAnswer:
        self.changed()
        return ChangedAnswer(job=row)

    async def store(self) -> StoreAnswer:
        """Tell of a store that is mostly cache."""
        self._asked("store")
        return storerows.store_answer(self.store_row, self.bound, self.rotten)

    async def free(self, size: int) -> FreeAnswer:
        """Free what there is, 60 MB at most."""
        self._asked("free", size)
        return storerows.free_answer(size)

    async def reject(self, job: str, frames: str, reason: str) -> RejectAnswer:
        """Reject every frame that was named, or complain where the job is another's."""
        self._asked("reject", job, frames, reason)
        row = self._find(job)
        count = len(parse_frames(frames)) if frames else row["counting"]
        return RejectAnswer(job=row["id"], name=row["name"], frames=count, complained=not row["mine"])

    async def fetch(self, job: str, directory: str, overwrite: bool, report: Report) -> FetchAnswer:
        """Say that every frame that counts was written."""
        self._asked("fetch", job, directory, overwrite)
        row = self._find(job)
        for progress in self.progress:
            report(progress)
            await trio.lowlevel.checkpoint()
        return FetchAnswer(
            job=row["id"],
            directory=directory,
            written=row["counting"],
            already=0,
            unfinished=row["tasks"] - row["counting"],
        )

    async def log(self, job: str, frame: int | None) -> LogAnswer:
        """Give one attempt's log."""
        self._asked("log", job, frame)
        row = self._find(job)
        return LogAnswer(
            job=row["id"],
            parts=[
                {
                    "frame": frame or 1,
                    "attempt": 1,
                    "peer": OTHER,
                    "peer_name": "studio",
                    "outcome": "crashed",
                    "region": [],
                    "text": self.log_text,
                }
            ],
            gone=[],
        )

    async def invite(self, roles: list[str], life_ms: int, uses: int) -> InviteAnswer:
        """Make up a token."""
        self._asked("invite", roles, life_ms, uses)
        return InviteAnswer(
            token=EXAMPLE_INVITE,
            id="e5" * 32,
            mesh_name="films",
            roles=roles or ["render", "submit", "invite"],
            uses=uses,
            expires_at_ms=1_790_000_060_000 + life_ms,
            addresses=["192.168.1.5:40001"],
        )

    async def members(self) -> MembersAnswer:
        """Tell of a founder and of one whom it let in."""
        self._asked("members")
        return MembersAnswer(mesh_name="films", members=self.member_rows)

    async def revoke(self, request: RevokeRequest) -> RevokeAnswer:
        """Throw the studio out, whoever was meant, and nobody along."""
        self._asked("revoke", request)
        row = member_row(OTHER, "studio", by=ME)
        return RevokeAnswer(member=row, along=[], spared=[], strike=request["strike"])

    async def revoke_invite(self, invite: str, dry_run: bool) -> RevokeInviteAnswer:
        """Take any invite back, by which the studio came."""
        self._asked("revoke_invite", invite, dry_run)
        return RevokeInviteAnswer(invite="e5" * 32, along=[member_row(OTHER, "studio", by=ME)])

    async def pause(self, until_at_ms: int | None, now: bool) -> PauseAnswer:
        """Be paused."""
        self._asked("pause", until_at_ms, now)
        self.paused = PauseRow(since_at_ms=1_790_000_060_000, until_at_ms=until_at_ms)
        return PauseAnswer(paused=self.paused, in_hand=0 if now else len(self.rows))

    async def resume(self) -> PauseAnswer:
        """Be paused no more."""
        self._asked("resume")
        self.paused = None
        return PauseAnswer(paused=None, in_hand=0)

    async def reach(self, peer: str | None) -> ReachAnswer:
        """Say what a test wants to have been found."""
        self._asked("reach", peer)
        if peer is None:
            return self.reached
        found = [one for one in self.peers if one["name"] == peer or (peer and one["id"].startswith(peer))]
        if not found:
            raise UnknownPeer(f"no peer is called {peer!r}")
        named = {"peer": found[0]["id"], "peer_name": found[0]["name"], "connected": found[0]["connected"]}
        return ReachAnswer(**{**self.reached, **named})  # type: ignore[typeddict-item]

    async def leave(self) -> None:
        """Note it."""
        self._asked("leave")

    async def stop(self, now: bool) -> None:
        """Note it."""
        self._asked("stop", now)

    async def watch_status(self) -> AsyncIterator[StatusAnswer]:
        """Yield the status at each change."""
        while True:
            change = self._change
            yield await self.status()
            await change.wait()

    async def watch_job(self, job: str) -> AsyncIterator[JobChange]:
        """Yield the job at each change until it is over."""
        self._asked("watch_job", job)
        row = self._find(job)
        before = list(self.tasks[row["id"]])
        changed: list[TaskRow] = []
        while True:
            change = self._change
            yield JobChange(job=row, frames=changed)
            if self.on_watch is not None:
                self.on_watch()
            if row["state"] in ("sealed", "cancelled", "stopped") and not change.is_set():
                return
            await change.wait()
            now = self.tasks[row["id"]]
            changed = [task for task, old in zip(now, before, strict=True) if task != old]
            before = list(now)
