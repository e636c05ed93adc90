"""Server-sent events of the local API: progress and then one answer, or a value whenever it changed.

Theory: an event is a name and one line of JSON. The names are `progress`, `answer`, `change`, `end` and `error`;
`answer`, `end` and `error` are last words: a stream that ends without one was cut. A stream ends when its caller goes
away, and with it the asking.

Invariants: memory per caller is bounded, since of progress only the newest of each phase is kept until it can be sent;
a caller that is gone is noticed within seconds, even where there is nothing to say.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, TypeAlias

import trio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mesh.ground.errors import MeshError
from mesh.net.http_guard import described
from mesh.ports.desk import Progress, Report

QUIET_S: Final = 5.0
"""A comment goes out after so long without an event: writing is how a broken connection shows."""

PROGRESS_PERIOD_S: Final = 0.1
"""Progress is sent at most ten times a second: more than an eye can follow."""

Work: TypeAlias = Callable[[Report], Awaitable[Any]]
"""Something that takes time, reports how far it is, and returns a JSON value."""


class Writer:
    """One caller's stream of events; many tasks may write."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._turn = trio.Lock()
        self._spoke = False

    async def event(self, name: str, value: Any) -> None:
        """Send one event with its JSON value."""
        await self._write(f"event: {name}\ndata: {json.dumps(value, separators=(',', ':'))}\n\n")

    async def keep_speaking(self) -> None:
        """Send a comment whenever there was nothing else for QUIET_S."""
        while True:
            self._spoke = False
            await trio.sleep(QUIET_S)
            if not self._spoke:
                await self._write(":\n\n")

    async def _write(self, text: str) -> None:
        async with self._turn:
            self._spoke = True
            await self._send({"type": "http.response.body", "body": text.encode(), "more_body": True})


class EventStream(Response):
    """The answer whose body is whatever `speak` writes until it returns; an error of ours becomes the last event."""

    def __init__(self, speak: Callable[[Writer], Awaitable[None]]) -> None:
        super().__init__(media_type="text/event-stream", headers={"cache-control": "no-store"})
        del self.headers["content-length"]
        self._speak = speak

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 -- ASGI's three
        """Answer one request."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        writer = Writer(send)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_end_with_caller, receive, nursery.cancel_scope)
            nursery.start_soon(writer.keep_speaking)
            try:
                await self._speak(writer)
            except MeshError as error:
                await writer.event("error", described(error))
            nursery.cancel_scope.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _end_with_caller(receive: Receive, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


class _Newest:
    """The newest progress of each phase that was not sent yet."""

    def __init__(self) -> None:
        self._waiting: dict[str, Progress] = {}
        self._some = trio.Event()

    def put(self, progress: Progress) -> None:
        self._waiting[progress["phase"]] = progress
        self._some.set()

    def take(self) -> list[Progress]:
        """Hand over what waits, phases in the order in which they began to wait."""
        taken, self._waiting, self._some = list(self._waiting.values()), {}, trio.Event()
        return taken

    async def send_all(self, writer: Writer) -> None:
        while True:
            await self._some.wait()
            for progress in self.take():
                await writer.event("progress", progress)
            await trio.sleep(PROGRESS_PERIOD_S)


def working(work: Work) -> EventStream:
    """Stream the progress of `work`, then its value as `answer`."""

    async def speak(writer: Writer) -> None:
        newest = _Newest()
        error: MeshError | None = None
        value = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(newest.send_all, writer)
            try:
                value = await work(newest.put)
            except MeshError as raised:
                error = raised  # kept, so that the nursery does not wrap it in a group
            nursery.cancel_scope.cancel()
        for progress in newest.take():
            await writer.event("progress", progress)
        if error is not None:
            raise error
        await writer.event("answer", value)

    return EventStream(speak)


def watching(changes: AsyncIterator[Any]) -> EventStream:
    """Stream each value as `change` until there are no more, then `end`."""

    async def speak(writer: Writer) -> None:
        try:
            async for change in changes:
                await writer.event("change", change)
            await writer.event("end", None)
        finally:
            # An iterator that is a generator holds whatever it watches until it is closed.
            if (close := getattr(changes, "aclose", None)) is not None:
                with trio.CancelScope(shield=True):
                    await close()

    return EventStream(speak)
