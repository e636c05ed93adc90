"""Stills on real nodes: one frame in buckets by all of them, whole at the end, whoever goes meanwhile."""

from collections import Counter
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
import trio

from mesh.ground.errors import UsageError
from mesh.ground.ids import JobId
from mesh.ground.limits import SPLIT_LEAST_MS
from mesh.ports.desk import JobRow, Refused
from mesh.wire.grids import SampleRange
from mesh.wire.records import Result
from sim.stagehand import Stagehand, engine
from tests.support.nodes import (
    TestPeer,
    joiner,
    mesh_of,
    refuse_wrong_frames,
    request,
    sees,
    unheard,
    until,
    write_scene,
)

SEALED = "sealed"


async def submit_still(peer: TestPeer, scene: Path, **changes: object) -> str:
    asked = {"still": True, "buckets": "8x8", **changes}
    answer = await peer.at.submit(request(scene, **asked), unheard)
    assert answer["job"] is not None
    return answer["job"]["id"]


def done(row: JobRow) -> bool:
    return row["state"] == SEALED and row["delivered"] == row["tasks"]


def buckets_of(*peers: TestPeer) -> list[object]:
    return [region for peer in peers for region in peer.stagehand.regions]


def test_all_render_one_frame_and_nobody_renders_it_whole(tmp_path: Path) -> None:
    async def main() -> None:
        async with mesh_of(tmp_path, "ada", "ben", "cyd") as (ada, ben, cyd):
            scene = write_scene(tmp_path / "shot", "frames 1 4\ncurrent 3\nms 1600")
            copied = [tally_of(peer) for peer in (ada, ben, cyd)]
            row = await until(ada, await submit_still(ada, scene), done)
            assert (row["tasks"], row["cells"], row["cells_counting"]) == (1, 40, 40)
            refuse_wrong_frames(scene, range(3, 4))
            each = [buckets_of(peer) for peer in (ada, ben, cyd)]
            assert all(each), "somebody rendered nothing"
            again = Counter(buckets_of(ada, ben, cyd))
            assert None not in again
            assert len(again) == 40
            copies = sum(tally.total() for tally in copied)
            assert again.total() <= 40 + copies, "cells were rendered twice that nobody meant to be"

    trio.run(main)


class Tally(Counter[JobId]):
    """Copies of last buckets that were granted, of jobs that have ended, too."""

    def pop(self, job: JobId, *_default: object) -> int:
        return self[job]


def tally_of(peer: TestPeer) -> Tally:
    """Return how many copies of last buckets a peer grants from now on."""
    assert peer.node is not None
    tally = peer.node._peer.stills.tail_copies = Tally()
    return tally


def granted_part(peer: TestPeer, job: str) -> float:
    """Return of how many of a job's buckets the claim took up a grant."""
    assert peer.node is not None
    ledger = peer.node._peer.ledger.jobs[JobId(bytes.fromhex(job))]
    results = [entry.body.what for entry in ledger.entries.values() if isinstance(entry.body.what, Result)]
    claims = [result.claim.body for result in results if result.block is not None]
    return sum(claim.grant is not None for claim in claims) / len(claims)


def test_a_coordinator_grants_what_is_rendered(tmp_path: Path) -> None:
    async def main() -> None:
        async with mesh_of(tmp_path, "ada", "ben", "cyd") as (ada, _, _):
            scene = write_scene(tmp_path / "shot", "frames 1 1\nms 12000")
            job = await submit_still(ada, scene)
            await until(ada, job, done)
            assert granted_part(ada, job) > 0.9

    trio.run(main)


def test_the_submitter_sees_it_grow(tmp_path: Path) -> None:
    async def main() -> None:
        async with mesh_of(tmp_path, "ada", "ben") as (ada, ben):
            scene = write_scene(tmp_path / "shot", "frames 1 1\nms 12000")
            job = await submit_still(ada, scene)
            seen: dict[bytes, None] = {}
            shown: dict[Path, None] = {}

            def look(row: JobRow) -> bool:
                path = Path(row["preview"])
                if row["preview"]:
                    with suppress(FileNotFoundError):
                        seen[path.read_bytes()] = None
                        shown[path] = None
                return done(row)

            await until(ada, job, look)
            assert len(seen) >= 5
            assert (await ada.at.job(job))["job"]["preview"] == ""
            assert [path for path in shown if path.exists()] == [], "nobody needs it once the picture is there"
            assert (await ben.at.job(job))["job"]["preview"] == ""

    trio.run(main)


