"""What a host's owner is answered about its pause and about who can reach it: part of the desk, by its conventions.

This module must stay light, as the desk's: nothing from outside the standard library.
"""

from typing import Literal, TypeAlias, TypedDict


class PauseRow(TypedDict):
    """This host's pause: since when, and when it ends by itself; None: when its owner says so."""

    since_at_ms: int
    until_at_ms: int | None


class PauseAnswer(TypedDict):
    """How this host stands now, and how many frames it still renders."""

    paused: PauseRow | None
    in_hand: int


class BeaconRow(TypedDict):
    """Whether this peer calls on its local network, and hears others of its mesh do so.

    Without `on` the port is 0. `heard_at_ms` is when another peer's beacon came last, None where none came since
    `since_at_ms`. `faults` say what keeps it from hearing or from sending, as far as that is known.
    """

    on: bool
    port: int
    since_at_ms: int
    heard_at_ms: int | None
    faults: list[str]


OutcomeName: TypeAlias = Literal["reached", "refused", "silent", "no way"]


class TriedRow(TypedDict):
    """An address that was dialled, and what came of it.

    `refused`: nothing listens there; `silent`: no answer in time; `no way`: no route, or somebody else is there.
    """

    address: str
    outcome: OutcomeName


class ReportRow(TypedDict):
    """What a peer says that was asked to dial this one; its clock is ahead of ours by `ahead_ms`."""

    id: str
    name: str
    ahead_ms: int
    tried: list[TriedRow]


class ReachAnswer(TypedDict):
    """Who can reach this peer, and with a `peer` how that one can be reached; that is empty where none was named.

    `tried` is what came of dialling `peer` from here. `silent` names those that were asked and did not answer in time.
    """

    peer: str
    peer_name: str
    connected: bool
    tried: list[TriedRow]
    reports: list[ReportRow]
    silent: list[str]
