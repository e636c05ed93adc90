"""Be one whole peer whose renderer only pretends, and takes processor time for it: run as a module by `flood.py`.

Its plan comes as one argument of JSON, its invite, if any, on standard input. It prints a line once it is ready, and
keeps in a file how many frames it has rendered and the nanoseconds of a processor that these took.
"""

import json
import os
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

    worked = Path(said["worked"])
    frames = 0

    def note(_frame: int) -> None:
        nonlocal frames
        staging = worked.with_suffix(".new")
        staging.write_text(f"{frames} {stagehand.worked_ns}")
        os.replace(staging, worked)
        frames += 1

    stagehand = Stagehand(note=note)
    run(plan, ready, lambda text: print(text, file=sys.stderr, flush=True), make_renderer=lambda: stagehand)


if __name__ == "__main__":
    main()
