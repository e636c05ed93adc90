"""`python -m sim run` and `many`: run simulated meshes from seeds; `small` explores; `crowd` and `stills` measure."""

import argparse
import gc
import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from mesh.ground.errors import MeshError, UsageError
from sim.crowd_measures import QUICK, course_for, measure
from sim.crowd_report import as_json, kinds, missed, table
from sim.large import measure_full, measure_lean
from sim.large_report import ASKED as LARGE
from sim.large_report import as_json as large_json
from sim.large_report import missed as missed_large
from sim.large_report import table as large_table
from sim.minimise import shrink
from sim.named import NAMED
from sim.parcels import Wire
from sim.probes import Weather
from sim.probes import measure as measure_deaths
from sim.replay import replay_all
from sim.report import report
from sim.run import Order, run, run_many, run_one
from sim.scaling import COSTS, Scaled
from sim.scaling_plot import draw
from sim.scaling_report import as_json as stills_json
from sim.scaling_report import from_json as stills_told
from sim.scaling_report import is_weak, measure_all, strong, strong_table, weak, weak_table
from sim.scaling_report import missed as missed_stills
from sim.scenario import PEERS_MOST, from_toml
from sim.shell.run import run_shell
from sim.small_named import SMALL
from sim.small_report import QUICK_STATES, STATES, explore_all
from sim.speed import busy
from sim.speed import measure as measure_speed
from sim.speed_report import as_json as speed_json
from sim.speed_report import kinds as speed_kinds
from sim.speed_report import missed as missed_speed
from sim.speed_report import table as speed_table
from sim.watch import watch


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sim", description="Run simulated meshes over the real core.")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("run", help="run one seed")
    one.add_argument("--seed", type=int, required=True)
    many = commands.add_parser("many", help="run many seeds in several processes")
    many.add_argument("--seeds", type=_seeds, required=True, metavar="A:B", help="the seeds A, A + 1, ... B - 1")
    many.add_argument("--jobs", type=int, default=2, help="processes (default 2)")
    many.add_argument("--hashes", metavar="FILE", help="write each seed's trace hash to a file")
    shrink_ = commands.add_parser("shrink", help="make a failing run smaller, and keep it as a file for `again`")
    shrink_.add_argument("--seed", type=int, required=True)
    shrink_.add_argument("--within", type=int, default=600, metavar="SECONDS", help="how long to try (default 600)")
    shrink_.add_argument("--out", type=Path, metavar="FILE", help="where to keep it (default RULE-SEED.toml)")
    look = commands.add_parser("watch", help="show a run live in the terminal: peers, jobs, what goes wrong")
    look.add_argument("--seed", type=int, default=1, help="(default 1)")
    look.add_argument("--speed", type=float, default=10.0, help="virtual seconds a second (default 10)")
    for command in (one, many, shrink_, look):
        command.add_argument("--peers", type=int, help="peers (default: 20 to 50, drawn, or the scenario's)")
        command.add_argument("--minutes", type=int, default=2, help="virtual minutes of a drawn scenario (default 2)")
        command.add_argument("--scenario", default="", metavar="NAME", help=f"one of: {', '.join(NAMED)}")
        command.add_argument("--wire", choices=("reference", "bytes"), default="reference")
        command.add_argument("--signatures", choices=("stand-in", "real"), default="stand-in")
    again = commands.add_parser("again", help="run a kept scenario file")
    again.add_argument("file", type=Path)
    shell = commands.add_parser("shell", help="run the real shell of many peers on a virtual clock")
    shell.add_argument("--seeds", type=_seeds, required=True, metavar="A:B", help="the seeds A, A + 1, ... B - 1")
    shell.add_argument("--peers", type=int, help="peers (default: 20 to 50, drawn)")
    tapes = commands.add_parser("replay", help="let a fresh core hear tapes again: does it ask for the same?")
    tapes.add_argument("tapes", nargs="+", type=Path, metavar="TAPE", help="written by `meshnode join --tape DIR`")
    small = commands.add_parser("small", help="explore small worlds: all that may happen within their bounds")
    small.add_argument("worlds", nargs="*", metavar="WORLD", help=f"all, or some of: {', '.join(SMALL)}")
    small.add_argument("--states", type=int, default=STATES, help=f"at most, of each world (default {STATES})")
    small.add_argument("--seed", type=int, help="of keys and ids, which decide who keeps and who coordinates")
    small.add_argument("--quick", action="store_const", dest="states", const=QUICK_STATES, help="a short look")
    crowd = commands.add_parser("crowd", help="measure a large mesh: the whole core, 100 to 10,000 peers")
    crowd.add_argument("--peers", type=int, default=100)
    crowd.add_argument("--seed", type=int, default=1)
    crowd.add_argument("--quick", action="store_true", help="a short look; its figures prove nothing")
    crowd.add_argument("--by-kind", action="store_true", help="also show which kinds of traffic dominate")
    crowd.add_argument("--json", type=Path, metavar="FILE", help="write all figures there, too")
    told = commands.add_parser("report", help="measure churn: makespan, waste, takeovers, bytes; a page and its plots")
    told.add_argument("--seeds", type=_seeds, required=True, metavar="A:B", help="the seeds A, A + 1, ... B - 1")
    told.add_argument("--minutes", type=int, default=2, help="virtual minutes of a drawn scenario (default 2)")
    told.add_argument("--jobs", type=int, default=2, help="processes (default 2)")
    told.add_argument("--out", type=Path, required=True, metavar="DIR", help="write churn.md and its plots there")
    _add_stills(commands.add_parser("stills", help="measure how a still scales, all costs counted: 4 to 256 peers"))
    _add_deaths(commands.add_parser("deaths", help="measure failure detection alone: false deaths, and true ones"))
    _add_speed(commands.add_parser("speed", help="measure what a turn of the core costs: a hundred peers, an hour"))
    _add_large(commands.add_parser("large", help="measure what thousands of peers cost: time, memory, bytes, records"))
    return parser


