"""Every command against a made-up desk over the real API: what it prints, asks, and ends with."""

from pathlib import Path

import pytest

from mesh.cli.main import COMMANDS, run
from mesh.ports.desk import Draining, NotAllowed, RefusalRow, Unwritten
from sim.desk import EXAMPLE_INVITE, job_row
from sim.memberrows import ME, OTHER, member_row, peer_row
from tests.support.desk_server import DeskServer
from tests.support.typed import Typist


@pytest.fixture
def scene(tmp_path: Path) -> str:
    path = tmp_path / "shot.blend"
    path.write_bytes(b"BLENDER")
    return str(path)


@pytest.mark.parametrize(
    "words",
    [
        ("status",),
        ("status", "studio"),
        ("jobs",),
        ("show", "shot"),
        ("logs", "shot"),
        ("logs", "shot", "3"),
        ("fetch", "shot"),
        ("weigh", "shot", "30"),
        ("cancel", "shot"),
        ("engine", "list"),
        ("invite",),
        ("invite", "--revoke", "e5e5", "--yes"),
        ("members",),
        ("revoke", "studio", "--yes"),
        ("pause", "--for", "2h"),
        ("resume",),
        ("stop",),
        ("leave", "--yes"),
    ],
)
def test_each_command_prints_json_for_programs_and_lines_that_fit_for_people(
    words: tuple[str, ...], typist: Typist, server: DeskServer
) -> None:
    server.let(server.desk.add, job_row())
    printed = typist.type(*words, "--json")
    assert printed.code == 0, printed.err
    assert isinstance(printed.json, dict)
    printed = typist.type(*words)
    assert printed.code == 0, printed.err
    assert printed.out.strip()
    assert max(map(len, printed.out.splitlines())) <= 80
    assert "\x1b" not in printed.out, "colour is for terminals"


def test_without_a_peer_each_command_says_what_to_type(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], scene: str
) -> None:
    typist = Typist(tmp_path, capsys, None)
    needed = {
        "show": ["shot"],
        "logs": ["shot"],
        "fetch": ["shot"],
        "cancel": ["shot"],
        "reject": ["shot", "all"],
        "weigh": ["shot", "30"],
        "submit": [scene],
        "revoke": ["bob"],
    }
    for name in COMMANDS:
        if name not in ("join", "engine", "doctor"):
            printed = typist.type(name, *needed.get(name, []))
            assert printed.code == 3, name
            assert "meshnode join" in printed.err, name
            assert printed.out == ""


def test_a_killed_peer_left_word_behind(typist: Typist, server: DeskServer) -> None:
    server.stop()
    printed = typist.type("status")
    assert printed.code == 3
    assert "meshnode join" in printed.err


def test_errors_of_the_peer_keep_their_exit_code_and_remedy(typist: Typist, server: DeskServer) -> None:
    printed = typist.type("show", "nothing")
    assert printed.code == 11
    assert "there is no job nothing" in printed.err
    assert "meshnode jobs" in printed.err
    printed = typist.type("show", "nothing", "--json")
    assert printed.code == 11
    assert printed.json["error"] == "NotFound"
    for number in (1, 2):
        server.let(server.desk.add, job_row(number))
    assert typist.type("cancel", "shot").code == 12
    server.desk.fails["jobs"] = Draining("it stops")
    assert typist.type("jobs").code == 15


@pytest.mark.parametrize(
    "words",
    [
        ["submti"],
        ["invite", "--uses", "0"],
        ["--nothing"],
        ["show"],
        ["weigh", "shot", "0"],
        ["invite", "--expires", "7"],
    ],
)
def test_what_cannot_be_understood_ends_with_2(words: list[str], typist: Typist) -> None:
    printed = typist.type(*words)
    assert printed.code == 2
    assert printed.err.startswith("error: ")


def test_a_program_is_told_in_json_what_cannot_be_understood(typist: Typist) -> None:
    for words in (["submti", "--json"], ["invite", "--uses", "0", "--json"]):
        assert typist.type(*words).json["error"] == "Misused"


def test_a_near_miss_is_named(typist: Typist) -> None:
    assert "meshnode submit" in typist.type("submti").err


