"""`meshnode invite`: a token that lets another machine in."""

import click
from click.core import ParameterSource

from mesh.cli import output, printable, times, words
from mesh.cli.caller import Caller, home_option, in_path, json_option, pass_caller
from mesh.cli.consent import confirm
from mesh.ground.errors import UsageError
from mesh.ports.roster import InviteAnswer, RevokeInviteAnswer

USES = 10
"""Peers that one invite lets in, unless said otherwise: a room full of machines, pasted once."""


def life(text: str) -> int:
    """Read for how long an invite lets in; raise UsageError for what is no duration."""
    return times.duration_ms("--expires", text)


def wanted_roles(texts: tuple[str, ...]) -> list[str]:
    """Read the roles of an invite, none for the usual ones; raise UsageError where an empty one was typed."""
    roles = [role.strip() for text in texts for role in text.split(",")]
    if not all(roles):
        raise UsageError("--role is empty: write render, submit, invite or admin, with a comma between two of them")
    return roles


def _is_typed(option: str) -> bool:
    """Say whether an option stands on the command line, even with its default."""
    context = click.get_current_context()
    names = [one.name for one in context.command.params if option in one.opts]
    return any(context.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in names)


@click.command()
@click.option(
    "--role",
    "--roles",
    "roles",
    metavar="A,B",
    multiple=True,
    help="What it allows: render, submit, invite, admin.  [default: the first three]",
)
@click.option("--expires", metavar="TIME", default="24h", show_default=True, help="How long it lets in: 30m, 24h, 7d.")
@click.option(
    "--uses",
    metavar="N",
    type=click.IntRange(1, 1000),
    default=USES,
    show_default=True,
    help="How many peers it lets in.",
)
@click.option("--revoke", "revoked", metavar="ID", help="Take an invite back, and throw out all who came by it.")
@click.option("--yes", is_flag=True, help="With --revoke: do not ask.")
@home_option
@json_option
@pass_caller
def command(caller: Caller, *, roles: tuple[str, ...], expires: str, uses: int, revoked: str | None, yes: bool) -> None:
    """Print an invite for another machine.

    Whoever has it may join until it expires or is used up, so send it as you would a password. On the other machine:
    `meshnode join -` reads it from standard input, where nobody sees it in the list of processes.

    --revoke takes one back for good, at a peer with the role `admin`. ID is what was printed with the invite; once
    somebody came by it, the beginning that `meshnode members` shows is enough.
    """
    if revoked is not None:
        if given := [option for option in ("--role", "--expires", "--uses") if _is_typed(option)]:
            raise UsageError(f"{', '.join(given)}: --revoke takes an invite back, and makes none")
        _revoke(caller, revoked, yes=yes)
        return
    if yes:
        raise UsageError("--yes answers the question of --revoke; an invite is made without one")
    wanted = wanted_roles(roles)
    answer: InviteAnswer = caller.client().post("/invites", {"roles": wanted, "life_ms": life(expires), "uses": uses})
    if caller.as_json:
        output.say_json(answer)
        return
    output.say(answer["token"])
    who, mesh = words.count(uses, "peer"), answer["mesh_name"] or "the mesh"
    text = f"Lets {who} into {mesh} until {words.moment(answer['expires_at_ms'])}, to {', '.join(answer['roles'])}. "
    text += f"There: meshnode join INVITE. To take it back: meshnode invite --revoke {answer['id']}"
    for line in output.paragraph(text):
        output.notice(output.dim(line))


def _revoke(caller: Caller, invite: str, *, yes: bool) -> None:
    client, path = caller.client(), f"/invites/{in_path(invite)}/revoke"
    if not yes:
        # Also for a program: it is a person who reads this.
        would: RevokeInviteAnswer = printable.every_text(client.post(path, {"dry_run": True}), printable.line)
        along = f"; thrown out with it: {_names(would)}" if would["along"] else "; nobody came by it yet"
        output.notice(f"The invite {words.short(would['invite'])} is taken back for good{along}.")
        confirm("Revoke it?")
    answer: RevokeInviteAnswer = client.post(path, {"dry_run": False})
    if caller.as_json:
        output.say_json(answer)
        return
    along = f", and with it {_names(answer)}" if answer["along"] else ""
    output.say(f"revoked the invite {words.short(answer['invite'])}{along}")


def _names(answer: RevokeInviteAnswer) -> str:
    return ", ".join(words.called(one["name"], one["id"]) for one in answer["along"])
