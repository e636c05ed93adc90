"""What the node asks of a renderer: probe, inspect, check out, open a stage, render frames, check the pictures.

Theory: a scene becomes a *tree* of relative names before it leaves the submitter, together with one small document, the
*recipe*, which only the adapter that wrote it understands (how stored paths map to names in the tree, what each output
must look like). Everywhere else the tree is checked out into a private directory and a *stage*, a renderer process with
that scene loaded, renders frame after frame from it.

Invariants: nothing here knows records, claims or blobs. A stage renders one frame at a time. `Stage.render` returns as
soon as the frame is on the disk, so that the next one can start at once; whether the picture is any good is a second
question, asked of `Renderer.check_picture`, since exit codes prove nothing. Every failure is one of the errors below.

A frame may also be made of *buckets*: stages render rectangles of it into EXR files with all passes, somebody pastes
these, and a stage *finishes* the frame from the pasted passes: what needs the whole picture (denoising, compositing,
the burned-in stamp, dithering, the file's own format) happens there, once. A bucket may also be the whole picture with
some of its samples; then they are added instead of pasted.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mesh.ground.errors import MeshError
from mesh.ports.assembly import Assembly
from mesh.wire.grids import Region, SampleRange

RECIPE_NAME = "meshnode.recipe.json"
"""The recipe's own name in a scene's tree."""


class RendererError(MeshError):
    """The renderer could not do its work. The message says which part; `meshnode logs JOB` shows what it printed."""

    exit_code = 30
    log: str = ""
    """The end of what the engine printed in the work that failed, where there is such a thing."""


class EngineMissing(RendererError):
    """No such engine is installed here. `meshnode engine list` shows those that are; `engine install blender` adds."""

    exit_code = 31


class EngineTooOld(RendererError):
    """The scene was saved by a newer program than this engine. Install that version, or save it with the older one."""

    exit_code = 32


class EngineBroken(RendererError):
    """The engine is there but does not start or render. The message says what it printed, and what to install."""

    exit_code = 33


class SceneUnreadable(RendererError):
    """The scene file is damaged, truncated or none that the mesh knows. Open it in its program and save it again."""

    exit_code = 34


class SceneRefused(RendererError):
    """The scene needs something that the mesh cannot render truly. Each reason is named with what to do about it."""

    exit_code = 35

    def __init__(self, refusals: "Sequence[Refusal]") -> None:
        super().__init__("; ".join(refusal.text for refusal in refusals) or "refused")
        self.refusals = tuple(refusals)


class PathLeavesTree(RendererError):
    """A path inside the scene resolves outside the job's own files, so nothing was rendered. Submit the scene again."""

    exit_code = 36


class RendererCrashed(RendererError):
    """The renderer ended in the middle of its work. The frame is tried elsewhere; the log's end says why it ended."""

    exit_code = 37


class RendererHung(RendererError):
    """The renderer gave no sign of life for too long and was ended. The frame is tried elsewhere."""

    exit_code = 38


class RendererOutOfMemory(RendererError):
    """The renderer needed more memory than it is allowed here. Try a machine with more, or a lighter scene."""

    exit_code = 39


class FrameFailed(RendererError):
    """The renderer itself reported an error for this frame and wrote no picture. The message is the renderer's own."""

    exit_code = 40


class OutputTruncated(RendererError):
    """The picture on the disk cannot be decoded, or stops before its end. The frame is tried elsewhere."""

    exit_code = 41


class OutputWrong(RendererError):
    """The picture has the wrong size or channels, or holds values that are no numbers. The frame is tried elsewhere."""

    exit_code = 42

    unlike_others = False
    """Whether it is only of another kind than the buckets of its frame before it: these may be what is wrong."""


class OutputUnwritable(RendererError):
    """The picture could not be written: the disk is full or not writable. Free some space; the frame is tried again."""

    exit_code = 43


class EngineNotInstalled(RendererError):
    """The embedded engine could not be installed. The message says which step failed and what to do about it."""

    exit_code = 45


