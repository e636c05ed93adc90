"""`meshnode join`: found a mesh, enter one, or start this peer again; the one command that is a peer itself."""

import ipaddress
import os
import sys
import time
from pathlib import Path
from typing import Any

import click

from mesh.cli import compose, output, printable, words
from mesh.cli.background import start
from mesh.cli.caller import Caller, home_option, is_terminal, json_option, pass_caller
from mesh.cli.client import Client
from mesh.ground.errors import UsageError
from mesh.ports.desk import BootstrapRow, StatusAnswer, ThrownOut

TOKEN_MAX_BYTES = 64 * 1024
"""Of standard input or a file: an invite takes a twentieth."""

VERDICTS_S = 4.8
"""A person waits so long for news of the addresses that were typed; the peer itself has it a little sooner."""

NAME_MAX_BYTES = 60
"""Of a name that a person chooses: a table has to have room for it beside all else."""

LISTEN_HELP = "Where to accept peers; may be repeated.  [default: everywhere, one port for good]"
PEER_HELP = "A peer to look for; may be repeated.  [default port: this peer's own]"


@click.command()
@click.argument("invite", required=False)
@click.option("--new", "found", metavar="NAME", help="Found a mesh of that name.")
@click.option("--invite-file", type=click.Path(exists=True, dir_okay=False), help="Read the invite from a file.")
@click.option("--background", is_flag=True, help="Return when the peer is ready, and let it run on.")
@click.option("--no-render", is_flag=True, help="Submit, keep and hand on, but render nothing here.")
@click.option("--slots", type=click.IntRange(1, 1024), metavar="N", help="Frames to render at a time.  [default: 1]")
@click.option("--name", metavar="NAME", help="What others call this peer.  [default: the machine's name]")
@click.option("--listen", metavar="ADDR[:PORT]", multiple=True, help=LISTEN_HELP)
@click.option("--peer", "peers", metavar="HOST[:PORT]", multiple=True, help=PEER_HELP)
@click.option("--no-beacon", is_flag=True, help="Neither call on the local network nor listen to such calls.")
@click.option(
    "--timings",
    type=click.Path(dir_okay=False, writable=True),
    metavar="FILE",
    help="Add a line to FILE whenever a step of a job was done, for measurements.",
)
@click.option(
    "--tape",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Record in DIR all that this peer decides from, for whoever looks for a bug; no keys.",
)
@home_option
@json_option
@pass_caller
def command(
    caller: Caller,
    *,
    invite: str | None,
    found: str | None,
    invite_file: str | None,
    background: bool,
    no_render: bool,
    slots: int | None,
    name: str | None,
    listen: tuple[str, ...],
    peers: tuple[str, ...],
    no_beacon: bool,
    timings: str | None,
    tape: str | None,
) -> None:
    """Found a mesh, enter one, or start this peer again.

    INVITE is what `meshnode invite` printed on another machine; `-` reads it from standard input. Without it, and
    without --new, the peer comes back to the mesh that it belongs to. It runs until Ctrl-C, `meshnode stop` or
    SIGTERM, and then finishes the frames in hand; a second Ctrl-C ends it at once.
    """
    if sum(one is not None for one in (invite, found, invite_file)) > 1:
        raise UsageError("an invite, --invite-file and --new exclude each other")
    if no_render and slots is not None:
        raise UsageError("--no-render and --slots exclude each other")
    plan = compose.Plan(
        home=caller.home,
        found=None if found is None else called("--new", found),
        invite=_token(invite, invite_file),
        name=None if name is None else called("--name", name),
        slots=0 if no_render else slots,
        listen=tuple(dict.fromkeys(map(listen_address, listen))),
        peers=tuple(dict.fromkeys(map(peer_address, peers))),
        beacon=not no_beacon,
        timings=None if timings is None else Path(timings).absolute(),
        tape=None if tape is None else Path(tape).absolute(),
    )
    if background:
        _in_background(plan, caller)
    else:
        unused = plan.invite is not None and compose.is_member(plan.home)
        compose.run_peer(plan, lambda status: say_ready(caller, ready(status, unused=unused)), _say)


def _in_background(plan: compose.Plan, caller: Caller) -> None:
    """Start a peer that runs on, and say what it would have said in the foreground."""
    said = start(plan)
    say_ready(caller, said)
    for trouble in filter(None, (said["thrown_out"], said["cloned"])):
        _say(trouble)
    for problem in unreached(plan, caller.client()):
        _say(problem)


def unreached(plan: compose.Plan, client: Client) -> list[str]:
    """Return what a peer in the background found out about the addresses that it was given, within five seconds."""
    if not plan.peers:
        return []
    rows: list[BootstrapRow] = []
    until_s = time.monotonic() + VERDICTS_S
    while time.monotonic() < until_s:
        status: StatusAnswer = client.get("/status")
        rows = status["bootstraps"]
        if all(row["state"] != "untried" for row in rows):
            break
        time.sleep(0.1)
    return [
        f"--peer {row['address']}: that is this peer itself"
        if row["error"] == "DialledSelf"
        else f"no peer of this mesh at {row['address']} yet ({row['problem']}); it is tried again and again"
        for row in rows
        if row["state"] == "unreached"
    ]


