"""What a checker raises: which rule was broken, how, and the ids that the story is about."""

from mesh.ground.errors import MeshError


class Violation(MeshError):
    """A rule of the mesh was broken in the simulated world. The story that was printed says how."""

    def __init__(self, rule: str, text: str, *ids: bytes) -> None:
        super().__init__(f"{rule}: {text}")
        self.rule = rule
        self.ids = ids