def test_submit_describes_and_says_that_the_submitter_may_go(typist: Typist, server: DeskServer, scene: str) -> None:
    def spread() -> None:
        (row,) = server.desk.rows.values()
        row["may_go"], row["scene_holders"] = True, 2
        server.desk.changed()

    server.desk.on_watch = spread
    printed = typist.type("submit", scene)
    assert printed.code == 0, printed.err
    assert "saved" in printed.out
    assert "shot_0001.png … shot_0004.png" in printed.out
    assert "not studio: it lacks blender 4.2.23" in printed.out
    assert "submitted as shot (01010101)" in printed.out
    assert "may be switched off" in " ".join(printed.out.split())
    assert "startup.py" in printed.err
    assert max(map(len, printed.out.splitlines())) <= 80


def test_submit_says_when_the_job_is_only_here(typist: Typist, server: DeskServer, scene: str) -> None:
    def alone() -> None:
        (row,) = server.desk.rows.values()
        row["only_here"] = True
        server.desk.changed()

    server.desk.on_watch = alone
    assert "Only here" in typist.type("submit", scene).out


def test_submit_says_that_nobody_is_there_to_take_the_job_over(typist: Typist, server: DeskServer, scene: str) -> None:
    def come_back() -> None:
        (row,) = server.desk.rows.values()
        row["may_go"] = server.desk.peers[1]["connected"] = True
        server.desk.changed()

    server.desk.peers[1]["connected"] = False
    server.desk.on_status = come_back
    printed = typist.type("submit", scene)
    assert printed.code == 0
    assert "none is connected" in printed.err


def test_submit_says_for_whom_it_waits(typist: Typist, server: DeskServer, scene: str) -> None:
    def spread() -> None:
        (row,) = server.desk.rows.values()
        row["may_go"] = row["scene_holders"] > 0
        row["scene_holders"] = 1
        server.desk.changed()

    server.desk.on_status = spread
    told = typist.type("submit", scene).err
    assert told.index("telling other peers") < told.index("1 peer has it; waiting for others")


def test_submit_tells_when_the_job_is_cancelled_meanwhile(typist: Typist, server: DeskServer, scene: str) -> None:
    def cancel() -> None:
        (row,) = server.desk.rows.values()
        row["state"] = "cancelled"
        server.desk.changed()

    server.desk.on_watch = cancel
    assert typist.type("submit", scene).code == 19


def test_a_thousand_frames_in_the_way_are_no_thousand_lines(typist: Typist, server: DeskServer, scene: str) -> None:
    there = [RefusalRow(code="output-exists", subject=f"{n}", text=f"{n}.png exists", remedy="-") for n in range(1_000)]
    server.desk.refusals = [*there, RefusalRow(code="missing", subject="a", text="a is missing", remedy="relink")]
    printed = typist.type("submit", scene)
    assert len(printed.err.splitlines()) < 20
    assert "and 988 more" in printed.err
    assert "a is missing" in printed.err
    assert "1001 things" in printed.err
    assert len(typist.type("submit", "--json", scene).json["refusals"]) == 1_001


def test_submit_passes_on_what_was_typed(typist: Typist, server: DeskServer, scene: str, tmp_path: Path) -> None:
    typed = ["--frames", "1,5,10-20", "--step", "2", "--name", "n", "--output", "out", "--engine", "4.2", "--dry-run"]
    printed = typist.type("submit", scene, *typed, "--allow-missing", "--overwrite", "--weight", "30")
    assert printed.code == 0, printed.err
    (call,) = server.desk.calls
    assert call[1] == {
        "scene": scene,
        "frames": "1,5,10-20",
        "step": 2,
        "name": "n",
        "output": str(Path.cwd() / "out"),
        "engine": "4.2",
        "dry_run": True,
        "allow_missing": True,
        "overwrite": True,
        "still": False,
        "buckets": "auto",
        "order": "centre",
        "split": True,
        "samples_split": 0,
        "memory_mb": 0,
        "check": "once",
        "judges": [],
        "weight": 30,
    }
    assert "Nothing was sent" in printed.out


def test_submit_passes_on_how_many_shares_of_samples(typist: Typist, server: DeskServer, scene: str) -> None:
    assert typist.type("submit", scene, "--still", "--samples-split", "12", "--dry-run").code == 0
    (call,) = server.desk.calls
    assert (call[1]["still"], call[1]["buckets"], call[1]["samples_split"]) == (True, "auto", 12)


