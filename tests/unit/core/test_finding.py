"""Whom a peer dials that it has not met: addresses that a person gave, and peers that others tell of."""

from itertools import pairwise

import pytest

from mesh.core.effects import Dial, Knock
from mesh.core.events import ChannelClosed, ChannelOpened, DialFailed
from mesh.core.view import CALLED_UP_MS, OPENING_MS, OPENINGS, OPENINGS_FIRST, distance
from mesh.ground.ids import PeerId
from mesh.ground.instants import MINUTE_MS, SECOND_MS, WallTime
from mesh.ground.limits import EVERYBODY, REDIAL_MOST_MS, RUMOUR_PURSE, RUMOUR_TRIES, RUMOURS_PER_SECOND
from mesh.wire.kept import KeptContact
from mesh.wire.messages import Address, Contact, Contacts, Hello
from tests.support.cast import NOW, Actor, Cast, blob, boot
from tests.support.rig import Rig, of, sent

GIVEN = Address(host="10.0.0.1", port=7_000)
OWN = Address(host="10.0.0.2", port=7_000)
LOCAL = (
    Address(host="127.0.0.1", port=7_000),
    Address(host="::1", port=7_000),
    Address(host="localhost", port=7_000),
    Address(host="fe80::1%eth0", port=7_000),
    Address(host="169.254.3.4", port=7_000),
    Address(host="::", port=7_000),
)


def contact(peer: PeerId, *addresses: Address) -> Contact:
    return Contact(peer=peer, addresses=addresses or (Address(host="10.9.9.9", port=7_000),))


def nobody(word: object, count: int) -> list[Contact]:
    return [contact(PeerId(blob(f"{word} {number}"))) for number in range(count)]


def tell(rig: Rig, teller: Actor, contacts: list[Contact]) -> None:
    for at in range(0, len(contacts), 64):
        rig.hear(teller, Contacts(contacts=tuple(contacts[at : at + 64])))


