"""Submit a job to running peers, watch it as people's programs do, and kill a peer in the middle of a frame.

Theory: the submitter's API tells what became of each frame, and every peer's own tells what it renders at this moment.
Both are asked a few times a second; the answers say who rendered when. A renderer that lives on after its node is
found by what the node had started before it was killed, and by looking again afterwards.
"""

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.peers import Peer, PeerFailed, Running, WaitedInVain, wait_for

KILL_AFTER, KILL_LATEST = 0.25, 0.5
"""Parts of the frames that are there when a peer is killed: one that rendered some of them, later any."""

_POLL_S = 0.1
_JOB_S = 600.0
_END_S = 60.0
_OVER = ("sealed", "stopped", "cancelled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Show:
    """What is the same for all jobs of a demo; files go below `out`, lines for people to `tell`."""

    engine: str
    out: Path
    orphan_s: float
    tell: Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame that was delivered."""

    frame: int
    file: str
    peer: str
    render_ms: int


@dataclass(slots=True, kw_only=True)
class Span:
    """One render as it was seen, in seconds since the submission."""

    peer: str
    frame: int
    begin_s: float
    end_s: float
    cut: bool = False


@dataclass(slots=True, kw_only=True)
class Watched:
    """What was seen of a job."""

    job: str
    out: Path
    frames: list[Frame] = field(default_factory=list)
    bars: list[Span] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    together: set[frozenset[str]] = field(default_factory=set)
    """Peers that were seen to render at the same moment."""

    def overlapped(self, peers: Sequence[str]) -> bool:
        """Say whether all these peers were once seen to render at the same moment."""
        return any(seen.issuperset(peers) for seen in self.together)


def render_job(peers: Sequence[Peer], scene: Path, frames: int, wanted: Show, *, kill: bool) -> Watched:
    """Submit at the first peer, watch until the job is sealed, and on the way kill another. Raises PeerFailed."""
    out = wanted.out / f"{scene.stem}-frames"
    words = ["submit", str(scene), "--output", str(out), "--frames", f"1-{frames}", "--engine", wanted.engine, "--json"]
    # Denoised frames that were assembled may differ from Blender's by one step in a few pixels; here no bit may.
    words.append("--no-split")
    # The command stays until the submitter may go; the job is watched meanwhile.
    with peers[0].typing(*words) as submit:
        try:
            watched = Watched(job=_submitted(submit, wanted), out=out)
            _Watch(peers, watched, wanted).run(frames, kill=kill)
        except BaseException:
            submit.kill()
            raise
        submit.communicate(timeout=_END_S)
    return watched


def _submitted(submit: "subprocess.Popen[str]", wanted: Show) -> str:
    """Read what the command says first, and return the job's id."""
    assert submit.stdout is not None
    assert submit.stderr is not None
    line = submit.stdout.readline()
    said = json.loads(line) if line else {}
    if said.get("event") != "submitted":
        raise PeerFailed(f"the scene was not submitted: {said.get('message', '')} {submit.stderr.read()}")
    wanted.tell(f"  submitted: {said['files']} files, {said['scene_bytes'] / 1e6:.1f} MB")
    job: str = said["job"]["id"]
    return job


class _Watch:
    """One job being watched."""

    def __init__(self, peers: Sequence[Peer], watched: Watched, wanted: Show) -> None:
        self._peers = [peer for peer in peers if peer.is_alive()]
        self._watched = watched
        self._wanted = wanted
        self._begun_s = time.monotonic()
        self._open: dict[tuple[str, int], Span] = {}
        self._told: set[int] = set()
        self._may_go = False
        self._counting = 0
        self._authors: set[str] = set()

    def run(self, frames: int, *, kill: bool) -> None:
        """Watch until the job is over."""
        while True:
            renders = self._renders()
            if kill and (victim := self._victim(renders, self._counting / frames)) is not None:
                self._kill(*victim)
                kill = False
            answer = self._peers[0].ask(f"/jobs/{self._watched.job}")
            self._tell(answer)
            self._counting = answer["job"]["counting"]
            self._authors = {row["holder_name"] for row in answer["frames"] if row["state"] in ("counts", "safe")}
            if answer["job"]["state"] in _OVER:
                break
            if time.monotonic() - self._begun_s > _JOB_S:
                raise WaitedInVain(f"the job {answer['job']['name']} is not done after {_JOB_S:g} s: {_short(answer)}")
            time.sleep(_POLL_S)
        if answer["job"]["state"] != "sealed":
            raise PeerFailed(f"the job {answer['job']['name']} is {answer['job']['state']}: {_short(answer)}")
        self._watched.frames = [
            Frame(frame=row["frame"], file=row["file"], peer=row["holder_name"], render_ms=row["render_ms"])
            for row in answer["frames"]
        ]
        if kill:
            raise WaitedInVain("no peer but the submitter's was seen in the middle of a frame, so none was killed")

    def _renders(self) -> list[tuple[Peer, dict[str, Any]]]:
        """Ask every peer what it renders now, and note it."""
        renders = []
        for peer in self._peers:
            rows = [row for row in peer.ask("/status")["renders"] if row["job"] == self._watched.job]
            renders += [(peer, row) for row in rows]
        now_s = time.monotonic() - self._begun_s
        for peer, row in renders:
            key = (peer.name, row["frame"])
            if key not in self._open:
                self._open[key] = Span(peer=peer.name, frame=row["frame"], begin_s=now_s, end_s=now_s)
                self._watched.bars.append(self._open[key])
            self._open[key].end_s = now_s
        self._watched.together.add(frozenset(peer.name for peer, row in renders if row["sample"] > 0))
        return renders

    def _victim(self, renders: Sequence[tuple[Peer, dict[str, Any]]], done: float) -> tuple[Peer, int] | None:
        """Choose, once it is time, a peer other than the submitter's whose engine reported a sample."""
        for peer, row in reversed(renders):
            due = done >= (KILL_AFTER if peer.name in self._authors else KILL_LATEST)
            if due and peer is not self._peers[0] and row["sample"] > 0:
                return peer, row["frame"]
        return None

    def _kill(self, peer: Peer, frame: int) -> None:
        """Kill a peer and see that nothing that it started outlives it for long."""
        started = peer.started()
        peer.kill()
        self._peers = [other for other in self._peers if other is not peer]
        self._open[peer.name, frame].cut = True
        killed_s = time.monotonic()
        self._open[peer.name, frame].end_s = killed_s - self._begun_s
        with suppress(WaitedInVain):
            wait_for("no renderer", lambda: not _alive(peer, started), self._wanted.orphan_s, every_s=0.01)
        left = _alive(peer, started)
        self._watched.orphans = [f"{one.process} ({one.command})" for one in left]
        gone = f"gone after {time.monotonic() - killed_s:.2f} s" if not left else "STILL THERE"
        self._wanted.tell(
            f"  killed {peer.name} (SIGKILL) in the middle of frame {frame}; its {len(started)} processes: {gone}"
        )

    def _tell(self, answer: dict[str, Any]) -> None:
        if answer["job"]["may_go"] and not self._may_go:
            self._may_go = True
            holders = answer["job"]["scene_holders"]
            self._wanted.tell(f"  {holders} other peers hold the scene: {self._peers[0].name} might go now")
        for row in answer["frames"]:
            if row["delivered"] and row["frame"] not in self._told:
                self._told.add(row["frame"])
                at_s = time.monotonic() - self._begun_s
                self._wanted.tell(f"  {at_s:6.1f} s  {row['file']}  {row['holder_name']}, {row['render_ms']} ms")


def _alive(peer: Peer, started: Sequence[Running]) -> list[Running]:
    """List what a killed peer left: of what it had started before, or what shows only now."""
    return [one for one in {*started, *peer.started()} if one.is_alive()]


def _short(answer: dict[str, Any]) -> str:
    job = answer["job"]
    states = {str(row["frame"]): row["state"] for row in answer["frames"]}
    return f"{job['delivered']} of {job['tasks']} delivered; {'; '.join(job['problems'])} {json.dumps(states)}"
