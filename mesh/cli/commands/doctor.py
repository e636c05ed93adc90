"""`meshnode doctor`: what is wrong here, or on the way to another peer, and what to do about it."""

import time

import click

from mesh.cli import checks, compose, output
from mesh.cli.caller import Caller, home_option, json_option, pass_caller
from mesh.cli.checks import Finding, HostFacts, NotWell, Verdict
from mesh.cli.client import Client
from mesh.cli.commands.engine import engines_here
from mesh.ground.errors import NotRunningError
from mesh.ground.limits import DIALLED_BACK_MS
from mesh.ports.desk import StatusAnswer
from mesh.ports.owner import ReachAnswer

_PAINT = {Verdict.OK: output.good, Verdict.WARN: output.busy, Verdict.BAD: output.bad}


@click.command()
@click.argument("peer", required=False)
@home_option
@json_option
@pass_caller
def command(caller: Caller, peer: str | None) -> int:
    """Look what is wrong with this peer, or with the way to another.

    Without PEER this host is looked at: its disk, settings, clock, engines and limits, its peer, and whether others can
    reach it, which some of them are asked to try. PEER is another peer's name or the beginning of its id: then the way
    to it and back is tried. Whatever is not ok says what to do on this system. Nothing is changed, and what can be seen
    without a running peer is looked at all the same. Ends with 47 if something is bad.
    """
    findings = _of_host(caller) if peer is None else _of_way(caller, peer)
    if caller.as_json:
        output.say_json(
            {
                "worst": checks.worst(findings).value,
                "findings": [
                    {"check": one.check, "verdict": one.verdict.value, "text": one.text, "remedy": one.remedy}
                    for one in findings
                ],
            }
        )
    else:
        for line in _lines(findings):
            output.say(line)
    return NotWell.exit_code if checks.worst(findings) is Verdict.BAD else 0


def _of_host(caller: Caller) -> list[Finding]:
    """Look at this host, and at its peer if it runs."""
    facts = compose.examine(caller.home)
    status: StatusAnswer | None = None
    found: list[Finding] = []
    try:
        client = caller.client()
        status = client.get("/status")
    except NotRunningError:
        pass
    else:
        found = _of_peer(client, facts, status)
    host = [
        checks.disk(facts),
        checks.settings(facts),
        checks.files(facts, status),
        *checks.engines(facts, engines_here(caller)),
    ]
    return [checks.system(facts), checks.peer(facts, status), *found, *host]


def _of_peer(client: Client, facts: HostFacts, status: StatusAnswer) -> list[Finding]:
    """Look at what only a running peer can tell."""
    reached = _reach(client, None)
    return [
        checks.membership(status),
        checks.listening(status, compose.own_answers(status["addresses"])),
        checks.reach(facts, status, reached),
        checks.beacon(facts, status),
        checks.clock(facts, reached),
    ]


def _reach(client: Client, peer: str | None) -> ReachAnswer:
    """Have others dial back; ask once more where all of them had been asked a moment before, as by an earlier look."""
    found: ReachAnswer = client.post("/reach", {"peer": peer})
    if found["reports"] and not any(report["tried"] for report in found["reports"]):
        time.sleep(DIALLED_BACK_MS / 1000)
        found = client.post("/reach", {"peer": peer})
    return found


def _of_way(caller: Caller, peer: str) -> list[Finding]:
    """Look at the way to another peer, and back."""
    client = caller.client()
    reached = _reach(client, peer)
    status: StatusAnswer = client.get("/status")
    (row,) = (one for one in status["peers"] if one["id"] == reached["peer"])
    if row["me"]:
        return _of_host(caller)
    if row["revoked"]:
        return [checks.there(row)]
    facts = compose.examine(caller.home)
    way = [checks.there(row), checks.way_there(reached), checks.way_back(facts, status, reached)]
    return [*way, checks.clock(facts, reached)] if row["connected"] else way


def _lines(findings: list[Finding]) -> list[str]:
    """Lay findings out as a table, remedies below what they mend."""
    wide = max(len(one.check) for one in findings)
    lines = []
    for one in findings:
        indent = " " * (wide + len(output.GAP) + 4 + len(output.GAP))
        first, *rest = output.wrap(one.text, output.width() - len(indent)) or [""]
        state = _PAINT[one.verdict](one.verdict.value) + " " * (4 - len(one.verdict.value))
        lines.append(one.check.ljust(wide) + output.GAP + state + output.GAP + first)
        lines += [indent + more for more in rest]
        for place, more in enumerate(output.wrap(one.remedy, output.width() - len(indent) - 2) if one.remedy else []):
            lines.append(output.dim(indent + ("  " if place else "→ ") + more))
    return lines
