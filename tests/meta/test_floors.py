"""The check of the floors finds what it is there to find, and the house itself passes it."""

from __future__ import annotations

import pytest

from tools import floors


def complaints(path: str, text: str) -> list[str]:
    return [problem.text for problem in floors.check_module(path, text)]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("mesh/ground/ids.py", "from mesh.wire import cbor"),
        ("mesh/wire/cbor.py", "import mesh.ports.storage"),
        ("mesh/wire/cbor.py", "from mesh.core.peer import Peer"),
        ("mesh/ports/transport.py", "from mesh.core import events"),
        ("mesh/core/claims.py", "from mesh.ports.renderer import Engine"),
        ("mesh/core/claims.py", "from mesh.node import driver"),
        ("mesh/net/bulk.py", "from mesh.store.blobs import Blobs"),
        ("mesh/net/bulk.py", "from mesh.core import swarm"),
        ("mesh/render/checkout.py", "from mesh import store"),
        ("mesh/node/transfers.py", "from mesh.net.bulk import Bulk"),
        ("mesh/node/desk.py", "from mesh.cli import client"),
        ("mesh/cli/join.py", "from mesh.net.streams import Streams"),
        ("mesh/cli/join.py", "from mesh.store import home"),
        ("sim/world.py", "from mesh.node.driver import Driver"),
        ("sim/world.py", "from mesh.store.journal import Journal"),
        ("sim/world.py", "import tests.helpers"),
        ("sim/shell/nodes.py", "from mesh.net import streams"),
        ("mesh/ground/ids.py", "import tools.floors"),
        ("mesh/node/driver.py", "from sim.world import World"),
        ("mesh/__init__.py", "from mesh.ground import ids"),
    ],
)
def test_an_import_from_above_or_beside_is_refused(path: str, text: str) -> None:
    assert len(complaints(path, text)) == 1


@pytest.mark.parametrize(
    ("path", "text", "count"),
    [
        ("mesh/core/dht/table.py", "from kademlia.routing import RoutingTable", 0),
        ("mesh/core/dht/storage.py", "import kademlia.storage", 0),
        ("mesh/core/dht/table.py", "from kademlia.network import Server", 1),
        ("mesh/core/dht/table.py", "from kademlia.protocol import KademliaProtocol", 1),
        ("mesh/core/dht/table.py", "import kademlia", 1),
        ("mesh/core/peer.py", "from kademlia.node import Node", 1),
        ("mesh/node/node.py", "from kademlia.node import Node", 1),
        ("sim/crowd.py", "from kademlia.node import Node", 1),
    ],
)
def test_kademlia_is_imported_for_its_values_and_by_the_dht_alone(path: str, text: str, count: int) -> None:
    assert len(complaints(path, text)) == count


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("mesh/wire/cbor.py", "from mesh.ground.errors import MeshError"),
        ("mesh/core/peer.py", "from mesh.core.turn import Turn\nfrom mesh.wire import records"),
        ("mesh/net/bulk.py", "from mesh.ports import transport\nimport trio"),
        ("mesh/node/driver.py", "from mesh.core.peer import Peer\nimport trio"),
        ("mesh/cli/compose.py", "import mesh.net.streams, mesh.store.blobs, mesh.render.engines, mesh.node.driver"),
        ("mesh/cli/main.py", "from mesh.cli.compose import build"),
        ("sim/world.py", "from mesh.core.peer import Peer\nfrom sim.net import Net\nimport random"),
        ("sim/shell/nodes.py", "from mesh.node.driver import Driver\nfrom sim.net import Net"),
        ("tests/unit/core/test_claims.py", "from sim.world import World\nfrom mesh.core.claims import Claims"),
    ],
)
def test_an_import_from_below_is_allowed(path: str, text: str) -> None:
    assert complaints(path, text) == []


@pytest.mark.parametrize(
    "text",
    [
        "import mesh.node.driver",
        "from mesh.node import driver",
        "from ..node import driver",
        "from ..node.driver import Driver",
        "from .. import node",
        "def late():\n    from mesh.node import driver",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from mesh.node.driver import Driver",
    ],
)
def test_every_way_of_importing_is_seen(text: str) -> None:
    assert len(complaints("mesh/core/claims.py", text)) == 1


@pytest.mark.parametrize("module", sorted(floors.WORLD))
@pytest.mark.parametrize("path", ["mesh/core/claims.py", "mesh/wire/cbor.py"])
def test_a_pure_floor_names_nothing_of_the_world(path: str, module: str) -> None:
    assert complaints(path, f"import {module}") != []
    assert complaints(path, f"from {module} import anything") != []
    assert complaints("mesh/node/driver.py", f"import {module}") == []


@pytest.mark.parametrize("text", ["open('x')", "print(1)", "async def handle(): pass", "__import__('time')"])
def test_a_pure_floor_neither_waits_nor_prints(text: str) -> None:
    assert len(complaints("mesh/core/claims.py", text)) == 1


def inside_blender(stage: str, sibling: str = "import os") -> list[str]:
    texts = {"mesh/render/blender/serving.py": stage, "mesh/render/blender/paths.py": sibling, "mesh/net/a.py": sibling}
    return [problem.path for problem in floors.check_blender(texts)]


def test_what_runs_inside_blender_knows_nothing_of_ours_but_its_siblings() -> None:
    assert inside_blender("import bpy\nimport json\nfrom .paths import resolve\nfrom . import paths") == []
    assert len(inside_blender("import bpy\nfrom mesh.ground import limits")) == 1
    assert len(inside_blender("import bpy\nfrom ...ground import limits")) == 1
    assert len(inside_blender("import bpy\nfrom mesh.render.blender import paths")) == 1
    assert inside_blender("def late():\n    import bpy\n    import mesh") == ["mesh/render/blender/serving.py"]


def test_a_sibling_of_what_runs_inside_blender_runs_there_too() -> None:
    ours = "from mesh.ground import limits"
    assert inside_blender("import bpy\nfrom .paths import resolve", ours) == ["mesh/render/blender/paths.py"]
    assert inside_blender("import bpy\nfrom . import paths", ours) == ["mesh/render/blender/paths.py"]
    assert inside_blender("import bpy", ours) == []
    assert inside_blender("from .paths import resolve", ours) == []


def test_a_module_on_no_floor_is_refused() -> None:
    assert len(complaints("mesh/helpers.py", "")) == 1
    assert len(complaints("mesh/utils/text.py", "")) == 1


def test_a_file_that_does_not_parse_is_one_complaint() -> None:
    assert len(complaints("mesh/core/claims.py", "def broken(:")) == 1


def test_no_row_of_the_table_names_a_floor_that_there_is_not() -> None:
    assert {below for row in floors.FLOORS.values() for below in row} <= set(floors.FLOORS)


def test_the_house_stands() -> None:
    assert floors.check() == []
