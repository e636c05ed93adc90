"""Watching: when whoever shows a job to a person looks again."""

import trio

from mesh.node.asking import LOOKING_PART, WATCH_S, Changes, Seen
from tests.support.worlds import virtual


async def _looks_again(changes: Changes, seen: Seen, took_s: float = 0.0) -> float:
    began_s = trio.current_time()
    await changes.worth_looking(seen, took_s)
    return trio.current_time() - began_s


async def _change(changes: Changes, after_s: float, *, written: bool) -> None:
    await trio.sleep(after_s)
    changes.note(written=written)


@virtual
async def test_changes_are_looked_at_twice_a_second() -> None:
    changes = Changes()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: _change(changes, 0.1, written=False))
        nursery.start_soon(lambda: _change(changes, 2.0, written=False))
        assert await _looks_again(changes, changes.seen) == WATCH_S
        assert await _looks_again(changes, changes.seen) == 2.0 - WATCH_S, "nothing has changed before"


@virtual
async def test_a_file_that_is_written_is_looked_at_at_once() -> None:
    changes = Changes()
    before = changes.seen
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: _change(changes, 0.1, written=True))
        assert await _looks_again(changes, before) == 0.1
    assert await _looks_again(changes, before) == 0.0, "it was written while somebody looked"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: _change(changes, 3.0, written=True))
        assert await _looks_again(changes, changes.seen) == 3.0


@virtual
async def test_looking_takes_a_small_part_of_the_time_however_many_files_are_written() -> None:
    changes, took_s = Changes(), 0.14

    async def write() -> None:
        for _ in range(40):
            await _change(changes, 0.1, written=True)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        waited_s = await _looks_again(changes, changes.seen, took_s)
        assert took_s / (took_s + waited_s) <= LOOKING_PART + 1e-9
