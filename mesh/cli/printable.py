"""Text from elsewhere, made fit for a terminal: names, reasons and logs are data that somebody else wrote.

Theory: a terminal obeys what it is sent. A name with an escape sequence could colour a screen, forge a line, hide what
stands before it, or worse. So whatever comes from a peer loses its escape sequences and control characters before a
command puts it into a sentence; our own colours are added after that. JSON is for programs, which get every character:
what a terminal would obey is written there as `\\u` and four digits.

The module must not know where the text comes from.
"""

import re
from collections.abc import Callable
from typing import Any, Final

# CSI (colours, cursor), strings for the terminal itself (titles, links, clipboards: OSC, DCS, SOS, PM, APC), and the
# short ones; each in its 7-bit form, by ESC, and in its 8-bit form. One that never ends is only its beginning.
_ESCAPES: Final = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
_UNSEEN: Final = "\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff"
"""Marks without a width, and those that turn the direction of what follows them."""
_CONTROLS: Final = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{_UNSEEN}\ud800-\udfff]")
_BREAKS: Final = re.compile(r"\s*[\t\n]\s*")
_IN_JSON: Final = re.compile(f"[\x7f-\x9f{_UNSEEN}\ud800-\udfff]")


def block(text: str) -> str:
    """Return `text` without what a terminal would obey; lines and tabs stay."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROLS.sub("", _ESCAPES.sub("", text))


def line(text: str) -> str:
    """Return `text` as a single line, without what a terminal would obey."""
    return _BREAKS.sub(" ", block(text)).strip()


def every_text(value: Any, plain: Callable[[str], str]) -> Any:
    """Return a JSON value with `plain` applied to each text in it, keys left alone."""
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, list):
        return [every_text(item, plain) for item in value]
    if isinstance(value, dict):
        return {key: every_text(item, plain) for key, item in value.items()}
    return value


def json_text(document: str) -> str:
    """Return a JSON document that says the same, with nothing in it that a terminal would obey."""
    return _IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", document)
