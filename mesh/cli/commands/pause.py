"""`meshnode pause`: this host's owner wants it back for a while."""

from datetime import UTC, datetime

import click

from mesh.cli import output, times, words
from mesh.cli.caller import Caller, home_option, json_option, pass_caller
from mesh.ground.errors import UsageError
from mesh.ports.owner import PauseAnswer


def end_ms(span: str | None, until: str | None, now: datetime) -> int | None:
    """Return when a pause ends by itself, in milliseconds since 1970; None: when somebody says so."""
    if span is not None and until is not None:
        raise UsageError("--for and --until exclude each other")
    if span is not None:
        return round(now.timestamp() * 1000) + times.duration_ms("--for", span)
    return None if until is None else times.clock_ms("--until", until, now)


@click.command()
@click.option("--for", "span", metavar="TIME", help="Resume by itself after that time: 30m, 2h, 1d.")
@click.option("--until", metavar="HH:MM", help="Resume by itself then: 18:00, or '2030-01-31 18:00'.")
@click.option("--now", is_flag=True, help="Do not even finish the frames in hand; others render them.")
@home_option
@json_option
@pass_caller
def command(caller: Caller, span: str | None, until: str | None, now: bool) -> None:
    """Render nothing on this host for a while.

    The frames in hand are finished, then the machine is all yours. The peer stays a member: it keeps jobs and frames,
    hands scenes on, submits and delivers. Starting it again does not end the pause: `meshnode resume` does.
    """
    until_at_ms = end_ms(span, until, datetime.now(UTC).astimezone())
    answer: PauseAnswer = caller.client().post("/pause", {"until_at_ms": until_at_ms, "now": now})
    if caller.as_json:
        output.say_json(answer)
        return
    assert answer["paused"] is not None
    if (frames := answer["in_hand"]) and not now:
        output.notice(f"finishing {words.count(frames, 'frame')} first")
    ends = answer["paused"]["until_at_ms"]
    output.say("Paused" + (f" until {words.moment(ends)}." if ends is not None else "; `meshnode resume` ends it."))
