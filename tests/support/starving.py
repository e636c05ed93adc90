"""Processes that the kernel itself kills for want of memory, in a control group that a test makes; takes root."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_ROOMS = (
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
    (Path("/sys/fs/cgroup"), "memory.max"),
)
"""Where groups are made, and the file of their limit: the first version of control groups, then the second."""

_LEFT_BYTES = 1 << 20
"""What a process may still take: what it has is counted where it took it."""


@contextmanager
def starving_group(name: str) -> Iterator[Path]:
    """Yield a group of which each process is killed at its next need of memory; gone again when these are."""
    for room, limit in _ROOMS:
        group = room / name
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            if (group / limit).exists():
                (group / limit).write_text(str(_LEFT_BYTES), encoding="ascii")
                yield group
                return
        finally:
            group.rmdir()
    pytest.skip("no control group with a memory limit can be made here: that takes root on Linux")


def starve(group: Path, pid: int) -> None:
    """Move a process into the group."""
    (group / "cgroup.procs").write_text(str(pid), encoding="ascii")
