"""Seeded draws: the same everywhere and for ever, since a seed that failed must fail again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.ground.dice import Dice


def test_draws_are_frozen() -> None:
    dice = Dice(b"seed")
    assert dice.draw(8).hex() == "6ea330cf9fea088c"
    assert [dice.below(1_000) for _ in range(4)] == [23, 71, 269, 350]
    assert dice.jitter(1_000) == 1088
    assert dice.fork(b"label").draw(4).hex() == "4c853b8c"


@given(st.binary(max_size=40), st.integers(1, 100))
def test_one_seed_gives_one_stream(seed: bytes, size: int) -> None:
    first, second = Dice(seed), Dice(seed)
    assert [first.draw(size) for _ in range(3)] == [second.draw(size) for _ in range(3)]
    assert first.draw(16) != second.fork(b"").draw(16)


def test_draws_differ() -> None:
    dice = Dice(b"seed")
    assert len({dice.draw(16) for _ in range(100)} | {Dice(b"other").draw(16)}) == 101


@given(st.binary(max_size=8), st.integers(1, 2**40))
def test_below_stays_below(seed: bytes, bound: int) -> None:
    dice = Dice(seed)
    assert all(0 <= dice.below(bound) < bound for _ in range(5))


def test_below_reaches_everything() -> None:
    dice = Dice(b"seed")
    drawn = [dice.below(6) for _ in range(600)]
    assert all(60 <= drawn.count(face) <= 140 for face in range(6))


@given(st.binary(max_size=8), st.integers(1, 10**6), st.integers(0, 10))
def test_jitter_stays_within_its_tenths(seed: bytes, period_ms: int, tenths: int) -> None:
    reach_ms = max(1, period_ms * tenths // 10)
    for _ in range(5):
        assert max(0, period_ms - reach_ms) <= Dice(seed).jitter(period_ms, tenths) <= period_ms + reach_ms


@pytest.mark.parametrize(("period_ms", "tenths"), [(0, 2), (-5, 2), (100, 11), (100, -1)])
def test_jitter_that_could_be_negative_is_our_bug(period_ms: int, tenths: int) -> None:
    with pytest.raises(AssertionError):
        Dice(b"").jitter(period_ms, tenths)


def test_a_fork_is_independent_and_does_not_move_its_parent() -> None:
    dice, untouched = Dice(b"seed"), Dice(b"seed")
    fork = dice.fork(b"a")
    fork.draw(1000)
    assert dice.draw(16) == untouched.draw(16)
    assert dice.fork(b"a").draw(16) == Dice(b"seed").fork(b"a").draw(16) != dice.fork(b"b").draw(16)


def test_nothing_is_drawn_below_zero() -> None:
    with pytest.raises(AssertionError):
        Dice(b"").below(0)
