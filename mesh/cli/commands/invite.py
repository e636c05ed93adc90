"""`meshnode invite`: a token that lets another machine in."""

import re

import click

from mesh.cli import output, words
from mesh.cli.caller import Caller, home_option, json_option, pass_caller
from mesh.ground.errors import UsageError
from mesh.ground.instants import DAY_MS, HOUR_MS, MINUTE_MS
from mesh.ports.desk import InviteAnswer

USES = 10
"""Peers that one invite lets in, unless said otherwise: a room full of machines, pasted once."""

_UNITS = {"m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS}


def life(text: str) -> int:
    """Read a duration such as `30m`, `24h` or `7d`; raise UsageError for anything else."""
    match = re.fullmatch(r"(\d{1,4})([mhd])", text.strip())
    if match is None or int(match[1]) == 0:
        raise UsageError(f"--expires {text}: write minutes, hours or days, such as 30m, 24h or 7d")
    return int(match[1]) * _UNITS[match[2]]


@click.command()
@click.option(
    "--roles",
    metavar="A,B",
    default="",
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
@home_option
@json_option
@pass_caller
def command(caller: Caller, roles: str, expires: str, uses: int) -> None:
    """Print an invite for another machine.

    Whoever has it may join until it expires or is used up, so send it as you would a password. On the other machine:
    `meshnode join -` reads it from standard input, where nobody sees it in the list of processes.
    """
    wanted = [role.strip() for role in roles.split(",") if role.strip()]
    answer: InviteAnswer = caller.client().post("/invites", {"roles": wanted, "life_ms": life(expires), "uses": uses})
    if caller.as_json:
        output.say_json(answer)
        return
    output.say(answer["token"])
    who, mesh = words.count(uses, "peer"), answer["mesh_name"] or "the mesh"
    text = f"Lets {who} into {mesh} until {words.moment(answer['expires_at_ms'])}, to {', '.join(answer['roles'])}. "
    text += "There: meshnode join INVITE"
    for line in output.paragraph(text):
        output.notice(output.dim(line))