def _ended(path: Path | None, figures: object, misses: Iterable[str]) -> int:
    """Write the figures of a measurement, say what was missed, and return the exit code."""
    if path is not None:
        path.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    missed_any = False
    for miss in misses:
        print(f"MISSED  {miss}")
        missed_any = True
    return 1 if missed_any else 0


def _add_large(large: argparse.ArgumentParser) -> None:
    large.add_argument("--peers", type=int, default=1_000, help="(default 1,000)")
    large.add_argument("--lean", action="store_true", help="members, gossip, DHT and claims alone: no frame ever ends")
    large.add_argument("--minutes", type=int, help="virtual ones (default 60; lean: 10)")
    large.add_argument("--seed", type=int, default=1)
    large.add_argument("--json", type=Path, metavar="FILE", help="write all figures there, too")


def _large(options: argparse.Namespace) -> int:
    """Measure a mesh of thousands; return 1 where a figure is missed."""
    began_s = time.process_time()

    def say(what: str) -> None:
        print(f"{time.process_time() - began_s:8.0f} s  {what}", file=sys.stderr, flush=True)

    measure_it = measure_lean if options.lean else measure_full
    minutes = LARGE[options.lean].minutes if options.minutes is None else options.minutes
    if options.peers < 2 or minutes < 1:
        raise UsageError(f"{options.peers} peers for {minutes} minutes are no mesh: --peers from 2, --minutes from 1")
    if options.peers > PEERS_MOST and not options.lean:
        raise UsageError(f"with the whole protocol --peers is at most {PEERS_MOST}; --lean takes more")
    measured = measure_it(options.peers, minutes, options.seed, say)
    print(*large_table(measured), sep="\n")
    return _ended(options.json, large_json(measured), missed_large(measured))


def _add_speed(speed: argparse.ArgumentParser) -> None:
    speed.add_argument("--wire", choices=("reference", "bytes"), help="one of the two alone")
    speed.add_argument("--minutes", type=int, default=60, help="virtual ones (default 60; fewer prove nothing)")
    speed.add_argument("--seed", type=int, default=1)
    speed.add_argument("--by-kind", action="store_true", help="also show what each kind of turn cost, clocks included")
    speed.add_argument("--json", type=Path, metavar="FILE", help="write all figures there, too")


def _speed(options: argparse.Namespace) -> int:
    """Measure the core's speed; return 1 where a figure is missed."""
    wires: tuple[Wire, ...] = ("reference", "bytes") if options.wire is None else (options.wire,)
    measured = [measure_speed(busy(100, options.minutes), wire, options.seed, timed=options.by_kind) for wire in wires]
    print(*speed_table(measured), sep="\n")
    if options.by_kind:
        for speed in measured:
            print("", *speed_kinds(speed), sep="\n")
    return _ended(options.json, speed_json(measured), missed_speed(measured))


