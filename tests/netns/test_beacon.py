"""Hosts on one cable that know no address of each other: their peers meet by the beacon, and only those of one mesh."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.far_mesh import join_all, peer_on
from tests.support.namespaces import Host, Network, network
from tests.support.staged import StagedPeer, all_connected, until

MERGED_S = 60.0
"""From healing on, two parts of a mesh are one again within so long."""


def restart_elsewhere(wires: Network, hosts: dict[str, Host], *peers: StagedPeer) -> None:
    """Stop all peers, give each host another address, and start them: what they remember leads nowhere."""
    for peer in peers:
        peer.stop()
    for peer in peers:
        hosts[peer.name] = wires.move(hosts[peer.name])
        peer.start()
    for peer in peers:
        peer.wait_ready()


@pytest.mark.parametrize("only", ["only_ipv4", "only_ipv6"])
def test_peers_that_all_moved_find_each_other_and_nobody_of_another_mesh(tmp_path: Path, only: str) -> None:
    """Both meshes have the same name, and their peers hear each other's beacons."""
    with network(**{only: True}) as wires, ExitStack() as ending:
        hosts = {name: wires.host(name) for name in ("ada", "bob", "cy", "dee")}
        peers = [peer_on(host, tmp_path / "peers", beacon=True) for host in hosts.values()]
        for peer in peers:
            ending.callback(peer.end)
        ours, others = peers[:2], peers[2:]
        for mesh in (ours, others):
            join_all(mesh)
        restart_elsewhere(wires, hosts, *peers)
        for mesh in (ours, others):
            until("they found each other", lambda mesh=mesh: all_connected(mesh), MERGED_S)
        for mesh in (ours, others):
            for peer in mesh:
                assert {row["name"] for row in peer.ask("/status")["peers"]} == {one.name for one in mesh}


def test_parts_of_a_mesh_that_know_only_wrong_addresses_merge_when_the_cable_heals(tmp_path: Path) -> None:
    with network() as wires, ExitStack() as ending:
        hosts = {name: wires.host(name) for name in ("ada", "bob", "cy", "dee")}
        peers = [peer_on(host, tmp_path / "peers", beacon=True) for host in hosts.values()]
        for peer in peers:
            ending.callback(peer.end)
        join_all(peers)
        near, far = peers[:2], peers[2:]
        wires.cut([hosts[peer.name] for peer in near], [hosts[peer.name] for peer in far])
        # Beyond the cut all get other addresses, so that nobody's memory leads across it.
        restart_elsewhere(wires, hosts, *far)
        until("the far side is one", lambda: all_connected(far))
        until("the near side is alone", lambda: all_connected(near))
        restart_elsewhere(wires, hosts, *near)
        until("the near side is one", lambda: all_connected(near))
        assert not all_connected(peers)
        wires.heal()
        until("the mesh is one", lambda: all_connected(peers), MERGED_S)
