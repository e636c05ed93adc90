"""Invites as text: they read as written, or not at all."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.wire import invites
from mesh.wire.envelope import sign
from mesh.wire.invites import PREFIX, InviteToken, InviteUnreadable
from mesh.wire.members import DEFAULT_ROLES, Invite
from mesh.wire.messages import Address
from mesh.wire.signing import Ed25519Signer, Ed25519Verifier
from tests.support.meshes import LONG_AFTER, Member, TestMesh, seed

VERIFIER = Ed25519Verifier()


def a_token(member: Member, signer: Ed25519Signer | None = None) -> InviteToken:
    secret = seed()
    invite = Invite(
        mesh=member.mesh.id, key=Ed25519Signer(secret).key, roles=int(DEFAULT_ROLES), uses=3, expires=LONG_AFTER
    )
    return InviteToken(
        invite=sign(invite, signer or member.signer),
        inviter=member.chain,
        seed=secret,
        secret=member.mesh.secret,
        addresses=(Address(host="studio.example", port=40_001), Address(host="fd00::2", port=40_001)),
    )


TOKEN = a_token(TestMesh().member())
TEXT = invites.write(TOKEN)


def test_a_token_reads_as_it_was_written_wrapped_or_not() -> None:
    assert invites.read(TEXT, VERIFIER) == TOKEN
    wrapped = "\n".join(TEXT[at : at + 60] for at in range(0, len(TEXT), 60))
    assert invites.read(f"  {wrapped}\r\n", VERIFIER) == TOKEN
    assert invites.read(TEXT, VERIFIER).mesh == TOKEN.mesh


def test_a_token_tells_what_the_mesh_is_called_and_one_that_does_not_still_reads() -> None:
    named = dataclasses.replace(TOKEN, mesh_name="films")
    assert invites.read(invites.write(named), VERIFIER).mesh_name == "films"
    assert TOKEN.mesh_name == ""
    assert len(invites.write(named)) > len(TEXT), "a name that is not told takes no room"


def test_secrets_are_in_no_representation() -> None:
    assert repr(TOKEN.seed) not in repr(TOKEN)
    assert repr(TOKEN.secret) not in repr(TOKEN)


def test_a_deep_inviter_and_long_addresses_fit() -> None:
    deep = TestMesh().member().admits().admits()
    token = a_token(deep)
    long = Address(host="a" * 60 + "." + "b" * 39, port=65_535)
    token = InviteToken(
        invite=token.invite, inviter=token.inviter, seed=token.seed, secret=token.secret, addresses=(long,) * 8
    )
    assert len(invites.write(token)) <= invites.TEXT_MAX
    assert invites.read(invites.write(token), VERIFIER) == token


@given(st.integers(0, len(TEXT) - 1), st.characters(min_codepoint=33, max_codepoint=126))
def test_no_changed_character_is_taken_for_the_invite(place: int, letter: str) -> None:
    changed = TEXT[:place] + letter + TEXT[place + 1 :]
    if changed == TEXT:
        return
    with pytest.raises(InviteUnreadable):
        invites.read(changed, VERIFIER)


@pytest.mark.parametrize("text", ["", "hello", PREFIX, TEXT[:-5], TEXT + TEXT, PREFIX + "A" * 9_000, "\u00e9" + TEXT])
def test_what_is_no_invite_is_said_to_be_none(text: str) -> None:
    with pytest.raises(InviteUnreadable):
        invites.read(text, VERIFIER)


def test_an_invite_by_somebody_else_than_it_names_is_refused() -> None:
    member = TestMesh().member()
    with pytest.raises(InviteUnreadable, match="signed"):
        invites.read(invites.write(a_token(member, Ed25519Signer(seed()))), VERIFIER)