def _add_deaths(deaths: argparse.ArgumentParser) -> None:
    deaths.add_argument("--peers", type=int, default=100)
    deaths.add_argument("--hours", type=float, default=1.0, help="how long nobody dies (default 1)")
    deaths.add_argument("--trials", type=int, default=50, help="how many then die, one by one (default 50)")
    deaths.add_argument("--loss", type=float, default=2.0, help="datagrams that are lost, in per cent (default 2)")
    deaths.add_argument("--jitter", type=int, default=100, help="milliseconds, evenly spread (default 100)")
    deaths.add_argument("--seed", type=int, default=1)


def _add_stills(stills: argparse.ArgumentParser) -> None:
    stills.add_argument("--weak", action="store_true", help="ten minutes of work for each peer, whatever their number")
    stills.add_argument(
        "--strong", action="store_true", help="ten minutes and ten hours of work in all, with churn too"
    )
    stills.add_argument("--seed", type=int, default=1)
    stills.add_argument("--jobs", type=int, default=2, help="processes (default 2)")
    stills.add_argument("--quick", action="store_true", help="a short look; its figures prove nothing")
    stills.add_argument("--json", type=Path, metavar="FILE", help="write all figures there, each when it is known")
    stills.add_argument("--go-on", action="store_true", help="measure nothing again that --json's file tells already")
    stills.add_argument("--from", type=Path, metavar="FILE", dest="told", help="show the figures of that file again")
    stills.add_argument("--plot", type=Path, metavar="DIR", help="draw them into that folder; needs matplotlib")


def _stills(options: argparse.Namespace) -> int:
    """Measure how stills scale; return 1 where a figure is missed. Without a choice both are measured."""

    def say(scaled: Scaled) -> None:
        still, took_s = scaled.still, scaled.makespan_ms / 1_000
        text = f"{still.peers} peers, {still.work_ms // 1_000} s of work: {took_s:.1f} s, {scaled.efficiency:.3f}"
        print(f"{scaled.processor_s:8.0f} s  {text}", file=sys.stderr, flush=True)
        found.append(scaled)
        if options.json is not None:
            options.json.write_text(json.dumps(stills_json(found, COSTS), indent=1) + "\n", encoding="utf-8")

    found: list[Scaled] = []
    both = options.weak == options.strong
    if options.told is not None:
        measured = stills_told(options.told.read_text(encoding="utf-8"))
    else:
        stills = weak(quick=options.quick) if options.weak or both else []
        stills += strong(quick=options.quick) if options.strong or both else []
        if options.go_on and options.json is not None and options.json.exists():
            found += [scaled for scaled in stills_told(options.json.read_text("utf-8")) if scaled.seed == options.seed]
        measured = measure_all(stills, options.seed, jobs=options.jobs, say=say, known=tuple(found))
    weaks, strongs = [each for each in measured if is_weak(each)], [each for each in measured if not is_weak(each)]
    if weaks:
        print(*weak_table(weaks), "", sep="\n")
    if strongs:
        print(*strong_table(strongs), "", sep="\n")
    if options.plot is not None:
        print(*draw(measured, options.plot), sep="\n")
    for miss in missed_stills(measured):
        print(f"MISSED  {miss}")
    return 1 if missed_stills(measured) else 0


def _report(options: argparse.Namespace) -> int:
    """Write the report; return 1 where a run broke a rule."""

    def say(line: str) -> None:
        print(line, flush=True)

    found = report(options.seeds, options.out, minutes=options.minutes, jobs=options.jobs, say=say)
    return 0 if all(figures.good for figures in found) else 1


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
    return _ended(options.json, as_json(measured), missed(measured))


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
    if options.command == "shell":
        return run_shell(options.seeds, options.peers)
    if options.command == "replay":
        return replay_all(options.tapes)
    if options.command == "small":
        unknown = [name for name in options.worlds if name not in SMALL]
        if unknown:
            raise UsageError(f"there is no small world {unknown[0]}: {', '.join(SMALL)} there are")
        return explore_all(options.worlds or SMALL, options.states, options.seed)
    if options.command == "crowd":
        return _crowd(options)
    if options.command == "report":
        return _report(options)
    if options.command == "stills":
        return _stills(options)
    if options.command == "speed":
        return _speed(options)
    if options.command == "large":
        return _large(options)
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
    if options.command == "watch":
        return watch(order, options.seed, speed=options.speed)
    if options.command == "shrink":
        return shrink(order, options.seed, within_s=options.within, out=options.out)
    return run_many(order, options.seeds, jobs=options.jobs, hashes=options.hashes)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except MeshError as error:
        sys.exit(f"{error}")
