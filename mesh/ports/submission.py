"""What a person asks for when a scene is submitted, and what pictures will be; by the conventions of `desk`."""

from typing import TypedDict


class PictureRow(TypedDict):
    """What every finished frame must be: sizes in pixels, `depth` in bits per channel."""

    format: str
    width: int
    height: int
    color_mode: str
    depth: int


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
    split: bool
    """Without `still`: the last frames may be rendered in buckets, too, where slots would be idle."""
    samples_split: int
    """Of a still: machines render so many shares of its samples, each of the whole picture; 0: buckets."""
    check: str
    """Whether a picture counts `once` it is rendered, or where another peer's is like it: `twice`, without buckets."""
    judges: list[str]
    """Peers, by name or id, that may reject pictures of the job, too."""
    order: str
    """In which order they are started: `centre`, `spiral` or `rows`."""
    memory_mb: int
    """Machines with less memory, in MiB, render nothing of it; 0: any may."""
    weight: int
    """How much time each host is to give the job beside others: from 1 to 100, 10 is usual."""
