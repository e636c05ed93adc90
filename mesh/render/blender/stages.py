"""Be a stage that renders with Blender: one scene, loaded once, in one process."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from mesh.ports.renderer import Engine, FinishTask, Output, Rendered, RenderTask, SceneUnreadable, StageLimits
from mesh.render.blender.recipe import Recipe
from mesh.render.session import Session
from mesh.render.stages import OnProgress, ProcessStage

Launch = Callable[[], Awaitable[Session]]


class BlenderStage(ProcessStage):
    """Render one scene's frames. Made by `open_stage`."""

    def __init__(self, *, engine: Engine, tree: Path, recipe: Recipe, limits: StageLimits, launch: Launch) -> None:
        super().__init__(engine, limits)
        self._tree = tree
        self._recipe = recipe
        self._launch = launch

    async def render(self, task: RenderTask, on_progress: OnProgress) -> Rendered:
        """Render one frame, or a part of one; see the port for what it raises."""
        box = task.region and [task.region.left, task.region.top, task.region.right, task.region.bottom]
        samples = task.samples and [task.samples.first, task.samples.count, task.samples.of]
        return await self._make(task, on_progress, do="render", region=box, samples=samples)

    async def finish(self, task: FinishTask, on_progress: OnProgress) -> Rendered:
        """Make the file of one frame from its passes; see the port for what it raises."""
        return await self._make(task, on_progress, do="finish", passes=str(task.passes.absolute()))

    async def _start(self) -> Session:
        return await self._launch()

    async def _load(self, session: Session) -> Output:
        answer = await session.ask(
            self._limits.silence_ms,
            do="open",
            tree=str(self._tree),
            recipe={"main": self._recipe.main, "links": self._recipe.links, "absent": self._recipe.absent},
            threads=self._limits.threads,
            memory_bytes=self._limits.memory_bytes,
        )
        return read_output(answer.get("output"))


def read_output(value: object) -> Output:
    """Read what the stage says of the scene's output. Raises SceneUnreadable."""
    if not isinstance(value, dict):
        raise SceneUnreadable("the stage does not say what the scene writes")
    try:
        return Output(
            format=str(value["format"]),
            width=int(value["width"]),
            height=int(value["height"]),
            color_mode=str(value["color_mode"]),
            depth=int(value["depth"]),
        )
    except (KeyError, ValueError, TypeError, OverflowError) as error:
        raise SceneUnreadable(f"the stage does not say what the scene writes: {error}") from error
