"""What a chain proves: each link once broken, and nothing by any date."""

import dataclasses
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.ground.errors import WireError
from mesh.ground.ids import Boot, RecordId
from mesh.ground.instants import WallTime
from mesh.wire.envelope import Signed, check, mesh_id, peer_id, sign
from mesh.wire.members import (
    ALL_ROLES,
    DEFAULT_ROLES,
    MAX_CHAIN,
    Admission,
    Chain,
    Credentials,
    Invite,
    JoinRequest,
    Role,
    StaticKey,
    judge_chain,
    judge_credentials,
    judge_join,
)
from mesh.wire.signing import Ed25519Signer, Ed25519Verifier

ROOT, *PEERS = (Ed25519Signer(bytes([number]) * 32) for number in range(1, 8))
FOUNDER, ANN, BEN, CAT, DAN, EVE = PEERS
MESH = mesh_id(ROOT.key)
STATIC, OTHER_STATIC = bytes([7]) * 32, bytes([8]) * 32
FOREVER = WallTime(2**50)


def admit(issuer: Ed25519Signer, subject: Ed25519Signer, **changed: Any) -> Signed[Admission]:
    fields: dict[str, Any] = {
        "mesh": MESH,
        "subject": subject.key,
        "roles": int(DEFAULT_ROLES),
        "issued": WallTime(0),
        "expires": FOREVER,
        "invite": None,
    }
    return sign(Admission(**{**fields, **changed}), issuer)


def chain_of(*members: Ed25519Signer, roles: Role = DEFAULT_ROLES) -> Chain:
    line = (ROOT, *members)
    return tuple(admit(line[at], line[at + 1], roles=int(roles)) for at in range(len(members)))


def static_key(signer: Ed25519Signer, static: bytes = STATIC, mesh: bytes = MESH) -> Signed[StaticKey]:
    return sign(StaticKey(mesh=mesh, static=static), signer)


def credentials(chain: Chain, static: Signed[StaticKey]) -> Credentials:
    return Credentials(chain=chain, static=static, boot=Boot(bytes(16)))


def invite(signer: Ed25519Signer, **changed: Any) -> Signed[Invite]:
    fields: dict[str, Any] = {
        "mesh": MESH,
        "key": DAN.key,
        "roles": int(DEFAULT_ROLES),
        "uses": 3,
        "expires": WallTime(10),
    }
    return sign(Invite(**{**fields, **changed}), signer)


def join(**changed: Any) -> JoinRequest:
    """EVE shows the invite whose key is DAN's, signed by ANN."""
    fields: dict[str, Any] = {
        "invite": invite(ANN),
        "inviter": chain_of(FOUNDER, ANN),
        "by_invite": static_key(DAN),
        "by_subject": static_key(EVE),
    }
    return JoinRequest(**{**fields, **changed})


def test_a_chain_leads_from_the_root_to_its_last_subject() -> None:
    chain = chain_of(FOUNDER, ANN, BEN)
    check(chain, Ed25519Verifier())
    member = judge_chain(chain, MESH)
    assert (member.peer, member.key, member.depth) == (peer_id(BEN.key), BEN.key, 3)
    assert member.roles == DEFAULT_ROLES


def test_the_depth_is_bounded() -> None:
    assert judge_chain(chain_of(FOUNDER, ANN, BEN, CAT), MESH).depth == MAX_CHAIN
    for chain in ((), chain_of(FOUNDER, ANN, BEN, CAT, DAN)):
        with pytest.raises(WireError, match=f"chain of {len(chain)}"):
            judge_chain(chain, MESH)


def test_no_date_is_looked_at() -> None:
    chain = (
        admit(ROOT, FOUNDER, expires=WallTime(50)),
        admit(FOUNDER, ANN, issued=WallTime(2**60), expires=WallTime(5)),
    )
    assert judge_chain(chain, MESH).expires == 5
    assert judge_chain(chain[:1], MESH).expires == 50


def test_a_chain_of_another_mesh_proves_nothing() -> None:
    chain = chain_of(FOUNDER, ANN)
    with pytest.raises(WireError, match="another mesh"):
        judge_chain(chain, mesh_id(EVE.key))
    # A mesh of one's own leads nowhere either, nor does a link made for another mesh under the same root key.
    with pytest.raises(WireError, match="another mesh"):
        judge_chain((admit(EVE, ANN),), MESH)
    for at in range(2):
        strange = list(chain)
        strange[at] = sign(dataclasses.replace(chain[at].body, mesh=mesh_id(EVE.key)), (ROOT, FOUNDER)[at])
        with pytest.raises(WireError, match="broken link"):
            judge_chain(tuple(strange), MESH)


def test_each_link_is_signed_by_the_subject_before() -> None:
    first, second, third = chain_of(FOUNDER, ANN, BEN)
    for broken in ((first, third), (first, third, second), (first, admit(EVE, ANN)), (first, admit(ROOT, ANN), third)):
        with pytest.raises(WireError, match="broken link"):
            judge_chain(broken, MESH)
    with pytest.raises(WireError):
        judge_chain((second, third), MESH)


