"""What is said of copies: who holds which, and who is asked to take one, in whose place, beside whom.

None of it is recorded. Nobody must do what is asked: whoever does, signs a hold.
"""

import dataclasses
from typing import Annotated, ClassVar

from mesh.ground.ids import BlobId, JobId
from mesh.wire.codec import AtMost
from mesh.wire.envelope import Signed
from mesh.wire.records import MAX_COPIES, Hold


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Holds:
    """Holds of members: the sender's own, to all whom they concern, or what replaced a hold that the receiver gave."""

    NUMBER: ClassVar[int] = 19

    holds: Annotated[tuple[Signed[Hold], ...], AtMost(64)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HoldAsk:
    """The receiver is asked to take a copy of an output, in the place of a holder that is gone or about to go.

    Who holds it already answers with its hold; who cannot take it, not at all.
    """

    NUMBER: ClassVar[int] = 40

    job: JobId
    blob: BlobId
    replaced: Signed[Hold] | None
    """The hold that the new one is to replace; None: copies are missing."""
    others: Annotated[tuple[Signed[Hold], ...], AtMost(MAX_COPIES)]
    """Who else holds it."""
