"""Datagrams on a channel: where one is open anyway, no other keys are needed."""

import dataclasses
from typing import Annotated, ClassVar

from mesh.wire.codec import AtMost

MAX_CARRIED_BYTES = 1_100
"""As much as one datagram holds."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """What else would go by datagram, on a channel that is open anyway: no other keys are needed there."""

    NUMBER: ClassVar[int] = 37

    payload: Annotated[bytes, AtMost(MAX_CARRIED_BYTES)]
