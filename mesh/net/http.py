"""The local API: the desk on HTTP, for this machine's programs alone.

Theory: one small server on the loopback interface, at a port that the system draws at each start. Whoever calls it must
know the token, which lies in the peer's own directory where only its owner can read it; every command of `meshnode` is
such a caller. Answers are JSON; what takes time, or goes on, is a stream of server-sent events.

Invariants: no route is reached without the token and a `Host` header that names this server, so that neither other
users of the machine nor a web page with a rebound name get anywhere; bodies and waits are bounded; nothing is decided
here that the desk could decide.

This module must not know what a job is: it carries the desk's values as they are.
"""

import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import quote, unquote

import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from mesh.ground.errors import MeshError, UsageError
from mesh.ground.limits import INVITE_MS
from mesh.ground.share_limits import WEIGHT_DEFAULT
from mesh.net.http_events import Work, watching, working
from mesh.net.http_guard import Guard, failure, no_such_path, read_body
from mesh.ports.desk import Desk, NotFound, Progress
from mesh.ports.roster import RevokeRequest
from mesh.ports.submission import SubmitRequest

LOOPBACK: Final = "127.0.0.1"
PREFIX: Final = "/v1"

INVITE_USES: Final = 10
"""Peers that an invite lets in unless the caller says otherwise: a room full of machines."""

GRACE_S: Final = 0.5
"""Answers under way at the end get that long; a peer that must stop does not wait for a slow reader."""

SEND_TIMEOUT_MS: Final = 10_000
"""A caller that takes nothing for so long, a suspended one, loses its connection: it would hold up the peer's end."""

_SUBMIT_FIELDS: Final[Mapping[str, tuple[type, ...]]] = {
    "scene": (str,),
    "frames": (str, type(None)),
    "step": (int, type(None)),
    "name": (str, type(None)),
    "output": (str, type(None)),
    "engine": (str, type(None)),
    "dry_run": (bool,),
    "allow_missing": (bool,),
    "overwrite": (bool,),
    "still": (bool,),
    "buckets": (str,),
    "samples_split": (int,),
    "order": (str,),
    "split": (bool,),
    "memory_mb": (int,),
    "check": (str,),
    "judges": (list,),
    "weight": (int,),
}
_SUBMIT_DEFAULTS: Final = {
    "dry_run": False,
    "allow_missing": False,
    "overwrite": False,
    "still": False,
    "buckets": "auto",
    "samples_split": 0,
    "order": "centre",
    "split": True,
    "memory_mb": 0,
    "check": "once",
    "judges": [],
    "weight": WEIGHT_DEFAULT,
}


class _NamedConvertor(Convertor[str]):
    """What a path names, quoted as it was sent: a name may be empty, and hold what looks like a path."""

    regex = "[^/]*"

    def convert(self, value: str) -> str:
        """Return the name itself."""
        return unquote(value)

    def to_string(self, value: str) -> str:
        """Return what stands in a path."""
        return quote(value, safe="")


register_url_convertor("named", _NamedConvertor())


