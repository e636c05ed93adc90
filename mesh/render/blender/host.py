"""What the inner half asks of the operating system: its memory, its processor time, and an end with its node.

This module runs inside Blender only. Linux has the means; elsewhere the channel's end of file alone ends the stage.
"""

import ctypes
import os
import signal
import sys
import time

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Ask the system to kill this process with the thread that started it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def memory_bytes() -> int:
    """Give the resident memory of this process, or 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def processor_ms() -> int:
    """Give the processor time that all threads of this process used."""
    return int(time.process_time() * 1000)
