"""Whom a peer keeps channels with: everybody in a small mesh, and in a large one what a routing table needs."""

from collections.abc import Sequence
from itertools import pairwise

import pytest

from mesh.core.directory import Directory, Known
from mesh.core.effects import CloseChannel, Dial
from mesh.core.events import ChannelClosed, ChannelOpened
from mesh.core.notes import PeersNeeded
from mesh.core.turn import Turn
from mesh.core.view import (
    CHOOSE_MS,
    LINKS_LEAST,
    LINKS_NEAREST,
    LINKS_PER_DISTANCE,
    NEEDED_MS,
    OPENING_LARGE_MS,
    OPENING_MS,
    OPENINGS,
    OPENINGS_FIRST,
    SIZED_MS,
    SURPLUS_MS,
    TOLD_EACH_MS,
    View,
    crowd,
    distance,
    links,
)
from mesh.ground.dice import Dice
from mesh.ground.ids import PeerId
from mesh.ground.instants import SECOND_MS, Instant
from mesh.ground.limits import EVERYBODY
from mesh.wire.dials import Parting
from mesh.wire.messages import Address, Contact, Contacts, Hello
from tests.support.cast import Actor, Cast, blob, boot
from tests.support.rig import Rig, of, sent

ME = PeerId(blob("me"))
NOW = Instant(1_000)


def peers(count: int) -> list[PeerId]:
    return [PeerId(blob(f"peer {number}")) for number in range(count)]


def view_of(connected: list[PeerId], nodes: Sequence[PeerId] = (), *, everybody: int = EVERYBODY) -> View:
    directory = Directory(ME)
    for peer in connected:
        directory.peers[peer] = Known(dialled=True)
        directory.connect(peer)
    view = View(directory, lambda: nodes, everybody)
    view.choose(NOW)
    return view


@pytest.mark.parametrize(("count", "large"), [(0, False), (EVERYBODY, False), (EVERYBODY + 1, True)])
def test_in_a_mesh_that_is_not_large_everybody_is_wanted(count: int, large: bool) -> None:
    view = view_of(peers(count))
    assert view.large == large
    assert view.wants(PeerId(blob("somebody"))) != large


def test_in_a_large_mesh_the_nearest_and_some_at_each_distance_are_wanted() -> None:
    known = peers(2_000)
    chosen = links(ME, known, lambda _peer: False)
    nearest = sorted(known, key=lambda peer: distance(ME, peer))
    assert set(nearest[:LINKS_NEAREST]) <= set(chosen)
    far = [distance(ME, peer).bit_length() for peer in chosen if peer not in nearest[:LINKS_NEAREST]]
    there = {distance(ME, peer).bit_length() for peer in nearest[LINKS_NEAREST:]}
    assert set(far) == there
    assert all(far.count(bits) <= LINKS_PER_DISTANCE for bits in there)
    assert 25 <= len(chosen) <= 45


def test_the_choice_does_not_depend_on_the_order_of_who_is_known() -> None:
    known = peers(300)
    assert set(links(ME, known, lambda _peer: False)) == set(links(ME, known[::-1], lambda _peer: False))


def test_who_is_connected_keeps_its_place_but_not_among_the_nearest() -> None:
    known = peers(600)
    before = links(ME, known, lambda _peer: False)
    farthest = max(known, key=lambda peer: distance(ME, peer))
    assert farthest not in before
    after = links(ME, known, lambda peer: peer == farthest)
    assert farthest in after
    nearest = sorted(known, key=lambda peer: distance(ME, peer))[:LINKS_NEAREST]
    assert set(nearest) <= set(after)


def test_most_choices_are_mutual() -> None:
    known = peers(500)
    chosen = {one: links(one, [other for other in known if other != one], lambda _peer: False) for one in known}
    both = sum(one in chosen[other] for one in known for other in chosen[one])
    assert both >= 0.5 * sum(map(len, chosen.values()))


def test_all_peers_of_a_large_mesh_hang_together_by_their_channels() -> None:
    known = peers(1_000)
    chosen = {one: links(one, [other for other in known if other != one], lambda _peer: False) for one in known}
    reached, waiting, steps = {known[0]}, [known[0]], 0
    while waiting:
        steps += 1
        found = {other for one in waiting for other in chosen[one]} - reached
        reached |= found
        waiting = sorted(found)
    assert len(reached) == len(known)
    assert steps <= 10


@pytest.mark.parametrize("size", [200, 1_000, 5_000])
def test_the_size_of_a_mesh_is_estimated_by_its_nearest_peers(size: int) -> None:
    guesses = sorted(crowd(PeerId(blob(f"viewer {number}")), peers(size)) for number in range(31))
    assert 0.8 * size <= guesses[15] <= 1.25 * size
    assert 0.4 * size <= guesses[1]
    assert guesses[-2] <= 2.5 * size


