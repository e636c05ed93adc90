#!/usr/bin/env python3
"""Measure what a message costs: bytes, signatures, and microseconds to write, read and verify it.

The messages are those that a mesh at work sends most, at sizes that it has; times are the best of several rounds, since
whatever else the machine does only adds. Run in the project's environment.
"""

from __future__ import annotations

import argparse
import json
import sys
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

sys.path[0] = str(Path(__file__).resolve().parents[2])

from mesh.ground.ids import BlobId, Boot, JobId, PublicKey, RecordId
from mesh.ground.instants import WallTime
from mesh.wire import messages
from mesh.wire.envelope import Signed, check, mesh_id, sign, statements
from mesh.wire.members import DEFAULT_ROLES, Admission, Chain
from mesh.wire.messages import Beat, ClaimSent, Entries, Head, Heartbeat, Message, News, OpenTask, Ping, Window
from mesh.wire.records import Claim, EngineId, Entry, Job, Mark, Output, OutputNames, Picture, Result
from mesh.wire.signing import Ed25519Signer, Ed25519Verifier
from mesh.wire.tasks import parse_frames

ROUNDS = 5
ROUND_S = 0.05

ROOT, FOUNDER, PEER = (Ed25519Signer(bytes([number]) * 32) for number in (1, 2, 3))
BOOT = Boot(bytes(16))


class Row(TypedDict):
    """One message's costs; times in microseconds of one core."""

    message: str
    bytes: int
    signatures: int
    write_us: float
    read_us: float
    read_and_verify_us: float


def chain() -> Chain:
    """Return a chain of two: the founder, and the peer that it admitted."""
    return tuple(_admission(signer, key) for signer, key in ((ROOT, FOUNDER.key), (FOUNDER, PEER.key)))


def _admission(signer: Ed25519Signer, subject: PublicKey) -> Signed[Admission]:
    body = Admission(
        mesh=mesh_id(ROOT.key),
        subject=subject,
        roles=int(DEFAULT_ROLES),
        issued=WallTime(0),
        expires=WallTime(2**40),
        invite=None,
    )
    return sign(body, signer)


def job() -> Signed[Job]:
    """Return an animation of 240 frames."""
    body = Job(
        number=1,
        name="shot 40",
        scene=BlobId(bytes(32)),
        engine=EngineId(name="blender", version="4.2.23", build="e5b4f1a"),
        frames=parse_frames("1-240"),
        names=OutputNames(prefix="shot_0040.", digits=4, suffix=".exr"),
        picture=Picture(format="OPEN_EXR", width=1920, height=1080, color_mode="RGBA", depth=16),
        copies=3,
        tries=3,
        submitted=WallTime(2**40),
        last_day=WallTime(2**40),
    )
    return sign(body, PEER)


def samples() -> dict[str, Message]:
    """Return the messages to be measured, by what they are."""
    submitted = job()
    identifier = JobId(submitted.id)
    claims = [sign(Claim(job=identifier, task=task, attempt=1, boot=BOOT, number=task + 1), PEER) for task in range(16)]
    entries = tuple(_result(identifier, claim) for claim in claims)
    mark = sign(Mark(job=identifier, expires=WallTime(2**40)), PEER)
    listed = tuple(OpenTask(task=task, attempt=0) for task in range(64))
    return {
        "ping": Ping(number=1),
        "heartbeat of 2": Heartbeat(
            job=identifier, beats=tuple(Beat(claim=RecordId(claim.id), progress=7) for claim in claims[:2])
        ),
        "window of 64": Window(
            job=identifier,
            open=listed,
            slots=16,
            unclaimed=200,
            running=16,
            counting=20,
            stopped=0,
            safe=18,
            median_ms=30_000,
            ended=False,
        ),
        "claim": ClaimSent(claims=(claims[0],)),
        "one result": Entries(job=identifier, entries=entries[:1], chains=(chain(),)),
        "16 results": Entries(job=identifier, entries=entries, chains=(chain(),)),
        "news of a job": News(
            heads=(Head(job=submitted, chain=chain()),), marks=(mark,) * 3, cancels=(), admissions=()
        ),
    }


def _result(identifier: JobId, claim: Signed[Claim]) -> Signed[Entry]:
    output = Output(blob=BlobId(claim.id), size=9_000_000)
    what = Result(claim=claim, outputs=(output,), render_ms=30_000, log=BlobId(bytes(32)))
    return sign(Entry(job=identifier, boot=BOOT, number=claim.body.number, what=what), PEER)


def best_us(call: Callable[[], object]) -> float:
    """Return the microseconds of one call in the best round."""
    timer = timeit.Timer(call)
    count = max(1, int(ROUND_S / max(timer.timeit(1), 1e-6)))
    return min(timer.repeat(ROUNDS, count)) / count * 1e6


def measured(name: str, message: Message) -> Row:
    """Measure one message."""
    data = messages.encode(message)
    verifier = Ed25519Verifier()
    return {
        "message": name,
        "bytes": len(data),
        "signatures": sum(1 for _ in statements(message)),
        "write_us": round(best_us(lambda: messages.encode(message)), 1),
        "read_us": round(best_us(lambda: messages.decode(data)), 1),
        "read_and_verify_us": round(best_us(lambda: check(messages.decode(data), verifier)), 1),
    }


def main() -> int:
    """Print one row for each message."""
    parser = argparse.ArgumentParser(description="Measure what messages cost on one core.")
    parser.add_argument("--json", action="store_true", help="print one JSON list instead of a table")
    options = parser.parse_args()
    rows = [measured(name, message) for name, message in samples().items()]
    if options.json:
        print(json.dumps(rows, indent=2))
        return 0
    print(f"{'message':16}{'bytes':>8}{'signed':>8}{'write us':>10}{'read us':>10}{'and verify us':>15}")
    for row in rows:
        print(
            f"{row['message']:16}{row['bytes']:>8}{row['signatures']:>8}{row['write_us']:>10}{row['read_us']:>10}"
            f"{row['read_and_verify_us']:>15}"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
