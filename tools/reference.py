#!/usr/bin/env python3
"""Keep the pages about what a person types, reads and sets as the code says: cli, api, errors, settings.

The tables come from the commands, the routes, the errors' docstrings and the settings' declarations; only what stands
in the texts below is written by hand. `--check` complains, else the pages are rewritten. Run in the project's
environment: it imports what it describes.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import importlib
import inspect
import pkgutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints, is_typeddict

import click

sys.path[0] = str(Path(__file__).resolve().parent.parent)

import mesh
from mesh.cli import main as cli
from mesh.cli.client import Answered
from mesh.ground.errors import MeshError
from mesh.ground.settings import Settings
from mesh.net import http as api
from mesh.net.http_guard import MAX_BODY_BYTES
from mesh.ports import desk, enginerows, logs, roster, stills, stores, trust

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGES = Path(__file__).resolve().parent.parent / "docs" / "reference"
MADE = "Made by `tools/reference.py` from the code; change it there."

CLI_TEXT = f"""# Commands

{MADE}

Every command but `join`, `doctor`, `engine list` and `engine install` asks a running peer, and ends with 3 and a word
about what to type where there is none. [Start](../start.md) walks through them.

- **Which peer.** One directory is one peer: `--home DIR`, else `MESHNODE_HOME`, else the platform's place for a user's
  data. So several peers can live on one machine.
- **Which job.** `JOB` is a job's name where just one job has it, its id, or any beginning of its id that no other has.
- **Output.** Answers go to standard output; progress, warnings and errors to standard error. Colour and moving
  progress appear on a terminal only; elsewhere progress is a plain line now and then.
- **For programs.** `--json` prints JSON, one value on a line, as [the API](api.md) gives it; an error too, as
  `{{"error": NAME, "message": ..., "advice": ..., "exit_code": ..., "refusals": [...]}}`. `join --json` prints one line
  with `"event": "ready"`. `submit --json` prints `"event": "submitted"` (or `"planned"` with `--dry-run`), and then
  `"spread"` once the machine may be switched off or it is clear that it may not; with `--wait` a `"frame"` for each
  that arrives, `"unwritten"` where one cannot be written, and `"done"`.
- **Questions.** `leave`, `revoke` and `invite --revoke` ask first, and only at a terminal. Elsewhere they do nothing
  and end with 2 unless `--yes` is said. Any answer but yes ends with 48.
- **Exit codes.** 0 when it was done; the others are [listed](errors.md).
"""

ERRORS_TEXT = f"""# Errors and exit codes

{MADE}

A command that fails prints what happened, and below it what to do; its exit code tells scripts the same. Codes are only
ever added. A job's own failures, such as a crashed engine on some peer, do not end a command: they are shown by
`meshnode show` and `meshnode logs`, under the names below.

| code | error | what it means, and what to do |
|---|---|---|
| 0 | | done |
"""

SETTINGS_TEXT = f"""# Settings

{MADE}

`config.toml` in the peer's directory, read when the peer starts. A key that does not exist is an error that names the
nearest one. What `meshnode join` is told on its command line holds for that start. Two things it keeps: the name of
`--name`, and the port of the first `--listen`, on which the peer listens from then on, unless `listen_port` is set.

| setting | default | meaning |
|---|---|---|
"""

VARIABLES_TEXT = """
## Environment

| variable | meaning |
|---|---|
| `MESHNODE_HOME` | the peer's directory, where no `--home` is given |
| `MESHNODE_CACHE` | where engines and their proofs are kept, shared by all peers of a user; else the platform's cache |
"""

API_TEXT = f"""# The local API

{MADE}

Every command of `meshnode` is a client of this, and so may be any script. A running peer answers HTTP on
`{api.LOOPBACK}`, at a port that the system draws at each start. `api.json` in the peer's directory, readable for its
owner alone, holds `host`, `port` and `token`.

- Each request carries `Authorization: Bearer TOKEN`, and a `Host` that names this very server. Without either nothing
  is told, not even which paths exist.
