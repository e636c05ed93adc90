#!/usr/bin/env python3
"""Make the environment that the demo, the tests and the other tools run in.

Runs on a bare Python with nothing but the standard library, from a fresh checkout. It makes `.venv`, installs the
project with its developer's tools there, and ends either in a working environment or in a plain sentence with the
exact remedy; a person never has to read a traceback of pip's to know what to type.

Invariants: nothing is installed outside `.venv`; an environment that is up to date costs a few milliseconds (a stamp
holds the hash of pyproject.toml and the Python that made it); two scripts that start at once wait for each other.

The file must stay readable for old Pythons (no match, no `X | Y` at run time), or they would end in a syntax error
instead of the sentence that says which Python to install. It must not import the project: that is not there yet.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "meshnode-stamp"
PACKAGE_LIST = ROOT / "tools" / "system-packages.txt"
OLDEST_PYTHON = (3, 11)
# Measured: the environment takes 0.3 GB, pip's unpacking as much again for a moment, its cache 0.1 GB.
NEEDED_BYTES = 1_000_000_000


class SetupError(Exception):
    """Something outside the project is missing; the text says what, and the remedy what to type."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}\n  To mend it: {remedy}")


class Package(NamedTuple):
    """One line of the list of system packages."""

    name: str
    group: str
    probe: str
    purpose: str


def read_packages(text: str) -> list[Package]:
    """Parse the list of system packages; raise ValueError for a line that is none."""
    packages = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = line.split(maxsplit=3)
        if len(fields) != 4 or ":" not in fields[2]:
            raise ValueError(f"{PACKAGE_LIST.name} line {number}: want package, group, kind:probe and purpose")
        packages.append(Package(*fields))
    return packages


def is_present(probe: str) -> bool:
    """Tell whether the thing that a package brings is on this machine, wherever it came from."""
    kind, _, name = probe.partition(":")
    if kind == "command":
        # The administrator's programs are not on every user's PATH.
        path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
        return shutil.which(name, path=path) is not None
    if kind == "module":
        return importlib.util.find_spec(name) is not None
    if kind == "file":
        return Path(name).exists()
    if kind == "library":
        try:
            ctypes.CDLL(name)
        except OSError:
            return False
        return True
    raise ValueError(f"unknown probe {probe!r}")


def missing_packages(groups: Iterable[str], text: str | None = None) -> list[Package]:
    """List the system packages of these groups whose probe finds nothing; none on systems that are not Linux."""
    if not sys.platform.startswith("linux"):
        return []
    wanted = set(groups)
    packages = read_packages(PACKAGE_LIST.read_text("utf-8") if text is None else text)
    return [package for package in packages if package.group in wanted and not is_present(package.probe)]


def apt_line(packages: Sequence[Package]) -> str:
    """Give the one line that installs these packages on Debian and its kin."""
    sudo = "" if hasattr(os, "geteuid") and os.geteuid() == 0 else "sudo "
    return f"{sudo}apt-get install -y {' '.join(package.name for package in packages)}"


def require_packages(groups: Iterable[str]) -> None:
    """Raise SetupError naming every missing system package of these groups, and the line that installs them."""
    missing = missing_packages(groups)
    if missing:
        listed = "".join(f"\n    {package.name}: {package.purpose}" for package in missing)
        remedy = f"{apt_line(missing)}\n  (other systems: install what holds {', '.join(p.probe for p in missing)})"
        raise SetupError(f"This machine lacks these system packages:{listed}", remedy)


def ask_git(*arguments: str) -> str:
    """Return what git says of this checkout, whoever owns it. Raises SetupError."""
    require_packages(["test"])
    command = ["git", "-c", "safe.directory=*", *arguments]
    asked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if asked.returncode != 0:
        said = asked.stderr.strip().splitlines()[-1:] or [f"exit code {asked.returncode}"]
        raise SetupError(f"git does not know {ROOT}: {said[0]}", "run the tests in a clone that has a commit")
    return asked.stdout


