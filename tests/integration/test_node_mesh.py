"""Nodes in one process, over real sockets and disks: jobs go all their way, also when peers go and come."""

import json
from pathlib import Path

import pytest
import trio

from mesh.node.joining import InviteUsedUp, NobodyAnswers
from mesh.ports.desk import DeskError, JobCancelled, NotFound, Refused, UnknownPeer
from mesh.ports.storage import StoreCorrupt
from mesh.wire import invites
from mesh.wire.signing import Ed25519Verifier
from sim.stagehand import NAMES
from tests.support.nodes import (
    TestPeer,
    eventually,
    expected,
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


async def submit(peer: TestPeer, scene: Path, **changes: object) -> str:
    """Submit a scene and return the job's id."""
    answer = await peer.at.submit(request(scene, **changes), unheard)
    assert answer["job"] is not None
    return answer["job"]["id"]


def test_three_nodes_render_and_deliver_a_job(tmp_path: Path) -> None:
    async def main() -> None:
        async with mesh_of(tmp_path / "peers", "ada", "bob", "cy") as peers:
            ada = peers[0]
            scene = write_scene(tmp_path / "shot", "frames 1 24\nms 80", tex=b"t" * 3_000_000, small=b"s" * 100)
            row = await until(ada, await submit(ada, scene), lambda row: row["state"] == SEALED)
            assert row["delivered"] == 24
            refuse_wrong_frames(scene, range(1, 25))
            rendered = [len(peer.stagehand.calls) for peer in peers]
            assert sum(rendered) == 24
            assert min(rendered) >= 3

    trio.run(main)


def test_a_peer_is_asked_for_by_name_by_id_and_by_the_beginning_of_one(tmp_path: Path) -> None:
    async def main() -> None:
        async with mesh_of(tmp_path / "peers", "ada", "bob") as (ada, bob):
            whole = (await bob.at.status())["id"]
            for named in ("bob", whole, whole.upper(), whole[:16]):
                answer = await ada.at.peer(named)
                assert answer["id"] == whole
                assert answer["seen"] is not None
                assert answer["seen"]["name"] == "bob"
            assert await ada.at.peer("00" * 32) == {"id": "00" * 32, "seen": None, "told": None}
            for unknown in ("nobody", "", "0x", "00" * 33):
                with pytest.raises(UnknownPeer):
                    await ada.at.peer(unknown)

    trio.run(main)


def test_one_node_alone_renders_what_it_is_given(tmp_path: Path) -> None:
    async def main() -> None:
        async with mesh_of(tmp_path / "peers", "ada") as (ada,):
            scene = write_scene(tmp_path / "shot", "frames 1 5")
            job = await submit(ada, scene, frames="2-4")
            row = await until(ada, job, lambda row: row["state"] == SEALED)
            assert (row["delivered"], row["only_here"], row["frames"]) == (3, True, "2-4")
            refuse_wrong_frames(scene, range(2, 5))

    trio.run(main)


def test_a_peer_that_dies_costs_nothing_but_its_frame(tmp_path: Path) -> None:
    async def main() -> None:
        async with mesh_of(tmp_path / "peers", "ada", "bob", "cy") as (ada, bob, cy):
            scene = write_scene(tmp_path / "shot", "frames 1 18\nms 150")
            job = await submit(ada, scene)

            async def cy_renders() -> bool:
                return len(cy.stagehand.calls) >= 2

            await eventually(cy_renders)
            cy.scope.cancel()
            await until(ada, job, lambda row: row["state"] == SEALED)
            refuse_wrong_frames(scene, range(1, 19))
            # Its own frame, perhaps one more that died with it unseen, and what it arbitrated as the closest keeper.
            assert sum(len(peer.stagehand.calls) for peer in (ada, bob, cy)) <= 18 + 4

    trio.run(main)


def test_the_submitter_may_go_once_it_says_so_and_another_fetches_all(tmp_path: Path) -> None:
    async def main() -> None:
        async with mesh_of(tmp_path / "peers", "ada", "bob") as (ada, bob):
            scene = write_scene(tmp_path / "shot", "frames 1 12\nms 100", tex=b"t" * 2_000_000)
            job = await submit(ada, scene)
            await until(ada, job, lambda row: row["may_go"])
            ada.scope.cancel()
            await ada.ended.wait()
            await until(bob, job, lambda row: row["counting"] == 12)
            target = tmp_path / "fetched"
            fetched = await bob.at.fetch(job, str(target), False, unheard)
            assert fetched["written"] + fetched["already"] == 12
            refuse_wrong_frames(scene, range(1, 13), target)
            again = await bob.at.fetch(job, str(target), False, unheard)
            assert (again["written"], again["already"]) == (0, 12)

    trio.run(main)


def test_a_fetch_into_the_jobs_own_directory_mends_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with mesh_of(tmp_path / "peers", "ada") as (ada,):
            scene = write_scene(tmp_path / "shot", "frames 1 5")
            job = await submit(ada, scene)
            own = (await until(ada, job, lambda row: row["state"] == SEALED))["directory"]
            gone, damaged = (Path(own) / NAMES.name(frame) for frame in (2, 4))
            gone.unlink()
            damaged.write_bytes(b"somebody's own")
            with pytest.raises(Refused, match=damaged.name):
                await ada.at.fetch(job, own, False, unheard)
            assert gone.exists()
            assert damaged.read_bytes() == b"somebody's own"
            mended = await ada.at.fetch(job, own, True, unheard)
            assert (mended["written"], mended["already"]) == (1, 4)
            refuse_wrong_frames(scene, range(1, 6))

    trio.run(main)


def test_a_picture_that_rots_is_fetched_again_from_another_holder(tmp_path: Path) -> None:
    async def main() -> None:
        async with mesh_of(tmp_path / "peers", "ada", "bob") as (ada, bob):
            job = await submit(ada, write_scene(tmp_path / "shot", "frames 1 4"))
            await until(bob, job, lambda row: row["safe"] == 4)
            store = bob.store
            assert store is not None
            picture = next(
                info.blob for info in store.blobs() if info.size == len(expected(tmp_path / "shot/shot.txt", 1))
            )
            (path,) = (bob.home / "blobs").glob(f"*/{picture.hex()}")
            path.write_bytes(bytes(path.stat().st_size))
            with pytest.raises(StoreCorrupt):
                await trio.to_thread.run_sync(store.read_piece, picture, 0)

            async def mended() -> bool:
                return store.complete(picture)

            await eventually(mended)

    trio.run(main)


def test_a_cancelled_job_is_not_fetched(tmp_path: Path) -> None:
    async def main() -> None:
        async with mesh_of(tmp_path / "peers", "ada") as (ada,):
            job = await submit(ada, write_scene(tmp_path / "shot", "frames 1 5\nms 1000"))
            await ada.at.cancel(job)
            with pytest.raises(JobCancelled):
                await ada.at.fetch(job, str(tmp_path / "fetched"), False, unheard)

    trio.run(main)


def test_all_are_killed_and_start_again_and_nothing_safe_is_rendered_twice(tmp_path: Path) -> None:
    async def main() -> None:
        async with mesh_of(tmp_path / "peers", "ada", "bob", "cy") as peers, trio.open_nursery() as nursery:
            ada = peers[0]
            scene = write_scene(tmp_path / "shot", "frames 1 20\nms 150")
            job = await submit(ada, scene)
            await until(ada, job, lambda row: row["safe"] >= 5)
            safe = {row["frame"] for row in (await ada.at.job(job))["frames"] if row["state"] == "safe"}
            for peer in peers:
                peer.scope.cancel()
            for peer in peers:
                await peer.ended.wait()
                peer.stagehand.calls.clear()
            for peer in peers:
                await nursery.start(peer.run)
            await until(ada, job, lambda row: row["state"] == SEALED)
            refuse_wrong_frames(scene, range(1, 21))
            again = {frame for peer in peers for _, frame in peer.stagehand.calls}
            assert not again & safe
            nursery.cancel_scope.cancel()

    trio.run(main)


def test_a_frame_that_crashes_everywhere_stops_and_is_told_with_its_log(tmp_path: Path) -> None:
    async def main() -> None:
        async with mesh_of(tmp_path / "peers", "ada", "bob") as (ada, _):
            scene = write_scene(tmp_path / "shot", "frames 1 4\ncrash 2\ntruncated 3")
            job = await submit(ada, scene)
            await until(ada, job, lambda row: row["stopped"] == 2 and row["delivered"] == 2)
            frames = {row["frame"]: row for row in (await ada.at.job(job))["frames"]}
            assert {failure["kind"] for failure in frames[2]["failures"]} == {"crashed"}
            assert {failure["kind"] for failure in frames[3]["failures"]} == {"truncated"}
            log = await ada.at.log(job, 1)
            assert [part["text"] for part in log["parts"]] == ["frame 1\n"]
            with pytest.raises(NotFound):
                await ada.at.log(job, 99)

    trio.run(main)


def test_a_crash_on_one_peer_is_made_good_by_another(tmp_path: Path) -> None:
    async def main() -> None:
        async with mesh_of(tmp_path / "peers", "ada", "bob") as (ada, _):
            scene = write_scene(tmp_path / "shot", f"frames 1 6\nms 50\nonce {tmp_path / 'crashed'}")
            job = await submit(ada, scene)
            await until(ada, job, lambda row: row["state"] == SEALED)
            refuse_wrong_frames(scene, range(1, 7))
            rows = (await ada.at.job(job))["frames"]
            assert [failure["kind"] for row in rows for failure in row["failures"]] == ["crashed"]

    trio.run(main)


def test_a_full_disk_is_named_and_its_frames_are_rendered_elsewhere(tmp_path: Path) -> None:
    async def main() -> None:
        async with mesh_of(tmp_path / "peers", "ada", "bob", "cy") as (ada, bob, cy):
            scene = write_scene(tmp_path / "shot", "frames 1 12\nms 100")
            job = await submit(ada, scene)

            async def bob_renders() -> bool:
                return bool(bob.stagehand.calls)

            await eventually(bob_renders)
            assert bob.store is not None
            bob.store.full = True
            await until(ada, job, lambda row: row["delivered"] == 12)
            refuse_wrong_frames(scene, range(1, 13))
            rows = (await ada.at.job(job))["frames"]
            failures = [failure for row in rows for failure in row["failures"]]
            assert {(failure["kind"], failure["peer_name"]) for failure in failures} == {("disk full", "bob")}
            assert "no room is left" in failures[0]["reason"]
            # Whoever is unfit claims nothing more for a while, so one peer's disk is no flood of failures.
            assert len(failures) <= 3
            assert (await cy.at.status())["draining"] is False

    trio.run(main)


def test_a_scene_that_no_peer_can_read_stops_with_its_reason(tmp_path: Path) -> None:
    async def main() -> None:
        async with mesh_of(tmp_path / "peers", "ada", "bob") as (ada, _):
            scene = write_scene(tmp_path / "shot", "frames 1 2\nunreadable")
            job = await submit(ada, scene)
            row = await until(ada, job, lambda row: row["state"] == "stopped")
            assert any("says so itself" in problem for problem in row["problems"])

    trio.run(main)


def test_missing_files_may_be_allowed(tmp_path: Path) -> None:
    async def main() -> None:
        async with mesh_of(tmp_path / "peers", "ada") as (ada,):
            scene = write_scene(tmp_path / "shot", "frames 1 2\nfile gone.png")
            row = await until(ada, await submit(ada, scene, allow_missing=True), lambda row: row["state"] == SEALED)
            assert row["delivered"] == 2

    trio.run(main)


def test_files_in_the_way_are_named_and_stay(tmp_path: Path) -> None:
    async def main() -> None:
        async with mesh_of(tmp_path / "peers", "ada", "bob") as (ada, bob):
            scene = write_scene(tmp_path / "shot", "frames 1 3")
            job = await submit(ada, scene)
            await until(ada, job, lambda row: row["state"] == SEALED)
            target = tmp_path / "mine"
            target.mkdir()
            (target / "frame_0002.png").write_bytes(b"precious")
            with pytest.raises(Refused, match="frame_0002"):
                await bob.at.fetch(job, str(target), False, unheard)
            assert (target / "frame_0002.png").read_bytes() == b"precious"
            fetched = await bob.at.fetch(job, str(target), True, unheard)
            assert (fetched["written"], fetched["already"]) == (1, 2)
            refuse_wrong_frames(scene, range(1, 4), target)

    trio.run(main)


def test_whatever_speaks_against_a_job_is_said_before_anything_is_stored(tmp_path: Path) -> None:
    async def main() -> None:
        async with mesh_of(tmp_path / "peers", "ada") as (ada,):
            scene = write_scene(tmp_path / "shot", "frames 1 3\nfile gone.png\nfile lost.png\nrefused no way")
            (scene.parent / "out").mkdir()
            (scene.parent / "out" / "frame_0002.png").write_bytes(b"mine")
            with pytest.raises(Refused) as caught:
                await submit(ada, scene)
            assert [row["code"] for row in caught.value.refusals] == [
                "refused",
                "missing-image",
                "missing-image",
                "output-exists",
            ]
            assert (await ada.at.status())["stored_bytes"] == 0
            assert (scene.parent / "out" / "frame_0002.png").read_bytes() == b"mine"
            with pytest.raises(Refused, match=r"no peer has engine 3\.4"):
                await submit(ada, scene, engine="3.4")

    trio.run(main)


def test_a_dry_run_tells_all_and_stores_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with mesh_of(tmp_path / "peers", "ada") as (ada,):
            scene = write_scene(tmp_path / "shot", "frames 1 9", tex=b"t" * 1000)
            answer = await ada.at.submit(request(scene, dry_run=True, step=2), unheard)
            assert answer["job"] is None
            assert (answer["tasks"], answer["frames"], answer["first_file"]) == (5, "1-9 step 2", "frame_0001.png")
            assert answer["files"] == 2
            assert [helper["lacks"] for helper in answer["helpers"]] == [""]
            assert (await ada.at.status())["stored_bytes"] == 0
            assert not (scene.parent / "out").exists()

    trio.run(main)


def test_a_cancelled_job_renders_no_more(tmp_path: Path) -> None:
    async def main() -> None:
        async with mesh_of(tmp_path / "peers", "ada", "bob") as (ada, bob):
            scene = write_scene(tmp_path / "shot", "frames 1 200\nms 100", name=b"x")
            job = await submit(ada, scene, name="long")
            await until(bob, job, lambda row: row["counting"] >= 2)
            assert (await ada.at.cancel("long"))["job"]["id"] == job
            await until(bob, job, lambda row: row["state"] == "cancelled")

            async def idle() -> bool:
                seen = [row for peer in (ada, bob) for row in (await peer.at.status())["peers"] if row["me"]]
                busy = any(row["busy"] for row in seen)
                return not (busy or ada.stagehand.open or bob.stagehand.open)

            await eventually(idle)
            with pytest.raises(DeskError):
                await bob.at.cancel(job)

    trio.run(main)


def test_a_peer_that_stops_finishes_its_frame_and_says_farewell(tmp_path: Path) -> None:
    async def main() -> None:
        async with mesh_of(tmp_path / "peers", "ada", "bob") as (ada, bob):
            scene = write_scene(tmp_path / "shot", "frames 1 10\nms 200")
            job = await submit(ada, scene)

            async def bob_renders() -> bool:
                return bool(bob.stagehand.calls)

            await eventually(bob_renders)
            await bob.at.stop(now=False)
            with trio.fail_after(20):
                await bob.ended.wait()
            assert bob.ending is not None
            assert not bob.stagehand.open
            row = await until(ada, job, lambda row: row["state"] == SEALED)
            assert row["delivered"] == 10
            by_bob = [row for row in (await ada.at.job(job))["frames"] if row["holder_name"] == "bob"]
            assert len(by_bob) == len(bob.stagehand.calls)

    trio.run(main)


def test_an_invite_admits_as_often_as_it_says(tmp_path: Path) -> None:
    async def main() -> None:
        async with mesh_of(tmp_path / "peers", "ada") as (ada,), trio.open_nursery() as nursery:
            token = (await ada.at.invite(["render"], 60_000, 1))["token"]
            bob = await joiner(tmp_path / "bob", token, "bob")
            await nursery.start(bob.run)
            await sees(ada, 2)
            assert (await bob.at.status())["roles"] == ["render"]
            with pytest.raises(InviteUsedUp):
                await joiner(tmp_path / "cy", token, "cy")
            scene = write_scene(tmp_path / "shot", "frames 1 2")
            with pytest.raises(DeskError, match="role"):
                await submit(bob, scene)
            ada.scope.cancel()
            await ada.ended.wait()
            with pytest.raises(NobodyAnswers):
                await joiner(tmp_path / "dee", token, "dee")
            read = invites.read(f"  {token[:40]}\n{token[40:]} ", Ed25519Verifier())
            assert read.secret == ada.secret
            assert ada.secret.hex() not in json.dumps(repr(read))
            nursery.cancel_scope.cancel()

    trio.run(main)
