"""Logs of renders as people's programs get them: part of the desk, by its conventions.

This module must stay light, as the desk's: nothing from outside the standard library.
"""

from typing import TypedDict


class LogPart(TypedDict):
    """What the engine printed in one attempt; `outcome` is `rendered` or the kind of failure, `region` a bucket."""

    frame: int
    attempt: int
    peer: str
    peer_name: str
    outcome: str
    region: list[int]
    text: str


class LogAnswer(TypedDict):
    """Logs of a job; `gone` names those that no reachable peer has any more."""

    job: str
    parts: list[LogPart]
    gone: list[str]
