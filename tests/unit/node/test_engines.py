"""What a host can render with is looked for once at a time, and told before it is used."""

import trio
import trio.lowlevel

from mesh.core.events import EnginesProbed, Event
from mesh.node.engines import EngineRack, engine_id
from mesh.ports.renderer import Engines
from mesh.ports.world import HostFacts
from sim.stagehand import Stagehand, engine
from tests.support.worlds import virtual


class SlowProof(Stagehand):
    """A renderer whose proof takes a while, and fails the test if two are under way."""

    def __init__(self) -> None:
        super().__init__()
        self.proofs = 0
        self._proving = False

    async def probe(self, *, thorough: bool = False) -> Engines:
        assert not self._proving, "two proofs at a time share one machine"
        self._proving = True
        await trio.sleep(10)
        self._proving = False
        self.proofs += 1
        return Engines(usable=(engine(),))


@virtual
async def test_one_look_at_a_time() -> None:
    heard: list[Event] = []

    async def tell(event: Event) -> None:
        await trio.lowlevel.checkpoint()
        heard.append(event)

    renderer = SlowProof()
    rack = EngineRack(renderer=renderer, facts=HostFacts(name="desk", cores=2, memory_mb=1_000), slots=1, tell=tell)
    assert rack.found == Engines()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rack.probe)
        nursery.start_soon(rack.probe)
        await rack.settled()
        assert isinstance(heard[-1], EnginesProbed), "the core hears before anybody may render"
        assert rack.ids() == (engine_id(engine()),)
    assert renderer.proofs == 2
