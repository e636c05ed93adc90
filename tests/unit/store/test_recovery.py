"""What the store finds when it is opened, row by row of the table in `recovery`, and the states that lead there."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mesh.ground.ids import BlobId
from mesh.ports.storage import BlobMissing, StorageError, StoreCorrupt
from mesh.store.blobs import SYNC_EVERY_PIECES, FileBlobStore
from mesh.store.index import SCHEMA_VERSION
from mesh.store.places import QUARANTINE_MAX
from mesh.wire import manifest as manifests
from mesh.wire.manifest import MIB, Manifest, blob_id, manifest_of

Open = Callable[[], FileBlobStore]

PIECES = [bytes([number]) * MIB for number in range(4)] + [b"last"]
CONTENT = b"".join(PIECES)
MANIFEST = manifest_of(CONTENT)
BLOB = blob_id(MANIFEST)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "blobs"


@pytest.fixture
def reopen(root: Path) -> Iterator[Open]:
    """Open the store again and again; what is not closed is as after SIGKILL, but for the index's own log."""
    stores: list[FileBlobStore] = []

    def reopen() -> FileBlobStore:
        stores.append(FileBlobStore(root, wall_ms=lambda: 1, reserve_bytes=0))
        return stores[-1]

    yield reopen
    for store in stores:
        store._index.close()


def change(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.glob("*/*"))


def test_unmarked_pieces_are_verified_again(root: Path, reopen: Open) -> None:
    store = reopen()
    store.start(BLOB, MANIFEST)
    for number in (0, 2, 4):
        store.write_piece(BLOB, number, PIECES[number])
    change(root / "parts" / BLOB.hex(), 2 * MIB + 7, b"rotten while nobody looked")
    store = reopen()
    assert list(store.have(BLOB) or ()) == [0, 4]
    with pytest.raises(BlobMissing):
        store.read_piece(BLOB, 2)
    for number in (1, 2, 3):
        store.write_piece(BLOB, number, PIECES[number])
    assert store.read(BLOB, 0, len(CONTENT)) == CONTENT


def test_marked_pieces_are_on_disk_every_so_often(root: Path, reopen: Open) -> None:
    count = SYNC_EVERY_PIECES + 3
    content = b"".join(bytes([number]) * MIB for number in range(count))
    manifest = manifest_of(content)
    blob = blob_id(manifest)
    store = reopen()
    store.start(blob, manifest)
    for number in range(SYNC_EVERY_PIECES + 1):
        store.write_piece(blob, number, content[number * MIB : (number + 1) * MIB])
    with sqlite3.connect(root / "index.sqlite") as db:
        ((marked,),) = db.execute("SELECT pieces FROM blob").fetchall()
    db.close()
    assert int.from_bytes(marked, "little") == (1 << SYNC_EVERY_PIECES) - 1


def test_a_part_that_was_complete_is_named_whole(root: Path, reopen: Open) -> None:
    store = reopen()
    store.start(BLOB, MANIFEST)
    store.write_piece(BLOB, 0, PIECES[0])
    # The bytes of all pieces were written, the process died before it synchronised them.
    change(root / "parts" / BLOB.hex(), 0, CONTENT)
    store = reopen()
    assert store.complete(BLOB)
    assert files(root) == [f"whole/{BLOB.hex()}"]


def test_a_blob_named_whole_before_the_index_knew_is_whole(root: Path, reopen: Open) -> None:
    store = reopen()
    store.start(BLOB, MANIFEST)
    (root / "whole" / BLOB.hex()).write_bytes(CONTENT)
    store = reopen()
    assert store.complete(BLOB)
    assert store.read(BLOB, 0, len(CONTENT)) == CONTENT


def test_a_part_left_beside_its_whole_is_dropped(root: Path, reopen: Open) -> None:
    store = reopen()
    assert store.ingest(CONTENT) == BLOB
    (root / "parts" / BLOB.hex()).write_bytes(b"old")
    store = reopen()
    assert store.complete(BLOB)
    assert files(root) == [f"whole/{BLOB.hex()}"]


def test_a_file_without_a_name_is_dropped(root: Path, reopen: Open) -> None:
    reopen()
    (root / "parts" / "ingest-abc").write_bytes(b"half")
    (root / "parts" / BLOB.hex()).write_bytes(b"a part that the index does not know")
    reopen()
    assert files(root) == []


def test_a_row_without_a_file_has_no_pieces(root: Path, reopen: Open) -> None:
    store = reopen()
    store.ingest(CONTENT)
    (root / "whole" / BLOB.hex()).unlink()
    store = reopen()
    assert not store.complete(BLOB)
    assert list(store.have(BLOB) or ()) == []
    for number, piece in enumerate(PIECES):
        store.write_piece(BLOB, number, piece)
    assert store.complete(BLOB)


def test_a_whole_file_that_the_index_does_not_know_is_taken_in_if_its_name_is_true(root: Path, reopen: Open) -> None:
    reopen()
    (root / "whole" / BLOB.hex()).write_bytes(CONTENT)
    (root / "whole" / bytes(32).hex()).write_bytes(CONTENT)
    store = reopen()
    assert store.complete(BLOB)
    assert store.manifest(BLOB) == MANIFEST
    assert files(root) == [f"whole/{BLOB.hex()}"]


