"""Nodes that may be one person's: few of them are taken where the nearest are chosen, as long as there are others."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from mesh.core.dht.kin import Kin, spread

SOME = st.sampled_from([None, b"a", b"b", b"c"])


def marks(kin: Kin) -> list[tuple[str, bytes]]:
    return [(name, mark) for name, mark in kin._asdict().items() if mark is not None]


@given(
    nodes=st.lists(st.tuples(SOME, SOME).map(lambda both: Kin(*both)), max_size=40),
    count=st.integers(0, 12),
    most=st.integers(1, 5),
)
def test_no_kin_have_more_than_their_part_and_nobody_nearer_was_left_out_for_nothing(
    nodes: list[Kin], count: int, most: int
) -> None:
    chosen = spread(range(len(nodes)), lambda at: nodes[at], count, most)
    shared = Counter(mark for at in chosen for mark in marks(nodes[at]))
    assert len(chosen) <= count
    assert all(times <= most for times in shared.values())
    assert chosen == sorted(set(chosen))
    last = chosen[-1] if len(chosen) == count and chosen else len(nodes)
    for at in set(range(last)) - set(chosen):
        before = Counter(mark for one in chosen if one < at for mark in marks(nodes[one]))
        assert count == 0 or any(before[mark] >= most for mark in marks(nodes[at]))


def test_who_is_nobodys_kin_is_always_taken() -> None:
    assert spread(range(9), lambda _: Kin(invite=None, range=None), 8) == list(range(8))


def test_an_invite_and_a_range_may_have_one_name() -> None:
    nodes = [Kin(invite=b"a", range=None), Kin(invite=None, range=b"a")]
    assert spread(nodes, lambda node: node, 2, 1) == nodes
