"""The real local API over a made-up desk, in a thread, for tests that are themselves no coroutines."""

import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import trio

from mesh.net.http import bind_api, serve_desk
from sim.desk import FakeDesk

TOKEN = "t0k3n" * 8


class DeskServer:
    """A running API; `desk` is changed from the test's thread through `let`."""

    def __init__(self, desk: FakeDesk) -> None:
        self.desk = desk
        self.port = 0
        self._up = threading.Event()

    def start(self) -> None:
        self._up.clear()
        self._thread = threading.Thread(target=trio.run, args=(self._main,))
        self._thread.start()
        assert self._up.wait(10)

    def end(self) -> None:
        """Begin to end, in the desk's own thread."""
        self._scope.cancel()

    def stop(self) -> None:
        if self._thread.is_alive():
            with suppress(trio.RunFinishedError):  # it may just have ended by itself
                self._trio.run_sync_soon(self._scope.cancel)
        self._thread.join(10)
        assert not self._thread.is_alive(), "the API did not end"

    def let(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Call something of the desk in its own thread."""
        return trio.from_thread.run_sync(call, *arguments, trio_token=self._trio)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, Any]]:
        """Make one request and read its JSON answer; headers named here replace the good ones."""
        status, text = self.ask_raw(method, path, None if body is None else json.dumps(body).encode(), **headers)
        return status, json.loads(text)

    def ask_raw(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            all_headers = {"authorization": f"Bearer {TOKEN}"} | headers
            connection.request(method, path, body, {name: value for name, value in all_headers.items() if value})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    async def _main(self) -> None:
        self._trio = trio.lowlevel.current_trio_token()
        listener = bind_api()
        self.port = listener.getsockname()[1]
        with trio.CancelScope() as self._scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(serve_desk, self.desk, TOKEN, listener)
                self._up.set()


@contextmanager
def running_desk(desk: FakeDesk | None = None) -> Iterator[DeskServer]:
    """Serve a desk for as long as the block lasts."""
    server = DeskServer(desk or FakeDesk())
    server.start()
    try:
        yield server
    finally:
        server.stop()
