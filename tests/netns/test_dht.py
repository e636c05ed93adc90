"""The hash table between real peers: it tells of who is not met, and where it is full of lies, work goes on without it.

The mesh counts as a large one, whose peers do not keep channels with everybody; it has no beacons.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mesh.ground.dht_limits import DHT_BUCKET_MS
from mesh.ground.instants import SECOND_MS
from tests.support.far_mesh import PORT, FarMesh, peer_on, start_all
from tests.support.garbling import GARBLED
from tests.support.namespaces import network
from tests.support.nodes import refuse_wrong_frames, write_scene
from tests.support.staged import stop_all, until

NAMES = ("ada", "bob", "cy", "dee", "eve", "fay")
TOLD_S = 30.0
JOB_S = 90.0


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FarMesh]:
    """Yield a mesh whose last peer runs not yet; nobody can open a channel to that one, nor to the one before it."""
    directory = tmp_path_factory.mktemp("wide") / "peers"
    with network() as wires, ExitStack() as ending:
        hosts = {name: wires.host(name) for name in NAMES}
        peers = [peer_on(host, directory, settings={"everybody": 4}) for host in hosts.values()]
        for peer in peers:
            ending.callback(peer.end)
        for hidden in peers[-2:]:
            hosts[hidden.name].refuse_callers("drop")
        first, *others = peers[:-1]
        first.start(found="wide")
        first.wait_ready()
        start_all(others, token=first.invite(len(others)))
        yield FarMesh(hosts, peers)


def test_who_knows_one_address_reads_what_a_peer_that_it_cannot_meet_offers(wide: FarMesh) -> None:
    first, *_, hidden, asker = wide.peers
    identity = hidden.ask("/status")["id"]
    asker.start(token=first.invite(1), peers=((wide.hosts[first.name].addresses[0], PORT),))
    asker.wait_ready()
    until("the DHT tells of it", lambda: asker.ask(f"/peers/{identity}")["told"], TOLD_S)
    assert hidden.name not in asker.connected()
    told = asker.ask(f"/peers/{identity}")["told"]
    assert (told["name"], told["slots"], told["busy"], told["draining"]) == (hidden.name, 1, 0, False)
    assert f"{wide.hosts[hidden.name].addresses[0]}:{PORT}" in told["addresses"]


def test_where_every_answer_is_garbage_a_job_finishes(wide: FarMesh, tmp_path: Path) -> None:
    stop_all([peer for peer in wide.peers if peer.process is not None])
    running = wide.peers[:-1]
    submitter = running[-1]
    for peer in running:
        peer.garbles = True
    start_all(running)
    until("all see each other", lambda: all(len(peer.connected()) == len(running) - 1 for peer in running))
    scene = write_scene(tmp_path / "shot", "frames 1 30\nms 500", tex=b"t" * 1_000_000)
    job = submitter.submit(scene)
    until("all frames are delivered", lambda: submitter.job(job)["delivered"] == 30, JOB_S)
    refuse_wrong_frames(scene, range(1, 31))
    assert {name for _, name, _ in submitter.standing(job)} == {peer.name for peer in running}

    def unasked() -> list[str]:
        return [peer.name for peer in running if GARBLED not in (peer.directory / "log").read_text("utf-8")]

    until("everybody was asked, and told garbage", lambda: not unasked(), 2 * DHT_BUCKET_MS / SECOND_MS)
