"""Each machine of the core has a page, and each page names what its machine takes."""

from pathlib import Path

import pytest

from mesh.core.membership import Door
from tests.unit.core.test_routes import lone_peer

PAGES = Path(__file__).parents[3] / "docs" / "internals"
MACHINES = ["peer", "contacts", "membership", "meshset", "keepers", "ledger", "sync", "claims", "leases", "windows"]
MACHINES += [
    "slots",
    "scenes",
    "swarm",
    "holds",
    "holders",
    "repair",
    "delivery",
    "seals",
    "jobs",
    "views",
    "revoking",
    "outcomes",
]
MACHINES += ["assembling", "bucketing", "buckets", "election", "stills", "tiling"]
MACHINES += ["vouching", "rulings"]
MACHINES += ["larder", "pausing", "availability", "backdials"]
MACHINES += ["beacons", "whereabouts", "dht", "offers", "digests", "probing"]
FOLDERS = {"dht": "dht/dht"}
"""Machines that are a folder."""


def takers() -> list[tuple[str, str]]:
    """List (page, name of a type) for every route that leads straight into a machine."""
    peer = lone_peer()
    machines = {id(machine): type(machine).__module__.rpartition(".")[2] for machine in vars(peer).values()}
    machines[id(peer)] = "peer"
    machines[id(peer.whereabouts.dht)] = "dht"
    machines[id(peer.meshset.offers)] = "offers"
    machines[id(peer.meshset.digests)] = "digests"
    found = []
    for table in (peer.event_routes, peer.message_routes, peer.timer_routes):
        found += [(kind.__name__, route) for kind, route in table.items()]
    found += [(kind.__name__, route) for kind, routes in peer.note_routes.items() for route in routes]
    straight = [(name, getattr(route, "__self__", None)) for name, route in found]
    assert any(isinstance(machine, Door) for _, machine in straight)
    return sorted(
        {(machines[id(machine)], name) for name, machine in straight if machine is not None and machine is not peer}
    )


@pytest.mark.parametrize("machine", MACHINES)
def test_every_machine_has_a_short_page_that_the_map_leads_to(machine: str) -> None:
    text = (PAGES / f"{machine}.md").read_text("utf-8")
    assert f"mesh/core/{FOLDERS.get(machine, machine)}.py" in text
    assert len(text.splitlines()) <= 70
    assert f"[{machine}]({machine}.md)" in (PAGES / "README.md").read_text("utf-8")


@pytest.mark.parametrize(("page", "name"), takers())
def test_a_page_names_what_its_machine_takes(page: str, name: str) -> None:
    assert f"`{name}`" in (PAGES / f"{page}.md").read_text("utf-8")
