"""Records: names that make files on other people's disks, attempts that cannot run out, pages read whole."""

from dataclasses import fields, replace

import pytest

from mesh.ground.errors import WireError
from mesh.ground.ids import BlobId, JobId, RecordId
from mesh.wire import cbor
from mesh.wire.codec import from_value, to_value
from mesh.wire.envelope import check, sign
from mesh.wire.grids import Cut
from mesh.wire.records import (
    MAX_ATTEMPT,
    MAX_COPIES,
    MAX_REPLACED,
    EngineId,
    Hold,
    Job,
    OutputNames,
    Result,
    SealedTask,
    SealPage,
    decode_page,
    encode_page,
    next_attempt,
    page_bytes,
)
from mesh.wire.signing import Ed25519Verifier
from mesh.wire.tasks import MAX_TASKS, FrameRange, Frames
from tests.strategies import SIGNERS, sample
from tests.support.cast import Cast, block, cut_into


def names(prefix: str, digits: int = 4, suffix: str = ".png") -> OutputNames:
    return OutputNames(prefix=prefix, digits=digits, suffix=suffix)


@pytest.mark.parametrize(
    ("made", "frame", "name"),
    [
        (names("shot_"), 7, "shot_0007.png"),
        (names("shot_"), 12_345, "shot_12345.png"),
        (names("shot_"), -7, "shot_-0007.png"),
        (names("", 0, ""), 0, "0"),
        (names("5.jpg"), 12, "5.jpg0012.png"),
        (names("Żółw ", 2, "_v2.exr"), 3, "Żółw 03_v2.exr"),
    ],
)
def test_a_file_is_called_after_its_frame(made: OutputNames, frame: int, name: str) -> None:
    assert made.name(frame) == name


@pytest.mark.parametrize(
    ("prefix", "suffix"),
    [
        ("../", ".png"),
        ("../../.ssh/authorized_keys", ""),
        ("/etc/", ".png"),
        ("sub/shot_", ".png"),
        ("shot_", "/../../x"),
        ("shot_", "/"),
        ("a\\", ".png"),
        ("C:", ".png"),
        ("shot\n", ".png"),
        ("shot\0", ".png"),
        ("\x1b[2J", ".png"),
        ("shot_", ".png "),
        ("shot_", "."),
        ("e\u0301", ".png"),
        ("p" * 255, ".png"),
    ],
)
def test_a_name_that_leaves_its_directory_or_fits_no_disk_is_refused(prefix: str, suffix: str) -> None:
    with pytest.raises(ValueError, match="output name"):
        names(prefix, suffix=suffix)
    with pytest.raises(WireError):
        from_value(OutputNames, [prefix, 4, suffix])


@pytest.mark.parametrize(("digits", "suffix"), [(-1, ".png"), (33, ".png"), (4, "." + "x" * 32)])
def test_what_cannot_be_written_is_no_name(digits: int, suffix: str) -> None:
    with pytest.raises(ValueError, match="output name"):
        names("shot_", digits, suffix)


def test_an_attempt_follows_the_highest_heard_of_for_ever() -> None:
    assert [next_attempt(highest) for highest in (0, 1, 41)] == [1, 2, 42]
    assert next_attempt(MAX_ATTEMPT - 1) == MAX_ATTEMPT
    assert next_attempt(MAX_ATTEMPT) == MAX_ATTEMPT


def test_an_engine_is_named_for_people() -> None:
    assert str(EngineId(name="blender", version="4.2.23", build="abc")) == "blender 4.2.23"


def test_a_page_comes_back_with_its_statements() -> None:
    page = sample(SealPage)
    back = decode_page(encode_page(page), tasks=len(page.tasks))
    assert back == page
    check(back, Ed25519Verifier())


def test_a_page_of_the_most_holds_is_read() -> None:
    listed = (RecordId(bytes(32)),) * MAX_REPLACED
    body = Hold(job=JobId(bytes(32)), blob=BlobId(bytes(32)), nonce=bytes(16), replaces=listed)
    hold = sign(body, SIGNERS[0])
    task = SealedTask(result=sample(SealPage).tasks[0].result, holds=(hold,) * MAX_COPIES)
    page = SealPage(job=JobId(bytes(32)), tasks=(task,) * 3, chains=())
    assert decode_page(encode_page(page), tasks=3) == page


def test_a_page_of_more_tasks_than_the_job_has_is_not_built() -> None:
    empty = SealedTask(result=None, holds=())
    page = SealPage(job=JobId(bytes(32)), tasks=(empty,) * 1_000, chains=())
    assert decode_page(encode_page(page), tasks=1_000) == page
    with pytest.raises(WireError):
        decode_page(encode_page(page), tasks=10)
    with pytest.raises(WireError):
        decode_page(bytes(page_bytes(1) + 1), tasks=1)


def test_a_page_is_refused_in_pieces() -> None:
    data = encode_page(sample(SealPage))
    for end in range(0, len(data), 11):
        with pytest.raises(WireError):
            decode_page(data[:end])
    with pytest.raises(WireError):
        decode_page(cbor.encode(to_value(sample(SealPage).tasks[0])))


def job(frames: int, cut: Cut | None) -> Job:
    ranges = Frames(ranges=(FrameRange(first=1, last=frames, step=1),))
    return replace(sample(Job), frames=ranges, cut=cut)


def test_the_cells_of_cut_frames_are_tasks_beside_the_frames() -> None:
    assert job(10, None).tasks == 10
    assert job(10, cut_into(5, 3, frames=2)).tasks == 10 + 2 * 15


def test_no_more_frames_are_cut_than_a_job_has() -> None:
    assert job(3, cut_into(5, 3, frames=3)).cut is not None
    with pytest.raises(ValueError, match="4 frames of a job of 3 are cut"):
        job(3, cut_into(5, 3, frames=4))


def test_frames_and_cells_together_are_no_more_tasks_than_a_job_may_have() -> None:
    full = job(MAX_TASKS - 24 * 4_096, cut_into(64, 64, frames=24))
    assert full.tasks == MAX_TASKS
    with pytest.raises(ValueError, match=f"at most {MAX_TASKS} tasks, not {MAX_TASKS + 1}"):
        job(len(full.frames) + 1, full.cut)


@pytest.mark.parametrize("frames", [1, 100_000])
def test_a_job_that_is_cut_as_it_cannot_be_is_refused_from_bytes(frames: int) -> None:
    told = to_value(job(2, cut_into(64, 64, frames=2)))
    assert isinstance(told, list)
    place = [field.name for field in fields(Job)].index("frames")
    told[place] = to_value(Frames(ranges=(FrameRange(first=1, last=frames, step=1),)))
    with pytest.raises(WireError):
        from_value(Job, told)


def test_a_result_is_of_the_cells_that_its_claim_took() -> None:
    bucket = Cast().result(Cast().founder(), Cast().head(Cast().founder()), 3, 7, block=block(2, 1, 2, 1)).body.what
    assert isinstance(bucket, Result)
    assert (bucket.task, bucket.attempt, bucket.block) == (3, 7, block(2, 1, 2, 1))
