"""The table of exactness misses a bound for one bit, one header, one channel, one thing, and for a seam."""

import dataclasses
import json
import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tools.compare import Difference, Part, compare
from tools.exactness import KINDS, Row, as_json, cells, table

ROOT = Path(__file__).resolve().parent.parent.parent
NAMES = ("L.Combined.R", "L.Combined.G", "L.Depth.Z")


def picture(*, without: str = "", camera: str = "Camera", bit: str = "") -> list[Part]:
    """A small picture; `bit` names a channel of which one value has its last bit turned."""
    channels = {name: np.full((4, 6), 0.25, np.float32) for name in NAMES if name != without}
    if bit:
        channels[bit].view(np.uint32)[3, 5] ^= 1
    return [Part(channels=channels, headers={"Camera": camera, "Date": bit})]


SAME = compare(picture(), picture())


def row(
    *,
    passes: Difference = SAME,
    file: Difference = SAME,
    alone: Difference = SAME,
    delivered: Difference = SAME,
    peers: int = 3,
    denoised: bool = False,
    form: str = "EXR",
    lost: Sequence[str] = (),
    seam: float = 1.0,
    peak: float = 1.0,
) -> Row:
    return Row(
        scene="still_some",
        adaptive=False,
        denoised=denoised,
        format=form,
        buckets=3,
        passes=passes,
        picture=file,
        alone=alone,
        delivered=delivered,
        peers=peers,
        peak=peak,
        things=5,
        lost=tuple(lost),
        seam=seam,
        seconds=1.0,
    )


def test_what_is_the_same_misses_nothing() -> None:
    assert row().misses() == []
    assert (SAME.values, SAME.values_of) == (0, 3 * 24)


@pytest.mark.parametrize("where", ["passes", "file", "alone", "delivered"])
@pytest.mark.parametrize(
    ("other", "said"),
    [
        pytest.param(picture(bit="L.Depth.Z"), "1 of 72 values differ", id="one bit of one channel"),
        pytest.param(picture(camera="Kamera"), "header Camera is Camera, not Kamera", id="a header"),
        pytest.param(picture(without="L.Depth.Z"), "channel L.Depth.Z is float32 6x4, not absent", id="a channel"),
    ],
)
def test_each_comparison_counts(where: str, other: list[Part], said: str) -> None:
    missed = row(**{where: compare(picture(), other)}).misses()
    assert any(said in each for each in missed), missed


def test_what_was_denoised_may_be_a_little_off_in_its_file_alone() -> None:
    little = Difference(of=9, values=1, values_of=9, pixels=1, rmse=1e-8, largest=4e-7)
    assert row(file=little, alone=little, denoised=True).misses() == []
    assert row(file=little, alone=little).misses() != []
    assert row(passes=little, denoised=True).misses() != []
    bright = Difference(of=9, values=1, values_of=9, pixels=1, rmse=4e-7, largest=2e-4)
    assert row(file=bright, denoised=True, peak=36).misses() == []
    assert row(file=bright, denoised=True).misses() != []
    assert row(file=dataclasses.replace(bright, rmse=2e-6), denoised=True, peak=36).misses() != []
    depth = dataclasses.replace(little, channels=("L.Depth.Z",))
    assert row(file=depth, denoised=True).misses() != []
    step = Difference(of=9, values=1, values_of=9, pixels=1, rmse=1e-4, largest=1 / 255)
    assert row(file=step, denoised=True, form="PNG").misses() == []
    assert row(file=step, denoised=True).misses() != []


def test_lost_things_and_seams_are_missed() -> None:
    assert row(lost=["the matte M is absent"]).misses() == ["still_some: the matte M is absent"]
    assert row(seam=1.05).misses() == []
    for seam in (1.06, math.inf, math.nan):
        assert len(row(seam=seam).misses()) == 1


def test_what_one_peer_rendered_was_not_distributed() -> None:
    assert row(peers=2).misses() == []
    assert row(peers=1).misses() == ["still_some: 1 of the peers rendered it, fewer than 2"]


def test_a_row_has_a_cell_for_each_head() -> None:
    heads, line = table([row()])
    assert heads.split()[:3] == ["scene", "sampling", "buckets"]
    assert line.split() == " ".join(cells(row())).split()


def test_what_is_written_as_json_can_be_read_by_others() -> None:
    lacking = row(passes=compare(picture(), picture(without="L.Depth.Z")))
    value = json.loads(json.dumps(as_json(lacking), allow_nan=False))
    assert value["passes"]["largest"] is None
    assert value["missed"] == lacking.misses()


def test_each_kind_of_scene_is_named_by_its_ending() -> None:
    assert KINDS.keys() == {".blend", ".pov"}
    assert all(ending.startswith(".") for ending in KINDS)


def test_the_command_names_a_scene_that_is_none() -> None:
    """Slow for a unit test: it starts Python, as people do."""
    command = [sys.executable, "-m", "tools.exactness", "--scene", "still_nothing"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no scene still_nothing" in done.stderr
