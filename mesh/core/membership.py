"""Whose word counts: the chains of members, and this peer's answers to those who ask to be let in or kept in.

A chain is judged by signatures, links and roles alone; dates matter only to whoever opens channels, and so do
revocations: the records of one who was thrown out act as before. An invite is answered at most `uses` times as far as
this peer knows: the mesh set tells it of others' answers. A renewal says until when a chain lets in, and changes
nothing else of it.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

from mesh.core.catalogue import Catalogue, key_of
from mesh.core.effects import AnswerDoor, Append
from mesh.core.events import AdmissionAsked, RenewalAsked
from mesh.core.shares import Shares
from mesh.core.turn import Turn
from mesh.ground.errors import WireError
from mesh.ground.ids import MeshId, PeerId, PublicKey, RecordId
from mesh.ground.instants import DAY_MS, HOUR_MS, MINUTE_MS, Instant, WallTime, later, wall_later
from mesh.ground.limits import ADMISSION_MS, INVITE_MOST_MS, MAX_ADMISSIONS_KEPT, MAX_MEMBERS, RENEW_BEFORE_MS
from mesh.wire.codec import most_items
from mesh.wire.envelope import Signed, Signer, peer_id, sign
from mesh.wire.kept import KeptAdmission, KeptChain, KeptRenewal
from mesh.wire.members import (
    MAX_CHAIN,
    Admission,
    Credentials,
    Membership,
    Renewal,
    Renewed,
    Role,
    judge_chain,
    judge_standing,
)
from mesh.wire.messages import Admitted, Contact, RefusalCode, Refused, RenewAsk
from mesh.wire.revocations import Bans, Revocation

_CONTACTS_TOLD = most_items(Admitted, "contacts")

_KEPT_AGAIN_MS = HOUR_MS
"""Who shows another chain every time has it written down so often, and once more. One that comes by another way in, the
first having been shut, is not held up: that takes a revocation each time."""

Chain = tuple[Signed[Admission], ...]


class Members:
    """The chains that this peer knows, and whom revocations shut out; changed by its neighbours' words alone."""

    def __init__(self, mesh: MeshId, chain: Chain) -> None:
        self.mesh = mesh
        self.mine = judge_chain(chain, mesh)
        self.my_chain = chain
        self.renewed: Renewed | None = None
        """The renewal of this peer's own membership that lasts longest."""
        self.bans = Bans()
        """Set by `Revoking`: what the revocations that are known come to."""
        self._shuts_out = False
        """Whether these shut anybody out; asked of whoever says anything."""
        self._known: dict[PeerId, tuple[Chain, Membership]] = {self.mine.peer: (chain, self.mine)}
        self.changes = 0
        """How often something was learned of who may do what."""
        self._kept: dict[PeerId, Chain] = {self.mine.peer: chain}
        """Of each peer the chain that the journal has last, or the home."""
        self._shown: dict[PeerId, tuple[Chain, WallTime]] = {}
        """What peers showed when they last opened a channel, and until when it lets them in."""
        self._kept_again: dict[PeerId, None] = {}
        """Whose chain was kept again since there was last time for all."""
        self._keep_at = Instant(0)
        """When that is the next time."""

    def learn(self, chain: Chain) -> Membership | None:
        """Take a chain whose signatures were checked; None where it proves nothing here."""
        known = self._known.get(peer_id(chain[-1].body.subject)) if chain else None
        if known is not None and known[0] == chain:
            self._see_way_in(chain, known[1])
            return known[1]  # most chains come again and again, with all that their peer says
        try:
            membership = judge_chain(chain, self.mesh)
        except WireError:
            return None
        before = self._known.get(membership.peer)
        if before is None and len(self._known) >= MAX_MEMBERS:
            return None
        if before is None or _better(membership, before[1]):
            self._known[membership.peer] = (chain, membership)
            self.changes += 1
        self._see_way_in(chain, membership)
        return membership

    def take(self, turn: Turn, chain: Chain) -> Membership | None:
        """Take a chain like `learn`, and keep the first of each peer, whose records in the journal must still act, and
        what it shows later.

        However a peer was met, its chain comes again with its records.
        """
        membership = self.learn(chain)
        if membership is None:
            return None
        peer = membership.peer
        if peer not in self._kept:
            self._keep(turn, peer, chain)
        if peer in self._shown and self._may_keep_again(peer, self._shown[peer][0]):
            self._kept_again[peer] = None
            self._keep(turn, peer, self._shown[peer][0])
        return membership

    def keep_shown(self, turn: Turn) -> None:
        """Once in a while, keep what was shown too soon after another chain was kept."""
        if turn.now.instant < self._keep_at:
            return
        self._keep_at = later(turn.now.instant, _KEPT_AGAIN_MS)
        self._kept_again.clear()
        for peer, (chain, _) in self._shown.items():
            if peer in self._kept and self._kept[peer] != chain:
                self._keep(turn, peer, chain)

    def restore(self, chains: Iterable[KeptChain], renewals: Iterable[KeptRenewal]) -> None:
        """Take chains, of each peer the newest as the one that it showed, and this peer's own renewals."""
        for entry in chains:
            membership = self.learn(entry.chain)
            if membership is not None and membership.peer != self.mine.peer:
                self._kept[membership.peer] = entry.chain
                self._shown[membership.peer] = (entry.chain, membership.expires)
        for renewal in renewals:
            self.renew(renewal.renewed)

    def meet(self, shown: Credentials | None) -> None:
        """Note what a peer proved when its channel was opened."""
        membership = self.learn(shown.chain) if shown is not None else None
        if shown is not None and membership is not None:
            until = judge_standing(shown.chain, shown.renewed, self.mesh).expires
            self._shown[membership.peer] = (shown.chain, until)

    def renew(self, renewed: Renewed) -> bool:
        """Take a renewal of this peer's own membership; tell whether it lasts longer than what it had."""
        try:
            standing = judge_standing(self.my_chain, renewed, self.mesh)
        except WireError:
            return False
        if standing.expires <= self.mine.expires or self.bans.chain(renewed.by) is not None:
            return False
        self.mine, self.renewed = standing, renewed
        return True

    def outlast(self, bans: Bans) -> None:
        """Take what all revocations come to; a renewal by somebody who is out is none."""
        self.bans, self._shuts_out = bans, bool(bans)
        if self.renewed is not None and bans.chain(self.renewed.by) is not None:
            self.mine, self.renewed = judge_chain(self.my_chain, self.mesh), None

    def chain(self, peer: PeerId) -> Chain | None:
        """Return a chain of `peer`."""
        known = self._known.get(peer)
        return known[0] if known else None

    def may(self, peer: PeerId, role: Role) -> bool:
        """Whether `peer` is known to have `role`."""
        known = self._known.get(peer)
        return known is not None and bool(int(known[1].roles) & int(role))  # flags take ten times as long

    def is_member(self, peer: PeerId) -> bool:
        """Whether a chain of `peer` is known. Who was thrown out stays one: the records that it wrote still act."""
        return peer in self._known

    def everybody(self) -> list[tuple[PeerId, Chain, Membership]]:
        """Return all whose chain is known, lowest id first: with the one that they showed last, and how long it is
        good.
        """
        found = []
        for peer in sorted(self._known):
            chain, membership = self._known[peer]
            if peer == self.mine.peer:
                membership = self.mine
            elif peer in self._shown:
                chain, until = self._shown[peer]
                membership = replace(judge_chain(chain, self.mesh), expires=until)
            found.append((peer, chain, membership))
        return found

    @property
    def out(self) -> Signed[Revocation] | None:
        """What shuts this peer itself out."""
        return self.bans.chain(self.my_chain)

    def ousted_by(self, peer: PeerId) -> Signed[Revocation] | None:
        """Return what shuts a peer out, by what it showed last; None: nothing does, or nobody knows it."""
        shown = self._shown.get(peer) or self._known.get(peer)
        return self.bans.peer(peer) or (self.bans.chain(shown[0]) if shown is not None else None)

    def barred(self, peer: PeerId) -> bool:
        """Whether no channel may join this peer and another: one of the two was thrown out."""
        return self._shuts_out and (self.out is not None or self.ousted_by(peer) is not None)

    def inviters(self) -> list[PeerId]:
        """Return the others who can renew this peer, those closest to the root first."""
        able = [
            (membership.depth, peer)
            for peer, (_, membership) in self._known.items()
            if peer != self.mine.peer and membership.roles & Role.INVITE
        ]
        return [peer for _, peer in sorted(able)]

    def _see_way_in(self, chain: Chain, membership: Membership) -> None:
        """Hear of a newer way in of somebody whom revocations shut out as it last showed itself."""
        shown = self._shown.get(membership.peer) if self.bans else None
        if shown is None or chain[-1].body.issued <= shown[0][-1].body.issued:
            return
        if self.bans.chain(shown[0]) is not None and self.bans.chain(chain) is None:
            self._shown[membership.peer] = (chain, membership.expires)

    def _may_keep_again(self, peer: PeerId, chain: Chain) -> bool:
        if self._kept[peer] == chain:
            return False
        comes_back = self.bans.chain(self._kept[peer]) is not None and self.bans.chain(chain) is None
        return comes_back or peer not in self._kept_again

    def _keep(self, turn: Turn, peer: PeerId, chain: Chain) -> None:
        self._kept[peer] = chain
        turn.keep(KeptChain(chain=chain))


