#!/usr/bin/env python3
"""Keep docs/reference/wire.md as the declarations of `mesh.wire` say: `--check` complains, else it is rewritten.

The tables come from the annotations, which the codec itself reads, and from the docstrings beside them; only what
stands in TEXT below is written by hand. Run in the project's environment: it imports what it describes.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import enum
import inspect
import sys
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, NewType, Union, get_args, get_origin, get_type_hints

sys.path[0] = str(Path(__file__).resolve().parent.parent)

from mesh.ground.ids import BOOT_SIZE, ID_SIZE, Boot
from mesh.wire import (
    beacon,
    cbor,
    complaints,
    dials,
    envelope,
    kept,
    lookups,
    members,
    messages,
    probes,
    records,
    tasks,
)
from mesh.wire.codec import AtMost, Between, Size, most_bytes
from mesh.wire.envelope import Signed
from mesh.wire.versions import KNEW, VERSION_HIGHEST, since

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "wire.md"

TEXT = f"""# What travels, and what is kept

Made by `tools/wire_reference.py` from the declarations in `mesh/wire`. What carries these bytes is in
[the handshake and the record layer](handshake.md); blobs are in [manifests and trees](manifest.md).

## Encoding

Canonical CBOR (RFC 8949, section 4.2.1), and of it only integers from -2^63 to 2^63 - 1, byte strings, UTF-8 text,
lists of definite length, false, true and null. A head is as short as it can be. Lists nest at most {cbor.MAX_DEPTH}
deep, one encoding holds at most {cbor.MAX_ITEMS:,} values unless its reader says otherwise, and nothing follows it.
Whatever else the bytes are, they are refused as a whole.

- A **type** is the list of its fields, in the order of the tables. New fields are only ever appended, with a default;
  fields at the end that have their defaults are left out, and a reader refuses them where they are not.
- A **message**, a journal entry and one of several types (`A or B`) are `[number, type]`.
- A **signed** type is `[key, data, signature]`: the author's Ed25519 public key ({ID_SIZE} bytes), the type's encoding
  as a byte string of at most {envelope.MAX_BODY_BYTES:,} bytes, and {envelope.SIGNATURE_SIZE} bytes of signature over
  `meshnode/1/`, the type's domain, a zero byte, key and data. BLAKE3 of the same bytes is the statement's **id**, so
  that the signature is no part of it: every copy's signature is checked, whether its id is known or not.
- An **id** has {ID_SIZE} bytes. A peer's is BLAKE3 of its public key, derive-key context `meshnode 1 peer id`; a mesh's
  that of its root key, context `meshnode 1 mesh id`; a record's that of the statement; a blob's that of its manifest.
- Times are milliseconds since 1970 in UTC.

Which version reads what, and what may change between two, is told in [versions](../internals/versions.md). What is
marked as later is not said on channels of an older version. A message of a number beyond those here is passed over.

A value beyond a bound is refused with all that it came in. "At most" before the size of a type is what its bounds add
up to, so whatever is within them fits its packet; a sender that has more to say sends several messages.
"""

RULES = f"""## Refused beyond the bounds

- An output's name must be one part that every system can hold, by the rule of [trees](manifest.md).
- A job has no frame twice, and at most {tasks.MAX_TASKS:,} frames, none beyond {tasks.FRAME_LIMIT:,} either way.
- A host is an IPv4 or IPv6 address, the latter perhaps with a zone, or ASCII labels of 1 to 63 letters, digits, `-` or
  `_`.
- An endpoint's address has 4 or 16 bytes, and an IPv4 address never 16.
- A pointer lies under the first {lookups.DHT_ID_BYTES} bytes of its author's id, and under no other key.
- The bits of `Have` are exactly as many bytes as its pieces need, and none is set beyond the last piece.
- A seal's page of a job of 1,000 tasks is read up to {records.page_bytes(1_000):,} bytes, and for no more tasks
  than its job has.
