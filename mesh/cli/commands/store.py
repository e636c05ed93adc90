"""`meshnode store`: what this peer stores, for whom, and what could go."""

import re
from typing import Final

import click

from mesh.cli import output, words
from mesh.cli.caller import Caller, home_option, json_option, pass_caller
from mesh.cli.output import Column
from mesh.ground.errors import UsageError
from mesh.ports.stores import BoundRow, FreeAnswer, NoRoomRow, StoreAnswer

FREE_S: Final = 600.0
"""Thousands of files are deleted, each for good before the next."""

ROT_MOST: Final = 4
"""Rotten pieces that are named; all are in the JSON."""

_UNITS = {"M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def size_bytes(option: str, text: str) -> int:
    """Read a size such as `500M`, `20G` or `1.5T`; raise UsageError, naming the option, for anything else."""
    match = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)([MGT])(?:i?B)?", text.strip())
    size = int(float(match[1]) * _UNITS[match[2]]) if match else 0
    if size < 1:
        raise UsageError(f"{option} {text}: write a size such as 500M, 20G or 1.5T")
    return size


@click.command()
@click.option("--free", metavar="SIZE", help="Delete so much cache now, least recently used first: 500M, 20G, 1.5T.")
@home_option
@json_option
@pass_caller
def command(caller: Caller, free: str | None) -> None:
    """Show what this peer stores, for which jobs, and what could go.

    What a job binds stays: scenes that are rendered, kept or not yet at enough others, and frames that this peer has
    promised to keep, until the job's last day. All else is cache. It goes by itself when its room is needed, least
    recently used first, and comes again from other peers when it is. `store_quota_gb` in the settings says how much
    there may be in all.
    """
    client = caller.client()
    if free is not None:
        freed: FreeAnswer = client.post("/store/free", {"bytes": size_bytes("--free", free)}, wait_s=FREE_S)
        if caller.as_json:
            output.say_json(freed)
            return
        output.say(_freed(freed))
        return
    answer: StoreAnswer = client.get("/store")
    if caller.as_json:
        output.say_json(answer)
        return
    for trouble in troubles(answer["store"]["full"], answer["store"]["no_room"]):
        output.warning(trouble)
    for line in [*_head(answer), *_bound(answer["bound"])]:
        output.say(line)


def troubles(full: bool, no_room: list[NoRoomRow]) -> list[str]:
    """Say what a store without room keeps this peer from."""
    found = []
    if full:
        found.append(
            "the store is full and all of it is bound: this peer renders nothing, keeps no further job and takes no "
            "copies. Let it have more (`store_quota_gb` in its settings, or room on its disk)"
        )
    for row in no_room:
        name = words.called(row["job_name"], row["job"])
        found.append(
            f"the scene of {name} has no room here: {words.size(row['lacking_bytes'])} of it are lacking, so that this "
            "peer renders nothing of it"
        )
    return found


def stored(stored_bytes: int, free_bytes: int, quota_bytes: int) -> str:
    """Say how much is stored of how much."""
    quota = f" of {words.size(quota_bytes)}" if quota_bytes else ""
    return f"{words.size(stored_bytes)}{quota}; {words.size(free_bytes)} free"


def _freed(freed: FreeAnswer) -> str:
    if not freed["blobs"]:
        return "Nothing could go: all that is here is bound, or was used a moment ago."
    gone = f"{words.size(freed['freed_bytes'])} in {words.count(freed['blobs'], 'blob')}"
    return f"Freed {gone}; {words.size(freed['stored_bytes'])} are left, and {words.size(freed['free_bytes'])} free."


def _head(answer: StoreAnswer) -> list[str]:
    checked, rotten = answer["checked"], answer["rotten"]
    looked = f"last {words.moment(checked['last_at_ms'])}" if checked["last_at_ms"] is not None else "not begun"
    due = (
        f"; {words.count(checked['due_blobs'], 'blob')} to go"
        if checked["due_blobs"]
        else "; all were checked this week"
    )
    cache = f"{words.size(answer['cache_bytes'])} in {words.count(answer['cache_blobs'], 'blob')}"
    quota_bytes = answer["store"]["quota_bytes"]
    return output.facts(
        [
            ("stored", stored(answer["stored_bytes"], answer["free_bytes"], quota_bytes)),
            ("quota", words.size(quota_bytes) if quota_bytes else "none: all that the disk has but 64 MiB"),
            ("bound", words.size(sum(row["bytes"] for row in answer["bound"]))),
            ("cache", cache if answer["cache_blobs"] else "nothing that could go"),
            ("checked", looked + (due if answer["blobs"] else "")),
            (
                "rot",
                "; ".join(
                    f"{rot['blob'][:12]} piece {rot['piece']}, {words.moment(rot['found_at_ms'])}"
                    for rot in rotten[-ROT_MOST:]
                )
                or "none found",
            ),
        ]
    )


def _bound(rows: list[BoundRow]) -> list[str]:
    if not rows:
        return []
    columns = (
        Column(title="BOUND TO", gives=True),
        Column(title="ID"),
        Column(title="STATE"),
        Column(title="SIZE", right=True),
        Column(title="BLOBS", right=True),
        Column(title="UNTIL"),
    )
    cells = [
        (
            words.called(row["job_name"], row["job"]) if row["job"] else "what is under way",
            words.short(row["job"]) or "–",
            row["state"] or "–",
            words.size(row["bytes"]),
            str(row["blobs"]),
            words.day(row["until_at_ms"]) if row["until_at_ms"] is not None else "–",
        )
        for row in rows
    ]
    return ["", *output.table(columns, cells)]
