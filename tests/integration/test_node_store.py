"""Nodes whose stores are small, on real disks: cache makes way, what is bound stays, and a person sees which is it."""

import os
from pathlib import Path

import pytest
import trio

from mesh.ports.storage import DiskFull
from tests.support.nodes import TestPeer, eventually, mesh_of, request, unheard, until, write_scene

QUOTA = 500_000


def scene(directory: Path, size: int = 150_000) -> Path:
    """Write a scene of that size, unlike any other."""
    return write_scene(directory, "frames 1 2", tex=os.urandom(size))


async def rendered(peer: TestPeer, written: Path) -> str:
    answer = await peer.at.submit(request(written), unheard)
    assert answer["job"] is not None
    job = answer["job"]["id"]
    await until(peer, job, lambda row: row["state"] == "sealed")
    return job


async def bound_to(peer: TestPeer) -> set[str]:
    return {row["job"] for row in (await peer.at.store())["bound"] if row["bytes"] > 100_000}


def test_a_cancelled_job_makes_way_and_others_stay(tmp_path: Path) -> None:
    async def main() -> None:
        async with mesh_of(tmp_path / "peers", "ada", "bob", quota_bytes=QUOTA) as (ada, bob):
            first, second = [await rendered(ada, scene(tmp_path / name)) for name in ("first", "second")]
            assert await bound_to(ada) == {first, second}
            await ada.at.cancel(first)
            third = scene(tmp_path / "third", 250_000)
            submitted: list[str] = []

            async def fits() -> bool:
                try:
                    submitted.append(await rendered(ada, third))
                except DiskFull:  # what was used a moment ago stays for a while
                    await trio.sleep(0.5)
                return bool(submitted)

            await eventually(fits)
            for peer in (ada, bob):
                status = await peer.at.status()
                assert status["stored_bytes"] <= status["store"]["quota_bytes"] == QUOTA
            freed = await ada.at.free(10**9)
            assert freed["stored_bytes"] >= 400_000, "what is bound stays whatever somebody asks"
            assert await bound_to(ada) == {second, *submitted}
            assert second in await bound_to(bob)

    trio.run(main)


def test_a_scene_beyond_the_quota_is_refused_before_anything_is_stored(tmp_path: Path) -> None:
    async def main() -> None:
        async with mesh_of(tmp_path / "peers", "ada", quota_bytes=QUOTA) as (ada,):
            with pytest.raises(DiskFull, match=f"{QUOTA} by its quota"):
                await ada.at.submit(request(scene(tmp_path / "shot", 2 * QUOTA)), unheard)
            assert (await ada.at.status())["stored_bytes"] == 0

    trio.run(main)


def test_a_peer_without_room_for_a_scene_renders_none_of_it_and_says_so(tmp_path: Path) -> None:
    async def main() -> None:
        async with mesh_of(tmp_path / "peers", "ada", "bob") as (ada, bob):
            assert bob.store is not None
            bob.store._allowance.quota_bytes = QUOTA
            written = scene(tmp_path / "shot", 2 * QUOTA)

            async def measured() -> bool:
                return bob.node is not None and 0 < bob.node._peer.host.limit_bytes <= QUOTA

            await eventually(measured)
            job = await rendered(ada, written)
            (row,) = (await bob.at.status())["store"]["no_room"] or [None]
            assert row is None or (row["job"], row["lacking_bytes"] > QUOTA) == (job, True)
            frames = (await ada.at.job(job))["frames"]
            assert {frame["holder_name"] for frame in frames} == {"ada"}
            assert (await bob.at.status())["stored_bytes"] < QUOTA

    trio.run(main)
