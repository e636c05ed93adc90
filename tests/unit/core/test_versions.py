"""Peers of two versions in one mesh: who is told what, and who has part in a job that only the later one can read."""

import dataclasses

import pytest

from mesh.core import events as ev
from mesh.core.catalogue import WHOLE
from mesh.core.directory import Directory
from mesh.core.effects import CloseChannel, Effect, Send
from mesh.ground.ids import PeerId
from mesh.ground.instants import MINUTE_MS, SECOND_MS
from mesh.wire import gossip as gs
from mesh.wire import messages as ms
from mesh.wire.envelope import sign
from mesh.wire.kept import KeptHead
from mesh.wire.versions import VERSION_HIGHEST, VERSION_LOWEST, needed
from tests.support.cast import ENGINE, Actor, Cast, boot
from tests.support.rig import Rig, kept, news, sent
from tests.unit.core.test_jobs import planned
from tests.unit.core.test_repair import Holder

MEMORY_MB = 8_000


def large(head: ms.Head, by: Actor) -> ms.Head:
    """Return a job that asks for memory, as only the later version can say."""
    body = dataclasses.replace(head.job.body, memory_mb=MEMORY_MB, name="large")
    return dataclasses.replace(head, job=sign(body, by.signer))


def meet(rig: Rig, *actors: Actor, version: int) -> list[Effect]:
    """Open channels that speak a version; return what the peer says on them."""
    said = []
    for actor in actors:
        said += rig.tell(ev.ChannelOpened(peer=actor.id, boot=boot(actor.name), address=None, version=version))
        said += rig.hear(
            actor,
            ms.Hello(name=actor.name, program="meshnode", addresses=(), wall=rig.now.wall, chain=actor.chain),
            ms.Available(engines=(ENGINE,), slots=1, busy=0, cores=4, memory_mb=MEMORY_MB, draining=False),
        )
    return said


def said_to(effects: list[Effect], actor: Actor) -> list[ms.Message]:
    return [effect.message for effect in effects if isinstance(effect, Send) and effect.peer == actor.id]


@pytest.fixture
def ann(cast: Cast) -> Actor:
    return cast.actor("ann")


@pytest.fixture
def old(cast: Cast) -> list[Actor]:
    return [cast.actor(f"old{number}") for number in range(3)]


@pytest.fixture
def new(cast: Cast) -> list[Actor]:
    return [cast.actor(f"new{number}") for number in range(3)]


def test_a_hello_tells_the_version_where_it_can_be_read(cast: Cast, old: list[Actor], new: list[Actor]) -> None:
    rig = Rig(cast)
    hellos = {}
    for version, actor in ((VERSION_LOWEST, old[0]), (VERSION_HIGHEST, new[0])):
        (hellos[version],) = [
            one for one in said_to(meet(rig, actor, version=version), actor) if isinstance(one, ms.Hello)
        ]
    assert hellos[VERSION_LOWEST].speaks == 1
    assert hellos[VERSION_HIGHEST].speaks == VERSION_HIGHEST
    rig.hear(new[0], dataclasses.replace(hellos[VERSION_HIGHEST], speaks=9, chain=new[0].chain))
    assert rig.peer.directory.peers[new[0].id].speaks == 9


def test_nothing_goes_out_that_an_older_peer_does_not_read(
    cast: Cast, ann: Actor, old: list[Actor], new: list[Actor]
) -> None:
    rig = Rig(cast)
    meet(rig, *old, version=VERSION_LOWEST)
    meet(rig, *new, ann, version=VERSION_HIGHEST)
    head = large(cast.head(ann), ann)
    effects = rig.hear(ann, news(heads=(head,))) + rig.wait(MINUTE_MS, ann, *old, *new)
    for actor in old:
        assert all(needed(message) <= VERSION_LOWEST for message in said_to(effects, actor))
    assert any(head.job.id[: gs.SHORT_BYTES] in offer.ids for _, offer in sent(effects, gs.Offer))


def test_a_job_is_neither_offered_nor_compared_nor_sent_to_who_cannot_read_it(
    cast: Cast, ann: Actor, old: list[Actor], new: list[Actor]
) -> None:
    rig = Rig(cast)
    meet(rig, old[0], version=VERSION_LOWEST)
    meet(rig, ann, new[0], version=VERSION_HIGHEST)
    plain = cast.head(ann)
    beyond = large(plain, ann)
    short = beyond.job.id[: gs.SHORT_BYTES]
    effects = rig.hear(ann, news(heads=(plain, beyond), marks=(cast.mark(ann, beyond),)))
    offered: dict[bytes, set[bytes]] = {}
    for peer, offer in sent(effects, gs.Offer):
        offered.setdefault(peer, set()).update(offer.ids)
    assert offered[old[0].id] == {plain.job.id[: gs.SHORT_BYTES]}
    assert short in offered[new[0].id]
    answered = {}
    for actor in (old[0], new[0]):
        said = rig.hear(actor, gs.Want(ids=(short, plain.job.id[: gs.SHORT_BYTES]), authors=()))
        answered[actor.id] = {head.job.id for _, one in sent(said, ms.News) for head in one.heads}
    assert answered == {old[0].id: {plain.job.id}, new[0].id: {plain.job.id, beyond.job.id}}
    catalogue = rig.peer.meshset.offers.read_by(old[0].id)
    assert len(catalogue) == len(rig.peer.meshset.offers.read_by(new[0].id)) - 2, "the job and its mark are not of it"
    empty = gs.SetDigests(nodes=(gs.SetNode(part=WHOLE, digests=catalogue.digests(WHOLE)),))
    assert not sent(rig.hear(old[0], empty), gs.SetDigests), "equal sets are equal although one lacks the job"
    assert not sent(rig.hear(old[0], empty), gs.Offer)


