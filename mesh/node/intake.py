"""Intake: from a person's scene file to one `JobPlanned`. All that the core does not decide happens here, before it
hears.

Theory: every reason against a job is found before anything is sent and told at once: what the mesh cannot render truly,
each missing file, each output file that exists, a directory that cannot be written. Only then is the scene stored,
which may take minutes, and the job planned. The engine is warmed while the scene is read, so that the first frame
starts sooner.

Invariants: a dry run stores and sends nothing. What is planned is what was inspected. The module must not know who
renders."""

import itertools
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from mesh.core.effects import Accepted, Declined
from mesh.core.events import JobPlanned
from mesh.core.status import HelperView
from mesh.ground.errors import UsageError
from mesh.ground.ids import JobId, PeerId
from mesh.node.choice import Offer, choose, version_key
from mesh.node.cutting import cut_of, cut_text
from mesh.node.declining import check_weight
from mesh.node.engines import EngineRack, engine_id
from mesh.node.rows import engine_text, frames_text, helper_rows, picture_row, refusal_row
from mesh.node.timings import Mark, Step, unmarked
from mesh.ports import desk
from mesh.ports.desk import Refused, Report, SubmitAnswer
from mesh.ports.folders import Folders
from mesh.ports.renderer import RECIPE_NAME, Engine, EngineMissing, Inspection, Renderer, SavedBy
from mesh.ports.storage import Scenes, StorageError, StoredTree
from mesh.ports.submission import SubmitRequest
from mesh.ports.world import World
from mesh.wire.codec import clipped
from mesh.wire.grids import Cut
from mesh.wire.records import (
    MAX_JUDGES,
    MAX_MEMORY_MB,
    MAX_NAME_BYTES,
    Check,
    EngineId,
    OutputNames,
    Picture,
)
from mesh.wire.tasks import FrameRange, Frames, frames_of, parse_frames

REPORT_S: Final = 0.2
"""Between two reports of how much is stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A job that nothing speaks against, not yet stored."""

    name: str
    engine: EngineId
    frames: Frames
    names: OutputNames
    picture: Picture
    cut: Cut | None
    memory_mb: int
    check: Check
    judges: tuple[PeerId, ...]
    weight: int
    directory: str
    overwrite: bool
    existing: tuple[str, ...]
    inspection: Inspection


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """What became of a request; `job` None after a dry run."""

    job: JobId | None
    plan: Plan
    size: int


