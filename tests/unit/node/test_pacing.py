"""Purses: what a peer may cost at once and in the long run, and that nobody refills one by coming again."""

from hypothesis import given
from hypothesis import strategies as st

from mesh.ground.ids import PeerId
from mesh.ground.instants import Instant
from mesh.ground.limits import CHANNEL_PAUSE_MS, CHANNEL_PURSE_MS, CHANNEL_SHARE, EARNED_SHARE
from mesh.node.pacing import ASKED_MOST, EARNED_NS, PURSES_MOST, Pacing

MS_NS = 1_000_000
ANN, BOB = PeerId(b"a" * 32), PeerId(b"b" * 32)


def test_what_is_in_the_purse_is_spent_at_once_and_then_its_part_of_a_processor() -> None:
    pacing, now = Pacing(), Instant(1_000)
    assert pacing.pause_ms(now, ANN) == 0
    pacing.spend(now, ANN, CHANNEL_PURSE_MS * MS_NS)
    assert pacing.pause_ms(now, ANN) == 0, "it owes nothing yet"
    pacing.spend(now, ANN, MS_NS)
    assert pacing.pause_ms(now, ANN) == CHANNEL_SHARE
    later = Instant(now + CHANNEL_SHARE)
    assert pacing.pause_ms(later, ANN) == 0
    pacing.spend(later, ANN, 1)
    assert pacing.pause_ms(later, ANN) == 1


def test_one_pays_nothing_for_another() -> None:
    pacing, now = Pacing(), Instant(1_000)
    pacing.spend(now, ANN, 10 * CHANNEL_PURSE_MS * MS_NS)
    assert pacing.pause_ms(now, BOB) == 0


def test_whoever_owes_much_is_read_now_and_then_all_the_same() -> None:
    pacing, now = Pacing(), Instant(1_000)
    pacing.spend(now, ANN, 1_000 * CHANNEL_PURSE_MS * MS_NS)
    assert pacing.pause_ms(now, ANN) == CHANNEL_PAUSE_MS
    assert pacing.pause_ms(Instant(now + CHANNEL_PAUSE_MS), ANN) == CHANNEL_PAUSE_MS


def test_a_purse_holds_no_more_after_an_hour_than_after_a_minute() -> None:
    pacing, now = Pacing(), Instant(1_000)
    pacing.spend(now, ANN, 1)
    later = Instant(now + 3_600_000)
    pacing.spend(later, ANN, CHANNEL_PURSE_MS * MS_NS + MS_NS)
    assert pacing.pause_ms(later, ANN) == CHANNEL_SHARE


def test_who_renders_many_short_frames_is_not_held_back_by_what_they_cost() -> None:
    pacing, now = Pacing(), Instant(1_000)
    for _ in range(10 * 600):  # ten frames a second for ten minutes, at three milliseconds each
        now = Instant(now + 100)
        pacing.spend(now, ANN, 3 * MS_NS)
        pacing.earn(now, ANN)
        assert pacing.pause_ms(now, ANN) == 0


def test_an_output_gives_back_no_more_than_its_part_nor_than_was_spent() -> None:
    pacing, now = Pacing(), Instant(1_000)
    pacing.earn(now, ANN)
    assert len(pacing) == 0, "of whom nothing came nothing is kept"
    pacing.spend(now, ANN, EARNED_NS // 2)
    for _ in range(3):
        pacing.earn(now, ANN)
    pacing.spend(now, ANN, CHANNEL_PURSE_MS * MS_NS)
    assert pacing.pause_ms(now, ANN) == 0, "it had back what it had spent"
    pacing.spend(now, ANN, EARNED_NS + MS_NS)
    assert pacing.pause_ms(now, ANN) == (EARNED_NS // MS_NS + 1) * CHANNEL_SHARE
    pacing.earn(now, ANN)
    assert pacing.pause_ms(now, ANN) == CHANNEL_SHARE


def test_what_can_be_earned_is_no_more_after_an_hour_than_after_a_minute() -> None:
    pacing, now = Pacing(), Instant(1_000)
    pacing.spend(now, ANN, 1)
    later = Instant(now + 3_600_000)
    pacing.spend(later, ANN, 3 * CHANNEL_PURSE_MS * MS_NS)
    for _ in range(3 * CHANNEL_PURSE_MS * MS_NS // EARNED_NS):
        pacing.earn(later, ANN)
    pacing.spend(later, ANN, 0)
    assert pacing.pause_ms(later, ANN) == CHANNEL_PAUSE_MS, "a second is earned, and another one owed"


def test_whatever_is_rendered_a_peer_costs_no_more_than_both_its_parts() -> None:
    pacing, now, spent_ns = Pacing(), Instant(0), 0
    for _ in range(20_000):
        pause_ms = pacing.pause_ms(now, ANN)
        now = Instant(now + pause_ms)
        pacing.spend(now, ANN, MS_NS)
        pacing.earn(now, ANN)
        spent_ns += MS_NS
    # Both purses were full at first.
    most_ns = 2 * CHANNEL_PURSE_MS * MS_NS + now * MS_NS / CHANNEL_SHARE + now * MS_NS / EARNED_SHARE + MS_NS
    assert 0.99 * most_ns < spent_ns <= most_ns


def test_purses_are_bounded_and_those_in_use_stay() -> None:
    pacing, now = Pacing(), Instant(1_000)
    for number in range(2 * PURSES_MOST):
        pacing.spend(now, ANN, CHANNEL_PURSE_MS * MS_NS)
        pacing.spend(now, PeerId(number.to_bytes(32, "little")), 2 * CHANNEL_PURSE_MS * MS_NS)
    assert len(pacing) == PURSES_MOST
    assert pacing.pause_ms(now, ANN) == CHANNEL_PAUSE_MS


@given(st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 400 * MS_NS)), max_size=60))
def test_however_it_is_spent_no_peer_costs_more_than_purse_and_share_and_one_message(
    spent: list[tuple[int, int]],
) -> None:
    pacing, now, all_ns, dearest = Pacing(), Instant(0), 0, 0
    for waited_ms, cost_ns in spent:
        now = Instant(now + waited_ms)
        pause_ms = pacing.pause_ms(now, ANN)
        if pause_ms == CHANNEL_PAUSE_MS:
            return  # it is read all the same, lest it pass for silent
        now = Instant(now + pause_ms)
        pacing.spend(now, ANN, cost_ns)
        all_ns, dearest = all_ns + cost_ns, max(dearest, cost_ns)
        assert all_ns <= (CHANNEL_PURSE_MS + now / CHANNEL_SHARE) * MS_NS + dearest


def other(number: int) -> PeerId:
    return PeerId(number.to_bytes(32, "big"))


def test_as_many_answers_are_free_as_were_asked_for_and_not_without_end() -> None:
    pacing = Pacing()
    assert not pacing.answered(other(1))
    for _ in range(2):
        pacing.asked(other(1))
    assert [pacing.answered(other(1)) for _ in range(3)] == [True, True, False]
    for _ in range(2 * ASKED_MOST):
        pacing.asked(other(1))
    assert sum(pacing.answered(other(1)) for _ in range(2 * ASKED_MOST)) == ASKED_MOST
    for number in range(PURSES_MOST + 1):
        pacing.asked(other(number))
    assert not pacing.awaits(other(0))
    assert pacing.awaits(other(PURSES_MOST))
