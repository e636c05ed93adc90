"""What is remembered of engines, and how an installation tells what it lacks. No engine is started."""

import json
import re
import sys
import threading
from pathlib import Path

import pytest
import trio

from mesh.ports.renderer import EngineBroken, EngineNotInstalled
from mesh.render import engines, install, proofs


def broken_blender(tmp_path: Path) -> Path:
    """A program that ends at once, as one does whose library is missing."""
    program = tmp_path / "blender"
    program.write_text("#!/bin/sh\necho libX11.so.6: cannot open shared object file\nexit 127\n", encoding="ascii")
    program.chmod(0o755)
    return program


def proven(cache: Path, program: Path, *, thorough: bool = False) -> engines.Engine:
    async def main() -> engines.Engine:
        with trio.fail_after(30):
            return await engines.proven(cache, program, embedded=False, thorough=thorough)

    return trio.run(main)


def remember(cache: Path, program: Path, *, thorough: bool) -> None:
    status = program.stat()
    proof = {
        "identity": f"{program}:{status.st_size}:{status.st_mtime_ns}",
        "version": "4.2.23",
        "build": "abc",
        "renders": ["CYCLES"],
        "thorough": thorough,
    }
    document = {"format": 1, "proofs": {str(program): proof}}
    (cache / "engines.json").write_text(json.dumps(document), encoding="utf-8")


def test_an_engine_that_does_not_start_is_broken_with_its_own_words(tmp_path: Path) -> None:
    with pytest.raises(EngineBroken, match=r"libX11\.so\.6"):
        proven(tmp_path, broken_blender(tmp_path))
    assert not (tmp_path / "engines.json").exists(), "a failed proof is tried again each time"


def test_a_proof_is_remembered_for_the_very_same_binary_only(tmp_path: Path) -> None:
    program = broken_blender(tmp_path)
    remember(tmp_path, program, thorough=False)
    found = proven(tmp_path, program)
    assert (found.version, found.build, found.renders) == ("4.2.23", "abc", ("CYCLES",))
    assert found.key == "blender-4.2.23-abc"
    with pytest.raises(EngineBroken):
        proven(tmp_path, program, thorough=True)
    program.write_bytes(program.read_bytes() + b"\n")
    with pytest.raises(EngineBroken):
        proven(tmp_path, program)


def test_an_engine_is_usable_where_its_proof_cannot_be_kept(tmp_path: Path) -> None:
    """A cache that is read-only, full or not the user's costs a proof each time, and no peer."""
    place = tmp_path / "a file"
    place.touch()
    proofs.remember(place / "cache", "/usr/bin/blender", {"version": "4.2.23"})
    (tmp_path / "engines.json").mkdir()
    proofs.remember(tmp_path, "/usr/bin/blender", {"version": "4.2.23"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a file", "engines.json"]
    assert proofs.remembered(tmp_path) == {}


def test_a_cache_that_cannot_be_made_is_named_with_the_remedy(tmp_path: Path) -> None:
    place = tmp_path / "a file"
    place.touch()
    with pytest.raises(EngineNotInstalled, match="MESHNODE_CACHE"):
        install.install(place / "cache", ignored)
    with pytest.raises(EngineNotInstalled, match="MESHNODE_CACHE"):
        install.check_space(place / "cache", 1)


def ignored(_line: str) -> None:
    """Tell nobody."""


def test_a_person_hears_of_a_proof_and_not_of_a_memory(tmp_path: Path) -> None:
    program = broken_blender(tmp_path)
    said: list[str] = []

    async def main() -> engines.Engine:
        return await engines.proven(tmp_path, program, embedded=False, thorough=False, say=said.append)

    with pytest.raises(EngineBroken):
        trio.run(main)
    assert len(said) == 1
    assert str(program) in said[0]
    remember(tmp_path, program, thorough=False)
    trio.run(main)
    assert len(said) == 1


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 2}', '{"format": 1, "proofs": 3}'])
def test_a_damaged_memory_only_means_proving_again(tmp_path: Path, content: str) -> None:
    (tmp_path / "engines.json").write_text(content, encoding="utf-8")
    with pytest.raises(EngineBroken):
        proven(tmp_path, broken_blender(tmp_path))


def test_the_cache_is_where_the_user_says() -> None:
    assert engines.cache_directory({"MESHNODE_CACHE": "/big/cache"}) == Path("/big/cache")
    assert engines.cache_directory({}).name == "meshnode"


def test_an_installation_counts_only_with_its_stamp(tmp_path: Path) -> None:
    place = install.environment(tmp_path)
    (place / "bin").mkdir(parents=True)
    (place / "bin" / "python").touch()
    assert install.embedded_python(tmp_path) is None
    (place / "complete").touch()
    assert install.embedded_python(tmp_path) == place / "bin" / "python"


def test_an_installed_engine_is_not_installed_again(tmp_path: Path) -> None:
    place = install.environment(tmp_path)
    place.mkdir(parents=True)
    (place / "complete").touch()
    said: list[str] = []
    assert install.install(tmp_path, said.append) == place / "bin" / "python"
    assert len(said) == 1


def test_everything_in_the_engines_environment_is_pinned_by_version_and_hash(tmp_path: Path) -> None:
    lines = install._requirements(tmp_path).read_text("ascii").splitlines()
    assert {line.partition("==")[0] for line in lines} == {"bpy", "numpy", "zstandard"}
    for line in lines:
        assert re.fullmatch(r"[a-z]+==[0-9.]+( --hash=sha256:[0-9a-f]{64}){4}", line), line


def test_without_space_the_remedy_is_named(tmp_path: Path) -> None:
    install.check_space(tmp_path / "cache", 1)
    with pytest.raises(EngineNotInstalled, match="MESHNODE_CACHE"):
        install.check_space(tmp_path / "cache", 1 << 60)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux leaves these libraries to the user")
def test_missing_libraries_are_named_as_one_line_to_type() -> None:
    install.check_libraries({"libc.so.6": "libc6"})
    with pytest.raises(EngineNotInstalled, match=r"apt-get install -y libnowhere1$"):
        install.check_libraries({"libc.so.6": "libc6", "libnowhere.so.1": "libnowhere1"})


def test_a_python_that_fits_is_found_or_what_to_install_is_said() -> None:
    unfit = [Path("/nowhere/python3.11"), Path("/bin/false")]
    with pytest.raises(EngineNotInstalled, match=r"apt-get install python3\.11 python3\.11-venv"):
        install.find_python(unfit)
    if sys.version_info[:2] == install.PYTHON:
        assert install.find_python([*unfit, Path(sys.executable)]) == Path(sys.executable)


def test_how_far_an_installation_is_follows_what_lies_on_the_disk(tmp_path: Path) -> None:
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / "bpy.whl").write_bytes(bytes(3_000_000))
    said: list[str] = []
    done = threading.Event()

    def say(text: str) -> None:
        said.append(text)
        done.set()

    install._tell(tmp_path, say, done, period_s=0.001)
    assert said == ["downloaded 3 of 350 MB"]
    assert install._how_far(350, 120) == "unpacked 120 of 877 MB"
