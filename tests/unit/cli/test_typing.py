"""What a person types, as far as it is read here: durations, addresses, the command line of a background peer."""

from datetime import datetime, timedelta
from pathlib import Path

import click
import pytest

from mesh.cli import background, main
from mesh.cli.commands.invite import life, wanted_roles
from mesh.cli.commands.join import command as join
from mesh.cli.commands.join import listen_address, peer_address
from mesh.cli.commands.pause import end_ms
from mesh.cli.compose import Plan
from mesh.ground.errors import UsageError


@pytest.mark.parametrize(("text", "ms"), [("30m", 1_800_000), ("24h", 86_400_000), (" 7d ", 604_800_000)])
def test_durations(text: str, ms: int) -> None:
    assert life(text) == ms


@pytest.mark.parametrize("text", ["", "7", "0h", "-1h", "1.5h", "7w", "99999d", "h"])
def test_wrong_durations(text: str) -> None:
    with pytest.raises(UsageError):
        life(text)


def test_the_roles_of_an_invite() -> None:
    assert wanted_roles(()) == []
    assert wanted_roles(("render, submit", "admin")) == ["render", "submit", "admin"]
    for text in ("", " ", "render,", ",admin"):
        with pytest.raises(UsageError, match="--role is empty"):
            wanted_roles((text,))


NOON = datetime(2030, 1, 31, 12, 0).astimezone()


@pytest.mark.parametrize(
    ("text", "to_come"),
    [
        ("18:00", timedelta(hours=6)),
        ("12:01", timedelta(minutes=1)),
        ("12:00", timedelta(days=1)),
        ("9:30", timedelta(hours=21, minutes=30)),
        ("2030-02-01 09:30", timedelta(hours=21, minutes=30)),
        ("2030-01-31T12:30", timedelta(minutes=30)),
    ],
)
def test_a_time_of_day_is_the_next_one(text: str, to_come: timedelta) -> None:
    assert end_ms(None, text, NOON) == (NOON + to_come).timestamp() * 1000


@pytest.mark.parametrize("text", ["", "18", "24:00", "12:60", "2030-01-31 11:59", "2030-02-30 12:00", "tomorrow"])
def test_wrong_times_of_day(text: str) -> None:
    with pytest.raises(UsageError, match="--until"):
        end_ms(None, text, NOON)


def test_a_pause_lasts_for_a_time_or_until_one_or_neither() -> None:
    assert end_ms(None, None, NOON) is None
    assert end_ms("2h", None, NOON) == (NOON + timedelta(hours=2)).timestamp() * 1000
    with pytest.raises(UsageError, match="exclude"):
        end_ms("2h", "18:00", NOON)
    with pytest.raises(UsageError, match="--for"):
        end_ms("2 hours", None, NOON)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("192.168.1.5", ("192.168.1.5", 0)),
        ("192.168.1.5:40001", ("192.168.1.5", 40001)),
        (":40001", ("", 40001)),
        ("::1", ("::1", 0)),
        ("2001:db8::0", ("2001:db8::0", 0)),
        ("[::1]", ("::1", 0)),
        ("[fe80::1]:7", ("fe80::1", 7)),
    ],
)
def test_listen_addresses(text: str, read: tuple[str, int]) -> None:
    assert listen_address(text) == read


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":0",
        "192.168.1.5:0",
        "[::1]:00",
        "host:port",
        "host:70000",
        "host:",
        "[::1]:x",
        "1.2.3.4:5:6",
        "[nonsense:x]:7",
    ],
)
def test_wrong_listen_addresses(text: str) -> None:
    with pytest.raises(UsageError):
        listen_address(text)


@pytest.mark.parametrize(
    "text", ["", ":7", "host:0", "no host:7", "host:70000", "host:x", "[::1", "a..b:7", "-- ", "::1:x"]
)
def test_a_peer_to_look_for_is_a_host_that_can_be_looked_up(text: str) -> None:
    with pytest.raises(UsageError, match="--peer"):
        peer_address(text)


@pytest.mark.parametrize(
    ("text", "read"),
    [("host", ("host", 0)), ("host:7", ("host", 7)), ("::1", ("::1", 0)), ("[fe80::1%eth0]:7", ("fe80::1%eth0", 7))],
)
def test_a_peer_to_look_for_may_leave_its_port_out(text: str, read: tuple[str, int]) -> None:
    assert peer_address(text) == read


@pytest.mark.parametrize(
    "plan",
    [
        Plan(home=Path("/h")),
        Plan(home=Path("/h"), found="films", name="desk", slots=0),
        Plan(home=Path("/h"), invite="secret", slots=3, listen=(("::1", 7),), peers=(("a", 1), ("::1", 0))),
        Plan(home=Path("/h"), listen=(("::", 7), ("10.0.0.1", 0)), beacon=False),
        Plan(home=Path("/h"), timings=Path("/timings")),
        Plan(home=Path("/h"), tape=Path("/tapes")),
    ],
)
def test_a_peer_in_the_background_is_given_the_same_plan(plan: Plan) -> None:
    typed = background.arguments(plan)
    assert "secret" not in typed, "everybody may read the list of processes"
    got = join.make_context("join", typed[1:]).params
    assert got["invite"] == ("-" if plan.invite else None)
    assert (got["found"], got["name"]) == (plan.found, plan.name)
    assert tuple(map(peer_address, got["peers"])) == plan.peers
    assert (0 if got["no_render"] else got["slots"]) == plan.slots
    assert tuple(map(listen_address, got["listen"])) == plan.listen
    assert got["no_beacon"] is not plan.beacon
    assert (Path(got["timings"]) if got["timings"] else None) == plan.timings
    assert (Path(got["tape"]) if got["tape"] else None) == plan.tape


@pytest.mark.parametrize("name", main.COMMANDS)
def test_the_help_of_each_command_is_the_same_in_the_list_and_in_itself(name: str) -> None:
    context = click.Context(main.meshnode)
    command = main.meshnode.get_command(context, name)
    assert command is not None
    assert (command.help or "").partition("\n")[0] == main.COMMANDS[name]
    options = {option for parameter in command.params for option in parameter.opts}
    assert "--home" in options
    assert "--json" in options or name in ("engine", "top")
