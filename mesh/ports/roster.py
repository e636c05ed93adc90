"""What the desk says of peers, members and invites, field by field; the conventions are those of `desk`.

This module must stay light, since every command imports it: nothing from outside the standard library.
"""

from typing import Literal, TypeAlias, TypedDict

MemberStateName: TypeAlias = Literal["member", "expired", "revoked"]


class MemberRow(TypedDict):
    """One who was admitted. `admitted_by` is empty for who was admitted by the root key, `invite` for who needed none.

    A name is empty where the peer was not met since this one started.
    """

    id: str
    name: str
    me: bool
    connected: bool
    roles: list[str]
    state: MemberStateName
    expires_at_ms: int
    admitted_by: str
    admitted_by_name: str
    invite: str
    revoked_by: str
    revoked_by_name: str


class MembersAnswer(TypedDict):
    """Everybody who was ever admitted, as far as this peer knows."""

    mesh_name: str
    members: list[MemberRow]


class RevokeRequest(TypedDict):
    """Whom to throw out. `spare` names members that the peer let in and that stay, `spare_all` keeps all of these."""

    peer: str
    strike: bool
    spare: list[str]
    spare_all: bool
    dry_run: bool


class RevokeAnswer(TypedDict):
    """Who was thrown out, or would be after a dry run: the peer, and who goes along; and who stays that it let in."""

    member: MemberRow
    along: list[MemberRow]
    spared: list[MemberRow]
    strike: bool


class RevokeInviteAnswer(TypedDict):
    """The invite that was revoked, or would be after a dry run, and who had come by it."""

    invite: str
    along: list[MemberRow]


class InviteAnswer(TypedDict):
    """A token to be given to one who may join, and what is in it."""

    token: str
    id: str
    mesh_name: str
    roles: list[str]
    uses: int
    expires_at_ms: int
    addresses: list[str]


class PointerRow(TypedDict):
    """What a peer says of itself in the DHT, until it expires."""

    name: str
    addresses: list[str]
    slots: int
    busy: int
    cores: int
    memory_mb: int
    draining: bool
    expires_at_ms: int


class PeerRow(TypedDict):
    """One peer of the mesh as this one sees it; `round_trip_ms` None where it was not measured.

    `revoked`: a revocation shuts it out, and no member talks to it. `wire`: the highest version of the wire that it
    speaks, as far as is known; 0 where it was never met.
    """

    id: str
    name: str
    me: bool
    connected: bool
    addresses: list[str]
    engines: list[str]
    slots: int
    busy: int
    draining: bool
    paused: bool
    revoked: bool
    round_trip_ms: int | None
    wire: int


class PeerAnswer(TypedDict):
    """One peer: as this one sees it, None where it never met it, and as the DHT has it, None where it has nothing."""

    id: str
    seen: PeerRow | None
    told: PointerRow | None
