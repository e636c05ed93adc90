"""Whose word counts: the chains of members, and this peer's answers to those who ask to be let in or kept in.

A chain is judged by signatures, links and roles alone; dates matter only to whoever opens channels. An invite is
answered at most `uses` times as far as this peer knows: the mesh set tells it of others' answers.
"""

from collections.abc import Callable

from mesh.core.effects import AnswerDoor, Append
from mesh.core.events import AdmissionAsked, RenewalAsked
from mesh.core.turn import Turn
from mesh.ground.errors import WireError
from mesh.ground.ids import MeshId, PeerId, PublicKey, RecordId
from mesh.ground.instants import MINUTE_MS, Instant, WallTime, wall_later
from mesh.ground.limits import ADMISSION_MS, MAX_ADMISSIONS_KEPT, MAX_MEMBERS, RENEW_BEFORE_MS
from mesh.wire.codec import most_items
from mesh.wire.envelope import Signed, Signer, sign
from mesh.wire.kept import KeptAdmission, KeptChain
from mesh.wire.members import MAX_CHAIN, Admission, Membership, Role, judge_chain
from mesh.wire.messages import Admitted, Contact, RefusalCode, Refused, RenewAsk

_CONTACTS_TOLD = most_items(Admitted, "contacts")

Chain = tuple[Signed[Admission], ...]


class Members:
    """The chains that this peer knows; what others may ask of it."""

    def __init__(self, mesh: MeshId, chain: Chain) -> None:
        self.mesh = mesh
        self.mine = judge_chain(chain, mesh)
        self.my_chain = chain
        self.issuing = chain
        """This peer's shortest chain: what it admits others with, so that renewals of renewals grow no deeper."""
        self._known: dict[PeerId, tuple[Chain, Membership]] = {self.mine.peer: (chain, self.mine)}

    def learn(self, chain: Chain) -> Membership | None:
        """Take a chain whose signatures were checked; None where it proves nothing here."""
        try:
            membership = judge_chain(chain, self.mesh)
        except WireError:
            return None
        if membership.peer == self.mine.peer:
            self._consider_issuing(chain, membership)
        before = self._known.get(membership.peer)
        if before is None and len(self._known) >= MAX_MEMBERS:
            return None
        if before is None or _better(membership, before[1]):
            self._known[membership.peer] = (chain, membership)
        return membership

    def take(self, turn: Turn, chain: Chain) -> Membership | None:
        """Take a chain like `learn`, and keep that of a peer that is new: records in the journal must still act."""
        before = len(self._known)
        membership = self.learn(chain)
        if len(self._known) > before:
            turn.keep(KeptChain(chain=chain))
        return membership

    def renew(self, chain: Chain) -> None:
        """Make `chain` this peer's own."""
        self.my_chain = chain
        self.mine = judge_chain(chain, self.mesh)
        self._consider_issuing(chain, self.mine)
        self._known[self.mine.peer] = (chain, self.mine)

    def _consider_issuing(self, chain: Chain, membership: Membership) -> None:
        if len(chain) < len(self.issuing) and membership.roles == self.mine.roles:
            self.issuing = chain

    def chain(self, peer: PeerId) -> Chain | None:
        """Return a chain of `peer`."""
        known = self._known.get(peer)
        return known[0] if known else None

    def may(self, peer: PeerId, role: Role) -> bool:
        """Whether `peer` is known to have `role`."""
        known = self._known.get(peer)
        return known is not None and bool(known[1].roles & role)

    def is_member(self, peer: PeerId) -> bool:
        """Whether a chain of `peer` is known."""
        return peer in self._known

    def inviters(self) -> list[PeerId]:
        """Return the others who can renew this peer, those closest to the root first."""
        able = [
            (membership.depth, peer)
            for peer, (_, membership) in self._known.items()
            if peer != self.mine.peer and membership.roles & Role.INVITE
        ]
        return [peer for _, peer in sorted(able)]


def _better(new: Membership, old: Membership) -> bool:
    return (new.roles.bit_count(), new.expires) > (old.roles.bit_count(), old.expires)


