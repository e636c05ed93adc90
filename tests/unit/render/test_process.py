"""A child's end is noticed and bounded, whoever holds on to what it had."""

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import cast

import pytest
import trio
import trio.testing

from mesh.ports.renderer import RendererHung
from mesh.render import process
from mesh.render.blender import session
from mesh.render.channel import Channel

ESCAPED = """
import socket, subprocess, sys
left = subprocess.Popen(["sleep", "60"], start_new_session=True)
print(left.pid, flush=True)
socket.socket(fileno=int(sys.argv[-1])).recv(1)
"""
"""A child that leaves a process with its output in a group of its own, and ends with its channel."""

NO_PROCESS = 2**30
"""Higher than any process id that the system gives."""

SOON_S = 5.0


STAGE = """
import socket, sys, time
node = socket.socket(fileno=int(sys.argv[-1]))
node.sendall(b'{"is": "hello", "version": [4, 2, 23]}\\n')
work = node.recv(1000)
while time.process_time() < 3 and b"compute" in work:
    pass
if b"print" in work:
    print("No space left on device", flush=True)
if b"sleep" in work:
    time.sleep(60)
node.sendall(b'{"is": "done"}\\n')
node.recv(1)
"""
"""A stage that says nothing while it works: it computes for some seconds, or it sleeps."""

SILENCE_MS = 1_000


async def worked(what: str) -> dict[str, object]:
    made = session.Session(process.start([sys.executable, "-I", "-c", STAGE]), "the child")
    try:
        await made.hello()
        with trio.fail_after(10 * SOON_S):
            return await made.ask(SILENCE_MS, do=what)
    finally:
        await made.child.aclose()


def test_a_silent_stage_that_computes_has_not_hung() -> None:
    """Cycles denoises a file without letting any thread of the stage speak."""
    assert trio.run(worked, "compute") == {"is": "done"}


def test_a_silent_stage_that_does_nothing_has_hung() -> None:
    with pytest.raises(RendererHung, match="showed no life for 1 s"):
        trio.run(worked, "sleep")


def test_what_a_stage_printed_before_its_answer_is_in_the_log_though_its_reader_is_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else the next frame is blamed for the disk that this one found full."""
    goes_on, drain = threading.Event(), process.Child._drain

    def drain_later(child: process.Child) -> None:
        goes_on.wait()
        drain(child)

    async def main() -> tuple[str, str]:
        made = session.Session(process.start([sys.executable, "-I", "-c", STAGE]), "the child")
        try:
            await made.hello()
            await made.ask(SILENCE_MS, do="print")
            before, place = made.child.log.since(), made.child.log.place()
            goes_on.set()
            await made.child.aclose()
            return before, made.child.log.since(place)
        finally:
            goes_on.set()
            await made.child.aclose()

    monkeypatch.setattr(process.Child, "_drain", drain_later)
    assert trio.run(main) == ("No space left on device\n", "")


def test_a_process_that_left_the_group_with_the_childs_output_holds_nobody() -> None:
    async def main() -> tuple[int | None, str]:
        child = process.start([sys.executable, "-I", "-c", ESCAPED])
        while not child.log.since():  # noqa: ASYNC110 (the log is filled by a thread)
            await trio.sleep(0.01)
        with trio.fail_after(SOON_S):
            await child.aclose()
            return await child.exit_code(), child.log.since()

    code, log = trio.run(main)
    os.kill(int(log), signal.SIGKILL)
    assert code == 0


def test_the_last_words_of_a_child_are_kept() -> None:
    async def main() -> tuple[int | None, str]:
        child = process.start(["/bin/sh", "-c", "echo last words; exit 3"])
        with trio.fail_after(SOON_S):
            code = await child.exit_code()
            await child.aclose()
            return code, child.log.since()

    assert trio.run(main) == (3, "last words\n")


class Undead:
    """A process that no signal ends, as one is that waits for a disk that is gone."""

    def __init__(self) -> None:
        self.pid = NO_PROCESS
        self.returncode: int | None = None
        self.over = threading.Event()
        reading, self.writing = os.pipe()
        self.stdout = os.fdopen(reading, "rb", buffering=0)

    def wait(self) -> int:
        self.over.wait()
        os.close(self.writing)
        return 0


def test_a_process_that_cannot_be_ended_is_given_up(tmp_path: Path) -> None:
    undead = Undead()

    async def main() -> int | None:
        ours, theirs = socket.socketpair()
        with theirs:
            child = process.Child(cast("subprocess.Popen[bytes]", undead), Channel(ours), tmp_path / "private")
            await child.aclose()
            assert trio.current_time() < 2 * process.CLOSE_S
            return await child.end()

    try:
        assert trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0.01)) is None
    finally:
        undead.over.set()
