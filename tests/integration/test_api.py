"""The local API over real sockets: who gets in, what it answers, how streams run and end."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from mesh.net.http_guard import MAX_BODY_BYTES
from mesh.ports.desk import Draining, NobodyHasIt, NotAllowed, RefusalRow
from sim.desk import FakeDesk, job_row
from tests.support.desk_server import TOKEN, DeskServer, running_desk

SUBMIT = {"scene": "/shots/shot.blend", "frames": None, "step": None, "name": None, "output": None, "engine": None}


@pytest.fixture
def server() -> Iterator[DeskServer]:
    with running_desk() as running:
        yield running


def events(raw: bytes) -> list[tuple[str, Any]]:
    """Read a stream of server-sent events, comments left out."""
    found = []
    for block in raw.decode().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if lines:
            found.append((lines["event"], json.loads(lines["data"])))
    return found


@pytest.mark.parametrize(
    ("headers", "status", "error"),
    [
        ({"authorization": ""}, 401, "WrongToken"),
        ({"authorization": "Bearer wrong"}, 401, "WrongToken"),
        ({"authorization": f"Basic {TOKEN}"}, 401, "WrongToken"),
        ({"authorization": f"Bearer {TOKEN}x"}, 401, "WrongToken"),
        ({"host": "evil.example"}, 421, "WrongHost"),
        ({"host": "127.0.0.1:1"}, 421, "WrongHost"),
        ({"host": "127.0.0.1"}, 421, "WrongHost"),
    ],
)
def test_nobody_gets_in_without_token_and_host(
    server: DeskServer, headers: dict[str, str], status: int, error: str
) -> None:
    for path in ("/v1/status", "/v1/no-such-path", "/"):
        got, answer = server.ask("GET", path, **headers)
        assert (got, answer["error"]) == (status, error)
    assert server.desk.calls == []


def test_localhost_is_this_server_too(server: DeskServer) -> None:
    status, answer = server.ask("GET", "/v1/status", host=f"localhost:{server.port}")
    assert (status, answer["name"]) == (200, "desk")


def test_two_host_headers_are_one_too_many(server: DeskServer) -> None:
    with server.connect() as connection:
        host = f"Host: 127.0.0.1:{server.port}\r\n"
        head = f"GET /v1/status HTTP/1.1\r\n{host}{host}Authorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode())
        status_line = connection.makefile("rb").readline()
    assert status_line.split()[1] in {b"400", b"421"}
    assert server.desk.calls == []


def test_a_large_body_is_refused_before_it_is_read_to_its_end(server: DeskServer) -> None:
    status, answer = server.ask("POST", "/v1/jobs", {"scene": "x" * MAX_BODY_BYTES})
    assert (status, answer["error"]) == (413, "BodyTooLarge")
    assert server.desk.calls == []


@pytest.mark.parametrize(
    "body",
    [
        b"not json",
        b"[1, 2]",
        b"[" * 60_000,
        b"\xff\xfe",
        json.dumps(SUBMIT | {"sceen": "x"}).encode(),
        json.dumps(SUBMIT | {"scene": 7}).encode(),
        json.dumps(SUBMIT | {"step": True}).encode(),
        json.dumps(SUBMIT | {"overwrite": "yes"}).encode(),
        b"{}",
    ],
)
def test_a_wrong_body_is_named(server: DeskServer, body: bytes) -> None:
    status, answer = server.ask_raw("POST", "/v1/jobs", body)
    assert (status, json.loads(answer)["error"]) == (400, "UsageError")
    assert server.desk.calls == []


def test_unknown_paths_and_methods(server: DeskServer) -> None:
    for method, path in (("GET", "/"), ("GET", "/v1/nothing"), ("DELETE", "/v1/jobs"), ("POST", "/v1/status")):
        status, answer = server.ask(method, path)
        assert (status, answer["error"]) == (404, "NoSuchPath")


def test_a_name_may_be_empty_and_look_like_a_path(server: DeskServer) -> None:
    for name in ("", "a/b", "a%2Fb", "x/watch", "..", "ä ?"):
        quoted = quote(name, safe="")
        asked = [
            ("GET", f"/v1/peers/{quoted}"),
            ("GET", f"/v1/jobs/{quoted}"),
            ("POST", f"/v1/members/{quoted}/revoke"),
            ("POST", f"/v1/invites/{quoted}/revoke"),
        ]
        for method, path in asked:
            _, answer = server.ask(method, path)
            assert answer.get("error") != "NoSuchPath", path
        peer, job, member, invite = server.desk.calls[-4:]
        assert (peer[1], job[1], invite[1]) == (name, name, name)
        assert isinstance(member[1], dict)
        assert member[1]["peer"] == name
    assert server.ask("GET", "/v1/jobs/x/cancel")[1]["error"] == "NoSuchPath"
    assert server.ask("POST", "/v1/members/a/b/revoke")[1]["error"] == "NoSuchPath"


OWNER = ("pause", "resume", "reach", "reach")


def test_plain_answers(server: DeskServer) -> None:
    row = server.let(server.desk.add, job_row())
    assert server.ask("GET", "/v1/jobs")[1] == {"jobs": [row], "paused": None}
    assert server.ask("GET", "/v1/jobs/shot")[1]["job"] == row
    assert server.ask("GET", f"/v1/jobs/{row['id'][:6]}")[1]["frames"][3]["frame"] == 4
    assert server.ask("GET", "/v1/jobs/shot/logs?frame=-2")[1]["parts"][0]["frame"] == -2
    assert server.ask("GET", "/v1/peers/studio")[1]["told"]["cores"] == 8
    assert server.ask("GET", "/v1/peers/nobody")[0] == 404
    assert server.ask("GET", "/v1/engines")[1]["usable"][0]["version"] == "4.2.23"
    assert server.ask("POST", "/v1/invites", {"roles": ["render"], "uses": 3})[1]["uses"] == 3
    assert len(server.ask("GET", "/v1/members")[1]["members"]) == 2
    assert server.ask("POST", "/v1/members/studio/revoke", {"strike": True})[1]["strike"]
    assert server.ask("POST", "/v1/invites/e5e5/revoke")[1]["along"][0]["name"] == "studio"
    assert server.ask("POST", "/v1/members/studio/revoke", {"spare": [1]})[0] == 400
    assert server.ask("POST", "/v1/jobs/shot/weight", {"weight": 30})[1]["job"]["weight"] == 30
    assert server.ask("POST", "/v1/jobs/shot/weight", {"weight": "much"})[0] == 400
    assert server.ask("POST", "/v1/jobs/shot/cancel")[1]["job"]["state"] == "cancelled"
    until = 1_790_000_000_000
    paused = server.ask("POST", "/v1/pause", {"until_at_ms": until})[1]
    assert (paused["paused"]["until_at_ms"], paused["in_hand"]) == (until, 1)
    assert server.ask("POST", "/v1/pause", {"until_at_ms": True})[0] == 400
    assert server.ask("POST", "/v1/resume")[1]["paused"] is None
    assert server.ask("POST", "/v1/reach", {"peer": "studio"})[1]["peer_name"] == "studio"
    missing, error = server.ask("POST", "/v1/reach", {"peer": "nobody"})
    assert (missing, error["error"]) == (404, "UnknownPeer")
    assert server.ask("POST", "/v1/leave") == (200, {})
    assert server.ask("POST", "/v1/stop", {"now": True}) == (200, {})
    asked = [call[0] for call in server.desk.calls]
    first = ["jobs", "job", "job", "log", "peer", "peer", "engines", "invite"]
    revoked = ["members", "revoke", "revoke_invite"]
    assert asked == [*first, *revoked, "weigh", "cancel", *OWNER, "leave", "stop"]


def test_errors_carry_what_a_command_prints(server: DeskServer) -> None:
    status, answer = server.ask("GET", "/v1/jobs/nothing")
    assert status == 404
    assert answer["error"] == "NotFound"
    assert answer["message"] == "there is no job nothing"
    assert "meshnode jobs" in answer["advice"]
    assert answer["exit_code"] == 11
    assert server.ask("GET", "/v1/jobs/shot/logs?frame=first")[0] == 404
    for number in (1, 2):
        server.let(server.desk.add, job_row(number))
    assert server.ask("GET", "/v1/jobs/shot")[0] == 409


@pytest.mark.parametrize(
    ("error", "status"), [(Draining("stopping"), 503), (NotAllowed("role submit"), 403), (NobodyHasIt("b"), 504)]
)
def test_the_status_fits_the_error(error: Exception, status: int) -> None:
    desk = FakeDesk()
    desk.fails["leave"] = error  # type: ignore[assignment]
    with running_desk(desk) as server:
        assert server.ask("POST", "/v1/leave")[0] == status


def test_a_submission_streams_its_progress_and_then_its_answer(server: DeskServer) -> None:
    server.desk.progress = [
        {"phase": "store", "text": "storing", "done": done, "total": 9, "unit": "files"} for done in range(1, 10)
    ]
    status, raw = server.ask_raw("POST", "/v1/jobs", json.dumps(SUBMIT).encode(), accept="text/event-stream")
    got = events(raw)
    assert status == 200
    assert got[0][0] == "progress"
    assert got[-2][1]["done"] == 9, "the last progress of a phase is never left out"
    assert got[-1][0] == "answer"
    assert got[-1][1]["job"]["name"] == "shot"
    assert len(got) < 10, "progress that nobody could read in time is left out"


def test_a_refused_submission_names_each_reason(server: DeskServer) -> None:
    server.desk.refusals = [
        RefusalRow(code="missing-image", subject=f"/tex/{name}", text=f"{name} is missing", remedy="put it there")
        for name in ("a.png", "b.png")
    ]
    status, answer = server.ask("POST", "/v1/jobs", SUBMIT)
    assert (status, answer["error"], answer["exit_code"]) == (422, "Refused", 13)
    assert [refusal["subject"] for refusal in answer["refusals"]] == ["/tex/a.png", "/tex/b.png"]
    _, raw = server.ask_raw("POST", "/v1/jobs", json.dumps(SUBMIT).encode(), accept="text/event-stream")
    ((event, value),) = events(raw)
    assert (event, value) == ("error", answer)


def test_watching_ends_with_the_job(server: DeskServer) -> None:
    row = server.let(server.desk.add, job_row(tasks=2))
    with server.connect() as connection:
        stream = connection.makefile("rb")
        head = f"GET /v1/jobs/shot/watch HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
        connection.sendall(f"{head}Authorization: Bearer {TOKEN}\r\n\r\n".encode())
        seen = []
        while True:
            line = stream.readline().decode().strip()
            if line.startswith("data: "):
                seen.append(json.loads(line[6:]))
                if len(seen) <= 2:
                    server.let(server.desk.deliver, row, len(seen))
                else:
                    break
    assert [change["job"]["delivered"] for change in seen] == [0, 1, 2]
    assert [[task["frame"] for task in change["frames"]] for change in seen] == [[], [1], [2]]
    assert seen[-1]["job"]["state"] == "sealed"


def test_watching_what_does_not_exist_is_an_error_event(server: DeskServer) -> None:
    _, raw = server.ask_raw("GET", "/v1/jobs/nothing/watch")
    assert [(name, value["error"]) for name, value in events(raw)] == [("error", "NotFound")]


def test_the_api_ends_though_somebody_watches() -> None:
    with running_desk() as server:
        connection = server.connect()
        head = f"GET /v1/status/watch HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
        connection.sendall(f"{head}Authorization: Bearer {TOKEN}\r\n\r\n".encode())
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
    connection.close()
