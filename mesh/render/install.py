"""Install the embedded Blender: the `bpy` wheel, pinned by version and hash, in an environment of its own.

Theory: bpy 4.2 LTS repeats its pictures bit for bit, so it is what every peer should have. Its wheel runs on Python
3.11 only and must not share an environment with ours. It is installed once per user into the cache, under a lock, and
counts as installed only when a stamp was written at the very end; whatever lies there without one is built anew.

The steps are done by pip and `venv`, as a person would do them, so that the person's own index settings hold.
"""

import ctypes
import os
import platform
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from mesh.ports.renderer import EngineNotInstalled
from mesh.render import posix

VERSION = "4.2.23"
PINNED = {
    f"bpy=={VERSION}": (
        "9670c0c10b0307e518d4a6b015365a7d7adbfddf99f28889634fe12623ec95ff",  # Linux x86_64, glibc 2.28 and later
        "db4b9debc23dfc358be3a9695bc3cf7eb3a53762575966cd9c57005edd00a922",  # macOS arm64
        "d848bab718f82ce9affff76be10110335ee5143d86146c06b0f581e3b4b734c9",  # macOS x86_64
        "032cce9a931476938ef56865936118998381c68f719b3a1c31a8c4c457f50416",  # Windows x86_64
    ),
    # What bpy imports.
    "numpy==2.4.6": (
        "89cd468399cfd2504718f0ba50e410dca55a170b61a02ad92bb18c8a65186e93",  # Linux x86_64
        "110f8b71aacb688ec69062bb7f6938a0f8acb01b7c1c4beb453c65b6d234584d",  # macOS arm64
        "0280e0356c0829a18d9de1cb7eee50ec22ca639878d7240307ca0943d73cd2c4",  # macOS x86_64
        "1e254a00cdf42b1e4d5b3d68d33af63268d41340d8885df2ab6470f2e1500147",  # Windows x86_64
    ),
    # What the stage reads compressed scenes with.
    "zstandard==0.25.0": (
        "9300d02ea7c6506f00e627e287e0492a5eb0371ec1670ae852fefffa6164b072",  # Linux x86_64
        "a3f79487c687b1fc69f19e487cd949bf3aae653d181dfb5fde3bf6d18894706f",  # macOS arm64
        "933b65d7680ea337180733cf9e87293cc5500cc0eb3fc8769f4d3c88d724ec5c",  # macOS x86_64
        "daab68faadb847063d0c56f361a289c4f268706b598afbf9ad113cbe5c38b6b2",  # Windows x86_64
    ),
}
"""All that runs in the engine's process, with the hashes of its wheels; what else bpy asks for serves its add-ons."""

PYTHON = (3, 11)
NEEDED_BYTES = 2 << 30
"""350 MB of wheel, 970 MB unpacked, and pip's own copy on the way."""

LIBRARIES = {
    "libX11.so.6": "libx11-6",
    "libXrender.so.1": "libxrender1",
    "libXfixes.so.3": "libxfixes3",
    "libXi.so.6": "libxi6",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libSM.so.6": "libsm6",
    "libICE.so.6": "libice6",
    "libGL.so.1": "libgl1",
    "libXext.so.6": "libxext6",
    "libEGL.so.1": "libegl1",
}
"""The shared libraries that bpy loads, and the Debian packages that have them."""

_WHEEL_MB = 350
_UNPACKED_MB = 877
_STAMP = "complete"
_REPORT_S = 3.0
_TRY_S = 60

Say = Callable[[str], None]


def environment(cache: Path) -> Path:
    """Give the directory of the embedded engine's environment, installed or not."""
    return cache / "engines" / f"bpy-{VERSION}"


def embedded_python(cache: Path) -> Path | None:
    """Give the Python that imports the embedded bpy, or None when it is not installed."""
    place = environment(cache)
    return _python_of(place) if (place / _STAMP).is_file() else None


def embedded_binary(python: Path) -> Path:
    """Give the file that is the engine itself, by which its proof is remembered."""
    place = python.parent.parent
    return next(iter(sorted(place.glob("lib/python3.11/site-packages/bpy/__init__.*"))), python)