@pytest.mark.parametrize("length", [0, 5, 2 * MIB, len(CONTENT) + 1])
def test_a_whole_file_of_a_wrong_length_is_verified_again(root: Path, reopen: Open, length: int) -> None:
    store = reopen()
    store.ingest(CONTENT)
    with (root / "whole" / BLOB.hex()).open("r+b") as file:
        file.truncate(length)
    store = reopen()
    have = store.have(BLOB)
    assert have is not None
    assert list(have) == [number for number in range(5) if MANIFEST.extent(number)[0] + len(PIECES[number]) <= length]
    for number in have.missing():
        store.write_piece(BLOB, number, PIECES[number])
    assert store.read(BLOB, 0, len(CONTENT)) == CONTENT
    assert store.complete(BLOB)


def test_a_row_whose_manifest_rotted_is_made_anew_from_the_file(root: Path, reopen: Open) -> None:
    store = reopen()
    store.ingest(CONTENT)
    store.pin(BLOB, "hold")
    store.close()
    other = manifests.encode(manifest_of(b"other"))
    with sqlite3.connect(root / "index.sqlite") as db:
        db.execute("UPDATE blob SET manifest = ?", (other,))
    db.close()
    store = reopen()
    assert store.manifest(BLOB) == MANIFEST
    assert store.complete(BLOB)
    assert not store.delete(BLOB)


def test_a_damaged_index_is_put_aside_said_aloud_and_made_anew(root: Path, reopen: Open) -> None:
    store = reopen()
    store.ingest(CONTENT)
    store.close()
    damaged = bytes(200) + (root / "index.sqlite").read_bytes()[200:]
    (root / "index.sqlite").write_bytes(damaged)
    with pytest.raises(StoreCorrupt, match=r"index\.damaged.*Start again"):
        reopen()
    (aside,) = root.glob("index.damaged-*")
    assert aside.read_bytes() == damaged
    store = reopen()
    assert store.complete(BLOB)
    assert store.read(BLOB, 0, len(CONTENT)) == CONTENT


def test_an_index_of_a_newer_program_is_left_alone(root: Path, reopen: Open) -> None:
    reopen().close()
    with sqlite3.connect(root / "index.sqlite") as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    db.close()
    with pytest.raises(StorageError, match="newer program"):
        reopen()


def test_an_index_of_the_first_layout_is_taken_over(root: Path, reopen: Open) -> None:
    store = reopen()
    store.ingest(CONTENT)
    store.close()
    with sqlite3.connect(root / "index.sqlite") as db:
        db.execute("ALTER TABLE blob DROP COLUMN checked_ms")
        db.execute("PRAGMA user_version = 1")
    db.close()
    (info,) = reopen().blobs()
    assert info.complete
    assert info.checked_ms == 0


def test_a_file_that_vanished_is_rot_and_is_fetched_again(root: Path, reopen: Open) -> None:
    store = reopen()
    store.ingest(CONTENT)
    (root / "whole" / BLOB.hex()).unlink()
    for number in range(5):
        with pytest.raises(StoreCorrupt):
            store.read_piece(BLOB, number)
    for number, piece in enumerate(PIECES):
        store.write_piece(BLOB, number, piece)
    assert store.read(BLOB, 0, len(CONTENT)) == CONTENT


def test_a_rotten_piece_is_kept_for_a_look(root: Path, reopen: Open) -> None:
    store = reopen()
    store.ingest(CONTENT)
    change(root / "whole" / BLOB.hex(), 4 * MIB, b"LAST")
    with pytest.raises(StoreCorrupt):
        store.read_piece(BLOB, 4)
    assert (root / "quarantine" / f"{BLOB.hex()}-4").read_bytes() == b"LAST"


def test_the_quarantine_has_a_bound(root: Path, reopen: Open) -> None:
    store = reopen()
    for number in range(QUARANTINE_MAX + 5):
        blob: BlobId = store.ingest(b"%d" % number)
        change(root / "whole" / blob.hex(), 0, b"x")
        with pytest.raises(StoreCorrupt):
            store.read_piece(blob, 0)
    assert len(list((root / "quarantine").iterdir())) == QUARANTINE_MAX


def test_a_blob_of_holes_costs_no_reading(reopen: Open) -> None:
    """A part of 256 GiB with one piece opens at once: the holes between the pieces are skipped."""
    size = manifests.BLOB_MAX_BYTES
    last = b"z" * manifests.piece_size(size)
    hashes = [bytes(32)] * (manifests.piece_count(size) - 1) + [manifests.piece_hash(last)]
    manifest = Manifest(size=size, pieces=tuple(hashes))
    store = reopen()
    store._allowance.need = lambda size, page=False: None  # type: ignore[method-assign]
    store.start(blob_id(manifest), manifest)
    store.write_piece(blob_id(manifest), len(hashes) - 1, last)
    store = reopen()
    assert list(store.have(blob_id(manifest)) or ()) == [len(hashes) - 1]
