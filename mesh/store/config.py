"""The settings file: TOML in, checked `Settings` out. Nothing is guessed: an unknown key or a wrong type is an error.

The module must not know what a setting does, nor read the environment.
"""

import difflib
import tomllib
from dataclasses import fields
from typing import get_type_hints

from mesh.ground.errors import UsageError
from mesh.ground.settings import SETTINGS_VERSION, Settings

CONFIG_MAX_BYTES = 64 * 1024
"""Length of a settings file: a thousand times what all settings take."""

_PORT_MAX = 65_535
_INTEGER_MAX = 2**31 - 1


def parse_settings(text: str, where: str) -> Settings:
    """Return the settings that the TOML `text` makes; `where` names the file in a `UsageError`."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{where}: {error}") from error
    version = table.get("version", SETTINGS_VERSION)
    if isinstance(version, int) and version > SETTINGS_VERSION:
        raise UsageError(f"{where}: version {version} is of a newer program; this one knows {SETTINGS_VERSION}")
    types = get_type_hints(Settings)
    for key, value in table.items():
        if key not in types:
            raise UsageError(f"{where}: there is no setting `{key}`{_nearest(key, list(types))}")
        if problem := _problem(key, value, types[key]):
            raise UsageError(f"{where}: `{key}` {problem}")
    return Settings(**table)


def starter_text() -> str:
    """Return the file that a new home begins with: every setting with its default, commented out."""
    lines = ["# Settings of this peer. A line without `#` in front changes a default."]
    for setting in fields(Settings):
        value = f'"{setting.default}"' if isinstance(setting.default, str) else str(setting.default).lower()
        lines.append(f"{'' if setting.name == 'version' else '# '}{setting.name} = {value}")
    return "\n".join(lines) + "\n"


def _nearest(key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean `{near[0]}`?" if near else f"; there are {', '.join(sorted(known))}"


def _problem(key: str, value: object, wanted: type) -> str | None:
    # A bool is an int to Python, and is none to a person.
    if not isinstance(value, wanted) or isinstance(value, bool) != (wanted is bool):
        return f"must be of type {wanted.__name__}, not {type(value).__name__}"
    if isinstance(value, int):
        most = _PORT_MAX if key.endswith("_port") else _INTEGER_MAX
        if not 0 <= value <= most:
            return f"must be from 0 to {most}, not {value}"
    return None
