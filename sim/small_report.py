"""What `python -m sim small` prints: one line for each world, and the shortest way to whatever is broken."""

import dataclasses
import sys
from collections.abc import Iterable
from functools import partial

from sim.small import Explored, Explorer
from sim.small_named import SMALL

STATES = 100_000
"""So many states of each world are looked at where its bounds allow more."""

QUICK_STATES = 4_000

_HEAD = f"{'world':20} {'states':>9} {'worlds':>9} {'moves':>9} {'deep':>5} {'turns':>8} {'hosts':>8} {'s':>6}"
_PATH_COLUMNS = 200


def explore_all(names: Iterable[str], most: int, seed: int | None = None) -> int:
    """Explore small worlds, with other keys where a seed is given, and print what came of it.

    Returns 1 where a rule was broken.
    """
    print(_HEAD)
    states = worlds = 0
    broken = False
    for name in names:
        small = SMALL[name] if seed is None else dataclasses.replace(SMALL[name], seed=seed)
        explored = Explorer(small).run(most, say=partial(_say, name))
        states, worlds = states + explored.states, worlds + explored.worlds
        print(_line(name, explored), "all" if explored.complete else "", flush=True)
        if explored.broken is not None:
            broken = True
            print(f"{type(explored.broken).__name__}: {explored.broken}")
            print(*(step[:_PATH_COLUMNS] for step in explored.path), sep="\n")
    print(
        f"{states} states, {worlds} worlds, each line by itself; {'a rule was broken' if broken else 'no rule broken'}"
    )
    return int(broken)


def _say(name: str, so_far: Explored) -> None:
    print(_line(name, so_far), file=sys.stderr, flush=True)


def _line(name: str, explored: Explored) -> str:
    counts = (explored.states, explored.worlds, explored.moves)
    figures = " ".join(f"{count:9}" for count in counts)
    return f"{name:20} {figures} {explored.depth:5} {explored.turns:8} {explored.hosts:8} {explored.took_s:6.0f}"
