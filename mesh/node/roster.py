"""Who belongs to the mesh, as people see it, and what throwing somebody out would mean.

Theory: a revocation takes along whom the revoked peer let in, unless it lists their admissions. Which of them a person
wants to keep is theirs to say, and so this looks, before anything is signed, who would go along. What the revoked peer
had said as an admin before is always listed, and so is whatever this very peer's own chain leads through.

Invariants: a peer is named by its name, its id, or the beginning of its id, and never guessed; a beginning is long
enough that a slip of the finger names nobody. Nothing here changes anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mesh.core.status import MemberView
from mesh.ground.errors import UsageError
from mesh.ground.ids import PeerId, RecordId, short
from mesh.ground.instants import WallTime
from mesh.node import rows
from mesh.ports import roster as ports
from mesh.ports.desk import Ambiguous, NotAllowed, NotFound, ThrownOut
from mesh.wire.addresses import told
from mesh.wire.envelope import Signed
from mesh.wire.members import DEFAULT_ROLES, Role
from mesh.wire.messages import MAX_ADDRESSES, Address
from mesh.wire.revocations import MAX_SPARED, PeerRevoked, Revocation

BEGINNING_LEAST: Final = 6
"""Digits of an id that name whom to throw out: of a thousand members, two share them in one mesh of thirty; a word that
was meant for a name, such as `ad`, is no beginning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ousting:
    """What a person's command would do."""

    what: PeerRevoked
    member: MemberView
    along: tuple[MemberView, ...]
    """Who goes along, having come in through the peer."""
    spared: tuple[MemberView, ...]
    """Who stays although the peer let it in."""


def find(members: Sequence[MemberView], named: str) -> MemberView:
    """Return the member that a person means; raise `NotFound`, `Ambiguous` with all that it may be, and `UsageError`
    for a beginning of an id that is too short.
    """
    wanted = named.strip().lower()
    by_name = [member for member in members if named.strip() in (member.name, _was_called(member)) and named.strip()]
    begun = [member for member in members if wanted and member.peer.hex().startswith(wanted)]
    by_id = begun if len(wanted) >= BEGINNING_LEAST else []
    exact = [member for member in by_id if member.peer.hex() == wanted]
    found = exact or by_name + [member for member in by_id if member not in by_name]
    if begun and not found:
        raise UsageError(f"no member is called {named!r}; of an id at least {BEGINNING_LEAST} digits are needed here")
    if not found:
        raise NotFound(f"no member is called {named!r}")
    if len(found) > 1:
        listed = ", ".join(f"{member.peer.hex()[:12]} ({member.name or 'no name'})" for member in found[:8])
        raise Ambiguous(f"{named!r} is {len(found)} members: {listed}")
    return found[0]


def check_may_revoke(roles: Sequence[str], out: str) -> None:
    """Raise why this peer throws nobody out, before a person is asked: `ThrownOut` with `out`, or `NotAllowed`."""
    if out:
        raise ThrownOut(out)
    if "admin" not in roles:
        raise NotAllowed("this peer was admitted without the role `admin`")


def plan(
    members: Sequence[MemberView],
    words: Sequence[Signed[Revocation]],
    request: ports.RevokeRequest,
    mine: PeerId,
) -> Ousting:
    """Return what revoking a peer would do; raise what `find` raises, and `UsageError` for too many who stay.

    A peer does not revoke itself: `UsageError`, too.
    """
    member = find(members, request["peer"])
    if member.peer == mine:
        raise UsageError("a peer does not revoke itself: `meshnode leave` ends its membership")
    others = [one for one in members if one.peer != member.peer and one.revoked is None]
    kept = {find(members, named).peer for named in request["spare"]} | {mine}
    spared = {word.id: None for word in words if word.author == member.peer}
    for one in others:
        if request["spare_all"] or one.peer in kept:
            spared.update({step.id: None for step in one.chain if step.author == member.peer})
    if len(spared) > MAX_SPARED:
        raise UsageError(f"no more than {MAX_SPARED} admissions can be spared; let the others join again")
    through = [one for one in others if any(step.author == member.peer for step in one.chain)]
    along = [one for one in through if _falls(one, member.peer, spared)]
    return Ousting(
        what=PeerRevoked(peer=member.peer, spared=tuple(spared), strike=request["strike"]),
        member=member,
        along=tuple(along),
        spared=tuple(one for one in through if one not in along),
    )


