"""The composition root: the only place that knows which adapter stands behind which port.

Nothing is imported before it is needed, since every command comes through here for the peer's directory; a running peer
is put together in `peer`.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mesh.ground.errors import MeshError
from mesh.ports.desk import StatusAnswer
from mesh.ports.enginerows import EnginesAnswer, engines_answer

if TYPE_CHECKING:
    from mesh.cli.checks import HostFacts
    from mesh.store.home import ApiAddress


class NoMembership(MeshError):
    """This peer belongs to no mesh yet. Found one: `meshnode join --new NAME`; or enter one: `meshnode join INVITE`."""

    exit_code = 7


class AlreadyMember(MeshError):
    """This peer belongs to a mesh already. `meshnode join` starts it, `--home DIR` makes another, `leave` frees it."""

    exit_code = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a person wants a peer to run; None leaves it to the peer's settings."""

    home: Path
    found: str | None = None
    """Name of a mesh to be founded."""
    invite: str | None = None
    """Token of a mesh to be entered; neither: the one that this peer belongs to."""
    name: str | None = None
    slots: int | None = None
    listen: tuple[tuple[str, int], ...] = ()
    """Addresses and ports; an empty address means all, port 0 the peer's own."""
    peers: tuple[tuple[str, int], ...] = ()
    """Further addresses to dial; port 0: that which this peer itself listens on."""
    beacon: bool = True
    """Whether to look for others on the LAN, unless the settings say not to."""
    timings: Path | None = None
    """File that gets a line for each step of a job's way, for measurements."""
    tape: Path | None = None
    """Directory that gets a new file at each start, on which the core is recorded."""


def run_peer(plan: Plan, on_ready: Callable[[StatusAnswer], None], say: Callable[[str], None]) -> None:
    """Run a peer until it is stopped; `on_ready` hears once that it is ready, `say` what a person should know."""
    from mesh.cli.compose.peer import run

    run(plan, on_ready, say)


def home_directory(option: str | None) -> Path:
    """Return the peer's directory that the option, the environment or the platform names."""
    from mesh.store.home import choose_home

    return choose_home(option, os.environ)


def endpoint(home: Path) -> "ApiAddress":
    """Return where the peer that runs in `home` answers; raise `NotRunningError`."""
    from mesh.store.home import read_api

    return read_api(home)


def is_member(home: Path) -> bool:
    """Say whether the peer in `home` belongs to a mesh."""
    return (home / "facts" / "standing").exists()


def in_use(home: Path) -> bool:
    """Say whether a running process holds the directory."""
    from mesh.ports.storage import HomeInUse
    from mesh.store import posix

    lock = home / "lock"
    if not lock.exists():
        return False
    try:
        os.close(posix.lock_alone(lock))
    except HomeInUse:
        return True
    return False


def examine(home: Path) -> "HostFacts":
    """Gather what can be seen of this host without its peer."""
    from mesh.cli.compose.host import examine as look

    return look(home)


def own_answers(addresses: list[str]) -> dict[str, str]:
    """Connect to each address of this host's own peer, and return why it does not answer, empty where it does."""
    from mesh.cli.compose.host import answers

    return answers(addresses)


def install_engine(name: str, say: Callable[[str], None]) -> str:
    """Install an engine into this user's cache, a line to `say` for each step, and return what starts it."""
    from mesh.render.engines import cache_directory
    from mesh.render.install import install

    assert name == "blender"
    return str(install(cache_directory(os.environ), say))


def probe_engines(say: Callable[[str], None]) -> EnginesAnswer:
    """Look what this machine can render with, without a peer; `say` hears of what takes time."""
    import trio

    from mesh.render.engines import cache_directory
    from mesh.render.installed import renderers

    async def look() -> EnginesAnswer:
        made = renderers(cache_directory(os.environ), say)
        try:
            return engines_answer(await made.probe())
        finally:
            await made.aclose()

    return trio.run(look)
