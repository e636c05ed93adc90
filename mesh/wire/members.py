"""Who belongs to a mesh: invites, admissions and their chain.

A mesh is a root key. An admission is a member's signed permission for one key, and a chain of them leads from the
root to a peer: each but the first is signed by the subject of the one before, roles only shrink along it, and it is at
most four deep. A chain is judged without any clock; whether it has expired is asked at the door alone, where channels
open. A renewal lengthens a chain's time and changes nothing else: whoever shows one shows its own chain, by which it
came into the mesh, and the chain of the member that renewed it, so that nobody washes off how it came by being renewed.
The judges here take statements whose signatures were checked: `envelope.check` comes first, always.
"""

import dataclasses
import enum
from typing import Annotated, ClassVar, TypeAlias

from mesh.ground.errors import WireError
from mesh.ground.ids import Boot, MeshId, PeerId, PublicKey, RecordId
from mesh.ground.instants import WallTime
from mesh.wire.codec import AtMost, Between, Size
from mesh.wire.envelope import Signed, mesh_id, peer_id

MAX_CHAIN = 4
MAX_USES = 1_000


class Role(enum.IntFlag):
    """What a member may do."""

    RENDER = 1
    SUBMIT = 2
    INVITE = 4
    ADMIN = 8


ALL_ROLES = Role.RENDER | Role.SUBMIT | Role.INVITE | Role.ADMIN
DEFAULT_ROLES = Role.RENDER | Role.SUBMIT | Role.INVITE

Roles: TypeAlias = Annotated[int, Between(0, int(ALL_ROLES))]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """The issuer lets `subject` into the mesh until it expires, with these roles."""

    DOMAIN: ClassVar[str] = "admission"

    mesh: MeshId
    subject: PublicKey
    roles: Roles
    issued: WallTime
    expires: WallTime
    invite: RecordId | None
    """The invite that was answered; none for the founder."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Invite:
    """The inviter asks members to admit whoever holds the secret of `key`."""

    DOMAIN: ClassVar[str] = "invite"

    mesh: MeshId
    key: PublicKey
    roles: Roles
    uses: Annotated[int, Between(1, MAX_USES)]
    expires: WallTime


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StaticKey:
    """The signer speaks on channels under this Noise static key."""

    DOMAIN: ClassVar[str] = "static key"

    mesh: MeshId
    static: Annotated[bytes, Size(32)]


Chain: TypeAlias = Annotated[tuple[Signed[Admission], ...], AtMost(MAX_CHAIN)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """The issuer keeps the subject of an admission in the mesh until this expires."""

    DOMAIN: ClassVar[str] = "renewal"

    mesh: MeshId
    admission: RecordId
    """The last of the subject's own chain."""
    expires: WallTime


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Renewed:
    """A renewal, and the chain of the member that signed it."""

    renewal: Signed[Renewal]
    by: Chain


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a member shows in the handshake: its chain, its channel key under its own signature, its boot, and the
    renewal of its membership, if there was one.
    """

    NUMBER: ClassVar[int] = 1

    chain: Chain
    static: Signed[StaticKey]
    boot: Boot
    renewed: Renewed | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JoinRequest:
    """What a joiner shows instead: invite, inviter's chain, and its channel key signed by the invite and by itself."""

    NUMBER: ClassVar[int] = 2

    invite: Signed[Invite]
    inviter: Chain
    by_invite: Signed[StaticKey]
    by_subject: Signed[StaticKey]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """What a chain proves."""

    peer: PeerId
    key: PublicKey
    roles: Role
    expires: WallTime
    """When its own admission ends, or the renewal that it showed. Those above it in the chain may have ended before: a
    member whose time is over may still renew others, or a mesh that was off for long would never wake up. Nobody
    lengthens its own."""
    depth: int


