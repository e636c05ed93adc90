"""The index: which pieces of which blobs are on disk, who pins them, when they were used and checked: one SQLite file.

Every change is one transaction that is on disk when its method returns (write-ahead log, full synchronisation). The
index only ever claims less than the files hold: a piece is marked after its bytes were synchronised, so a mark can be
trusted after any crash, and what lacks a mark is verified again or fetched again.

The module must not touch blobs or directories, and must not know what a manifest says.
"""

import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mesh.ground.ids import BlobId
from mesh.ports.storage import DiskFull, StorageError, StoreCorrupt

SCHEMA_VERSION = 2

_SCHEMA = """
CREATE TABLE blob (
    id BLOB PRIMARY KEY, manifest BLOB NOT NULL, pieces BLOB NOT NULL, last_used_ms INTEGER NOT NULL,
    checked_ms INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE pin (blob BLOB NOT NULL, reason TEXT NOT NULL, PRIMARY KEY (blob, reason)) WITHOUT ROWID;
"""
_SINCE_1 = "ALTER TABLE blob ADD COLUMN checked_ms INTEGER NOT NULL DEFAULT 0;"
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_PRIMARY_CODE = 0xFF


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexRow:
    """One blob: its encoded manifest and its encoded set of pieces on disk."""

    blob: BlobId
    manifest: bytes
    pieces: bytes
    last_used_ms: int
    checked_ms: int = 0


class Index:
    """The tables of one store, for one process and all its threads."""

    def __init__(self, path: Path) -> None:
        """Open or make the index; raise `StoreCorrupt` when the file is damaged, `StorageError` when it is newer."""
        self._path = path
        self._lock = threading.Lock()
        with self._named_errors():
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise StorageError(f"{self._path}: layout {version} is of a newer program; this one knows {SCHEMA_VERSION}")
        if version < SCHEMA_VERSION:
            change = _SINCE_1 if version else _SCHEMA
            self._db.executescript(f"BEGIN; {change} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        (verdict,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise StoreCorrupt(f"{self._path}: {verdict}")

    def rows(self) -> list[IndexRow]:
        """Return every blob."""
        with self._lock, self._named_errors():
            found = self._db.execute(
                "SELECT id, manifest, pieces, last_used_ms, checked_ms FROM blob ORDER BY id"
            ).fetchall()
        return [
            IndexRow(blob=BlobId(blob), manifest=manifest, pieces=pieces, last_used_ms=used, checked_ms=checked)
            for blob, manifest, pieces, used, checked in found
        ]

    def pins(self) -> list[tuple[BlobId, str]]:
        """Return every pin as (blob, reason)."""
        with self._lock, self._named_errors():
            found = self._db.execute("SELECT blob, reason FROM pin ORDER BY blob, reason").fetchall()
        return [(BlobId(blob), reason) for blob, reason in found]

    def put(self, row: IndexRow) -> None:
        """Add a blob, or replace what is said of it."""
        with self._changing() as db:
            db.execute(
                "INSERT OR REPLACE INTO blob VALUES (?, ?, ?, ?, ?)",
                (row.blob, row.manifest, row.pieces, row.last_used_ms, row.checked_ms),
            )

    def mark(self, blob: BlobId, pieces: bytes) -> None:
        """Say which pieces of a known blob are on disk."""
        with self._changing() as db:
            db.execute("UPDATE blob SET pieces = ? WHERE id = ?", (pieces, blob))

    def noted(self, last_used_ms: Mapping[BlobId, int], checked_ms: Mapping[BlobId, int]) -> None:
        """Say when blobs were last used, and when they were last checked."""
        with self._changing() as db:
            used = [(time_ms, blob) for blob, time_ms in last_used_ms.items()]
            db.executemany("UPDATE blob SET last_used_ms = ? WHERE id = ?", used)
            checked = [(time_ms, blob) for blob, time_ms in checked_ms.items()]
            db.executemany("UPDATE blob SET checked_ms = ? WHERE id = ?", checked)

    def remove(self, blob: BlobId) -> None:
        """Forget a blob; its pins stay."""
        with self._changing() as db:
            db.execute("DELETE FROM blob WHERE id = ?", (blob,))

    def pin(self, blob: BlobId, reason: str) -> None:
        """Add a pin; a second one for the same reason changes nothing."""
        with self._changing() as db:
            db.execute("INSERT OR IGNORE INTO pin VALUES (?, ?)", (blob, reason))

    def unpin(self, blob: BlobId, reason: str) -> None:
        """Take a pin away if it is there."""
        with self._changing() as db:
            db.execute("DELETE FROM pin WHERE blob = ? AND reason = ?", (blob, reason))

    def close(self) -> None:
        """Fold the write-ahead log into the file and close it."""
        with self._lock, self._named_errors():
            self._db.close()

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._named_errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                # A full disk may have ended the transaction already.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE
            kind = DiskFull if code == sqlite3.SQLITE_FULL else StoreCorrupt if code in _DAMAGED else StorageError
            raise kind(f"{self._path}: {error}") from error
