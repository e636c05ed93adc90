"""Render frames as Blender does without the mesh, in one process that keeps its data: what the mesh is compared with.

Runs inside Blender, as `python -I bare.py -- SCENE OUT FIRST LAST` with the embedded engine's Python. Files get the
scene's own names in the directory OUT. Each step is a line of JSON on standard output, with the names and the clock of
a peer's timings, so that both are read alike. It shares no code with the stage and imports nothing of the project.
"""

import json
import os
import re
import sys
import time

_SAMPLE = re.compile(r"Sample ([1-9]\d*)/")


def main(scene_path: str, out: str, first: int, last: int) -> None:
    """Render the frames from `first` to `last` into `out`."""
    import bpy

    sampled: set[int] = set()

    def mark(step: str, frame: int) -> None:
        at_ms = time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)) // 1_000_000
        os.write(told, (json.dumps({"at_ms": at_ms, "step": step, "frame": frame}) + "\n").encode())

    def on_stats(text: object, *_: object) -> None:
        frame = bpy.context.scene.frame_current
        if frame not in sampled and isinstance(text, str) and _SAMPLE.search(text):
            sampled.add(frame)
            mark("sampled", frame)

    # Blender prints on standard output, too; the steps keep it for themselves.
    told = os.dup(1)
    os.dup2(2, 1)
    bpy.ops.wm.open_mainfile(filepath=scene_path, use_scripts=False)
    # Opening a file forgets the handlers.
    bpy.app.handlers.render_stats.append(on_stats)
    scene = bpy.context.scene
    scene.render.use_persistent_data = True
    name = os.path.basename(scene.render.filepath)
    for frame in range(first, last + 1):
        scene.frame_set(frame)
        scene.render.filepath = os.path.join(out, name)
        scene.render.filepath = scene.render.frame_path(frame=frame)
        mark("called", frame)
        bpy.ops.render.render(write_still=True)
        mark("written", frame)
    os._exit(0)


if __name__ == "__main__":
    arguments = sys.argv[sys.argv.index("--") + 1 :]
    main(arguments[0], arguments[1], int(arguments[2]), int(arguments[3]))