def install(cache: Path, say: Say) -> Path:
    """Install the embedded engine if it is not, and give its Python; `say` gets a line per step.

    Raises EngineNotInstalled with the exact remedy.
    """
    place = environment(cache)
    if (python := embedded_python(cache)) is not None:
        say(f"bpy {VERSION} is installed in {place}")
        return python
    with _writable(cache), posix.locked(cache / "engines" / "install.lock"):
        if (python := embedded_python(cache)) is not None:
            say(f"another peer of yours has just installed bpy {VERSION} in {place}")
            return python
        check_libraries(LIBRARIES)
        check_space(place.parent, NEEDED_BYTES)
        base = find_python(pythons())
        say(f"making an environment for bpy {VERSION} with {base} in {place}")
        shutil.rmtree(place, ignore_errors=True)
        pip = _make_environment(base, place)
        say(f"downloading bpy {VERSION} ({_WHEEL_MB} MB, once per user)")
        with _telling(place, say):
            only_these = ["--no-deps", "--require-hashes", "--only-binary", ":all:"]
            _pip(pip, place, [*only_these, "-r", str(_requirements(place))])
        python = _python_of(place)
        _run([str(python), "-I", "-c", "import bpy"], "import bpy")
        (place / _STAMP).write_text(f"bpy {VERSION}\n", encoding="ascii")
        say(f"bpy {VERSION} is ready")
        return python


def find_python(candidates: Iterable[Path]) -> Path:
    """Choose the first Python 3.11 that can make environments. Raises EngineNotInstalled with what to install."""
    for candidate in candidates:
        if _python_works(candidate):
            return candidate
    name = ".".join(map(str, PYTHON))
    raise EngineNotInstalled(
        f"bpy {VERSION} needs Python {name}, and none was found; install it "
        f"(Debian 12: apt-get install python{name} python{name}-venv; others: pyenv install {name} or "
        f"uv python install {name}; macOS: brew install python@{name}) and try again"
    )


def check_libraries(libraries: Mapping[str, str]) -> None:
    """Raise EngineNotInstalled with the line to type if shared libraries are missing here."""
    if missing := missing_packages(libraries):
        raise EngineNotInstalled(f"system libraries are missing; type: apt-get install -y {' '.join(missing)}")


def missing_packages(libraries: Mapping[str, str] = LIBRARIES) -> list[str]:
    """Return the Debian packages of the shared libraries that are missing here; none on systems that are not Linux."""
    if sys.platform != "linux":
        return []
    return [package for library, package in libraries.items() if not _loads(library)]


def check_space(place: Path, needed_bytes: int) -> None:
    """Raise EngineNotInstalled if there is no room below a directory."""
    with _writable(place):
        place.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(place).free
    if free < needed_bytes:
        raise EngineNotInstalled(
            f"{place} has {free >> 20} MiB free and {needed_bytes >> 20} MiB are needed; free some space, "
            f"or choose another directory with MESHNODE_CACHE"
        )


@contextmanager
def _writable(place: Path) -> Iterator[None]:
    """Turn what a directory refuses into EngineNotInstalled with the remedy."""
    try:
        yield
    except OSError as error:
        raise EngineNotInstalled(
            f"{error.filename or place} cannot be used: {error.strerror}; choose another directory with MESHNODE_CACHE"
        ) from error


def pythons() -> Iterator[Path]:
    """Yield Pythons that may be the right one, nearest first."""
    name = "python" + ".".join(map(str, PYTHON))
    yield Path(sys.executable)
    if (found := shutil.which(name)) is not None:
        yield Path(found)
    home = Path.home()
    roots = (home / ".pyenv" / "versions", home / ".local" / "share" / "uv" / "python")
    for root in roots:
        yield from sorted(root.glob(f"*3.11*/bin/{name}"), reverse=True)
    for directory in ("/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"):
        yield Path(directory) / name