class Intake:
    """Takes scenes in."""

    def __init__(
        self,
        *,
        nursery: trio.Nursery,
        world: World,
        scenes: Scenes,
        make_room: Callable[[int], Awaitable[None]],
        renderer: Renderer,
        rack: EngineRack,
        folders: Folders,
        scratch: Path,
        offers: Callable[[], Sequence[Offer]],
        ask: Callable[[Callable[[int], JobPlanned]], Awaitable[Accepted | Declined]],
        mark: Mark = unmarked,
    ) -> None:
        self._nursery = nursery
        self._world = world
        self._scenes = scenes
        self._make_room = make_room
        self._renderer = renderer
        self._rack = rack
        self._folders = folders
        self._scratch = scratch
        self._offers = offers
        self._ask = ask
        self._mark = mark
        self._numbers = itertools.count(1)

    async def submit(
        self, request: SubmitRequest, report: Report, judges: tuple[PeerId, ...] = ()
    ) -> Submitted | Declined:
        """Inspect, store and announce a scene, or only inspect it. Raises what `Desk.submit` raises."""
        report({"phase": "inspect", "text": "reading the scene", "done": 0, "total": 0, "unit": ""})
        self._mark(Step.ASKED)
        plan = await self._planned(request, judges)
        self._mark(Step.INSPECTED)
        size = await self._world.in_thread(lambda: _size_of(plan.inspection))
        if request["dry_run"]:
            return Submitted(job=None, plan=plan, size=size)
        await self._make_room(size)
        stored = await self._stored(plan, size, report)
        self._mark(Step.PLANNED)
        reply = await self._ask(lambda op: _event(op, plan, stored))
        if isinstance(reply, Declined):
            return reply
        return Submitted(job=reply.job, plan=plan, size=stored.size)

    async def _planned(self, request: SubmitRequest, judges: tuple[PeerId, ...]) -> Plan:
        if not 0 <= request["memory_mb"] <= MAX_MEMORY_MB:
            raise UsageError(f"a job cannot ask for {request['memory_mb']:,} MB of memory")
        check = _check(request, judges)
        scene = Path(request["scene"])
        frames = parse_frames(request["frames"], request["step"] or 1) if request["frames"] is not None else None
        saved_by = await self._world.in_thread(lambda: self._renderer.saved_by(scene))
        await self._rack.settled()
        engine = self._choose(request["engine"], saved_by)
        reader = self._reader(engine, saved_by)
        if not request["dry_run"]:
            self._nursery.start_soon(self._rack.warm, engine)
        ranges = [range(part.first, part.last + 1, part.step) for part in frames.ranges] if frames else None
        check_weight(request["weight"])
        inspection = await self._renderer.inspect(scene, ranges, reader)
        frames = frames or (_current(inspection) if request["still"] else _own_frames(inspection, request["step"]))
        directory = request["output"] or str(inspection.output_directory)
        names = _own_names(inspection)
        look = await self._world.in_thread(lambda: self._look(directory, names, frames))
        refusals = [*_refusals(inspection, request), *_output_refusals(directory, look, request)]
        if refusals:
            raise Refused(refusals)
        cut = cut_of(request, inspection, len(frames)) if check is Check.ONCE else None
        output = inspection.output
        return Plan(
            name=clipped(request["name"] or scene.stem, MAX_NAME_BYTES),
            engine=engine,
            frames=frames,
            names=names,
            picture=Picture(
                format=output.format,
                width=output.width,
                height=output.height,
                color_mode=output.color_mode,
                depth=output.depth,
            ),
            cut=cut,
            memory_mb=request["memory_mb"],
            check=check,
            judges=judges,
            weight=request["weight"],
            directory=directory,
            overwrite=request["overwrite"],
            existing=look.existing,
            inspection=inspection,
        )

    def _choose(self, wanted: str | None, saved_by: SavedBy) -> EngineId:
        """Choose among what can render now, else among all that is known, else refuse by name."""
        offers = self._offers()
        own = [Offer(engine=engine_id(engine), slots=0) for engine in self._rack.found.usable]
        for known in ([offer for offer in offers if offer.slots], offers, own):
            engine = choose(known, wanted=wanted, saved_by=saved_by)
            if engine is not None:
                return engine
        raise Refused([_no_engine(wanted, saved_by, offers)])

    def _reader(self, engine: EngineId, saved_by: SavedBy) -> Engine:
        """Return the engine of this host that reads the scene: the job's own, else the nearest that can."""
        with suppress(EngineMissing):
            return self._rack.find(engine)
        here = {engine_id(found): found for found in self._rack.found.usable}
        chosen = choose([Offer(engine=found, slots=1) for found in here], wanted=None, saved_by=saved_by)
        if chosen is None:
            raise EngineMissing(f"no engine of this host reads a scene saved by {_program(saved_by)}")
        return here[chosen]

    def _look(self, directory: str, names: OutputNames, frames: Frames) -> "_Look":
        """Look at the output directory; runs in a thread."""
        unusable = self._folders.usable(directory)
        existing = self._folders.existing(directory, [names.name(frame) for frame in frames]) if not unusable else ()
        return _Look(unusable=unusable, existing=existing)

    async def _stored(self, plan: Plan, size: int, report: Report) -> StoredTree:
        """Store the scene's files and its recipe, reporting how far that is."""
        recipe = self._scratch / f"recipe-{next(self._numbers)}.json"
        done: list[int] = []

        def store() -> StoredTree:
            files = [(file.name, file.path) for file in plan.inspection.files]
            try:
                _write(recipe, plan.inspection.recipe)
                return self._scenes.ingest_tree([*files, (RECIPE_NAME, recipe)], done.append)
            finally:
                with suppress(OSError):
                    recipe.unlink()

        async def tell() -> None:
            with telling:
                while True:
                    report({"phase": "store", "text": "storing", "done": sum(done), "total": size, "unit": "bytes"})
                    await trio.sleep(REPORT_S)

        telling = trio.CancelScope()
        self._nursery.start_soon(tell)
        try:
            stored = await self._world.in_thread(store)
        finally:
            telling.cancel()
        report({"phase": "store", "text": "stored", "done": stored.size, "total": stored.size, "unit": "bytes"})
        return stored


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What is in the output directory."""

    unusable: str
    existing: tuple[str, ...]


def answer(submitted: Submitted, job: desk.JobRow | None, helpers: Sequence[HelperView]) -> SubmitAnswer:
    """Return what a person reads of a submission."""
    plan = submitted.plan
    frames = list(plan.frames)
    return {
        "job": job,
        "name": plan.name,
        "scene": str(plan.inspection.scene),
        "saved_by": _program(SavedBy(engine=plan.engine.name, version=plan.inspection.saved_by)),
        "saved_at_ms": plan.inspection.saved_at_ms,
        "engine": engine_text(plan.engine),
        "frames": frames_text(plan.frames),
        "tasks": len(frames),
        "picture": picture_row(plan.picture),
        "directory": plan.directory,
        "first_file": plan.names.name(min(frames)),
        "last_file": plan.names.name(max(frames)),
        "buckets": cut_text(plan.cut),
        "files": len(plan.inspection.files),
        "scene_bytes": submitted.size,
        "existing": list(plan.existing),
        "helpers": helper_rows(helpers),
        "warnings": list(plan.inspection.warnings),
    }


def _check(request: SubmitRequest, judges: tuple[PeerId, ...]) -> Check:
    """Return how many have to agree on a picture. Raises `UsageError`."""
    if request["check"] not in ("once", "twice"):
        raise UsageError(f"check: {request['check']!r} is neither once nor twice")
    if len(judges) > MAX_JUDGES:
        raise UsageError(f"a job names at most {MAX_JUDGES} judges")
    if request["check"] == "once":
        return Check.ONCE
    if request["still"]:
        raise UsageError("a still is rendered in buckets, and what is checked twice is rendered whole by both peers")
    return Check.TWICE


def _event(op: int, plan: Plan, stored: StoredTree) -> JobPlanned:
    return JobPlanned(
        op=op,
        name=plan.name,
        scene=stored.root,
        scene_blobs=stored.blobs,
        engine=plan.engine,
        frames=plan.frames,
        names=plan.names,
        picture=plan.picture,
        directory=plan.directory,
        overwrite=plan.overwrite,
        cut=plan.cut,
        memory_mb=plan.memory_mb,
        check=plan.check,
        judges=plan.judges,
        weight=plan.weight,
    )


def _current(inspection: Inspection) -> Frames:
    """Return the frame at which the scene was saved, which is what its artist saw last."""
    return frames_of([inspection.current_frame])


def _own_frames(inspection: Inspection, step: int | None) -> Frames:
    """Return the scene's own range, thinned where a person said how."""
    try:
        whole = FrameRange(first=inspection.first_frame, last=inspection.last_frame, step=step or inspection.frame_step)
        return Frames(ranges=(whole,))
    except ValueError as error:
        raise UsageError(f"the scene's own frames {inspection.first_frame}-{inspection.last_frame}: {error}") from error


