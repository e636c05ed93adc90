"""`meshnode show`: one job in full."""

from collections import defaultdict
from pathlib import Path

import click

from mesh.cli import buckets, following, jobrows, output, words
from mesh.cli.caller import Caller, home_option, job_path, json_option, pass_caller
from mesh.cli.output import Column
from mesh.ground.errors import UsageError
from mesh.ground.share_limits import WEIGHT_DEFAULT
from mesh.ports.desk import JobAnswer, JobRow, NotFound, TaskRow
from mesh.ports.stills import BucketsAnswer

PROBLEMS_MOST = 3


@click.command()
@click.argument("job")
@click.option("--frames", "each", is_flag=True, help="A line for each frame.")
@click.option(
    "--map",
    "drawn",
    metavar="FILE",
    help="Write who rendered which bucket as a picture, .svg or .png, and nothing else.",
)
@click.option("--frame", type=int, metavar="N", help="The frame to map.  [default: the one that grows]")
@home_option
@json_option
@pass_caller
def command(caller: Caller, job: str, each: bool, drawn: str | None, frame: int | None) -> None:
    """Show one job in full.

    JOB is a job's name, its id, or the beginning of its id. A map replaces an older map, and no other file.
    """
    if drawn is not None:
        _map(caller, job, frame, Path(drawn))
        return
    if frame is not None:
        raise UsageError("--frame says which frame --map FILE is of; a job's log of one frame has `meshnode logs`")
    answer: JobAnswer = caller.client().get(job_path(job))
    if caller.as_json:
        output.say_json(answer)
        return
    parts = [
        *_head(answer),
        *_problems(answer["job"]),
        *_complaints(answer["job"]),
        *_peers(answer),
        *_failures(answer),
    ]
    for line in [*parts, *(_frames(answer) if each else ()), *_missing(answer)]:
        output.say(line)


def _map(caller: Caller, job: str, frame: int | None, path: Path) -> None:
    """Write a map of one frame's buckets."""
    # Drawing takes numpy and more, which no other command waits for.
    from mesh.cli import mapfiles, maps

    mapfiles.check(path)
    below = "/buckets" if frame is None else f"/buckets?frame={frame}"
    told: BucketsAnswer = caller.client().get(job_path(job, below))
    if not told["known"]:
        raise NotFound(f"this peer only follows {told['name']}; the one that submitted it knows who rendered what")
    mapfiles.write(maps.drawing(told), path)
    if caller.as_json:
        output.say_json({**told, "map": str(path.absolute())})
        return
    share = words.percent(buckets.rendered(told), buckets.area(told["region"]))
    how = buckets.how_made(told)
    output.say(f"frame {told['frame']}, {share} rendered" + (f": {how}" if how else "") + f"; map in {path}")


def _head(answer: JobAnswer) -> list[str]:
    job, picture = answer["job"], answer["picture"]
    by_state: defaultdict[str, list[int]] = defaultdict(list)
    for task in answer["frames"]:
        by_state[task["state"]].append(task["frame"])
    left = jobrows.left_ms(job)
    lacking = [f"{one['name']}: {one['lacks']}" for one in answer["helpers"] if one["lacks"]]
    look = f"{picture['width']}×{picture['height']} {picture['format']} {picture['color_mode']}, {picture['depth']} bit"
    return [
        f"{output.bold(job['name'])}  {output.dim(words.short(job['id']))}  {jobrows.state(job)}",
        *output.facts(
            [
                ("done", _done(job) + (f", about {words.rough(left)} left" if left else "")),
                ("made of", buckets.shared_by(answer["shares"])),
                ("assembling", ", ".join(_assembling(answer))),
                *((name, words.frames(by_state[name])) for name in ("safe", "counts", "running", "open", "stopped")),
                (
                    "each bucket takes" if jobrows.in_buckets(job) else "each takes",
                    words.span(job["median_ms"]) if job["median_ms"] else "",
                ),
                ("picture", look),
                ("engine", job["engine"]),
                ("from", f"{job['submitter_name']}, {words.moment(job['submitted_at_ms'])}"),
                ("output", job["directory"]),
                ("cannot help", "; ".join(lacking) if job["state"] in ("waiting", "rendering") else ""),
                ("weight", str(job["weight"]) if job["weight"] != WEIGHT_DEFAULT else ""),
                ("second opinions", _opinions(job)),
                ("judges", ", ".join(job["judges"])),
                ("copies", f"{job['copies']} of each frame"),
                ("kept until", words.moment(job["last_day_at_ms"])),
                ("may go", following.going(job) if job["mine"] and job["state"] != "cancelled" else ""),
            ]
        ),
    ]


def _done(job: JobRow) -> str:
    if jobrows.in_buckets(job):
        parts = [jobrows.picture(job)]
        if job["tasks"] > 1:
            parts.append(f"{job['counting']} of {job['tasks']} frames")
    else:
        parts = [f"{job['counting']} of {job['tasks']}", jobrows.share(job)]
    if job["mine"] and job["delivered"] != job["counting"]:
        parts.append(f"{job['delivered']} delivered")
    if job["safe"] != job["counting"]:
        parts.append(f"{job['safe']} safe")
    return ", ".join(parts)


