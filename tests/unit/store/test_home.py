"""One peer, one directory, one process; what is kept comes back, and what a person wrote wrongly is named."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mesh.ground.errors import NotRunningError, UsageError
from mesh.ground.settings import SETTINGS_VERSION, Settings
from mesh.ports.storage import HomeInUse, KeyExposed, StorageError
from mesh.store.config import parse_settings, starter_text
from mesh.store.home import Home, choose_home, read_api

OPEN_HOME = """
import sys
from pathlib import Path
from mesh.ports.storage import HomeInUse
from mesh.store.home import Home
try:
    Home(Path(sys.argv[1]))
except HomeInUse as error:
    print(error)
    raise SystemExit(error.exit_code)
"""


def open_in_another_process(directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", OPEN_HOME, str(directory)], capture_output=True, text=True, check=False, timeout=60
    )


def test_a_second_process_is_refused_and_told_who_holds_the_home(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    refused = open_in_another_process(home.directory)
    assert refused.returncode == HomeInUse.exit_code
    assert f"process {os.getpid()}" in refused.stdout
    with pytest.raises(HomeInUse):
        Home(home.directory)
    home.close()
    assert open_in_another_process(home.directory).returncode == 0
    Home(home.directory).close()


def test_a_refused_home_lets_go_of_its_lock(tmp_path: Path) -> None:
    Home(tmp_path / "home").close()
    (tmp_path / "home" / "keys").chmod(0o755)
    for _ in range(2):
        with pytest.raises(KeyExposed):
            Home(tmp_path / "home")


def test_facts_come_back_until_forgotten(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert home.fact("membership") is None
    home.keep_fact("membership", b"first")
    home.keep_fact("membership", b"\0second")
    home.close()
    home = Home(tmp_path)
    assert home.fact("membership") == b"\0second"
    home.forget_fact("membership")
    home.forget_fact("membership")
    assert home.fact("membership") is None
    home.close()


def test_the_port_is_kept_but_a_setting_goes_before(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert home.port() == 0
    home.keep_port(4711)
    assert home.port() == 4711
    home.keep_fact("port", b"70000")
    assert home.port() == 0
    home.close()
    (tmp_path / "config.toml").write_text("listen_port = 815\n")
    home = Home(tmp_path)
    assert home.port() == 815
    home.close()


def test_programs_find_the_peer_while_it_runs(tmp_path: Path) -> None:
    with pytest.raises(NotRunningError):
        read_api(tmp_path)
    home = Home(tmp_path)
    with pytest.raises(NotRunningError):
        read_api(tmp_path)
    said = home.announce_api("127.0.0.1", 5000)
    assert read_api(tmp_path) == said
    assert said.process == os.getpid()
    assert len(said.token) >= 32
    assert said.token not in repr(said)
    assert (tmp_path / "api.json").stat().st_mode & 0o777 == 0o600
    home.close()
    with pytest.raises(NotRunningError):
        read_api(tmp_path)


def test_each_start_has_a_token_of_its_own_and_no_stale_word(tmp_path: Path) -> None:
    home = Home(tmp_path)
    first = home.announce_api("127.0.0.1", 5000)
    stale = (tmp_path / "api.json").read_bytes()
    home.close()
    (tmp_path / "api.json").write_bytes(stale)
    home = Home(tmp_path)
    assert not (tmp_path / "api.json").exists()
    assert home.announce_api("127.0.0.1", 5000).token != first.token
    home.close()


def test_a_damaged_word_is_named(tmp_path: Path) -> None:
    for text in ("", "[]", '{"host": "h"}', '{"host": "h", "port": null, "token": "t", "process": 1}'):
        path = tmp_path / "api.json"
        path.write_text(text)
        path.chmod(0o600)
        with pytest.raises(StorageError, match=r"api\.json"):
            read_api(tmp_path)


def test_work_is_emptied_at_start_read_only_directories_too(tmp_path: Path) -> None:
    home = Home(tmp_path)
    locked = home.work / "job" / "textures"
    locked.mkdir(parents=True)
    (locked / "wood.png").write_bytes(b"x")
    locked.chmod(0o500)
    home.close()
    home = Home(tmp_path)
    assert list(home.work.iterdir()) == []
    home.close()


def test_journal_and_blobs_lie_in_the_home(tmp_path: Path) -> None:
    home = Home(tmp_path)
    journal, blobs = home.open_journal(), home.open_blobs(lambda: 1)
    journal.append([b"entry"])
    blob = blobs.ingest(b"blob")
    journal.close()
    blobs.close()
    home.close()
    home = Home(tmp_path)
    journal, blobs = home.open_journal(), home.open_blobs(lambda: 1)
    assert list(journal.load()) == [b"entry"]
    assert blobs.read(blob, 0, 4) == b"blob"
    journal.close()
    blobs.close()
    home.close()


def test_the_option_goes_before_the_environment_before_the_platform(tmp_path: Path) -> None:
    environment = {"MESHNODE_HOME": str(tmp_path / "env")}
    assert choose_home(str(tmp_path / "option"), environment) == tmp_path / "option"
    assert choose_home(None, environment) == tmp_path / "env"
    assert choose_home(None, {}).name == "meshnode"
    assert choose_home("relative", {}).is_absolute()


def test_a_starter_file_says_every_setting_and_changes_none(tmp_path: Path) -> None:
    Home(tmp_path).close()
    text = (tmp_path / "config.toml").read_text()
    assert text == starter_text()
    assert parse_settings(text, "config.toml") == Settings()
    uncommented = "\n".join(line.removeprefix("# ") for line in text.splitlines()[1:])
    assert parse_settings(uncommented, "config.toml") == Settings()


def test_settings_are_read() -> None:
    found = parse_settings('name = "hal"\nslots = 0\nlisten_port = 65535', "config.toml")
    assert found == Settings(name="hal", slots=0, listen_port=65_535)


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("slot = 2", "no setting `slot`; did you mean `slots`"),
        ("qqq = 2", "no setting `qqq`; there are .*slots"),
        ('slots = "2"', "`slots` must be of type int, not str"),
        ("slots = true", "`slots` must be of type int, not bool"),
        ("slots = -1", "`slots` must be from 0"),
        ("listen_port = 65536", "`listen_port` must be from 0 to 65535"),
        ("name = 1", "`name` must be of type str, not int"),
        ("slots = ", "Invalid value"),
        ("slots = 1\nslots = 2", "Cannot overwrite"),
        (f"version = {SETTINGS_VERSION + 1}", "newer program"),
    ],
)
def test_a_wrong_setting_is_named_with_its_file(text: str, because: str) -> None:
    with pytest.raises(UsageError, match=f"^config.toml: .*{because}"):
        parse_settings(text, "config.toml")


def test_a_settings_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="UTF-8"):
        Home(tmp_path)