def judge_chain(chain: tuple[Signed[Admission], ...], mesh: MeshId) -> Membership:
    """Return what a chain whose signatures were checked proves; raises `WireError` when it proves nothing."""
    if not 1 <= len(chain) <= MAX_CHAIN:
        raise WireError(f"a chain of {len(chain)} admissions")
    if mesh_id(chain[0].key) != mesh:
        raise WireError("a chain of another mesh")
    roles = ALL_ROLES
    issuer = chain[0].key
    expires = chain[0].body.expires
    for admission in chain:
        body = admission.body
        if admission.key != issuer or body.mesh != mesh:
            raise WireError("a chain with a broken link")
        if Role(body.roles) & ~roles:
            raise WireError("a chain whose roles grow")
        roles = Role(body.roles)
        expires = min(expires, body.expires) if body.subject == issuer else body.expires
        issuer = body.subject
    if any(not Role(admission.body.roles) & Role.INVITE for admission in chain[:-1]):
        raise WireError("a chain through a member that may not invite")
    return Membership(peer=peer_id(issuer), key=issuer, roles=roles, expires=expires, depth=len(chain))


def judge_renewed(renewed: Renewed, chain: tuple[Signed[Admission], ...], mesh: MeshId) -> WallTime:
    """Return until when the holder of `chain`, which was judged, is renewed; raises `WireError`."""
    body = renewed.renewal.body
    renewer = judge_chain(renewed.by, mesh)
    if body.mesh != mesh or renewed.renewal.key != renewer.key or not renewer.roles & Role.INVITE:
        raise WireError("a renewal by somebody who may not renew")
    if body.admission != chain[-1].id or renewer.key == chain[-1].body.subject:
        raise WireError("a renewal of somebody else, or of oneself")
    return body.expires


def judge_standing(chain: tuple[Signed[Admission], ...], renewed: Renewed | None, mesh: MeshId) -> Membership:
    """Return what a chain proves together with its renewal; raises `WireError`."""
    membership = judge_chain(chain, mesh)
    if renewed is None:
        return membership
    return dataclasses.replace(membership, expires=max(membership.expires, judge_renewed(renewed, chain, mesh)))


def let_in_by(chain: tuple[Signed[Admission], ...]) -> bytes:
    """Return what the members of a judged chain's kin have in common: the invite nearest to the root, or the inviter.

    Whoever makes itself many identities makes them by one invite, or signs them, or has them signed by each other: all
    of them hang below the same first invite.
    """
    for admission in chain:
        if admission.body.invite is not None:
            return admission.body.invite
    return chain[-1].key if len(chain) > 1 else chain[-1].body.subject


def judge_credentials(shown: Credentials, mesh: MeshId, static: bytes) -> Membership:
    """Return the membership shown on a channel whose Noise static key is `static`; raises `WireError`."""
    membership = judge_standing(shown.chain, shown.renewed, mesh)
    claimed = shown.static
    if claimed.author != membership.peer or claimed.body.mesh != mesh or claimed.body.static != static:
        raise WireError("credentials that belong to another channel")
    return membership


def judge_join(shown: JoinRequest, mesh: MeshId, static: bytes) -> Membership:
    """Return the inviter's membership when `shown` entitles its holder to ask for admission; raises `WireError`.

    Expiry and the count of uses are the admitting member's to judge.
    """
    inviter = judge_chain(shown.inviter, mesh)
    invite = shown.invite.body
    if shown.invite.author != inviter.peer or invite.mesh != mesh or not inviter.roles & Role.INVITE:
        raise WireError("an invite by somebody who may not invite")
    if Role(invite.roles) & ~inviter.roles:
        raise WireError("an invite with more roles than its inviter has")
    for static_key in (shown.by_invite, shown.by_subject):
        if static_key.body.mesh != mesh or static_key.body.static != static:
            raise WireError("an invite shown on another channel")
    if shown.by_invite.key != invite.key:
        raise WireError("an invite shown by somebody who does not hold it")
    return inviter