def _own_names(inspection: Inspection) -> OutputNames:
    """Return how the scene calls its frames, where every system can call a file so."""
    own = inspection.frame_names
    try:
        return OutputNames(prefix=own.prefix, digits=own.digits, suffix=own.suffix)
    except ValueError as error:
        raise UsageError(f"the scene's own output: {error}") from error


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise StorageError(f"{path.parent} cannot be written: {error.strerror}") from error


def _size_of(inspection: Inspection) -> int:
    """Return the bytes of a scene's files; one that vanished meanwhile is found when it is stored."""
    size = len(inspection.recipe)
    for file in inspection.files:
        with suppress(OSError):
            size += file.path.stat().st_size
    return size


def _refusals(inspection: Inspection, request: SubmitRequest) -> list[desk.RefusalRow]:
    missing = () if request["allow_missing"] else inspection.missing
    return [refusal_row(refusal) for refusal in (*inspection.refusals, *missing)]


def _output_refusals(directory: str, look: _Look, request: SubmitRequest) -> list[desk.RefusalRow]:
    if look.unusable:
        return [
            {
                "code": "output-unusable",
                "subject": directory,
                "text": f"frames cannot be written into {directory}: it {look.unusable}",
                "remedy": "name a directory that you can write into: --output DIR",
            }
        ]
    if request["overwrite"]:
        return []
    return [
        {
            "code": "output-exists",
            "subject": f"{directory}/{name}",
            "text": f"{directory}/{name} exists already",
            "remedy": "move it away, choose another directory (--output DIR), or write over it (--overwrite)",
        }
        for name in look.existing
    ]


def _program(saved_by: SavedBy) -> str:
    """Return a program as people write it: `blender 4.2`."""
    return f"{saved_by.engine} {saved_by.version}".strip()


def _no_engine(wanted: str | None, saved_by: SavedBy, offers: Sequence[Offer]) -> desk.RefusalRow:
    ranked = sorted(offers, key=lambda offer: (offer.engine.name, version_key(offer.engine.version)))
    known = ", ".join(str(offer.engine) for offer in ranked) or "none"
    what = f"engine {wanted}" if wanted is not None else f"an engine for a scene saved by {_program(saved_by)}"
    return {
        "code": "no-engine",
        "subject": wanted or _program(saved_by),
        "text": f"no peer has {what}; known to the mesh: {known}",
        "remedy": "install it on a peer (`meshnode engine list` shows what is there), or choose one (--engine VERSION)",
    }
