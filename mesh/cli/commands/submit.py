"""`meshnode submit`: have the mesh render a scene."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from mesh.cli import following, output, words
from mesh.cli.caller import Caller, Work, home_option, json_option, pass_caller
from mesh.cli.commands.store import size_bytes
from mesh.cli.progress import meter
from mesh.ground.limits import SAMPLE_SHARES_MAX
from mesh.ground.share_limits import WEIGHT_DEFAULT, WEIGHT_MOST
from mesh.ports.desk import JobRow, SubmitAnswer
from mesh.ports.submission import SubmitRequest

_STILL_OPTIONS = (
    click.option("--still", is_flag=True, help="All machines render each frame together, in buckets."),
    click.option(
        "--buckets",
        metavar="SIZE",
        help="Of a still: auto, a size in pixels such as 128x128, or strips:8.  [default: auto]",
    ),
    click.option(
        "--samples-split",
        type=click.IntRange(min=2, max=SAMPLE_SHARES_MAX),
        metavar="N",
        help="Of a still: N shares of its samples, each of the whole picture, instead of buckets.",
    ),
    click.option(
        "--order",
        type=click.Choice(["centre", "spiral", "rows"]),
        help="Of a still: in which order buckets are started.  [default: centre]",
    ),
    click.option("--no-split", is_flag=True, help="Render an animation's last frames whole, too."),
)


_TRUST_OPTIONS = (
    click.option(
        "--check",
        type=click.Choice(["once", "twice"]),
        default="once",
        help="Whether a picture counts at once, or where another peer has rendered the same.  [default: once]",
    ),
    click.option(
        "--judge", "judges", metavar="PEER", multiple=True, help="Who may reject pictures, too; may be repeated."
    ),
)


def _about_trust(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that are about what to believe of others' pictures."""
    for option in reversed(_TRUST_OPTIONS):
        command = option(command)
    return command


