"""Meshes whose peers each run on a host of their own, in a network that a test cuts."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support.namespaces import Host, Network, Relay, network, relay
from tests.support.staged import StagedPeer, all_connected, stop_all, until

PORT = 40_001
"""The same on every host, as where one port was opened: a loopback address names another peer on each of them."""

READY_S = 120.0
"""A process that starts beside forty others, which are at work, is in no hurry."""

AT_ONCE = 4
"""Processes that start together: each keeps a core busy for one to three seconds, longer in a larger mesh."""


def peer_on(
    host: Host, directory: Path, *, slots: int = 1, beacon: bool = False, settings: Mapping[str, int] | None = None
) -> StagedPeer:
    """Return a peer that runs on a host, not started yet."""
    return StagedPeer(
        directory=directory / host.name,
        name=host.name,
        listen=("", PORT),
        slots=slots,
        beacon=beacon,
        settings=settings or {},
        within=host.within,
        inside=host.inside,
    )


def join_all(peers: Sequence[StagedPeer]) -> None:
    """Found a mesh with the first peer, let the others in by its invite, and wait until they see each other."""
    first, *others = peers
    first.start(found="far")
    first.wait_ready()
    start_all(others, token=first.invite(len(peers)))
    until("all peers have channels", lambda: all_connected(peers))


def start_all(peers: Sequence[StagedPeer], *, token: str = "", at: Sequence[tuple[str, int]] = ()) -> None:
    """Start peers, a few at a time so that none waits for the processor beyond its patience, until all are ready."""
    for begin in range(0, len(peers), AT_ONCE):
        for peer in peers[begin : begin + AT_ONCE]:
            peer.start(token=token, peers=at)
        for peer in peers[begin : begin + AT_ONCE]:
            peer.wait_ready(READY_S)


class FarMesh:
    """Running peers and their network; the first is the one that submits."""

    def __init__(self, hosts: Mapping[str, Host], peers: Sequence[StagedPeer]) -> None:
        self.hosts = dict(hosts)
        self.peers = list(peers)

    def hosts_of(self, *peers: StagedPeer) -> list[Host]:
        """Return where these peers run."""
        return [self.hosts[peer.name] for peer in peers]

    def agree(self, job: str) -> bool:
        """Say whether all peers name the same result for each frame."""
        first, *others = [peer.standing(job) for peer in self.peers]
        return all(other == first for other in others)

    def move(self, wires: Network, peers: Sequence[StagedPeer], *, told: bool = False) -> None:
        """Stop peers, give each one's host another address, and start them; `told`: with the first one's `--peer`."""
        stop_all(peers)
        for peer in peers:
            self.hosts[peer.name] = wires.move(self.hosts[peer.name])
        wires.introduce(list(self.hosts.values()))
        first = self.hosts[peers[0].name].addresses[0]
        start_all(peers, at=((first, PORT),) if told else ())


@contextmanager
def bridged(
    directory: Path,
    *names: str,
    only_ipv6: bool = False,
    slots: Mapping[str, int] | None = None,
    beacon: bool = False,
) -> Iterator[tuple[FarMesh, Network]]:
    """Yield a mesh on a bridge, all its peers connected."""
    with network(only_ipv6=only_ipv6) as wires, ExitStack() as ending:
        hosts = {name: wires.host(name) for name in names}
        wires.introduce(list(hosts.values()))
        peers = [
            peer_on(host, directory, slots=(slots or {}).get(host.name, 1), beacon=beacon) for host in hosts.values()
        ]
        for peer in peers:
            ending.callback(peer.end)
        join_all(peers)
        yield FarMesh(hosts, peers), wires


@contextmanager
def relayed(directory: Path, *names: str, delay_ms: int, loss: float, seed: int) -> Iterator[tuple[FarMesh, Relay]]:
    """Yield a mesh whose packets are late and get lost, all its peers connected."""
    with (
        network() as wires,
        relay(delay_ms=delay_ms, loss=loss, seed=seed) as carrier,
        ExitStack() as ending,
    ):
        hosts = {name: wires.bare_host(name) for name in names}
        for host in hosts.values():
            carrier.attach(host)
        carrier.start()
        peers = [peer_on(host, directory) for host in hosts.values()]
        for peer in peers:
            ending.callback(peer.end)
        join_all(peers)
        yield FarMesh(hosts, peers), carrier
