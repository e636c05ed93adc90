"""Channels, dials, round trips, and who is surely gone."""

import pytest

from mesh.core.contacts import KNOWS_MANY
from mesh.core.directory import MUTE_MS, copies_for
from mesh.core.effects import Append, CloseChannel, Dial, Knock
from mesh.core.events import ChannelClosed, ChannelOpened, DialFailed, Started, TwinMet
from mesh.core.me import Me
from mesh.core.peer import Peer
from mesh.core.view import CONTACTS_TOLD, LINKS_NEAREST, distance
from mesh.ground.ids import PeerId
from mesh.ground.instants import HOUR_MS, MINUTE_MS, SECOND_MS, WallTime
from mesh.ground.limits import (
    DIAL_BACK_MS,
    MAX_CONTACTS,
    REDIAL_MOST_MS,
    RUMOUR_PURSE,
    RUMOUR_TRIES,
    RUMOURS_PER_SECOND,
    SETTLE_SAMPLES,
    SILENT_MS,
)
from mesh.wire.envelope import sign
from mesh.wire.kept import KeptChain, KeptContact
from mesh.wire.members import Credentials, StaticKey
from mesh.wire.messages import MAX_ADDRESSES, Address, Contact, Contacts, Hello, LeasesHeard, Ping, Pong
from tests.support.cast import WALL, Actor, Cast, blob, boot
from tests.support.rig import Rig, journal, kept, of, sent
from tests.support.small_mesh import SmallMesh


def address(number: int) -> Address:
    return Address(host=f"10.{number // 62_500}.{number // 250 % 250}.{number % 250}", port=7_000)


def contact(actor: Actor, *numbers: int) -> Contact:
    return Contact(peer=actor.id, addresses=tuple(address(number) for number in numbers))


@pytest.fixture
def rig(cast: Cast) -> Rig:
    return Rig(cast)


def hello(rig: Rig, actor: Actor, *numbers: int) -> None:
    rig.hear(
        actor,
        Hello(
            name=actor.name,
            program="meshnode",
            addresses=tuple(address(number) for number in numbers),
            wall=rig.now.wall,
            chain=actor.chain,
        ),
    )


def test_who_is_told_of_a_peer_dials_it_once(rig: Rig, cast: Cast) -> None:
    ann, bob = cast.actor("ann"), cast.actor("bob")
    rig.meet(ann)
    for _ in range(3):
        rig.hear(ann, Contacts(contacts=(contact(bob, 1),)))
    assert of(rig.effects, Dial) == [Dial(peer=bob.id, addresses=(address(1),))]


def test_a_broken_channel_is_dialled_back_at_once_and_then_ever_more_seldom(rig: Rig, cast: Cast) -> None:
    ann = cast.actor("ann")
    rig.meet(ann)
    hello(rig, ann, 1)
    assert of(rig.tell(ChannelClosed(peer=ann.id, clean=False)), Dial)
    times = []
    for _ in range(14):
        rig.tell(DialFailed(peer=ann.id, refused=False))
        before = rig.now.instant
        while not of(rig.wait(100), Dial):
            pass
        times.append(rig.now.instant - before)
    assert times[0] <= 2 * DIAL_BACK_MS, "a dying process may still seem to listen"
    assert REDIAL_MOST_MS * 0.7 < times[-1] < REDIAL_MOST_MS * 1.3


def test_a_peer_that_comes_and_goes_a_hundred_times_is_dialled_no_oftener_afterwards(rig: Rig, cast: Cast) -> None:
    ann = cast.actor("ann")
    for life in range(100):
        rig.meet(ann, life=str(life))
        hello(rig, ann, 1)
        rig.tell(ChannelClosed(peer=ann.id, clean=True))
        rig.jump(137)
    rig.clear()
    for _ in range(300):
        for dial in of(rig.wait(SECOND_MS), Dial):
            rig.tell(DialFailed(peer=dial.peer, refused=False))
    assert len(of(rig.effects, Dial)) < 300 * SECOND_MS / REDIAL_MOST_MS * 1.5 + 5


