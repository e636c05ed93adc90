"""Render a scene as Blender alone does: the reference that delivered frames are compared with.

Runs inside Blender, as `python -I alone.py -- SCENE OUT FIRST LAST THREADS` with the embedded engine's Python or as
`blender -b --factory-startup --disable-autoexec --python alone.py -- ...`. One fresh process, one call with
`animation=True`, no persistent data, the file where the artist has it. It must share no code with the stage and must
not import the project: what both had wrong would be compared with itself. THREADS 0 leaves the scene's own number.
"""

import os
import sys


def main(scene_path: str, out: str, first: int, last: int, threads: int) -> None:
    """Render the frames from `first` to `last` into `out`, under the scene's own names."""
    import bpy

    bpy.ops.wm.open_mainfile(filepath=scene_path, use_scripts=False)
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = first, last
    scene.render.use_persistent_data = False
    scene.render.filepath = os.path.join(out, os.path.basename(scene.render.filepath))
    if threads:
        scene.render.threads_mode, scene.render.threads = "FIXED", threads
    if "FINISHED" not in bpy.ops.render.render(animation=True):
        raise SystemExit("Blender did not finish the animation")


if __name__ == "__main__":
    arguments = sys.argv[sys.argv.index("--") + 1 :]
    main(arguments[0], arguments[1], *(int(number) for number in arguments[2:]))
