"""What anybody may say of a picture: that it looks wrong. It changes nothing, but makes whoever may reject it look.

None of it is recorded.
"""

import dataclasses
from typing import Annotated, ClassVar

from mesh.ground.ids import JobId, RecordId
from mesh.wire.codec import AtMost
from mesh.wire.envelope import Signed
from mesh.wire.records import MAX_REASON_BYTES, Task


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """The author thinks that a result is wrong, and may not reject it: somebody who may is to look."""

    DOMAIN: ClassVar[str] = "complaint"

    job: JobId
    task: Task
    result: RecordId
    reason: Annotated[str, AtMost(MAX_REASON_BYTES)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Complaints:
    """Complaints of members, to whoever may reject, and to keepers that meet him."""

    NUMBER: ClassVar[int] = 41

    complaints: Annotated[tuple[Signed[Complaint], ...], AtMost(32)]
