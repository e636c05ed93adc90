"""Links that go silent: what was under way is rendered elsewhere, and on healing all agree and nothing counts twice."""

from collections.abc import Callable
from pathlib import Path

from mesh.ground.limits import RECLAIM_MS
from tests.support.far_mesh import FarMesh, bridged
from tests.support.nodes import refuse_wrong_frames, write_scene
from tests.support.staged import StagedPeer, all_connected, clock_ms, until

FIRST_NEWS_S = 20.0
"""Until a job is under way everywhere, on a machine that is busy with something else."""

CUT_S = 40.0
"""Six for the leases beyond the cut, then all frames of a job by two peers, on a busy machine."""

FRAME_MS = 2000
"""Of a frame that is not yet rendered when everybody has begun one, unless the machine is busy."""


def written(directory: Path) -> dict[str, int]:
    """Return when each delivered file was written."""
    return {path.name: path.stat().st_mtime_ns for path in directory.glob("[!.]*")}


def back_together(mesh: FarMesh, job: str) -> None:
    """Wait until every channel is back, every peer knows the job's end, and all name the same results."""
    until("all channels are back", lambda: all_connected(mesh.peers))
    until("all know that the job is sealed", lambda: all(p.job(job)["state"] == "sealed" for p in mesh.peers))
    until("all agree", lambda: mesh.agree(job))


def began(peers: list[StagedPeer], frame: int, since_ms: int) -> Callable[[], list[int]]:
    """Return what tells when peers began to render a frame after some time."""
    return lambda: [at for peer in peers for at, begun in peer.renders() if begun == frame and at >= since_ms]


def test_a_silently_cut_peers_frame_is_rendered_elsewhere_within_eight_seconds(tmp_path: Path) -> None:
    with bridged(tmp_path / "peers", "ada", "bob", "cy") as (mesh, wires):
        ada, bob, cy = mesh.peers
        # So few frames that the others have nothing else to do when the lease ends.
        scene = write_scene(tmp_path / "shot", "frames 1 6\nms 1500")
        job = ada.submit(scene)
        until("cy renders", cy.renders, FIRST_NEWS_S)
        cut_ms = clock_ms()
        wires.cut(mesh.hosts_of(cy), mesh.hosts_of(ada, bob))
        (lost,) = cy.frames()
        again = began([ada, bob], lost, cut_ms)
        until("somebody else has its frame", again)
        assert again()[0] - cut_ms <= RECLAIM_MS
        # It goes on alone meanwhile: each side has results that the other does not know.
        until("all is rendered", lambda: ada.job(job)["delivered"] == 6)
        until("cy has rendered too", lambda: cy.standing(job))
        delivered = written(scene.parent / "out")
        wires.heal()
        back_together(mesh, job)
        refuse_wrong_frames(scene, range(1, 7))
        assert written(scene.parent / "out") == delivered
        assert [frame for frame, _, _ in cy.standing(job)] == list(range(1, 7))


def test_both_sides_of_a_split_finish_and_settle_on_one_seal(tmp_path: Path) -> None:
    with bridged(tmp_path / "peers", "ada", "bob", "cy", "dee", "eve") as (mesh, wires):
        ada, bob, *beyond = mesh.peers
        scene = write_scene(tmp_path / "shot", f"frames 1 12\nms {FRAME_MS}")
        job = ada.submit(scene)
        until("everybody renders", lambda: all(peer.renders() for peer in mesh.peers), FIRST_NEWS_S)
        cut_ms = clock_ms()
        wires.cut(mesh.hosts_of(ada, bob), mesh.hosts_of(*beyond))
        for side in ([ada, bob], beyond):
            until("a side has sealed alone", lambda side=side: side[0].job(job)["state"] == "sealed", CUT_S)
        delivered = written(scene.parent / "out")
        # Each side names pictures of its own until they meet, and those that were there before they parted.
        sealed = ada.standing(job)
        for side, others, standing in (([ada, bob], beyond, sealed), (beyond, [ada, bob], beyond[0].standing(job))):
            before = {frame for peer in others for at, frame in peer.renders() if at + FRAME_MS <= cut_ms}
            names = {peer.name for peer in side}
            assert [frame for frame, _, _ in standing] == list(range(1, 13))
            assert {frame for frame, name, _ in standing if name not in names} <= before
            assert names <= {name for _, name, _ in standing}
        wires.heal()
        back_together(mesh, job)
        assert beyond[0].standing(job) == sealed, "the submitter's seal stands"
        assert written(scene.parent / "out") == delivered
        refuse_wrong_frames(scene, range(1, 13))


def test_a_split_job_goes_on_at_both_sides_and_ends_as_one(tmp_path: Path) -> None:
    """Neither side finishes before they meet."""
    with bridged(tmp_path / "peers", "ada", "bob", "cy", "dee") as (mesh, wires):
        ada, bob, cy, dee = mesh.peers
        scene = write_scene(tmp_path / "shot", "frames 1 48\nms 900")
        job = ada.submit(scene)
        until("everybody renders", lambda: all(peer.renders() for peer in mesh.peers), FIRST_NEWS_S)
        wires.cut(mesh.hosts_of(ada, bob), mesh.hosts_of(cy, dee))
        before = {peer.name: peer.job(job)["counting"] for peer in (ada, cy)}
        for side in ([ada, bob], [cy, dee]):
            until(
                "a side goes on beyond the other's leases",
                lambda side=side: side[0].job(job)["counting"] >= before[side[0].name] + 14,
            )
        assert not any(peer.job(job)["state"] == "sealed" for peer in mesh.peers)
        delivered = written(scene.parent / "out")
        wires.heal()
        back_together(mesh, job)
        refuse_wrong_frames(scene, range(1, 49))
        after = written(scene.parent / "out")
        assert {name: after[name] for name in delivered} == delivered


def test_a_submitter_cut_off_after_it_may_go_gets_its_files_on_healing(tmp_path: Path) -> None:
    with bridged(tmp_path / "peers", "ada", "bob", "cy", slots={"ada": 0}) as (mesh, wires):
        ada, bob, cy = mesh.peers
        scene = write_scene(tmp_path / "shot", "frames 1 16\nms 500", tex=b"t" * 3_000_000)
        job = ada.submit(scene)
        until("ada may go", lambda: ada.job(job)["may_go"], FIRST_NEWS_S)
        wires.cut(mesh.hosts_of(ada), mesh.hosts_of(bob, cy))
        until("the others finish", lambda: bob.job(job)["counting"] == cy.job(job)["counting"] == 16)
        assert ada.job(job)["delivered"] < 16
        wires.heal()
        back_together(mesh, job)
        refuse_wrong_frames(scene, range(1, 17))
        # What each had in hand at the cut, one running and one claimed ahead, may have lost its keeper with it.
        assert len(bob.frames() + cy.frames()) <= 16 + 4
