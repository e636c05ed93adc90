"""Pushing: who is offered what, whom one asks, and how much anybody draws."""

from __future__ import annotations

import pytest

from mesh.core.catalogue import WHOLE, mark_key
from mesh.core.effects import Effect
from mesh.core.events import ChannelClosed
from mesh.core.meshset import _TOLD_AT_ONCE, _TOLD_PER_SECOND
from mesh.core.offers import (
    EARLY_MS,
    MAX_WANTED,
    MAX_WANTED_EACH,
    OFFER_FANOUT,
    OFFER_ROUNDS,
    SET_BYTES_PER_SECOND,
    SET_PURSE_BYTES,
    WANT_MS,
    WANTS_UNDER_WAY,
)
from mesh.ground.ids import JobId, RecordId
from mesh.ground.instants import HOUR_MS, MINUTE_MS, SECOND_MS, WallTime
from mesh.ground.limits import MARK_LIFE_MS
from mesh.wire import gossip as gs
from mesh.wire import messages as ms
from mesh.wire.envelope import sign
from mesh.wire.members import Admission, Chain
from tests.support.cast import WALL, Actor, Cast, blob
from tests.support.rig import Rig, news, sent

CROWD = 20


def short(head: ms.Head) -> bytes:
    return head.job.id[: gs.SHORT_BYTES]


def offered(effects: list[Effect], what: bytes) -> list[bytes]:
    return [peer for peer, offer in sent(effects, gs.Offer) if what in offer.ids]


def admissions(cast: Cast, author: Actor, count: int, *, first: int = 0) -> ms.News:
    """Return as many admissions by an author, each a second newer than the one before."""
    bodies = [
        Admission(
            mesh=cast.mesh,
            subject=cast.signer(f"guest {number}").key,
            roles=1,
            issued=WallTime(WALL + number * SECOND_MS),
            expires=WallTime(WALL + HOUR_MS),
            invite=RecordId(blob(f"invite {number}")),
        )
        for number in range(first, first + count)
    ]
    signed = tuple(sign(body, author.signer) for body in bodies)
    return ms.News(heads=(), marks=(), cancels=(), admissions=signed)


def wants(effects: list[Effect]) -> list[tuple[bytes, bytes]]:
    return [(peer, one) for peer, want in sent(effects, gs.Want) for one in want.ids]


@pytest.fixture
def crowd(cast: Cast) -> list[Actor]:
    return [cast.actor(f"member {number}") for number in range(CROWD)]


def test_what_is_new_goes_to_three_at_once_and_to_three_others_in_each_later_round(
    cast: Cast, crowd: list[Actor]
) -> None:
    rig = Rig(cast, slots=0)
    rig.meet(*crowd)
    head = cast.head(crowd[0])
    told = offered(rig.hear(crowd[0], news(heads=(head,))), short(head))
    assert len(told) == OFFER_FANOUT
    told += offered(rig.wait(5 * SECOND_MS, *crowd), short(head))
    assert len(told) == len(set(told)) == OFFER_FANOUT * OFFER_ROUNDS
    assert crowd[0].id not in told, "who told of it knows it"


def test_in_a_small_mesh_all_are_told_at_once(cast: Cast, crowd: list[Actor]) -> None:
    rig = Rig(cast, slots=0)
    few = crowd[:5]
    rig.meet(*few)
    head = cast.head(few[0])
    told = offered(rig.hear(few[0], news(heads=(head,))), short(head))
    assert sorted(told) == sorted(actor.id for actor in few[1:])
    assert offered(rig.wait(5 * SECOND_MS, *few), short(head)) == []


