"""Intake: what a person's own disk refuses is told to the person."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest
import trio
import trio.lowlevel

from mesh.core.effects import Accepted, Declined
from mesh.core.events import Event
from mesh.ground.errors import UsageError
from mesh.ground.ids import PeerId
from mesh.node.choice import Offer
from mesh.node.engines import EngineRack, engine_id
from mesh.node.intake import Intake, Plan, Submitted
from mesh.ports.desk import SubmitRequest
from mesh.ports.storage import StorageError
from mesh.store.folders import DiskFolders
from mesh.store.scenes import StoreScenes
from mesh.wire.records import Check
from sim.fakes import MemoryBlobStore, Shelves
from sim.stagehand import SCENE_NAME, Stagehand, engine
from tests.support.worlds import VirtualWorld, virtual

T = TypeVar("T")


class ThreadedWorld(VirtualWorld):
    """A world that knows whether what runs now runs in a thread."""

    threads = 0

    async def in_thread(self, call: Callable[[], T]) -> T:
        def counted() -> T:
            self.threads += 1
            try:
                return call()
            finally:
                self.threads -= 1

        return await super().in_thread(counted)


@asynccontextmanager
async def intake_at(tmp_path: Path, stagehand: Stagehand, world: VirtualWorld) -> AsyncIterator[Intake]:
    """Yield the intake of a host that has an engine, whose scratch is a file and no directory."""

    async def tell(_event: Event) -> None:
        await trio.lowlevel.checkpoint()

    async def make_room(_size: int) -> None:
        await trio.lowlevel.checkpoint()

    async def ask(_command: object) -> Accepted | Declined:
        await trio.lowlevel.checkpoint()
        raise AssertionError("a scene that is not stored was announced")

    rack = EngineRack(renderer=stagehand, facts=world.facts(), slots=1, tell=tell)
    await rack.probe()
    scratch = tmp_path / "scratch"
    scratch.touch()
    (tmp_path / SCENE_NAME).write_text("ms 5")
    async with trio.open_nursery() as nursery:
        yield Intake(
            nursery=nursery,
            world=world,
            scenes=StoreScenes(MemoryBlobStore(Shelves())),
            make_room=make_room,
            renderer=stagehand,
            rack=rack,
            folders=DiskFolders(),
            scratch=scratch,
            offers=lambda: [Offer(engine=engine_id(engine()), slots=1)],
            ask=ask,
        )
        nursery.cancel_scope.cancel()


@virtual
async def test_a_scratch_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    async with intake_at(tmp_path, Stagehand(), VirtualWorld()) as intake:
        with pytest.raises(StorageError, match=r"scratch cannot be written: Not a directory"):
            await intake.submit(request(tmp_path / SCENE_NAME), lambda _report: None)


@virtual
async def test_a_scene_on_a_slow_disk_does_not_hold_the_node_up(tmp_path: Path) -> None:
    class Reader(Stagehand):
        def saved_by(self, scene: Path) -> str:
            assert world.threads == 1
            return super().saved_by(scene)

    world = ThreadedWorld()
    async with intake_at(tmp_path, Reader(), world) as intake:
        found = await intake.submit({**request(tmp_path / SCENE_NAME), "dry_run": True}, lambda _report: None)
        assert isinstance(found, Submitted)


@virtual
async def test_what_is_checked_twice_is_not_cut_and_is_no_still(tmp_path: Path) -> None:
    judge = PeerId(bytes(32))
    async with intake_at(tmp_path, Stagehand(), VirtualWorld()) as intake:
        asked: SubmitRequest = {**request(tmp_path / SCENE_NAME), "dry_run": True}

        async def planned(**changes: object) -> Plan:
            found = await intake.submit({**asked, **changes}, lambda _report: None, (judge,))  # type: ignore[typeddict-item]
            assert isinstance(found, Submitted)
            return found.plan

        once, twice = await planned(), await planned(check="twice")
        assert once.cut is not None
        assert (twice.cut, twice.check, twice.judges) == (None, Check.TWICE, (judge,))
        with pytest.raises(UsageError, match="whole"):
            await planned(check="twice", still=True)
        with pytest.raises(UsageError, match="neither"):
            await planned(check="thrice")


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
        "still": False,
        "buckets": "auto",
        "order": "centre",
        "split": True,
        "samples_split": 0,
        "memory_mb": 0,
        "check": "once",
        "judges": [],
        "weight": 10,
    }
