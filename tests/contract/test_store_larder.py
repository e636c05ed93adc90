"""What a store does about its quota, about what goes first, and about rot: the same for every adapter."""

from pathlib import Path

import pytest

from mesh.ground.ids import BlobId
from mesh.ports.storage import BlobMissing, BlobStore, DiskFull
from mesh.wire.manifest import MIB, blob_id, manifest_of
from tests.support.stores import BLOB_MAKERS, BlobMaker, content_of, fill


@pytest.fixture(params=BLOB_MAKERS, ids=lambda maker: maker.__name__)
def maker(request: pytest.FixtureRequest, tmp_path: Path) -> BlobMaker:
    made: BlobMaker = request.param(tmp_path)
    return made


def last_used_ms(store: BlobStore, blob: BlobId) -> int:
    return next(info.last_used_ms for info in store.blobs() if info.blob == blob)


def test_nothing_is_stored_beyond_the_quota_whichever_way_it_comes(maker: BlobMaker, tmp_path: Path) -> None:
    store = maker.open(quota_bytes=3 * MIB)
    fill(store, content_of(2, 1))
    (tmp_path / "source").write_bytes(content_of(2, 2))
    large = manifest_of(content_of(2, 3))
    for bring in (
        lambda: store.ingest(content_of(2, 2)),
        lambda: store.ingest(tmp_path / "source"),
        lambda: store.start(blob_id(large), large),
    ):
        with pytest.raises(DiskFull):
            bring()
    usage = store.usage()
    assert (usage.stored, usage.free, usage.limit, usage.quota) == (2 * MIB, MIB, 3 * MIB, 3 * MIB)
    assert len(store.blobs()) == 1


def test_two_blobs_that_come_at_once_share_what_is_left(maker: BlobMaker) -> None:
    store = maker.open(quota_bytes=2 * MIB)
    manifests = [manifest_of(content_of(2, salt)) for salt in (1, 2)]
    for manifest in manifests:
        store.start(blob_id(manifest), manifest)
    store.write_piece(blob_id(manifests[0]), 0, content_of(2, 1)[:MIB])
    store.write_piece(blob_id(manifests[1]), 1, content_of(2, 2)[MIB:])
    for manifest, salt, number in zip(manifests, (1, 2), (1, 0), strict=True):
        with pytest.raises(DiskFull):
            store.write_piece(blob_id(manifest), number, content_of(2, salt)[number * MIB :][:MIB])
    assert store.usage().stored == 2 * MIB


def test_what_goes_makes_room_and_a_part_that_is_brought_whole_counts_once(maker: BlobMaker) -> None:
    store = maker.open(quota_bytes=2 * MIB)
    first = store.ingest(content_of(2, 1))
    assert store.ingest(content_of(2, 1)[:0]) != first  # an empty blob takes nothing
    assert store.delete(first)
    manifest = manifest_of(content_of(2, 2))
    store.start(blob_id(manifest), manifest)
    store.write_piece(blob_id(manifest), 0, content_of(2, 2)[:MIB])
    assert store.delete(blob_id(manifest))
    assert store.ingest(content_of(2, 3)) == fill(store, content_of(2, 3))
    assert store.usage().stored == 2 * MIB


def test_the_quota_holds_for_what_was_there_at_the_start(maker: BlobMaker) -> None:
    store = maker.open()
    blob = store.ingest(content_of(2, 1))
    store.close()
    store = maker.open(quota_bytes=MIB)
    assert store.complete(blob)
    assert (store.usage().stored, store.usage().free) == (2 * MIB, 0)
    with pytest.raises(DiskFull):
        store.ingest(b"x")
    assert store.delete(blob)
    store.ingest(b"x")


def test_what_was_used_since_stays(maker: BlobMaker, tmp_path: Path) -> None:
    store = maker.open()
    content = content_of(1, 1)
    blob = store.ingest(content)
    (tmp_path / "source").write_bytes(content)
    for use in (
        lambda: store.read_piece(blob, 0),
        lambda: store.ingest(content),
        lambda: store.ingest(tmp_path / "source"),
        lambda: store.start(blob, manifest_of(content)),
    ):
        seen_ms = last_used_ms(store, blob)
        use()
        assert not store.delete(blob, seen_ms)
        assert store.complete(blob)
    assert store.delete(blob, last_used_ms(store, blob))
    assert store.have(blob) is None
    assert store.delete(blob, 1)


def test_a_check_is_no_use_and_goes_on_where_it_was(maker: BlobMaker) -> None:
    store = maker.open()
    one, two = store.ingest(b"one"), store.ingest(b"two")
    used_ms = last_used_ms(store, one)
    assert store.check_piece(one, 0)
    store.checked(one)
    store.checked(blob_id(manifest_of(b"unknown")))
    assert last_used_ms(store, one) == used_ms
    store.close()
    checked = {info.blob: info.checked_ms for info in maker.open().blobs()}
    assert checked[one] > 0
    assert checked[two] == 0


def test_a_check_finds_rot_and_says_what(maker: BlobMaker) -> None:
    store = maker.open(quota_bytes=2 * MIB)
    found: list[BlobId] = []
    store.watch(found.append)
    blob = store.ingest(content_of(2, 1))
    maker.rot(blob, MIB)
    assert store.check_piece(blob, 0)
    assert not store.check_piece(blob, 1)
    assert found == [blob]
    with pytest.raises(BlobMissing):
        store.check_piece(blob, 1)
    assert [(rot.blob, rot.piece) for rot in store.rotten()] == [(blob, 1)]
    assert store.usage().stored == MIB
    assert store.write_piece(blob, 1, content_of(2, 1)[MIB:])


def test_pages_find_room_where_nothing_else_does(maker: BlobMaker, tmp_path: Path) -> None:
    store = maker.open(quota_bytes=50_000, pages_bytes=MIB)
    full = store.ingest(bytes(49_000))
    usage = store.usage()
    assert (usage.stored, usage.free) == (49_000, 0)
    (tmp_path / "source").write_bytes(b"x")
    small = manifest_of(b"y")
    for bring in (
        lambda: store.ingest(b"x"),
        lambda: store.ingest(tmp_path / "source"),
        lambda: store.start(blob_id(small), small),
    ):
        with pytest.raises(DiskFull):
            bring()
    store.ingest(bytes(500), page=True)
    page = manifest_of(b"p" * 400)
    store.start(blob_id(page), page, page=True)
    with pytest.raises(DiskFull):
        store.write_piece(blob_id(page), 0, b"p" * 400)
    assert store.write_piece(blob_id(page), 0, b"p" * 400, page=True)
    with pytest.raises(DiskFull):
        store.ingest(bytes(101), page=True)
    assert (store.usage().stored, store.usage().free) == (49_900, 0)
    assert store.delete(full)
    assert store.usage().free == 50_000 - 1_000 - 900


def test_no_more_is_kept_for_pages_than_was_said(maker: BlobMaker) -> None:
    store = maker.open(quota_bytes=50_000, pages_bytes=10)
    assert store.usage().free == 49_990
    store.ingest(bytes(49_990))
    store.ingest(bytes(9), page=True)
    with pytest.raises(DiskFull):
        store.ingest(b"xx", page=True)
