"""Files of tapes: one for each start, for their owner's eyes, and not without end."""

from pathlib import Path

import pytest

from mesh.ground.ids import PeerId
from mesh.ground.instants import WallTime
from mesh.ground.tape_limits import TAPES_KEPT
from mesh.ports.storage import StorageError
from mesh.store.tapes import open_tape

ANN, BOB = PeerId(b"a" * 32), PeerId(b"b" * 32)


def test_each_start_has_a_tape_of_its_own_and_the_oldest_of_that_peer_go(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "tapes"
    open_tape(directory, BOB, WallTime(1)).close()
    paths = []
    for start in range(TAPES_KEPT + 3):
        tape = open_tape(directory, ANN, WallTime(7 if start < 2 else start + 7))  # a clock may stand still
        tape.write(b"start %d" % start)
        tape.close()
        paths.append(tape.path)
    assert len(set(paths)) == TAPES_KEPT + 3
    assert [path for path in paths if path.exists()] == paths[-TAPES_KEPT:]
    assert paths[-1].read_bytes() == b"start %d" % (TAPES_KEPT + 2)
    assert len(list(directory.iterdir())) == TAPES_KEPT + 1, "others' stay"
    assert paths[-1].stat().st_mode & 0o777 == 0o600


def test_what_is_written_is_there_without_a_close(tmp_path: Path) -> None:
    tape = open_tape(tmp_path, ANN, WallTime(1))
    tape.write(b"one")
    tape.write(b"two")
    assert tape.path.read_bytes() == b"onetwo"
    tape.close()


def test_a_directory_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        open_tape(tmp_path / "file", ANN, WallTime(1))
