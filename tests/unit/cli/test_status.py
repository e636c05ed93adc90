"""What `meshnode status PEER` says of a peer of which the mesh's hash table has nothing."""

import click
import pytest

from mesh.cli.commands.status import one
from mesh.ports.roster import PeerAnswer, PeerRow
from sim.memberrows import ME, OTHER, peer_row


def told(seen: PeerRow | None) -> str:
    lines = one(PeerAnswer(id=seen["id"] if seen else OTHER, seen=seen, told=None))
    return " ".join(" ".join(map(click.unstyle, lines)).split())


def test_nobody_is_told_that_it_is_away_itself() -> None:
    said = told(peer_row(ME, "desk"))
    assert "here here" in said
    assert "away" not in said
    assert "nothing yet: other peers keep it" in said


@pytest.mark.parametrize("seen", [None, peer_row(OTHER, "studio", me=False)])
def test_another_may_be_away_or_new(seen: PeerRow | None) -> None:
    assert "nothing: it is away, or joined less than a minute ago" in told(seen)


def test_who_was_revoked_is_not_called_away() -> None:
    row = peer_row(OTHER, "studio", me=False)
    row.update(connected=False, revoked=True)
    said = told(row)
    assert "here revoked" in said
    assert "away" not in said