def _about_stills(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that are about frames that several machines render together."""
    for option in reversed(_STILL_OPTIONS):
        command = option(command)
    return command


@click.command()
@click.argument("scene", type=click.Path(exists=True, dir_okay=False, resolve_path=True))
@click.option("--frames", metavar="LIST", help="Such as 1-240 or 1,5,10-20.  [default: the scene's own range]")
@click.option("--frame", metavar="N", help="A single frame: the same as --frames N.")
@click.option("--step", type=click.IntRange(min=1), metavar="N", help="Every Nth frame of each range.")
@click.option("--name", metavar="NAME", help="What to call the job.  [default: the scene file's name]")
@click.option("--output", "directory", metavar="DIR", help="Where frames go.  [default: the scene's own output place]")
@click.option(
    "--engine",
    metavar="VERSION",
    help="Exact engine.  [default: the version that saved the file, or the nearest newer one]",
)
@click.option("--memory", metavar="SIZE", help="Only machines with so much memory render it: 500M, 16G.")
@click.option(
    "--weight",
    type=click.IntRange(min=1, max=WEIGHT_MOST),
    default=WEIGHT_DEFAULT,
    show_default=True,
    metavar="N",
    help="How much time each machine gives the job beside others, 1 to 100.",
)
@_about_stills
@_about_trust
@click.option("--wait", is_flag=True, help="Stay until every frame is here, and show them as they arrive.")
@click.option("--dry-run", is_flag=True, help="Only say what would be sent and rendered.")
@click.option("--allow-missing", is_flag=True, help="Render though files are missing.")
@click.option("--overwrite", is_flag=True, help="Write over frames that exist.")
@home_option
@json_option
@pass_caller
def command(caller: Caller, /, *, wait: bool, **typed: Any) -> None:
    """Have the mesh render a scene.

    SCENE is a .blend or a .pov file; it is read and never changed. Frames appear as they finish at the scene's own
    output place, under its own names. What is missing, or cannot be rendered truly, is named before anything is sent.
    Without --wait the command ends once this machine may be switched off.
    """
    started_s = time.monotonic()
    try:
        answer = _submitted(caller, _request(**typed))
    except KeyboardInterrupt:
        output.notice("Interrupted before the peer had answered; `meshnode jobs` shows whether it took the job.")
        raise
    if caller.as_json:
        output.say_json({"event": "planned" if answer["job"] is None else "submitted"} | answer)
    else:
        _describe(answer)
    if answer["job"] is not None:
        try:
            _stay(caller, answer["job"], wait, started_s)
        except KeyboardInterrupt:
            short = words.short(answer["job"]["id"])
            text = f"The job goes on. `meshnode show {short}` tells of it, `meshnode cancel {short}` ends it."
            for line in output.paragraph(text):
                output.notice(line)
            raise


def _request(
    *,
    scene: str,
    frames: str | None,
    frame: str | None,
    step: int | None,
    name: str | None,
    directory: str | None,
    engine: str | None,
    memory: str | None,
    weight: int,
    still: bool,
    buckets: str | None,
    samples_split: int | None,
    order: str | None,
    no_split: bool,
    check: str,
    judges: tuple[str, ...],
    dry_run: bool,
    allow_missing: bool,
    overwrite: bool,
) -> SubmitRequest:
    """Return what was typed as the peer is asked for it. Raises click.UsageError."""
    if frame is not None and (frames is not None or step is not None):
        raise click.UsageError("--frame is one frame; --frames and --step are for several")
    if not still and (buckets is not None or order is not None):
        raise click.UsageError("--buckets and --order are about a still: add --still")
    if not still and samples_split is not None:
        raise click.UsageError("--samples-split is about a still: add --still")
    if samples_split is not None and (buckets is not None or order is not None):
        raise click.UsageError("--samples-split makes no buckets: leave --buckets and --order out")
    if still and check == "twice":
        raise click.UsageError("--check twice has each frame rendered whole by two peers: leave --still out")
    return SubmitRequest(
        scene=scene,
        frames=frame if frame is not None else frames,
        step=step,
        name=name,
        output=None if directory is None else str(Path(directory).absolute()),
        engine=engine,
        dry_run=dry_run,
        allow_missing=allow_missing,
        overwrite=overwrite,
        still=still,
        buckets=buckets or "auto",
        samples_split=samples_split or 0,
        order=order or "centre",
        split=not no_split,
        memory_mb=0 if memory is None else size_bytes("--memory", memory) >> 20,
        check=check,
        judges=list(judges),
        weight=weight,
    )


def _submitted(caller: Caller, request: SubmitRequest) -> SubmitAnswer:
    work = Work(caller.client().stream("/jobs", dict(request)))
    with meter() as shown:
        for progress in work:
            shown.update(progress)
    answer: SubmitAnswer = work.answer
    return answer


def _stay(caller: Caller, job: JobRow, wait: bool, started_s: float) -> None:
    if wait:
        job = following.until_done(caller, job)
        if caller.as_json:
            output.say_json({"event": "done", "job": job})
        else:
            output.say(following.summary(job, (time.monotonic() - started_s) * 1000))
        return
    job = following.until_may_go(caller, job)
    if caller.as_json:
        output.say_json({"event": "spread", "job": job})
        return
    for line in output.paragraph(following.going(job)):
        output.say(line)


def _describe(answer: SubmitAnswer) -> None:
    """Say what was, or would be, sent and rendered."""
    picture = answer["picture"]
    can = [helper["name"] for helper in answer["helpers"] if not helper["lacks"]]
    age = words.ago(answer["saved_at_ms"], round(time.time() * 1000))
    size = f"{words.count(answer['files'], 'file')}, {words.size(answer['scene_bytes'])}"
    look = f"{picture['width']}×{picture['height']} {picture['format']} {picture['color_mode']}, {picture['depth']} bit"
    names = answer["first_file"]
    if answer["tasks"] > 1:
        names += f" … {answer['last_file']}"
    for line in output.facts(
        [
            ("scene", f"{Path(answer['scene']).name}, saved {age} by {answer['saved_by']}"),
            ("to send", size),
            ("frames", f"{answer['frames']} ({words.count(answer['tasks'], 'frame')}), {look}"),
            *([("buckets", answer["buckets"])] if answer["buckets"] else []),
            ("engine", answer["engine"]),
            ("output", f"{answer['directory']}/"),
            ("", names),
            ("overwrites", _some(answer["existing"])),
            ("helpers", ", ".join(can) or output.bad("nobody can render this yet")),
            *(("", f"not {helper['name']}: {helper['lacks']}") for helper in answer["helpers"] if helper["lacks"]),
        ]
    ):
        output.say(line)
    for text in answer["warnings"]:
        output.warning(text)
    job = answer["job"]
    if job is None:
        output.say(output.bold("Nothing was sent: this was a dry run."))
    else:
        output.say(f"{output.good('submitted')} as {output.bold(job['name'])} ({words.short(job['id'])})")


def _some(names: list[str], most: int = 4) -> str:
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"