def test_who_cannot_read_a_job_is_not_asked_to_keep_it_and_is_not_counted_on(
    cast: Cast, old: list[Actor], new: list[Actor]
) -> None:
    rig = Rig(cast)
    meet(rig, *old, version=VERSION_LOWEST)
    meet(rig, new[0], version=VERSION_HIGHEST)
    effects = rig.tell(dataclasses.replace(planned(), memory_mb=MEMORY_MB))
    (head,) = [entry.head for entry in kept(effects, KeptHead)]
    assert {peer for peer, _ in sent(effects, ms.KeepAsk)} == {new[0].id}
    assert head.job.body.copies == 2, "this peer and the one other that can read it"
    effects = rig.tell(planned(op=2))
    assert {peer for peer, _ in sent(effects, ms.KeepAsk)} == {actor.id for actor in (*old, new[0])}
    assert [entry.head.job.body.copies for entry in kept(effects, KeptHead)] == [3]


def test_an_updated_peer_is_told_what_it_could_not_read(cast: Cast, ann: Actor, old: list[Actor]) -> None:
    rig = Rig(cast)
    meet(rig, ann, version=VERSION_HIGHEST)
    meet(rig, old[0], version=VERSION_LOWEST)
    head = large(cast.head(ann), ann)
    rig.hear(ann, news(heads=(head,)))
    rig.tell(ev.ChannelClosed(peer=old[0].id, clean=True))
    rig.tell(ev.ChannelOpened(peer=old[0].id, boot=boot("later"), address=None, version=VERSION_HIGHEST))
    assert not rig.peer.directory.mixed
    effects = rig.hear(old[0], gs.Want(ids=(head.job.id[: gs.SHORT_BYTES],), authors=()))
    assert [one.heads for _, one in sent(effects, ms.News)] == [(head,)]


def test_a_job_that_asks_for_memory_is_rendered_by_none_with_less(cast: Cast, ann: Actor) -> None:
    rig = Rig(cast)
    meet(rig, ann, version=VERSION_HIGHEST)
    job = large(cast.head(ann), ann).job.body
    more = dataclasses.replace(job, memory_mb=MEMORY_MB + 1)
    assert rig.peer.host.can_render(job)
    assert not rig.peer.host.can_render(more)
    assert (rig.peer.directory.slots_for(job), rig.peer.directory.slots_for(more)) == (1, 0)
    assert {helper.lacks for helper in rig.peer.helpers(ENGINE, MEMORY_MB + 1)} == {
        "it has 8,000 MB of memory, not 8,001"
    }


def test_people_are_told_who_is_behind(cast: Cast, old: list[Actor]) -> None:
    rig = Rig(cast)
    meet(rig, old[0], version=VERSION_LOWEST)
    lacks = {helper.peer: helper.lacks for helper in rig.peer.helpers(ENGINE, MEMORY_MB)}
    assert lacks[old[0].id] == "it speaks version 1 of the wire, and the job needs 2: update it"
    assert not any(helper.lacks for helper in rig.peer.helpers(ENGINE))


def test_people_see_who_speaks_what(cast: Cast, ann: Actor, old: list[Actor]) -> None:
    rig = Rig(cast)
    meet(rig, old[0], version=VERSION_LOWEST)
    meet(rig, ann, version=VERSION_HIGHEST)
    rig.hear(ann, ms.Hello(name="ann", program="meshnode", addresses=(), wall=rig.now.wall, chain=ann.chain, speaks=7))
    speaks = {peer.peer: peer.speaks for peer in rig.peer.mesh_view(rig.now).peers}
    assert speaks == {rig.peer.id: VERSION_HIGHEST, old[0].id: VERSION_LOWEST, ann.id: 7}


def test_a_kind_that_is_not_known_ends_nothing(cast: Cast, ann: Actor) -> None:
    rig = Rig(cast)
    meet(rig, ann, version=VERSION_HIGHEST)
    rig.wait(SECOND_MS)
    effects = rig.tell(ev.UnknownHeard(peer=ann.id))
    assert not [effect for effect in effects if isinstance(effect, CloseChannel)]
    assert rig.peer.directory.connected(ann.id)
    assert rig.peer.directory.peers[ann.id].heard_at == rig.now.instant


def test_who_was_never_met_is_taken_for_one_of_ours_and_who_left_for_what_it_was(ann: Actor) -> None:
    directory = Directory(ann.id)
    other = PeerId(bytes(32))
    assert directory.speaks(other, VERSION_HIGHEST)
    directory.known(other)
    directory.connect(other, VERSION_LOWEST)
    assert directory.mixed
    directory.disconnect(other)
    assert not directory.mixed
    assert not directory.speaks(other, VERSION_HIGHEST)


def test_who_cannot_read_a_job_is_not_asked_to_take_copies_of_it(cast: Cast) -> None:
    holder = Holder(cast)
    directory = holder.rig.peer.directory
    holder.rig.peer.ledger.jobs[holder.job].version = VERSION_HIGHEST
    only = holder.actors["fay"]
    for actor in holder.others(holder.ann, holder.bob, only):
        directory.connect(actor.id, VERSION_LOWEST)
    holder.dies(holder.bob)
    asked = holder.waits(MINUTE_MS, holder.bob)
    assert {peer for peer, _ in asked} == {only.id}
