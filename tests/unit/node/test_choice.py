"""Which engine a job asks for."""

import pytest

from mesh.node.choice import Offer, choose, sum_offers, version_key
from mesh.ports.renderer import SavedBy
from mesh.wire.records import EngineId


def offer(version: str, slots: int = 1, build: str = "a", name: str = "blender") -> Offer:
    return Offer(engine=EngineId(name=name, version=version, build=build), slots=slots)


BLENDER_4_2 = SavedBy(engine="blender", version="4.2")
OFFERS = [offer("3.4.1"), offer("4.2.3"), offer("4.2.23"), offer("4.5.15"), offer("5.0.1", slots=9)]


@pytest.mark.parametrize(
    ("wanted", "saved_by", "chosen"),
    [
        (None, "4.2", "4.2.23"),
        (None, "4.3", "4.5.15"),
        (None, "3.0", "3.4.1"),
        (None, "5.1", None),
        ("4.2", "2.8", "4.2.23"),
        ("4.2.3", "4.2", "4.2.3"),
        ("blender 5", "4.2", "5.0.1"),
        ("blender-4.5.15", "4.2", "4.5.15"),
        ("povray 4.2", "4.2", None),
        ("4.1", "4.2", None),
        ("newest", "4.2", None),
    ],
)
def test_the_version_that_saved_the_file_else_the_nearest_newer(
    wanted: str | None, saved_by: str, chosen: str | None
) -> None:
    found = choose(OFFERS, wanted=wanted, saved_by=SavedBy(engine="blender", version=saved_by))
    assert (found.version if found else None) == chosen


def test_of_equal_versions_the_build_with_most_slots_is_taken() -> None:
    engines = [(offer("4.2.1", build=build).engine, slots) for build, slots in (("a", 2), ("b", 1), ("b", 2), ("c", 0))]
    found = choose(sum_offers(engines), wanted=None, saved_by=BLENDER_4_2)
    assert found is not None
    assert found.build == "b"


def test_versions_compare_by_number() -> None:
    assert version_key("4.10.2") > version_key("4.9.33")


@pytest.mark.parametrize(
    ("wanted", "version", "chosen"),
    [
        (None, "", "3.7.0.10"),
        (None, "3.5", "3.7.0.10"),
        (None, "3.7", "3.7.0.10"),
        (None, "3.8", None),
        ("3.7", "", "3.7.0.10"),
        ("4.2", "", None),
        ("blender 4.2", "", None),
    ],
)
def test_a_scene_goes_to_engines_of_its_own_program_only(wanted: str | None, version: str, chosen: str | None) -> None:
    offers = [*OFFERS, offer("3.7.0.10", name="povray")]
    found = choose(offers, wanted=wanted, saved_by=SavedBy(engine="povray", version=version))
    assert (found.version if found else None) == chosen
    assert found is None or found.name == "povray"
    assert choose(offers[-1:], wanted=None, saved_by=BLENDER_4_2) is None
