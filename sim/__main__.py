"""`python -m sim run` and `python -m sim many`: run simulated meshes from seeds; `crowd` measures a large mesh."""

import argparse
import gc
import json
import sys
import time
from pathlib import Path

from mesh.ground.errors import MeshError
from sim.crowd_measures import QUICK, course_for, measure
from sim.crowd_report import as_json, kinds, missed, table
from sim.named import NAMED
from sim.probes import Weather
from sim.probes import measure as measure_deaths
from sim.run import Order, run, run_many, run_one
from sim.scenario import from_toml


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sim", description="Run simulated meshes over the real core.")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("run", help="run one seed")
    one.add_argument("--seed", type=int, required=True)
    many = commands.add_parser("many", help="run many seeds in several processes")
    many.add_argument("--seeds", type=_seeds, required=True, metavar="A:B", help="the seeds A, A + 1, ... B - 1")
    many.add_argument("--jobs", type=int, default=2, help="processes (default 2)")
    many.add_argument("--hashes", metavar="FILE", help="write each seed's trace hash to a file")
    for command in (one, many):
        command.add_argument("--peers", type=int, help="peers (default 20, or the scenario's)")
        command.add_argument("--minutes", type=int, default=2, help="virtual minutes of a drawn scenario (default 2)")
        command.add_argument("--scenario", default="", metavar="NAME", help=f"one of: {', '.join(NAMED)}")
        command.add_argument("--wire", choices=("reference", "bytes"), default="reference")
        command.add_argument("--signatures", choices=("stand-in", "real"), default="stand-in")
    again = commands.add_parser("again", help="run a kept scenario file")
    again.add_argument("file", type=Path)
    crowd = commands.add_parser("crowd", help="measure a large mesh: the whole core, 100 to 10,000 peers")
    crowd.add_argument("--peers", type=int, default=100)
    crowd.add_argument("--seed", type=int, default=1)
    crowd.add_argument("--quick", action="store_true", help="a short look; its figures prove nothing")
    crowd.add_argument("--by-kind", action="store_true", help="also show which kinds of traffic dominate")
    crowd.add_argument("--json", type=Path, metavar="FILE", help="write all figures there, too")
    _add_deaths(commands.add_parser("deaths", help="measure failure detection alone: false deaths, and true ones"))
    return parser


def _add_deaths(deaths: argparse.ArgumentParser) -> None:
    deaths.add_argument("--peers", type=int, default=100)
    deaths.add_argument("--hours", type=float, default=1.0, help="how long nobody dies (default 1)")
    deaths.add_argument("--trials", type=int, default=50, help="how many then die, one by one (default 50)")
    deaths.add_argument("--loss", type=float, default=2.0, help="datagrams that are lost, in per cent (default 2)")
    deaths.add_argument("--jitter", type=int, default=100, help="milliseconds, evenly spread (default 100)")
    deaths.add_argument("--seed", type=int, default=1)


def _crowd(options: argparse.Namespace) -> int:
    """Measure one crowd; return 1 where a figure is missed."""
    if sys.implementation.name == "cpython":
        gc.disable()  # hardly any garbage is in cycles, and looking for it among millions of objects takes minutes
    began_s = time.process_time()

    def say(what: str) -> None:
        print(f"{time.process_time() - began_s:8.0f} s  {what}", file=sys.stderr, flush=True)

    measured = measure(options.peers, options.seed, QUICK if options.quick else course_for(options.peers), say=say)
    print(*table(measured), sep="\n")
    if options.by_kind:
        print("", *kinds(measured), sep="\n")
    if options.json is not None:
        options.json.write_text(json.dumps(as_json(measured), indent=1) + "\n", encoding="utf-8")
    for miss in missed(measured):
        print(f"MISSED  {miss}")
    return 1 if missed(measured) else 0


def _seeds(text: str) -> range:
    first, _, last = text.partition(":")
    seeds = range(int(first), int(last))
    if not seeds:
        raise argparse.ArgumentTypeError(f"{text} holds no seed")
    return seeds


def main(arguments: list[str]) -> int:
    """Run what the command line asks for; return the exit code."""
    options = _parser().parse_args(arguments)
    if options.command == "again":
        scenario, seed = from_toml(options.file.read_text(encoding="utf-8"))
        ran = run(scenario, seed)
        print(f"seed {seed}", *ran.story, ran.trace, sep="\n")
        return 0 if ran.good else 1
    if options.command == "crowd":
        return _crowd(options)
    if options.command == "deaths":
        weather = Weather(loss_ppm=int(options.loss * 10_000), jitter_ms=options.jitter)
        found = measure_deaths(options.peers, options.seed, hours=options.hours, deaths=options.trials, weather=weather)
        print(f"seed {options.seed}", *found.lines(), sep="\n")
        return 0
    order = Order(
        peers=options.peers,
        minutes=options.minutes,
        scenario=options.scenario,
        wire=options.wire,
        signatures=options.signatures,
    )
    if options.command == "run":
        return run_one(order, options.seed)
    return run_many(order, options.seeds, jobs=options.jobs, hashes=options.hashes)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except MeshError as error:
        sys.exit(f"{error}")