def test_who_has_found_its_place_in_a_large_mesh_knows_it_before_it_has_met_many() -> None:
    ordered = sorted(peers(6 * EVERYBODY), key=lambda peer: distance(ME, peer))
    assert view_of(ordered[LINKS_LEAST : 2 * LINKS_LEAST], ordered[:LINKS_LEAST]).large
    assert not view_of(ordered[:: len(ordered) // LINKS_LEAST]).large, "a few from anywhere may be all there are"


@pytest.mark.parametrize("size", [50, EVERYBODY])
def test_in_a_mesh_that_is_not_large_hardly_anybody_thinks_that_it_is(size: int) -> None:
    guesses = [crowd(PeerId(blob(f"viewer {number}")), peers(size)) for number in range(200)]
    assert sum(guess > 2 * EVERYBODY for guess in guesses) <= len(guesses) // 50


def test_few_peers_are_counted() -> None:
    assert crowd(ME, peers(9)) == 10


def meet_just(directory: Directory, count: int) -> None:
    for peer in directory.all_connected():
        directory.disconnect(peer)
    directory.peers = {peer: Known() for peer in peers(count)}
    for peer in directory.peers:
        directory.connect(peer)


def test_a_mesh_that_grows_and_shrinks_a_little_does_not_go_to_and_fro() -> None:
    directory = Directory(ME)
    view = View(directory, tuple, 40)
    seen = []
    for step, count in enumerate((38, 41, 39, 41, 38, 41)):
        meet_just(directory, count)
        view.choose(Instant(NOW + step * CHOOSE_MS))
        seen.append(view.large)
    assert sum(one != other for one, other in pairwise(seen)) == 1
    meet_just(directory, 10)
    view.choose(Instant(NOW + 6 * CHOOSE_MS))
    assert not view.large


def test_a_peer_with_few_channels_in_a_large_mesh_takes_anybody() -> None:
    assert view_of(peers(LINKS_LEAST - 1), peers(200)).takes_anybody()
    assert not view_of(peers(LINKS_LEAST), peers(200)).takes_anybody()


def test_a_small_limit_makes_for_few_links() -> None:
    assert len(view_of(peers(40), everybody=4).links) <= 8


def test_whom_a_job_needs_is_wanted_for_a_while() -> None:
    view = view_of(peers(200))
    somebody = PeerId(blob("keeper"))
    assert view.need(NOW, somebody)
    assert not view.need(NOW, somebody)
    view.choose(Instant(NOW + NEEDED_MS))
    assert view.wants(somebody)
    view.choose(Instant(NOW + NEEDED_MS + CHOOSE_MS))
    assert not view.wants(somebody)


def test_channels_are_paid_for_when_they_open_save_those_that_a_job_needs() -> None:
    view = view_of([])
    assert view.remember(NOW, 2) == OPENINGS
    for peer in peers(OPENINGS):
        view.opened(peer)
    assert view.openings(NOW) == 0
    assert view.openings(Instant(NOW + 3 * OPENING_MS)) == 3
    keeper = PeerId(blob("keeper"))
    view.need(NOW, keeper)
    view.opened(keeper)
    assert view.openings(Instant(NOW + 3 * OPENING_MS)) == 3


@pytest.mark.parametrize("large", [True, False])
def test_a_newcomer_opens_few_channels_before_it_knows_how_large_the_mesh_is_and_in_a_large_one_after(
    large: bool,
) -> None:
    view = view_of(peers(EVERYBODY + 1 if large else 2))
    assert view.openings(NOW) == OPENINGS_FIRST
    for peer in peers(OPENINGS_FIRST):
        view.opened(peer)
    assert view.openings(Instant(NOW + SIZED_MS - 1)) <= 1
    later = [view.openings(Instant(NOW + after_ms)) for after_ms in (OPENING_LARGE_MS, 3 * OPENING_LARGE_MS)]
    rest, each = OPENINGS - OPENINGS_FIRST, OPENING_LARGE_MS // OPENING_MS
    assert later == ([1, 3] if large else [rest + each, min(OPENINGS, rest + 3 * each)])


def test_whose_journal_names_more_than_everybody_waits_like_a_newcomer() -> None:
    assert view_of([]).remember(NOW, EVERYBODY + 1) == OPENINGS_FIRST
    assert view_of([]).remember(NOW, 0) == OPENINGS_FIRST


# Through the whole core.


def meet(rig: Rig, actors: list[Actor], *, dialled: bool) -> None:
    for number, actor in enumerate(actors):
        address = Address(host=f"10.3.0.{number + 1}", port=7_000) if dialled else None
        rig.tell(ChannelOpened(peer=actor.id, boot=boot(actor.name), address=address))


@pytest.fixture
def crowded(cast: Cast) -> tuple[Rig, list[Actor]]:
    """A peer of a mesh that is large to it, with channels that it opened itself."""
    rig = Rig(cast, everybody=8)
    actors = [cast.actor(f"peer {number}") for number in range(24)]
    meet(rig, actors, dialled=True)
    rig.wait(SECOND_MS, *actors)
    assert rig.peer.view.large
    rig.clear()
    return rig, actors


def test_a_channel_that_was_of_no_use_for_long_is_closed_by_who_opened_it(crowded: tuple[Rig, list[Actor]]) -> None:
    rig, actors = crowded
    wanted = set(rig.peer.view.links)
    rig.wait(SURPLUS_MS + 40 * SECOND_MS, *actors)
    closed = {effect.peer for effect in of(rig.effects, CloseChannel)}
    assert closed == {actor.id for actor in actors} - wanted
    assert {peer for peer, _ in sent(rig.effects, Parting)} == closed
    assert not {dial.peer for dial in of(rig.effects, Dial)} & closed


def test_whoever_was_dialled_closes_nothing(cast: Cast) -> None:
    rig = Rig(cast, everybody=8)
    actors = [cast.actor(f"peer {number}") for number in range(24)]
    meet(rig, actors, dialled=False)
    rig.wait(2 * SURPLUS_MS, *actors)
    assert not of(rig.effects, CloseChannel)


def test_a_peer_that_parts_is_not_dead_and_is_not_dialled_where_nobody_wants_it(cast: Cast) -> None:
    rig = Rig(cast, everybody=8)
    actors = [cast.actor(f"peer {number}") for number in range(24)]
    meet(rig, actors, dialled=False)
    rig.wait(SECOND_MS, *actors)
    unwanted = next(actor for actor in actors if not rig.peer.view.wants(actor.id))
    rig.clear()
    rig.hear(unwanted, Parting())
    rig.tell(ChannelClosed(peer=unwanted.id, clean=True))
    known = rig.peer.directory.peers[unwanted.id]
    assert not known.left
    assert unwanted.id in rig.peer.directory.heard_within(rig.now.wall, SECOND_MS)
    rig.wait(60 * SECOND_MS, *actors)
    assert unwanted.id not in {dial.peer for dial in of(rig.effects, Dial)}


def test_in_a_large_mesh_hearsay_makes_nobody_dial(
    crowded: tuple[Rig, list[Actor]],
) -> None:
    rig, actors = crowded
    told = tuple(
        Contact(peer=PeerId(blob(f"told {number}")), addresses=(Address(host=f"10.4.0.{number + 1}", port=7_000),))
        for number in range(60)
    )
    rig.hear(actors[0], Contacts(contacts=told))
    rig.wait(20 * SECOND_MS, *actors)
    assert not {dial.peer for dial in of(rig.effects, Dial)} & {contact.peer for contact in told}
    assert not {contact.peer for contact in told} & set(rig.peer.directory.peers)


def test_a_peer_that_a_job_needs_is_dialled_at_once_wherever_it_stands(crowded: tuple[Rig, list[Actor]]) -> None:
    rig, actors = crowded
    unwanted = next(actor for actor in actors if not rig.peer.view.wants(actor.id))
    rig.hear(unwanted, Parting())
    rig.tell(ChannelClosed(peer=unwanted.id, clean=True))
    rig.clear()
    turn_notes(rig, PeersNeeded(peers=(unwanted.id, rig.me.id)))
    assert [dial.peer for dial in of(rig.effects, Dial)] == [unwanted.id]


def turn_notes(rig: Rig, note: PeersNeeded) -> None:
    """Let one machine's news reach the others, as in a turn."""
    turn = Turn(rig.now, Dice(b"note"), rig.me.id)
    for route in rig.peer.note_routes[PeersNeeded]:
        route(turn, note)
    rig.effects += turn.effects


def greet(rig: Rig, actor: Actor, number: int) -> None:
    """Let a member say where it listens."""
    at = (Address(host=f"10.0.{number // 250}.{1 + number % 250}", port=7_000),)
    rig.hear(actor, Hello(name=actor.name, program="meshnode", addresses=at, wall=rig.now.wall, chain=actor.chain))


@pytest.mark.parametrize(("count", "told"), [(40, True), (EVERYBODY + 20, False)])
def test_where_everybody_is_wanted_one_peer_hears_of_all_others_every_ten_seconds(
    cast: Cast, count: int, told: bool
) -> None:
    """Of those whom a newcomer is told of a few pairs never heard of each other."""
    rig = Rig(cast)
    crowd_of = [cast.actor(f"peer {number}") for number in range(count)]
    for number, actor in enumerate(crowd_of):
        rig.meet(actor)
        greet(rig, actor, number)
    rig.wait(2 * SECOND_MS, *crowd_of)
    rig.effects.clear()
    rig.wait(2 * TOLD_EACH_MS, *crowd_of)
    heard = {
        peer: sum(len(said.contacts) for to, said in sent(rig.effects, Contacts) if to == peer)
        for peer, _ in sent(rig.effects, Contacts)
    }
    assert bool(heard) == told
    assert all(number >= count - 1 for number in heard.values())
