"""How commands talk to the running peer: plain HTTP on the loopback interface, with the standard library alone.

Errors of the peer come back as errors here, with the same name, message, advice and exit code, though not as the same
class: a command must not import what the peer is made of.
"""

import http.client
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, Protocol

from mesh.cli import printable
from mesh.ground.errors import MeshError, NotRunningError

PREFIX: Final = "/v1"
CONNECT_S: Final = 5.0
ANSWER_S: Final = 60.0
"""A peer answers what it knows at once; on a machine that renders with all cores it may take a little longer."""
SILENT_S: Final = 30.0
"""A stream says something every five seconds; one that is silent for six times as long is dead."""
ANSWER_MAX_BYTES: Final = 256 * 1024 * 1024
"""A job of 100,000 frames in full takes a tenth of that."""


class PeerEnded(MeshError):
    """The peer ended, or hangs, while it worked on this. Start it again: `meshnode join`. Jobs that it took go on."""

    exit_code = 5


class Answered(MeshError):
    """The peer answered with an error; its own class says which, and what to do."""

    def __init__(self, message: str, refusals: list[dict[str, str]]) -> None:
        super().__init__(message)
        self.refusals = tuple(refusals)


class Endpoint(Protocol):
    """Where a peer's API is, and by which token."""

    @property
    def host(self) -> str:
        """Loopback."""
        ...

    @property
    def port(self) -> int:
        """Of this start."""
        ...

    @property
    def token(self) -> str:
        """Of this start."""
        ...


def answered(value: dict[str, Any]) -> Answered:
    """Return the error that the JSON describes, of a class of its own with the error's name and exit code."""
    named = {"__doc__": str(value.get("advice", "")), "exit_code": int(value.get("exit_code", 1))}
    kind = type(str(value.get("error", "Answered")), (Answered,), named)
    error: Answered = kind(str(value.get("message", "")), list(value.get("refusals", ())))
    return error


class Client:
    """One peer's API; `plain` is done to every text in its answers, most of which others wrote."""

    def __init__(self, endpoint: Endpoint, plain: Callable[[str], str] | None = None) -> None:
        self._endpoint = endpoint
        self._plain = plain
        self._calls: set[socket.socket] = set()
        self._hung_up = False

    def get(self, path: str, wait_s: float = ANSWER_S) -> Any:
        """Ask for what `path` names. Raises `Answered`, `NotRunningError`, `PeerEnded`."""
        with self._asked("GET", path, None, wait_s) as answer:
            return self._read(answer.read(ANSWER_MAX_BYTES))

    def post(self, path: str, body: dict[str, Any] | None = None, wait_s: float = ANSWER_S) -> Any:
        """Ask the peer to do something and wait until it did. Raises as `get` does."""
        with self._asked("POST", path, body or {}, wait_s) as answer:
            return self._read(answer.read(ANSWER_MAX_BYTES))

    def stream(self, path: str, body: dict[str, Any] | None = None) -> Iterator[tuple[str, Any]]:
        """Yield events as they come: name and value; with a body by POST. An error event is raised."""
        with self._asked("GET" if body is None else "POST", path, body, SILENT_S, "text/event-stream") as answer:
            name = ""
            for raw in answer:
                line = raw.decode().rstrip("\r\n")
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    value = self._read(line.removeprefix("data: "))
                    if name == "error":
                        raise answered(value)
                    yield name, value

    def hang_up(self) -> None:
        """End every call under way, which raises `PeerEnded` there, and make no more; any thread may do so."""
        self._hung_up = True
        for call in tuple(self._calls):
            with suppress(OSError):  # it may just have ended by itself
                call.shutdown(socket.SHUT_RDWR)

    def _read(self, text: str | bytes) -> Any:
        value = json.loads(text)
        return value if self._plain is None else printable.every_text(value, self._plain)

    @contextmanager
    def _asked(
        self, method: str, path: str, body: dict[str, Any] | None, wait_s: float, accept: str = "application/json"
    ) -> Iterator[http.client.HTTPResponse]:
        connection = http.client.HTTPConnection(self._endpoint.host, self._endpoint.port, timeout=CONNECT_S)
        headers = {"Authorization": f"Bearer {self._endpoint.token}", "Accept": accept}
        try:
            connection.connect()
        except OSError as error:
            raise NotRunningError("the peer that ran here is gone") from error
        call = connection.sock
        self._calls.add(call)
        try:
            if self._hung_up:  # between finding the peer and calling it
                raise PeerEnded(f"{method} {path}: hung up")
            call.settimeout(wait_s)
            text = None if body is None else json.dumps(body).encode()
            connection.request(method, PREFIX + path, text, headers)
            answer = connection.getresponse()
            if answer.status != 200:
                raise answered(json.loads(answer.read(ANSWER_MAX_BYTES)))
            yield answer
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise PeerEnded(f"{method} {path}: {str(error) or type(error).__name__}") from error
        finally:
            self._calls.discard(call)
            connection.close()
