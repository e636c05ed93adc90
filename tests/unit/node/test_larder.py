"""Room for a scene that is submitted: what is here already needs none."""

from pathlib import Path

import pytest

from mesh.core.effects import Freed
from mesh.node.asking import Asking
from mesh.node.larder import Larder
from mesh.ports.storage import DiskFull
from mesh.store.scenes import StoreScenes
from mesh.wire.manifest import MIB
from sim.fakes import MemoryBlobStore, Shelves
from tests.support.stores import content_of
from tests.support.worlds import VirtualWorld, virtual


class NothingGoes(Asking):
    """A core that has no cache."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    async def free(self, size: int) -> Freed:
        self.asked.append(size)
        return Freed(blobs=0, size=0)


def test_a_scene_that_is_here_already_is_taken_again_and_one_larger_than_the_store_is_not(tmp_path: Path) -> None:
    files = []
    for number in range(3):
        path = tmp_path / f"part-{number}"
        path.write_bytes(content_of(3, number))
        files.append((path.name, path))
    shelves = Shelves()
    shelves.quota_bytes = 13 * MIB
    store = MemoryBlobStore(shelves)
    scenes = StoreScenes(store)
    first = scenes.ingest_tree(files)
    core = NothingGoes()
    larder = Larder(world=VirtualWorld(), store=store, asking=core)

    @virtual
    async def submitted_again() -> None:
        await larder.make_room(first.size)
        assert len(core.asked) == 1
        assert scenes.ingest_tree(files).root == first.root
        with pytest.raises(DiskFull):
            await larder.make_room(14 * MIB)

    submitted_again()
