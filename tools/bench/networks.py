"""Network namespaces for the benches: hosts of their own on one bridge, whose cable may be pulled without a word.

Needs root, `ip` and `nft`. A cut drops every packet in both directions, so that neither side is told anything: what a
pulled plug or a dead switch looks like, and a closed connection does not. All that is made here is gone afterwards.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_NET = "10.213.77"
"""A private /24 that the bridge and the hosts are in while a bench runs."""

_CUT = """table inet cut {
  chain in { type filter hook input priority 0; policy drop; iif lo accept; }
  chain out { type filter hook output priority 0; policy drop; oif lo accept; }
}
"""


class NoNetworks(Exception):
    """Namespaces cannot be made here; the message says what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A network namespace with one address."""

    namespace: str
    address: str

    @property
    def within(self) -> tuple[str, ...]:
        """The command that runs another one there."""
        return ("ip", "netns", "exec", self.namespace)

    def cut(self) -> None:
        """Drop every packet from now on."""
        _do([*self.within, "nft", "-f", "-"], _CUT)

    def mend(self) -> None:
        """Let packets through again; does nothing where they go."""
        _do([*self.within, "nft", "flush", "ruleset"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A bridge with hosts; this namespace has an address there too."""

    address: str
    hosts: tuple[Host, ...]


@contextlib.contextmanager
def network(count: int) -> Iterator[Network]:
    """Make a bridge with `count` hosts. Raises NoNetworks."""
    lacking = [name for name in ("ip", "nft") if shutil.which(name) is None]
    if os.geteuid() != 0 or lacking:
        raise NoNetworks(f"a silent cut needs root{''.join(f', {name}' for name in lacking)}")
    mark = f"mb{os.getpid() % 100_000}"
    hosts = tuple(Host(namespace=f"{mark}-{at}", address=f"{_NET}.{at + 2}") for at in range(count))
    made = Network(address=f"{_NET}.1", hosts=hosts)
    try:
        _do(["ip", "link", "add", mark, "type", "bridge"])
        _do(["ip", "address", "add", f"{made.address}/24", "dev", mark])
        _do(["ip", "link", "set", mark, "up"])
        for at, host in enumerate(hosts):
            _plug(mark, f"{mark}v{at}", host)
        yield made
    finally:
        # A cable first: a namespace lives on, unseen, for as long as a process in it does.
        for at, host in enumerate(hosts):
            _try(["ip", "link", "delete", f"{mark}v{at}"])
            _try(["ip", "netns", "delete", host.namespace])
        _try(["ip", "link", "delete", mark])


def _plug(bridge: str, cable: str, host: Host) -> None:
    inside = ["ip", "-n", host.namespace]
    _do(["ip", "netns", "add", host.namespace])
    _do(["ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", host.namespace])
    _do(["ip", "link", "set", cable, "master", bridge, "up"])
    _do([*inside, "address", "add", f"{host.address}/24", "dev", "eth0"])
    _do([*inside, "link", "set", "eth0", "up"])
    _do([*inside, "link", "set", "lo", "up"])


def _do(command: Sequence[str], text: str | None = None) -> None:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NoNetworks(f"{' '.join(command)}: {done.stderr.strip()}")


def _try(command: Sequence[str]) -> None:
    subprocess.run(command, capture_output=True, check=False)
