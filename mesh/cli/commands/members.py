"""`meshnode members`: who belongs to the mesh."""

import click

from mesh.cli import output, words
from mesh.cli.caller import Caller, home_option, json_option, pass_caller
from mesh.cli.output import Column
from mesh.ports.roster import MemberRow, MembersAnswer


@click.command()
@home_option
@json_option
@pass_caller
def command(caller: Caller) -> None:
    """List the members: roles, until when, and by whom or which invite they came.

    Everybody is listed who was ever admitted, as far as this peer knows, also who is switched off or was revoked. A
    membership renews itself, so that a date says how long one may stay away. The usual roles are render, submit and
    invite; an admin has them too.
    """
    answer: MembersAnswer = caller.client().get("/members")
    if caller.as_json:
        output.say_json(answer)
        return
    columns = (
        Column(title="MEMBER", gives=True),
        Column(title="ID"),
        Column(title="ROLES"),
        Column(title="STATE"),
        Column(title="UNTIL"),
        Column(title="ADMITTED BY", gives=True),
    )
    for line in output.table(columns, [_row(member) for member in answer["members"]]):
        output.say(line)
    for line in _revoked(answer["members"]):
        output.say(line)


def _row(member: MemberRow) -> tuple[str, ...]:
    name = member["name"] or "-"
    state = member["state"]
    if state == "member":
        state_text = "this peer" if member["me"] else "connected" if member["connected"] else "away"
    else:
        state_text = state
    by = member["admitted_by_name"] or "the founding"
    if member["invite"]:
        by += f", invite {words.short(member['invite'])}"
    until = words.day(member["expires_at_ms"]) if state != "revoked" else "-"
    return (name, words.short(member["id"]), _roles(member["roles"]), state_text, until, by)


def _revoked(members: list[MemberRow]) -> list[str]:
    """Say by whom members were revoked: in the table two names in a row would cut each other."""
    by: dict[str, list[str]] = {}
    for member in members:
        if member["state"] == "revoked":
            by.setdefault(member["revoked_by_name"], []).append(words.called(member["name"], member["id"]))
    return [line for who, names in by.items() for line in output.paragraph(f"revoked by {who}: {', '.join(names)}")]


def _roles(roles: list[str]) -> str:
    """Say in a word what most members may do."""
    usual = ["render", "submit", "invite"]
    return {tuple(usual): "usual", (*usual, "admin"): "admin"}.get(tuple(roles), " ".join(roles))
