"""Which version of the wire reads what, so that peers of two versions work in one mesh.

Theory: a channel speaks the highest version that both ends know. What a version knows is told by counts, since numbers
and fields are only ever appended: of each type how many fields it had. Whatever is not in the table of a version came
later. What goes out on a channel of an older version is fitted to it: a message of a later kind is not sent, a later
field of a message goes back to its default, and a statement that says something later is left out, since nobody but
its author could sign it without.

So a field that is added to a message must be a hint, which nobody needs. A field of a signed statement may change what
is right, such as an option of a job: then the statement needs the later version, and so does all that rests on it. A
job that needs a version is none for peers that do not speak it.

Invariants: nothing that goes through `fitted` is refused by a reader of that version. The module must not know what
anything means.
"""

import dataclasses
from collections.abc import Mapping
from functools import cache
from types import UnionType
from typing import Annotated, Any, Final, Union, cast, get_args, get_origin, get_type_hints

from mesh.wire.envelope import Signed
from mesh.wire.messages import Message

VERSION_LOWEST: Final = 1
VERSION_HIGHEST: Final = 2

_FIRST: Final = """
    Address:2 Admission:6 AdmitAsk:1 Admitted:3 Available:7 Beat:2 Block:4 Cancel:0 Carried:1 Chains:1 Claim:8
    ClaimSent:1 Contact:2 Contacts:1 Cut:11 DialMe:1 DialledBack:4 EngineId:3 Entries:3 Entry:4 Epoch:2 Failed:6
    Follow:2 FrameRange:3 Frames:1 Grant:7 Grants:1 Have:3 Head:2 Heartbeat:2 Hello:6 Hold:4 HoldAsk:4 Holds:1
    InviteRevoked:1 Job:12 KeepAsk:2 KeptAdmission:2 KeptChain:1 KeptContact:3 KeptDelivery:4 KeptDone:2
    KeptEntries:1 KeptHead:1 KeptHold:1 KeptMark:1 KeptOrder:3 KeptPause:3 KeptRenewal:1 KeptRevocation:1
    Leading:1 LeaseHeard:7 LeasesHeard:2 LedgerDigest:3 Lost:3 Mark:2 News:4 Notice:2 Offer:1 OpenCells:3
    OpenTask:3 Output:2 OutputNames:3 Parting:0 PeerRevoked:3 Picture:5 Ping:1 Pong:1 Refused:1 Region:4
    RenewAsk:1 Renewal:3 Renewed:2 Result:4 Revocation:6 Revocations:1 Ruler:2 Run:2 Running:1 Seal:1 SealPage:3
    SealedTask:2 Seek:1 SetDigests:1 SetKeys:1 SetLeaf:2 SetNode:2 StreamDigest:4 StreamDigests:3 StreamIds:6
    Tried:2 Verdict:2 Want:2 Window:13 Withdraw:2
"""

#: By version, but the present one: how many fields each type had. A table is written when its version is frozen.
KNEW: Final[Mapping[int, Mapping[str, int]]] = {
    1: {name: int(count) for name, _, count in (word.partition(":") for word in _FIRST.split())},
}

assert sorted(KNEW) == list(range(VERSION_LOWEST, VERSION_HIGHEST)), "a version without a table"


@dataclasses.dataclass(frozen=True, slots=True)
class _Plan:
    """How a type came to be."""

    since: int
    later: tuple[tuple[str, int, object], ...]
    """Fields that came after it: name, version, default."""
    within: tuple[str, ...]
    """Fields in which something may stand that came later."""


def needed(thing: object) -> int:
    """Return the lowest version whose readers take `thing`: a message, a journal entry, or any part of one."""
    if isinstance(thing, Signed):
        return needed(thing.body)
    if isinstance(thing, tuple):
        return max(map(needed, thing), default=VERSION_LOWEST)
    if not dataclasses.is_dataclass(thing):
        return VERSION_LOWEST
    plan = _plan(cast(Any, type(thing)))
    version = plan.since
    for name, came, default in plan.later:
        if came > version and getattr(thing, name) != default:
            version = came
    for name in plan.within:
        version = max(version, needed(getattr(thing, name)))
    return version


def fitted(message: Message, version: int) -> Message | None:
    """Return what a reader of `version` takes of a message; None: nothing."""
    return message if needed(message) <= version else cast(Message | None, _fit(message, version))


def _fit(thing: Any, version: int) -> Any:
    """Return what of `thing` a version reads, or None where it is nothing without the rest."""
    if isinstance(thing, Signed):
        return thing if needed(thing) <= version else None
    if isinstance(thing, tuple):
        return tuple(item for item in (_fit(item, version) for item in thing) if item is not None)
    if not dataclasses.is_dataclass(thing):
        return thing
    plan = _plan(cast(Any, type(thing)))
    if plan.since > version:
        return None
    changes = {name: default for name, came, default in plan.later if came > version}
    for name in plan.within:
        value = getattr(thing, name)
        if name in changes or value is None or needed(value) <= version:
            continue
        changes[name] = _fit(value, version)
        if changes[name] is None:
            return None
    return dataclasses.replace(cast(Any, thing), **changes)


def since(kind: type, field: str) -> int:
    """Return the version in which `kind` got this field."""
    names = [one.name for one in dataclasses.fields(cast(Any, kind))]
    return _since(kind.__name__, names.index(field))


@cache
def _plan(kind: Any) -> _Plan:
    name = kind.__name__
    began = next((version for version in KNEW if name in KNEW[version]), VERSION_HIGHEST)
    fields = dataclasses.fields(kind)
    hints = get_type_hints(kind, include_extras=True)
    later = tuple(
        (field.name, version, field.default)
        for place, field in enumerate(fields)
        if (version := _since(name, place)) > began
    )
    return _Plan(began, later, tuple(field.name for field in fields if _may_need_later(hints[field.name])))


def _since(name: str, place: int) -> int:
    """Return the version in which a type got its field at `place`."""
    return next((version for version in KNEW if place < KNEW[version].get(name, 0)), VERSION_HIGHEST)


@cache
def _may_need_later(annotation: Any) -> bool:
    """Tell whether a field may hold what some version does not read: most fields cannot, and are not looked at."""
    origin = get_origin(annotation)
    if origin is Annotated or origin is tuple or origin is Signed:
        return _may_need_later(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return any(_may_need_later(option) for option in get_args(annotation))
    if not dataclasses.is_dataclass(annotation):
        return False
    plan = _plan(cast(Any, annotation))
    return plan.since > VERSION_LOWEST or bool(plan.later or plan.within)
