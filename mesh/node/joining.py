"""Before there is a core: founding a mesh, or asking a member to be let into one.

Theory: a founder signs the first admission with a root key made for that; the mesh's id is that key's hash. A joiner
shows its invite in the handshake, asks on a channel that can do nothing else, and gets a chain that ends in its own
key. Both leave with a `Standing`: who this peer is in which mesh, and whom it may dial. Its secrets are kept elsewhere.

Invariants: nobody's answer is believed that does not prove this very peer's membership of the invite's mesh. Addresses
are dialled side by side and asked in turn until one admits, so that an invite is used once; a refusal by a member is
final only once the others were asked too.

The module must not know where anything is stored.
"""

import dataclasses
from typing import Annotated, Final

import trio

from mesh.ground.errors import MeshError, WireError
from mesh.ground.ids import ID_SIZE, MeshId
from mesh.ground.instants import WallTime, wall_later
from mesh.ground.limits import FOUNDING_MS
from mesh.node.bootstraps import problem_at
from mesh.node.racing import first_of
from mesh.ports.transport import Channel, Transport, TransportError
from mesh.wire import cbor, messages
from mesh.wire.addresses import is_loopback, told
from mesh.wire.codec import AtMost, from_value, to_value
from mesh.wire.envelope import Signer, Verifier, check, mesh_id, peer_id, sign
from mesh.wire.handshake import Papers, Purpose
from mesh.wire.invites import InviteToken
from mesh.wire.members import ALL_ROLES, Admission, Chain, JoinRequest, StaticKey, judge_chain
from mesh.wire.messages import Address, AdmitAsk, Admitted, RefusalCode, Refused
from mesh.wire.noise import KeyPair
from mesh.wire.records import Name

ANSWER_S: Final = 15.0
"""How long a member may take to answer: it has to fsync the admission first."""

CONTACTS_MAX: Final = 64
STANDING_MAX_BYTES: Final = 64 * 1024


class JoinError(MeshError):
    """This peer could not join the mesh. The message says what each address answered."""

    exit_code = 50


class InviteExpired(JoinError):
    """The invite's time is over. Ask a member for a new one: `meshnode invite`."""

    exit_code = 51


class InviteUsedUp(JoinError):
    """The invite has been used as often as it allows. Ask a member for a new one: `meshnode invite`."""

    exit_code = 52


class InviteRevoked(JoinError):
    """The invite, or the peer that gave it, was revoked. Ask a member for a new one: `meshnode invite`."""

    exit_code = 55


class PeerRevoked(JoinError):
    """This very peer was revoked, for good. Let it join under a new key: another `--home`, and a new invite."""

    exit_code = 56


class NobodyAnswers(JoinError):
    """No peer answered at the invite's addresses. One of them must run, and be reachable from this machine."""

    exit_code = 53


class MayNotAdmit(JoinError):
    """The members that were asked may not admit anybody. Ask for an invite by a member that has the role `invite`."""

    exit_code = 54


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """This peer's place in a mesh; nothing in it is secret."""

    chain: Chain
    contacts: Annotated[tuple[Address, ...], AtMost(CONTACTS_MAX)]
    """Where members were reached, or are said to be."""
    mesh_name: Name = ""
    """What people call the mesh."""

    @property
    def mesh(self) -> MeshId:
        """The mesh's id."""
        return mesh_id(self.chain[0].key)


def encode_standing(standing: Standing) -> bytes:
    """Return the bytes of `standing`, to be kept."""
    return cbor.encode(to_value(standing))


def decode_standing(data: bytes) -> Standing:
    """Return what was kept; raise `WireError`."""
    standing = from_value(Standing, cbor.decode(data, STANDING_MAX_BYTES))
    judge_chain(standing.chain, mesh_id(standing.chain[0].key) if standing.chain else MeshId(bytes(ID_SIZE)))
    return standing


