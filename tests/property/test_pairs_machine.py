"""Four peers, small bounds, and anything at all in any order: nothing breaks, nothing grows, nothing is left behind."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mesh.ground.ids import PeerId
from mesh.ground.instants import HOUR_MS, Instant
from mesh.wire.datagram import DATAGRAM_MAX_BYTES
from mesh.wire.halfopen import Places
from mesh.wire.handshake import ChannelKind
from mesh.wire.members import Credentials, JoinRequest, Membership
from mesh.wire.pairs import ROWS_PER_PEER, Most
from tests.support.ether import Ether, Flying, Station
from tests.support.meshes import TestMesh

MOST = Most(pairs=3, calls=2, places=Places(most=4, calm=2, per_source=1))
MESH = TestMesh()
MEMBERS = (MESH.member(), MESH.member().admits(), MESH.member(), MESH.impostor())

stations = st.integers(0, len(MEMBERS) - 1)
waits = st.sampled_from([0, 1, 100, 1_000, 6_000, 60_000, HOUR_MS])


class Anything(RuleBasedStateMachine):
    """The network, the clock, the doors and whoever speaks."""

    def __init__(self) -> None:
        super().__init__()
        self.ether = Ether()
        self.out: set[PeerId] = set()
        self.stations = [
            self.ether.station(member, door=self, datagram_bytes=size, most=MOST)
            for member, size in zip(MEMBERS, (1_232, 400, 1_232, 700), strict=True)
        ]
        self.said: set[bytes] = set()
        self.kept: list[Flying] = []

    def member(self, shown: Credentials, membership: Membership) -> ChannelKind | None:
        return None if membership.peer in self.out else ChannelKind.MEMBER

    def joiner(self, shown: JoinRequest, inviter: Membership) -> bool:
        return False

    @rule(one=stations, other=stations, at=stations)
    def say(self, one: int, other: int, at: int) -> None:
        payload = len(self.said).to_bytes(4, "big")
        self.said.add(payload)
        self.ether.say(self.stations[one], self.stations[other], payload, self.stations[at].address)

    @rule(which=st.integers(0, 100), source=stations, keep=st.booleans())
    def deliver(self, which: int, source: int, keep: bool) -> None:
        """Deliver a datagram, perhaps with a forged source, perhaps to come again."""
        flying = self.ether.flying or self.kept
        if flying:
            one = flying.pop(which % len(flying))
            if keep:
                self.kept.append(one)
            forged = Flying(source=self.stations[source].address, to=one.to, data=one.data)
            self.ether.deliver(forged if which % 5 == 0 else one)

    @rule(which=st.integers(0, 100), at=st.integers(0, DATAGRAM_MAX_BYTES), put=st.binary(max_size=20))
    def spoil(self, which: int, at: int, put: bytes) -> None:
        flying = self.ether.flying or self.kept
        if flying:
            one = flying[which % len(flying)]
            data = (one.data[:at] + put + one.data[at + len(put) :])[:DATAGRAM_MAX_BYTES]
            self.ether.deliver(Flying(source=one.source, to=one.to, data=data))

    @rule()
    def lose(self) -> None:
        self.ether.flying.clear()

    @rule()
    def settle(self) -> None:
        self.ether.settle()

    @rule(for_ms=waits)
    def wait(self, for_ms: int) -> None:
        self.ether.now = Instant(self.ether.now + for_ms)
        for station in self.stations:
            self.ether.post(station.address, station.pairs.wake(self.ether.now))

    @rule(one=stations, other=stations)
    def forget(self, one: int, other: int) -> None:
        self.stations[one].pairs.forget(self.stations[other].id)

    @rule(one=stations)
    def show(self, one: int) -> None:
        self.stations[one].pairs.show(self.stations[one].member.credentials)

    @rule(one=stations)
    def shut_or_open_the_door(self, one: int) -> None:
        self.out ^= {self.stations[one].id}

    @invariant()
    def nothing_is_heard_twice_or_from_nobody(self) -> None:
        for station in self.stations:
            assert len(station.payloads) == len(set(station.payloads))
            assert self.said.issuperset(station.payloads)
            assert self.stations[-1].id not in [heard.peer for heard in station.heard]
        assert not self.stations[-1].heard

    @invariant()
    def bounds_hold_and_every_entry_has_its_counterpart(self) -> None:
        for station in self.stations:
            self._look(station)

    def _look(self, station: Station) -> None:
        pairs = station.pairs
        assert pairs.pairs <= MOST.pairs
        assert pairs.half_open <= MOST.places.most
        by_peer = [pair for rows in pairs._by_peer.values() for pair in rows]
        assert {id(pair) for pair in by_peer} == {id(pair) for pair in pairs._pairs.values()}
        assert all(0 < len(rows) <= ROWS_PER_PEER for rows in pairs._by_peer.values())
        half_open = pairs._half_open
        assert len(half_open._by_index) == len(half_open._by_caller) == sum(half_open._taken.values())
        calls = pairs._calls
        tries = [begun for call in calls._calls.values() for begun in call.tries]
        assert {id(begun) for begun in tries} == {id(begun) for begun in calls._tries.values()}
        assert calls._flights.keys() <= pairs._pairs.keys()
        assert pairs.busy == bool(calls._calls or calls._flights or half_open._by_index)

    def teardown(self) -> None:
        """Let everything end."""
        self.ether.flying.clear()
        self.wait(2 * HOUR_MS)
        for station in self.stations:
            assert (station.pairs.pairs, station.pairs.half_open, station.pairs.calls) == (0, 0, 0)


TestAnything = Anything.TestCase
TestAnything.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
