"""Intake: what a person's own disk refuses is told to the person."""

from pathlib import Path

import pytest
import trio
import trio.lowlevel

from mesh.core.effects import Accepted, Declined
from mesh.core.events import Event
from mesh.node.choice import Offer
from mesh.node.engines import EngineRack, engine_id
from mesh.node.intake import Intake
from mesh.ports.desk import SubmitRequest
from mesh.ports.storage import StorageError
from mesh.store.folders import DiskFolders
from mesh.store.scenes import StoreScenes
from sim.fakes import MemoryBlobStore, Shelves
from sim.stagehand import SCENE_NAME, Stagehand, engine
from tests.support.worlds import VirtualWorld, virtual


@virtual
async def test_a_scratch_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    async def tell(_event: Event) -> None:
        await trio.lowlevel.checkpoint()

    async def ask(_command: object) -> Accepted | Declined:
        await trio.lowlevel.checkpoint()
        raise AssertionError("a scene that is not stored was announced")

    world, stagehand = VirtualWorld(), Stagehand()
    rack = EngineRack(renderer=stagehand, facts=world.facts(), slots=1, tell=tell)
    await rack.probe()
    scene = tmp_path / SCENE_NAME
    scene.write_text("ms 5")
    scratch = tmp_path / "scratch"
    scratch.touch()
    async with trio.open_nursery() as nursery:
        intake = Intake(
            nursery=nursery,
            world=world,
            scenes=StoreScenes(MemoryBlobStore(Shelves())),
            renderer=stagehand,
            rack=rack,
            folders=DiskFolders(),
            scratch=scratch,
            offers=lambda: [Offer(engine=engine_id(engine()), slots=1)],
            ask=ask,
        )
        with pytest.raises(StorageError, match=r"scratch cannot be written: Not a directory"):
            await intake.submit(request(scene), lambda _report: None)
        nursery.cancel_scope.cancel()


def request(scene: Path) -> SubmitRequest:
    return {
        "scene": str(scene),
        "frames": None,
        "step": None,
        "name": None,
        "output": None,
        "engine": None,
        "dry_run": False,
        "allow_missing": False,
        "overwrite": False,
    }