def test_several_frames_go_one_after_the_other(tmp_path: Path) -> None:
    async def main() -> None:
        async with mesh_of(tmp_path, "ada", "ben") as (ada, ben):
            scene = write_scene(tmp_path / "shot", "frames 1 4\nms 100")
            await until(ada, await submit_still(ada, scene, frames="1-3", buckets="strips:4", order="rows"), done)
            refuse_wrong_frames(scene, range(1, 4))
            each = [buckets_of(peer) for peer in (ada, ben)]
            assert all(each), "somebody rendered nothing"
            assert None not in each[0] + each[1], "a frame was rendered whole"

    trio.run(main)


@pytest.mark.parametrize("split", [True, False])
def test_the_last_frames_of_an_animation_become_buckets_where_slots_would_be_idle(split: bool, tmp_path: Path) -> None:
    async def main() -> None:
        async with mesh_of(tmp_path, "ada", "ben", "cyd", "dee") as peers:
            scene = write_scene(tmp_path / "shot", f"frames 1 9\nms {SPLIT_LEAST_MS}")
            asked = {"still": False, "split": split, "buckets": "16x18"}
            await until(peers[0], await submit_still(peers[0], scene, **asked), done)
            refuse_wrong_frames(scene, range(1, 10))
            rendered = Counter(buckets_of(*peers))
            assert rendered[None] in (range(6, 9) if split else [9]), rendered
            assert (rendered.total() > 9) is split

    trio.run(main)


def test_who_goes_in_the_middle_is_not_missed(tmp_path: Path) -> None:
    async def main() -> None:
        async with mesh_of(tmp_path, "ada", "ben", "cyd") as (ada, ben, cyd):
            scene = write_scene(tmp_path / "shot", "frames 1 1\nms 5000")
            job = await submit_still(ada, scene)
            await until(ada, job, lambda row: row["cells_counting"] >= 6)
            ben.scope.cancel()
            await ben.ended.wait()
            await until(ada, job, lambda row: row["cells_counting"] >= 16)
            cyd.scope.cancel()
            await until(ada, job, done)
            refuse_wrong_frames(scene, range(1, 2))

    trio.run(main)


def test_who_comes_in_the_middle_works_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with mesh_of(tmp_path, "ada", "ben") as (ada, _), trio.open_nursery() as nursery:
            scene = write_scene(tmp_path / "shot", "frames 1 1\nms 12000")
            job = await submit_still(ada, scene)
            await until(ada, job, lambda row: row["cells_counting"] >= 4)
            token = (await ada.at.invite([], 3_600_000, 1))["token"]
            cyd = await joiner(tmp_path / "cyd", token, "cyd")
            await nursery.start(cyd.run)
            await until(ada, job, done)
            refuse_wrong_frames(scene, range(1, 2))
            assert len(buckets_of(cyd)) >= 4
            nursery.cancel_scope.cancel()

    trio.run(main)


def test_only_the_jobs_own_build_takes_part_and_the_others_are_told_why(tmp_path: Path) -> None:
    async def main() -> None:
        async with mesh_of(tmp_path, "ada") as (ada,), trio.open_nursery() as nursery:
            token = (await ada.at.invite([], 3_600_000, 1))["token"]
            ben = await joiner(tmp_path / "ben", token, "ben", stagehand=Stagehand(engine=engine(build="another")))
            await nursery.start(ben.run)
            await sees(ada, 2)
            scene = write_scene(tmp_path / "shot", "frames 1 1\nms 1000")
            answer = await ada.at.submit(request(scene, still=True, buckets="8x8", engine="4.2.23"), unheard)
            assert answer["job"] is not None
            lacks = {row["name"]: row["lacks"] for row in answer["helpers"]}
            assert sorted(map(bool, lacks.values())) == [False, True]
            assert "another build" in "".join(lacks.values())
            await until(ada, answer["job"]["id"], done)
            able = next(peer for peer in (ada, ben) if not lacks[peer.name])
            assert len(buckets_of(able)) >= 40
            assert len(buckets_of(ada, ben)) == len(buckets_of(able))
            nursery.cancel_scope.cancel()

    trio.run(main)


def test_buckets_are_as_large_as_suits(tmp_path: Path) -> None:
    async def main() -> None:
        async with mesh_of(tmp_path, "ada") as (ada,):
            scene = write_scene(tmp_path / "shot", "frames 1 1\nms 50")
            await until(ada, await submit_still(ada, scene, buckets="auto"), done)
            refuse_wrong_frames(scene, range(1, 2))
            assert None not in buckets_of(ada), "the frame was rendered whole"
            assert len(buckets_of(ada)) == 2, "of so small a picture they are no smaller"

    trio.run(main)