def test_submit_passes_on_how_much_memory_a_machine_must_have(typist: Typist, server: DeskServer, scene: str) -> None:
    assert typist.type("submit", scene, "--memory", "1.5G", "--dry-run").code == 0
    (call,) = server.desk.calls
    assert call[1]["memory_mb"] == 1_536
    assert "write a size such as" in typist.type("submit", scene, "--memory", "much").err


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["--samples-split", "4"], "add --still"),
        (["--still", "--samples-split", "4", "--buckets", "8x8"], "makes no buckets"),
        (["--still", "--samples-split", "4", "--order", "rows"], "makes no buckets"),
        (["--still", "--samples-split", "1"], "2<=x<=64"),
        (["--still", "--samples-split", "65"], "2<=x<=64"),
    ],
)
def test_shares_of_samples_that_make_no_sense_are_not_sent(
    typed: list[str], said: str, typist: Typist, server: DeskServer, scene: str
) -> None:
    printed = typist.type("submit", scene, *typed)
    assert printed.code == 2
    assert said in printed.err
    assert server.desk.calls == []


def test_submit_names_every_reason_against_it(typist: Typist, server: DeskServer, scene: str) -> None:
    server.desk.refusals = [
        RefusalRow(code="missing-image", subject=name, text=f"image /tex/{name} is missing", remedy="relink it")
        for name in ("a.png", "b.png")
    ]
    printed = typist.type("submit", scene)
    assert printed.code == 13
    assert "/tex/a.png" in printed.err
    assert "/tex/b.png" in printed.err
    assert printed.out == ""
    assert len(typist.type("submit", "--json", scene).json["refusals"]) == 2


def test_submit_waits_for_every_frame(typist: Typist, server: DeskServer, scene: str) -> None:
    def render() -> None:
        (row,) = server.desk.rows.values()
        server.desk.deliver(row, row["delivered"] + 1)

    server.desk.on_watch = render
    printed = typist.type("submit", scene, "--wait")
    assert printed.code == 0, printed.err
    assert [line for line in printed.err.splitlines() if line.startswith("✓")] == [
        f"✓ shot_{frame:04d}.png  studio, 2.5 s" for frame in range(1, 5)
    ]
    assert "4 frames in /shots/render" in printed.out
    server.desk.rows.clear()
    events = typist.type("submit", scene, "--wait", "--json").events
    assert [event["event"] for event in events] == ["submitted", "frame", "frame", "frame", "frame", "done"]


@pytest.mark.parametrize(("state", "code"), [("stopped", 18), ("cancelled", 19)])
def test_waiting_ends_when_the_job_cannot_be_done(
    state: str, code: int, typist: Typist, server: DeskServer, scene: str
) -> None:
    def fail() -> None:
        (row,) = server.desk.rows.values()
        row["state"] = state  # type: ignore[typeddict-item]
        row["stopped"] = 1
        row["delivered"] = 3
        row["problems"] = ["frame 3 failed at 3 peers"]
        server.desk.changed()

    server.desk.on_watch = fail
    assert typist.type("submit", scene, "--wait").code == code


def test_a_peer_that_ends_while_somebody_waits(typist: Typist, server: DeskServer, scene: str) -> None:
    server.desk.on_watch = server.end
    printed = typist.type("submit", scene, "--wait")
    assert printed.code == 5
    assert "meshnode join" in printed.err


def test_invite_prints_the_token_alone_on_standard_output(typist: Typist, server: DeskServer) -> None:
    printed = typist.type("invite", "--roles", "render,submit", "--expires", "7d", "--uses", "3")
    assert printed.out == f"{EXAMPLE_INVITE}\n"
    assert "3 peers into films" in printed.err
    assert server.desk.calls == [("invite", ["render", "submit"], 7 * 86_400_000, 3)]


def test_members_says_who_let_whom_in(typist: Typist) -> None:
    desk, studio = typist.type("members").out.splitlines()[1:]
    assert desk.startswith("desk ")
    assert "admin" in desk
    assert "this peer" in desk
    assert "the founding" in desk
    assert "usual" in studio
    assert "desk, invite e5e5e5e5"[:12] in studio


