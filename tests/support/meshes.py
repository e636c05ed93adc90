"""Meshes made in a moment, for tests that need members, expired members, joiners and impostors."""

import itertools
from dataclasses import dataclass, replace

from blake3 import blake3

from mesh.ground.ids import Boot, MeshId, PeerId, PublicKey
from mesh.ground.instants import DAY_MS, WallTime
from mesh.wire.envelope import Signed, mesh_id, peer_id, sign
from mesh.wire.handshake import Papers, Purpose
from mesh.wire.members import DEFAULT_ROLES, Admission, Credentials, Invite, JoinRequest, StaticKey
from mesh.wire.noise import KeyPair
from mesh.wire.signing import Ed25519Signer

NOW = WallTime(1_700_000_000_000)
LONG_AFTER = WallTime(NOW + 30 * DAY_MS)

_serial = itertools.count()


def seed(label: str = "") -> bytes:
    """Return 32 bytes that no other call returns."""
    return blake3(f"{label} {next(_serial)}".encode()).digest()


@dataclass(frozen=True, kw_only=True)
class Member:
    """One peer's secrets and what it can prove."""

    mesh: "TestMesh"
    signer: Ed25519Signer
    static: KeyPair
    chain: tuple[Signed[Admission], ...]
    boot: Boot

    @property
    def id(self) -> PeerId:
        return peer_id(self.signer.key)

    @property
    def credentials(self) -> Credentials:
        statement = StaticKey(mesh=self.mesh.id, static=self.static.public)
        return Credentials(chain=self.chain, static=sign(statement, self.signer), boot=self.boot)

    @property
    def papers(self) -> Papers:
        return Papers(mesh=self.mesh.id, secret=self.mesh.secret, static=self.static, shown=self.credentials)

    def admits(self, *, expires: WallTime = LONG_AFTER) -> "Member":
        """Return a new member, one deeper in the chain."""
        signer = Ed25519Signer(seed("member"))
        admission = self.mesh.admission(signer.key, expires=expires)
        return replace(
            self,
            signer=signer,
            static=KeyPair.of(seed("static")),
            chain=(*self.chain, sign(admission, self.signer)),
            boot=Boot(seed("boot")[:16]),
        )

    def invites(self, *, expires: WallTime = LONG_AFTER) -> Papers:
        """Return the papers of a joiner with an invite of this member's."""
        bearer, subject = Ed25519Signer(seed("invite")), Ed25519Signer(seed("joiner"))
        static = KeyPair.of(seed("static"))
        statement = StaticKey(mesh=self.mesh.id, static=static.public)
        invite = Invite(mesh=self.mesh.id, key=bearer.key, roles=int(DEFAULT_ROLES), uses=1, expires=expires)
        shown = JoinRequest(
            invite=sign(invite, self.signer),
            inviter=self.chain,
            by_invite=sign(statement, bearer),
            by_subject=sign(statement, subject),
        )
        return Papers(mesh=self.mesh.id, secret=self.mesh.secret, static=static, shown=shown)


class TestMesh:
    """A root key and a mesh secret."""

    __test__ = False

    def __init__(self) -> None:
        self.root = Ed25519Signer(seed("root"))
        self.id: MeshId = mesh_id(self.root.key)
        self.secret = seed("secret")

    def admission(self, subject: PublicKey, *, expires: WallTime = LONG_AFTER) -> Admission:
        return Admission(
            mesh=self.id, subject=subject, roles=int(DEFAULT_ROLES), issued=NOW, expires=expires, invite=None
        )

    def readmitted(self, member: Member) -> Member:
        """Return the same peer with a longer admission by the root."""
        return replace(member, chain=(sign(self.admission(member.signer.key), self.root),))

    def member(self, *, expires: WallTime = LONG_AFTER) -> Member:
        """Return a member admitted by the root."""
        signer = Ed25519Signer(seed("member"))
        return Member(
            mesh=self,
            signer=signer,
            static=KeyPair.of(seed("static")),
            chain=(sign(self.admission(signer.key, expires=expires), self.root),),
            boot=Boot(seed("boot")[:16]),
        )

    def bad_papers(self) -> dict[str, tuple[Papers, Purpose]]:
        """Return what those show who know this mesh's secret and belong to it in no way, by what is wrong with it."""
        good, another = self.member(), self.member()
        shown, joiner = good.credentials, good.invites()
        assert isinstance(joiner.shown, JoinRequest)
        foreign = TestMesh().member()
        forged = replace(shown.chain[0], signature=bytes(64))
        return {
            "a chain from another root": (self.impostor().papers, Purpose.CONTROL),
            "a chain of another mesh": (replace(foreign.papers, mesh=self.id, secret=self.secret), Purpose.CONTROL),
            "a forged signature": (replace(good.papers, shown=replace(shown, chain=(forged,))), Purpose.CONTROL),
            "no chain": (replace(good.papers, shown=replace(shown, chain=())), Purpose.CONTROL),
            "somebody else's proof": (replace(another.papers, shown=shown), Purpose.CONTROL),
            "an impostor's invite": (self.impostor().invites(), Purpose.JOIN),
            "somebody else's invite": (replace(good.invites(), shown=joiner.shown), Purpose.JOIN),
        }

    def impostor(self) -> Member:
        """Return somebody who knows this mesh's secret and id, and made up everything else."""
        made_up = TestMesh()
        made_up.id, made_up.secret = self.id, self.secret
        return made_up.member()
