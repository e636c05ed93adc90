"""Secrets stay secret: in their files, in messages, in representations."""

import os
import pickle
import traceback
from pathlib import Path

import pytest

from mesh.ports.storage import KeyExposed, KeyUnusable
from mesh.store.keys import KeyRing, Secret


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def test_keys_are_made_once_and_differ(directory: Path, tmp_path: Path) -> None:
    first = KeyRing(directory)
    again = KeyRing(directory)
    other = KeyRing(tmp_path / "other")
    assert first.identity() == again.identity()
    assert first.static() == again.static()
    keys = [key.reveal() for ring in (first, other) for key in (ring.identity(), ring.static())]
    assert len(set(keys)) == 4
    assert {len(key) for key in keys} == {32}


def test_mesh_and_root_come_and_only_the_mesh_goes(directory: Path) -> None:
    ring = KeyRing(directory)
    assert ring.mesh() is None
    assert ring.root() is None
    ring.keep_mesh(Secret(b"m" * 32))
    ring.keep_root(Secret(b"r" * 32))
    again = KeyRing(directory)
    assert again.mesh() == Secret(b"m" * 32)
    assert again.root() == Secret(b"r" * 32)
    again.forget_mesh()
    again.forget_mesh()
    assert again.mesh() is None
    assert KeyRing(directory).root() == Secret(b"r" * 32)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_key_that_others_can_read_is_refused_with_the_remedy(directory: Path, mode: int) -> None:
    KeyRing(directory)
    path = directory / "static"
    path.chmod(mode)
    with pytest.raises(KeyExposed, match=f"{mode:04o}; type: chmod 600 '{path}'"):
        KeyRing(directory)
    path.chmod(0o600)
    KeyRing(directory)


def test_a_directory_that_others_can_list_is_refused(directory: Path) -> None:
    KeyRing(directory)
    directory.chmod(0o750)
    with pytest.raises(KeyExposed, match=f"chmod 700 '{directory}'"):
        KeyRing(directory)


def test_a_missing_identity_is_not_made_up(directory: Path) -> None:
    KeyRing(directory)
    (directory / "identity").unlink()
    with pytest.raises(KeyUnusable, match="identity"):
        KeyRing(directory)


@pytest.mark.parametrize("damage", ["digit", "empty", "kind", "long", "binary", "link", "directory"])
def test_a_file_that_holds_no_good_key_is_refused(directory: Path, damage: str) -> None:
    KeyRing(directory)
    path = directory / "identity"
    line = path.read_text()
    key = line.split()[3]
    match damage:
        case "digit":
            path.write_text(line.replace(key, ("1" if key[0] == "0" else "0") + key[1:]))
        case "empty":
            path.write_text("")
        case "kind":
            path.write_text((directory / "static").read_text())
        case "long":
            path.write_text(line * 100)
        case "binary":
            path.write_bytes(b"\xff" * 64)
        case "link":
            path.rename(directory.parent / "elsewhere")
            path.symlink_to(directory.parent / "elsewhere")
        case "directory":
            path.unlink()
            path.mkdir(0o700)
    with pytest.raises(KeyUnusable) as caught:
        KeyRing(directory)
    assert key not in "".join(traceback.format_exception(caught.value))


def test_files_and_directory_are_for_their_user_alone(directory: Path) -> None:
    before = os.umask(0)
    try:
        KeyRing(directory).keep_mesh(Secret(bytes(32)))
    finally:
        os.umask(before)
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}


def test_keys_half_made_are_made_anew(directory: Path) -> None:
    half = directory.with_name(".keys.new")
    half.mkdir()
    (half / "identity").write_text("half")
    assert len(KeyRing(directory).identity().reveal()) == 32
    assert not half.exists()


def test_a_secret_shows_itself_to_nobody() -> None:
    secret = Secret(b"open sesame" + bytes(21))
    for shown in (repr(secret), str(secret), f"{secret}", repr([secret]), f"{secret!s:>40}"):
        assert "sesame" not in shown
        assert b"open sesame".hex() not in shown
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        hash(secret)
    assert secret != Secret(bytes(32))
    assert secret != secret.reveal()