def require_python() -> None:
    """Raise SetupError when this Python is too old, naming a newer one if the machine has it."""
    if sys.version_info >= OLDEST_PYTHON:
        return
    wanted, have = ".".join(map(str, OLDEST_PYTHON)), ".".join(map(str, sys.version_info[:2]))
    for minor in range(OLDEST_PYTHON[1], OLDEST_PYTHON[1] + 6):
        newer = f"python3.{minor}"
        if shutil.which(newer):
            raise SetupError(f"Python {wanted} is needed, this is {have}.", f"{newer} {' '.join(sys.argv)}")
    raise SetupError(
        f"Python {wanted} is needed, this is {have}.",
        f"install Python {wanted} or newer (Debian 12: apt-get install python3) and start this with it",
    )


def require_space(directory: Path, needed_bytes: int) -> None:
    """Raise SetupError when the disk of a directory has fewer free bytes than needed."""
    free = shutil.disk_usage(directory).free
    if free < needed_bytes:
        raise SetupError(
            f"The disk of {directory} has {free / 1e9:.1f} GB free; {needed_bytes / 1e9:.1f} GB are needed.",
            "free some space, or put the checkout on a larger disk",
        )


def venv_python(venv: Path = VENV) -> Path:
    """Give the path of an environment's Python."""
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def fingerprint() -> str:
    """Name what the environment was made from: when this changes, it is brought up to date."""
    # The place too: an environment that was moved or copied points at its old one.
    made_from = [(ROOT / "pyproject.toml").read_bytes(), str(ROOT).encode()]
    return hashlib.sha256(b"\0".join(made_from)).hexdigest()


@contextlib.contextmanager
def held_lock(path: Path) -> Iterator[None]:
    """Hold a file lock, so that two scripts started together do not install into one environment at once."""
    try:
        import fcntl
    except ImportError:  # a system without it: two at once are then the person's own doing
        yield
        return
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another script is making the environment; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def prepare() -> Path:
    """Make `.venv` or bring it up to date, and return its Python; raise SetupError with the remedy if that fails."""
    require_python()
    python = venv_python()
    if is_up_to_date():
        return python
    require_packages(["python"])
    require_space(ROOT, NEEDED_BYTES)
    with held_lock(ROOT / ".venv.lock"):
        if is_up_to_date():
            return python
        say(f"making the environment {VENV} (once; about a minute)")
        if not _works(python):
            run_logged([sys.executable, "-m", "venv", "--clear", str(VENV)], "make an empty environment")
        run_logged(
            [str(python), "-m", "pip", "install", "--no-input", "--progress-bar", "off", "-e", f"{ROOT}[dev]"],
            "install the project and its tools",
        )
        STAMP.write_text(fingerprint(), "utf-8")
        say("the environment is ready")
    return python


def is_up_to_date() -> bool:
    """Tell whether the environment was made from this project as it stands, in this place."""
    try:
        return STAMP.read_text("utf-8") == fingerprint() and venv_python().exists()
    except OSError:
        return False


