"""What the blob store does when it is opened: settle whatever the last end, however sudden, left half done.

    found                                          done
    file without a name                            dropped: nobody was told of it
    unmarked bytes of a known blob                 verified again: marked if good, fetched again if not
    complete blob that still has its part's name   named whole
    row without a file                             has no pieces
    whole file without a row                       hashed: taken in if its name is true, dropped if not
    part without a row                             dropped
    row whose manifest rotted                      dropped; its whole file counts as without a row
    damaged index                                  put aside, said aloud; the next start makes it anew from the files

Invariant: when `recover` returns, entries, index and directories agree. The module must not run beside a store in use.
"""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from mesh.ground.errors import WireError
from mesh.ground.ids import ID_SIZE, BlobId
from mesh.ports.storage import DiskFull, StoreCorrupt
from mesh.store import posix
from mesh.store.index import Index, IndexRow
from mesh.store.places import INGEST_PREFIX, Entry, Places, demote, settle
from mesh.wire import manifest as manifests
from mesh.wire.manifest import Manifest, PieceSet


def open_index(places: Places) -> Index:
    """Open the index; put a damaged one aside and raise `StoreCorrupt`, so that its loss is noticed."""
    try:
        return Index(places.index)
    except StoreCorrupt as error:
        aside = places.root / f"index.damaged-{time.time_ns()}"
        with posix.named_errors(places.index):
            # The log belongs to the damaged file; beside a new one it would be taken for that one's.
            for suffix in ("-wal", "-shm", ""):
                if (path := places.index.with_name(places.index.name + suffix)).exists():
                    path.rename(aside.with_name(aside.name + suffix))
        raise StoreCorrupt(f"{error}; it is kept as {aside}. Start again: a new one is made from the blobs") from error


def recover(places: Places, index: Index, wall_ms: int) -> dict[BlobId, Entry]:
    """Settle everything and return the store's entries; may raise `OSError`."""
    parts = dict(_files(places.parts_directory))
    wholes = dict(_files(places.whole_directory))
    entries: dict[BlobId, Entry] = {}
    for row in index.rows():
        entry = _entry(row)
        if entry is None:
            index.remove(row.blob)
            continue
        entries[entry.blob] = entry
        _settle_row(places, index, entry, wholes.get(entry.blob.hex()), has_part=entry.blob.hex() in parts)
    for name in parts:
        if name.startswith(INGEST_PREFIX) or (_blob_named(name) not in entries):
            (places.parts_directory / name).unlink()
    for name in wholes:
        blob = _blob_named(name)
        if blob is not None and blob not in entries and (adopted := _adopt(places, index, blob, wall_ms)):
            entries[blob] = adopted
    return entries


def _files(directory: Path) -> Iterator[tuple[str, int]]:
    with os.scandir(directory) as found:
        for item in found:
            yield item.name, item.stat().st_size


def _blob_named(name: str) -> BlobId | None:
    try:
        blob = bytes.fromhex(name)
    except ValueError:
        return None
    return BlobId(blob) if len(blob) == ID_SIZE else None


def _entry(row: IndexRow) -> Entry | None:
    try:
        manifest = manifests.decode_for(row.blob, row.manifest)
        marked = PieceSet.decode(len(manifest.pieces), row.pieces)
    except WireError:
        return None
    return Entry(
        blob=row.blob,
        manifest=manifest,
        marked=marked,
        have=marked,
        last_used_ms=row.last_used_ms,
        checked_ms=row.checked_ms,
        known=True,
    )


def _settle_row(places: Places, index: Index, entry: Entry, whole_size: int | None, *, has_part: bool) -> None:
    nothing = PieceSet(count=len(entry.manifest.pieces))
    if whole_size == entry.manifest.size and entry.marked.complete:
        entry.whole = True
        if has_part:
            places.part(entry.blob).unlink()
        return
    if whole_size is not None:
        # Named whole just before the crash, or cut short since: what is unmarked is verified like any part.
        entry.whole = True
        demote(places, entry)
    if whole_size not in (None, entry.manifest.size) or (whole_size is None and not has_part):
        entry.have = nothing
    if whole_size is not None or has_part:
        entry.have = _verified_again(places.part(entry.blob), entry)
    if entry.have.complete:
        settle(places, index, entry)
    elif entry.have != entry.marked:
        # A disk that is full must not keep the store from being opened, and emptied.
        with suppress(DiskFull):
            index.mark(entry.blob, entry.have.encode())
            entry.marked = entry.have


def _verified_again(path: Path, entry: Entry) -> PieceSet:
    """Return the pieces that the entry has, and those unmarked whose bytes turn out to be good."""
    have, manifest = entry.have, entry.manifest
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        end = 0
        while (at := posix.first_data(descriptor, end)) is not None and at < manifest.size:
            number = at // manifest.piece_size
            offset, size = manifest.extent(number)
            if number not in have and manifest.fits(number, posix.read_at(descriptor, offset, size)):
                have = have.plus(number)
            end = offset + size
        # What is marked from now on must be on disk.
        posix.sync_data(descriptor)
    finally:
        os.close(descriptor)
    return have


def _adopt(places: Places, index: Index, blob: BlobId, wall_ms: int) -> Entry | None:
    path = places.whole(blob)
    manifest = _manifest_of_file(path)
    encoded = manifests.encode(manifest)
    if manifests.encoded_blob_id(encoded) != blob:
        path.unlink()
        return None
    full = PieceSet.full(len(manifest.pieces))
    index.put(IndexRow(blob=blob, manifest=encoded, pieces=full.encode(), last_used_ms=wall_ms))
    return Entry(blob=blob, manifest=manifest, marked=full, have=full, last_used_ms=wall_ms, known=True, whole=True)


def _manifest_of_file(path: Path) -> Manifest:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        step = manifests.piece_size(size)
        hashes = [manifests.piece_hash(file.read(min(step, size - at))) for at in range(0, size, step)]
    return Manifest(size=size, pieces=tuple(hashes))
