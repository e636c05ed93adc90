"""Save a scene again with another picture size, other samples or another file format, so that frames take as long as a
bench needs.

Runs inside Blender, as `python -I resize.py -- SCENE OUT WIDTH HEIGHT SAMPLES FORMAT DEPTH`, FORMAT and DEPTH such as
`OPEN_EXR 16`. Paths in the copy lead to where they led.
"""

import os
import sys


def main(arguments: list[str]) -> None:
    """Open, change, save."""
    import bpy

    scene_path, out, width, height, samples, form, depth = arguments
    bpy.ops.wm.open_mainfile(filepath=scene_path, use_scripts=False)
    bpy.context.preferences.filepaths.save_version = 0
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y = int(width), int(height)
    scene.cycles.samples = int(samples)
    scene.render.image_settings.file_format = form
    scene.render.image_settings.color_mode = "RGBA"
    scene.render.image_settings.color_depth = depth
    os.makedirs(os.path.dirname(out), exist_ok=True)
    bpy.ops.wm.save_as_mainfile(filepath=out, relative_remap=True)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[sys.argv.index("--") + 1 :])
