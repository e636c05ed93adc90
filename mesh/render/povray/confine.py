"""Keep a program inside its directories, by Landlock, which any process may ask of Linux since 5.13.

POV-Ray has restrictions of its own (povray.conf), but the build that Debian ships (3.7.0.10) takes none of them: any
value of `[File I/O Security]` lets a scene read whatever its user can. A scene's names are checked before, yet its
language can compute names. So the system itself denies what is not named here.

This module runs beside the program, in a process of one thread, and imports nothing of `mesh`.
"""

import ctypes
import os
import stat
import struct
from collections.abc import Iterable

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION = 1
_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14
_FILE_RIGHTS = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
_READING = _EXECUTE | _READ_FILE | _READ_DIR
_RIGHTS_SINCE = ((1, 13), (2, 14), (3, 15), (5, 16))
"""(version, how many rights it knows): what a kernel does not know of, it must not be asked to handle."""

_TCP_RIGHTS = 0b11
_TCP_SINCE = 4

SYSTEM = (
    *("/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/local/lib", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache"),
    "/usr/share/fonts",
)
"""Where a program's shared libraries are, and fonts, to which links in its own includes lead."""

_DEVICES = ("/dev/null", "/dev/urandom")


class CannotConfine(Exception):
    """This system has no means to keep a program inside its directories."""


def wall(readable: Iterable[str], writable: Iterable[str]) -> int:
    """Make a wall for `stand_behind` and return its descriptor: what is below these paths stays reachable.

    Raises CannotConfine, OSError.
    """
    version = _call(_CREATE_RULESET, None, 0, _ASK_VERSION)
    if version < 1:
        raise CannotConfine("this system cannot keep POV-Ray inside a scene's files (Landlock: Linux 5.13 or newer)")
    handled = (1 << max(count for since, count in _RIGHTS_SINCE if since <= version)) - 1
    attributes = struct.pack("QQ", handled, _TCP_RIGHTS)[: 16 if version >= _TCP_SINCE else 8]
    ruleset = _checked(_call(_CREATE_RULESET, attributes, len(attributes), 0))
    for path in (*SYSTEM, *readable):
        _allow(ruleset, path, _READING & handled)
    for path in writable:
        _allow(ruleset, path, handled)
    for path in _DEVICES:
        _allow(ruleset, path, (_READ_FILE | _WRITE_FILE) & handled)
    return ruleset


def stand_behind(ruleset: int) -> None:
    """Put this process and all that it starts behind a wall, for good. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no_new_privs")
    _checked(_call(_RESTRICT_SELF, ruleset, 0))


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            rights &= _FILE_RIGHTS
        _checked(_call(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, place), 0))
    finally:
        os.close(place)


def _call(number: int, *arguments: "int | bytes | None") -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    words = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    return int(libc.syscall(ctypes.c_long(number), *words))


def _checked(outcome: int) -> int:
    if outcome < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return outcome