def called(option: str, name: str) -> str:
    """Read what a mesh or a peer shall be called; raise UsageError for what nobody could read in a line."""
    plain = name.strip()
    if not plain or plain != printable.line(plain) or len(plain.encode()) > NAME_MAX_BYTES:
        raise UsageError(f"{option}: a name is one line of 1 to {NAME_MAX_BYTES} bytes, without control characters")
    return plain


def address(text: str) -> tuple[str, int]:
    """Read `ADDR`, `ADDR:PORT`, `:PORT`, `[IPV6]` or `[IPV6]:PORT`; raise UsageError for anything else."""
    host, colon, port = text.rpartition(":")
    bare = not colon or (":" in host and not host.endswith("]"))
    if bare:
        host, port = text, "0"
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not port.isdecimal() or int(port) > 65_535 or (":" in host and not _is_ipv6(host)):
        raise UsageError(f"{text}: write an address, :PORT or both, such as 192.168.1.5:40001")
    if not bare and not int(port):
        raise UsageError(f"{text}: no peer listens on port 0; leave the port out, or name one from 1 to 65535")
    return host, int(port)


def listen_address(text: str) -> tuple[str, int]:
    """Read what `address` reads, for `--listen`; raise UsageError for anything else, and where nothing is said."""
    host, port = address(text)
    if not host and not port:
        raise UsageError("--listen is empty: write ADDR, :PORT or ADDR:PORT; without the option it is every address")
    return host, port


def _is_ipv6(host: str) -> bool:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True


def peer_address(text: str) -> tuple[str, int]:
    """Read `HOST`, `HOST:PORT`, `[IPV6]` or `[IPV6]:PORT`; raise UsageError for anything else."""
    from mesh.wire.messages import Address

    try:
        host, port = address(text)
        Address(host=host, port=port or 1)
    except (UsageError, ValueError) as error:
        raise UsageError(f"--peer {text}: write HOST or HOST:PORT, such as 192.168.1.5:40001") from error
    return host, port


def _token(argument: str | None, path: str | None) -> str | None:
    if path is not None:
        with Path(path).open("rb") as file:
            return _text(file.read(TOKEN_MAX_BYTES + 1), path)
    if argument == "-":
        if sys.stdin.isatty():
            output.notice("Paste the invite, then press Enter and Ctrl-D.")
        return _text(sys.stdin.buffer.read(TOKEN_MAX_BYTES + 1), "standard input")
    return argument


def _text(data: bytes, where: str) -> str:
    text = data.decode("ascii", "replace").strip()
    if not text or len(data) > TOKEN_MAX_BYTES:
        raise UsageError(f"{where} holds no invite")
    return text


def ready(status: StatusAnswer, *, unused: bool = False) -> dict[str, Any]:
    """Return what a peer says when it is ready, as JSON; `unused`: it was given an invite and is a member already.

    Raises `ThrownOut` where it is none any more: whoever gave it an invite waits for it to come back by that.
    """
    if unused and status["thrown_out"]:
        raise ThrownOut(f"the invite was not used: {status['thrown_out']}")
    (me,) = (peer for peer in status["peers"] if peer["me"])
    return {
        "event": "ready",
        "id": status["id"],
        "name": status["name"],
        "mesh": status["mesh"],
        "mesh_name": status["mesh_name"],
        "home": status["home"],
        "process": os.getpid(),
        "addresses": status["addresses"],
        "slots": me["slots"],
        "engines": me["engines"],
        "paused": status["paused"],
        "thrown_out": status["thrown_out"],
        "cloned": status["cloned"],
        "invite_unused": unused,
    }


def _say(text: str) -> None:
    """Print what a peer tells its person on the way: parts of it others wrote."""
    # A terminal has echoed the ^C that may have led here.
    output.notice(("\r" if is_terminal() else "") + printable.line(text))


def say_ready(caller: Caller, said: dict[str, Any]) -> None:
    """Print the one line that says that the peer is ready."""
    if caller.as_json:
        output.say_json(said)
    else:
        said = printable.every_text(said, printable.line)
        mesh = f" in mesh {output.bold(said['mesh_name'])}" if said["mesh_name"] else ""
        how = output.bad("shut out") if said["thrown_out"] else output.good("ready")
        parts = [f"{how}: {output.bold(said['name'])} ({words.short(said['id'])}){mesh}"]
        if said["slots"] and not said["thrown_out"]:
            # Versions without their builds, so that the line fits a terminal.
            parts += [words.count(said["slots"], "slot"), *(one.partition(" (")[0] for one in said["engines"])]
        else:
            parts.append("renders nothing" if said["engines"] or said["thrown_out"] else "no engine yet")
        output.say(", ".join([*parts, *said["addresses"][:1]]))
        if said["invite_unused"]:
            output.notice("It is a member of this mesh already: the invite was not used.")
        if (pause := said["paused"]) is not None:
            ended = words.paused(pause["since_at_ms"], pause["until_at_ms"])
            output.notice(f"It renders nothing: {ended}; `meshnode resume` ends it.")
        if not said["engines"] and not said["thrown_out"]:
            output.notice("To render, and to read scenes that are submitted here: meshnode engine install blender")
    sys.stdout.flush()
