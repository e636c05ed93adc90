"""Who renders which bucket, asked of real nodes while they render, and when all is done."""

from pathlib import Path

import pytest
import trio

from mesh.cli import buckets
from mesh.ports.desk import JobRow, NotFound
from mesh.ports.stills import BucketsAnswer
from tests.support.nodes import TestPeer, mesh_of, request, unheard, until, write_scene

WIDTH, HEIGHT = 64, 36


async def submit(peer: TestPeer, scene: Path, **changes: object) -> str:
    answer = await peer.at.submit(request(scene, **changes), unheard)
    assert answer["job"] is not None
    return answer["job"]["id"]


def done(row: JobRow) -> bool:
    return row["state"] == "sealed" and row["delivered"] == row["tasks"]


def check(told: BucketsAnswer) -> None:
    """Check that rectangles make up the frame, without gap or overlap."""
    assert (told["width"], told["height"], told["region"]) == (WIDTH, HEIGHT, [0, 0, WIDTH, HEIGHT])
    seen: set[tuple[int, int]] = set()
    for row in told["buckets"]:
        left, top, right, bottom = row["region"]
        pixels = {(x, y) for x in range(left, right) for y in range(top, bottom)}
        assert seen.isdisjoint(pixels)
        seen |= pixels
        assert bool(row["peer"]) is (row["state"] in ("running", "counts"))
        assert bool(row["peer_name"]) is bool(row["peer"])
    assert len(seen) == WIDTH * HEIGHT


def test_everybody_sees_a_still_grow_and_who_made_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with mesh_of(tmp_path, "ada", "ben", "cyd") as peers:
            ada = peers[0]
            scene = write_scene(tmp_path / "shot", "frames 1 4\ncurrent 3\nms 150")
            job = await submit(ada, scene, still=True, buckets="8x8")
            row = await until(ada, job, lambda row: row["cells_counting"] >= 8)
            assert 0 < row["pixels_counting"] < row["pixels"] == WIDTH * HEIGHT
            assert row["pixel_ns"] > 0
            half = await ada.at.buckets(job, None)
            check(half)
            assert {"counts", "running"} <= {one["state"] for one in half["buckets"]}
            assert (half["frame"], half["known"]) == (3, True)
            await until(ada, job, done)
            for peer in peers:
                whole = await peer.at.buckets(job, 3)
                check(whole)
                assert {one["state"] for one in whole["buckets"]} == {"counts"}
                assert whole["assembler_name"] in ("ada", "ben", "cyd")
                made = buckets.makers(whole["buckets"]).values()
                assert sum(maker.buckets for maker in made) == 40
                assert {maker.name for maker in made} == {"ada", "ben", "cyd"}
                answer = await peer.at.job(job)
                assert answer["job"]["pixels_counting"] == WIDTH * HEIGHT
                assert sum(share["pixels"] for share in answer["shares"]) == WIDTH * HEIGHT
                assert sorted((share["peer"], share["buckets"], share["render_ms"]) for share in answer["shares"]) == (
                    sorted((maker.peer, maker.buckets, maker.render_ms) for maker in made)
                )

    trio.run(main)


def test_frames_are_asked_for_one_by_one(tmp_path: Path) -> None:
    async def main() -> None:
        async with mesh_of(tmp_path, "ada") as (ada,):
            scene = write_scene(tmp_path / "shot", "frames 1 4\nms 5")
            job = await submit(ada, scene, still=True, buckets="strips:3", frames="2-3")
            await until(ada, job, done)
            for frame in (2, 3):
                told = await ada.at.buckets(job, frame)
                check(told)
                assert told["frame"] == frame
                assert {one["frame"] for one in told["buckets"]} == {frame}
            assert (await ada.at.buckets(job, None))["frame"] == 3
            with pytest.raises(NotFound, match="has no frame 4, but 2-3"):
                await ada.at.buckets(job, 4)

    trio.run(main)


def test_frames_that_are_rendered_whole_have_no_buckets(tmp_path: Path) -> None:
    async def main() -> None:
        async with mesh_of(tmp_path, "ada") as (ada,):
            job = await submit(ada, write_scene(tmp_path / "shot", "frames 1 2\nms 5"))
            row = await until(ada, job, done)
            assert (row["pixels"], row["pixels_counting"], row["pixel_ns"]) == (0, 0, 0)
            assert (await ada.at.job(job))["shares"] == []
            for frame in (None, 1):
                with pytest.raises(NotFound, match="not rendered in buckets"):
                    await ada.at.buckets(job, frame)
            with pytest.raises(NotFound, match="no job is called"):
                await ada.at.buckets("nobody", None)

    trio.run(main)