def _as_sent(inner: ASGIApp) -> ASGIApp:
    """Match paths as they were sent: once a name is unquoted, nobody knows its slashes from those of the path."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = {**scope, "path": scope["raw_path"].decode("ascii", "replace")}
        await inner(scope, receive, send)

    return answer


_Handler = Callable[[Request], Awaitable[Response]]


class Api:
    """The routes, each a few lines between HTTP and one method of the desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        """List every path with its method and handler."""
        table: list[tuple[str, str, _Handler]] = [
            ("GET", "/status", self._status),
            ("GET", "/status/watch", self._watch_status),
            ("GET", "/peers/{peer:named}", self._peer),
            ("GET", "/engines", self._engines),
            ("GET", "/jobs", self._jobs),
            ("POST", "/jobs", self._submit),
            ("GET", "/jobs/{job:named}", self._job),
            ("GET", "/jobs/{job:named}/watch", self._watch_job),
            ("GET", "/jobs/{job:named}/buckets", self._buckets),
            ("GET", "/jobs/{job:named}/logs", self._logs),
            ("POST", "/jobs/{job:named}/cancel", self._cancel),
            ("POST", "/jobs/{job:named}/reject", self._reject),
            ("POST", "/jobs/{job:named}/weight", self._weigh),
            ("POST", "/jobs/{job:named}/fetch", self._fetch),
            ("GET", "/members", self._members),
            ("POST", "/members/{peer:named}/revoke", self._revoke),
            ("POST", "/invites", self._invite),
            ("POST", "/invites/{invite:named}/revoke", self._revoke_invite),
            ("POST", "/pause", self._pause),
            ("POST", "/resume", self._resume),
            ("POST", "/reach", self._reach),
            ("GET", "/store", self._store),
            ("POST", "/store/free", self._free),
            ("POST", "/leave", self._leave),
            ("POST", "/stop", self._stop),
        ]
        return [Route(PREFIX + path, _answering(handler), methods=[method]) for method, path, handler in table]

    async def _status(self, _request: Request) -> Response:
        return JSONResponse(await self._desk.status())

    async def _watch_status(self, _request: Request) -> Response:
        return watching(self._desk.watch_status())

    async def _peer(self, request: Request) -> Response:
        return JSONResponse(await self._desk.peer(request.path_params["peer"]))

    async def _engines(self, _request: Request) -> Response:
        return JSONResponse(await self._desk.engines())

    async def _jobs(self, _request: Request) -> Response:
        return JSONResponse(await self._desk.jobs())

    async def _job(self, request: Request) -> Response:
        return JSONResponse(await self._desk.job(request.path_params["job"]))

    async def _watch_job(self, request: Request) -> Response:
        return watching(self._desk.watch_job(request.path_params["job"]))

    async def _buckets(self, request: Request) -> Response:
        return JSONResponse(await self._desk.buckets(request.path_params["job"], _asked_frame(request)))

    async def _logs(self, request: Request) -> Response:
        return JSONResponse(await self._desk.log(request.path_params["job"], _asked_frame(request)))

    async def _cancel(self, request: Request) -> Response:
        return JSONResponse(await self._desk.cancel(request.path_params["job"]))

    async def _reject(self, request: Request) -> Response:
        body = _checked({"frames": "", "reason": ""} | await read_body(request), {"frames": (str,), "reason": (str,)})
        return JSONResponse(await self._desk.reject(request.path_params["job"], body["frames"], body["reason"]))

    async def _weigh(self, request: Request) -> Response:
        body = _checked(await read_body(request), {"weight": (int,)})
        return JSONResponse(await self._desk.weigh(request.path_params["job"], body["weight"]))

    async def _submit(self, request: Request) -> Response:
        body = _checked(_SUBMIT_DEFAULTS | await read_body(request), _SUBMIT_FIELDS)
        asked = SubmitRequest(
            scene=body["scene"],
            frames=body["frames"],
            step=body["step"],
            name=body["name"],
            output=body["output"],
            engine=body["engine"],
            dry_run=body["dry_run"],
            allow_missing=body["allow_missing"],
            overwrite=body["overwrite"],
            still=body["still"],
            buckets=body["buckets"],
            samples_split=body["samples_split"],
            order=body["order"],
            split=body["split"],
            memory_mb=body["memory_mb"],
            check=body["check"],
            judges=_names(body, "judges"),
            weight=body["weight"],
        )
        return await _worked(request, lambda report: self._desk.submit(asked, report))

    async def _fetch(self, request: Request) -> Response:
        fields = {"directory": (str,), "overwrite": (bool,)}
        body = _checked({"overwrite": False} | await read_body(request), fields)
        job = request.path_params["job"]
        return await _worked(
            request, lambda report: self._desk.fetch(job, body["directory"], body["overwrite"], report)
        )

    async def _invite(self, request: Request) -> Response:
        defaults = {"roles": [], "life_ms": INVITE_MS, "uses": INVITE_USES}
        body = _checked(defaults | await read_body(request), {"roles": (list,), "life_ms": (int,), "uses": (int,)})
        if not all(isinstance(role, str) for role in body["roles"]):
            raise UsageError("roles: a list of names")
        return JSONResponse(await self._desk.invite(body["roles"], body["life_ms"], body["uses"]))

    async def _members(self, _request: Request) -> Response:
        return JSONResponse(await self._desk.members())

    async def _revoke(self, request: Request) -> Response:
        defaults = {"strike": False, "spare": [], "spare_all": False, "dry_run": False}
        fields = {"strike": (bool,), "spare": (list,), "spare_all": (bool,), "dry_run": (bool,)}
        body = _checked(defaults | await read_body(request), fields)
        asked = RevokeRequest(
            peer=request.path_params["peer"],
            strike=body["strike"],
            spare=_names(body, "spare"),
            spare_all=body["spare_all"],
            dry_run=body["dry_run"],
        )
        return JSONResponse(await self._desk.revoke(asked))

    async def _revoke_invite(self, request: Request) -> Response:
        body = _checked({"dry_run": False} | await read_body(request), {"dry_run": (bool,)})
        return JSONResponse(await self._desk.revoke_invite(request.path_params["invite"], body["dry_run"]))

    async def _pause(self, request: Request) -> Response:
        fields = {"until_at_ms": (int, type(None)), "now": (bool,)}
        body = _checked({"until_at_ms": None, "now": False} | await read_body(request), fields)
        return JSONResponse(await self._desk.pause(body["until_at_ms"], body["now"]))

    async def _resume(self, _request: Request) -> Response:
        return JSONResponse(await self._desk.resume())

    async def _reach(self, request: Request) -> Response:
        body = _checked({"peer": None} | await read_body(request), {"peer": (str, type(None))})
        return JSONResponse(await self._desk.reach(body["peer"]))

    async def _store(self, _request: Request) -> Response:
        return JSONResponse(await self._desk.store())

    async def _free(self, request: Request) -> Response:
        body = _checked(await read_body(request), {"bytes": (int,)})
        return JSONResponse(await self._desk.free(body["bytes"]))

    async def _leave(self, _request: Request) -> Response:
        await self._desk.leave()
        return JSONResponse({})

    async def _stop(self, request: Request) -> Response:
        body = _checked({"now": False} | await read_body(request), {"now": (bool,)})
        await self._desk.stop(body["now"])
        return JSONResponse({})