def _works(python: Path) -> bool:
    """Tell whether an environment's Python starts, can install and is new enough: else it is made afresh."""
    asked = f"import pip, sys; sys.exit(sys.version_info < {OLDEST_PYTHON})"
    try:
        done = subprocess.run([str(python), "-c", asked], capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


# What pip says, as (what its output holds, what that means, what to do about it); the first that fits is told.
PIP_TROUBLES = (
    (r"No space left on device", "The disk is full.", "free some space and start this again"),
    (
        (
            r"(NewConnectionError|Failed to establish a new connection|name resolution|ConnectTimeout|ReadTimeout|"
            r"Connection (refused|reset)|Network is unreachable|ProxyError|RemoteDisconnected)"
        ),
        "The Python Package Index cannot be reached.",
        "check the network (or HTTPS_PROXY, or pip's own settings) and start this again; what was fetched is kept",
    ),
    (
        r"(CERTIFICATE_VERIFY_FAILED|SSLError)",
        "The Python Package Index's certificate was not accepted.",
        "install ca-certificates and set the clock; behind a proxy that opens TLS, set PIP_CERT to its certificate",
    ),
    (
        r"(No matching distribution found for|Could not find a version that satisfies the requirement) *(?P<name>\S*)",
        "The Python Package Index has no package that fits this Python and system: {name}",
        "use CPython 3.11 to 3.13 on Linux (x86-64 or ARM64) or macOS, for which there are wheels of everything",
    ),
    (r"Permission denied", "pip may not write where it must.", "make the checkout's folder writable for you"),
)


def explain_pip(output: str) -> tuple[str, str]:
    """Turn pip's output into what happened and what to do, both in plain language."""
    for pattern, what, remedy in PIP_TROUBLES:
        found = re.search(pattern, output)
        if found:
            return what.format(**found.groupdict()), remedy
    return "A step ended in an error that is not one of the usual ones.", "read the lines above, and the log"


def run_logged(command: Sequence[str], purpose: str) -> None:
    """Run one step, show its progress in short lines, keep what it printed if it fails: SetupError tells."""
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONUNBUFFERED": "1"}
    # A user's site directory or path would let packages of another environment answer for ours.
    for name in ("PYTHONPATH", "PYTHONHOME", "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_REQUIRE_VIRTUALENV"):
        environment.pop(name, None)
    lines: list[str] = []
    show = Progress(purpose, sys.stderr)
    with subprocess.Popen(
        list(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment,
    ) as process:
        for line in process.stdout or ():
            lines.append(line)
            show.line(line)
    show.end()
    if process.returncode != 0:
        log_path = ROOT / ".venv.log"
        log_path.write_text("".join(lines), "utf-8")
        what, remedy = explain_pip("".join(lines))
        errors = [line for line in lines if line.lstrip().upper().startswith("ERROR")]
        tail = "".join("    " + line.lstrip() for line in (errors[-3:] or lines[-10:]))
        raise SetupError(f"Could not {purpose}. {what}\n{tail}  The whole log: {log_path}", remedy)


class Progress:
    """One line on a terminal that says what pip is at, or a short line a package where there is no terminal."""

    TOLD = re.compile(r"^\s*(Collecting|Downloading|Building|Installing|Preparing)\s+(\S+)")

    def __init__(self, purpose: str, out: IO[str]) -> None:
        self._purpose, self._out, self._live, self._seen = purpose, out, out.isatty(), 0
        say(f"  {purpose} ...")

    def line(self, line: str) -> None:
        """Take one line of the step's output."""
        told = self.TOLD.match(line)
        if told is None:
            return
        self._seen += told[1] == "Collecting"
        if self._live:
            columns = shutil.get_terminal_size().columns - 1
            text = f"    [{self._seen:2}] {told[1].lower()} {told[2]}"[:columns]
            self._out.write("\r" + text.ljust(columns))
            self._out.flush()
        elif told[1] == "Downloading":
            say(f"    {line.strip()}")

    def end(self) -> None:
        """Clear the line."""
        if self._live:
            self._out.write("\r" + " " * (shutil.get_terminal_size().columns - 1) + "\r")
            self._out.flush()


def say(text: str) -> None:
    """Tell the person something, beside the script's own output."""
    print(text, file=sys.stderr, flush=True)


def fail(error: SetupError) -> NoReturn:
    """Tell the person what is missing and what to do, and end with exit code 2."""
    say(f"\n{error}")
    raise SystemExit(2)


def enter(script: str, groups: Iterable[str] = ()) -> None:
    """Come back only inside the project's environment: make it if need be, then start the script again in it.

    To be called by a script before it imports anything that is not in the standard library. Groups are those of the
    list of system packages that the script cannot do without. What is missing ends the process with the remedy.
    """
    try:
        if Path(sys.prefix).resolve() == VENV.resolve() and is_up_to_date():
            require_packages(groups)
            return
        python = prepare()
        require_packages(groups)
    except SetupError as error:
        fail(error)
    command = [str(python), str(Path(script).resolve()), *sys.argv[1:]]
    if os.name == "nt":  # exec there returns to the shell before the new process ends
        raise SystemExit(subprocess.run(command, check=False).returncode)
    os.execv(command[0], command)


def main() -> None:
    """Make the environment and say where its Python is."""
    parser = argparse.ArgumentParser(description="Make the environment that demo and tests run in.")
    parser.add_argument(
        "--need", action="append", default=[], metavar="GROUP", help="also check this group of system packages"
    )
    options = parser.parse_args()
    try:
        python = prepare()
        require_packages(options.need)
    except SetupError as error:
        fail(error)
    print(python)


if __name__ == "__main__":
    main()