def _assembling(answer: JobAnswer) -> list[str]:
    """Say who assembles which frames now, as far as this peer knows."""
    if not jobrows.in_buckets(answer["job"]):
        return []
    by: defaultdict[str, list[int]] = defaultdict(list)
    for task in answer["frames"]:
        if task["state"] == "running":
            by[task["holder_name"]].append(task["frame"])
    several = answer["job"]["tasks"] > 1
    frames = {name: f"frame{'s' if len(numbers) > 1 else ''} {words.frames(numbers)}" for name, numbers in by.items()}
    return [f"{name} ({told})" if several else name for name, told in frames.items()]


def _problems(job: JobRow) -> list[str]:
    """Say what a person should look at, a few of it: the rest is mostly the same."""
    lines: list[str] = []
    for problem in job["problems"][:PROBLEMS_MOST]:
        first, *rest = output.paragraph(problem, "  ")
        lines += [output.bad("✗ ") + first.strip(), *rest]
    if len(job["problems"]) > PROBLEMS_MOST:
        lines.append(output.dim(f"  and {words.count(len(job['problems']) - PROBLEMS_MOST, 'more problem')}"))
    return ["", *lines] if lines else []


def _opinions(job: JobRow) -> str:
    """Say how many frames wait until another peer has rendered the same."""
    if job["check"] != "twice":
        return ""
    return f"{words.count(job['waiting'], 'frame')} waiting" if job["waiting"] else "none waits"


def _complaints(job: JobRow) -> list[str]:
    """Say who thinks that which picture is wrong: whoever reads it may be one to rule on that."""
    columns = (
        Column(title="COMPLAINT", right=True),
        Column(title="PEER", gives=True),
        Column(title="WHY", gives=True),
    )
    rows = [(str(said["frame"]), said["peer_name"], said["reason"] or "–") for said in job["complaints"]]
    return ["", *output.table(columns, rows)] if rows else []


def _peers(answer: JobAnswer) -> list[str]:
    """Say who rendered how much."""
    if answer["shares"]:
        return _shares(answer)
    took: defaultdict[str, list[int]] = defaultdict(list)
    for task in answer["frames"]:
        if task["render_ms"]:
            took[task["holder_name"]].append(task["render_ms"])
    if not took:
        return []
    columns = (
        Column(title="PEER", gives=True),
        Column(title="FRAMES", right=True),
        Column(title="SHARE", right=True),
        Column(title="EACH", right=True),
    )
    total = sum(map(len, took.values()))
    ranked = sorted(took.items(), key=lambda item: (-len(item[1]), item[0]))
    rows = [
        (name, str(len(times)), words.percent(len(times), total), words.span(sum(times) / len(times)))
        for name, times in ranked
    ]
    return ["", *output.table(columns, rows)]


def _shares(answer: JobAnswer) -> list[str]:
    """Say who rendered how much in buckets: these differ in size, so that pixels tell."""
    columns = (
        Column(title="PEER", gives=True),
        Column(title="BUCKETS", right=True),
        Column(title="SHARE", right=True),
        Column(title="EACH", right=True),
        Column(title="TOGETHER", right=True),
    )
    total = sum(share["pixels"] for share in answer["shares"])
    ranked = sorted(answer["shares"], key=lambda share: (-share["pixels"], share["peer_name"]))
    rows = [
        (
            share["peer_name"],
            str(share["buckets"]),
            words.percent(share["pixels"], total),
            words.span(share["render_ms"] / share["buckets"]),
            words.span(share["render_ms"]),
        )
        for share in ranked
    ]
    return ["", *output.table(columns, rows)]


def _failures(answer: JobAnswer) -> list[str]:
    columns = (
        Column(title="FAILED", right=True),
        Column(title="PEER", gives=True),
        Column(title="WHY"),
        Column(title="", gives=True),
    )
    rows = [
        (str(task["frame"]), failure["peer_name"], output.bad(failure["kind"]), failure["reason"])
        for task in answer["frames"]
        for failure in task["failures"]
    ]
    return ["", *output.table(columns, rows)] if rows else []


def _missing(answer: JobAnswer) -> list[str]:
    """Say that there may be more than is shown."""
    if answer["whole"]:
        return []
    text = "nobody who has this job's records has answered: of the frames that others rendered some may not be shown"
    return ["", *output.paragraph(text, "")]


def _frames(answer: JobAnswer) -> list[str]:
    columns = (
        Column(title="FRAME", right=True),
        Column(title="STATE"),
        Column(title="PEER", gives=True),
        Column(title="TOOK", right=True),
        Column(title="TRY", right=True),
        Column(title="COPIES", right=True),
        Column(title="FILE", gives=True),
    )
    return ["", *output.table(columns, [_frame(task) for task in answer["frames"]])]


def _frame(task: TaskRow) -> tuple[str, ...]:
    paint = {"counts": output.good, "safe": output.good, "running": output.busy, "stopped": output.bad}
    who = task["holder_name"] or "–"
    if task["voucher_name"]:
        who += f", checked by {task['voucher_name']}"
    elif task["waiting"]:
        who = f"{', '.join(task['waiting'])}: to be checked"
    return (
        str(task["frame"]),
        paint.get(task["state"], output.dim)(task["state"]),
        who,
        words.span(task["render_ms"]) if task["render_ms"] else "–",
        str(task["attempt"]) if task["attempt"] else "–",
        str(task["holds"]),
        task["file"] if task["delivered"] else "",
    )
