"""What a peer remembers of itself: its newest renewal, and a journal without what is outdated."""

from collections.abc import Iterable, Iterator, Sequence

import pytest

from mesh.ground.ids import JobId
from mesh.ground.instants import WallTime
from mesh.node.identity import COMPACT_BYTES, load_kept, newest_renewal, without_outdated
from mesh.ports.storage import JournalDamaged, JournalNewer
from mesh.wire import kept as kp
from mesh.wire.envelope import sign
from mesh.wire.kept import (
    Kept,
    KeptChain,
    KeptContact,
    KeptDelivery,
    KeptDone,
    KeptHold,
    KeptMark,
    KeptOrder,
    KeptPause,
    KeptRenewal,
)
from mesh.wire.members import ALL_ROLES, Renewal, Renewed
from mesh.wire.messages import Address, Contact
from mesh.wire.records import Mark
from mesh.wire.signing import Ed25519Signer
from sim.fakes import MemoryJournal
from tests.support.cast import WALL, Cast, blob
from tests.support.meshes import LONG_AFTER, Member, TestMesh, seed


def renewed(member: Member, by: Member, mesh: TestMesh, expires: int) -> KeptRenewal:
    body = Renewal(mesh=mesh.id, admission=member.chain[-1].id, expires=WallTime(expires))
    return KeptRenewal(renewed=Renewed(renewal=sign(body, by.signer), by=by.chain))


def test_a_peer_shows_the_renewal_that_lasts_longest_and_is_its_own() -> None:
    mesh, other = TestMesh(), TestMesh()
    me, ann = mesh.member(), mesh.member()
    longest = renewed(me, ann, mesh, LONG_AFTER + 2)
    kept: list[Kept] = [
        renewed(me, ann, mesh, LONG_AFTER + 1),
        longest,
        renewed(ann, me, mesh, LONG_AFTER + 9),
        renewed(me, me, mesh, LONG_AFTER + 9),
        renewed(me, other.member(), mesh, LONG_AFTER + 9),
        KeptChain(chain=()),
    ]
    assert newest_renewal(me.chain, kept) == longest.renewed
    assert newest_renewal(me.chain, kept[2:]) is None


def test_a_later_entry_about_the_same_thing_replaces_the_earlier() -> None:
    signer, job = Ed25519Signer(seed()), JobId(seed())
    marks = [KeptMark(mark=sign(Mark(job=job, expires=WallTime(at)), signer)) for at in (1, 2)]
    contacts = [
        KeptContact(
            contact=Contact(peer=TestMesh().member().id, addresses=(Address(host="h", port=port),)), heard=WallTime(1)
        )
        for port in (1, 2)
    ]
    order = KeptOrder(job=job, directory="/d", overwrite=False)
    done = KeptDone(job=job, directory="/d")
    story: list[Kept] = [marks[0], order, contacts[0], done, marks[1], order, contacts[1]]
    assert without_outdated(story) == [order, contacts[0], done, marks[1], order, contacts[1]]


def test_of_a_peers_chains_with_the_same_roles_the_newest_is_kept() -> None:
    cast = Cast()
    many = [KeptChain(chain=cast.actor("ann", expires=WALL + number).chain) for number in range(40)]
    able = KeptChain(chain=cast.actor("ann", ALL_ROLES).chain)
    other = KeptChain(chain=cast.actor("bob").chain)
    story = [many[0], able, *many[1:20], other, *many[20:]]
    assert without_outdated(story) == [able, other, many[-1]]


def test_of_one_authors_holds_of_a_blob_the_last_is_kept_which_lists_the_others() -> None:
    cast = Cast()
    ann, bob = cast.actor("ann"), cast.actor("bob")
    head, picture = cast.head(ann), blob("picture")
    first = cast.hold(ann, head, picture)
    bobs = cast.hold(bob, head, picture, replaces=(first.id,))
    again = cast.hold(ann, head, picture, replaces=(bobs.id, first.id))
    elsewhere = cast.hold(ann, head, blob("another"))
    story = [KeptHold(hold=hold) for hold in (first, elsewhere, bobs, first, again)]
    assert [entry.hold for entry in story if entry in without_outdated(story)] == [elsewhere, bobs, again]


def test_of_all_pauses_only_the_last_one_counts() -> None:
    pauses = [KeptPause(since=WallTime(at), until=None, over=over) for at in range(3) for over in (False, True)]
    assert without_outdated(pauses) == pauses[-1:]


class LongJournal(MemoryJournal):
    """A journal that says it is long, and counts how often it was rewritten."""

    rewritten = 0

    def size(self) -> int:
        return COMPACT_BYTES

    def rewrite(self, entries: Iterable[bytes]) -> None:
        self.rewritten += 1
        super().rewrite(entries)


def test_a_long_journal_is_rewritten_once_without_what_is_outdated() -> None:
    signer, job = Ed25519Signer(seed()), JobId(seed())
    marks = [KeptMark(mark=sign(Mark(job=job, expires=WallTime(at)), signer)) for at in range(5)]
    journal = LongJournal([])
    journal.append([kp.encode(mark) for mark in marks])
    assert load_kept(journal) == (marks[-1],)
    assert load_kept(journal) == (marks[-1],)
    assert journal.rewritten == 1


@pytest.mark.parametrize(
    ("written", "error", "words"),
    [
        (b"\x82\x00\x80", JournalDamaged, "entry 1 says nothing"),
        (b"\x82\x18\xff\x80", JournalNewer, "entry 1: a journal entry of the unknown kind 255"),
        (b"\x82\x0d\x84\x00\xf6\xf4\x00", JournalNewer, "entry 1: a KeptPause says more"),
    ],
    ids=["nonsense", "newer kind", "newer field"],
)
def test_a_journal_that_cannot_be_understood_says_why(written: bytes, error: type[Exception], words: str) -> None:
    class Strange(MemoryJournal):
        def load(self) -> Iterator[bytes]:
            return iter([written])

        def append(self, entries: Sequence[bytes]) -> None:
            raise AssertionError

    with pytest.raises(error, match=words):
        load_kept(Strange([]))


def test_deliveries_are_a_story_of_which_nothing_is_outdated() -> None:
    delivery = KeptDelivery(job=JobId(seed()), task=1, result=sign_id(), directory="/d")
    assert without_outdated([delivery, delivery]) == [delivery, delivery]


def sign_id():  # type: ignore[no-untyped-def]
    return sign(Mark(job=JobId(seed()), expires=WallTime(1)), Ed25519Signer(seed())).id
