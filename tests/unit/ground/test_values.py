"""Ids, instants, settings, limits: small words that everything else says."""

import dataclasses

import pytest

from mesh.ground import limits
from mesh.ground.ids import PeerId, short
from mesh.ground.instants import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, Instant, Now, WallTime, later, wall_later
from mesh.ground.settings import SETTINGS_VERSION, Settings


def test_an_id_is_shown_by_its_first_digits() -> None:
    assert short(PeerId(bytes.fromhex("deadbeef" * 8))) == "deadbeef"


def test_units_of_time() -> None:
    assert (SECOND_MS, MINUTE_MS, HOUR_MS, DAY_MS) == (1_000, 60_000, 3_600_000, 86_400_000)
    assert later(Instant(5), 10) == 15
    assert wall_later(WallTime(5), -3) == 2


def test_values_do_not_change() -> None:
    now = Now(instant=Instant(1), wall=WallTime(2))
    with pytest.raises(dataclasses.FrozenInstanceError):
        now.instant = Instant(3)  # type: ignore[misc]
    assert Settings().version == SETTINGS_VERSION


def test_every_limit_is_a_positive_integer() -> None:
    bounds = {name: value for name, value in vars(limits).items() if name.isupper()}
    assert len(bounds) > 40
    assert all(type(value) is int and value > 0 for value in bounds.values())
