"""Be one whole peer whose renderer only pretends, and takes processor time for it: run as a module by `flood.py`.

Its plan comes as one argument of JSON, its invite, if any, on standard input. It prints a line once it is ready.
"""

import json
import sys
from pathlib import Path

from mesh.cli.compose import Plan
from mesh.cli.compose.peer import run
from mesh.ports.desk import StatusAnswer
from sim.stagehand import Stagehand


def main() -> None:
    """Run until stopped."""
    said = json.loads(sys.argv[1])
    plan = Plan(
        home=Path(said["home"]),
        found=said["found"],
        invite=sys.stdin.read() or None,
        name=said["name"],
        slots=1,
        listen=(("127.0.0.1", 0),),
        beacon=False,
    )

    def ready(status: StatusAnswer) -> None:
        print(json.dumps(status["addresses"]), flush=True)

    run(plan, ready, lambda text: print(text, file=sys.stderr, flush=True), make_renderer=Stagehand)


if __name__ == "__main__":
    main()