class Door:
    """Admit those whom an invite entitles, renew members, and have this peer's own admission renewed in time."""

    def __init__(
        self,
        members: Members,
        signer: Signer,
        contacts: Callable[[], tuple[Contact, ...]],
        connected: Callable[[PeerId], bool],
    ) -> None:
        self._members = members
        self._signer = signer
        self._contacts = contacts
        self._connected = connected
        self.admissions: dict[RecordId, tuple[Signed[Admission], WallTime]] = {}
        """Admissions by invites that may still be open, and until when that is."""
        self._asked_at: Instant | None = None
        self._asks = -1

    def on_admission_asked(self, turn: Turn, event: AdmissionAsked) -> Signed[Admission] | None:
        """Answer a joiner; return the admission when it is a new one, for the mesh set."""
        invite = event.invite
        used = [admission for admission, _ in self.admissions.values() if admission.body.invite == invite.id]
        again = [admission for admission in used if admission.body.subject == event.subject]
        refusal = self._refusal()
        if invite.body.expires < turn.now.wall:
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
        until = wall_later(invite.body.expires, MINUTE_MS)
        self.admissions[admission.id] = (admission, until)
        turn.do(Append(entries=(KeptAdmission(admission=admission, until=until),)))
        self._answer(turn, event.op, admission)
        return admission

    def on_renewal_asked(self, turn: Turn, event: RenewalAsked) -> None:
        """Answer a member whose admission ends, on whatever channel it asked."""
        self._answer_renewal(turn, event.op, event.chain)

    def renewed(self, turn: Turn, peer: PeerId, chain: Chain) -> Admitted | Refused:
        """Return the answer to a member that asks on its ordinary channel."""
        membership = self._members.take(turn, chain)
        if membership is None or membership.peer != peer:
            return Refused(code=RefusalCode.MAY_NOT_INVITE)
        refusal = self._refusal()
        if refusal is not None:
            return Refused(code=refusal)
        admission = self._admit(turn, membership.key, membership.roles & self._members.mine.roles, None)
        return Admitted(chain=(*self._members.issuing, admission), contacts=())

    def on_admitted(self, turn: Turn, chain: Chain) -> None:
        """Take this peer's own renewed chain."""
        membership = self._members.learn(chain)
        if membership is None or membership.peer != self._members.mine.peer:
            return
        if membership.expires > self._members.mine.expires and membership.roles == self._members.mine.roles:
            turn.keep(KeptChain(chain=self._members.issuing), KeptChain(chain=chain))
            self._members.renew(chain)

    def on_tick(self, turn: Turn) -> None:
        """Ask one connected member for a renewal when it is time; forget admissions by invites that have ended."""
        for identifier in [one for one, (_, until) in self.admissions.items() if until < turn.now.wall]:
            self.admissions.pop(identifier)
        expires = self._members.mine.expires
        if expires - turn.now.wall > RENEW_BEFORE_MS:
            return
        if self._asked_at is not None and turn.now.instant - self._asked_at < MINUTE_MS:
            return
        able = [peer for peer in self._members.inviters() if self._connected(peer)]
        if able:
            self._asked_at = turn.now.instant
            self._asks += 1
            turn.send(able[self._asks % len(able)], RenewAsk(chain=self._members.my_chain))

    def heard(self, turn: Turn, admission: Signed[Admission]) -> bool:
        """Take an admission that another member gave; tell whether it is new."""
        if admission.id in self.admissions or len(self.admissions) >= MAX_ADMISSIONS_KEPT:
            return False
        if admission.body.invite is None or admission.body.mesh != self._members.mesh:
            return False
        if not self._members.may(admission.author, Role.INVITE):
            return False
        until = wall_later(min(admission.body.issued, turn.now.wall), 2 * ADMISSION_MS)
        if until < turn.now.wall:
            return False
        self.admissions[admission.id] = (admission, until)
        turn.keep(KeptAdmission(admission=admission, until=until))
        return True

    def _refusal(self) -> RefusalCode | None:
        if not self._members.mine.roles & Role.INVITE:
            return RefusalCode.MAY_NOT_INVITE
        if len(self._members.issuing) >= MAX_CHAIN:
            return RefusalCode.CHAIN_TOO_LONG
        return None

    def _still_good(self, turn: Turn, given: list[Signed[Admission]]) -> Signed[Admission] | None:
        """Return an admission that this peer gave before and need not give again."""
        me, least = self._members.mine.peer, turn.now.wall + RENEW_BEFORE_MS
        return next((one for one in given if one.author == me and one.body.expires > least), None)

    def _answer_renewal(self, turn: Turn, op: int, chain: Chain) -> None:
        membership = self._members.take(turn, chain)
        refusal = RefusalCode.MAY_NOT_INVITE if membership is None else self._refusal()
        if membership is None or refusal is not None:
            turn.do(AnswerDoor(op=op, answer=Refused(code=refusal or RefusalCode.MAY_NOT_INVITE)))
            return
        roles = membership.roles & self._members.mine.roles
        self._answer(turn, op, self._admit(turn, membership.key, roles, None))

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
        self._members.take(turn, (*self._members.issuing, admission))
        return admission

    def _answer(self, turn: Turn, op: int, admission: Signed[Admission]) -> None:
        chain = (*self._members.issuing, admission)
        turn.do(AnswerDoor(op=op, answer=Admitted(chain=chain, contacts=self._contacts()[:_CONTACTS_TOLD])))
