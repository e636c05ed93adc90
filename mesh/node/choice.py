"""Which exact engine a job asks for. A pure function over what peers offer.

Theory: one job, one exact build, since builds differ visibly. Only the program that a file is for reads it. The version
that saved the file is the safest; where nobody has it, the nearest newer one reads it too; an older one does not; a
file that names none can be read by any. Of equal versions that build is taken which has most slots."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mesh.ports.renderer import SavedBy
from mesh.wire.records import EngineId


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One engine and how many slots of the mesh have it."""

    engine: EngineId
    slots: int


def version_key(version: str) -> tuple[int, ...]:
    """Return the numbers in a version, for comparing: `4.2.23` gives (4, 2, 23)."""
    return tuple(map(int, re.findall(r"\d+", version)))


def sum_offers(engines: Iterable[tuple[EngineId, int]]) -> tuple[Offer, ...]:
    """Return one offer for each engine, from (engine, slots) of every peer."""
    slots: dict[EngineId, int] = {}
    for engine, count in engines:
        slots[engine] = slots.get(engine, 0) + count
    return tuple(Offer(engine=engine, slots=count) for engine, count in slots.items())


def choose(offers: Sequence[Offer], *, wanted: str | None, saved_by: SavedBy) -> EngineId | None:
    """Return the engine for a file that is `saved_by` a version, or for `wanted` where a person named one.

    `wanted` is a version or its beginning, with or without the engine's name: `4.2`, `blender 4.2.23`. None when nobody
    offers any that will do.
    """
    offers = [offer for offer in offers if offer.engine.name == saved_by.engine]
    if wanted is not None:
        return _best([offer for offer in offers if _is_wanted(offer.engine, wanted)])
    saved = version_key(saved_by.version)
    same = [offer for offer in offers if version_key(offer.engine.version)[: len(saved)] == saved]
    if same:
        return _best(same)
    newer = [offer for offer in offers if version_key(offer.engine.version) > saved]
    nearest = min((_minor(offer.engine) for offer in newer), default=None)
    return _best([offer for offer in newer if _minor(offer.engine) == nearest])


def _is_wanted(engine: EngineId, wanted: str) -> bool:
    name, _, version = wanted.strip().replace("-", " ").rpartition(" ")
    numbers = version_key(version)
    if name and name.casefold() != engine.name.casefold():
        return False
    return bool(numbers) and version_key(engine.version)[: len(numbers)] == numbers


def _best(offers: Sequence[Offer]) -> EngineId | None:
    ranked = sorted(offers, key=lambda offer: (offer.slots, version_key(offer.engine.version), offer.engine.build))
    return ranked[-1].engine if ranked else None


def _minor(engine: EngineId) -> tuple[int, ...]:
    return version_key(engine.version)[:2]
