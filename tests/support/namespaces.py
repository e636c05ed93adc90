"""Hosts of their own on one machine: network namespaces on one bridge, whose links a test cuts, shuts and moves.

Everything is made and removed by the test, carries the number of its process in its name, and is not to be seen from
the machine's own network: the bridge too lives in a namespace. Needs Linux, root, `ip` and `nft`; a test is skipped
where they are missing, and CI makes that a failure.
"""

import ctypes
import fcntl
import functools
import heapq
import itertools
import os
import random
import select
import shutil
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pytest

_CLONE_NEWNET: Final = 0x40000000
_TUNSETIFF: Final = 0x400454CA
_IFF_TUN_WITHOUT_HEADER: Final = 0x0001 | 0x1000
_PACKET_MAX_BYTES: Final = 65_535
_IPV4_TARGET: Final = slice(16, 20)

_serial = itertools.count(1)


def require_namespaces() -> None:
    """Skip the test where no namespaces can be made."""
    if sys.platform != "linux" or os.geteuid() != 0 or not (shutil.which("ip") and shutil.which("nft")):
        pytest.skip(reason="network namespaces need Linux, root, ip and nft")


@dataclass(frozen=True, kw_only=True)
class Host:
    """One namespace with one link."""

    name: str
    namespace: str
    addresses: tuple[str, ...]
    """Without the prefix's length."""
    hardware: str = ""
    """The address of its plug, which it keeps when it moves; a host on no bridge has none."""

    @property
    def within(self) -> Sequence[str]:
        """A command that runs another here."""
        return ("nsenter", f"--net=/run/netns/{self.namespace}")

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Have this thread open its sockets here."""
        with Path("/proc/thread-self/ns/net").open("rb") as before:
            with Path(f"/run/netns/{self.namespace}").open("rb") as here:
                _enter(here.fileno())
            try:
                yield
            finally:
                _enter(before.fileno())

    def ip(self, *words: str) -> None:
        """Run `ip` here."""
        _run("ip", "-n", self.namespace, *words)

    def switch_off_ipv6(self) -> None:
        """Leave this host without IPv6, its links' own addresses included."""
        with self.inside():
            Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1", "ascii")
            Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1", "ascii")

    def refuse_callers(self, how: str) -> None:
        """Let nobody open a connection to this host, who still may open its own; `how` is what nft does to them."""
        _filter(self.namespace, "inet", "input", 'iif "lo" accept', f"tcp flags & (syn | ack) == syn {how}")

    def keep_in(self, port: int) -> None:
        """Let nothing leave this host for a UDP port, as a firewall may."""
        _filter(self.namespace, "inet", "output", f"udp dport {port} drop")


class Network:
    """Hosts on one bridge."""

    def __init__(self, *, only_ipv6: bool = False, only_ipv4: bool = False) -> None:
        self._only_ipv6 = only_ipv6
        self._only_ipv4 = only_ipv4
        self._prefix = f"mn{os.getpid()}-{next(_serial)}"
        self._hub = f"{self._prefix}-hub"
        self._made: list[str] = []
        self._numbers = itertools.count(1)

    def open(self) -> None:
        """Make the bridge."""
        self._namespace(self._hub)
        _run("ip", "-n", self._hub, "link", "add", "bridge", "type", "bridge")
        _run("ip", "-n", self._hub, "link", "set", "dev", "bridge", "up")

    def close(self) -> None:
        """Remove all that was made; whatever still runs in it keeps it until it ends."""
        for namespace in self._made:
            _run("ip", "netns", "del", namespace)

    def bare_host(self, name: str) -> Host:
        """Make a host with no link but to itself."""
        namespace = f"{self._prefix}-{name}"
        self._namespace(namespace)
        host = Host(name=name, namespace=namespace, addresses=self._next_addresses())
        host.ip("link", "set", "dev", "lo", "up")
        if self._only_ipv4:
            host.switch_off_ipv6()
        return host

    def host(self, name: str) -> Host:
        """Make a host on the bridge."""
        bare = self.bare_host(name)
        host = replace(bare, hardware="02:6d:6e:00:{:02x}:{:02x}".format(*divmod(len(self._made), 256)))
        link = ("eth0", "address", host.hardware, "netns", host.namespace)
        _run("ip", "link", "add", *link, "type", "veth", "peer", name, "netns", self._hub)
        _run("ip", "-n", self._hub, "link", "set", "dev", name, "up", "master", "bridge")
        host.ip("link", "set", "dev", "eth0", "up")
        _give_addresses(host)
        return host

    def move(self, host: Host) -> Host:
        """Give a host other addresses than it had."""
        host.ip("addr", "flush", "dev", "eth0", "scope", "global")
        moved = replace(host, addresses=self._next_addresses())
        _give_addresses(moved)
        return moved

    def introduce(self, hosts: Sequence[Host]) -> None:
        """Tell each of these hosts at which plug each other is, for as long as none of them moves.

        A machine has one table of neighbours for all its namespaces together, and it ends at 1,024 entries: thirty
        hosts that all talk to each other find no way any more. What was told does not count there.
        """
        told = [
            f"neigh replace {address} lladdr {host.hardware} nud permanent dev eth0"
            for host in hosts
            for address in host.addresses
        ]
        for host in hosts:
            _run("ip", "-n", host.namespace, "-batch", "-", said="\n".join(told))

    def cut(self, one: Iterable[Host], other: Iterable[Host]) -> None:
        """Let no packet pass between two groups, either way, without a word to anybody."""
        near, far = _names(one), _names(other)
        ways = (f"iifname {near} oifname {far} drop", f"iifname {far} oifname {near} drop")
        _filter(self._hub, "bridge", "forward", *ways)

    def heal(self) -> None:
        """Let everything pass again."""
        _filter(self._hub, "bridge", "forward")

    def _next_addresses(self) -> tuple[str, ...]:
        number = next(self._numbers)
        four = () if self._only_ipv6 else (f"10.77.0.{number}",)
        return (*four, *(() if self._only_ipv4 else (f"fd77::{number}",)))

    def _namespace(self, name: str) -> None:
        _run("ip", "netns", "add", name)
        self._made.append(name)


