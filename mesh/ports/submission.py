"""What a person asks for when a scene is submitted. As light as `desk`, and by its conventions."""

from typing import TypedDict


class SubmitRequest(TypedDict):
    """What a person asks for. `frames` None: the scene's own; `step` None: the scene's own, or 1 beside `frames`."""

    scene: str
    frames: str | None
    step: int | None
    name: str | None
    output: str | None
    engine: str | None
    dry_run: bool
    allow_missing: bool
    overwrite: bool
    still: bool
    """All peers render each frame together, in buckets; `frames` None: the scene's current frame."""
    buckets: str
    """How large buckets are: `auto`, `WxH` in pixels, or `strips:N`."""
    order: str
    """In which order they are started: `centre`, `spiral` or `rows`."""
