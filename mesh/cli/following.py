"""Following a job: until the submitter may go, or until every frame is on this disk."""

from collections.abc import Iterator
from contextlib import suppress

from mesh.cli import buckets, jobrows, output, words
from mesh.cli.caller import Caller, job_path
from mesh.cli.client import PeerEnded
from mesh.cli.progress import Meter, meter
from mesh.ground.errors import MeshError
from mesh.ports.desk import (
    JobCancelled,
    JobChange,
    JobRow,
    JobStopped,
    Progress,
    RefusalRow,
    StatusAnswer,
    TaskRow,
    Unwritten,
)


def over(job: JobRow) -> bool:
    """Say whether no frame will arrive any more at the submitter unless somebody does something."""
    return job["state"] == "cancelled" or job["delivered"] + job["stopped"] + job["blocked"] == job["tasks"]


def changes(caller: Caller, job: JobRow) -> Iterator[JobChange]:
    """Yield the job's changes as the peer tells them, the one that ends it last; raise PeerEnded without that one."""
    for name, value in caller.client().stream(job_path(job["id"], "/watch")):
        if name == "change":
            yield value
        if name == "end" or (name == "change" and over(value["job"])):
            return
    raise PeerEnded(f"the peer ended; {job['name']} goes on elsewhere, or when it is started again")


def until_may_go(caller: Caller, job: JobRow) -> JobRow:
    """Wait until this machine may be switched off, or until it is clear that it may not; return the job then.

    Raises JobCancelled.
    """
    with meter() as shown:
        for change in changes(caller, job):
            job = change["job"]
            if job["may_go"] or job["only_here"]:
                break
            text = _spreading(job, _others(caller))
            shown.update(Progress(phase="spread", text=text, done=0, total=0, unit=""))
    if job["state"] == "cancelled":
        raise JobCancelled(f"{job['name']} was cancelled")
    return job


def _spreading(job: JobRow, others: int) -> str:
    """Say how far the job's way to other disks is, `others` peers being connected."""
    if not others:
        return "waiting for another peer: none is connected"
    holders = job["scene_holders"]
    have = f"{words.count(holders, 'peer')} {'has' if holders == 1 else 'have'} it"
    if holders >= others:
        return f"{have}; waiting for others that were here within the last hour"
    text = "handing the scene to other peers" if job["durable"] else "telling other peers"
    return f"{text}, {have}" if holders else text


def _others(caller: Caller) -> int:
    """Return how many other peers are connected."""
    status: StatusAnswer = caller.client().get("/status")
    return sum(peer["connected"] and not peer["me"] for peer in status["peers"])


def going(job: JobRow) -> str:
    """Say whether this machine may be switched off."""
    if job["delivered"] == job["tasks"]:
        return "All frames are here; nothing of this job needs this machine any more."
    if job["state"] == "sealed":
        here = f"{job['delivered']} of {words.count(job['tasks'], 'frame')}"
        return f"All frames are safe on other peers, and come here as those are connected: {here} so far."
    if job["only_here"]:
        return "Only here: no other peer could take this job over, so leave this machine on."
    if job["may_go"]:
        holders = words.count(job["scene_holders"], "other peer")
        verb = "holds" if job["scene_holders"] == 1 else "hold"
        return (
            f"This machine may be switched off: the job is on the mesh's disks, and {holders} {verb} its scene. "
            "The frames come when it is on again, or to any peer by `meshnode fetch`."
        )
    return "Leave this machine on for now; `meshnode show` says when it may be switched off."


def until_done(caller: Caller, job: JobRow) -> JobRow:
    """Show frames as they arrive until all of them are here; return the job then.

    Raises JobStopped when what is left failed too often, Unwritten when other files are in the way, and JobCancelled.
    """
    arrivals = _Arrivals()
    shown_preview = False
    if caller.as_json:
        for change in changes(caller, job):
            job = change["job"]
            for task in arrivals.of(change):
                output.say_json({"event": "frame", "frame": task})
            for text in arrivals.unwritten(change):
                output.say_json({"event": "unwritten", "text": text})
            if job["preview"] and not shown_preview:
                shown_preview = True
                output.say_json({"event": "preview", "path": job["preview"]})
    else:
        with meter() as shown:
            for change in changes(caller, job):
                job = change["job"]
                if job["preview"] and not shown_preview:
                    shown_preview = True
                    shown.tell(f"preview  {job['preview']}")
                _show(shown, change, arrivals, caller)
    if job["state"] == "cancelled":
        raise JobCancelled(f"{job['name']}: {job['delivered']} of {job['tasks']} frames are in {job['directory']}")
    if job["blocked"]:
        raise Unwritten([_blocked(job, text) for text in job["unwritten"]])
    if job["delivered"] < job["tasks"]:
        why = "; ".join(job["problems"])
        failed = words.count(job["tasks"] - job["delivered"], "frame")
        raise JobStopped(f"{job['name']}: {failed} of {job['tasks']} not rendered" + (f": {why}" if why else ""))
    return job


