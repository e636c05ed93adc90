"""What stands before every route of the local API: who may call, how much a body may hold, how an error reads.

Theory: a request that is not for this server, or comes without the token, learns nothing, not even which paths exist.
A web page cannot know the token; the check of `Host` keeps one from even asking by a name rebound to this machine.
"""

import json
import secrets
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from mesh.ground.errors import MeshError, UsageError
from mesh.ports.desk import Ambiguous, Draining, NobodyHasIt, NotAllowed, NotFound, Refused, ThrownOut, UnknownPeer

MAX_BODY_BYTES: Final = 64 * 1024
"""Far above any request of ours: the longest holds a few paths and frame ranges."""


class ApiError(MeshError):
    """The local API did not take the request. `docs/reference/api.md` says how it is called."""

    exit_code = 17


class WrongToken(ApiError):
    """The caller did not show this peer's token. It lies in the peer's own directory, and is drawn at each start."""


class WrongHost(ApiError):
    """The request's Host header names another server. Call 127.0.0.1 and the port of this peer."""


class BodyTooLarge(ApiError):
    """The request's body is larger than any that the API takes. Check what was sent; the bound is in the reference."""


class NoSuchPath(ApiError):
    """The API has no such path, or not with that method. The reference lists them all."""


_STATUS: Final[Mapping[type[MeshError], int]] = {
    UsageError: 400,
    WrongToken: 401,
    NotAllowed: 403,
    ThrownOut: 403,
    NotFound: 404,
    UnknownPeer: 404,
    NoSuchPath: 404,
    Ambiguous: 409,
    BodyTooLarge: 413,
    WrongHost: 421,
    Refused: 422,
    Draining: 503,
    NobodyHasIt: 504,
}


def described(error: MeshError) -> dict[str, Any]:
    """Give the JSON form of an error, from which a command prints it and takes its exit code."""
    return {
        "error": type(error).__name__,
        "message": str(error),
        "advice": error.advice,
        "exit_code": error.exit_code,
        "refusals": list(error.refusals) if isinstance(error, Refused) else [],
    }


def failure(error: MeshError) -> JSONResponse:
    """Answer with an error under the HTTP status that fits it."""
    status = next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 500)
    headers = {"www-authenticate": "Bearer"} if status == 401 else None
    return JSONResponse(described(error), status_code=status, headers=headers)


async def no_such_path(request: Request, _error: Exception) -> Response:
    """Answer for a path or method that does not exist."""
    return failure(NoSuchPath(f"{request.method} {request.url.path}"))


async def read_body(request: Request) -> dict[str, Any]:
    """Read a JSON object of at most MAX_BODY_BYTES, an empty one where there is no body.

    Raises BodyTooLarge, and UsageError when it is not a JSON object.
    """
    body = bytearray()
    async with aclosing(request.stream()) as parts:
        async for part in parts:
            body += part
            if len(body) > MAX_BODY_BYTES:
                raise BodyTooLarge(f"more than {MAX_BODY_BYTES} bytes")
    if not body:
        return {}
    try:
        value = json.loads(bytes(body))
    except (ValueError, RecursionError) as error:
        raise UsageError("the request's body is not JSON") from error
    if not isinstance(value, dict):
        raise UsageError("the request's body is not a JSON object")
    return value


class Guard:
    """An ASGI application that lets through what is meant for it and shows the token, and refuses the rest."""

    def __init__(self, inner: ASGIApp, token: str, hosts: frozenset[str]) -> None:
        self._inner = inner
        self._authorization = b"Bearer " + token.encode("ascii")
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer why not."""
        if scope["type"] == "lifespan":
            await self._inner(scope, receive, send)
        elif scope["type"] == "http":
            refusal = self._refusal(scope)
            await (self._inner if refusal is None else failure(refusal))(scope, receive, send)
        else:  # a web socket: there is none here, for anybody
            await send({"type": "websocket.close", "code": 1008})

    def _refusal(self, scope: Scope) -> ApiError | None:
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or hosts[0].decode("latin-1") not in self._hosts:
            return WrongHost("the Host header is not this server's")
        shown = [value for name, value in scope["headers"] if name == b"authorization"]
        # In constant time, so that the token cannot be found letter by letter.
        if len(shown) != 1 or not secrets.compare_digest(shown[0], self._authorization):
            return WrongToken("no token, or not this peer's")
        return None
