"""Bounds of a tape, on which a peer's core is recorded."""

from typing import Final

TAPE_MAX_BYTES: Final = 256 * 1024 * 1024
"""Of one start of a peer: some hours of a busy one, days of an idle one. What comes later is not recorded."""

TAPES_KEPT: Final = 8
"""Tapes of one peer in one directory, so that one that starts again and again leaves room for others: 2 GiB at most."""

TAPE_HEAD_MAX_BYTES: Final = 64 * 1024
"""What stands first on a tape: two ids, a name, and a chain of four admissions."""

assert TAPE_HEAD_MAX_BYTES < TAPE_MAX_BYTES