def test_a_peer_that_was_thrown_out_says_so_first(typist: Typist, server: DeskServer) -> None:
    server.desk.thrown_out = "this peer was revoked by ada: it may come back"
    printed = typist.type("status")
    assert printed.code == 0
    assert "revoked by ada" in printed.err
    server.desk.fails["revoke"] = NotAllowed("this peer was admitted without the role `admin`")
    assert typist.type("revoke", "studio", "--yes").code == 14


def test_by_whom_a_member_was_revoked_is_readable_on_eighty_columns(typist: Typist, server: DeskServer) -> None:
    row = member_row(OTHER, "rendernode-07", by=ME)
    row.update(state="revoked", revoked_by=ME, revoked_by_name="workstation")
    server.desk.member_rows = [member_row(ME, "desk"), row]
    lines = typist.type("members").out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "  revoked  " in lines[2]
    assert "invite e5e5e5e5" in lines[2]
    assert lines[3] == "revoked by workstation: rendernode-07"


def test_fetch_does_not_speak_of_sending(typist: Typist, server: DeskServer) -> None:
    server.let(server.desk.add, job_row())
    row = RefusalRow(code="output-exists", subject="a.png", text="a.png is another file already", remedy="move it")
    server.desk.fails["fetch"] = Unwritten([row])
    printed = typist.type("fetch", "shot")
    assert printed.code == 13
    assert "not every frame was written; one thing stands against it" in printed.err
    assert "a.png is another" in printed.err