def test_shares_of_samples_are_rendered_by_all_and_added(tmp_path: Path) -> None:
    async def main() -> None:
        async with mesh_of(tmp_path, "ada", "ben", "cyd") as (ada, ben, cyd):
            scene = write_scene(tmp_path / "shot", "frames 1 4\ncurrent 3\nsamples 100\nms 1600")
            job = await submit_still(ada, scene, buckets="auto", samples_split=16)
            row = await until(ada, job, done)
            assert (row["tasks"], row["cells"], row["cells_counting"]) == (1, 16, 16)
            refuse_wrong_frames(scene, range(3, 4))
            assert all(buckets_of(peer) for peer in (ada, ben, cyd)), "somebody rendered nothing"
            edges = [100 * share // 16 for share in range(17)]
            wanted = {SampleRange(first=first, count=after - first, of=100) for first, after in pairwise(edges)}
            assert set(buckets_of(ada, ben, cyd)) == wanted
            told = await ada.at.buckets(job, 3)
            assert (told["shares"], told["width"], told["height"], told["region"]) == (16, 16, 1, [0, 0, 16, 1])

    trio.run(main)


def test_what_shares_there_will_be_is_said_before(tmp_path: Path) -> None:
    async def main() -> None:
        async with mesh_of(tmp_path, "ada") as (ada,):
            scene = write_scene(tmp_path / "shot", "samples 100")
            answer = await ada.at.submit(request(scene, still=True, samples_split=16, dry_run=True), unheard)
            assert answer["buckets"] == "16 shares of 6 or 7 samples, of 100, each of the whole picture"

    trio.run(main)


def test_who_goes_in_the_middle_of_samples_is_not_missed(tmp_path: Path) -> None:
    async def main() -> None:
        async with mesh_of(tmp_path, "ada", "ben", "cyd") as (ada, ben, _):
            scene = write_scene(tmp_path / "shot", "frames 1 1\nms 5000")
            job = await submit_still(ada, scene, buckets="auto", samples_split=24)
            await until(ada, job, lambda row: row["cells_counting"] >= 5)
            ben.scope.cancel()
            await until(ada, job, done)
            refuse_wrong_frames(scene, range(1, 2))

    trio.run(main)


@pytest.mark.parametrize(
    ("scene", "said"),
    [
        ("joint it samples adaptively", "it samples adaptively"),
        ("samples 7", "7 samples, which cannot be 8 shares"),
    ],
)
def test_samples_that_cannot_be_shared_are_refused_by_name(scene: str, said: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with mesh_of(tmp_path, "ada") as (ada,):
            with pytest.raises(Refused, match=said):
                await submit_still(ada, write_scene(tmp_path / "shot", scene), buckets="auto", samples_split=8)
            assert (await ada.at.jobs())["jobs"] == []

    trio.run(main)


def test_what_cannot_be_cut_is_refused_by_name(tmp_path: Path) -> None:
    async def main() -> None:
        async with mesh_of(tmp_path, "ada") as (ada,):
            scene = write_scene(tmp_path / "shot", "frames 1 1\nwhole it draws lines over the whole frame")
            with pytest.raises(Refused, match="it draws lines over the whole frame"):
                await submit_still(ada, scene)
            assert (await ada.at.jobs())["jobs"] == []

    trio.run(main)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"buckets": "0x8"}, "a size such as"),
        ({"buckets": "many"}, "strips:8"),
        ({"order": "random"}, "centre, spiral, rows"),
        ({"samples_split": 4}, "instead of its buckets"),
        ({"samples_split": 4, "buckets": "auto", "still": False}, "about a still"),
        ({"samples_split": 1, "buckets": "auto"}, "2 to 64"),
        ({"samples_split": 65, "buckets": "auto"}, "2 to 64"),
        ({"samples_split": -2, "buckets": "auto"}, "2 to 64"),
        ({"buckets": "1x1", "frames": "1-60"}, "at most 43 frames"),
    ],
)
def test_what_makes_no_sense_is_said_so(changes: dict[str, object], said: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with mesh_of(tmp_path, "ada") as (ada,):
            scene = write_scene(tmp_path / "shot", "frames 1 60")
            with pytest.raises(UsageError, match=said):
                await submit_still(ada, scene, **changes)
            assert (await ada.at.jobs())["jobs"] == []

    trio.run(main)