def dials_in_vain(rig: Rig, for_ms: int, *alive: Actor) -> list[PeerId]:
    """Let time pass in which no dial leads anywhere; return who was dialled, what was asked for before included."""
    dialled = []
    for _ in range(for_ms // SECOND_MS):
        waiting = of(rig.effects, Dial)
        rig.clear()
        for dial in waiting:
            dialled.append(dial.peer)
            rig.tell(DialFailed(peer=dial.peer, refused=True))
        rig.wait(SECOND_MS, *alive)
    return dialled


def knocks(rig: Rig, for_ms: int, *alive: Actor) -> list[int]:
    """Let time pass; return when the given address was tried."""
    return [rig.now.instant for _ in range(for_ms // 100) if Knock(address=GIVEN) in rig.wait(100, *alive)]


def hello(rig: Rig, actor: Actor, *addresses: Address) -> None:
    rig.hear(
        actor,
        Hello(name=actor.name, program="meshnode", addresses=addresses, wall=rig.now.wall, chain=actor.chain),
    )


# Addresses that a person gave.


def test_a_given_address_is_tried_often_at_first_and_then_for_ever(cast: Cast) -> None:
    rig = Rig(cast, contacts=(GIVEN,))
    assert len(knocks(rig, 10 * SECOND_MS)) >= 2
    later = knocks(rig, 10 * MINUTE_MS)
    assert 24 <= len(later) <= 40


def test_a_given_address_is_tried_while_there_is_company_since_others_may_be_behind_it(cast: Cast) -> None:
    ann = cast.actor("ann")
    rig = Rig(cast, contacts=(GIVEN,))
    rig.meet(ann)
    rig.wait(MINUTE_MS, ann)
    at = knocks(rig, 5 * MINUTE_MS, ann)
    pauses = [after - before for before, after in pairwise(at)]
    assert REDIAL_MOST_MS * 0.7 < min(pauses) <= max(pauses) < REDIAL_MOST_MS * 1.3
    assert len(set(pauses)) > 3, "all peers of a mesh would come at once"


def test_the_larger_the_mesh_the_more_seldom_each_of_its_peers_tries(cast: Cast) -> None:
    crowd = [cast.actor(f"peer {number}") for number in range(100)]
    rig = Rig(cast, contacts=(GIVEN,))
    rig.meet(*crowd)
    rig.wait(3 * MINUTE_MS, *crowd)
    assert 4 <= len(knocks(rig, 10 * MINUTE_MS, *crowd)) <= 9


def test_an_address_of_a_connected_peer_is_tried_all_the_same(cast: Cast) -> None:
    """It may be another's by now: only the shell knows where a channel really leads."""
    ann = cast.actor("ann")
    rig = Rig(cast, contacts=(GIVEN,))
    rig.meet(ann)
    hello(rig, ann, GIVEN)
    assert knocks(rig, MINUTE_MS, ann)


def test_ones_own_address_is_never_tried(cast: Cast) -> None:
    rig = Rig(cast, contacts=(OWN,), addresses=(OWN,))
    rig.wait(MINUTE_MS)
    assert not of(rig.effects, Knock)


# What others tell.


def test_who_is_told_of_is_tried_a_few_times_and_then_known_no_more(cast: Cast) -> None:
    ann, bob = cast.actor("ann"), cast.actor("bob")
    rig = Rig(cast)
    rig.meet(ann)
    tell(rig, ann, [contact(bob.id)])
    assert dials_in_vain(rig, 3 * MINUTE_MS, ann) == [bob.id] * RUMOUR_TRIES
    assert bob.id not in rig.peer.directory.peers
    # Answers that come late find nobody to be about.
    rig.tell(DialFailed(peer=bob.id, refused=True))
    assert bob.id not in rig.peer.directory.peers


def test_who_was_forgotten_is_tried_again_when_another_peer_tells(cast: Cast) -> None:
    ann, bob, cid = (cast.actor(name) for name in ("ann", "bob", "cid"))
    rig = Rig(cast)
    rig.meet(ann, cid)
    tell(rig, ann, [contact(bob.id)])
    dials_in_vain(rig, MINUTE_MS, ann, cid)
    assert bob.id not in rig.peer.directory.peers
    tell(rig, ann, [contact(bob.id)])
    assert not of(rig.effects, Dial)
    tell(rig, cid, [contact(bob.id)])
    assert [dial.peer for dial in of(rig.effects, Dial)] == [bob.id]


def test_who_was_met_is_dialled_for_ever(cast: Cast) -> None:
    ann, bob = cast.actor("ann"), cast.actor("bob")
    rig = Rig(cast)
    rig.meet(ann)
    tell(rig, ann, [contact(bob.id)])
    rig.meet(bob)
    hello(rig, bob, Address(host="10.0.0.2", port=7_000))
    rig.tell(ChannelClosed(peer=bob.id, clean=False))
    dials_in_vain(rig, 30 * MINUTE_MS, ann)
    assert 10 <= dials_in_vain(rig, 10 * MINUTE_MS, ann).count(bob.id) <= 45


def test_thousands_of_invented_peers_cost_no_more_dials_than_a_few(cast: Cast) -> None:
    ann = cast.actor("ann")
    rig = Rig(cast)
    rig.meet(ann)
    minutes = 2
    dialled = 0
    for minute in range(minutes):
        tell(rig, ann, nobody(minute, 3_000))
        dialled += len(dials_in_vain(rig, MINUTE_MS, ann))
    assert dialled <= RUMOUR_PURSE + minutes * 60 * RUMOURS_PER_SECOND


def test_a_liar_does_not_keep_a_newcomer_from_the_others(cast: Cast) -> None:
    ann, bob = cast.actor("ann"), cast.actor("bob")
    rig = Rig(cast)
    rig.meet(ann, bob)
    tell(rig, ann, nobody("invented", 8_192))
    dials_in_vain(rig, 20 * SECOND_MS, ann, bob)
    honest = [contact(cast.actor(f"honest {number}").id) for number in range(30)]
    tell(rig, bob, honest)
    assert {one.peer for one in honest} <= set(dials_in_vain(rig, 6 * SECOND_MS, ann, bob))


def test_a_newcomer_dials_a_studio_at_once_and_a_crowd_in_time(cast: Cast) -> None:
    """Each channel costs both sides some kilobytes: a hundred peers that come together must be no storm."""
    ann = cast.actor("ann")
    crowd = [cast.actor(f"peer {number}") for number in range(50)]
    rig = Rig(cast)
    rig.meet(ann)
    tell(rig, ann, [contact(actor.id) for actor in crowd])
    dialled = of(rig.effects, Dial)
    assert len(dialled) == OPENINGS_FIRST
    opened = [open_all(rig, crowd, dialled)]
    opened += [open_all(rig, crowd, of(rig.wait(OPENING_MS, ann, *crowd), Dial)) for _ in range(10)]
    assert opened[0] == OPENINGS_FIRST
    assert OPENINGS <= sum(opened[:3]) <= OPENINGS + 3, "it knows by now that this is no large mesh"
    assert all(1 <= count <= 2 for count in opened[3:])
    assert sum(opened) == len(rig.peer.directory.all_connected()) - 1


def test_dials_that_lead_nowhere_keep_nobody_waiting(cast: Cast) -> None:
    ann = cast.actor("ann")
    rig = Rig(cast)
    rig.meet(ann)
    tell(rig, ann, nobody("gone", 200))
    assert len(set(dials_in_vain(rig, 20 * SECOND_MS, ann))) == 200


def test_peers_of_the_journal_are_dialled_nearest_first_and_a_crowd_of_them_in_time(cast: Cast) -> None:
    rig, ids = remembering(cast, 40)
    assert [dial.peer for dial in of(rig.effects, Dial)] == ids[:OPENINGS]
    later = of(rig.wait((40 - OPENINGS) * OPENING_MS), Dial)
    assert {dial.peer for dial in later} >= set(ids[OPENINGS:])


def test_of_two_that_start_again_together_neither_waits_a_minute_for_the_other(cast: Cast) -> None:
    """As after a failure of a whole studio's power: each is among those whom the other dials last."""
    rig, ids = remembering(cast, EVERYBODY)
    dialled = [dial.peer for dial in of(rig.effects, Dial)]
    for _ in range(CALLED_UP_MS // SECOND_MS):
        rig.clear()
        fresh = [dial.peer for dial in of(rig.wait(SECOND_MS), Dial) if dial.peer not in dialled]
        assert len(fresh) <= 4, "and it is no storm"
        dialled += fresh
    assert dialled == ids


def test_whose_journal_names_a_crowd_goes_on_with_one_dial_each_two_seconds(cast: Cast) -> None:
    rig, ids = remembering(cast, EVERYBODY + 1)
    assert [dial.peer for dial in of(rig.effects, Dial)] == ids[:OPENINGS_FIRST]
    rig.clear()
    assert {dial.peer for dial in of(rig.wait(OPENING_MS), Dial)} == {ids[OPENINGS_FIRST]}


def remembering(cast: Cast, count: int) -> tuple[Rig, list[PeerId]]:
    """Return a peer that starts again and knows some others, and them, the nearest first."""
    me = cast.actor("me").id
    ids = sorted((PeerId(blob(f"kept {number}")) for number in range(count)), key=lambda peer: distance(me, peer))
    kept = tuple(KeptContact(contact=contact(peer), heard=WallTime(NOW.wall - SECOND_MS)) for peer in sorted(ids))
    return Rig(cast, kept=kept), ids


def open_all(rig: Rig, crowd: list[Actor], dials: list[Dial]) -> int:
    """Let peers that are dialled be there; return how many channels opened."""
    by_id = {actor.id: actor for actor in crowd}
    for dial in dials:
        opened = ChannelOpened(peer=dial.peer, boot=boot(by_id[dial.peer].name), address=dial.addresses[0])
        rig.tell(opened)
    return len(dials)


def test_others_are_told_again_now_and_then(cast: Cast) -> None:
    """Some never heard of a peer that nobody can dial, and some have forgotten it."""
    ann, bob = cast.actor("ann"), cast.actor("bob")
    rig = Rig(cast)
    rig.meet(ann, bob)
    for number, actor in enumerate((ann, bob)):
        hello(rig, actor, Address(host=f"10.0.1.{number + 1}", port=7_000))
    rig.clear()
    rig.wait(5 * MINUTE_MS, ann, bob)
    told = sent(rig.effects, Contacts)
    assert {peer for peer, _ in told} == {ann.id, bob.id}
    assert 20 <= len(told) <= 40


# What is only true on one machine.


def test_a_peer_elsewhere_is_told_nothing_that_is_only_true_here(cast: Cast) -> None:
    ann, bob = cast.actor("ann"), cast.actor("bob")
    rig = Rig(cast, addresses=(OWN, *LOCAL))
    rig.tell(ChannelOpened(peer=bob.id, boot=boot("bob"), address=LOCAL[0], here=True))
    hello(rig, bob, GIVEN, *LOCAL)
    rig.clear()
    rig.meet(ann)
    rig.wait(5 * MINUTE_MS, ann, bob)
    told = [message for peer, message in sent(rig.effects, Contacts) if peer == ann.id]
    assert told
    assert {at for message in told for one in message.contacts for at in one.addresses} == {GIVEN}
    assert [message.addresses for peer, message in sent(rig.effects, Hello) if peer == ann.id] == [(OWN,)]


def test_two_peers_of_one_machine_tell_each_other_all(cast: Cast) -> None:
    ann = cast.actor("ann")
    rig = Rig(cast, addresses=(OWN, *LOCAL))
    effects = rig.tell(ChannelOpened(peer=ann.id, boot=boot("ann"), address=None, here=True))
    assert [message.addresses for _, message in sent(effects, Hello)] == [(OWN, *LOCAL)]


@pytest.mark.parametrize("local", LOCAL, ids=str)
def test_nobody_elsewhere_makes_a_peer_dial_its_own_machine(cast: Cast, local: Address) -> None:
    ann, bob = cast.actor("ann"), cast.actor("bob")
    rig = Rig(cast)
    rig.meet(ann)
    hello(rig, ann, local)
    tell(rig, ann, [contact(bob.id, local)])
    dials_in_vain(rig, MINUTE_MS, ann)
    assert bob.id not in rig.peer.directory.peers
    assert local not in rig.peer.directory.peers[ann.id].addresses
