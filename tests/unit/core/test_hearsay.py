"""Peers that others only tell of: tried, forgotten, and tried again when there is reason to."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.core.hearsay import Hearsay
from mesh.ground.dice import Dice
from mesh.ground.ids import PeerId
from mesh.ground.instants import MINUTE_MS, SECOND_MS, Instant, later
from mesh.ground.limits import FORGOTTEN_MS, RUMOUR_PURSE, RUMOUR_TRIES, RUMOURS_PER_SECOND
from tests.support.cast import blob

ANN, BOB, CID = (PeerId(blob(name)) for name in ("ann", "bob", "cid"))
START = Instant(1_000_000)


class Tried:
    """Rumours of which none leads anywhere, and how often each was dialled."""

    def __init__(self) -> None:
        self.hearsay = Hearsay()
        self.dice = Dice(b"tried")
        self.now = START
        self.dials: list[PeerId] = []

    def tell(self, teller: PeerId, *peers: PeerId) -> None:
        for peer in peers:
            if peer not in self.hearsay and self.hearsay.believed(self.now, teller, peer):
                self.hearsay.add(self.now, teller, peer)

    def wait(self, for_ms: int, *, cost: int = 1) -> list[PeerId]:
        dialled = []
        for _ in range(for_ms // SECOND_MS):
            self.now = later(self.now, SECOND_MS)
            due = self.hearsay.due(self.now, lambda _: cost)
            for peer in due:
                self.hearsay.failed(self.now, self.dice, peer)
            dialled += due
        self.dials += dialled
        return dialled


def made_up(word: str, count: int) -> list[PeerId]:
    return [PeerId(blob(f"{word} {number}")) for number in range(count)]


def test_a_rumour_is_tried_a_few_times_with_growing_pauses_and_forgotten() -> None:
    tried = Tried()
    tried.tell(ANN, BOB)
    at = []
    for second in range(120):
        at += [second] * len(tried.wait(SECOND_MS))
    assert len(at) == RUMOUR_TRIES
    pauses = [after - before for before, after in pairwise(at)]
    assert all(after >= 2 * before for before, after in pairwise(pauses))
    assert BOB not in tried.hearsay


def test_what_was_forgotten_is_tried_again_when_somebody_else_tells() -> None:
    tried = Tried()
    tried.tell(ANN, BOB)
    tried.wait(MINUTE_MS)
    tried.tell(ANN, BOB)
    assert tried.wait(MINUTE_MS // 2) == []
    tried.tell(CID, BOB)
    assert len(tried.wait(MINUTE_MS)) == RUMOUR_TRIES


def test_the_same_teller_is_believed_again_after_ever_longer_pauses() -> None:
    tried = Tried()
    until = []
    for _ in range(4):
        tried.tell(ANN, BOB)
        assert BOB in tried.hearsay
        while BOB in tried.hearsay:
            tried.wait(SECOND_MS)
        waited = 0
        while not tried.hearsay.believed(tried.now, ANN, BOB):
            tried.wait(SECOND_MS)
            waited += SECOND_MS
        until.append(waited)
    assert FORGOTTEN_MS * 0.7 < until[0] < FORGOTTEN_MS * 1.3
    assert until == sorted(until)
    assert until[-1] > 4 * until[0]


def test_who_was_met_is_no_rumour_and_not_held_against_anybody() -> None:
    tried = Tried()
    tried.tell(ANN, BOB)
    tried.wait(MINUTE_MS)
    tried.hearsay.met(BOB)
    assert tried.hearsay.believed(tried.now, ANN, BOB)
    tried.tell(ANN, BOB)
    tried.hearsay.met(BOB)
    assert BOB not in tried.hearsay
    assert tried.wait(MINUTE_MS) == []


def test_inventions_cost_the_same_however_many_they_are() -> None:
    for count in (1_000, 8_000):
        tried = Tried()
        tried.tell(ANN, *made_up("nobody", count))
        seconds = 300
        assert len(tried.wait(seconds * SECOND_MS, cost=4)) <= (RUMOUR_PURSE + seconds * RUMOURS_PER_SECOND) / 4


def test_a_liar_does_not_keep_another_tellers_peers_waiting() -> None:
    tried = Tried()
    tried.tell(ANN, *made_up("nobody", 8_000))
    tried.wait(30 * SECOND_MS)
    honest = made_up("honest", 20)
    tried.tell(BOB, *honest)
    assert set(honest) <= set(tried.wait(4 * SECOND_MS))


def test_room_is_made_by_whoever_told_most() -> None:
    hearsay = Hearsay()
    for peer in made_up("nobody", 100):
        hearsay.add(START, ANN, peer)
    newest = made_up("nobody", 100)[-1]
    assert hearsay.crowded_out(ANN) is None
    assert hearsay.crowded_out(BOB) == newest
    assert newest not in hearsay


@settings(max_examples=60)
@given(
    acts=st.lists(
        st.one_of(
            st.tuples(st.just("tell"), st.integers(0, 3), st.integers(0, 30)),
            st.tuples(st.just("wait"), st.integers(1, 90), st.just(0)),
            st.tuples(st.just("meet"), st.just(0), st.integers(0, 30)),
        ),
        max_size=60,
    )
)
def test_whatever_is_told_no_peer_is_tried_oftener_than_each_teller_and_pause_allow(
    acts: list[tuple[str, int, int]],
) -> None:
    tried = Tried()
    tellings: dict[PeerId, int] = {}
    for what, first, second in acts:
        peer = PeerId(blob(f"peer {second}"))
        match what:
            case "tell":
                fresh = peer not in tried.hearsay
                tried.tell(PeerId(blob(f"teller {first}")), peer)
                tellings[peer] = tellings.get(peer, 0) + (fresh and peer in tried.hearsay)
            case "wait":
                tried.wait(first * SECOND_MS)
            case _:
                tried.hearsay.met(peer)
    for peer, times in tellings.items():
        assert tried.dials.count(peer) <= RUMOUR_TRIES * times
    elapsed_s = (tried.now - START) // SECOND_MS
    assert len(tried.dials) <= RUMOUR_PURSE + RUMOURS_PER_SECOND * elapsed_s
