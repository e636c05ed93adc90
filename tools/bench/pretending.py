"""Be `meshnode join` with a renderer that only pretends: what it takes to have an engine is no part of the time then.

Takes those of its words that the benches use, and says what it says with `--json`.
"""

import argparse
import json
import sys
from pathlib import Path

from mesh.cli.commands.join import address
from mesh.cli.compose import Plan
from mesh.cli.compose.peer import run
from mesh.ports.desk import StatusAnswer
from sim.stagehand import Stagehand


def plan_of(words: list[str]) -> Plan:
    """Return the plan that is typed; the invite of one that has `-` comes on standard input."""
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["join"])
    parser.add_argument("token", nargs="?", choices=["-"])
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--new", metavar="NAME")
    parser.add_argument("--listen", type=address, action="append", default=[])
    parser.add_argument("--timings", type=Path)
    parser.add_argument("--no-render", action="store_true")
    for given in ("--json", "--no-beacon"):
        parser.add_argument(given, action="store_true", required=True)
    said = parser.parse_intermixed_args(words)
    return Plan(
        home=said.home,
        found=said.new,
        invite=sys.stdin.read() if said.token else None,
        name=said.name,
        slots=0 if said.no_render else None,
        listen=tuple(said.listen),
        beacon=False,
        timings=said.timings,
    )


def main() -> None:
    """Run until stopped."""

    def ready(status: StatusAnswer) -> None:
        print(json.dumps({"event": "ready", "id": status["id"]}), flush=True)

    run(plan_of(sys.argv[1:]), ready, lambda text: print(text, file=sys.stderr, flush=True), make_renderer=Stagehand)


if __name__ == "__main__":
    main()
