"""The wire reference says what the code does: made again, it is the page that is there, and no type is left out."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from mesh.wire import kept, members, messages, records, tasks
from tools import wire_reference
from tools.sources import ROOT


def test_the_page_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "tools/wire_reference.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_type_has_a_heading() -> None:
    page = wire_reference.page().splitlines()
    kinds = {
        kind.__name__
        for module in (kept, members, messages, records, tasks)
        for kind in vars(module).values()
        if isinstance(kind, type) and dataclasses.is_dataclass(kind) and kind.__module__.startswith("mesh.wire")
    }
    # What a chain proves never travels; the bounds and the envelope are in the text.
    kinds -= {"Membership", "AtMost", "Between", "Size", "Signed"}
    assert {"Job", "SealPage", "Heartbeat", "KeptHead", "FrameRange"} <= kinds
    for kind in kinds:
        assert page.count(f"### {kind}") == 1, kind


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("| `attempt` | integer, 1 to 2^31 |", records.Claim),
        ("| `ids` | at most 2,048 of: 16 bytes |", messages.StreamIds),
        ("| `text` |", None),
    ],
)
def test_a_row_says_the_bound(line: str, kind: type | None) -> None:
    rows = "\n".join(wire_reference.section(kind)) if kind else wire_reference.page()
    assert (line in rows) == (kind is not None)
