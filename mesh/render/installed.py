"""Put together the renderer of this host: an adapter for each program that the mesh knows."""

from pathlib import Path

from mesh.ports.renderer import SceneUnreadable
from mesh.render import engines
from mesh.render.blender import header
from mesh.render.blender.adapter import BlenderAdapter
from mesh.render.povray import inspection
from mesh.render.povray.adapter import PovrayAdapter
from mesh.render.renderers import Renderers


def renderers(cache: Path, say: engines.Say = engines.unsaid) -> Renderers:
    """Make the renderer; engines and proofs are kept in `cache`, `say` hears of what takes a person's time."""
    return Renderers(
        {
            "blender": (BlenderAdapter(cache=cache, say=say), reads_blend),
            "povray": (PovrayAdapter(cache=cache, say=say), inspection.reads),
        }
    )


def reads_blend(scene: Path) -> bool:
    """Say whether a file is one of Blender's, or claims to be: what is wrong with it is then said by who reads it."""
    try:
        with open(scene, "rb") as stream:
            first = stream.read(header.FIRST_BYTES)
    except (OSError, ValueError) as error:
        raise SceneUnreadable(f"{scene}: {getattr(error, 'strerror', None) or error}") from error
    return header.may_be_blend(first) or scene.suffix.casefold().startswith(".blend")
