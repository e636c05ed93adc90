"""Blender: the half that a node runs (`adapter`, `recipe`) and the half inside Blender (`stage`, its imports).

The inner half is plain Python 3.10 with nothing but the standard library, `bpy` and its own siblings, which it imports
by relative names, so that `header`, `blendfile` and `paths` serve both sides.
"""
