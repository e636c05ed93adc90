"""A peer that runs on when its command has returned.

Theory: the peer is started as a process of its own, in a session of its own, with the very command that a person would
type; it prints its one line of JSON when ready, which is what the parent waits for. What it says afterwards goes to a
log in its home. The invite is handed over on standard input, since everybody may read the list of processes.
"""

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from mesh.cli import compose
from mesh.cli.client import answered
from mesh.ground.errors import MeshError

LOG_MAX_BYTES: Final = 4 * 1024 * 1024
"""A log that has grown beyond this is begun anew at the next start."""

TAIL_BYTES: Final = 8 * 1024


class StartFailed(MeshError):
    """The peer ended before it was ready. Start it without `--background` to see more."""

    exit_code = 6


def arguments(plan: compose.Plan) -> list[str]:
    """Return the command line that runs the plan in the foreground."""
    words = ["--home", str(plan.home), "--json"]
    if plan.found is not None:
        words += ["--new", plan.found]
    if plan.name is not None:
        words += ["--name", plan.name]
    if plan.slots is not None:
        words += ["--slots", str(plan.slots)] if plan.slots else ["--no-render"]
    for listen in plan.listen:
        words += ["--listen", _written(*listen)]
    for peer in plan.peers:
        words += ["--peer", _written(*peer)]
    if not plan.beacon:
        words += ["--no-beacon"]
    if plan.timings is not None:
        words += ["--timings", str(plan.timings)]
    if plan.tape is not None:
        words += ["--tape", str(plan.tape)]
    return ["join", *words, *([] if plan.invite is None else ["-"])]


def _written(host: str, port: int) -> str:
    plain = f"[{host}]" if ":" in host else host
    return f"{plain}:{port}" if port else plain


def start(plan: compose.Plan) -> dict[str, Any]:
    """Start the peer and return its line of JSON when it is ready.

    Raises the error that ended it before, or `StartFailed`.
    """
    plan.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = plan.home / "peer.log"
    begin = _begin(log)
    with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as errors:
        peer = subprocess.Popen(
            [sys.executable, "-m", "mesh.cli", *arguments(plan)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
    assert peer.stdin is not None
    assert peer.stdout is not None
    try:
        with suppress(BrokenPipeError), peer.stdin as stdin:
            stdin.write((plan.invite or "").encode())
        with peer.stdout as stdout:
            line = stdout.readline()
    except BaseException:
        peer.terminate()
        raise
    said: dict[str, Any] = json.loads(line) if line else {}
    if said.get("event") == "ready":
        return said
    code = peer.wait()
    if "error" in said:
        raise answered(said)
    with log.open("rb") as text:
        text.seek(max(begin, log.stat().st_size - TAIL_BYTES))
        tail = text.read(TAIL_BYTES).decode("utf-8", "replace").strip().splitlines()
    raise StartFailed(f"exit code {code}; {' | '.join(tail[-3:]) or 'it said nothing'} (all of it in {log})")


def _begin(log: Path) -> int:
    """Return how long the log is, begun anew if it has grown too long."""
    try:
        length = log.stat().st_size
    except FileNotFoundError:
        return 0
    if length > LOG_MAX_BYTES:
        log.unlink()
        return 0
    return length
