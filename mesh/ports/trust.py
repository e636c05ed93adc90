"""What people say of pictures that look wrong, and what comes of it; the conventions are those of `desk`.

This module must stay light, since every command imports it: nothing from outside the standard library.
"""

from typing import TypedDict

from mesh.ground.errors import MeshError


class NoPicture(MeshError):
    """There is no picture of such a frame yet. `meshnode show JOB --frames` lists which there are."""

    exit_code = 58


class ComplaintRow(TypedDict):
    """What somebody who may not reject it says of a frame's picture."""

    peer: str
    peer_name: str
    frame: int
    reason: str


class RejectAnswer(TypedDict):
    """Of how many frames pictures were rejected; `complained`: this peer may only complain, and has."""

    job: str
    name: str
    frames: int
    complained: bool
