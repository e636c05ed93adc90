"""Invites as text: what one person hands to another so that a machine may join.

    meshnode1_ | base64url( checksum (4) | canonical CBOR of an InviteToken )

The text is a secret while it is valid: it holds the mesh secret and the invite's own key. It is long, since it also
proves by whom it was given: the joiner knows its mesh before it says a word to anybody. White space in it does not
matter, since mail programs wrap lines.

Invariants: a text that reads differs in no bit from what was written; the secrets are part of no representation.
"""

import base64
import binascii
import dataclasses
import re
from typing import Annotated, Final

from blake3 import blake3

from mesh.ground.errors import UsageError, WireError
from mesh.ground.ids import MeshId
from mesh.wire import cbor
from mesh.wire.codec import AtMost, Size, from_value, to_value
from mesh.wire.envelope import Signed, Verifier, check, mesh_id
from mesh.wire.members import Chain, Invite, judge_chain
from mesh.wire.messages import MAX_ADDRESSES, Address
from mesh.wire.records import Name

PREFIX: Final = "meshnode1_"
TEXT_MAX: Final = 8 * 1024
"""Characters of a token: the longest chain and eight long addresses are under 6 KiB."""

_CHECKSUM_SIZE: Final = 4
_CHECKSUM_LABEL: Final = b"meshnode 1 invite text"
_SECRET_SIZE: Final = 32


class InviteUnreadable(UsageError):
    """The invite cannot be read: a part is missing, or it was changed. Copy all of it, or ask for a new one."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class InviteToken:
    """An invite with all that its bearer needs to use it."""

    invite: Signed[Invite]
    inviter: Chain
    seed: Annotated[bytes, Size(_SECRET_SIZE)] = dataclasses.field(repr=False)
    """Of the invite's own key."""
    secret: Annotated[bytes, Size(_SECRET_SIZE)] = dataclasses.field(repr=False)
    """The mesh secret."""
    addresses: Annotated[tuple[Address, ...], AtMost(MAX_ADDRESSES)]
    """Where to ask, in turn."""
    mesh_name: Name = ""
    """What people call the mesh. Nobody signs it: two meshes may have one name, and nothing rests on it."""

    @property
    def mesh(self) -> MeshId:
        """The mesh that the invite leads to."""
        return mesh_id(self.inviter[0].key)


def write(token: InviteToken) -> str:
    """Return the text of `token`."""
    return _text(cbor.encode(to_value(token)))


def read(text: str, verifier: Verifier) -> InviteToken:
    """Return the token in `text`, its signatures and chain checked; raise `InviteUnreadable`."""
    text = re.sub(r"\s+", "", text)
    if not text.startswith(PREFIX):
        raise InviteUnreadable(f"an invite begins with {PREFIX}")
    if len(text) > TEXT_MAX:
        raise InviteUnreadable("this is longer than any invite")
    body = text.removeprefix(PREFIX)
    try:
        packed = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise InviteUnreadable("a character in it does not belong there, or the end is missing") from error
    data = packed[_CHECKSUM_SIZE:]
    # The last letter has bits to spare: with others in them it would be a second text of one invite.
    if packed[:_CHECKSUM_SIZE] != _checksum(data) or text != _text(data):
        raise InviteUnreadable("a part is missing or was changed")
    try:
        token = from_value(InviteToken, cbor.decode(data, TEXT_MAX))
        check(token, verifier)
        inviter = judge_chain(token.inviter, mesh_id(token.inviter[0].key if token.inviter else token.invite.key))
    except WireError as error:
        raise InviteUnreadable(str(error)) from error
    if token.invite.author != inviter.peer or token.invite.body.mesh != token.mesh:
        raise InviteUnreadable("it was not signed by the member that it names")
    return token


def _text(data: bytes) -> str:
    return PREFIX + base64.urlsafe_b64encode(_checksum(data) + data).decode().rstrip("=")


def _checksum(data: bytes) -> bytes:
    return blake3(_CHECKSUM_LABEL + data).digest(length=_CHECKSUM_SIZE)
