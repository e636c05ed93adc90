"""What people type of pictures that they do not trust, against a made-up desk over the real API."""

from pathlib import Path

from mesh.ports.desk import JobOver
from sim.desk import OTHER, job_row
from tests.support.desk_server import DeskServer
from tests.support.typed import Typist


def test_pictures_are_rejected_or_complained_about(typist: Typist, server: DeskServer) -> None:
    row = job_row(tasks=30)
    server.let(server.desk.add, row)
    printed = typist.type("reject", "shot", "1,5-9", "--reason", "it is black")
    assert printed.code == 0
    assert printed.out.startswith("rejected 6 frames of shot")
    assert ("reject", "shot", "1,5-9", "it is black") in server.desk.calls
    row["mine"] = False
    printed = typist.type("reject", "shot", "all", "--json")
    assert printed.json["complained"]
    assert ("reject", "shot", "", "") in server.desk.calls
    assert "complained about 1 frame " in typist.type("reject", "shot", "7").out
    server.desk.fails["reject"] = JobOver("the job is sealed")
    assert typist.type("reject", "shot", "7").code == 49


def test_show_tells_what_waits_for_a_second_opinion_and_who_complains(typist: Typist, server: DeskServer) -> None:
    row = job_row()
    row |= {"check": "twice", "judges": ["cid"], "waiting": 2}
    row["complaints"] = [{"peer": OTHER, "peer_name": "studio", "frame": 3, "reason": "it is black"}]
    server.let(server.desk.add, row)
    tasks = server.desk.tasks[row["id"]]
    tasks[0] |= {"waiting": ["bob"]}
    tasks[1] |= {"holder_name": "bob", "voucher_name": "cid"}
    text = typist.type("show", "shot", "--frames").out
    for told in ("2 frames waiting", "cid", "it is black", "bob: to be checked", "bob, checked by cid"):
        assert told in text, told


def test_submit_asks_for_second_opinions_and_judges(typist: Typist, server: DeskServer, tmp_path: Path) -> None:
    scene = str(tmp_path / "shot.blend")
    Path(scene).write_bytes(b"BLENDER")
    typist.type("submit", scene, "--check", "twice", "--judge", "bob", "--judge", "cid", "--dry-run")
    (asked,) = [call[1] for call in server.desk.calls if call[0] == "submit"]
    assert isinstance(asked, dict)
    assert (asked["check"], asked["judges"]) == ("twice", ["bob", "cid"])
    printed = typist.type("submit", scene, "--check", "twice", "--still")
    assert printed.code == 2
    assert "--still" in printed.err
