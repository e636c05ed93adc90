"""A journal cut or changed anywhere: what was never acknowledged goes in silence, what was is never lost in silence."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mesh.ports.storage import JournalDamaged, StorageError
from mesh.store.journal import PAYLOAD_MAX_BYTES, FileJournal

BATCHES = [[b"one"], [b"two", b"three"], [b"four" * 100]]
ENTRIES = [entry for batch in BATCHES for entry in batch]


def write(path: Path) -> list[int]:
    """Write the batches and return the length of the file after each."""
    journal = FileJournal(path)
    ends = [journal.size()]
    for batch in BATCHES:
        journal.append(batch)
        ends.append(journal.size())
    journal.close()
    return ends


def read(path: Path) -> list[bytes]:
    journal = FileJournal(path)
    found = list(journal.load())
    journal.close()
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def test_a_tail_torn_at_any_byte_is_cut_off(path: Path) -> None:
    ends = write(path)
    data = path.read_bytes()
    for length in range(ends[2], ends[3]):
        path.write_bytes(data[:length])
        assert read(path) == ENTRIES[:3]
        assert path.stat().st_size == ends[2]


@pytest.mark.parametrize("tail", [b"\0", b"\0" * 5000, b"\xff" * 100])
def test_bytes_that_the_disk_made_up_behind_the_end_are_cut_off(path: Path, tail: bytes) -> None:
    ends = write(path)
    with path.open("ab") as file:
        file.write(tail)
    assert read(path) == ENTRIES
    assert path.stat().st_size == ends[3]


def test_a_last_frame_whose_sectors_came_in_the_wrong_order_is_cut_off(path: Path) -> None:
    ends = write(path)
    with path.open("r+b") as file:
        file.seek(ends[2])
        file.write(bytes(40))
    assert read(path) == ENTRIES[:3]


def test_what_is_appended_after_a_cut_follows_what_was_kept(path: Path) -> None:
    ends = write(path)
    os.truncate(path, ends[3] - 1)
    journal = FileJournal(path)
    journal.append([b"five"])
    journal.close()
    assert read(path) == [*ENTRIES[:3], b"five"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(at=st.integers(0), bit=st.integers(0, 7))
def test_one_bit_changed_before_the_last_frame_is_damage_that_is_kept_and_named(path: Path, at: int, bit: int) -> None:
    path.unlink(missing_ok=True)
    ends = write(path)
    data = bytearray(path.read_bytes())
    at %= ends[2]
    data[at] ^= 1 << bit
    path.write_bytes(data)
    for _ in range(2):
        with pytest.raises(JournalDamaged, match=str(path)):
            FileJournal(path)
    assert path.read_bytes() == data
    copies = list(path.parent.glob("journal.damaged-at-*"))
    assert data in [copy.read_bytes() for copy in copies]
    for copy in copies:
        copy.unlink()


def test_more_garbage_than_one_frame_is_no_torn_tail(path: Path) -> None:
    write(path)
    os.truncate(path, path.stat().st_size + PAYLOAD_MAX_BYTES + 100)
    with pytest.raises(JournalDamaged):
        FileJournal(path)


def test_an_entry_that_holds_a_whole_journal_is_not_taken_for_frames(path: Path) -> None:
    write(path)
    hostile = path.read_bytes()
    other = path.with_name("other")
    journal = FileJournal(other)
    journal.append([b"first"])
    end = journal.size()
    journal.append([hostile])
    journal.close()
    os.truncate(other, other.stat().st_size - 1)
    assert read(other) == [b"first"]
    assert other.stat().st_size == end


def test_damage_that_comes_later_is_found_by_load(path: Path) -> None:
    journal = FileJournal(path)
    journal.append([b"fine"])
    end = journal.size()
    journal.append([b"rotten"])
    with path.open("r+b") as file:
        file.seek(end + 30)
        file.write(b"!")
    reader = journal.load()
    assert next(reader) == b"fine"
    with pytest.raises(JournalDamaged):
        next(reader)
    journal.close()


def test_a_half_written_rewrite_is_forgotten(path: Path) -> None:
    write(path)
    leftover = path.with_name(".journal.new")
    leftover.write_bytes(b"half")
    assert read(path) == ENTRIES
    assert not leftover.exists()


def test_a_rewrite_whose_entries_fail_changes_nothing(path: Path) -> None:
    write(path)
    journal = FileJournal(path)

    def failing() -> list[bytes]:
        raise StorageError("no more entries")

    with pytest.raises(StorageError, match="no more entries"):
        journal.rewrite(entry for number in range(3) for entry in ([b"x"] if number < 2 else failing()))
    journal.append([b"on"])
    assert list(journal.load()) == [*ENTRIES, b"on"]
    journal.close()
    assert sorted(each.name for each in path.parent.iterdir()) == ["journal"]


def test_a_closed_journal_takes_nothing(path: Path) -> None:
    journal = FileJournal(path)
    journal.close()
    with pytest.raises(StorageError):
        journal.append([b"late"])


def test_only_its_user_can_read_it(path: Path) -> None:
    write(path)
    assert path.stat().st_mode & 0o777 == 0o600