def _blocked(job: JobRow, text: str) -> RefusalRow:
    again = f"meshnode fetch {words.short(job['id'])}"
    return {
        "code": "output-exists",
        "subject": job["directory"],
        "text": text,
        "remedy": f"move it away, then `{again}`; or write over it: `{again} --overwrite`",
    }


class _Arrivals:
    """What was told of already: a frame goes on changing after it was delivered, and a full disk stays full."""

    def __init__(self) -> None:
        self._told: set[int] = set()
        self._unwritten: set[str] = set()

    def unwritten(self, change: JobChange) -> list[str]:
        """Return what could not be written since the change before, and why."""
        now = set(change["job"]["unwritten"])
        new = [text for text in change["job"]["unwritten"] if text not in self._unwritten]
        self._unwritten = now
        return new

    def of(self, change: JobChange) -> list[TaskRow]:
        """Return the frames that were delivered since the change before."""
        arrived = [task for task in change["frames"] if task["delivered"] and task["frame"] not in self._told]
        self._told.update(task["frame"] for task in arrived)
        return arrived


def _show(shown: Meter, change: JobChange, arrivals: _Arrivals, caller: Caller) -> None:
    job = change["job"]
    for task in arrivals.of(change):
        shown.tell(f"{output.good('✓')} {task['file']}  {output.dim(_made(caller, job, task))}")
    for task in change["frames"]:
        for failure in task["failures"][-1:]:
            if task["state"] in ("open", "stopped"):
                where = f"frame {task['frame']} failed at {failure['peer_name']}"
                shown.tell(f"{output.bad('✗')} {where}: {failure['kind']}: {failure['reason']}")
    for text in arrivals.unwritten(change):
        shown.tell(f"{output.bad('✗')} {text}")
    shown.update(picture_progress(job) if jobrows.in_buckets(job) else _frames_progress(job))


def _made(caller: Caller, job: JobRow, task: TaskRow) -> str:
    """Say who made a frame: of one in buckets how many peers, else the one and how long it took."""
    if jobrows.in_buckets(job):
        # A peer that just forgets the job, or ends, is heard of by other ways; the frame is here all the same.
        with suppress(MeshError):
            told = caller.client().get(job_path(job["id"], f"/buckets?frame={task['frame']}"))
            if how := buckets.how_made(told):
                return how
    return f"{task['holder_name']}, {words.span(task['render_ms'])}"


def _frames_progress(job: JobRow) -> Progress:
    text = job["name"] if job["state"] != "waiting" else f"{job['name']}, waiting for a peer that can render it"
    if job["delivered"] < 2 and (left := jobrows.left_ms(job)) is not None:
        # A rate takes two frames to show; until then the renderers' own times tell.
        text += f", about {words.rough(left)} left"
    return Progress(phase="frames", text=text, done=job["delivered"], total=job["tasks"], unit="frames")


def picture_progress(job: JobRow) -> Progress:
    """Say how far a job is whose frames grow in buckets: few frames take long each, so that parts of them tell more."""
    parts = [f"{job['name']}: {jobrows.picture(job)}"]
    if job["tasks"] > 1 and job["delivered"]:
        parts.append(f"{job['delivered']} of {job['tasks']} frames here")
    if job["state"] == "waiting":
        parts.append("waiting for a peer that can render it")
    elif jobrows.assembling(job):
        parts.append("being assembled")
    elif (left := jobrows.left_ms(job)) is not None:
        parts.append(f"about {words.rough(left)} left")
    text = ", ".join(parts)
    return Progress(phase="picture", text=text, done=job["pixels_counting"], total=job["pixels"], unit="pixels")


def summary(job: JobRow, took_ms: float) -> str:
    """Say in a line that a job is done."""
    frames = words.count(job["tasks"], "frame")
    return f"{jobrows.state(job)}: {frames} in {job['directory']}, after {words.span(took_ms)}"
