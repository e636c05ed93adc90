"""A journal and a blob store whose process is killed: at chosen lines of their own code, and from outside at any time.

Run as a program, this file is the victim. With `lines` it forks a child for each chosen line, which kills itself there,
and judges what is left; with `endless` it works and reports on its standard output until somebody kills it.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar

import pytest

from mesh.ground.ids import BlobId
from mesh.store.blobs import FileBlobStore
from mesh.store.journal import FileJournal
from mesh.wire.manifest import MIB, blob_id, manifest_of

ROOT = Path(__file__).parents[2]
STORE_CODE = str(ROOT / "mesh" / "store")
POINTS = 120
"""Lines at which a child is killed, drawn evenly with a random start from all that a whole run passes."""

Acknowledge = Callable[[str], None]


def entries_of(batch: int) -> list[bytes]:
    """Return the entries of a batch: one, or a few of up to 60 kB."""
    return [b"%d.%d|" % (batch, number) * (1 + batch * 97 % 7_001) for number in range(1 + batch % 3)]


class JournalWork:
    """Appends batches, and rewrites the journal to its later half after every tenth."""

    steps = 35

    @staticmethod
    def state(done: int) -> list[bytes]:
        """Return what the journal holds after so many steps."""
        entries: list[bytes] = []
        for step in range(done):
            if step % 10 == 9:
                entries = entries[len(entries) // 2 :]
            else:
                entries += entries_of(step)
        return entries

    def run(self, directory: Path, acknowledge: Acknowledge) -> None:
        journal = FileJournal(directory / "journal")
        for step in range(self.steps):
            if step % 10 == 9:
                found = list(journal.load())
                journal.rewrite(found[len(found) // 2 :])
            else:
                journal.append(entries_of(step))
            acknowledge(str(step))
        journal.close()

    def judge(self, directory: Path, acknowledged: list[str]) -> None:
        journal = FileJournal(directory / "journal")
        found = list(journal.load())
        # A step that was not acknowledged was done wholly or not at all.
        assert found in (self.state(len(acknowledged)), self.state(len(acknowledged) + 1)), "an entry was lost or torn"
        journal.append([b"and on it goes"])
        assert list(journal.load()) == [*found, b"and on it goes"]
        journal.close()


def content_of(salt: int, pieces: int) -> bytes:
    return b"".join(bytes([salt, number]) * (MIB // 2) for number in range(pieces)) + b"tail"


@dataclass
class Expected:
    """What a judge has learned from the acknowledgements."""

    pieces: dict[BlobId, set[int]] = field(default_factory=dict)
    whole: set[BlobId] = field(default_factory=set)
    pinned: set[BlobId] = field(default_factory=set)
    deleted: set[BlobId] = field(default_factory=set)


class BlobWork:
    """Fetches, ingests, pins, spoils, deletes and fetches again."""

    fetched = content_of(1, 3)
    ingested = content_of(2, 1)
    contents: ClassVar = {blob_id(manifest_of(content)): content for content in (fetched, ingested)}

    def run(self, directory: Path, acknowledge: Acknowledge) -> None:
        store = self.open(directory)
        blob, other = self.contents
        self.fetch(store, blob, acknowledge, range(3))
        store.ingest(self.ingested)
        acknowledge(f"whole {other.hex()}")
        store.pin(other, "job")
        acknowledge(f"pin {other.hex()}")
        self.fetch(store, blob, acknowledge, range(3, 4))
        acknowledge(f"whole {blob.hex()}")
        acknowledge(f"deleting {blob.hex()}")
        assert store.delete(blob)
        acknowledge(f"delete {blob.hex()}")
        acknowledge(f"fetching {blob.hex()}")
        self.fetch(store, blob, acknowledge, range(2))
        store.close()
        acknowledge("closed")

    def fetch(self, store: FileBlobStore, blob: BlobId, acknowledge: Acknowledge, numbers: range) -> None:
        content = self.contents[blob]
        manifest = manifest_of(content)
        store.start(blob, manifest)
        for number in numbers:
            offset, size = manifest.extent(number)
            store.write_piece(blob, number, content[offset : offset + size])
            acknowledge(f"piece {blob.hex()} {number}")

    def judge(self, directory: Path, acknowledged: list[str]) -> None:
        expected = Expected()
        for line in acknowledged:
            verb, *words = line.split()
            self.learn(expected, verb, words)
        store = self.open(directory)
        for info in store.blobs():
            # Whatever is offered must be right, acknowledged or not.
            have = store.have(info.blob)
            assert have is not None
            manifest, content = store.manifest(info.blob), self.contents[info.blob]
            for number in have:
                offset, size = manifest.extent(number)
                assert store.read_piece(info.blob, number) == content[offset : offset + size]
        for blob, numbers in expected.pieces.items():
            assert numbers <= set(store.have(blob) or ()), "an acknowledged piece was lost"
        assert all(map(store.complete, expected.whole)), "a whole blob was lost"
        assert not any(map(store.delete, expected.pinned)), "a pin was lost"
        assert all(store.have(blob) is None for blob in expected.deleted), "a deleted blob came back"
        self.check_directories(directory / "blobs", store)
        for content in self.contents.values():
            assert store.read(store.ingest(content), 0, len(content)) == content
        store.close()

    @staticmethod
    def learn(expected: Expected, verb: str, words: list[str]) -> None:
        blob = BlobId(bytes.fromhex(words[0])) if words else BlobId(b"")
        match verb:
            case "piece":
                expected.pieces.setdefault(blob, set()).add(int(words[1]))
            case "whole":
                expected.whole.add(blob)
            case "pin":
                expected.pinned.add(blob)
            case "deleting":
                expected.pieces.pop(blob, None)
                expected.whole.discard(blob)
            case "delete":
                expected.deleted.add(blob)
            case "fetching":
                expected.deleted.discard(blob)

    @staticmethod
    def check_directories(root: Path, store: FileBlobStore) -> None:
        infos = {info.blob.hex(): info for info in store.blobs()}
        assert {path.name for path in (root / "whole").iterdir()} == {key for key in infos if infos[key].complete}
        assert {path.name for path in (root / "parts").iterdir()} <= {key for key in infos if not infos[key].complete}

    @staticmethod
    def open(directory: Path) -> FileBlobStore:
        return FileBlobStore(directory / "blobs", wall_ms=lambda: 1, reserve_bytes=0)


WORKS: dict[str, Any] = {"journal": JournalWork(), "blobs": BlobWork()}


def run_until(work: Any, directory: Path, fatal_line: int) -> tuple[list[str], int]:
    """Run the work in a child that is killed at the given line of the store's code, counted as they are executed.

    Returns what it acknowledged, and how many lines it passed if it came to its end.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        passed = 0

        def trace(frame: FrameType, event: str, _: object) -> Any:
            nonlocal passed
            if not frame.f_code.co_filename.startswith(STORE_CODE):
                return None
            if event == "line":
                passed += 1
                if passed == fatal_line:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        sys.settrace(trace)
        work.run(directory, lambda line: os.write(writer, f"{line}\n".encode()))
        sys.settrace(None)
        os.write(writer, f"{passed}\n".encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        lines = pipe.read().splitlines()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return lines, 0
    assert status == 0, "the work failed by itself"
    return lines[:-1], int(lines[-1])


def kill_at_lines(work: Any, points: int, seed: int) -> int:
    """Kill children at lines spread over the whole work; return how many were."""
    with tempfile.TemporaryDirectory() as scratch:
        complete, total = run_until(work, Path(scratch), 0)
        work.judge(Path(scratch), complete)
    step = max(1, total // points)
    killed = 0
    for fatal_line in range(1 + seed % step, total, step):
        with tempfile.TemporaryDirectory() as scratch:
            acknowledged, ended = run_until(work, Path(scratch), fatal_line)
            assert not ended
            try:
                work.judge(Path(scratch), acknowledged)
            except BaseException:
                print(f"killed at line {fatal_line} of {total}, after {len(acknowledged)} acknowledgements")
                raise
        killed += 1
    return killed


def append_for_ever(directory: Path) -> None:
    """Append numbered entries behind those of earlier lives, and say each after it was acknowledged."""
    journal = FileJournal(directory / "journal")
    number = len(list(journal.load()))
    while True:
        journal.append([b"%d" % number])
        number += 1
        os.write(1, b"%d\n" % number)


@pytest.mark.parametrize("work", sorted(WORKS))
def test_nothing_acknowledged_is_lost_wherever_the_process_is_killed(work: str) -> None:
    seed = random.SystemRandom().randrange(1_000)
    ended = subprocess.run(
        [sys.executable, __file__, "lines", work, str(POINTS), str(seed)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert ended.returncode == 0, f"seed {seed}\n{ended.stdout}\n{ended.stderr}"
    assert int(ended.stdout) >= POINTS


def test_a_journal_survives_being_killed_from_outside_again_and_again(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1_000)
    draws = random.Random(seed)
    acknowledged = 0
    for _ in range(15):
        child = subprocess.Popen(
            [sys.executable, __file__, "endless", str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        for _ in range(draws.randrange(1, 60)):
            acknowledged = int(child.stdout.readline())
        child.kill()
        # What it wrote before it died counts, read or not.
        for line in child.stdout.read().splitlines():
            acknowledged = int(line)
        child.wait()
        child.stdout.close()
        journal = FileJournal(tmp_path / "journal")
        found = list(journal.load())
        journal.close()
        assert found == [b"%d" % number for number in range(len(found))]
        assert len(found) in (acknowledged, acknowledged + 1), f"seed {seed}"


def main() -> None:
    """Be the victim."""
    match sys.argv[1:]:
        case ["lines", work, points, seed]:
            print(kill_at_lines(WORKS[work], int(points), int(seed)))
        case ["endless", directory]:
            append_for_ever(Path(directory))
        case _:
            raise SystemExit(2)


if __name__ == "__main__":
    main()
