"""Times as people type them: how long, and until when. Pure functions; the present is an argument."""

import re
from datetime import datetime, timedelta

from mesh.ground.errors import UsageError
from mesh.ground.instants import DAY_MS, HOUR_MS, MINUTE_MS

_UNITS = {"m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS}


def duration_ms(option: str, text: str) -> int:
    """Read a duration such as `30m`, `24h` or `7d`; raise UsageError, naming the option, for anything else."""
    match = re.fullmatch(r"(\d{1,4})([mhd])", text.strip())
    if match is None or int(match[1]) == 0:
        raise UsageError(f"{option} {text}: write minutes, hours or days, such as 30m, 24h or 7d")
    return int(match[1]) * _UNITS[match[2]]


def clock_ms(option: str, text: str, now: datetime) -> int:
    """Read `HH:MM`, or `YYYY-MM-DD HH:MM`, as milliseconds since 1970, by this machine's calendar and clock.

    A time of day alone is the next one after `now`, today's or tomorrow's. Raises UsageError for anything else, and for
    a moment that is not to come.
    """
    match = re.fullmatch(r"(?:(\d{4}-\d\d-\d\d)[ T])?(\d\d?:\d\d)", text.strip())
    try:
        day = match[1] if match and match[1] else f"{now:%Y-%m-%d}"
        moment = datetime.strptime(f"{day} {match[2] if match else ''}", "%Y-%m-%d %H:%M").astimezone(now.tzinfo)
    except ValueError:
        raise UsageError(f"{option} {text}: write a time such as 18:00, or '2030-01-31 18:00'") from None
    if moment <= now and match and not match[1]:
        # By the calendar, not by 24 hours: a night in which clocks change is shorter or longer.
        moment = (moment.replace(tzinfo=None) + timedelta(days=1)).astimezone(now.tzinfo)
    if moment <= now:
        raise UsageError(f"{option} {text}: that is past")
    return round(moment.timestamp() * 1000)
