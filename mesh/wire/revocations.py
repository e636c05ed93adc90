"""Who is thrown out of a mesh: signed revocations, and what follows from a set of them.

Theory: only a revocation excludes. It is signed by a member with the role `admin`, or by the root key, and names a peer
or an invite. A revoked peer is out, and with it everybody whose chain leads through an admission that it signed, save
the admissions that the revocation lists; so is its word as an admin, save the revocations that it lists. A revoked
invite takes out all who came through it. `Bans` computes from a set of revocations which of them act and whom they shut
out: the same set gives the same answer, in whatever order it came.

Two admins may revoke each other, and nothing tells which came first. So authors are ranked by their distance from the
root: a revocation voids what its subject signed only if its own author stands closer to the root than the subject
does. Between equals both act. What an admin had revoked before stays revoked when it is itself revoked, where that is
listed; what it signs later is void wherever the revocation is known.

Invariants: nothing here reads a clock. A revocation names the admissions of its author, so that its rank is part of
what was signed. The judges take statements whose signatures were checked.
"""

import dataclasses
from collections.abc import Iterable
from itertools import groupby
from typing import Annotated, ClassVar, TypeAlias

from mesh.ground.errors import WireError
from mesh.ground.ids import MeshId, PeerId, RecordId
from mesh.ground.instants import WallTime
from mesh.wire.codec import AtMost
from mesh.wire.envelope import Signed, mesh_id, peer_id
from mesh.wire.members import MAX_CHAIN, Admission, Chain, Role, judge_chain
from mesh.wire.records import Name

MAX_SPARED = 96
"""Statements of a revoked peer that stand: with a chain they fill 4.5 KiB; who let in more members has the rest of them
join again."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PeerRevoked:
    """This peer is out, and everybody whom it let in."""

    NUMBER: ClassVar[int] = 1

    peer: PeerId
    spared: Annotated[tuple[RecordId, ...], AtMost(MAX_SPARED)]
    """Admissions and revocations that it signed and that stand."""
    strike: bool
    """Whether its records are void, too, in every job that nobody else has sealed."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class InviteRevoked:
    """Nobody joins by this invite, and all who did are out."""

    NUMBER: ClassVar[int] = 2

    invite: RecordId


Ousted: TypeAlias = PeerRevoked | InviteRevoked


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """The author throws somebody out, for good."""

    DOMAIN: ClassVar[str] = "revocation"

    mesh: MeshId
    by: Annotated[tuple[RecordId, ...], AtMost(MAX_CHAIN)]
    """The admissions of the author's chain; none: the root key itself."""
    what: Ousted
    said: WallTime
    """For people's eyes, as the names are: nothing rests on them."""
    by_name: Name
    """What people call the author."""
    name: Name
    """What they called the peer; empty for an invite."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A revocation with the chain that lets its author revoke."""

    revocation: Signed[Revocation]
    chain: Chain


_Admissions: TypeAlias = tuple[Signed[Admission], ...]


def judge_notice(notice: Notice, mesh: MeshId) -> None:
    """Raise `WireError` where a revocation whose signatures were checked is nobody's who may revoke."""
    body = notice.revocation.body
    if body.mesh != mesh or body.by != tuple(admission.id for admission in notice.chain):
        raise WireError("a revocation of another mesh, or under another chain")
    root = notice.chain[0].author if notice.chain else notice.revocation.author
    if isinstance(body.what, PeerRevoked) and body.what.peer == root:
        raise WireError("a revocation of the root, whom nobody revokes")
    if not notice.chain:
        if mesh_id(notice.revocation.key) != mesh:
            raise WireError("a revocation by nobody")
        return
    author = judge_chain(notice.chain, mesh)
    if author.key != notice.revocation.key or not author.roles & Role.ADMIN:
        raise WireError("a revocation by somebody who may not revoke")


class Bans:
    """Whom a set of judged revocations shuts out, whatever the order in which they came."""

    __slots__ = ("_invites", "_peers")

    def __init__(self, notices: Iterable[Notice] = ()) -> None:
        self._peers: dict[PeerId, list[Signed[Revocation]]] = {}
        self._invites: dict[RecordId, Signed[Revocation]] = {}
        ranked = sorted(notices, key=lambda notice: (len(notice.chain), notice.revocation.id))
        for _, equals in groupby(ranked, key=lambda notice: len(notice.chain)):
            # Equals are judged by what stands above them alone, so that of two who revoke each other both are out.
            for word in [notice.revocation for notice in equals if not self._silences(notice)]:
                self._take(word)

    def __bool__(self) -> bool:
        return bool(self._peers or self._invites)

    def peer(self, peer: PeerId) -> Signed[Revocation] | None:
        """Return what revokes the peer itself; None: nothing does."""
        return next(iter(self._peers.get(peer, ())), None)

    def invite(self, invite: RecordId) -> Signed[Revocation] | None:
        """Return what revokes an invite; None: nothing does."""
        return self._invites.get(invite)

    def chain(self, chain: _Admissions) -> Signed[Revocation] | None:
        """Return what shuts out whoever shows this chain, which was judged; None: nothing does."""
        if not chain:
            return None
        revoked = self.peer(peer_id(chain[-1].body.subject))
        return revoked or next((found for admission in chain if (found := self._voids(admission)) is not None), None)

    def struck(self) -> list[PeerId]:
        """Return the authors whose records are void, lowest id first."""
        return sorted(peer for peer, said in self._peers.items() if any(_strikes(one) for one in said))

    def _voids(self, admission: Signed[Admission]) -> Signed[Revocation] | None:
        if admission.body.invite is not None and admission.body.invite in self._invites:
            return self._invites[admission.body.invite]
        said = self._peers.get(admission.author, ())
        return next((one for one in said if not _spares(one, admission.id)), None)

    def _silences(self, notice: Notice) -> bool:
        """Whether what is known so far voids a revocation: its author is out, and it is not listed."""
        word = notice.revocation
        if not notice.chain:
            return False
        if any(not _spares(one, word.id) for one in self._peers.get(word.author, ())):
            return True
        for admission in notice.chain:
            if admission.body.invite is not None and admission.body.invite in self._invites:
                return True
            said = self._peers.get(admission.author, ())
            if any(not _spares(one, admission.id) and not _spares(one, word.id) for one in said):
                return True
        return False

    def _take(self, word: Signed[Revocation]) -> None:
        match word.body.what:
            case PeerRevoked(peer=peer):
                self._peers.setdefault(peer, []).append(word)
            case InviteRevoked(invite=invite):
                self._invites.setdefault(invite, word)


def _spares(word: Signed[Revocation], statement: RecordId) -> bool:
    return isinstance(word.body.what, PeerRevoked) and statement in word.body.what.spared


def _strikes(word: Signed[Revocation]) -> bool:
    return isinstance(word.body.what, PeerRevoked) and word.body.what.strike
