"""Render frames as Blender alone would: a fresh process, its own animation render, no persistent data.

Run with the embedded engine's Python: SCENE PREFIX FIRST LAST. It shares no code with the stage.
"""

import sys

import bpy


def main(scene: str, prefix: str, first: str, last: str) -> None:
    bpy.ops.wm.open_mainfile(filepath=scene, use_scripts=False)
    shown = bpy.context.scene
    shown.frame_start, shown.frame_end, shown.frame_step = int(first), int(last), 1
    shown.render.filepath = prefix
    shown.render.use_persistent_data = False
    bpy.ops.render.render(animation=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