def _python_works(candidate: Path) -> bool:
    if not candidate.is_file():
        return False
    code = "import sys, venv; sys.exit(sys.version_info[:2] != (3, 11))"
    return _succeeds(candidate, code)


def _succeeds(python: Path, code: str) -> bool:
    """Say whether a Python runs some code without an error."""
    try:
        outcome = subprocess.run([python, "-I", "-c", code], check=False, capture_output=True, timeout=_TRY_S)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return outcome.returncode == 0


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _make_environment(base: Path, place: Path) -> list[str]:
    """Make the environment and give the pip that fills it: its own, or ours where Python came without one."""
    base_has_pip = _succeeds(base, "import ensurepip")
    options = [] if base_has_pip else ["--without-pip"]
    _run([str(base), "-I", "-m", "venv", *options, str(place)], "make the environment")
    if base_has_pip:
        return [str(_python_of(place)), "-I", "-m", "pip"]
    return [sys.executable, "-m", "pip", "--python", str(_python_of(place))]


def _requirements(place: Path) -> Path:
    path = place / "requirements.txt"
    lines = [
        " ".join([package, *(f"--hash=sha256:{digest}" for digest in hashes)]) for package, hashes in PINNED.items()
    ]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
    return path


def _pip(pip: list[str], place: Path, arguments: list[str]) -> None:
    """Run one pip install; what it downloads lies under `place` meanwhile."""
    downloads = _downloads(place)
    downloads.mkdir(exist_ok=True)
    command = [*pip, "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off", *arguments]
    try:
        _run(command, "install with pip", {**os.environ, "TMPDIR": str(downloads)})
    finally:
        shutil.rmtree(downloads, ignore_errors=True)


def _downloads(place: Path) -> Path:
    return place / "downloads"


@contextmanager
def _telling(place: Path, say: Say) -> Iterator[None]:
    """Tell from time to time, while the block runs, how much of the wheel lies on the disk."""
    done = threading.Event()
    teller = threading.Thread(target=_tell, args=(place, say, done), daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()


def _tell(place: Path, say: Say, done: threading.Event, period_s: float = _REPORT_S) -> None:
    told = ""
    while not done.wait(period_s):
        text = _how_far(_megabytes(_downloads(place), "*.whl"), _megabytes(place / "lib", "*"))
        if text != told:
            say(text)
        told = text


def _how_far(downloaded_mb: int, unpacked_mb: int) -> str:
    """Say how far it is; pip unpacks once it has all of the wheel."""
    if downloaded_mb < _WHEEL_MB:
        return f"downloaded {downloaded_mb} of {_WHEEL_MB} MB"
    return f"unpacked {min(unpacked_mb, _UNPACKED_MB)} of {_UNPACKED_MB} MB"


def _megabytes(place: Path, pattern: str) -> int:
    """Return how much lies below a directory that somebody else is changing."""
    total = 0
    with suppress(OSError):
        for path in place.rglob(pattern):
            with suppress(OSError):
                total += path.stat().st_size
    return total // 1_000_000


def _run(command: list[str], step: str, variables: dict[str, str] | None = None) -> None:
    """Run one step. Raises EngineNotInstalled with the end of what it printed."""
    outcome = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=variables,
        check=False,
    )
    if outcome.returncode != 0:
        lines = outcome.stdout.decode("utf-8", "replace").strip().splitlines()
        wheel = "" if platform.machine() in ("x86_64", "AMD64", "arm64") else f" (no wheel for {platform.machine()})"
        raise EngineNotInstalled(
            f"cannot {step}{wheel}: {' | '.join(lines[-3:]) or f'exit code {outcome.returncode}'}; "
            f"check the network, then try again: meshnode engine install blender"
        )


def _python_of(place: Path) -> Path:
    return place / "bin" / "python"


def main() -> int:
    """Install the embedded engine for the user who runs this; the exit code is the error's."""
    from mesh.render.engines import cache_directory

    try:
        install(cache_directory(os.environ), lambda line: print(line, flush=True))
    except EngineNotInstalled as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
