"""`meshnode status`: this peer, the others, and the jobs, on one screen."""

from typing import Final

import click

from mesh.cli import output, words
from mesh.cli.caller import Caller, home_option, in_path, json_option, pass_caller
from mesh.cli.commands.store import stored, troubles
from mesh.cli.jobrows import job_table
from mesh.cli.output import Column
from mesh.ports.desk import StatusAnswer
from mesh.ports.roster import PeerAnswer, PeerRow

JOBS_MOST = 8
"""Jobs that still run come first; `meshnode jobs` has the rest."""

LOOKED_UP_S: Final = 30.0
"""A look-up among many peers, many of them dead, takes some seconds."""


@click.command()
@click.argument("peer", required=False)
@home_option
@json_option
@pass_caller
def command(caller: Caller, peer: str | None) -> None:
    """Show this peer, the others, and the jobs.

    With PEER it shows where that peer is and what it can do. PEER is a name, an id, or the beginning of
    one; of a peer that this one never met, the whole id.
    """
    if peer is not None:
        answer: PeerAnswer = caller.client().get(f"/peers/{in_path(peer)}", wait_s=LOOKED_UP_S)
        if caller.as_json:
            output.say_json(answer)
            return
        for line in one(answer):
            output.say(line)
        return
    status: StatusAnswer = caller.client().get("/status")
    if caller.as_json:
        output.say_json(status)
        return
    without_room = troubles(status["store"]["full"], status["store"]["no_room"])
    for trouble in (status["thrown_out"], status["cloned"], *without_room):
        if trouble:
            output.warning(trouble)
    for line in [*_head(status), "", *_peers(status), *_jobs(status)]:
        output.say(line)


def one(answer: PeerAnswer) -> list[str]:
    """Say what is known of one peer, at first hand and by the DHT."""
    seen, told = answer["seen"], answer["told"]
    name = (seen["name"] if seen else "") or (told["name"] if told else "")
    facts = [("id", answer["id"])]
    facts.append(("here", f"{_state(seen)}  {', '.join(seen['addresses'])}" if seen else "never met"))
    if told is None:
        facts.append(("DHT", _untold(seen)))
    else:
        stopping = output.busy("  about to stop") if told["draining"] else ""
        facts += [
            ("DHT", f"{', '.join(told['addresses'])}; until {words.moment(told['expires_at_ms'])}"),
            ("slots", f"{told['busy']} of {told['slots']} busy{stopping}"),
            ("host", f"{words.count(told['cores'], 'core')}, {words.size(told['memory_mb'] << 20)} of memory"),
        ]
    return [output.bold(words.called(name, answer["id"])), *output.facts(facts)]


def _untold(seen: PeerRow | None) -> str:
    """Say why the DHT has nothing of a peer."""
    if seen is not None and seen["revoked"]:
        return "nothing: it was revoked"
    if seen is not None and seen["me"]:
        return "nothing yet: other peers keep it, once this one has been connected with some for a minute"
    return "nothing: it is away, or joined less than a minute ago"


def _head(status: StatusAnswer) -> list[str]:
    state = output.busy("  about to stop") if status["draining"] else ""
    if (pause := status["paused"]) is not None:
        state += output.busy(f"  {words.paused(pause['since_at_ms'], pause['until_at_ms'])}")
    title = f"{output.bold(status['name'])}  {output.dim(words.short(status['id']))}{state}"
    expires = words.moment(status["membership_expires_at_ms"])
    return [
        title,
        *output.facts(
            [
                ("mesh", _mesh(status)),
                ("roles", f"{', '.join(status['roles'])}; until {expires}"),
                ("listening", ", ".join(status["addresses"])),
                ("looking for", "; ".join(_unreached(status))),
                ("store", stored(status["stored_bytes"], status["free_bytes"], status["store"]["quota_bytes"])),
                ("home", status["home"]),
                ("renders", "; ".join(_renders(status))),
                ("to update", _behind(status["peers"])),
            ]
        ),
    ]


def _behind(peers: list[PeerRow]) -> str:
    """Name the connected peers that speak an older version of the wire than another one does, this one among them."""
    here = [peer for peer in peers if peer["connected"] and peer["wire"]]
    newest = max((peer["wire"] for peer in here), default=0)
    behind = [words.called(peer["name"], peer["id"]) for peer in here if peer["wire"] < newest]
    return f"{', '.join(behind)}: others run a newer version" if behind else ""


def _mesh(status: StatusAnswer) -> str:
    name, short = status["mesh_name"], output.dim(words.short(status["mesh"]))
    return f"{name}  {short}" if name else short


def _unreached(status: StatusAnswer) -> list[str]:
    """Say of each address that this peer was given, and that leads nowhere, why."""
    rows = [row for row in status["bootstraps"] if row["state"] != "reached"]
    return [f"{row['address']} ({row['problem'] or 'not tried yet'})" for row in rows]


def _renders(status: StatusAnswer) -> list[str]:
    """Say what this host renders now."""
    names = {job["id"]: job["name"] for job in status["jobs"]}
    return [
        f"{names.get(one['job'], words.short(one['job']))} frame {one['frame']}"
        + (f", {words.area(one['region'])}" if one["region"] else "")
        + (f", sample {one['sample']}" if one["sample"] else "")
        for one in status["renders"]
    ]


def _peers(status: StatusAnswer) -> list[str]:
    columns = (
        Column(title="PEER", gives=True),
        Column(title="ID"),
        Column(title="STATE"),
        Column(title="BUSY", right=True),
        Column(title="PING", right=True),
        Column(title="ENGINES", gives=True),
    )
    rows = []
    for peer in status["peers"]:
        ping = peer["round_trip_ms"]
        rows.append(
            (
                words.called(peer["name"], peer["id"]),
                words.short(peer["id"]),
                _state(peer),
                f"{peer['busy']}/{peer['slots']}" if peer["slots"] else "–",
                f"{ping} ms" if ping is not None else "–",
                ", ".join(peer["engines"]) or "–",
            )
        )
    return output.table(columns, rows)


def _state(peer: PeerRow) -> str:
    if peer["revoked"]:
        return output.bad("revoked")
    if not peer["connected"]:
        return output.bad("away")
    if peer["paused"] and not peer["draining"]:
        return output.busy("paused")
    if peer["me"]:
        return output.good("here")
    return output.busy("stopping") if peer["draining"] else output.good("connected")


def _jobs(status: StatusAnswer) -> list[str]:
    jobs = sorted(status["jobs"], key=lambda job: job["state"] in ("sealed", "cancelled"))
    if not jobs:
        return ["", output.dim("No jobs yet. `meshnode submit shot.blend` makes one.")]
    lines = ["", *job_table(jobs[:JOBS_MOST])]
    if len(jobs) > JOBS_MOST:
        lines.append(output.dim(f"and {words.count(len(jobs) - JOBS_MOST, 'more job')}: `meshnode jobs`"))
    return lines
