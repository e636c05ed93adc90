"""A frame in buckets on a terminal: letters where buckets are, and the peers beside them."""

import pytest

from mesh.cli.top import still
from mesh.cli.top.lines import Line, Tone, width
from mesh.ports.stills import BucketsAnswer
from sim import bucketrows
from sim.desk import job_row, task_row
from sim.memberrows import ME, OTHER
from tests.support.screens import running

PEERS = [(ME, "desk"), (OTHER, "studio"), ("c7" * 32, "attic")]


def grown(**changes: object) -> BucketsAnswer:
    return bucketrows.growing(job_row(tasks=1), PEERS, **changes)  # type: ignore[arg-type]


def text(line: Line) -> str:
    return "".join(span.text for span in line)


def quarters() -> BucketsAnswer:
    rows = [
        bucketrows.bucket_row((0, 0, 960, 540), PEERS[0], ms=5),
        bucketrows.bucket_row((960, 0, 1920, 540), PEERS[1], state="running"),
        bucketrows.bucket_row((0, 540, 960, 1080), state="open"),
        bucketrows.bucket_row((960, 540, 1920, 1080), state="stopped"),
    ]
    return bucketrows.answer(job_row(tasks=1), rows, size=(1920, 1080))


def test_letters_stand_where_buckets_are() -> None:
    lines = still.lines(quarters(), 80, 10)
    assert len(lines) == 10
    wide = still.size(quarters(), 80, 10)[0]
    assert text(lines[0])[1 : wide + 1] == "A" * (wide // 2) + "b" * (wide - wide // 2)
    assert text(lines[9])[1 : wide + 1] == "." * (wide // 2) + "x" * (wide - wide // 2)
    hues = {(span.tone, bool(span.hue)) for line in lines for span in line}
    assert {(Tone.PEER, True), (Tone.PEER_RUNS, True), (Tone.CELL_OPEN, False)} <= hues


@pytest.mark.parametrize(("columns", "height"), [(80, 12), (120, 22), (45, 6), (36, 4), (10, 4), (200, 60)])
@pytest.mark.parametrize("size", [(1920, 1080), (400, 1600), (3000, 200), (64, 36)])
def test_a_picture_keeps_its_shape_and_its_room(columns: int, height: int, size: tuple[int, int]) -> None:
    told = grown(size=size, side=max(1, max(size) // 30))
    wide, high = still.size(told, columns, height)
    lines = still.lines(told, columns, height)
    assert high <= height
    assert len(lines) <= height
    assert still.height(told, columns, height) <= height
    assert all(width(line) <= columns for line in lines) or columns < still.LEGEND + 8
    assert all(len(text(line)) > wide for line in lines[:high])
    if wide > 8 and high > 8:
        assert 0.8 < wide / (still.ASPECT * high) * size[1] / size[0] < 1.25


def test_part_of_a_frame_leaves_the_rest_blank() -> None:
    rows = [bucketrows.bucket_row((960, 0, 1920, 1080), PEERS[0], ms=5)]
    told = BucketsAnswer(
        **{**bucketrows.answer(job_row(tasks=1), rows, size=(1920, 1080)), "region": rows[0]["region"]}
    )
    wide = still.size(told, 80, 10)[0]
    assert text(still.lines(told, 80, 10)[4])[1 : wide + 1] == " " * (wide // 2) + "A" * (wide - wide // 2)


def test_peers_stand_beside_it_who_made_most_first() -> None:
    seen = [text(line) for line in still.lines(grown(done=60), 100, 14)]
    place = {name: next(at for at, line in enumerate(seen) if name in line) for name in ("desk", "studio", "attic")}
    assert place["desk"] == 1
    assert all("%" in seen[at] for at in place.values())
    many = [(f"{at:064x}", f"peer{at:02}") for at in range(30)]
    crowd = bucketrows.growing(job_row(tasks=1), many, done=120)
    assert any("and 2" in text(line) and "more" in text(line) for line in still.lines(crowd, 100, 8))


def test_a_frames_line_says_how_far_it_is_and_who_assembles_it() -> None:
    told = quarters()
    assert "25 % of it, 1 bucket by 1 peer" in text(still.frame_lines(task_row(1), told)[0])
    told["assembler_name"] = "studio"
    assert text(still.frame_lines(running(1), told)[0]).endswith("assembling at studio")
    told["state"] = "counts"
    assert "assembled at studio, shot_0001.png" in text(still.frame_lines(task_row(1, "counts"), told)[0])
