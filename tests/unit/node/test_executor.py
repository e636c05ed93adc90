"""The executor: effects in their order, none before an `Append` asked earlier is on the disk, one fsync for many."""

from collections.abc import Iterable, Iterator, Sequence
from typing import get_args

import pytest
import trio
import trio.testing

from mesh.core.effects import Append, Effect, Send, Stopped
from mesh.ground.errors import BugError
from mesh.ground.ids import JobId, PeerId
from mesh.node.executor import EFFECTS_MAX, Executor
from mesh.ports.storage import DiskFull
from mesh.wire.kept import KeptDone
from mesh.wire.messages import Ping
from tests.support.worlds import VirtualWorld, virtual


class ListJournal:
    """A journal that counts its fsyncs."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.full = False

    def load(self) -> Iterator[bytes]:
        return iter(())

    def append(self, entries: Sequence[bytes]) -> None:
        if self.full:
            raise DiskFull("journal")
        self.batches.append(len(entries))

    def rewrite(self, entries: Iterable[bytes]) -> None:
        raise AssertionError

    def size(self) -> int:
        return 0

    def close(self) -> None:
        pass


def append(count: int = 1) -> Append:
    done = KeptDone(job=JobId(bytes(32)), directory="/tmp")
    return Append(entries=(done,) * count)


def send(number: int) -> Send:
    return Send(peer=PeerId(bytes(32)), message=Ping(number=number))


class Bench:
    """An executor, what it performed, and a disk that can be held up."""

    def __init__(self) -> None:
        self.world, self.journal = VirtualWorld(), ListJournal()
        self.performed: list[Effect] = []
        kinds = [kind for kind in get_args(Effect) if kind is not Append]
        self.executor = Executor(
            world=self.world, journal=self.journal, routes=dict.fromkeys(kinds, self.performed.append)
        )


def test_every_effect_must_have_a_route() -> None:
    with pytest.raises(AssertionError, match="route"):
        Executor(world=VirtualWorld(), journal=ListJournal(), routes={Stopped: print})


@virtual
async def test_what_comes_before_an_append_leaves_at_once_and_the_rest_after_its_fsync() -> None:
    bench = Bench()
    bench.world.hold = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.executor.run)
        await bench.executor.take([send(1), append(), send(2)])
        await trio.testing.wait_all_tasks_blocked()
        assert bench.performed == [send(1)]
        bench.world.hold.set()
        await trio.testing.wait_all_tasks_blocked()
        assert bench.performed == [send(1), send(2)]
        nursery.cancel_scope.cancel()


@virtual
async def test_all_that_waits_for_the_disk_shares_one_fsync_and_keeps_its_order() -> None:
    bench = Bench()
    bench.world.hold = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.executor.run)
        await bench.executor.take([append(), send(1)])
        await trio.testing.wait_all_tasks_blocked()
        for number in range(2, 6):
            await bench.executor.take([send(number), append(2)])
        bench.world.hold.set()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert bench.performed == [send(number) for number in range(1, 6)]
    assert bench.journal.batches == [1, 8]


@virtual
async def test_the_driver_waits_while_too_much_waits_for_the_disk() -> None:
    bench = Bench()
    bench.world.hold = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.executor.run)
        await bench.executor.take([append(), *[send(1)] * (EFFECTS_MAX - 1)])
        with trio.move_on_after(1) as patience:
            await bench.executor.take([send(2)])
        assert patience.cancelled_caught
        bench.world.hold.set()
        await bench.executor.take([send(3)])
        nursery.cancel_scope.cancel()


@virtual
async def test_a_route_that_raises_is_a_bug_with_a_story() -> None:
    def fail(_effect: Effect) -> None:
        raise KeyError("nobody")

    kinds = [kind for kind in get_args(Effect) if kind is not Append]
    executor = Executor(world=VirtualWorld(), journal=ListJournal(), routes=dict.fromkeys(kinds, fail))
    await executor.take([send(7)])
    with pytest.raises(BugError, match=r"(?s)Ping\(number=7\).*nobody"):
        await executor.run()


@virtual
async def test_nothing_is_said_that_could_not_be_kept() -> None:
    bench = Bench()
    bench.journal.full = True
    await bench.executor.take([append(), send(1)])
    with pytest.raises(DiskFull):
        await bench.executor.run()
    assert bench.performed == []
