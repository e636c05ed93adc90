"""Beacons between the core and the LAN."""

from collections.abc import Callable

from mesh.core.effects import SendBeacon
from mesh.core.events import BeaconHeard, Event
from mesh.ground.ids import MeshId, PeerId
from mesh.ground.instants import WallTime
from mesh.node.beacons import BeaconPost, likeliest
from mesh.wire.beacon import MAX_TOLD, SIZE, Beacon, beacon_key
from mesh.wire.messages import Address
from tests.support.worlds import VirtualWorld, virtual

ANN, BOB = PeerId(b"a" * 32), PeerId(b"b" * 32)
MESH, OTHER = beacon_key(MeshId(b"m" * 32), bytes(32)), beacon_key(MeshId(b"o" * 32), bytes(32))


def at(host: str, port: int = 7) -> Address:
    return Address(host=host, port=port)


class Cable:
    """A LAN on which whatever is sent is heard by all, from one address each."""

    def __init__(self) -> None:
        self.takers: list[Callable[[bytes, str], None]] = []
        self.carried: list[bytes] = []
        self.port = 47_877
        self.broken: list[str] = []

    def faults(self) -> list[str]:
        return self.broken

    def send(self, datagram: bytes) -> None:
        self.carried.append(datagram)
        for take in self.takers:
            take(datagram, "192.168.1.5")

    async def hear(self, take: Callable[[bytes, str], None]) -> None:
        self.takers.append(take)


def post(cable: Cable, me: PeerId, key: bytes, heard: list[Event], *own: Address) -> BeaconPost:
    def hint(event: Event) -> bool:
        heard.append(event)
        return True

    return BeaconPost(lan=cable, me=me, key=key, world=VirtualWorld(), addresses=lambda: own, hint=hint)


@virtual
async def test_a_beacon_reaches_the_own_mesh_and_nobody_else() -> None:
    cable = Cable()
    ann: list[Event] = []
    bob: list[Event] = []
    stranger: list[Event] = []
    own = (at("192.168.1.5"), at("fe80::5"), at("127.0.0.1"))
    posts = [
        post(cable, ANN, MESH, ann, *own),
        post(cable, BOB, MESH, bob),
        post(cable, BOB, OTHER, stranger),
    ]
    for one in posts:
        await one.run()
    posts[0].send(SendBeacon(wall=WallTime(5)))
    assert ann == [], "one's own is no news"
    assert stranger == []
    assert bob == [BeaconHeard(peer=ANN, wall=WallTime(5), addresses=(at("192.168.1.5"),))]
    cable.send(b"x" * SIZE)
    cable.send(b"")
    assert len(bob) == 1


@virtual
async def test_it_tells_when_another_of_this_mesh_was_heard() -> None:
    cable = Cable()
    ann, bob, stranger = (
        post(cable, who, key, [], at("192.168.1.5")) for who, key in ((ANN, MESH), (BOB, MESH), (BOB, OTHER))
    )
    for one in (ann, bob, stranger):
        await one.run()
    ann.send(SendBeacon(wall=WallTime(5)))
    assert (ann.row()["heard_at_ms"], stranger.row()["heard_at_ms"]) == (None, None), "nobody else of their meshes"
    assert bob.row()["heard_at_ms"] is not None
    cable.broken = ["no way out"]
    assert ann.row()["faults"] == ["no way out"]
    assert (ann.row()["on"], ann.row()["port"]) == (True, cable.port)


@virtual
async def test_where_there_is_no_lan_nothing_is_heard_or_sent() -> None:
    off = BeaconPost(lan=None, me=ANN, key=MESH, world=VirtualWorld(), addresses=tuple, hint=lambda _: True)
    await off.run()
    off.send(SendBeacon(wall=WallTime(5)))
    assert (off.row()["on"], off.row()["port"], off.row()["heard_at_ms"]) == (False, 0, None)


@virtual
async def test_no_two_beacons_are_alike() -> None:
    cable = Cable()
    ann = post(cable, ANN, MESH, [], *(at(f"10.0.{number}.1") for number in range(2 * MAX_TOLD)))
    for _ in range(10):
        ann.send(SendBeacon(wall=WallTime(5)))
    assert len(set(cable.carried)) == 10
    assert {len(datagram) for datagram in cable.carried} == {SIZE}


def beacon(port: int, *addresses: Address) -> Beacon:
    return Beacon(peer=ANN, wall=WallTime(1), port=port, addresses=addresses)


def test_the_likeliest_address_is_that_on_this_cable() -> None:
    vpn, lan = at("10.8.0.5"), at("192.168.1.5")
    assert likeliest(beacon(7, vpn, lan), "192.168.1.5") == (lan, vpn)
    assert likeliest(beacon(7, vpn), "192.168.1.5") == (lan, vpn)
    # It listens on the VPN alone, and the beacon left by another interface.
    assert likeliest(beacon(0, vpn), "192.168.1.5") == (vpn,)


def test_what_names_this_very_machine_is_not_tried() -> None:
    assert likeliest(beacon(0, at("127.0.0.1"), at("::1"), at("localhost"), at("fe80::9")), "192.168.1.5") == ()


def test_a_link_local_sender_is_tried_with_its_zone_and_one_of_a_strange_name_is_not() -> None:
    assert likeliest(beacon(7), "fe80::1%eth0") == (at("fe80::1%eth0"),)
    assert likeliest(beacon(7), "fe80::1%eth 0!") == ()
