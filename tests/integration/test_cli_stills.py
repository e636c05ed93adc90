"""Typing commands about a still: what is said of it while it grows, and the map of its buckets."""

import json
import os
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest

from mesh.ports.desk import NotFound
from mesh.ports.folders import FolderError
from tests.support.desk_server import DeskServer, running_desk
from tests.support.screens import row_of, still_desk
from tests.support.typed import Typist


@pytest.fixture
def server() -> Iterator[DeskServer]:
    with running_desk(still_desk()) as server:
        yield server


@pytest.fixture
def typist(tmp_path: Path, capsys: pytest.CaptureFixture[str], server: DeskServer) -> Typist:
    home = tmp_path / "home"
    home.mkdir()
    return Typist(home, capsys, server)


def test_a_still_is_shown_by_its_picture(typist: Typist) -> None:
    out = typist.type("show", "lake").out
    plain = [" ".join(line.split()) for line in out.splitlines()]
    for line in ("done 55 % of the picture, about 36 s left", "made of 70 buckets by 3 peers", "assembling studio"):
        assert line in plain, out
    lines = [line.split() for line in plain]
    assert ["PEER", "BUCKETS", "SHARE", "EACH", "TOGETHER"] in lines
    assert [line[:4] for line in lines if line[:1] == ["desk"]] == [["desk", "54", "77", "%"]], out
    assert "cell" not in out


@pytest.mark.parametrize("command", ["jobs", "status"])
def test_lists_say_how_much_of_the_picture_there_is(command: str, typist: Typist) -> None:
    (line,) = [line for line in typist.type(command).out.splitlines() if line.startswith("lake")]
    assert "0/1 55 % 36 s" in " ".join(line.split())


@pytest.mark.parametrize("name", ["map.svg", "map.png"])
def test_a_map_is_written_by_its_suffix(name: str, typist: Typist, tmp_path: Path) -> None:
    place = tmp_path / name
    printed = typist.type("show", "lake", "--map", str(place))
    assert printed.code == 0, printed.err
    assert "frame 1, 55 % rendered: 70 buckets by 3 peers" in printed.out
    assert "assembled by studio" in printed.out
    assert str(place) in printed.out
    assert place.stat().st_size > 5_000
    os.utime(place, (0, 0))
    assert typist.type("show", "lake", "--map", str(place), "--frame", "1").code == 0
    assert place.stat().st_mtime > 0, "a map is written anew"


def test_a_map_for_programs_names_its_file_and_has_all_rows(typist: Typist, tmp_path: Path) -> None:
    told = typist.type("show", "lake", "--map", str(tmp_path / "map.svg"), "--json").json
    assert told["map"] == str(tmp_path / "map.svg")
    assert len(told["buckets"]) == 135


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--map", "map.jpg"), 2, "a map is written as .svg or .png"),
        (("--map", "nowhere/map.svg"), FolderError.exit_code, "nowhere/map.svg"),
        (("--map", "map.svg", "--frame", "7"), NotFound.exit_code, "frame 7"),
        (("--map", "map.svg", "--frame", "x"), 2, "not a valid integer"),
        (("--frame", "1"), 2, "--map FILE"),
        (("--map", "frame_0001.png"), 2, "is no map"),
    ],
)
def test_what_cannot_be_mapped_is_named(
    words: tuple[str, ...], code: int, said: str, typist: Typist, tmp_path: Path
) -> None:
    (tmp_path / "frame_0001.png").write_bytes(b"a frame")
    with chdir(tmp_path):
        printed = typist.type("show", "lake", *words)
    assert printed.code == code
    assert said in " ".join(printed.err.split())
    assert (tmp_path / "frame_0001.png").read_bytes() == b"a frame"
    assert not (tmp_path / "map.svg").exists()


def test_who_does_not_know_draws_nothing(typist: Typist, server: DeskServer, tmp_path: Path) -> None:
    server.desk.stills[row_of(server.desk, "lake")["id"]][1]["known"] = False
    printed = typist.type("show", "lake", "--map", str(tmp_path / "map.svg"))
    assert printed.code == NotFound.exit_code
    assert "only follows lake" in printed.err


@pytest.mark.parametrize("fails", [False, True])
def test_waiting_says_how_many_made_it(fails: bool, typist: Typist, server: DeskServer, tmp_path: Path) -> None:
    desk = server.desk

    def grow() -> None:
        row = next((row for row in desk.rows.values() if row["name"] == "pond"), None)
        if row is None or row["delivered"]:
            return
        (lake,) = desk.stills[row_of(desk, "lake")["id"]].values()
        desk.stills[row["id"]] = dict.fromkeys(range(1, 5), lake)
        row.update(pixels=400, pixels_counting=400)
        for frame in range(1, 5):
            desk.deliver(row, frame)

    desk.on_watch = grow
    if fails:
        desk.fails["buckets"] = NotFound("nobody knows")
    scene = tmp_path / "x.blend"
    scene.write_bytes(b"BLENDER")
    printed = typist.type("submit", str(scene), "--name", "pond", "--still", "--wait")
    assert printed.code == 0, printed.err
    expected = "studio, 2.5 s" if fails else "70 buckets by 3 peers, 4 min 26 s of rendering, assembled by studio"
    assert f"shot_0001.png  {expected}" in printed.err


def test_who_asks_the_api_hears_of_one_frame(server: DeskServer) -> None:
    status, told = server.ask("GET", "/v1/jobs/lake/buckets")
    assert (status, told["frame"], len(told["buckets"])) == (200, 1, 135)
    assert server.ask("GET", "/v1/jobs/lake/buckets?frame=1")[1] == told
    for frame in ("2", "x", ""):
        status, told = server.ask("GET", f"/v1/jobs/lake/buckets?frame={frame}")
        assert (status, told["error"]) == (404, "NotFound"), json.dumps(told)
