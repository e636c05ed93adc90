"""A cast for every test of the core."""

from __future__ import annotations

import pytest

from tests.support.cast import Cast
from tests.support.small_mesh import SmallMesh


@pytest.fixture
def cast() -> Cast:
    return Cast()


@pytest.fixture
def mesh() -> SmallMesh:
    return SmallMesh()


@pytest.fixture
def trio_of_peers(mesh: SmallMesh) -> SmallMesh:
    """Three peers, `ann`, `bob` and `cid`, that know each other."""
    for name in ("ann", "bob", "cid"):
        mesh.add(name)
    mesh.run_until(lambda: all(mesh.connected(a, b) for a, b in (("ann", "bob"), ("ann", "cid"), ("bob", "cid"))))
    mesh.run(200)
    return mesh
