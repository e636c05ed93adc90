"""The sockets of the beacon, heard on this machine's loopback interface only."""

import socket

import pytest
import trio

from mesh.ground.limits import BEACONS_READ_PER_SECOND
from mesh.net import beacon, interfaces
from mesh.wire.beacon import SIZE
from tests.support.timed import timed

DATAGRAM = b"\x07" * SIZE


@pytest.fixture
def port() -> int:
    """Return a UDP port that nobody uses."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        probe.bind(("::", 0))
        return int(probe.getsockname()[1])


def throw(port: int, datagram: bytes, times: int = 1) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _ in range(times):
            sock.sendto(datagram, ("127.0.0.1", port))


@timed
async def test_what_has_the_right_size_is_heard_with_its_sender(port: int) -> None:
    heard: list[tuple[bytes, str]] = []
    got = trio.Event()

    def take(datagram: bytes, host: str) -> None:
        heard.append((datagram, host))
        got.set()

    async with beacon.open_lan(port=port) as lan, trio.open_nursery() as nursery:
        assert lan.problems == []
        nursery.start_soon(lan.hear, take)
        for wrong in (b"", DATAGRAM[:-1], DATAGRAM + b"\0", b"x" * 60_000):
            throw(port, wrong)
        throw(port, DATAGRAM)
        await got.wait()
        assert heard == [(DATAGRAM, "127.0.0.1")]
        nursery.cancel_scope.cancel()


@timed
async def test_a_flood_is_not_read(port: int) -> None:
    heard = 0

    def take(_datagram: bytes, _host: str) -> None:
        nonlocal heard
        heard += 1

    async with beacon.open_lan(port=port) as lan, trio.open_nursery() as nursery:
        nursery.start_soon(lan.hear, take)
        began_s = trio.current_time()
        while trio.current_time() < began_s + 1.5:
            throw(port, DATAGRAM, 500)
            await trio.sleep(0.01)
        seconds = trio.current_time() - began_s
        assert 0 < heard <= BEACONS_READ_PER_SECOND * (int(seconds) + 1)
        nursery.cancel_scope.cancel()


@timed
async def test_several_peers_of_one_machine_share_the_port(port: int) -> None:
    async with beacon.open_lan(port=port) as one, beacon.open_lan(port=port) as other:
        assert one.problems == other.problems == []


@timed
async def test_a_port_that_somebody_keeps_for_itself_is_named_and_no_error() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as greedy:
        greedy.bind(("0.0.0.0", 0))
        taken = greedy.getsockname()[1]
        async with beacon.open_lan(port=taken) as lan:
            assert any(str(taken) in problem for problem in lan.problems)


@timed
async def test_a_machine_without_a_network_says_why_it_calls_nobody(port: int) -> None:
    async with beacon.open_lan(("192.0.2.1",), port=port) as lan:
        assert lan.faults() == [], "nothing was tried yet"
        lan.send(DATAGRAM)
        assert lan.faults() == ["nothing could be sent: this machine is on no network"]


def test_cables_are_real_interfaces_and_never_loopback() -> None:
    for cable in interfaces.cables():
        assert cable.broadcast is None or not cable.broadcast.startswith("127.")
    assert interfaces.cables(only=("192.0.2.1",)) == ()