class StageClosed(RendererError):
    """The stage was closed or killed on request while it worked; nothing is to be done."""

    exit_code = 44


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """Name one exact renderer that was proven to work here.

    `version` and `build` together are the identity that jobs compare: two engines with the same pair render alike.
    `renders` are the render engines in it that were proven here, such as `CYCLES`.
    """

    name: str
    version: str
    build: str
    program: Path
    embedded: bool
    renders: tuple[str, ...]

    @property
    def key(self) -> str:
        """Give the engine's identity as one word, such as `blender-4.2.23-a1b2c3d4e5f6`."""
        return f"{self.name}-{self.version}-{self.build}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedBy:
    """Tell which program a scene file is for: an engine's name, and the version that it must at least have.

    An empty version: any will do.
    """

    engine: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenEngine:
    """Name a renderer that was found and failed its proof, with the reason and the remedy, for `engine list`."""

    name: str
    program: Path
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Engines:
    """List what a peer can render with, best first, and what it found but cannot use."""

    usable: tuple[Engine, ...] = ()
    broken: tuple[BrokenEngine, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Say why a scene is not taken: a stable code, the thing it is about, a sentence, and what to do."""

    code: str
    subject: str
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameNames:
    """Name the file of each frame, as the scene's own `frame_path` would; `prefix` has no directory in it."""

    prefix: str
    digits: int
    suffix: str

    def name(self, frame: int) -> str:
        """Give the bare file name of a frame."""
        sign = "-" if frame < 0 else ""
        return f"{self.prefix}{sign}{abs(frame):0{self.digits}d}{self.suffix}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Say what every finished frame must look like; sizes in pixels, `depth` in bits per channel."""

    format: str
    width: int
    height: int
    color_mode: str
    depth: int


def bucket_output(region: Region) -> Output:
    """Return what the file of a bucket must look like that holds `region`, whatever its frame's file is."""
    return Output(format="OPEN_EXR_MULTILAYER", width=region.width, height=region.height, color_mode="RGBA", depth=32)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalFile:
    """Name one file that the scene uses: where it is here, who uses it, and whether it is there.

    `kind` is a word such as `library`, `include`, `image`, `sequence` or `font`; `user` names what uses the file,
    `owner` the scene's file that says so.
    `files` are all the files behind the entry (each needed frame of a sequence), `missing` those that do not exist.
    """

    kind: str
    path: Path
    stored: str
    owner: Path
    user: str
    files: tuple[Path, ...]
    missing: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneFile:
    """Pair a relative name in the scene's tree with the file of the submitter's disk that is stored under it."""

    name: str
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutting:
    """Tell how frames of a scene can be rendered in buckets; sizes in pixels, from the left and from the top.

    Frames are `width` x `height`, of which the scene renders `region`. Around each bucket `margin` pixels are rendered
    and thrown away, so that what lies inside is as in the whole. `obstacles`: why frames can only be rendered whole.
    `samples`: how many each pixel gets; `sample_obstacles`: why these cannot be rendered apart and added.
    """

    width: int
    height: int
    region: Region
    margin: int = 0
    obstacles: tuple[Refusal, ...] = ()
    samples: int = 0
    sample_obstacles: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """Tell everything that a submitter must know of a scene before anything is sent.

    Frames are the scene's own range, and the one at which it was saved. `output_directory` is absolute. `files` and
    `recipe` make the tree: every file under its name, and the recipe under `RECIPE_NAME`. `refusals` and `missing` both
    forbid to go on; warnings do not.
    """

    scene: Path
    scene_name: str
    saved_by: str
    saved_at_ms: int
    engine: Engine
    render_engine: str
    first_frame: int
    last_frame: int
    frame_step: int
    current_frame: int
    output: Output
    output_directory: Path
    frame_names: FrameNames
    cutting: Cutting
    color_management: tuple[tuple[str, str], ...]
    external: tuple[ExternalFile, ...]
    files: tuple[SceneFile, ...]
    recipe: bytes
    refusals: tuple[Refusal, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def missing(self) -> tuple[Refusal, ...]:
        """Name each missing file with what uses it."""
        return tuple(
            Refusal(
                code=f"missing-{external.kind}",
                subject=str(path),
                text=f"{external.kind} {path} is missing (used by {external.user} in {external.owner.name})",
                remedy="put the file there, or correct the scene, or pass --allow-missing",
            )
            for external in self.external
            for path in external.missing
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutFile:
    """Give one file of a tree to be checked out: its relative name, which is data, and its bytes in blocks."""

    name: str
    size: int
    blocks: Iterable[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageLimits:
    """Bound what a stage may take: render threads (0: all cores), memory in bytes, silence in milliseconds."""

    threads: int = 0
    memory_bytes: int | None = None
    silence_ms: int = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderTask:
    """Ask for one frame, to be written into a directory under the name that the recipe's output gives it.

    With a `region`, its margin included, ask for just these pixels, with all passes, before anything that needs the
    whole picture: an EXR of floats in many layers, of the region's size. With `samples`, ask for all that the scene
    renders of the frame in just these samples of each pixel, likewise; there is no `region` then.
    """

    frame: int
    directory: Path
    region: Region | None = None
    samples: SampleRange | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishTask:
    """Ask for the file of a frame, as `RenderTask` does, from all its passes: an EXR pasted from buckets."""

    frame: int
    directory: Path
    passes: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Tell how far a frame is: samples done of all (0: unknown), the renderer's own line, its memory in bytes."""

    frame: int
    sample: int
    samples: int
    text: str
    memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """Tell what a frame left on the disk; times in milliseconds, memory in bytes, `log` the end of its output."""

    frame: int
    files: tuple[Path, ...]
    render_ms: int
    memory_bytes: int
    log: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureReport:
    """Tell what the check of a good picture saw; a constant picture may be right, so it is only reported."""

    width: int
    height: int
    channels: tuple[str, ...]
    constant: bool


class Stage(Protocol):
    """Be a renderer process with one job's scene loaded. One frame at a time; any error but FrameFailed ends it."""

    @property
    def engine(self) -> Engine:
        """Give the engine that renders."""
        ...

    @property
    def output(self) -> Output:
        """Give what each frame must look like, from the recipe."""
        ...

    async def render(self, task: RenderTask, on_progress: Callable[[Progress], None]) -> Rendered:
        """Render one frame and return once its file is on the disk under its final name, not yet checked.

        Raises FrameFailed, OutputUnwritable, RendererCrashed, RendererHung, RendererOutOfMemory, PathLeavesTree,
        StageClosed. Cancelling it kills the process.
        """
        ...

    async def finish(self, task: FinishTask, on_progress: Callable[[Progress], None]) -> Rendered:
        """Make the file of one frame from its passes, as if this stage had rendered it; raises what `render` does."""
        ...

    async def aclose(self) -> None:
        """End the process and wait until none of its tree is left."""
        ...

    def kill(self) -> None:
        """End the process tree at once; a render in hand raises StageClosed. Safe to call twice."""
        ...


class Renderer(Protocol):
    """Be the one adapter of a peer's renderers. Its processes end with `aclose`, and when the peer dies."""

    async def probe(self, *, thorough: bool = False) -> Engines:
        """Find the engines; each was proven by a tiny real render, once per binary and user.

        A thorough probe also proves the other render engines, which may take a minute the first time.
        """
        ...

    def saved_by(self, scene: Path) -> SavedBy:
        """Read from a scene's first bytes which engine is for it, and which version saved it; runs in a thread.

        Raises SceneUnreadable.
        """
        ...

    async def inspect(self, scene: Path, frames: Sequence[range] | None, engine: Engine) -> Inspection:
        """Read a scene without running its scripts; `frames` None means its own range.

        Raises SceneUnreadable, EngineTooOld, EngineBroken. Refusals and missing files are in the answer.
        """
        ...

    def check_out(self, directory: Path, files: Iterable[CheckoutFile]) -> None:
        """Write a tree's files read-only under a new private directory; runs in a thread; refuses names that leave it.

        Raises PathLeavesTree, OutputUnwritable. On an error nothing of the directory is left.
        """
        ...

    def discard(self, directory: Path) -> None:
        """Remove a checked-out tree; runs in a thread; does nothing when there is none."""
        ...

    async def warm(self, engine: Engine) -> None:
        """Hold an engine that waits for a scene, so that the next stage opens without its start.

        Returns when a stage took it, or at once where one waits already; when it is cancelled, its process ends.
        Raises EngineBroken.
        """
        ...

    async def open_stage(self, engine: Engine, tree: Path, limits: StageLimits) -> Stage:
        """Load a checked-out tree's scene and return when it is ready to render.

        Raises SceneUnreadable, SceneRefused, EngineTooOld, EngineBroken, PathLeavesTree, RendererCrashed, RendererHung,
        RendererOutOfMemory.
        """
        ...

    def assembly(self, width: int, height: int, region: Region) -> AbstractAsyncContextManager[Assembly]:
        """Begin a frame of this size in pixels of which `region` is made of buckets; what it holds ends with it."""
        ...

    async def check_picture(self, picture: Path, output: Output) -> PictureReport:
        """Decode a finished frame in a process of its own and hold it against what the recipe promised.

        Raises OutputTruncated, OutputWrong.
        """
        ...

    async def pictures_alike(self, mine: Path, theirs: Path) -> bool:
        """Tell whether two files show the same frame, as two renders by one exact engine do: in a process of its own.

        A file that cannot be read is like none. Raises OutputTruncated where that is `mine`.
        """
        ...

    async def aclose(self) -> None:
        """End every process that this renderer started."""
        ...
