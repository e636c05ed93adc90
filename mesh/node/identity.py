"""Who this peer is: its keys, its place in a mesh, this start of its process; and what it remembers of that.

Theory: a journal begins where the last process ended. A peer shows the chain that it joined with for as long as it is a
member, and beside it the renewal that lasts longest of those in the journal.

Invariants: the secrets are part of no representation. Nothing here opens a connection or a file.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from mesh.core.me import Me
from mesh.ground.errors import NewerError, WireError
from mesh.ground.ids import Boot, MeshId, PeerId
from mesh.ground.instants import WallTime
from mesh.ground.limits import EVERYBODY
from mesh.ports.storage import Journal, JournalDamaged, JournalNewer
from mesh.wire import kept as kp
from mesh.wire.envelope import Signer, mesh_id, peer_id, sign
from mesh.wire.handshake import DatedDoor, Papers
from mesh.wire.kept import Kept
from mesh.wire.members import Chain, Credentials, Renewed, StaticKey, judge_standing
from mesh.wire.noise import KeyPair
from mesh.wire.revocations import Bans, judge_notice

COMPACT_BYTES: Final = 8 * 1024 * 1024
"""A journal below this is read in a moment, whatever is in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """One start of one peer."""

    signer: Signer
    static: KeyPair
    secret: bytes = field(repr=False)
    """The mesh secret."""
    chain: Chain
    renewed: Renewed | None = None
    """What lengthens the chain's time, if it was renewed."""
    boot: Boot
    name: str
    everybody: int = EVERYBODY
    """Up to so many peers are all kept channels with."""
    mesh_name: str = ""
    """What people call the mesh."""

    @property
    def mesh(self) -> MeshId:
        """The mesh that the chain belongs to."""
        return mesh_id(self.chain[0].key)

    @property
    def peer(self) -> PeerId:
        """This peer's id."""
        return peer_id(self.signer.key)

    def me(self) -> Me:
        """Return what the core needs to know."""
        return Me(
            signer=self.signer,
            chain=self.chain,
            mesh=self.mesh,
            boot=self.boot,
            name=self.name,
            everybody=self.everybody,
        )

    def credentials(self, renewed: Renewed | None) -> Credentials:
        """Return what this peer shows in handshakes while its renewal is `renewed`."""
        static = sign(StaticKey(mesh=self.mesh, static=self.static.public), self.signer)
        return Credentials(chain=self.chain, static=static, boot=self.boot, renewed=renewed)

    def papers(self) -> Papers:
        """Return what this peer brings to every handshake."""
        return Papers(mesh=self.mesh, secret=self.secret, static=self.static, shown=self.credentials(self.renewed))


def load_kept(journal: Journal) -> tuple[Kept, ...]:
    """Return what the journal holds, in its order; raise `JournalDamaged`, or `JournalNewer` where a later version of
    the program wrote it. A long one is rewritten without what is outdated.
    """
    kept = tuple(_decoded(journal.load()))
    if journal.size() < COMPACT_BYTES:
        return kept
    compact = tuple(without_outdated(kept))
    if len(compact) < len(kept):
        journal.rewrite(kp.encode(entry) for entry in compact)
    return compact


def newest_renewal(joined: Chain, kept: Iterable[Kept]) -> Renewed | None:
    """Return the renewal in the journal that lasts longest, of the chain with which this peer joined; None: no renewal
    does any good.
    """
    mesh = mesh_id(joined[0].key)
    best, expires = None, judge_standing(joined, None, mesh).expires
    for entry in kept:
        if not isinstance(entry, kp.KeptRenewal):
            continue
        try:
            found = judge_standing(joined, entry.renewed, mesh)
        except WireError:
            continue
        if found.expires > expires:
            best, expires = entry.renewed, found.expires
    return best


def door_with(kept: Iterable[Kept], mesh: MeshId, wall: Callable[[], WallTime]) -> DatedDoor:
    """Return a door that knows from the first handshake on whom the journal's revocations shut out."""
    notices = []
    for entry in kept:
        if isinstance(entry, kp.KeptRevocation):
            with suppress(WireError):
                judge_notice(entry.notice, mesh)
                notices.append(entry.notice)
    door = DatedDoor(wall)
    door.bans = Bans(notices)
    return door


def without_outdated(kept: Sequence[Kept]) -> list[Kept]:
    """Return the entries that a later one does not replace, in their order."""
    last = {_replaced_by(entry): place for place, entry in enumerate(kept)}
    return [kept[place] for place in sorted(last.values())]


def _replaced_by(entry: Kept) -> object:
    """Return what an entry is about: of two entries about one thing the later holds."""
    match entry:
        case kp.KeptMark(mark=mark):
            return kp.KeptMark, mark.author, mark.body.job
        case kp.KeptContact(contact=contact):
            return kp.KeptContact, contact.peer
        case kp.KeptChain(chain=chain):
            # Roles say what a peer's records may do; of its chains with the same ones the newest tells how it came.
            return kp.KeptChain, *((last.body.subject, last.body.roles) for last in chain[-1:])
        case kp.KeptHead(head=head):
            return kp.KeptHead, head.job.id
        case kp.KeptHold(hold=hold):
            return kp.KeptHold, hold.author, hold.body.job, hold.body.blob  # a later one lists its author's former ones
        case kp.KeptEntries(entries=entries):
            return kp.KeptEntries, tuple(signed.id for signed in entries)
        case kp.KeptAdmission(admission=admission):
            return kp.KeptAdmission, admission.id
        case kp.KeptRevocation(notice=notice):
            return kp.KeptRevocation, notice.revocation.id
        case kp.KeptRenewal():
            return kp.KeptRenewal
        case kp.KeptPause():
            return kp.KeptPause
        case kp.KeptComplaint(complaint=complaint):
            return kp.KeptComplaint, complaint.id
        case _:
            # Orders and deliveries tell a story: none of it is outdated by a later line of it.
            return object()


def _decoded(entries: Iterable[bytes]) -> Iterator[Kept]:
    for number, data in enumerate(entries, start=1):
        try:
            yield kp.decode(data)
        except NewerError as error:
            raise JournalNewer(f"entry {number}: {error}") from error
        except WireError as error:
            raise JournalDamaged(f"entry {number} says nothing that this program knows: {error}") from error
