"""What only POSIX systems have: process groups, priorities, memory limits, locked files.

Everything of `mesh/render` that another platform would do differently is in this one file.
"""

import fcntl
import os
import resource
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

NICENESS = 10
"""Renderers yield to the node: at full load its heartbeats must still leave in time."""

_BACKSTOP_SLACK_BYTES = 1 << 30
"""The stage ends itself above its ceiling; the system's own limit only stops a burst that outruns it."""


def spawn(
    argv: Sequence[str], *, channel: socket.socket, environment: Mapping[str, str], directory: Path
) -> subprocess.Popen[bytes]:
    """Start a program in a process group of its own, with one inherited socket and its output in one pipe.

    It is started from the calling thread, whose end the system may take for the node's: call it from the main one.
    """
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=(channel.fileno(),),
        env=dict(environment),
        cwd=directory,
        start_new_session=True,
    )
    with suppress(OSError):
        os.setpriority(os.PRIO_PGRP, process.pid, NICENESS)
    return process


def is_readable(output: IO[bytes], within_ms: int | None) -> bool:
    """Wait until a pipe has something to read, or has ended; None: for ever."""
    waiting = select.poll()
    waiting.register(output, select.POLLIN)
    return bool(waiting.poll(within_ms))


def limit_memory(pid: int, memory_bytes: int) -> None:
    """Bound what a running process may allocate, where the system can do so from outside."""
    if sys.platform == "linux":
        limit = memory_bytes + memory_bytes // 2 + _BACKSTOP_SLACK_BYTES
        with suppress(OSError):
            resource.prlimit(pid, resource.RLIMIT_DATA, (limit, limit))


def signal_group(pid: int, number: signal.Signals) -> None:
    """Send a signal to a whole process group; does nothing when it is gone."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def group_is_gone(pid: int) -> bool:
    """Say whether no process of a group is left."""
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def is_running(pid: int) -> bool:
    """Say whether a process of this id exists, whoever's it is."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def cores() -> int:
    """Count the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def processor_ms(pid: int) -> int:
    """Give the processor time that a process used, as far as the system tells of others'."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return 0
    return (int(fields[11]) + int(fields[12])) * 1000 // os.sysconf("SC_CLK_TCK")


def memory_kills() -> int:
    """Count the processes that the system killed for want of memory since it started, as far as it tells."""
    try:
        lines = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


@contextmanager
def locked(path: Path) -> Iterator[IO[str]]:
    """Hold a file's exclusive lock, waiting for it; the system drops it when the process ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+", encoding="utf-8") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield stream
