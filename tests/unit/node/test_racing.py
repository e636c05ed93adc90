"""Several ways to one place: who begins when, and which one wins."""

import trio

from mesh.node.racing import STAGGER_S, first_of
from tests.support.worlds import virtual

NEVER_S = 1_000.0


class Ways:
    """Ways that take some seconds each, and lead somewhere or not."""

    def __init__(self, **ways: tuple[float, bool]) -> None:
        self.ways = ways
        self.began: dict[str, float] = {}
        self.let_go: list[str] = []

    async def go(self, way: str) -> str | None:
        self.began[way] = trio.current_time() - self.started_s
        takes_s, leads = self.ways[way]
        await trio.sleep(takes_s)
        return way if leads else None

    async def leave(self, way: str) -> None:
        await trio.lowlevel.checkpoint()
        self.let_go.append(way)

    async def race(self) -> tuple[str | None, float]:
        self.started_s = trio.current_time()
        found = await first_of(list(self.ways), self.go, self.leave)
        return found, trio.current_time() - self.started_s


@virtual
async def test_the_first_wins_though_a_later_one_would_be_quicker() -> None:
    ways = Ways(lan=(0.2, True), vpn=(0.01, True))
    assert await ways.race() == ("lan", 0.2)
    assert list(ways.began) == ["lan"]


@virtual
async def test_a_silent_way_delays_the_next_by_a_moment_only() -> None:
    ways = Ways(gone=(NEVER_S, False), good=(0.1, True))
    found, took_s = await ways.race()
    assert found == "good"
    assert took_s < STAGGER_S + 0.2


@virtual
async def test_a_way_that_fails_lets_the_next_begin_at_once() -> None:
    ways = Ways(**{f"refused {number}": (0.001, False) for number in range(20)}, good=(0.0, True))
    found, took_s = await ways.race()
    assert found == "good"
    assert took_s < STAGGER_S


@virtual
async def test_where_no_way_leads_anywhere_nothing_is_found() -> None:
    assert (await Ways(a=(1.0, False), b=(2.0, False)).race())[0] is None
    assert (await Ways().race())[0] is None


@virtual
async def test_whoever_arrives_beside_the_first_is_let_go() -> None:
    ways = Ways(one=(STAGGER_S + 0.1, True), other=(0.1, True))
    found, _ = await ways.race()
    assert sorted([found or "", *ways.let_go]) in (["one", "other"], [found])
    assert found not in ways.let_go
