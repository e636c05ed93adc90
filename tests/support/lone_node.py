"""Be a node with nothing but a renderer, in the middle of a frame, waiting to be killed.

Run as a module: SCENE TREE. It prints the stage's process id once the engine reported a sample, and never ends.
"""

import functools
import sys
from pathlib import Path

from mesh.ports.renderer import Progress, RenderTask
from mesh.render.blender.stages import BlenderStage
from tests.support import scenes


async def main(scene: Path, tree: Path) -> None:
    async with scenes.renderer() as made:
        stage = await scenes.opened(made, scene, tree)
        assert isinstance(stage, BlenderStage)
        assert stage._session is not None
        pid = stage._session.child.pid

        def tell(progress: Progress) -> None:
            if progress.sample > 0:
                print(pid, flush=True)

        await stage.render(RenderTask(frame=1, directory=tree.parent / "out"), tell)


if __name__ == "__main__":
    scenes.run(functools.partial(main, *map(Path, sys.argv[1:])))
