"""Who is thrown out: the set of revocations that this peer knows, its spreading, and what follows at the door.

Theory: a revocation acts at the door alone. Whoever knows it opens no channel to those that it shuts out and closes the
one that is open; their leases end as a dead peer's do. What they wrote before stands, unless the revocation strikes it:
then their records are void in every job that nobody else has sealed. The set only grows; what it comes to is a pure
function of it, so that peers which know the same revocations shut out the same peers.

Invariants: nothing is told on before it is in the journal. The news leaves before the channels close, so that also the
one who is thrown out hears why. A strike changes the ledger at once; its neighbours hear of the tasks a bounded number
at a time, but of all cells of a frame at once.
"""

from collections import deque
from collections.abc import Iterable

from mesh.core.catalogue import Catalogue
from mesh.core.directory import Directory
from mesh.core.effects import Accepted, Declined, Reply
from mesh.core.events import RevokeAsked
from mesh.core.host import HostFacts
from mesh.core.ledger import Ledger
from mesh.core.me import Me
from mesh.core.membership import Members
from mesh.core.notes import Barred, CellsChanged, JobEnded, JobStruck, ShutOut, TaskChanged
from mesh.core.turn import Turn
from mesh.ground.errors import WireError
from mesh.ground.ids import PeerId, RecordId
from mesh.ground.limits import MAX_REVOCATIONS
from mesh.wire.envelope import Signed, sign
from mesh.wire.kept import KeptRevocation
from mesh.wire.members import Role
from mesh.wire.messages import Revocations, portions
from mesh.wire.revocations import Bans, Notice, Ousted, PeerRevoked, Revocation, judge_notice

_TASKS_PER_TICK = 1_024


class Revoking:
    """Take, give and spread revocations, and make them act."""

    def __init__(
        self,
        members: Members,
        catalogue: Catalogue,
        directory: Directory,
        ledger: Ledger,
        host: HostFacts,
        *,
        me: Me,
    ) -> None:
        self._members = members
        self._directory = directory
        self._ledger = ledger
        self._host = host
        self._catalogue = catalogue
        self._signer = me.signer
        self._name = me.name
        self.notices: dict[RecordId, Notice] = {}
        self._to_tell: deque[TaskChanged | CellsChanged] = deque()
        """What a strike changed, and the other machines have yet to hear of."""

    def restore(self, kept: Iterable[KeptRevocation]) -> None:
        """Take the journal's revocations, before anything else of it acts."""
        for entry in kept:
            self._add(entry.notice)
        self._members.outlast(Bans(self.notices.values()))
        self._ledger.strike(self._members.bans.struck())
        self._host.shut_out = self._members.out is not None

    def words(self) -> tuple[Signed[Revocation], ...]:
        """Return every revocation that is known, whether it acts or not."""
        return tuple(notice.revocation for notice in self.notices.values())

    def on_revocations(self, turn: Turn, peer: PeerId, message: Revocations) -> None:
        """Take what is new, tell it on at once, and act."""
        self._take(turn, message.notices, but=peer)

    def on_revoke_asked(self, turn: Turn, event: RevokeAsked) -> None:
        """Sign what a person asks for; its answer leaves once it is on the disk."""
        declined = self._declined(event.what)
        if declined is None and not self._is_said(event.what):
            chain = self._members.my_chain
            body = Revocation(
                mesh=self._members.mesh,
                by=tuple(admission.id for admission in chain),
                what=event.what,
                said=turn.now.wall,
                by_name=self._name,
                name=self._called(event.what),
            )
            notice = Notice(revocation=sign(body, self._signer), chain=chain)
            if not self._take(turn, [notice]):
                text = "nobody can revoke that: it is the root of the mesh, or there are too many revocations already"
                declined = Declined(code="may-not-revoke", text=text)
        turn.do(Reply(op=event.op, reply=declined or Accepted()))

    def on_tick(self, turn: Turn) -> None:
        """Tell the other machines of more tasks that a strike has changed."""
        tasks = 0
        while self._to_tell and tasks < _TASKS_PER_TICK:
            note = self._to_tell.popleft()
            tasks += len(note.tasks) if isinstance(note, CellsChanged) else 1
            turn.tell(note)

    def _declined(self, what: Ousted) -> Declined | None:
        if self._members.out is not None:
            return Declined(code="revoked", text="this peer was thrown out of the mesh itself")
        if not self._members.mine.roles & Role.ADMIN:
            return Declined(code="may-not-revoke", text="this peer was admitted without the role `admin`")
        if isinstance(what, PeerRevoked) and what.peer == self._members.mine.peer:
            text = "a peer does not revoke itself: `meshnode leave` ends its membership"
            return Declined(code="revokes-itself", text=text)
        return None

    def _called(self, what: Ousted) -> str:
        known = self._directory.peers.get(what.peer) if isinstance(what, PeerRevoked) else None
        return known.name if known is not None else ""

    def _is_said(self, what: Ousted) -> bool:
        """Whether this peer has said just that before."""
        me = self._members.mine.peer
        return any(
            notice.revocation.author == me and notice.revocation.body.what == what for notice in self.notices.values()
        )

    def _add(self, notice: Notice) -> bool:
        if notice.revocation.id in self.notices or len(self.notices) >= MAX_REVOCATIONS:
            return False
        try:
            judge_notice(notice, self._members.mesh)
        except WireError:
            return False
        self.notices[notice.revocation.id] = notice
        self._catalogue.put(notice)
        return True

    def _take(self, turn: Turn, notices: Iterable[Notice], *, but: PeerId | None = None) -> bool:
        """Take what is new; return whether anything was."""
        fresh = [notice for notice in notices if self._add(notice)]
        if not fresh:
            return False
        turn.keep(*(KeptRevocation(notice=notice) for notice in fresh))
        self._tell(turn, [peer for peer in self._directory.all_connected() if peer != but], fresh)
        self._act(turn)
        return True

    def _act(self, turn: Turn) -> None:
        self._members.outlast(Bans(self.notices.values()))
        for ledger, changed in self._ledger.strike(self._members.bans.struck()):
            self._to_tell.extend(ledger.news(changed))
            turn.tell(JobStruck(job=ledger.id))
            if ledger.struck_out:
                turn.tell(JobEnded(job=ledger.id, cancelled=True))
        barred = [peer for peer in self._directory.all_connected() if self._members.barred(peer)]
        if barred:
            turn.tell(Barred(peers=tuple(barred)))
        if self._members.out is not None and not self._host.shut_out:
            self._host.shut_out = True
            turn.tell(ShutOut())

    def _tell(self, turn: Turn, peers: list[PeerId], notices: list[Notice]) -> None:
        for portion in portions(Revocations, "notices", notices):
            message = Revocations(notices=portion)
            for peer in peers:
                turn.send(peer, message)
