"""Blobs come piece by piece, and are passed on as soon as a piece is here."""

import pytest

from mesh.core.effects import FetchManifest, FetchPieces
from mesh.core.events import (
    BlobAsked,
    BlobStarted,
    ChannelClosed,
    FetchFailed,
    FrameWritten,
    JobPlanned,
    PiecesStored,
    Rendered,
)
from mesh.core.notes import ClaimWon
from mesh.core.turn import Turn
from mesh.ground.ids import BlobId
from mesh.ground.instants import SECOND_MS
from mesh.ground.limits import FETCH_MS, FETCH_PIECES, FETCHES, FETCHES_PER_PEER, NOTES_PER_TURN, SEEK_PERIOD_MS
from mesh.ground.store_limits import STORE_LOOK_MS
from mesh.wire.messages import MAX_BITS_BYTES, Have, Seek
from mesh.wire.records import Output
from mesh.wire.tasks import FrameRange, Frames
from tests.support.cast import ENGINE, NAMES, PICTURE, Actor, Cast, blob
from tests.support.rig import Rig, of, sent

WANTED = blob("wanted")
ALL_OF_IT = Have(blob=WANTED, pieces=0, bits=b"")


class Fetcher:
    """A peer that wants one blob of ten pieces from two others."""

    def __init__(self, cast: Cast) -> None:
        self.rig = Rig(cast)
        self.ann, self.bob = cast.actor("ann"), cast.actor("bob")
        self.rig.meet(self.ann, self.bob)
        self.rig.clear()
        self.rig.tell(BlobAsked(op=1, blob=WANTED, peer=self.ann.id))

    def started(self, pieces: int = 10) -> None:
        self.rig.hear(self.ann, ALL_OF_IT)
        (effect,) = of(self.rig.effects, FetchManifest)
        self.rig.clear()
        self.rig.tell(BlobStarted(op=effect.op, blob=WANTED, pieces=pieces, have=()))

    def asked(self) -> list[FetchPieces]:
        return of(self.rig.effects, FetchPieces)

    def stored(self, effect: FetchPieces, *, complete: bool = False) -> None:
        self.rig.tell(PiecesStored(op=effect.op, blob=WANTED, numbers=effect.numbers, complete=complete))


@pytest.fixture
def fetcher(cast: Cast) -> Fetcher:
    return Fetcher(cast)


