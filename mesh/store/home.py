"""A peer's own directory: everything that it knows lies here, and one process at a time uses it.

    config.toml  settings, for people to edit          lock     held by the running peer; its process number
    keys/        secrets                               facts/   small things to remember, one file each
    journal      records, claims, holds                api.json where and by which token programs reach the peer
    blobs/       the blob store                        work/    checked-out scenes; emptied at each start

Every file is replaced as a whole and durably. Everything is for its user alone. The module must not know what the facts
mean, nor open any connection.
"""

import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

from mesh.ground.errors import NotRunningError, UsageError
from mesh.ground.settings import Settings
from mesh.ports.storage import StorageError
from mesh.store import posix
from mesh.store.blobs import FileBlobStore
from mesh.store.config import CONFIG_MAX_BYTES, parse_settings, starter_text
from mesh.store.journal import FileJournal
from mesh.store.keys import KeyRing

HOME_VARIABLE = "MESHNODE_HOME"

FACT_MAX_BYTES = 256 * 1024
"""Length of one fact."""

_API_MAX_BYTES = 4096
_TOKEN_BYTES = 32
_FACT_NAME = re.compile(r"[a-z][a-z-]{0,31}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiAddress:
    """Where a running peer's local interface listens, and the token that it asks for."""

    host: str
    port: int
    token: str = field(repr=False)
    process: int


def choose_home(option: str | None, environment: Mapping[str, str]) -> Path:
    """Return the directory to use: the option, else `MESHNODE_HOME`, else the platform's place for a user's data."""
    chosen = option or environment.get(HOME_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    return platformdirs.user_data_path("meshnode", appauthor=False)


def read_api(directory: Path) -> ApiAddress:
    """Return how to reach the peer that runs in `directory`; raise `NotRunningError` when none left word there.

    A peer that was killed leaves a stale file: who connects and is refused must raise the same error.
    """
    path = directory / "api.json"
    if not path.exists():
        raise NotRunningError(f"no peer is running in {directory}")
    try:
        found = json.loads(posix.read_private(path, _API_MAX_BYTES))
        host, token = str(found["host"]), str(found["token"])
        return ApiAddress(host=host, port=int(found["port"]), token=token, process=int(found["process"]))
    except (ValueError, TypeError, KeyError) as error:
        raise StorageError(f"{path}: not as it was written; start the peer again") from error


class Home:
    """The directory of the peer that this process is; holds its lock until `close`."""

    def __init__(self, directory: Path) -> None:
        """Make the directory if need be, lock it, read settings and keys, and empty `work`.

        Raises `HomeInUse`, `UsageError` for the settings, `KeyExposed` and `KeyUnusable` for the keys.
        """
        self.directory = directory
        self.work = directory / "work"
        self._facts = directory / "facts"
        posix.make_private_directory(directory)
        self._lock = posix.lock_alone(directory / "lock")
        try:
            with posix.named_errors(directory):
                self._api.unlink(missing_ok=True)
                if self.work.exists():
                    _remove_tree(self.work)
            for each in (self.work, self._facts):
                posix.make_private_directory(each)
            self.settings = _settings(directory / "config.toml")
            self.keys = KeyRing(directory / "keys")
        except BaseException:
            os.close(self._lock)
            raise

    @property
    def _api(self) -> Path:
        return self.directory / "api.json"

    def open_journal(self) -> FileJournal:
        """Open the peer's journal."""
        return FileJournal(self.directory / "journal")

    def open_blobs(self, wall_ms: Callable[[], int]) -> FileBlobStore:
        """Open the peer's blob store; `wall_ms` tells the time of last use."""
        quota_bytes = self.settings.store_quota_gb << 30
        return FileBlobStore(self.directory / "blobs", wall_ms=wall_ms, quota_bytes=quota_bytes)

    def announce_api(self, host: str, port: int) -> ApiAddress:
        """Draw a token and leave word for programs of this user how to reach the peer; return what they read."""
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        address = ApiAddress(host=host, port=port, token=token, process=os.getpid())
        said = {"host": host, "port": port, "token": token, "process": address.process}
        posix.write_private(self._api, json.dumps(said).encode())
        return address

    def fact(self, name: str) -> bytes | None:
        """Return a fact that was kept, or nothing."""
        try:
            return posix.read_bounded(self._fact_path(name), FACT_MAX_BYTES)
        except FileNotFoundError:
            return None

    def keep_fact(self, name: str, data: bytes) -> None:
        """Keep a fact, durably, in place of an older one of that name."""
        assert len(data) <= FACT_MAX_BYTES
        posix.write_private(self._fact_path(name), data)

    def forget_fact(self, name: str) -> None:
        """Remove a fact, durably."""
        path = self._fact_path(name)
        with posix.named_errors(path), suppress(FileNotFoundError):
            path.unlink()
            posix.sync_directory(self._facts)

    def port(self) -> int:
        """Return the TCP port to listen on: the setting, else the one kept from the first start, else 0."""
        if self.settings.listen_port:
            return self.settings.listen_port
        kept = (self.fact("port") or b"").decode("ascii", "replace")
        return int(kept) if kept.isdecimal() and int(kept) <= 65_535 else 0

    def keep_port(self, port: int) -> None:
        """Keep the port that the system gave, so that invites and cached addresses stay true."""
        self.keep_fact("port", str(port).encode())

    def close(self) -> None:
        """Take the word for programs back and let go of the lock."""
        with suppress(OSError):
            self._api.unlink(missing_ok=True)
        os.close(self._lock)

    def _fact_path(self, name: str) -> Path:
        assert _FACT_NAME.fullmatch(name), name
        return self._facts / name


def read_settings(directory: Path) -> Settings:
    """Return the settings of the peer in `directory`, and write nothing; raise `UsageError` as its start does."""
    path = directory / "config.toml"
    try:
        return _parsed(path, posix.read_bounded(path, CONFIG_MAX_BYTES))
    except FileNotFoundError:
        return Settings()


def _settings(path: Path) -> Settings:
    try:
        data = posix.read_bounded(path, CONFIG_MAX_BYTES)
    except FileNotFoundError:
        data = starter_text().encode()
        posix.write_private(path, data)
    return _parsed(path, data)


def _parsed(path: Path, data: bytes) -> Settings:
    try:
        return parse_settings(data.decode(), str(path))
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: it is not UTF-8 text") from error


def _remove_tree(path: Path) -> None:
    """Remove a directory whose own directories may be read-only, as checked-out scenes are."""
    for parent, _, _ in os.walk(path):
        os.chmod(parent, posix.PRIVATE_DIR_MODE)
    shutil.rmtree(path)
