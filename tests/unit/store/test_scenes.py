"""Files go into the store as a tree and come out of it unchanged, or are refused by name before anything is read."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.ground.errors import WireError
from mesh.ground.ids import BlobId
from mesh.ports.storage import BlobMissing, DiskFull, SourceUnreadable
from mesh.store.blobs import FileBlobStore
from mesh.store.scenes import StoreScenes
from mesh.wire.manifest import MIB
from mesh.wire.tree import TREE_MAX_BYTES, NameRefused, TreeEntry, TreeRefused
from tests.support.stores import content_of

FILES = {
    "shot.blend": b"BLENDER" * 200_000,
    "lib/props.blend": b"l" * (MIB + 1),
    "textures/a.png": b"a" * 100,
    "textures/b.png": b"b" * 65_535,
    "textures/empty": b"",
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FileBlobStore]:
    store = FileBlobStore(tmp_path / "blobs", wall_ms=lambda: 1, reserve_bytes=0)
    yield store
    store.close()


@pytest.fixture
def sources(tmp_path: Path) -> list[tuple[str, Path]]:
    """Write the files under names of no meaning: the tree's names are data."""
    found = []
    for number, (name, content) in enumerate(FILES.items()):
        path = tmp_path / f"source {number}"
        path.write_bytes(content)
        found.append((name, path))
    return found


def test_a_tree_comes_out_as_it_went_in(store: FileBlobStore, sources: list[tuple[str, Path]]) -> None:
    scenes = StoreScenes(store)
    told: list[int] = []
    stored = scenes.ingest_tree(sources, told.append)
    assert stored.size == sum(told) == sum(map(len, FILES.values()))
    assert stored.blobs[0] == stored.root
    assert len(stored.blobs) == 4
    assert all(map(store.complete, stored.blobs))
    tree = scenes.open_tree(stored.root)
    assert {entry.name: b"".join(scenes.read_entry(entry)) for entry in tree.entries} == FILES


def test_the_root_depends_on_names_and_bytes_alone(store: FileBlobStore, sources: list[tuple[str, Path]]) -> None:
    scenes = StoreScenes(store)
    stored = scenes.ingest_tree(sources)
    assert scenes.ingest_tree(reversed(sources)) == stored
    sources[0][1].write_bytes(b"changed")
    assert scenes.ingest_tree(sources).root != stored.root


def test_a_scene_of_empty_files_and_one_of_none_are_scenes(store: FileBlobStore, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    scenes = StoreScenes(store)
    tree = scenes.open_tree(scenes.ingest_tree([("a", tmp_path / "empty")]).root)
    assert [list(scenes.read_entry(entry)) for entry in tree.entries] == [[]]
    assert scenes.open_tree(scenes.ingest_tree([]).root).entries == ()


def test_names_are_refused_before_anything_is_read(store: FileBlobStore, tmp_path: Path) -> None:
    scenes = StoreScenes(store)
    with pytest.raises(NameRefused, match="device"):
        scenes.ingest_tree([("con.png", tmp_path / "absent")])
    with pytest.raises(TreeRefused, match="twice"):
        scenes.ingest_tree([("a", tmp_path / "absent"), ("a", tmp_path / "other")])
    assert store.blobs() == []


@pytest.mark.parametrize("large", [False, True])
def test_an_unreadable_file_is_named(store: FileBlobStore, sources: list[tuple[str, Path]], large: bool) -> None:
    path = sources[0 if large else 2][1]
    path.unlink()
    with pytest.raises(SourceUnreadable, match=path.name):
        StoreScenes(store).ingest_tree(sources)


def test_a_blob_that_is_no_tree_is_refused(store: FileBlobStore) -> None:
    scenes = StoreScenes(store)
    with pytest.raises(WireError):
        scenes.open_tree(store.ingest(b"not a tree"))
    with pytest.raises(TreeRefused, match="bytes"):
        scenes.open_tree(store.ingest(bytes(TREE_MAX_BYTES + 1)))
    with pytest.raises(BlobMissing):
        scenes.open_tree(BlobId(bytes(32)))


def test_an_entry_that_ends_behind_its_blob_is_refused(store: FileBlobStore) -> None:
    blob = store.ingest(b"12345")
    entry = TreeEntry(name="a", blob=blob, offset=3, size=3)
    with pytest.raises(TreeRefused, match="behind"):
        list(StoreScenes(store).read_entry(entry))


def test_what_goes_while_the_rest_is_stored_is_stored_again(store: FileBlobStore, tmp_path: Path) -> None:
    """A scene shares files with one before, which nobody is owed any more: they may go before the job is planned."""
    files = []
    for number in range(3):
        path = tmp_path / f"part-{number}"
        path.write_bytes(content_of(3, number))
        files.append((path.name, path))
    scenes = StoreScenes(store)
    first = scenes.ingest_tree(files)
    gone: list[BlobId] = []

    def evict(_size: int) -> None:
        if not gone:
            listed = [info for info in store.blobs() if info.blob != first.root]
            gone.extend(info.blob for info in listed if store.delete(info.blob, info.last_used_ms))

    again = scenes.ingest_tree(files, evict)
    assert gone
    assert all(store.complete(blob) for blob in again.blobs)


def test_a_blob_whose_row_cannot_be_removed_is_gone_all_the_same(
    store: FileBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = store.ingest(content_of(2, 1))

    def refuse(_blob: BlobId) -> None:
        raise DiskFull("no room for a row")

    monkeypatch.setattr(store._index, "remove", refuse)
    assert store.delete(blob)
    assert not store.complete(blob)