def invite_of(members: Sequence[MemberView], text: str) -> RecordId:
    """Return the invite that a person means: its whole id, or the beginning of one that somebody came by.

    Raises `NotFound`, `Ambiguous`, and `UsageError` for a beginning that is too short.
    """
    wanted = text.strip().lower()
    known = {step.body.invite for one in members for step in one.chain if step.body.invite is not None}
    found = sorted(invite for invite in known if wanted and invite.hex().startswith(wanted))
    if found and len(wanted) < BEGINNING_LEAST:
        raise UsageError(f"{text!r}: of an invite's id at least {BEGINNING_LEAST} digits are needed here")
    if len(found) > 1:
        raise Ambiguous(f"{text!r} is {len(found)} invites: {', '.join(invite.hex()[:12] for invite in found[:8])}")
    if found:
        return found[0]
    try:
        whole = bytes.fromhex(wanted)
    except ValueError:
        whole = b""
    if len(whole) != len(RecordId(bytes(32))):
        raise NotFound(f"nobody came by an invite {text!r}; one that was never used is named by its whole id")
    return RecordId(whole)


def came_by(members: Sequence[MemberView], invite: RecordId) -> tuple[MemberView, ...]:
    """Return who is a member by an invite, or by somebody who is."""
    return tuple(
        one for one in members if one.revoked is None and any(step.body.invite == invite for step in one.chain)
    )


def member_row(view: MemberView, names: Mapping[PeerId, str], now: WallTime) -> ports.MemberRow:
    """Return one member."""
    last = view.chain[-1]
    by_root = len(view.chain) == 1
    state: ports.MemberStateName = "member" if now < view.expires else "expired"
    if view.revoked is not None:
        state = "revoked"
    return {
        "id": view.peer.hex(),
        "name": view.name or _was_called(view),
        "me": view.me,
        "connected": view.connected,
        "roles": rows.role_names(view.roles),
        "state": state,
        "expires_at_ms": view.expires,
        "admitted_by": "" if by_root else last.author.hex(),
        "admitted_by_name": "" if by_root else rows.peer_name(names, last.author),
        "invite": last.body.invite.hex() if last.body.invite is not None else "",
        "revoked_by": view.revoked.author.hex() if view.revoked is not None else "",
        "revoked_by_name": _author_of(view.revoked, names) if view.revoked is not None else "",
    }


def names_of(members: Sequence[MemberView]) -> dict[PeerId, str]:
    """Return what members call themselves."""
    return {member.peer: member.name for member in members if member.name}


def why_out(word: Signed[Revocation], me: PeerId, members: Sequence[MemberView]) -> str:
    """Say to its own person why this peer is out, and what to do."""
    by = _author_of(word, names_of(members))
    what = word.body.what
    if isinstance(what, PeerRevoked) and what.peer == me:
        reason = f"this peer was revoked by {by}"
    elif isinstance(what, PeerRevoked):
        reason = f"{word.body.name or short(what.peer)}, through whom this peer came, was revoked by {by}"
    else:
        reason = f"the invite {short(what.invite)}, by which this peer came, was revoked by {by}"
    itself = isinstance(what, PeerRevoked) and what.peer == me
    again = "under another --home" if itself else "after `meshnode leave`"
    return f"{reason}: no member talks to it, and it renders nothing. It may come back by a new invite, {again}."


def why_cloned(where: Address) -> str:
    """Say to its own person that a copy of this peer runs, and what to do."""
    return (
        f"another process with this peer's identity was met at {where}: a copy of its disk runs. Neither of the two "
        "claims a frame. Stop one, remove its directory and let it join by a new invite; then start the other again."
    )


def _author_of(word: Signed[Revocation], names: Mapping[PeerId, str]) -> str:
    return names.get(word.author) or word.body.by_name or short(word.author)


def _was_called(view: MemberView) -> str:
    """Return the name under which a peer was revoked: it is not met any more."""
    what = view.revoked.body.what if view.revoked is not None else None
    itself = isinstance(what, PeerRevoked) and what.peer == view.peer
    return view.revoked.body.name if view.revoked is not None and itself else ""


def _falls(one: MemberView, revoked: PeerId, spared: Mapping[RecordId, None]) -> bool:
    return any(step.author == revoked and step.id not in spared for step in one.chain)


def invited_to(addresses: tuple[Address, ...]) -> tuple[Address, ...]:
    """Return what an invite names: what means this host everywhere; on a host without a network, what means it here."""
    return (told(addresses, here=False) or addresses)[:MAX_ADDRESSES]


def invited_roles(named: Sequence[str], own_names: Sequence[str]) -> Role:
    """Return the roles of an invite: those named, or the usual ones as far as this peer has them itself."""
    known = {role.name.lower(): role for role in Role if role.name}
    own = [known[name] for name in own_names if name in known]
    if not named:
        return Role(sum(role for role in own if role & DEFAULT_ROLES))
    chosen = Role(0)
    for name in named:
        role = known.get(name.strip().lower())
        if role is None:
            raise UsageError(f"there is no role {name!r}; there are {', '.join(known)}")
        if role not in own:
            raise NotAllowed(f"this peer has not the role `{name}` itself, so it cannot give it")
        chosen |= role
    return chosen