def test_a_forged_link_is_found_by_check_before_anything_is_judged() -> None:
    first, second = chain_of(FOUNDER, ANN)
    forged = dataclasses.replace(admit(FOUNDER, EVE), signature=second.signature)
    assert judge_chain((first, forged), MESH).peer == peer_id(EVE.key)
    with pytest.raises(WireError, match="forged"):
        check((first, forged), Ed25519Verifier())


@given(st.lists(st.integers(0, int(ALL_ROLES)), min_size=1, max_size=MAX_CHAIN))
def test_roles_only_shrink_and_only_inviters_admit(roles: list[int]) -> None:
    line = (ROOT, FOUNDER, ANN, BEN, CAT)
    chain = tuple(admit(line[at], line[at + 1], roles=given) for at, given in enumerate(roles))
    shrinks = all(later & ~earlier == 0 for earlier, later in pairwise(roles))
    invites = all(given & Role.INVITE for given in roles[:-1])
    if shrinks and invites:
        assert judge_chain(chain, MESH).roles == Role(roles[-1])
    else:
        with pytest.raises(WireError, match="roles grow" if not shrinks else "may not invite"):
            judge_chain(chain, MESH)


def test_who_admits_itself_gains_nothing() -> None:
    chain = (
        admit(ROOT, FOUNDER, roles=int(Role.INVITE), expires=WallTime(7)),
        admit(FOUNDER, FOUNDER, roles=int(Role.INVITE)),
    )
    member = judge_chain(chain, MESH)
    assert (member.roles, member.expires, member.depth) == (Role.INVITE, 7, 2)
    with pytest.raises(WireError, match="roles grow"):
        judge_chain((*chain, admit(FOUNDER, FOUNDER, roles=int(ALL_ROLES))), MESH)


def test_credentials_prove_membership_on_their_own_channel() -> None:
    shown = credentials(chain_of(FOUNDER, ANN), static_key(ANN))
    assert judge_credentials(shown, MESH, STATIC).peer == peer_id(ANN.key)


@pytest.mark.parametrize(
    ("static", "channel"),
    [
        (static_key(ANN), OTHER_STATIC),  # a seen proof under another channel key
        (static_key(ANN, OTHER_STATIC), STATIC),
        (static_key(EVE), STATIC),  # somebody else's chain
        (static_key(FOUNDER), STATIC),
        (static_key(ANN, mesh=mesh_id(EVE.key)), STATIC),  # a signature made for another mesh
    ],
)
def test_credentials_of_another_channel_are_refused(static: Signed[StaticKey], channel: bytes) -> None:
    with pytest.raises(WireError, match="another channel"):
        judge_credentials(credentials(chain_of(FOUNDER, ANN), static), MESH, channel)


def test_credentials_without_a_good_chain_are_refused() -> None:
    for chain in ((), (admit(EVE, ANN),), chain_of(FOUNDER)):
        with pytest.raises(WireError):
            judge_credentials(credentials(chain, static_key(ANN)), MESH, STATIC)


def test_an_invite_entitles_its_holder_to_ask() -> None:
    asked = join()
    check(asked, Ed25519Verifier())
    assert judge_join(asked, MESH, STATIC).peer == peer_id(ANN.key)


def test_an_expired_invite_is_the_admitting_members_to_judge() -> None:
    assert judge_join(join(invite=invite(ANN, expires=WallTime(0))), MESH, STATIC).peer == peer_id(ANN.key)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"invite": invite(BEN)}, "may not invite"),
        ({"invite": invite(ANN, mesh=mesh_id(EVE.key))}, "may not invite"),
        ({"inviter": chain_of(FOUNDER, ANN, roles=Role.RENDER | Role.SUBMIT)}, "may not invite"),
        ({"inviter": (*chain_of(FOUNDER), admit(FOUNDER, ANN, roles=int(Role.SUBMIT)))}, "may not invite"),
        ({"inviter": (admit(EVE, ANN),)}, "another mesh"),
        ({"inviter": ()}, "chain of 0"),
        ({"invite": invite(ANN, roles=int(ALL_ROLES))}, "more roles"),
        ({"by_invite": static_key(DAN, OTHER_STATIC)}, "another channel"),
        ({"by_subject": static_key(EVE, OTHER_STATIC)}, "another channel"),
        ({"by_invite": static_key(DAN, mesh=mesh_id(EVE.key))}, "another channel"),
        ({"by_subject": static_key(EVE, mesh=mesh_id(EVE.key))}, "another channel"),
        ({"by_invite": static_key(EVE)}, "does not hold it"),
        ({"by_invite": static_key(ANN)}, "does not hold it"),
    ],
)
def test_an_invite_that_proves_less_is_refused(changed: dict[str, Any], why: str) -> None:
    with pytest.raises(WireError, match=why):
        judge_join(join(**changed), MESH, STATIC)


def test_an_admission_names_its_invite() -> None:
    named = admit(ANN, EVE, invite=RecordId(bytes(32)))
    assert judge_chain((*chain_of(FOUNDER, ANN), named), MESH).peer == peer_id(EVE.key)
    assert named.id != admit(ANN, EVE).id


def test_a_renewal_outlives_the_admissions_above_it() -> None:
    chain = (admit(ROOT, FOUNDER, expires=WallTime(7)), admit(FOUNDER, ANN, expires=WallTime(90)))
    assert judge_chain(chain, MESH).expires == 90