class Relay:
    """Carries IPv4 packets between hosts that no bridge joins, each of them late and some of them never."""

    def __init__(self, *, delay_ms: int, loss: float, seed: int) -> None:
        self._delay_s = delay_ms / 1000
        self._loss = loss
        self._dice = random.Random(seed)
        self._links: dict[bytes, int] = {}
        self._under_way: list[tuple[float, int, bytes]] = []
        self._numbers = itertools.count()
        self._thread = threading.Thread(target=self._carry, name="relay")
        self._stop_read, self._stop_write = os.pipe()
        self.lost = 0
        self.carried = 0

    def attach(self, host: Host) -> None:
        """Give a host a link to this relay."""
        with host.inside():
            link = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(link, _TUNSETIFF, struct.pack("16sH22x", b"eth0", _IFF_TUN_WITHOUT_HEADER))
        host.ip("link", "set", "dev", "eth0", "up")
        _give_addresses(host)
        self._links[bytes(map(int, host.addresses[0].split(".")))] = link

    def start(self) -> None:
        """Begin to carry."""
        self._thread.start()

    def close(self) -> None:
        """Stop, and take the links away."""
        os.close(self._stop_write)
        if self._thread.is_alive():
            self._thread.join()
        for link in (self._stop_read, *self._links.values()):
            os.close(link)

    def _carry(self) -> None:
        while True:
            wait_s = max(0.0, self._under_way[0][0] - time.monotonic()) if self._under_way else None
            readable, _, _ = select.select([self._stop_read, *self._links.values()], [], [], wait_s)
            if self._stop_read in readable:
                return
            for link in readable:
                self._take(link)
            while self._under_way and self._under_way[0][0] <= time.monotonic():
                self._pass_on(heapq.heappop(self._under_way)[2])

    def _take(self, link: int) -> None:
        with suppress(BlockingIOError):
            while True:
                packet = os.read(link, _PACKET_MAX_BYTES)
                if self._dice.random() < self._loss:
                    self.lost += 1
                else:
                    heapq.heappush(self._under_way, (time.monotonic() + self._delay_s, next(self._numbers), packet))

    def _pass_on(self, packet: bytes) -> None:
        link = self._links.get(packet[_IPV4_TARGET])
        # Broadcasts and IPv6's own chatter lead nowhere; a full queue loses what comes, as any router's does.
        if link is not None and packet[0] >> 4 == 4:
            with suppress(BlockingIOError):
                os.write(link, packet)
                self.carried += 1


@contextmanager
def network(*, only_ipv6: bool = False, only_ipv4: bool = False) -> Iterator[Network]:
    """Yield a network, and remove it."""
    require_namespaces()
    made = Network(only_ipv6=only_ipv6, only_ipv4=only_ipv4)
    try:
        made.open()
        yield made
    finally:
        made.close()


@contextmanager
def relay(*, delay_ms: int, loss: float, seed: int) -> Iterator[Relay]:
    """Yield a relay that does not carry yet, and end it."""
    made = Relay(delay_ms=delay_ms, loss=loss, seed=seed)
    try:
        yield made
    finally:
        made.close()


def _give_addresses(host: Host) -> None:
    for address in host.addresses:
        # Nobody else has it: the seconds in which IPv6 would ask around are spared.
        words = (f"{address}/64", "dev", "eth0", "nodad") if ":" in address else (f"{address}/24", "dev", "eth0")
        host.ip("addr", "add", *words)


def _names(hosts: Iterable[Host]) -> str:
    return "{ " + ", ".join(f'"{host.name}"' for host in hosts) + " }"


def _filter(namespace: str, family: str, hook: str, *rules: str) -> None:
    """Have these rules, and no others, at a hook of a namespace."""
    head = [f"table {family} {hook} {{}}", f"delete table {family} {hook}", f"table {family} {hook} {{", "chain test {"]
    lines = [*head, f"type filter hook {hook} priority 0", *rules, "}", "}", ""]
    _run("nft", "-f", "-", namespace=namespace, said="\n".join(lines))


def _run(*command: str, namespace: str | None = None, said: str | None = None) -> None:
    within = () if namespace is None else ("nsenter", f"--net=/run/netns/{namespace}")
    done = subprocess.run([*within, *command], input=said, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}{said or ''}"


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _enter(namespace: int) -> None:
    """Move this thread into a network namespace."""
    if _libc().setns(namespace, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