def have(actor_pieces: list[int], total: int = 10) -> Have:
    bits = sum(1 << piece for piece in actor_pieces).to_bytes((total + 7) // 8, "little")
    return Have(blob=WANTED, pieces=total, bits=bits)


def test_who_surely_has_what_is_wanted_is_asked_first_and_all_others_soon_after(fetcher: Fetcher) -> None:
    assert {peer for peer, _ in sent(fetcher.rig.effects, Seek)} == {fetcher.ann.id}
    fetcher.rig.wait(SEEK_PERIOD_MS + SECOND_MS, fetcher.ann, fetcher.bob)
    assert {peer for peer, _ in sent(fetcher.rig.effects, Seek)} == {fetcher.ann.id, fetcher.bob.id}
    fetcher.rig.hear(fetcher.bob, ALL_OF_IT)
    assert [effect.peer for effect in of(fetcher.rig.effects, FetchManifest)] == [fetcher.bob.id]


def test_no_piece_is_asked_for_twice_at_a_time(fetcher: Fetcher) -> None:
    fetcher.started()
    fetcher.rig.hear(fetcher.bob, ALL_OF_IT)
    numbers = [number for effect in fetcher.asked() for number in effect.numbers]
    assert sorted(numbers) == list(range(10))


def test_one_that_alone_has_a_blob_is_asked_for_a_little_until_others_are_surely_not_asking_too(
    fetcher: Fetcher,
) -> None:
    fetcher.started(pieces=100)
    sizes = [len(effect.numbers) for effect in fetcher.asked()]
    assert sizes == [2, 2]
    fetcher.stored(fetcher.asked()[0])
    assert len(fetcher.asked()[2].numbers) == FETCH_PIECES
    fetcher.rig.hear(fetcher.bob, Seek(blobs=(WANTED,)))
    fetcher.stored(fetcher.asked()[1])
    assert len(fetcher.asked()[3].numbers) == 2


def test_a_source_is_asked_only_for_what_it_has(fetcher: Fetcher) -> None:
    fetcher.started(pieces=100)
    fetcher.rig.hear(fetcher.bob, have([93, 94], total=100))
    theirs = [effect.numbers for effect in fetcher.asked() if effect.peer == fetcher.bob.id]
    assert theirs == [] or {number for numbers in theirs for number in numbers} <= {93, 94}
    fetcher.rig.tell(ChannelClosed(peer=fetcher.ann.id, clean=False))
    theirs = [effect.numbers for effect in fetcher.asked() if effect.peer == fetcher.bob.id]
    assert {number for numbers in theirs for number in numbers} == {93, 94}


def test_the_rarest_pieces_come_first(cast: Cast) -> None:
    fetcher = Fetcher(cast)
    many = [cast.actor(f"p{number}") for number in range(4)]
    fetcher.rig.meet(*many)
    fetcher.rig.hear(fetcher.ann, ALL_OF_IT)
    (manifest,) = of(fetcher.rig.effects, FetchManifest)
    for actor in many:
        fetcher.rig.hear(actor, have(list(range(16, 100)), total=100))
    fetcher.rig.tell(BlobStarted(op=manifest.op, blob=WANTED, pieces=100, have=()))
    first = next(effect for effect in fetcher.asked() if effect.peer == fetcher.ann.id)
    assert set(first.numbers) <= set(range(16))


def test_requests_are_bounded_in_all_and_for_each_source(fetcher: Fetcher) -> None:
    fetcher.started(pieces=1_000)
    fetcher.rig.hear(fetcher.bob, Have(blob=WANTED, pieces=0, bits=b""))
    asked = fetcher.asked()
    assert len(asked) <= FETCHES
    for actor in (fetcher.ann, fetcher.bob):
        assert sum(effect.peer == actor.id for effect in asked) <= FETCHES_PER_PEER


def test_a_piece_is_offered_as_soon_as_it_is_here(fetcher: Fetcher) -> None:
    fetcher.started()
    fetcher.rig.hear(fetcher.bob, Seek(blobs=(WANTED,)))
    fetcher.rig.clear()
    effect = next(iter(fetcher.asked()), None)
    assert effect is None
    fetcher.rig.tell(PiecesStored(op=10_000, blob=WANTED, numbers=(2,), complete=False))
    ((peer, said),) = sent(fetcher.rig.effects, Have)
    assert peer == fetcher.bob.id
    assert (said.pieces, said.bits) == (10, b"\x04\x00")


def test_a_piece_that_comes_after_its_blob_was_forgotten_is_offered_once_its_manifest_is_here(fetcher: Fetcher) -> None:
    """Of a blob that had rotted, or made way, a late piece brought the peer down: seed 80050 of 20 peers."""
    fetcher.started()
    fetcher.rig.peer.swarm.forget(WANTED)
    fetcher.rig.hear(fetcher.bob, Seek(blobs=(WANTED,)))
    fetcher.rig.tell(PiecesStored(op=10_000, blob=WANTED, numbers=(2,), complete=False))
    fetcher.rig.hear(fetcher.bob, Seek(blobs=(WANTED,)))
    assert sent(fetcher.rig.effects, Have) == []
    fetcher.rig.tell(BlobStarted(op=10_001, blob=WANTED, pieces=10, have=()))
    fetcher.rig.hear(fetcher.bob, Seek(blobs=(WANTED,)))
    ((_, said),) = sent(fetcher.rig.effects, Have)
    assert (said.pieces, said.bits) == (10, b"\x04\x00")


def test_what_a_failed_request_asked_for_is_asked_of_another(fetcher: Fetcher) -> None:
    fetcher.started()
    (first, *_) = fetcher.asked()
    fetcher.rig.clear()
    fetcher.rig.tell(FetchFailed(op=first.op, blob=WANTED, full=False))
    fetcher.rig.hear(fetcher.bob, ALL_OF_IT)
    assert set(first.numbers) <= {number for effect in fetcher.asked() for number in effect.numbers}
    assert all(effect.peer == fetcher.bob.id for effect in fetcher.asked())


def test_what_finds_no_room_here_is_not_asked_for_again_at_once(fetcher: Fetcher) -> None:
    fetcher.started(pieces=1)
    (failed,) = fetcher.asked()
    fetcher.rig.clear()
    fetcher.rig.tell(FetchFailed(op=failed.op, blob=WANTED, full=True))
    fetcher.rig.hear(fetcher.bob, ALL_OF_IT)
    fetcher.rig.wait(STORE_LOOK_MS - SECOND_MS, fetcher.ann, fetcher.bob)
    assert fetcher.asked() == [], "its bytes would come in vain"
    fetcher.rig.wait(2 * SECOND_MS, fetcher.ann, fetcher.bob)
    assert [effect.numbers for effect in fetcher.asked()] == [(0,)]


def test_what_finds_no_room_here_keeps_nothing_from_its_turn(cast: Cast) -> None:
    rig, ann = Rig(cast), cast.actor("ann")
    rig.meet(ann)
    wanted = [blob(f"wanted {number}") for number in range(60)]
    for op, each in enumerate(wanted):
        rig.tell(BlobAsked(op=op, blob=each, peer=ann.id))
    tried: set[BlobId] = set()
    for second in range(90):
        if second % (SEEK_PERIOD_MS // SECOND_MS) == 0:
            for each in wanted:
                rig.hear(ann, Have(blob=each, pieces=0, bits=b""))
        asked = [effect for effect in rig.effects if isinstance(effect, FetchManifest | FetchPieces)]
        rig.clear()
        for effect in asked:  # two a second
            if isinstance(effect, FetchManifest):
                rig.tell(BlobStarted(op=effect.op, blob=effect.blob, pieces=1, have=()))
            else:
                tried.add(effect.blob)
                rig.tell(FetchFailed(op=effect.op, blob=effect.blob, full=True))
        rig.wait(SECOND_MS, ann)
    assert tried == set(wanted)


def test_a_request_that_nobody_answers_is_given_up(fetcher: Fetcher) -> None:
    fetcher.started()
    assert fetcher.asked()
    fetcher.rig.clear()
    fetcher.rig.hear(fetcher.bob, ALL_OF_IT)
    for _ in range(FETCH_MS // SECOND_MS + 1):
        fetcher.rig.wait(SECOND_MS, fetcher.ann, fetcher.bob)
    assert [effect for effect in fetcher.asked() if effect.peer == fetcher.bob.id]


def test_what_a_slow_source_has_not_sent_is_asked_of_an_idle_one_when_nothing_else_is_left(fetcher: Fetcher) -> None:
    fetcher.started(pieces=4)
    first, second = fetcher.asked()
    assert {first.peer, second.peer} == {fetcher.ann.id}
    fetcher.rig.hear(fetcher.bob, ALL_OF_IT)
    fetcher.stored(second)
    fetcher.rig.clear()
    fetcher.rig.wait(2 * SECOND_MS, fetcher.ann, fetcher.bob)
    assert fetcher.asked() == [], "it may only be a little slow"
    fetcher.rig.wait(10 * SECOND_MS, fetcher.ann, fetcher.bob)
    (again,) = fetcher.asked()
    assert again.peer == fetcher.bob.id
    assert set(again.numbers) <= set(first.numbers), "the last of them: the others may be here already"
    fetcher.stored(again)
    fetcher.rig.wait(10 * SECOND_MS, fetcher.ann, fetcher.bob)
    others = [number for effect in fetcher.asked() for number in effect.numbers]
    assert len(others) == len(set(others)), "nothing is asked for a third time"


def test_who_comes_second_with_a_piece_changes_nothing(fetcher: Fetcher) -> None:
    fetcher.started(pieces=1)
    fetcher.rig.hear(fetcher.bob, ALL_OF_IT)
    (first,) = fetcher.asked()
    fetcher.rig.wait(10 * SECOND_MS, fetcher.ann, fetcher.bob)
    _, second = fetcher.asked()
    fetcher.stored(second, complete=True)
    fetcher.rig.hear(fetcher.bob, Seek(blobs=(WANTED,)))
    fetcher.rig.clear()
    fetcher.stored(first, complete=True)
    assert fetcher.rig.effects == []


def test_a_source_that_breaks_off_is_asked_no_more(fetcher: Fetcher) -> None:
    fetcher.started()
    fetcher.rig.clear()
    fetcher.rig.tell(ChannelClosed(peer=fetcher.ann.id, clean=False))
    fetcher.rig.hear(fetcher.bob, ALL_OF_IT)
    asked: list[FetchPieces] = []
    while len(asked) < len(fetcher.asked()):
        asked.append(fetcher.asked()[len(asked)])
        fetcher.stored(asked[-1])
    assert {effect.peer for effect in asked} == {fetcher.bob.id}
    assert sorted(number for effect in asked for number in effect.numbers) == list(range(10))


def test_when_the_last_piece_is_here_seekers_hear_that_all_is(fetcher: Fetcher) -> None:
    fetcher.started(pieces=1)
    fetcher.rig.hear(fetcher.bob, Seek(blobs=(WANTED,)))
    (effect,) = fetcher.asked()
    fetcher.rig.clear()
    fetcher.stored(effect, complete=True)
    assert sent(fetcher.rig.effects, Have) == [(fetcher.bob.id, ALL_OF_IT)]
    assert fetcher.rig.peer.swarm.complete(WANTED)
    assert fetcher.rig.peer.swarm.wants == {}


def test_a_seeker_that_says_that_it_has_all_of_it_now_is_told_no_more(fetcher: Fetcher) -> None:
    fetcher.started()
    fetcher.rig.hear(fetcher.bob, Seek(blobs=(WANTED,)))
    fetcher.rig.hear(fetcher.bob, ALL_OF_IT)
    asked = fetcher.asked()
    fetcher.rig.clear()
    fetcher.stored(asked[0])
    assert sent(fetcher.rig.effects, Have) == []


def test_seekers_that_stopped_asking_are_forgotten(fetcher: Fetcher) -> None:
    fetcher.started()
    fetcher.rig.hear(fetcher.bob, Seek(blobs=(WANTED,)))
    for _ in range(5):
        fetcher.rig.wait(SEEK_PERIOD_MS, fetcher.ann, fetcher.bob)
    fetcher.rig.clear()
    fetcher.rig.tell(PiecesStored(op=10_000, blob=WANTED, numbers=(2,), complete=False))
    assert sent(fetcher.rig.effects, Have) == []


def test_who_was_asked_too_early_is_asked_again_when_it_seeks_the_blob_itself(fetcher: Fetcher) -> None:
    fetcher.rig.wait(SEEK_PERIOD_MS + SECOND_MS, fetcher.ann, fetcher.bob)
    fetcher.rig.clear()
    fetcher.rig.hear(fetcher.bob, Seek(blobs=(WANTED, blob("other"))))
    assert sent(fetcher.rig.effects, Seek) == [(fetcher.bob.id, Seek(blobs=(WANTED,)))]
    fetcher.rig.clear()
    fetcher.rig.hear(fetcher.bob, Seek(blobs=(WANTED,)))
    assert sent(fetcher.rig.effects, Seek) == [], "two that ask each other end it"


def test_nobody_is_remembered_for_seeking_what_is_not_here(fetcher: Fetcher) -> None:
    for batch in range(50):
        fetcher.rig.hear(fetcher.bob, Seek(blobs=tuple(blob(f"{batch} {number}") for number in range(500))))
    assert len(fetcher.rig.peer.swarm._seekers) <= 1


def test_what_a_source_says_it_has_takes_no_more_room_than_it_took_on_the_wire(fetcher: Fetcher) -> None:
    longest = Have(blob=WANTED, pieces=8 * MAX_BITS_BYTES, bits=b"\xff" * MAX_BITS_BYTES)
    fetcher.rig.hear(fetcher.bob, longest)
    held = fetcher.rig.peer.swarm.wants[WANTED].sources[fetcher.bob.id]
    assert held.__sizeof__() <= 2 * MAX_BITS_BYTES


def test_a_scene_of_thousands_of_files_is_submitted_in_one_turn(cast: Cast) -> None:
    rig = Rig(cast)
    parts = tuple(blob(f"file {number}") for number in range(NOTES_PER_TURN + 100))
    rig.tell(
        JobPlanned(
            op=1,
            name="sequence",
            scene=blob("root"),
            scene_blobs=(blob("root"), *parts),
            engine=ENGINE,
            frames=Frames(ranges=(FrameRange(first=1, last=2, step=1),)),
            names=NAMES,
            picture=PICTURE,
            directory="/out",
            overwrite=False,
        )
    )
    assert all(rig.peer.swarm.complete(part) for part in parts)


def test_a_blob_stored_here_that_was_on_its_way_is_complete_for_all_who_wait(fetcher: Fetcher) -> None:
    rig = fetcher.rig
    author: Actor = fetcher.ann
    head = rig.cast.head(author)
    rig.learn(head, author, by=author)
    rig.hear(fetcher.bob, Seek(blobs=(WANTED,)))
    rig.peer.slots.on_claim_won(
        Turn(rig.now, rig.peer._dice, rig.me.id), ClaimWon(claim=rig.cast.claim(rig.me, head, 0))
    )
    (op,) = rig.peer.slots._by_op
    rig.tell(FrameWritten(op=op, render_ms=1))
    rig.clear()
    rig.tell(Rendered(op=op, outputs=(Output(blob=WANTED, size=3),), log=None))
    assert (fetcher.bob.id, ALL_OF_IT) in sent(rig.effects, Have)
    assert WANTED not in rig.peer.swarm.wants
