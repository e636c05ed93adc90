"""What goes wrong while a frame grows from buckets costs at most that frame's assembly."""

import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from mesh.ground.ids import BlobId, JobId
from mesh.node import assemblies
from mesh.node.outputs import lay_out
from mesh.ports.desk import JobRow
from mesh.ports.renderer import RendererCrashed
from mesh.ports.storage import BlobStore
from mesh.wire.grids import Region
from mesh.wire.records import Failed
from sim.stagehand import FakeAssembly, Stagehand
from tests.support.nodes import TestPeer, mesh_of, refuse_wrong_frames, request, unheard, until, write_scene


async def submit(peer: TestPeer, scene: Path) -> str:
    answer = await peer.at.submit(request(scene, still=True, buckets="8x8"), unheard)
    assert answer["job"] is not None
    return answer["job"]["id"]


def done(row: JobRow) -> bool:
    return row["state"] == "sealed" and row["delivered"] == row["tasks"]


class Blind(FakeAssembly):
    """Dies whenever it is to be looked at."""

    async def preview(self, picture: Path) -> None:
        raise RendererCrashed("signal 11")


class BlindHand(Stagehand):
    """Assembles, and can show nothing of it."""

    @asynccontextmanager
    async def assembly(self, width: int, height: int, region: Region) -> AsyncIterator[FakeAssembly]:
        assert width > 0
        assert height > 0
        await trio.lowlevel.checkpoint()
        yield Blind(region)


def test_a_preview_that_fails_costs_no_frame(tmp_path: Path) -> None:
    async def main() -> None:
        async with mesh_of(tmp_path, "ada", stagehand=BlindHand()) as (ada,):
            scene = write_scene(tmp_path / "shot", "frames 1 1\nms 800")
            job = await submit(ada, scene)
            await until(ada, job, done)
            assert (await ada.at.job(job))["job"]["preview"] == ""
            ledger = ada.node._peer.ledger.jobs[JobId(bytes.fromhex(job))]
            assert not any(isinstance(entry.body.what, Failed) for entry in ledger.entries.values())

    trio.run(main)


def test_a_disk_that_is_full_while_a_frame_grows_costs_the_peer_no_more_than_the_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = iter([True])

    def lay_out_once_full(store: BlobStore, blob: BlobId, path: Path) -> None:
        if next(room, None):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        lay_out(store, blob, path)

    monkeypatch.setattr(assemblies, "lay_out", lay_out_once_full)

    async def main() -> None:
        async with mesh_of(tmp_path, "ada", "ben") as (ada, _):
            scene = write_scene(tmp_path / "shot", "frames 1 1\nms 100")
            await until(ada, await submit(ada, scene), done)
            refuse_wrong_frames(scene, range(1, 2))
            assert next(room, None) is None, "the disk was full"

    trio.run(main)
