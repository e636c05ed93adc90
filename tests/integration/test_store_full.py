"""A disk that really is full: said by name, nothing stored before is lost, and the store goes on once there is room.

Run as a program, this file is the test's body on a small disk of its own: a tmpfs in a mount namespace.
"""

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mesh.ground.ids import BlobId
from mesh.ports.storage import DiskFull
from mesh.store.blobs import FileBlobStore
from mesh.store.home import Home
from mesh.store.journal import FileJournal
from mesh.wire.manifest import MIB, blob_id, manifest_of

ROOT = Path(__file__).parents[2]
DISK_BYTES = 16 * MIB
UNCHECKED = -(2**60)
"""A reserve below nothing: the store does not look at the free space first, and meets the full disk itself."""

MOUNT = f'mount -t tmpfs -o size={DISK_BYTES} none "$0" && exec "$@"'


def namespace(*command: str) -> list[str]:
    """Return the command line that runs a command with mounts of its own."""
    as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", "--mount", *as_root, "sh", "-c", *command]


def can_mount(directory: Path) -> bool:
    if shutil.which("unshare") is None:
        return False
    tried = subprocess.run(namespace(MOUNT, str(directory), "true"), capture_output=True, check=False, timeout=60)
    return tried.returncode == 0


@pytest.mark.parametrize("part", ["blobs", "ingest", "journal", "home", "limit"])
def test_a_full_disk_is_named_and_nothing_is_lost(part: str, tmp_path: Path) -> None:
    if part != "limit" and not can_mount(tmp_path):
        pytest.skip("this user may not mount a small disk (unshare --mount)")
    command = [sys.executable, __file__, part, str(tmp_path)]
    ended = subprocess.run(
        command if part == "limit" else namespace(MOUNT, str(tmp_path), *command),
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=120, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == f"{part} done\n"


def piece_of(number: int) -> bytes:
    return number.to_bytes(4, "big") * (MIB // 4)


CONTENT = b"".join(map(piece_of, range(32)))
"""Twice what the disk holds."""


def open_store(directory: Path, reserve_bytes: int = UNCHECKED) -> FileBlobStore:
    return FileBlobStore(directory / "blobs", wall_ms=lambda: 1, reserve_bytes=reserve_bytes)


def expect_full(attempt: object, *arguments: object) -> None:
    assert callable(attempt)
    with pytest.raises(DiskFull):
        attempt(*arguments)


def check_blobs(directory: Path) -> None:
    """Fetch more than the disk holds."""
    manifest = manifest_of(CONTENT)
    blob = blob_id(manifest)
    store = open_store(directory)
    kept = store.ingest(b"kept before")
    store.start(blob, manifest)
    written = fill(store, blob)
    assert 0 < written < 16
    assert list(store.have(blob) or ()) == list(range(written))
    assert all(store.read_piece(blob, number) == piece_of(number) for number in range(written))
    store.close()
    store = open_store(directory)
    assert list(store.have(blob) or ()) == list(range(written))
    assert store.read(kept, 0, 11) == b"kept before"
    assert store.delete(blob), "a full disk can be emptied"
    assert store.read_piece(store.ingest(piece_of(1)), 0) == piece_of(1)
    store.close()
    store = open_store(directory, reserve_bytes=0)
    expect_full(store.start, blob, manifest)
    assert store.have(blob) is None
    store.close()


def fill(store: FileBlobStore, blob: BlobId) -> int:
    """Write pieces until one does not fit; return how many did."""
    for number in range(32):
        try:
            store.write_piece(blob, number, piece_of(number))
        except DiskFull:
            return number
    return 32


def check_ingest(directory: Path) -> None:
    """Ingest a file and bytes that do not fit."""
    source = directory / "source"
    with source.open("wb") as file:
        file.truncate(12 * MIB)  # A hole: it takes no room here, its copy does.
        file.seek(0)
        file.write(b"x")
    store = open_store(directory)
    kept = store.ingest(b"kept before")
    expect_full(store.ingest, CONTENT)
    assert store.usage().free > 0
    ballast(directory, leave_bytes=2 * MIB)
    expect_full(store.ingest, source)
    assert [path.name for path in (directory / "blobs" / "parts").iterdir()] == []
    assert [info.blob for info in store.blobs()] == [kept]
    assert store.read(kept, 0, 11) == b"kept before"
    (directory / "ballast").unlink()
    assert store.complete(store.ingest(source))
    store.close()


def check_journal(directory: Path) -> None:
    """Append and rewrite on a full disk."""
    journal = FileJournal(directory / "journal")
    journal.append([b"before"])
    ballast(directory, leave_bytes=64 * 1024)
    size = journal.size()
    expect_full(journal.append, [b"fits", bytes(MIB)])
    expect_full(journal.rewrite, [b"fits", bytes(MIB)])
    assert journal.size() == size == (directory / "journal").stat().st_size
    assert list(journal.load()) == [b"before"]
    journal.append([b"a small one still fits"])
    journal.close()
    journal = FileJournal(directory / "journal")
    assert list(journal.load()) == [b"before", b"a small one still fits"]
    (directory / "ballast").unlink()
    journal.append([bytes(MIB)])
    assert list(journal.load())[2:] == [bytes(MIB)]
    journal.close()


def check_home(directory: Path) -> None:
    """Keep facts and open a home on a full disk."""
    home = Home(directory / "home")
    home.keep_fact("membership", b"old")
    identity = home.keys.identity()
    ballast(directory, leave_bytes=0)
    expect_full(home.keep_fact, "membership", bytes(8192))
    assert home.fact("membership") == b"old"
    home.close()
    with pytest.raises(DiskFull):
        Home(directory / "another")
    (directory / "ballast").unlink()
    home = Home(directory / "home")
    assert home.keys.identity() == identity
    home.close()


def check_limit(directory: Path) -> None:
    """Meet a limit on the size of files, which is a user's own full disk."""
    journal, store = FileJournal(directory / "journal"), open_store(directory)
    journal.append([b"before"])
    kept = store.ingest(b"kept before")
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, resource.RLIM_INFINITY))
    expect_full(journal.append, [bytes(MIB)])
    expect_full(store.ingest, piece_of(1) + b"x")
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert list(journal.load()) == [b"before"]
    assert store.read(kept, 0, 11) == b"kept before"
    journal.append([bytes(MIB)])
    store.ingest(piece_of(1) + b"x")
    journal.close()
    store.close()


def ballast(directory: Path, leave_bytes: int) -> None:
    """Fill the disk but for so many bytes."""
    with (directory / "ballast").open("wb") as file:
        block = bytes(4096)
        while (facts := os.statvfs(directory)).f_bavail * facts.f_frsize > leave_bytes:
            file.write(block)
            file.flush()


CHECKS = {
    "blobs": check_blobs,
    "ingest": check_ingest,
    "journal": check_journal,
    "home": check_home,
    "limit": check_limit,
}

if __name__ == "__main__":
    CHECKS[sys.argv[1]](Path(sys.argv[2]))
    print(sys.argv[1], "done")