def test_the_addresses_that_a_peer_gave_itself_are_not_pushed_out_by_others(rig: Rig, cast: Cast) -> None:
    ann, bob = cast.actor("ann"), cast.actor("bob")
    rig.meet(ann, bob)
    hello(rig, bob, 1)
    for round_ in range(5):
        rig.hear(ann, Contacts(contacts=(contact(bob, *(100 + 10 * round_ + number for number in range(8))),)))
    dial = of(rig.tell(ChannelClosed(peer=bob.id, clean=False)), Dial)[0]
    assert address(1) in dial.addresses
    assert len(dial.addresses) <= MAX_ADDRESSES


def dialled(rig: Rig, for_ms: int, *alive: Actor) -> list[tuple[tuple[Address, ...], int]]:
    """Let time pass in which every dial fails; return what was tried, and how much of it others tell."""
    found = []
    for _ in range(for_ms // SECOND_MS):
        for dial in of(rig.wait(SECOND_MS, *alive), Dial):
            found.append((dial.addresses, dial.others))
            rig.tell(DialFailed(peer=dial.peer, refused=False))
    return found


@pytest.mark.parametrize("later", [(), (1,), (3,)], ids=["nothing", "the old address", "another"])
def test_where_others_say_that_a_peer_is_is_tried_a_few_times_and_told_apart(
    rig: Rig, cast: Cast, later: tuple[int, ...]
) -> None:
    ann, eve, bob = cast.actor("ann"), cast.actor("eve"), cast.actor("bob")
    rig.meet(ann, eve, bob)
    hello(rig, bob, 1)
    rig.tell(ChannelClosed(peer=bob.id, clean=False))
    rig.tell(DialFailed(peer=bob.id, refused=False))
    rig.hear(ann, Contacts(contacts=(contact(bob, 1, 2),)))
    for number in later:
        rig.hear(eve, Contacts(contacts=(contact(bob, number),)))
    tried = dialled(rig, 10 * MINUTE_MS, ann, eve)
    assert sum(address(2) in addresses for addresses, _ in tried) == RUMOUR_TRIES
    assert all(addresses[0] == address(1) for addresses, _ in tried)
    assert all(address(2) not in addresses[: len(addresses) - others] for addresses, others in tried)
    assert len(tried) > RUMOUR_TRIES


def test_a_rumour_that_came_by_itself_and_broke_before_it_said_where_it_is_is_dialled_still(
    rig: Rig, cast: Cast
) -> None:
    ann, bob = cast.actor("ann"), cast.actor("bob")
    rig.meet(ann)
    rig.hear(ann, Contacts(contacts=(contact(bob, 5),)))
    rig.tell(DialFailed(peer=bob.id, refused=False))
    rig.tell(ChannelOpened(peer=bob.id, boot=boot("bob"), address=None))
    rig.clear()
    rig.tell(ChannelClosed(peer=bob.id, clean=False))
    assert [(dial.addresses, dial.others) for dial in of(rig.effects, Dial)] == [((address(5),), 1)]
    rig.tell(DialFailed(peer=bob.id, refused=False))
    assert dialled(rig, 10 * MINUTE_MS, ann) == [((address(5),), 1)] * (RUMOUR_TRIES - 1)
    rig.clear()
    rig.hear(ann, Contacts(contacts=(contact(bob, 5),)))
    assert [(dial.addresses, dial.others) for dial in of(rig.effects, Dial)] == [((address(5),), 1)]


def test_who_is_named_again_and_again_while_it_is_dialled_keeps_no_rumour_waiting(rig: Rig, cast: Cast) -> None:
    ann, bob, carl, liar = (cast.actor(name) for name in ("ann", "bob", "carl", "liar"))
    rig.meet(ann, bob, liar)
    hello(rig, bob, *range(8))
    rig.tell(ChannelClosed(peer=bob.id, clean=True))
    rig.wait(3 * SECOND_MS, ann, liar)
    for _ in range(400):
        rig.hear(liar, Contacts(contacts=(contact(bob, 1),) * 3))
        rig.wait(50, ann, liar)
    rig.clear()
    rig.hear(ann, Contacts(contacts=(contact(carl, 40),)))
    rig.wait(2 * SECOND_MS, ann, liar)
    assert carl.id in {dial.peer for dial in of(rig.effects, Dial)}


def test_what_others_say_of_those_who_left_is_dialled_out_of_one_purse(rig: Rig, cast: Cast) -> None:
    liar = cast.actor("liar")
    rig.meet(liar)
    gone = [cast.actor(f"gone {number}") for number in range(40)]
    for number, actor in enumerate(gone):
        rig.meet(actor)
        hello(rig, actor, number)
        rig.tell(ChannelClosed(peer=actor.id, clean=True))
    rig.clear()
    for _ in range(30):
        rig.hear(liar, Contacts(contacts=tuple(contact(actor, *range(1_000, 1_008)) for actor in gone)))
        for dial in of(rig.effects, Dial):
            rig.tell(DialFailed(peer=dial.peer, refused=False))
        rig.wait(2 * SECOND_MS, liar)
    tried = sum(dial.others for dial in of(rig.effects, Dial))
    assert RUMOUR_PURSE < tried <= RUMOUR_PURSE + 61 * RUMOURS_PER_SECOND
    rig.clear()
    rig.wait(5 * MINUTE_MS, liar)
    assert sum(dial.others for dial in of(rig.effects, Dial)) <= len(gone) * MAX_ADDRESSES * RUMOUR_TRIES


def test_a_flood_of_contacts_is_bounded(rig: Rig, cast: Cast) -> None:
    ann = cast.actor("ann")
    rig.meet(ann)
    for batch in range(200):
        made_up = tuple(
            Contact(peer=PeerId(blob(f"{batch} {number}")), addresses=(address(number),)) for number in range(64)
        )
        rig.hear(ann, Contacts(contacts=made_up))
    assert len(rig.peer.directory.peers) <= MAX_CONTACTS


def test_a_member_that_comes_itself_is_taken_however_many_contacts_there_are(rig: Rig, cast: Cast) -> None:
    ann, bob = cast.actor("ann"), cast.actor("bob")
    rig.meet(ann)
    for batch in range(1 + MAX_CONTACTS // 64):
        made_up = tuple(
            Contact(peer=PeerId(blob(f"{batch} {number}")), addresses=(address(number),)) for number in range(64)
        )
        rig.hear(ann, Contacts(contacts=made_up))
    rig.meet(bob)
    assert rig.peer.directory.connected(bob.id)


def test_a_question_without_an_answer_makes_a_peer_mute_and_any_word_makes_it_answer(rig: Rig, cast: Cast) -> None:
    ann = cast.actor("ann")
    rig.meet(ann)
    rig.wait(MUTE_MS + SECOND_MS)
    assert not rig.peer.directory.answers(ann.id, rig.now.instant)
    rig.hear(ann, LeasesHeard(job=blob("no job"), leases=()))  # type: ignore[arg-type]
    assert rig.peer.directory.answers(ann.id, rig.now.instant)


def test_who_has_been_asked_and_has_not_answered_is_not_asked_each_second(rig: Rig, cast: Cast) -> None:
    """A channel loses nothing: more questions reach nobody whom the first did not."""
    ann = cast.actor("ann")
    rig.meet(ann)
    rig.wait(2 * SILENT_MS - SECOND_MS)
    assert 3 <= len(sent(rig.effects, Ping)) <= 5


@pytest.mark.parametrize("wanted", [True, False])
def test_in_a_large_mesh_who_is_not_wanted_and_does_not_answer_is_dialled_seldom(cast: Cast, wanted: bool) -> None:
    rig = Rig(cast, everybody=4)
    actors = [cast.actor(f"peer {number}") for number in range(40)]
    rig.meet(*actors)
    rig.wait(5 * SECOND_MS, *actors)
    lost = next(actor for actor in actors if rig.peer.view.wants(actor.id) is wanted)
    hello(rig, lost, 1)
    rig.tell(ChannelClosed(peer=lost.id, clean=False))
    rig.tell(DialFailed(peer=lost.id, refused=False))
    rig.clear()
    assert bool(of(rig.wait(SECOND_MS), Dial)) is wanted
    rig.wait(15 * SECOND_MS)
    assert of(rig.effects, Dial)


def test_a_channel_that_stays_silent_is_given_up_and_dialled_anew(rig: Rig, cast: Cast) -> None:
    ann = cast.actor("ann")
    rig.meet(ann)
    hello(rig, ann, 1)
    rig.clear()
    rig.wait(2 * SILENT_MS + 8 * SECOND_MS)
    assert of(rig.effects, CloseChannel) == [CloseChannel(peer=ann.id, channel=0)]
    assert of(rig.effects, Dial)
    assert not rig.peer.directory.connected(ann.id)


def test_a_ping_is_answered_and_an_answer_measured(rig: Rig, cast: Cast) -> None:
    ann = cast.actor("ann")
    rig.meet(ann)
    assert sent(rig.hear(ann, Ping(number=7)), Pong) == [(ann.id, Pong(number=7))]
    assert rig.peer.directory.usual_round_trip_ms() is None
    for _ in range(SETTLE_SAMPLES):
        rig.clear()
        while not sent(rig.effects, Ping):
            rig.wait(SECOND_MS)
        ping = sent(rig.effects, Ping)[-1][1]
        rig.jump(40)
        rig.hear(ann, Pong(number=ping.number))
    assert rig.peer.directory.usual_round_trip_ms() is not None


def test_a_pong_that_nobody_asked_for_is_no_measurement(rig: Rig, cast: Cast) -> None:
    ann = cast.actor("ann")
    rig.meet(ann)
    for number in range(1_000, 1_100):
        rig.hear(ann, Pong(number=number))
    assert rig.peer.directory.peers[ann.id].round_trips_ms == []


def test_late_answers_of_a_peer_that_was_mute_measure_no_way(cast: Cast) -> None:
    rig, ann = Rig(cast), cast.actor("ann")
    rig.meet(ann)
    rig.clear()
    rig.wait(MUTE_MS + 8 * SECOND_MS)
    pings = [ping for _, ping in sent(rig.effects, Ping)]
    assert len(pings) > 2
    for ping in pings:
        rig.hear(ann, Pong(number=ping.number))
    assert rig.peer.directory.peers[ann.id].round_trips_ms == []


def test_copies_are_as_many_as_peers_were_heard_of_in_the_last_hour(rig: Rig, cast: Cast) -> None:
    people = [cast.actor(name) for name in ("ann", "bob", "cid", "dan")]
    assert copies_for(rig.peer.directory, rig.now.wall, 3) == 1
    rig.meet(people[0])
    assert copies_for(rig.peer.directory, rig.now.wall, 3) == 2
    rig.meet(*people[1:])
    assert copies_for(rig.peer.directory, rig.now.wall, 3) == 3
    for actor in people:
        rig.tell(ChannelClosed(peer=actor.id, clean=False))
    assert copies_for(rig.peer.directory, WallTime(rig.now.wall + HOUR_MS), 3) == 3
    assert copies_for(rig.peer.directory, WallTime(rig.now.wall + HOUR_MS + 1), 3) == 1


def test_a_peer_that_stays_for_hours_is_known_to_have_been_heard_after_a_restart(rig: Rig, cast: Cast) -> None:
    ann = cast.actor("ann")
    rig.meet(ann)
    hello(rig, ann, 1)
    for _ in range(180):
        rig.wait(MINUTE_MS, ann)
    entries = kept(rig.effects, KeptContact)
    assert rig.now.wall - entries[-1].heard < HOUR_MS
    assert len(entries) <= 3 * 3 + 2


def test_where_a_peer_moved_to_is_remembered_at_once_but_not_every_move(rig: Rig, cast: Cast) -> None:
    ann = cast.actor("ann")
    rig.meet(ann)
    hello(rig, ann, 1)
    rig.wait(MINUTE_MS, ann)
    rig.effects.clear()
    for number in range(2, 102):
        hello(rig, ann, number)
    (entry,) = kept(rig.effects, KeptContact)
    assert entry.contact.addresses[0] == address(2)
    rig.wait(10 * SECOND_MS + 1_000, ann)
    assert kept(rig.effects, KeptContact)[-1].contact.addresses[0] == address(101)
    rig.effects.clear()
    rig.wait(MINUTE_MS, ann)
    assert not kept(rig.effects, KeptContact)


def names_seen(rig: Rig, actor: Actor) -> set[str]:
    """Return how people see a peer called, wherever they look."""
    members = [view.name for view in rig.peer.views.members() if view.peer == actor.id]
    peers = [view.name for view in rig.peer.mesh_view(rig.now).peers if view.peer == actor.id]
    assert members
    assert peers
    return {*members, *peers}


def hello_of(actor: Actor, name: str, *numbers: int) -> Hello:
    addresses = tuple(address(number) for number in numbers)
    return Hello(name=name, program="meshnode", addresses=addresses, wall=WALL, chain=actor.chain)


@pytest.mark.parametrize("addresses", [(1,), ()], ids=["reachable", "nowhere"])
def test_the_name_of_a_peer_that_is_off_is_known_after_restarts(
    rig: Rig, cast: Cast, addresses: tuple[int, ...]
) -> None:
    ann = cast.actor("ann")
    rig.tell(ChannelOpened(peer=ann.id, boot=boot("ann"), address=address(1) if addresses else None))
    rig.wait(SECOND_MS)  # its hello comes late
    rig.hear(ann, hello_of(ann, "ann", *addresses))
    rig.tell(ChannelClosed(peer=ann.id, clean=True))
    for _ in range(2):
        written = journal(rig.effects)
        rig = Rig(cast, actor=rig.me, kept=written)
        assert names_seen(rig, ann) == {"ann"}
        rig.effects.insert(0, Append(entries=written))


def test_a_new_name_is_kept_at_once_but_not_every_one(rig: Rig, cast: Cast) -> None:
    ann = cast.actor("ann")
    rig.let_in(ann)
    rig.wait(SECOND_MS, ann)
    rig.hear(ann, hello_of(ann, "anna", 1))
    assert kept(rig.effects, KeptContact)[-1].name == "anna"
    rig.clear()
    for number in range(HOUR_MS // SECOND_MS):
        rig.wait(SECOND_MS, ann)
        rig.hear(ann, hello_of(ann, f"ann {number}", 1))
    assert len(kept(rig.effects, KeptContact)) <= 3
    rig.wait(20 * MINUTE_MS + 11 * SECOND_MS, ann)
    assert kept(rig.effects, KeptContact)[-1].name == f"ann {number}", "with all that is written now and then"


def test_who_the_journal_names_is_dialled_at_the_start(cast: Cast) -> None:
    ann, me = cast.actor("ann"), cast.actor("me")
    peer = Peer(Me(signer=me.signer, chain=me.chain, mesh=cast.mesh, boot=boot("me"), name="me"), b"seed")
    rig = Rig(cast)
    remembered = KeptContact(contact=contact(ann, 3), heard=rig.now.wall)
    effects = peer.handle(rig.now, Started(kept=(remembered,), complete=(), addresses=(), contacts=()))
    assert of(effects, Dial) == [Dial(peer=ann.id, addresses=(address(3),))]


def test_a_boot_that_is_still_the_same_is_no_death(rig: Rig, cast: Cast) -> None:
    ann = cast.actor("ann")
    rig.meet(ann)
    before = rig.peer.directory.peers[ann.id].boot
    rig.tell(ChannelClosed(peer=ann.id, clean=False))
    rig.tell(ChannelOpened(peer=ann.id, boot=boot("ann"), address=address(9)))
    assert rig.peer.directory.peers[ann.id].boot == before
    assert rig.peer.directory.peers[ann.id].addresses == (address(9),)


@pytest.mark.parametrize("first", ["ann", "bob"])
def test_of_two_peers_that_come_at_once_one_hears_of_the_other(rig: Rig, cast: Cast, first: str) -> None:
    actors = {name: cast.actor(name) for name in ("ann", "bob")}
    for actor in actors.values():
        # Whoever dialled us is nowhere until it has said where it listens.
        rig.tell(ChannelOpened(peer=actor.id, boot=boot(actor.name), address=None))
    (second,) = actors.keys() - {first}
    for number, name in enumerate((first, second), start=1):
        hello(rig, actors[name], number)
    assert sent(rig.effects, Contacts) == [(actors[second].id, Contacts(contacts=(contact(actors[first], 1),)))]


@pytest.mark.parametrize("many", [CONTACTS_TOLD, 120])
def test_a_newcomer_hears_of_some_once_the_nearest_of_them_first(rig: Rig, cast: Cast, many: int) -> None:
    crowd = [cast.actor(f"peer {number}") for number in range(many)]
    for number, actor in enumerate(crowd):
        rig.meet(actor)
        hello(rig, actor, number)
    newcomer = cast.actor("newcomer")
    rig.effects.clear()
    rig.meet(newcomer)
    hello(rig, newcomer, 1_000)
    told = [told.peer for peer, news in sent(rig.effects, Contacts) for told in news.contacts if peer == newcomer.id]
    assert len(told) == len(set(told)) == CONTACTS_TOLD
    assert set(told) <= {actor.id for actor in crowd}
    nearest = sorted((actor.id for actor in crowd), key=lambda peer: distance(newcomer.id, peer))
    assert set(nearest[:LINKS_NEAREST]) <= set(told)


def test_a_peer_that_comes_from_elsewhere_hears_where_it_was_before(cast: Cast) -> None:
    rig = Rig(cast)
    ann = cast.actor("ann")
    for port, life in ((1, ""), (2, "again")):
        rig.clear()
        rig.tell(ChannelOpened(peer=ann.id, boot=boot("ann" + life), address=None))
        hello(rig, ann, port)
        told = [contact for _, said in sent(rig.effects, Contacts) for contact in said.contacts]
        assert told == ([] if port == 1 else [Contact(peer=ann.id, addresses=(address(1),))])


def test_where_one_is_said_to_be_and_is_not_is_knocked_at_once_ever(cast: Cast) -> None:
    rig = Rig(cast)
    ann = cast.actor("ann")
    rig.meet(ann)
    for _ in range(3):
        rig.hear(ann, Contacts(contacts=(Contact(peer=rig.me.id, addresses=(address(7), address(8))),)))
    assert [knock.address for knock in of(rig.effects, Knock)] == [address(7), address(8)]
    for number in range(100, 300):
        rig.hear(ann, Contacts(contacts=(Contact(peer=rig.me.id, addresses=(address(number),)),)))
    assert len(of(rig.effects, Knock)) == 64


def test_who_meets_its_twin_claims_nothing_more_and_dials_nobody_back_at_once(mesh: SmallMesh) -> None:
    for name in ("ann", "bob"):
        mesh.add(name, slots=0 if name == "ann" else 1)
    mesh.run_until(lambda: mesh.connected("ann", "bob"))
    bob = mesh.hosts["bob"]
    mesh.tell(bob, TwinMet(address=address(9)))
    job = mesh.submit("ann", frames=4)
    mesh.run(30 * SECOND_MS)
    assert bob.core.slots.idle
    assert not bob.core.claims.mine
    assert mesh.hosts["ann"].job(job).counting == 0
    assert bob.core.mesh_view(mesh.now).twin == address(9)
    effects = bob.core.handle(mesh.now, ChannelClosed(peer=mesh.hosts["ann"].id, clean=False))
    assert of(effects, Dial) == []


def test_a_chain_that_the_handshake_showed_is_not_said_again_and_kept_all_the_same(rig: Rig, cast: Cast) -> None:
    ann = cast.actor("ann")
    shown = Credentials(
        chain=ann.chain,
        static=sign(StaticKey(mesh=cast.mesh, static=b"s" * 32), ann.signer),
        boot=boot("ann"),
        renewed=None,
    )
    effects = rig.tell(ChannelOpened(peer=ann.id, boot=boot("ann"), address=None, shown=shown))
    assert [said.chain for _, said in sent(effects, Hello)] == [()]
    hers = Hello(name="ann", program="meshnode", addresses=(), wall=rig.now.wall, chain=())
    assert kept(rig.hear(ann, hers), KeptChain) == [KeptChain(chain=ann.chain)]


def test_who_has_many_channels_is_told_of_nobody(rig: Rig, cast: Cast) -> None:
    ann, bob, cid = (cast.actor(name) for name in ("ann", "bob", "cid"))
    rig.meet(ann)
    hello(rig, ann, 1)
    for actor, knows in ((bob, KNOWS_MANY - 1), (cid, KNOWS_MANY)):
        rig.clear()
        rig.tell(ChannelOpened(peer=actor.id, boot=boot(actor.name), address=None))
        said = Hello(name="x", program="meshnode", addresses=(), wall=rig.now.wall, chain=actor.chain, knows=knows)
        rig.hear(actor, said)
        assert bool(sent(rig.effects, Contacts)) == (knows < KNOWS_MANY)