"""

CODES: list[tuple[str, type[enum.IntEnum | enum.IntFlag]]] = [
    ("`roles`: a sum of", members.Role),
    ("`kind` of [Failed](#failed)", records.FailureKind),
    ("`check` of [Job](#job)", records.Check),
    ("`code` of [Refused](#refused)", messages.RefusalCode),
    ("`outcome` of [Tried](#tried)", dials.Outcome),
    ("`state` of [Tiding](#tiding); whoever does not know one passes over that tiding", probes.State),
]

SIGNED = [members.Admission, members.Invite, members.StaticKey]
SIGNED += [records.Job, records.Entry, records.Claim, records.Hold, records.Mark, complaints.Complaint, lookups.Pointer]

BEACON = f"""In UDP datagrams of {beacon.SIZE} bytes: a random nonce of {beacon.NONCE_SIZE}, then XChaCha20-Poly1305 of
the length ({beacon.LENGTH_SIZE} bytes, big-endian), the beacon, and zeros. The key is BLAKE3, keyed by the mesh secret,
of `meshnode 1 beacon` and the mesh's id."""

SECTIONS: list[tuple[str, str, list[Any]]] = [
    ("Signed statements", "Each has a domain of its own, so that one never passes for another.", SIGNED),
    ("Records", "What an entry may say.", list(get_args(records.Statement))),
    (
        "Messages",
        f"On control channels, in packets of at most {messages.MAX_MESSAGE_BYTES:,} bytes. Numbers only get more.",
        list(messages.MESSAGES),
    ),
    (
        "Look-ups",
        f"In datagrams of at most {lookups.MAX_LOOKUP_BYTES:,} bytes, with numbers of their own: the DHT's, probing's.",
        list(lookups.LOOKUPS),
    ),
    (
        "Journal entries",
        "A peer's own, on its own disk; decoded with the same care, since a disk may return what it likes.",
        list(kept.KEPT),
    ),
    ("In handshakes", "What a member or a joiner shows.", [members.Credentials, members.JoinRequest]),
    (
        "On the LAN",
        BEACON,
        [beacon.Beacon],
    ),
]


def parts_of(kinds: Iterable[Any]) -> list[Any]:
    """List the types that stand within these and have no section of their own, in the order in which they are met."""
    titled = [kind for _, _, section in SECTIONS for kind in section]
    found: dict[Any, None] = {}

    def look(annotation: Any) -> None:
        if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
            if annotation not in titled:
                if annotation in found:
                    return
                found[annotation] = None
            for hint in get_type_hints(annotation, include_extras=True).values():
                look(hint)
            return
        for inner in get_args(annotation):
            look(inner)

    for kind in kinds:
        look(kind)
    return list(found)


def described(annotation: Any) -> str:
    """Say in words what a field may hold."""
    if isinstance(annotation, NewType):
        if annotation.__supertype__ is int:
            return "time"
        return f"{BOOT_SIZE} bytes" if annotation is Boot else f"{annotation.__name__}, {ID_SIZE} bytes"
    origin = get_origin(annotation)
    if origin is Annotated:
        return bounded(*get_args(annotation))
    if origin in (Union, UnionType):
        options = [option for option in get_args(annotation) if option is not NoneType]
        optional = ["null"] if NoneType in get_args(annotation) else []
        return " or ".join([described(option) for option in options] + optional)
    if origin is Signed:
        return f"signed {described(get_args(annotation)[0])}"
    if annotation is bool:
        return "boolean"
    return f"[{annotation.__name__}](#{annotation.__name__.lower()})"


def bounded(base: Any, bound: Size | Between | AtMost) -> str:
    """Say in words what a bounded annotation allows."""
    match bound:
        case Size(exactly=size):
            return f"{size} bytes"
        case Between(low=low, high=high):
            return f"integer, {power(low)} to {power(high)}"
        case AtMost(length=most) if base is str:
            return f"text, at most {most:,} bytes"
        case AtMost(length=most) if base is bytes:
            return f"at most {most:,} bytes"
        case AtMost(length=most):
            return f"at most {most:,} of: {described(get_args(base)[0])}"