def test_many_renewed_marks_travel_in_few_messages(cast: Cast, crowd: list[Actor]) -> None:
    rig = Rig(cast, slots=0)
    rig.meet(*crowd)
    heads = [cast.head(crowd[0], number=number) for number in range(1, 61)]
    marks = [cast.mark(crowd[1], head, rig.now.wall + HOUR_MS // 2) for head in heads]
    for head, mark in zip(heads, marks, strict=True):
        rig.hear(crowd[0], news(heads=(head,), marks=(mark,)))
    rig.wait(5 * SECOND_MS, *crowd)
    renewed = tuple(cast.mark(crowd[1], head, rig.now.wall + HOUR_MS) for head in heads)
    assert sent(rig.hear(crowd[1], news(marks=renewed)), gs.Offer) == [], "not one by one"
    offers = sent(rig.wait(5 * SECOND_MS, *crowd), gs.Offer)
    assert len(offers) == OFFER_FANOUT * OFFER_ROUNDS
    assert all(len(offer.ids) == len(heads) for _, offer in offers)


def test_an_item_is_asked_of_one_teller_and_then_of_another(cast: Cast, crowd: list[Actor]) -> None:
    rig = Rig(cast, slots=0)
    rig.meet(*crowd)
    head = cast.head(crowd[0])
    first, second, third = crowd[1:4]
    offer = gs.Offer(ids=(short(head),))
    assert wants(rig.hear(first, offer)) == [(first.id, short(head))]
    assert wants(rig.hear(second, offer)) == wants(rig.hear(third, offer, offer)) == []
    assert wants(rig.wait(WANT_MS // 2, *crowd)) == []
    assert wants(rig.wait(WANT_MS, *crowd)) == [(second.id, short(head))]
    rig.hear(second, news(heads=(head,)))
    assert wants(rig.wait(10 * SECOND_MS, *crowd)) == [], "it came"
    assert short(head) not in rig.peer.meshset.offers._wanted


def test_an_item_that_nobody_sends_is_forgotten_and_asked_for_when_it_is_offered_again(
    cast: Cast, crowd: list[Actor]
) -> None:
    rig = Rig(cast, slots=0)
    rig.meet(*crowd)
    offer = gs.Offer(ids=(b"nowhere!",))
    rig.hear(crowd[0], offer)
    assert wants(rig.wait(10 * SECOND_MS, *crowd)) == []
    assert wants(rig.hear(crowd[1], offer)) == [(crowd[1].id, b"nowhere!")]


def test_what_was_not_taken_is_not_asked_for_again_so_soon(cast: Cast, crowd: list[Actor]) -> None:
    rig = Rig(cast, slots=0)
    rig.meet(*crowd)
    stranger = Cast("another mesh").actor("stranger")
    head = cast.head(stranger)
    offer = gs.Offer(ids=(short(head),))
    assert wants(rig.hear(crowd[0], offer))
    rig.hear(crowd[0], news(heads=(head,)))
    assert wants(rig.hear(crowd[1], offer)) == []
    rig.wait(61 * SECOND_MS, *crowd)
    assert wants(rig.hear(crowd[1], offer))


def test_a_mark_of_a_keeper_that_was_never_met_is_taken_once_its_chain_came(cast: Cast, crowd: list[Actor]) -> None:
    rig = Rig(cast, slots=0)
    teller, keeper = crowd[0], cast.actor("far away")
    rig.meet(teller)
    head = cast.head(teller)
    mark = cast.mark(keeper, head)
    asked = sent(rig.hear(teller, news(heads=(head,), marks=(mark,))), gs.Want)
    assert [want.authors for _, want in asked] == [(keeper.id,)]
    assert rig.peer.meshset.live_marks(head.job.id, rig.now.wall) == []  # type: ignore[arg-type]
    again = sent(rig.hear(teller, news(marks=(mark,))), gs.Want)
    assert again == [], "it was asked for a moment ago"
    other = crowd[1]
    rig.meet(other)
    offer = gs.Offer(ids=(mark.id[: gs.SHORT_BYTES], mark_key(JobId(head.job.id), keeper.id)))
    assert wants(rig.hear(other, offer)) == [], "it is here, and waits"
    chains: tuple[Chain, ...] = (keeper.chain,)
    rig.hear(teller, gs.Chains(chains=chains))
    assert rig.peer.meshset.live_marks(head.job.id, rig.now.wall) == [keeper.id]  # type: ignore[arg-type]


@pytest.mark.parametrize("large", [True, False])
def test_in_a_large_mesh_one_more_keeper_of_a_job_is_no_urgent_news(
    cast: Cast, crowd: list[Actor], large: bool
) -> None:
    rig = Rig(cast, slots=0, everybody=4 if large else 128)
    rig.meet(*crowd)
    rig.wait(5 * SECOND_MS, *crowd)
    head = cast.head(crowd[0])
    rig.hear(crowd[0], news(heads=(head,)))
    rig.wait(5 * SECOND_MS, *crowd)
    told = []
    for keeper in crowd[1:3]:
        mark = cast.mark(keeper, head, rig.now.wall + HOUR_MS)
        named = mark.id[: gs.SHORT_BYTES]
        at_once = offered(rig.hear(keeper, news(marks=(mark,))), named)
        told.append((len(at_once) > 0, len(at_once) + len(offered(rig.wait(5 * SECOND_MS, *crowd), named))))
    assert told == [(True, OFFER_FANOUT * OFFER_ROUNDS), (not large, OFFER_FANOUT * OFFER_ROUNDS)]


def test_chains_of_many_are_asked_for_in_one_message(cast: Cast, crowd: list[Actor]) -> None:
    rig = Rig(cast, slots=0)
    teller, keepers = crowd[0], [cast.actor(f"far away {number}") for number in range(20)]
    rig.meet(teller)
    head = cast.head(teller)
    marks = tuple(cast.mark(keeper, head) for keeper in keepers)
    asked = sent(rig.hear(teller, news(heads=(head,), marks=marks)), gs.Want)
    assert [set(want.authors) for _, want in asked] == [{keeper.id for keeper in keepers}]


def test_a_mark_whose_authors_chain_does_not_come_is_asked_for_again_with_the_chain(
    cast: Cast, crowd: list[Actor]
) -> None:
    rig = Rig(cast, slots=0)
    teller, other, keeper = crowd[0], crowd[1], cast.actor("far away")
    rig.meet(teller, other)
    head = cast.head(teller)
    mark = cast.mark(keeper, head)
    rig.hear(teller, news(heads=(head,), marks=(mark,)))
    rig.wait(EARLY_MS + SECOND_MS, teller, other)
    named = mark.id[: gs.SHORT_BYTES]
    assert wants(rig.hear(other, gs.Offer(ids=(named,)))) == [(other.id, named)]
    asked = sent(rig.hear(other, news(marks=(mark,))), gs.Want)
    assert [(peer, want.authors) for peer, want in asked] == [(other.id, (keeper.id,))]


def test_who_has_just_come_tells_nothing_on_that_is_older(cast: Cast, crowd: list[Actor]) -> None:
    rig = Rig(cast, slots=0)
    rig.meet(*crowd)
    head = cast.head(crowd[0])
    rig.hear(crowd[0], news(heads=(head,)))

    def told(keeper: Actor, made: int) -> int:
        mark = cast.mark(keeper, head, made + MARK_LIFE_MS)
        effects = [*rig.hear(crowd[0], news(marks=(mark,))), *rig.wait(5 * SECOND_MS, *crowd)]
        return len(offered(effects, mark.id[: gs.SHORT_BYTES]))

    assert told(crowd[1], WALL - SECOND_MS) == 0, "those that it came to know it"
    assert told(crowd[2], WALL + SECOND_MS) == OFFER_FANOUT * OFFER_ROUNDS
    rig.wait(MINUTE_MS, *crowd)
    assert told(crowd[3], WALL - SECOND_MS) == OFFER_FANOUT * OFFER_ROUNDS, "it came late, and not with this peer"


def test_an_admission_by_somebody_unknown_is_taken_once_its_chain_came(cast: Cast, crowd: list[Actor]) -> None:
    rig = Rig(cast, slots=0)
    teller, inviter = crowd[0], cast.actor("far away")
    rig.meet(teller)
    given = admissions(cast, inviter, 1)
    asked = sent(rig.hear(teller, given), gs.Want)
    assert [want.authors for _, want in asked] == [(inviter.id,)]
    assert rig.peer.door.admissions == {}
    rig.hear(teller, gs.Chains(chains=(inviter.chain,)))
    short_id = given.admissions[0].id[: gs.SHORT_BYTES]
    assert wants(rig.hear(teller, gs.Offer(ids=(short_id,)))) == [(teller.id, short_id)], "it was not refused"
    rig.hear(teller, given)
    assert len(rig.peer.door.admissions) == 1


def test_what_a_lost_teller_was_asked_for_another_is_asked_for_at_once(cast: Cast, crowd: list[Actor]) -> None:
    rig = Rig(cast, slots=0)
    rig.meet(*crowd[:2])
    ids = tuple(number.to_bytes(gs.SHORT_BYTES, "big") for number in range(700))
    for teller in crowd[:2]:
        rig.hear(teller, gs.Offer(ids=ids))
    rig.tell(ChannelClosed(peer=crowd[0].id, clean=True))
    asked = wants(rig.wait(SECOND_MS, *crowd))
    assert len(asked) == WANTS_UNDER_WAY
    assert {peer for peer, _ in asked} == {crowd[1].id}
    assert len(rig.peer.meshset.offers._wanted) == len(ids)
    rig.tell(ChannelClosed(peer=crowd[1].id, clean=True))
    rig.wait(SECOND_MS, *crowd)
    assert rig.peer.meshset.offers._wanted == {}


def test_a_mark_before_its_job_has_the_job_asked_for(cast: Cast, crowd: list[Actor]) -> None:
    rig = Rig(cast, slots=0)
    rig.meet(*crowd)
    head = cast.head(crowd[0])
    mark = cast.mark(crowd[1], head)
    assert wants(rig.hear(crowd[1], news(marks=(mark,)))) == [(crowd[1].id, short(head))]
    effects = rig.hear(crowd[1], news(heads=(head,)))
    assert rig.peer.meshset.live_marks(head.job.id, rig.now.wall) == [crowd[1].id]  # type: ignore[arg-type]
    assert offered(effects, mark.id[: gs.SHORT_BYTES])


def test_a_job_is_sent_with_the_word_that_it_was_cancelled(cast: Cast, crowd: list[Actor]) -> None:
    rig = Rig(cast, slots=0)
    rig.meet(*crowd)
    head = cast.head(crowd[0])
    cancel = cast.cancel(crowd[0], head)
    rig.hear(crowd[0], news(heads=(head,)), news(cancels=(cancel,)))
    told = [message for _, message in sent(rig.hear(crowd[1], gs.Want(ids=(short(head),), authors=())), ms.News)]
    assert [message.heads for message in told] == [(head,), ()]
    assert told[1].cancels == (cancel,)


def test_an_admins_cancel_is_told_with_the_chain_that_lets_it_cancel(cast: Cast, crowd: list[Actor]) -> None:
    rig = Rig(cast, slots=0)
    rig.meet(*crowd)
    admin, head = cast.founder(), cast.head(crowd[0])
    rig.hear(crowd[0], news(heads=(head,)))
    effects = rig.hear(crowd[0], gs.Chains(chains=(admin.chain,)), news(cancels=(cast.cancel(admin, head),)))
    chains = [peer for peer, message in sent(effects, gs.Chains) if message.chains == (admin.chain,)]
    assert sorted(chains) == sorted(actor.id for actor in crowd)
    assert sorted(peer for peer, message in sent(effects, ms.News) if message.cancels) == sorted(chains)


# Liars.


def drawn(effects: list[Effect], liar: Actor) -> int:
    """Return how many bytes of the mesh set a peer was sent."""
    kinds = (gs.Offer, gs.SetDigests, gs.SetKeys, gs.Chains, ms.News, ms.Revocations)
    return sum(len(ms.encode(message)) for kind in kinds for peer, message in sent(effects, kind) if peer == liar.id)


@pytest.mark.parametrize("kind", ["admissions", "marks"])
def test_of_one_who_says_new_things_without_end_little_is_told_on_and_others_are(
    cast: Cast, crowd: list[Actor], kind: str
) -> None:
    rig = Rig(cast, slots=0)
    flooder, honest, *others = crowd[:6]
    rig.meet(flooder, honest, *others)
    head = cast.head(flooder)
    rig.hear(flooder, news(heads=(head,)))
    rig.jump(2 * MINUTE_MS)
    rig.clear()
    for at in range(0, 4 * _TOLD_AT_ONCE, 64):
        if kind == "marks":
            marks = tuple(cast.mark(flooder, head, rig.now.wall + HOUR_MS + at + one) for one in range(64))
            rig.hear(flooder, *(news(marks=(mark,)) for mark in marks))
        else:
            rig.hear(flooder, admissions(cast, flooder, 64, first=at))
    rig.wait(SECOND_MS, *crowd)
    told = {short for peer, offer in sent(rig.effects, gs.Offer) if peer == others[0].id for short in offer.ids}
    assert 0 < len(told) <= _TOLD_AT_ONCE + 2 * _TOLD_PER_SECOND
    (one,) = admissions(cast, honest, 1, first=9_999).admissions
    effects = rig.hear(honest, ms.News(heads=(), marks=(), cancels=(), admissions=(one,)))
    assert offered(effects, one.id[: gs.SHORT_BYTES])


@pytest.mark.parametrize(
    "garbage",
    [
        gs.SetDigests(nodes=(gs.SetNode(part=WHOLE, digests=bytes(range(128))),) * 64),
        gs.SetDigests(nodes=(gs.SetNode(part=WHOLE, digests=bytes(128)),) * 64),
        gs.SetDigests(nodes=(gs.SetNode(part=2**60, digests=bytes(range(128))),) * 64),
        gs.SetKeys(leaves=(gs.SetLeaf(part=WHOLE, keys=()),) * 64),
        "wants",
    ],
)
def test_a_liar_draws_no_more_than_its_purse(cast: Cast, crowd: list[Actor], garbage: ms.Message | str) -> None:
    rig = Rig(cast, slots=0)
    liar = crowd[0]
    rig.meet(*crowd[:3])
    heads = [cast.head(actor, number=number) for actor in crowd[1:3] for number in range(1, 61)]
    for head in heads:
        rig.hear(crowd[1], news(heads=(head,)))
    rig.wait(5 * SECOND_MS, *crowd)
    said = gs.Want(ids=tuple(map(short, heads)), authors=(crowd[1].id,) * 32) if garbage == "wants" else garbage
    assert not isinstance(said, str)
    spent = 0
    for _ in range(1_000):
        answer = drawn(rig.hear(liar, said), liar)
        if not answer:
            break
        spent += answer
    # What an answer takes is reckoned, not weighed; and what was too dear is not sent in part.
    assert spent <= 2 * SET_PURSE_BYTES
    rig.clear()
    for _ in range(20):
        rig.wait(50, *crowd)
        rig.hear(liar, said)
    assert drawn(rig.effects, liar) <= 2 * SET_BYTES_PER_SECOND
    assert drawn(rig.compared(crowd[2]), crowd[2]), "another is answered as before"


def test_an_inventor_leaves_room_for_others_and_is_asked_for_little_at_a_time(cast: Cast, crowd: list[Actor]) -> None:
    rig = Rig(cast, slots=0)
    liar, honest = crowd[:2]
    rig.meet(liar, honest)
    rig.clear()
    for batch in range(20):
        ids = tuple((batch * 4_096 + number).to_bytes(gs.SHORT_BYTES, "big") for number in range(4_096))
        rig.hear(liar, gs.Offer(ids=ids))
    assert len(wants(rig.effects)) == WANTS_UNDER_WAY
    assert len(rig.peer.meshset.offers._wanted) == MAX_WANTED_EACH < MAX_WANTED
    head = cast.head(honest)
    assert wants(rig.hear(honest, gs.Offer(ids=(short(head),)))) == [(honest.id, short(head))]


def test_invented_marks_fill_no_memory(cast: Cast, crowd: list[Actor]) -> None:
    rig = Rig(cast, slots=0)
    liar = crowd[0]
    rig.meet(liar)
    rig.clear()
    for number in range(1, 400):
        nowhere = cast.head(crowd[1], number=number)
        rig.hear(liar, news(marks=(cast.mark(liar, nowhere),)))
    assert len(rig.peer.meshset._early) <= 256
    assert len(rig.peer.meshset.offers._chased) <= 256
