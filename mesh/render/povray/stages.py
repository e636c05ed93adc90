"""Be a stage that renders with POV-Ray: one scene, each of whose pictures is made by a process of its own.

Theory: POV-Ray parses its scene for each picture, so nothing is gained by holding it; what is held is the process that
stands beside it. A bucket is rendered with its edges moved outwards to multiples of POV-Ray's own blocks, since what
antialiasing does to a pixel depends on the block that it is in, and cropped again: then it is exact.
"""

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from mesh.ports.renderer import Engine, EngineBroken, FinishTask, FrameFailed, Output, Rendered, RenderTask, StageLimits
from mesh.render import posix, process
from mesh.render.povray import inspection, options, program
from mesh.render.povray.recipe import Recipe
from mesh.render.session import Session
from mesh.render.stages import OnProgress, ProcessStage
from mesh.wire.grids import Region

BLOCK_PIXELS = 32
"""The side of POV-Ray's blocks, counted from the corner of what is rendered."""

_BYTES_PER_PIXEL = 20
"""Five floats, in POV-Ray's own picture; beyond its limit it would go to a file in a directory that it cannot reach."""

_STAGE = Path(__file__).with_name("stage.py")


async def launch(engine_program: Path) -> Session:
    """Start the process that stands beside POV-Ray. Raises EngineBroken."""
    session = Session(process.start([sys.executable, "-I", str(_STAGE), "--"]), f"{program.TITLE} at {engine_program}")
    try:
        await session.hello()
    except BaseException:
        await session.child.aclose()
        raise
    return session


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Be a scene somewhere on this host: in a tree, or where its artist has it.

    `libraries` may be relative to its directory; `also` are files that may be read beside those below the directory.
    """

    program: Path
    directory: Path
    recipe: Recipe
    libraries: tuple[str, ...]
    also: tuple[str, ...] = ()


async def open_scene(session: Session, scene: Scene, limits: StageLimits) -> None:
    """Tell a process which scene it has. Raises EngineBroken."""
    includes = program.includes(scene.program)
    own = [] if includes is None else [str(includes.parent)]
    try:
        await session.ask(
            limits.silence_ms,
            do="open",
            program=str(scene.program),
            tree=str(scene.directory),
            readable=[str(scene.directory), *own, *scene.libraries, *scene.also],
            arguments=command_line(scene, includes, limits.threads),
            memory_bytes=limits.memory_bytes,
        )
    except FrameFailed as error:
        raise EngineBroken(str(error)) from error


def command_line(scene: Scene, includes: Path | None, threads: int) -> list[str]:
    """Give the words that every run of POV-Ray for a scene has in common."""
    recipe = scene.recipe
    pixels = int(recipe.settings["Width"]) * int(recipe.settings["Height"])
    libraries = [*([] if includes is None else [str(includes)]), *scene.libraries]
    return [
        *options.arguments(recipe.settings, recipe.declares.items()),
        f"Input_File_Name={recipe.main}",
        *(f'Library_Path="{library}"' for library in libraries),
        *(f'Include_Header="{header}"' for header in recipe.headers),
        "Output_To_File=on",
        "Display=off",
        "Pause_When_Done=off",
        "Verbose=on",
        f"Work_Threads={threads or posix.cores()}",
        f"Max_Image_Buffer_Memory={(pixels * _BYTES_PER_PIXEL >> 20) + 64}",
    ]


def frame_arguments(settings: Mapping[str, str], frame: int) -> list[str]:
    """Give the words that choose one frame of an animation, with the clock that it has there."""
    if not inspection.Span.of(settings).animated:
        return []
    return [f"Subset_Start_Frame={frame}", f"Subset_End_Frame={frame}"]


def region_arguments(outer: Region) -> list[str]:
    """Give the words that render a part of a picture: POV-Ray counts from 1, and both edges are inside."""
    return [
        f"Start_Column={outer.left + 1}",
        f"End_Column={outer.right}",
        f"Start_Row={outer.top + 1}",
        f"End_Row={outer.bottom}",
    ]


def outwards(region: Region, output: Output) -> Region:
    """Move a region's edges outwards to whole blocks, or to the picture's own edges."""
    return Region(
        left=region.left // BLOCK_PIXELS * BLOCK_PIXELS,
        top=region.top // BLOCK_PIXELS * BLOCK_PIXELS,
        right=min(output.width, -(-region.right // BLOCK_PIXELS) * BLOCK_PIXELS),
        bottom=min(output.height, -(-region.bottom // BLOCK_PIXELS) * BLOCK_PIXELS),
    )


class PovrayStage(ProcessStage):
    """Render one scene's frames. Made by `open_stage`."""

    def __init__(self, *, engine: Engine, tree: Path, recipe: Recipe, limits: StageLimits) -> None:
        super().__init__(engine, limits)
        self._tree = tree
        self._recipe = recipe

    async def render(self, task: RenderTask, on_progress: OnProgress) -> Rendered:
        """Render one frame, or a part of it; see the port for what it raises."""
        arguments = frame_arguments(self._recipe.settings, task.frame)
        crop, name = None, self._name(task.frame)
        if task.samples is not None:
            raise FrameFailed("POV-Ray has no samples that can be rendered apart")
        if (region := task.region) is not None:
            if region.right > self.output.width or region.bottom > self.output.height:
                raise FrameFailed(f"{region} lies outside of the picture, which the job says is another")
            arguments += region_arguments(outwards(region, self.output))
            crop, name = [region.left, region.top, region.right, region.bottom], _bucket_name(task.frame, region)
        size = [self.output.width, self.output.height]
        return await self._make(task, on_progress, do="render", name=name, arguments=arguments, crop=crop, size=size)

    async def finish(self, task: FinishTask, on_progress: OnProgress) -> Rendered:
        """Make the file of a frame from its pasted buckets, as POV-Ray would have; see the port."""
        name, passes, output = self._name(task.frame), str(task.passes), asdict(self.output)
        return await self._make(task, on_progress, do="finish", name=name, passes=passes, output=output)

    async def _start(self) -> Session:
        return await launch(self._engine.program)

    async def _load(self, session: Session) -> Output:
        recipe = self._recipe
        scene = Scene(program=self._engine.program, directory=self._tree, recipe=recipe, libraries=recipe.library_names)
        await open_scene(session, scene, self._limits)
        return inspection.output_of(recipe.settings)

    def _name(self, frame: int) -> str:
        """Call a frame's file as the scene does."""
        return inspection.frame_names(self._recipe.prefix, self._recipe.settings).name(frame)


def _bucket_name(frame: int, region: Region) -> str:
    return f"{frame}-{region.left}-{region.top}-{region.right}-{region.bottom}.exr"