def _told_until(admission: Signed[Admission]) -> WallTime:
    """Return how long the mesh set holds an admission: it does not say when its invite ends, which is no later."""
    return wall_later(admission.body.issued, INVITE_MOST_MS)


def _better(new: Membership, old: Membership) -> bool:
    return (new.roles.bit_count(), new.expires) > (old.roles.bit_count(), old.expires)


class Door:
    """Admit those whom an invite entitles, renew members, and have this peer's own admission renewed in time."""

    def __init__(
        self,
        members: Members,
        signer: Signer,
        catalogue: Catalogue,
        contacts: Callable[[], tuple[Contact, ...]],
        connected: Callable[[PeerId], bool],
    ) -> None:
        self._members = members
        self._signer = signer
        self._contacts = contacts
        self._connected = connected
        self._catalogue = catalogue
        self._places: Shares[tuple[int, RecordId]] = Shares(each=MAX_ADMISSIONS_KEPT, total=MAX_ADMISSIONS_KEPT)
        """Which of them the mesh set has room for: of each admitter the newest."""
        self.admissions: dict[RecordId, tuple[Signed[Admission], WallTime]] = {}
        """Admissions by invites that may still be open, and until when that is."""
        self._asked_at: Instant | None = None
        self._asks = -1

    def on_admission_asked(self, turn: Turn, event: AdmissionAsked) -> Signed[Admission] | None:
        """Answer a joiner; return the admission when it is a new one, for the mesh set."""
        invite = event.invite
        used = [admission for admission, _ in self.admissions.values() if admission.body.invite == invite.id]
        again = [admission for admission in used if admission.body.subject == event.subject]
        refusal = self._refusal_to_admit()
        bans = self._members.bans
        if bans.invite(RecordId(invite.id)) or bans.peer(invite.author) or bans.chain(event.inviter):
            refusal = RefusalCode.INVITE_REVOKED
        elif bans.peer(peer_id(event.subject)):
            refusal = RefusalCode.PEER_REVOKED
        elif not turn.now.wall <= invite.body.expires <= turn.now.wall + INVITE_MOST_MS + DAY_MS:
            refusal = RefusalCode.EXPIRED
        elif not again and len({admission.body.subject for admission in used}) >= invite.body.uses:
            refusal = RefusalCode.USED_UP
        if refusal is not None:
            turn.do(AnswerDoor(op=event.op, answer=Refused(code=refusal)))
            return None
        roles = Role(invite.body.roles) & self._members.mine.roles
        given = self._still_good(turn, again)
        if given is not None:
            self._answer(turn, event.op, given)
            return None
        admission = self._admit(turn, event.subject, roles, RecordId(invite.id))
        until = max(wall_later(invite.body.expires, MINUTE_MS), _told_until(admission))
        self._add(admission, until)
        turn.do(Append(entries=(KeptAdmission(admission=admission, until=until),)))
        self._answer(turn, event.op, admission)
        return admission

    def on_renewal_asked(self, turn: Turn, event: RenewalAsked) -> None:
        """Answer a member whose admission ends, on whatever channel it asked."""
        turn.do(
            AnswerDoor(op=event.op, answer=self._renewal_of(turn, self._members.take(turn, event.chain), event.chain))
        )

    def renewed(self, turn: Turn, peer: PeerId, chain: Chain) -> Admitted | Refused:
        """Return the answer to a member that asks on its ordinary channel."""
        membership = self._members.take(turn, chain)
        if membership is None or membership.peer != peer:
            return Refused(code=RefusalCode.MAY_NOT_INVITE)
        return self._renewal_of(turn, membership, chain)

    def on_admitted(self, turn: Turn, message: Admitted) -> None:
        """Take the renewal of this peer's own membership."""
        if message.renewed is not None and self._members.renew(message.renewed):
            turn.keep(KeptRenewal(renewed=message.renewed))

    def on_tick(self, turn: Turn) -> None:
        """Ask one connected member for a renewal when it is time; forget admissions by invites that have ended."""
        self._members.keep_shown(turn)
        for admission, until in list(self.admissions.values()):
            if _told_until(admission) < turn.now.wall or self._is_void(admission):
                self._delist(admission)
            if until < turn.now.wall:
                self.admissions.pop(admission.id)
        expires = self._members.mine.expires
        if expires - turn.now.wall > RENEW_BEFORE_MS:
            return
        if self._asked_at is not None and turn.now.instant - self._asked_at < MINUTE_MS:
            return
        able = [peer for peer in self._members.inviters() if self._connected(peer)]
        if able and self._members.out is None:
            self._asked_at = turn.now.instant
            self._asks += 1
            turn.send(able[self._asks % len(able)], RenewAsk(chain=self._members.my_chain))

    def heard(self, turn: Turn, admission: Signed[Admission]) -> bool:
        """Take an admission that another member gave; tell whether it is new."""
        if admission.id in self.admissions:
            return False
        if admission.body.invite is None or admission.body.mesh != self._members.mesh:
            return False
        if not self._members.may(admission.author, Role.INVITE) or self._is_void(admission):
            return False
        until = _told_until(admission)
        if until < turn.now.wall or admission.body.issued > turn.now.wall + DAY_MS or not self._add(admission, until):
            return False
        turn.keep(KeptAdmission(admission=admission, until=until))
        return True

    def restore(self, entries: Iterable[KeptAdmission]) -> None:
        """Take the journal's admissions."""
        for entry in entries:
            self._add(entry.admission, entry.until)

    def _add(self, admission: Signed[Admission], until: WallTime) -> bool:
        """Keep an admission, in the mesh set as far as there is room; this peer's own, which it counts, in any case."""
        dropped = self._places.add(admission.author, (-admission.body.issued, admission.id))
        self.admissions[admission.id] = (admission, until)
        self._catalogue.put(admission)
        if dropped is not None:
            lost, _ = self.admissions[dropped[1]]
            self._catalogue.drop(key_of(lost))
            if lost.author != self._members.mine.peer:
                del self.admissions[lost.id]
        return admission.id in self.admissions

    def _is_void(self, admission: Signed[Admission]) -> bool:
        return bool(self._members.bans) and self._members.ousted_by(admission.author) is not None

    def _delist(self, admission: Signed[Admission]) -> None:
        self._places.discard(admission.author, (-admission.body.issued, admission.id))
        self._catalogue.drop(key_of(admission))

    def _refusal_to_admit(self) -> RefusalCode | None:
        if not self._members.mine.roles & Role.INVITE:
            return RefusalCode.MAY_NOT_INVITE
        if len(self._members.my_chain) >= MAX_CHAIN:
            return RefusalCode.CHAIN_TOO_LONG
        return None

    def _still_good(self, turn: Turn, given: list[Signed[Admission]]) -> Signed[Admission] | None:
        """Return an admission that this peer gave before and need not give again."""
        me, least = self._members.mine.peer, turn.now.wall + RENEW_BEFORE_MS
        return next((one for one in given if one.author == me and one.body.expires > least), None)

    def _renewal_of(self, turn: Turn, membership: Membership | None, chain: Chain) -> Admitted | Refused:
        """Renew a member under its own chain: what it came by stays what it shows."""
        if membership is None or membership.peer == self._members.mine.peer:
            return Refused(code=RefusalCode.MAY_NOT_INVITE)
        if self._members.bans.chain(chain) is not None:
            return Refused(code=RefusalCode.PEER_REVOKED)
        if not self._members.mine.roles & Role.INVITE:
            return Refused(code=RefusalCode.MAY_NOT_INVITE)
        body = Renewal(mesh=self._members.mesh, admission=chain[-1].id, expires=wall_later(turn.now.wall, ADMISSION_MS))
        renewed = Renewed(renewal=sign(body, self._signer), by=self._members.my_chain)
        return Admitted(chain=chain, contacts=self._contacts()[:_CONTACTS_TOLD], renewed=renewed)

    def _admit(self, turn: Turn, subject: PublicKey, roles: Role, invite: RecordId | None) -> Signed[Admission]:
        admission = sign(
            Admission(
                mesh=self._members.mesh,
                subject=subject,
                roles=int(roles),
                issued=turn.now.wall,
                expires=wall_later(turn.now.wall, ADMISSION_MS),
                invite=invite,
            ),
            self._signer,
        )
        self._members.take(turn, (*self._members.my_chain, admission))
        return admission

    def _answer(self, turn: Turn, op: int, admission: Signed[Admission]) -> None:
        chain = (*self._members.my_chain, admission)
        turn.do(AnswerDoor(op=op, answer=Admitted(chain=chain, contacts=self._contacts()[:_CONTACTS_TOLD])))
