"""What every `BlobStore` and every `Journal` must do, real or fake; each adapter only adds its maker to a list,
below or in `tests.support.stores`.

A maker is given an empty directory and knows how to open the port on it, again and again, and how to damage what lies
there. Closing between two openings is an orderly end; sudden ends are tested where they can really happen.
"""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import pytest

from mesh.ground.ids import BlobId
from mesh.ports.storage import (
    BlobMissing,
    BlobStore,
    DiskFull,
    Journal,
    PieceRefused,
    SourceUnreadable,
    StoreCorrupt,
)
from mesh.store.journal import FileJournal
from mesh.wire.manifest import MIB, PieceSet, blob_id, manifest_of
from sim.fakes import MemoryJournal
from tests.support.stores import BLOB_MAKERS, CONTENT, BlobMaker, content_of, fill, piece_of


class JournalMaker(Protocol):
    """How one adapter's journals are made."""

    def __init__(self, directory: Path) -> None: ...

    def open(self) -> Journal:
        """Open the journal of the directory."""
        ...


class FileJournals:
    """Makes the journal on disk."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "journal"

    def open(self) -> FileJournal:
        return FileJournal(self.path)


class MemoryJournals:
    """Makes the fake in memory."""

    def __init__(self, directory: Path) -> None:
        del directory
        self.entries: list[bytes] = []

    def open(self) -> MemoryJournal:
        return MemoryJournal(self.entries)


JOURNAL_MAKERS: list[type[JournalMaker]] = [FileJournals, MemoryJournals]


class TestBlobStore:
    """The contract of `BlobStore`."""

    @pytest.fixture(params=BLOB_MAKERS, ids=lambda maker: maker.__name__)
    def maker(self, request: pytest.FixtureRequest, tmp_path: Path) -> BlobMaker:
        made: BlobMaker = request.param(tmp_path)
        return made

    @pytest.fixture
    def store(self, maker: BlobMaker) -> Iterator[BlobStore]:
        store = maker.open()
        yield store
        store.close()

    def test_a_blob_arrives_in_any_order_and_is_read_back(self, store: BlobStore) -> None:
        manifest = manifest_of(CONTENT)
        blob = blob_id(manifest)
        assert store.have(blob) is None
        assert store.start(blob, manifest) == PieceSet(count=3)
        assert not store.write_piece(blob, 2, piece_of(CONTENT, manifest, 2))
        assert not store.complete(blob)
        assert not store.write_piece(blob, 0, piece_of(CONTENT, manifest, 0))
        assert store.have(blob) == PieceSet(count=3, bits=0b101)
        assert store.read_piece(blob, 2) == b"the end"
        assert store.write_piece(blob, 1, piece_of(CONTENT, manifest, 1))
        assert store.complete(blob)
        assert store.manifest(blob) == manifest
        assert store.read(blob, 0, len(CONTENT)) == CONTENT

    def test_a_wrong_piece_is_refused_and_leaves_no_trace(self, store: BlobStore) -> None:
        manifest = manifest_of(CONTENT)
        blob = blob_id(manifest)
        store.start(blob, manifest)
        for number, piece in ((2, b"the enD"), (0, CONTENT[MIB : 2 * MIB]), (3, b""), (-1, b""), (2, b"")):
            with pytest.raises(PieceRefused):
                store.write_piece(blob, number, piece)
        assert store.have(blob) == PieceSet(count=3)
        with pytest.raises(BlobMissing):
            store.read_piece(blob, 2)

    def test_a_piece_written_twice_changes_nothing(self, store: BlobStore) -> None:
        blob = fill(store, CONTENT)
        assert store.write_piece(blob, 2, b"the end")
        assert store.read_piece(blob, 2) == b"the end"

    def test_nothing_is_written_before_start(self, store: BlobStore) -> None:
        blob = blob_id(manifest_of(b"x"))
        with pytest.raises(BlobMissing):
            store.write_piece(blob, 0, b"x")
        with pytest.raises(BlobMissing):
            store.manifest(blob)
        assert not store.complete(blob)

    def test_another_blobs_manifest_is_refused(self, store: BlobStore) -> None:
        blob = blob_id(manifest_of(b"x"))
        with pytest.raises(PieceRefused):
            store.start(blob, manifest_of(b"y"))
        assert store.have(blob) is None

    @pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1])
    def test_bytes_and_files_get_the_same_name(self, store: BlobStore, tmp_path: Path, size: int) -> None:
        content = content_of(2, 7)[:size]
        source = tmp_path / "source"
        source.write_bytes(content)
        blob = store.ingest(content)
        assert blob == store.ingest(source) == blob_id(manifest_of(content)) == fill(store, content)
        assert store.complete(blob)
        assert store.read(blob, 0, size) == content
        assert store.usage().blobs == 1

    def test_an_empty_blob_is_complete_once_started(self, store: BlobStore) -> None:
        manifest = manifest_of(b"")
        assert store.start(blob_id(manifest), manifest).complete
        assert store.complete(blob_id(manifest))
        assert store.read(blob_id(manifest), 0, 0) == b""

    def test_ingest_completes_a_blob_that_was_being_fetched(self, store: BlobStore) -> None:
        manifest = manifest_of(CONTENT)
        store.start(blob_id(manifest), manifest)
        store.write_piece(blob_id(manifest), 2, b"the end")
        blob = store.ingest(CONTENT)
        assert store.complete(blob)
        assert store.read(blob, 0, len(CONTENT)) == CONTENT

    def test_a_source_that_is_no_readable_file_is_named(self, store: BlobStore, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        for source in (tmp_path / "absent", tmp_path, tmp_path / "pipe"):
            with pytest.raises(SourceUnreadable, match=source.name):
                store.ingest(source)
        assert store.blobs() == []

    def test_bytes_are_read_across_pieces_but_not_beyond_the_blob(self, store: BlobStore) -> None:
        blob = store.ingest(CONTENT)
        assert store.read(blob, MIB - 3, 6) == CONTENT[MIB - 3 : MIB + 3]
        assert store.read(blob, MIB, MIB) == CONTENT[MIB : 2 * MIB]
        assert store.read(blob, len(CONTENT), 0) == b""
        for offset, size in ((len(CONTENT), 1), (-1, 1), (0, len(CONTENT) + 1), (0, -1)):
            with pytest.raises(BlobMissing):
                store.read(blob, offset, size)

    def test_a_rotten_piece_is_never_served_and_may_be_fetched_again(self, maker: BlobMaker, store: BlobStore) -> None:
        blob = store.ingest(CONTENT)
        found: list[BlobId] = []
        store.watch(found.append)
        maker.rot(blob, MIB + 5)
        assert store.read_piece(blob, 0) == CONTENT[:MIB]
        assert found == []
        with pytest.raises(StoreCorrupt):
            store.read(blob, 0, len(CONTENT))
        assert found == [blob]
        with pytest.raises(BlobMissing):
            store.read_piece(blob, 1)
        assert store.have(blob) == PieceSet(count=3, bits=0b101)
        assert not store.complete(blob)
        assert store.write_piece(blob, 1, CONTENT[MIB : 2 * MIB])
        assert store.read(blob, 0, len(CONTENT)) == CONTENT

    def test_everything_is_there_after_an_orderly_end(self, maker: BlobMaker) -> None:
        store = maker.open()
        whole = store.ingest(b"whole")
        manifest = manifest_of(CONTENT)
        part = blob_id(manifest)
        store.start(part, manifest)
        store.write_piece(part, 1, piece_of(CONTENT, manifest, 1))
        store.pin(whole, "hold")
        before = store.blobs()
        store.close()
        store = maker.open()
        assert store.blobs() == before
        assert store.complete(whole)
        assert store.have(part) == PieceSet(count=3, bits=0b010)
        assert store.read_piece(part, 1) == piece_of(CONTENT, manifest, 1)
        assert not store.delete(whole)
        store.close()

    def test_a_rotten_piece_stays_missing_after_an_end(self, maker: BlobMaker) -> None:
        store = maker.open()
        blob = store.ingest(CONTENT)
        maker.rot(blob, 0)
        with pytest.raises(StoreCorrupt):
            store.read_piece(blob, 0)
        store.close()
        store = maker.open()
        assert store.have(blob) == PieceSet(count=3, bits=0b110)
        store.close()

    def test_a_pinned_blob_stays_until_its_last_reason_ends(self, store: BlobStore) -> None:
        blob = store.ingest(b"kept")
        store.pin(blob, "job 1")
        store.pin(blob, "job 1")
        store.pin(blob, "job 2")
        store.unpin(blob, "job 1")
        assert not store.delete(blob)
        assert [info.pins for info in store.blobs()] == [("job 2",)]
        store.unpin(blob, "job 2")
        store.unpin(blob, "job 2")
        assert store.delete(blob)
        assert store.have(blob) is None

    def test_a_pin_may_come_before_its_blob(self, store: BlobStore) -> None:
        blob = blob_id(manifest_of(b"late"))
        store.pin(blob, "job")
        assert store.ingest(b"late") == blob
        assert not store.delete(blob)

    def test_a_deleted_blob_is_gone_for_good_and_may_come_back(self, maker: BlobMaker) -> None:
        store = maker.open()
        blob = fill(store, CONTENT)
        assert store.delete(blob)
        assert store.delete(blob)
        with pytest.raises(BlobMissing):
            store.read_piece(blob, 0)
        with pytest.raises(BlobMissing):
            store.write_piece(blob, 2, b"the end")
        store.close()
        store = maker.open()
        assert store.blobs() == []
        assert fill(store, CONTENT) == blob
        assert store.complete(blob)
        store.close()

    def test_usage_adds_up(self, store: BlobStore) -> None:
        manifest = manifest_of(CONTENT)
        store.start(blob_id(manifest), manifest)
        store.write_piece(blob_id(manifest), 2, b"the end")
        store.pin(store.ingest(b"12345"), "job")
        usage = store.usage()
        assert (usage.blobs, usage.stored, usage.pinned) == (2, 12, 5)
        assert usage.free > 0

    def test_the_least_recently_used_blob_comes_first(self, store: BlobStore) -> None:
        first, second = store.ingest(b"first"), store.ingest(b"second")
        assert [info.blob for info in store.blobs()] == [first, second]
        store.read_piece(first, 0)
        assert [info.blob for info in store.blobs()] == [second, first]

    def test_no_room_is_said_before_anything_is_written(self, maker: BlobMaker, tmp_path: Path) -> None:
        maker.open().close()
        store = maker.open(reserve_bytes=2**62)
        source = tmp_path / "source"
        source.write_bytes(b"x")
        manifest = manifest_of(b"x")
        for attempt in (
            lambda: store.ingest(b"x"),
            lambda: store.ingest(source),
            lambda: store.start(blob_id(manifest), manifest),
        ):
            with pytest.raises(DiskFull):
                attempt()
        assert store.blobs() == []
        assert store.usage().free == 0
        store.close()

    def test_many_threads_see_one_store(self, store: BlobStore) -> None:
        contents = [content_of(4, salt) for salt in range(3)]
        manifests = [manifest_of(content) for content in contents]
        gate = threading.Barrier(12)

        def bring(task: tuple[int, int]) -> bool:
            which, number = task
            manifest = manifests[which]
            gate.wait()
            store.start(blob_id(manifest), manifest)
            piece = piece_of(contents[which], manifest, number)
            whole = store.write_piece(blob_id(manifest), number, piece)
            assert store.read_piece(blob_id(manifest), number) == piece
            return whole

        with ThreadPoolExecutor(12) as threads:
            done = list(threads.map(bring, [(which, number) for which in range(3) for number in range(4)]))
        assert sum(done) >= 3
        for content, manifest in zip(contents, manifests, strict=True):
            assert store.complete(blob_id(manifest))
            assert store.read(blob_id(manifest), 0, len(content)) == content


class TestJournal:
    """The contract of `Journal`."""

    @pytest.fixture(params=JOURNAL_MAKERS, ids=lambda maker: maker.__name__)
    def maker(self, request: pytest.FixtureRequest, tmp_path: Path) -> JournalMaker:
        made: JournalMaker = request.param(tmp_path)
        return made

    @pytest.fixture
    def journal(self, maker: JournalMaker) -> Iterator[Journal]:
        journal = maker.open()
        yield journal
        journal.close()

    def test_entries_come_back_in_order_whatever_they_are(self, journal: Journal) -> None:
        assert list(journal.load()) == []
        journal.append([b"a", b"", b"\0" * 1000])
        journal.append([])
        journal.append([b"a"])
        assert list(journal.load()) == [b"a", b"", b"\0" * 1000, b"a"]

    def test_they_are_there_after_an_end(self, maker: JournalMaker) -> None:
        for number in range(3):
            journal = maker.open()
            assert list(journal.load()) == [b"%d" % each for each in range(number)]
            journal.append([b"%d" % number])
            journal.close()

    def test_a_long_batch_comes_back_whole(self, journal: Journal) -> None:
        entries = [bytes([number]) * MIB for number in range(20)]
        journal.append(entries)
        assert list(journal.load()) == entries

    def test_rewrite_replaces_everything_and_goes_on(self, maker: JournalMaker) -> None:
        journal = maker.open()
        journal.append([b"%d" % number for number in range(1000)])
        before = journal.size()
        journal.rewrite(entry for entry in journal.load() if entry.endswith(b"7"))
        assert journal.size() < before
        journal.append([b"after"])
        expected = [b"%d" % number for number in range(1000) if number % 10 == 7] + [b"after"]
        assert list(journal.load()) == expected
        journal.close()
        journal = maker.open()
        assert list(journal.load()) == expected
        journal.close()

    def test_a_reader_is_not_disturbed_by_a_rewrite(self, journal: Journal) -> None:
        journal.append([b"1"])
        journal.append([b"2"])
        reader = journal.load()
        assert next(reader) == b"1"
        journal.rewrite([])
        journal.append([b"3"])
        assert list(reader) == [b"2"]
        assert list(journal.load()) == [b"3"]

    def test_threads_append_whole_batches(self, journal: Journal) -> None:
        batches = [[b"%d %d" % (thread, number) for number in range(3)] for thread in range(24)]
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(journal.append, batches))
        found = list(journal.load())
        assert sorted(found[at : at + 3] for at in range(0, len(found), 3)) == sorted(batches)