- Bodies and answers are JSON; a body has at most {MAX_BODY_BYTES // 1024} KiB. A field that does not exist is refused.
- Ids are lower-case hexadecimal; times end in `_at_ms` and count milliseconds since 1970 UTC; durations end in `_ms`;
  sizes are bytes; paths are absolute and this host's. Fields are only ever added.
- `{{job}}` is an id, a unique beginning of one, or a name that just one job has.
- An error is `{{"error", "message", "advice", "exit_code", "refusals"}}`, named as in [the list](errors.md), under a
  fitting HTTP status.
- **Streams** are server-sent events. What is marked *works* streams where `Accept: text/event-stream` is sent:
  `progress` any number of times, then `answer` or `error`; without that header only the answer comes. What is marked
  *watches* sends a `change` now and whenever something changed, at most twice a second but a written file at once, and
  `end` when there is nothing more to come. A stream that ends without `answer`, `end` or `error` was cut. Comments keep
  a quiet stream alive.

```sh
home=~/.local/share/meshnode
port=$(jq .port $home/api.json) token=$(jq -r .token $home/api.json)
curl -H "Authorization: Bearer $token" http://127.0.0.1:$port/v1/status
```
"""

_ROWS = (roster, stills, stores, logs, enginerows, trust, desk)
"""The modules that say what answers are like."""

# Path: (answer, body, what it does).
_ROUTES: dict[str, tuple[str, str, str]] = {
    "GET /status": ("StatusAnswer", "", "what this peer is and sees"),
    "GET /status/watch": ("StatusAnswer", "", "*watches*"),
    "GET /peers/{peer}": ("PeerAnswer", "", "one peer, by name or id: as seen here, and as the DHT has it"),
    "GET /engines": ("EnginesAnswer", "", "looks anew what renders here, and uses it from now on"),
    "GET /jobs": ("JobsAnswer", "", "every job that this peer knows, newest first"),
    "POST /jobs": ("SubmitAnswer", "SubmitRequest", "submits a scene; *works*"),
    "GET /jobs/{job}": ("JobAnswer", "", "one job in full"),
    "GET /jobs/{job}/watch": ("JobChange", "", "*watches*"),
    "GET /jobs/{job}/buckets": (
        "BucketsAnswer",
        "",
        "who renders which part of a frame; `?frame=N`, else the first that is not there yet",
    ),
    "GET /jobs/{job}/logs": ("LogAnswer", "", "what the engine printed; `?frame=N` for one frame"),
    "POST /jobs/{job}/reject": (
        "RejectAnswer",
        "`frames`, `reason`",
        "says that pictures are wrong, all that there are where no frames are named",
    ),
    "POST /jobs/{job}/weight": ("ChangedAnswer", "`weight`", "gives a job more or less time beside others"),
    "POST /jobs/{job}/cancel": ("ChangedAnswer", "", "ends a job for good"),
    "POST /jobs/{job}/fetch": ("FetchAnswer", "`directory`, `overwrite`", "writes the frames into a folder; *works*"),
    "POST /invites": ("InviteAnswer", "`roles`, `life_ms`, `uses`", "signs an invite"),
    "GET /members": ("MembersAnswer", "", "everybody who was ever admitted, as far as this peer knows"),
    "POST /members/{peer}/revoke": (
        "RevokeAnswer",
        "`strike`, `spare`, `spare_all`, `dry_run`",
        "throws a peer out for good, and with it whom it let in",
    ),
    "POST /invites/{invite}/revoke": (
        "RevokeInviteAnswer",
        "`dry_run`",
        "takes an invite back, and throws out all who came by it",
    ),
    "POST /pause": (
        "PauseAnswer",
        "`until_at_ms`, `now`",
        "renders nothing here until resumed, or until then; with `now` frames in hand are given up",
    ),
    "POST /resume": ("PauseAnswer", "", "lets this host render again"),
    "POST /reach": ("ReachAnswer", "`peer`", "has others dial this peer, or that one alone; takes up to ten seconds"),
    "GET /store": ("StoreAnswer", "", "what the store holds, for which jobs, and what rotted"),
    "POST /store/free": ("FreeAnswer", "`bytes`", "deletes so much cache, least recently used first"),
    "POST /leave": ("", "", "drains, then forgets the membership and ends"),
    "POST /stop": ("", "`now`", "drains and ends; with `now` at once"),
}


def cli_page() -> str:
    """Describe every command and its options."""
    lines = [CLI_TEXT]
    for title, section in cli.SECTIONS.items():
        lines += [f"## {title}", ""]
        for name in section:
            command = cli.meshnode.get_command(click.Context(cli.meshnode), name)
            assert command is not None
            lines += list(_command(f"meshnode {name}", command))
    return "\n".join(lines).rstrip() + "\n"


def _command(typed: str, command: click.Command) -> Iterator[str]:
    if isinstance(command, click.Group):
        for name, below in sorted(command.commands.items()):
            yield from _command(f"{typed} {name}", below)
        return
    context = click.Context(command, info_name=typed)
    usage = " ".join(command.collect_usage_pieces(context))
    yield from (f"### `{typed}`", "", f"    {typed} {usage}", "")
    yield from (inspect.cleandoc(command.help or ""), "")
    options = [option for option in command.params if isinstance(option, click.Option)]
    yield from ("| option | meaning |", "|---|---|")
    for option in options:
        named, text = option.get_help_record(context) or ("", "")
        yield f"| `{named}` | {' '.join(text.split()).replace('|', '&#124;')} |"
    yield ""


def errors() -> list[type[MeshError]]:
    """List every error of the project, by exit code and name; what a peer answered has a name from here too."""
    for module in pkgutil.walk_packages(mesh.__path__, "mesh."):
        spec = module.module_finder.find_spec(module.name, None)
        if spec is not None and spec.origin is not None and not _in_blender(Path(spec.origin)):
            importlib.import_module(module.name)
    found: dict[str, type[MeshError]] = {}
    waiting: list[type[MeshError]] = [MeshError]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if kind.__module__.startswith("mesh.") and kind is not Answered:
            found[f"{kind.__module__}.{kind.__qualname__}"] = kind
    return sorted(found.values(), key=lambda kind: (kind.exit_code, kind.__name__))


def _in_blender(path: Path) -> bool:
    """Say whether a module runs inside Blender's Python, or would run at once."""
    text = path.read_text("utf-8")
    return path.name == "__main__.py" or "import bpy" in text or "This module runs inside Blender only." in text


def errors_page() -> str:
    """List exit codes with the errors that have them."""
    rows = []
    for kind in errors():
        text = " ".join((kind.__doc__ or "").split()).replace("|", "&#124;")
        rows.append(f"| {kind.exit_code} | `{kind.__name__}` | {text} |")
    rows.append(f"| {cli.INTERRUPTED} | | Ctrl-C ended the command; a job that was submitted goes on |")
    return ERRORS_TEXT + "\n".join(rows) + "\n"


def settings_page() -> str:
    """List the settings with their defaults and meanings."""
    told = _said_below(Settings)
    rows = []
    for setting in dataclasses.fields(Settings):
        default = f'"{setting.default}"' if isinstance(setting.default, str) else str(setting.default)
        rows.append(f"| `{setting.name}` | `{default}` | {told[setting.name]} |")
    return SETTINGS_TEXT + "\n".join(rows) + "\n" + VARIABLES_TEXT


def _said_below(kind: type) -> dict[str, str]:
    """Return the strings that stand below a class's fields, by field."""
    (body,) = ast.parse(inspect.cleandoc(inspect.getsource(kind))).body
    assert isinstance(body, ast.ClassDef)
    told = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
            told[field.target.id] = " ".join(str(ast.literal_eval(text.value)).split())
    return told


def api_page() -> str:
    """List the paths, and every value that goes to and fro."""
    lines = [
        API_TEXT,
        "## Paths",
        "",
        f"All below `{api.PREFIX}`.",
        "",
        "| path | body | answer | what |",
        "|---|---|---|---|",
    ]
    for path in paths():
        answer, body, text = _ROUTES[path]
        lines.append(f"| `{path}` | {_linked(body)} | {_linked(answer) or '`{}`'} | {text} |")
    lines += ["", "## Values", ""]
    told = {name: kind for module in _ROWS for name, kind in vars(module).items()}
    for name, kind in told.items():
        if is_typeddict(kind):
            lines += [f"### {name}", "", " ".join((kind.__doc__ or "").split()), "", "| field | type |", "|---|---|"]
            lines += [f"| `{field}` | {_type_name(hint)} |" for field, hint in get_type_hints(kind).items()]
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def paths() -> list[str]:
    """List the methods and paths that the API has."""
    no_desk: Any = None
    routes = api.Api(no_desk).routes()
    return [
        f"{method} {route.path.removeprefix(api.PREFIX).replace(':named}', '}')}"
        for route in routes
        for method in sorted(route.methods or ())
        if method != "HEAD"
    ]


def _linked(name: str) -> str:
    return f"[{name}](#{name.lower()})" if any(is_typeddict(getattr(module, name, None)) for module in _ROWS) else name


def _type_name(hint: Any) -> str:
    """Write a field's type as a reader of JSON knows it."""
    if is_typeddict(hint):
        return _linked(hint.__name__)
    if getattr(hint, "__origin__", None) is list:
        return f"list of {_type_name(hint.__args__[0])}"
    if (options := getattr(hint, "__args__", None)) is not None:
        return " or ".join(f"`{one}`" if isinstance(one, str) else _type_name(one) for one in options)
    return {str: "text", int: "number", bool: "true or false", type(None): "null"}[hint]


def pages() -> dict[str, str]:
    """Write all pages, by file name."""
    return {"cli.md": cli_page(), "api.md": api_page(), "errors.md": errors_page(), "settings.md": settings_page()}


def main() -> int:
    """Rewrite the pages, or with --check say which of them that would change."""
    parser = argparse.ArgumentParser(description="Write the reference of commands, API, errors and settings.")
    parser.add_argument("--check", action="store_true", help="change nothing, end with 1 if a page is out of date")
    options = parser.parse_args()
    outdated = [
        name
        for name, wanted in pages().items()
        if not (PAGES / name).exists() or (PAGES / name).read_text("utf-8") != wanted
    ]
    if options.check:
        for name in outdated:
            print(f"docs/reference/{name} is out of date; run python3 tools/reference.py")
        return 1 if outdated else 0
    for name in outdated:
        (PAGES / name).write_text(pages()[name], "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
