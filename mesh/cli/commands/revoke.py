"""`meshnode revoke`: throw a peer out of the mesh, for good."""

import click

from mesh.cli import output, printable, words
from mesh.cli.caller import Caller, home_option, in_path, json_option, pass_caller
from mesh.cli.consent import confirm
from mesh.ports.roster import MemberRow, RevokeAnswer


@click.command()
@click.argument("peer")
@click.option("--strike", is_flag=True, help="Void what it rendered, too, in every job that nobody else has sealed.")
@click.option("--spare", metavar="PEER", multiple=True, help="Keep a member that it let in; may be repeated.")
@click.option("--spare-all", is_flag=True, help="Keep all members that it let in.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@home_option
@json_option
@pass_caller
def command(caller: Caller, *, peer: str, strike: bool, spare: tuple[str, ...], spare_all: bool, yes: bool) -> None:
    """Throw a peer out of the mesh, for good.

    PEER is its whole name, its id, or the beginning of its id, at least six digits, as `meshnode members` lists them.
    Every peer that hears of it closes its connection and opens none again; its frames are rendered elsewhere. With it
    go the members that it let in, unless they are spared. There is no way back but a new key and a new invite. Only a
    peer with the role `admin` can do it.
    """
    request = {"strike": strike, "spare": list(spare), "spare_all": spare_all}
    path = f"/members/{in_path(peer)}/revoke"
    client = caller.client()
    if not yes:
        _confirm(client.post(path, {**request, "dry_run": True}))
    answer: RevokeAnswer = client.post(path, {**request, "dry_run": False})
    if caller.as_json:
        output.say_json(answer)
        return
    output.say(f"revoked {called(answer['member'])}{_with(answer['along'])}")
    for line in output.paragraph(
        "It still knows the mesh secret, which only silences strangers and opens no door. Its invites are void."
    ):
        output.notice(output.dim(line))


def called(member: MemberRow) -> str:
    """Return a member's name and the beginning of its id."""
    return f"{member['name']} ({words.short(member['id'])})" if member["name"] else words.short(member["id"])


def _with(along: list[MemberRow]) -> str:
    return f", and with it {', '.join(called(one) for one in along)}" if along else ""


def _confirm(answer: RevokeAnswer) -> None:
    """Say what would be done, and ask; raises what `confirm` does."""
    # Also for a program: it is a person who reads this.
    answer = printable.every_text(answer, printable.line)
    member = answer["member"]
    output.notice(f"{called(member)} is thrown out for good.")
    if answer["along"]:
        output.notice(f"With it go those whom it let in: {', '.join(called(one) for one in answer['along'])}.")
        output.notice("To keep some of them: --spare PEER, or --spare-all.")
    if answer["spared"]:
        output.notice(f"These stay: {', '.join(called(one) for one in answer['spared'])}.")
    if answer["strike"]:
        output.notice("What it rendered is void in every job that nobody else has sealed, and is rendered again.")
    confirm("Revoke it?")