def found_mesh(*, root: Signer, founder: Signer, now: WallTime, name: str = "") -> Standing:
    """Return the standing of a mesh's first member, admitted by the root key itself, with every role."""
    admission = Admission(
        mesh=mesh_id(root.key),
        subject=founder.key,
        roles=int(ALL_ROLES),
        issued=now,
        expires=wall_later(now, FOUNDING_MS),
        invite=None,
    )
    return Standing(chain=(sign(admission, root),), contacts=(), mesh_name=name)


def join_papers(*, token: InviteToken, invited: Signer, joiner: Signer, static: KeyPair) -> Papers:
    """Return what a joiner shows in its handshakes; `invited` signs with the invite's own key."""
    key = StaticKey(mesh=token.mesh, static=static.public)
    request = JoinRequest(
        invite=token.invite,
        inviter=token.inviter,
        by_invite=sign(key, invited),
        by_subject=sign(key, joiner),
    )
    return Papers(mesh=token.mesh, secret=token.secret, static=static, shown=request)


async def join_mesh(
    *,
    token: InviteToken,
    joiner: Signer,
    name: str,
    transport: Transport,
    verifier: Verifier,
    further: tuple[Address, ...] = (),
) -> Standing:
    """Ask for admission at the invite's addresses and `further` ones, over a transport that shows `join_papers`.

    Raises `InviteExpired`, `InviteUsedUp`, `InviteRevoked`, `PeerRevoked`, `MayNotAdmit`, or `NobodyAnswers` naming
    what became of each address.
    """
    refusals: list[JoinError] = []
    tried: dict[Address, str] = {}
    left = dict.fromkeys((*further, *token.addresses))

    async def dial(address: Address) -> tuple[Address, Channel] | None:
        try:
            return address, await transport.dial(address, Purpose.JOIN)
        except MeshError as error:
            tried[address] = problem_at(address, error)
            return None

    while left:
        found = await first_of(list(left), dial, _let_go)
        if found is None:
            break
        address, channel = found
        for past in (address, *tried):
            left.pop(past, None)
        try:
            answer = await _ask(channel, name)
            if isinstance(answer, Refused):
                refusals.append(_refusal(answer.code, address))
                continue
            return _standing(answer, token, joiner, address, verifier)
        except MeshError as error:
            tried[address] = problem_at(address, error)
    if refusals:
        raise refusals[0]
    raise NobodyAnswers("; ".join(f"{at}: {why}" for at, why in tried.items()) or "the invite names no address")


async def _let_go(found: tuple[Address, Channel]) -> None:
    await found[1].aclose()


async def _ask(channel: Channel, name: str) -> Admitted | Refused:
    try:
        with trio.fail_after(ANSWER_S):
            await channel.send(messages.encode(AdmitAsk(name=name)))
            answer = messages.decode(await channel.receive())
    except trio.TooSlowError as error:
        raise TransportError("it let us in and then said nothing") from error
    finally:
        with trio.CancelScope(shield=True):
            await channel.aclose()
    if not isinstance(answer, Admitted | Refused):
        raise WireError("it answered something else")
    return answer


def _standing(answer: Admitted, token: InviteToken, joiner: Signer, address: Address, verifier: Verifier) -> Standing:
    check(answer, verifier)
    membership = judge_chain(answer.chain, token.mesh)
    if membership.peer != peer_id(joiner.key):
        raise WireError("it admitted somebody else")
    others = [at for contact in answer.contacts for at in told(contact.addresses, here=is_loopback(address))]
    contacts = tuple(dict.fromkeys((address, *token.addresses, *others)))
    return Standing(chain=answer.chain, contacts=contacts[:CONTACTS_MAX], mesh_name=token.mesh_name)


def _refusal(code: int, address: Address) -> JoinError:
    kinds: dict[int, type[JoinError]] = {
        RefusalCode.EXPIRED: InviteExpired,
        RefusalCode.USED_UP: InviteUsedUp,
        RefusalCode.INVITE_REVOKED: InviteRevoked,
        RefusalCode.PEER_REVOKED: PeerRevoked,
    }
    return kinds.get(code, MayNotAdmit)(f"{address} refused")