def _answering(handler: _Handler) -> _Handler:
    """Turn an error of ours into its JSON form; any other is a bug and goes on to the log."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except MeshError as error:
            return failure(error)

    return answer


async def _worked(request: Request, work: Work) -> Response:
    """Answer with a stream of progress where the caller takes one, and else with the last word alone."""
    if "text/event-stream" in request.headers.get("accept", ""):
        return working(work)
    return JSONResponse(await work(_ignore))


def _ignore(_progress: Progress) -> None:
    """Be the report of a caller that only wants the answer."""


def _names(body: Mapping[str, Any], field: str) -> list[str]:
    """Return a list of names; raise UsageError for any other."""
    names = body[field]
    if not all(isinstance(name, str) for name in names):
        raise UsageError(f"{field}: a list of names")
    return list(names)


def _checked(body: Mapping[str, Any], fields: Mapping[str, tuple[type, ...]]) -> dict[str, Any]:
    """Return every field of the right type, None where it may be left out; raise UsageError for any other body."""
    for name in body:
        if name not in fields:
            raise UsageError(f"{name}: there is no such field; there are {', '.join(fields)}")
    values = {}
    for name, types in fields.items():
        value = body.get(name)
        # To Python a truth value is a number; to a caller it is not.
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise UsageError(f"{name}: missing, or not of the right type")
        values[name] = value
    return values


def _asked_frame(request: Request) -> int | None:
    text = request.query_params.get("frame")
    if text is None:
        return None
    if not text.removeprefix("-").isdecimal() or len(text) > 8:
        raise NotFound(f"frame {text[:20]}")
    return int(text)


def application(desk: Desk, token: str, port: int) -> Guard:
    """Build the ASGI application that answers for `desk` to whoever shows `token` at `port`."""
    inner = Starlette(routes=Api(desk).routes(), exception_handlers={404: no_such_path, 405: no_such_path})
    return Guard(_as_sent(inner), token, frozenset({f"{LOOPBACK}:{port}", f"localhost:{port}"}))


def bind_api() -> socket.socket:
    """Take a free loopback port; callers may connect from now on, and wait until `serve_desk` answers."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; accepted connections inherit it
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SEND_TIMEOUT_MS)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.bind((LOOPBACK, 0))
    listener.listen()
    return listener


async def serve_desk(
    desk: Desk, token: str, listener: socket.socket, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Answer callers on `listener` until cancelled, then close it."""
    port = int(listener.getsockname()[1])
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.include_server_header = False
    config.graceful_timeout = GRACE_S
    config.loglevel = "ERROR"
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, application(desk, token, port), config)
        task_status.started()