def test_fetch_chooses_a_place(
    typist: Typist, server: DeskServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mine, other, hostile = job_row(1), job_row(2, "other"), job_row(3, "../../etc")
    other["directory"] = hostile["directory"] = ""
    for row in (mine, other, hostile):
        server.let(server.desk.add, row)
    for job, place in (("shot", "/shots/render"), ("other", f"{tmp_path}/other"), ("0303", f"{tmp_path}/03030303")):
        assert typist.type("fetch", job).code == 0
        assert server.desk.calls[-1] == ("fetch", job, place, False)
    typist.type("fetch", "other", "--output", "here", "--overwrite")
    assert server.desk.calls[-1] == ("fetch", "other", f"{tmp_path}/here", True)


def test_show_tells_who_rendered_what_and_what_failed(typist: Typist, server: DeskServer) -> None:
    row = server.let(server.desk.add, job_row())
    server.let(server.desk.deliver, row, 2)
    failure = {"peer": "b2" * 32, "peer_name": "studio", "kind": "crashed", "reason": "signal 11", "has_log": True}
    server.desk.tasks[row["id"]][2]["failures"].append(failure)  # type: ignore[arg-type]
    text = typist.type("show", "shot").out
    assert "counts" in text
    assert "1, 3-4" in text
    assert "100 %" in text
    assert "signal 11" in text
    assert "shot_0002.png" in typist.type("show", "shot", "--frames").out


def test_show_tells_a_few_of_the_problems_each_on_a_line_of_its_own(typist: Typist, server: DeskServer) -> None:
    row = job_row()
    row["problems"] = [f"frame {frame} was not written: the disk is full" for frame in range(1, 9)]
    server.let(server.desk.add, row)
    lines = typist.type("show", "shot").out.splitlines()
    assert [line for line in lines if line.startswith("✗ frame")] == [f"✗ {text}" for text in row["problems"][:3]]
    assert "  and 5 more problems" in lines


def test_status_tells_what_renders_here(typist: Typist, server: DeskServer) -> None:
    assert "renders" not in typist.type("status").out
    server.let(server.desk.add, job_row())
    assert "renders    shot frame 2, sample 7" in typist.type("status").out


@pytest.mark.parametrize(("wire", "said"), [(1, "studio: others run"), (3, "desk: others run"), (2, "")])
def test_status_names_who_is_behind(wire: int, said: str, typist: Typist, server: DeskServer) -> None:
    server.desk.peers = [peer_row(), peer_row(OTHER, "studio", me=False) | {"wire": wire}]  # type: ignore[typeddict-item]
    out = typist.type("status").out
    assert ("to update" in out) == bool(said)
    assert said in out


def test_status_of_one_peer_tells_what_is_seen_and_what_the_dht_has(typist: Typist, server: DeskServer) -> None:
    printed = " ".join(typist.type("status", "studio").out.split())
    assert "here connected" in printed
    assert "slots 0 of 1 busy" in printed
    assert "8 cores, 16.0 GiB of memory" in printed or "8 cores, 16 GiB of memory" in printed
    assert server.desk.calls[-1] == ("peer", "studio")
    assert typist.type("status", "nobody").code != 0


def test_status_calls_a_peer_without_a_name_by_its_id(typist: Typist, server: DeskServer) -> None:
    server.let(server.desk.peers.append, peer_row("d4" * 32, "", me=False))
    (line,) = [line for line in typist.type("status").out.splitlines() if "d4d4" in line]
    assert line.split()[:2] == ["d4d4d4d4", "d4d4d4d4"]


@pytest.mark.parametrize("name", ["", "a/b", "\udcff"])
def test_a_name_that_nobody_has_is_no_path_of_the_api(name: str, typist: Typist, server: DeskServer) -> None:
    for words in (("status", name), ("show", name), ("doctor", name)):
        printed = typist.type(*words)
        assert printed.code in (11, 46), words
        assert "no such path" not in printed.err
    assert typist.type("revoke", name, "--yes").code == 0, "the made-up desk takes any name"
    assert server.desk.calls[-1][1]["peer"] == name.replace("\udcff", "?")  # type: ignore[index]


def test_status_says_that_a_peer_was_revoked(typist: Typist, server: DeskServer) -> None:
    server.desk.peers[1].update(revoked=True, connected=False)
    assert "revoked" in typist.type("status").out.partition("studio")[2].splitlines()[0]
    assert "revoked" in typist.type("status", "studio").out
    printed = typist.type("doctor", "studio", "--json")
    assert printed.code == 47
    assert [one["text"] for one in printed.json["findings"]] == ["it was revoked: no member talks to it"]


EVIL = "\x1b[2J\x9b1m\x1b]0;owned\x07ev\u202eil\n✓ forged"
PLAIN = "evil ✓ forged"


def test_nothing_that_others_wrote_reaches_the_terminal_as_an_order(typist: Typist, server: DeskServer) -> None:
    row = job_row(name=EVIL)
    row["submitter_name"], row["problems"], row["state"] = EVIL, [EVIL], "stopped"
    server.let(server.desk.add, row)
    failure = {"peer": "b2" * 32, "peer_name": EVIL, "kind": "crashed", "reason": EVIL, "has_log": True}
    server.desk.tasks[row["id"]][2]["failures"].append(failure)  # type: ignore[arg-type]
    server.desk.log_text = f"{EVIL}\nSegmentation fault"
    server.desk.fails["cancel"] = Draining(EVIL)
    for words in (("status",), ("jobs",), ("show", "01", "--frames"), ("logs", "01"), ("cancel", "01")):
        printed = typist.type(*words)
        told = printed.out + printed.err
        assert not {letter for letter in told if not letter.isprintable()} - {"\n"}, words
        assert "evil" in told, words
    assert PLAIN in typist.type("jobs").out
    assert typist.type("logs", "01").out.count("\n✓ forged") == 1, "a log keeps its lines"
    assert typist.type("jobs", "--json").json["jobs"][0]["name"] == EVIL, "programs get what is there"
    assert not {"\x1b", "\x9b", "\u202e"} & set(typist.type("jobs", "--json").out)


def test_the_name_of_the_mesh_is_shown(typist: Typist) -> None:
    assert "films" in typist.type("status").out
    assert "into films" in typist.type("invite").err


@pytest.mark.parametrize("name", ["", "  ", "two\nlines", "\x1b[1mbold", "x" * 100])
def test_a_name_that_nobody_could_read_is_refused(name: str, typist: Typist) -> None:
    assert typist.type("join", "--new", name).code == 2
    assert typist.type("join", "--name", name).code == 2


def test_stop_and_leave_ask_the_peer(typist: Typist, server: DeskServer) -> None:
    assert typist.type("stop", "--now").code == 0
    assert typist.type("leave", "--yes").code == 0
    assert [call for call in server.desk.calls if call[0] in ("stop", "leave")] == [("stop", True), ("leave",)]


def test_join_refuses_what_excludes_each_other(typist: Typist) -> None:
    assert typist.type("join", "token", "--new", "films").code == 2
    assert typist.type("join", "--no-render", "--slots", "2").code == 2


def test_the_home_may_stand_before_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--home", str(tmp_path), "status"]) == 3
    assert str(tmp_path) in capsys.readouterr().err.replace("\n       ", "")