def power(number: int) -> str:
    """Write a number for people: powers of two as such."""
    if number >= 1 << 16 and number & (number - 1) == 0:
        return f"2^{number.bit_length() - 1}"
    return f"{number:,}"


def remarks(kind: type) -> dict[str, str]:
    """Give the docstrings that stand under the fields of a dataclass."""
    (declared,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(declared, ast.ClassDef)
    found: dict[str, str] = {}
    field = ""
    for node in declared.body:
        match node:
            case ast.AnnAssign(target=ast.Name(id=name)):
                field = name
            case ast.Expr(value=ast.Constant(value=str(text))) if field:
                found[field] = " ".join(text.split())
    return found


def section(kind: Any) -> Iterator[str]:
    """Yield the lines of one type."""
    yield f"### {kind.__name__}"
    yield ""
    facts = []
    if "DOMAIN" in vars(kind):
        facts.append(f"Domain `{kind.DOMAIN}`.")
    if "NUMBER" in vars(kind):
        facts.append(f"Number {kind.NUMBER}.")
    facts.append(f"At most {most_bytes(kind):,} bytes.")
    if later := began(kind):
        facts.append(f"Since version {later}.")
    yield " ".join(facts) + " " + " ".join(inspect.cleandoc(kind.__doc__ or "").split())
    yield ""
    hints = get_type_hints(kind, include_extras=True)
    fields = dataclasses.fields(kind)
    if not fields:
        return
    said = remarks(kind)
    yield "| field | holds | |"
    yield "|---|---|---|"
    for field in fields:
        remark = f"{said.get(field.name, '')}{came(kind, field.name)}"
        yield f"| `{field.name}` | {described(hints[field.name])} | {remark} |"
    yield ""


def began(kind: type) -> int:
    """Return the version in which a type came that has a number among others; 0: it was always there."""
    numbered = kind in (*messages.MESSAGES, *kept.KEPT, *get_args(records.Statement))
    known = [version for version, names in KNEW.items() if kind.__name__ in names]
    return VERSION_HIGHEST if numbered and not known else 0


def came(kind: type, field: str) -> str:
    """Say since which version a type has a field, where it came later than the type."""
    known = min((version for version, names in KNEW.items() if kind.__name__ in names), default=0)
    later = known and since(kind, field) > known
    return f" Since version {since(kind, field)}." if later else ""


def page() -> str:
    """Write the whole page."""
    lines = [TEXT]
    for title, introduction, kinds in SECTIONS:
        lines += [f"## {title}", "", introduction, ""]
        for kind in kinds:
            lines += section(kind)
    everything = [kind for _, _, kinds in SECTIONS for kind in kinds]
    lines += ["## Parts", "", "Types within the others.", ""]
    for kind in parts_of([*everything, records.SealPage]):
        lines += section(kind)
    lines += [
        "## Codes",
        "",
        "Only ever appended. A reason that a reader does not know is still a reason; an unknown role is refused.",
        "",
    ]
    for where, codes in CODES:
        named = ", ".join(f"{code.value} {(code.name or '').lower().replace('_', ' ')}" for code in codes)
        lines.append(f"- {where}: {named}.")
    lines += ["", RULES]
    return "\n".join(lines).rstrip() + "\n"


def main() -> int:
    """Rewrite the page, or with --check say whether that would change it."""
    parser = argparse.ArgumentParser(description="Write docs/reference/wire.md.")
    parser.add_argument("--check", action="store_true", help="change nothing, end with 1 if the page is out of date")
    options = parser.parse_args()
    wanted = page()
    if PAGE.exists() and PAGE.read_text("utf-8") == wanted:
        return 0
    if options.check:
        print(f"{PAGE.name} is out of date; run python3 tools/wire_reference.py")
        return 1
    PAGE.write_text(wanted, "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
