"""One event at a time: bounded, deterministic, and barred from the world until the disk has what must last."""

import pytest

from mesh.core.effects import Append, Effect, Send
from mesh.ground.instants import SECOND_MS
from mesh.wire.envelope import statements
from mesh.wire.messages import KeepAsk
from mesh.wire.records import Entry, Hold, Mark
from tests.support.cast import Cast, blob
from tests.support.rig import Rig, news
from tests.support.small_mesh import SmallMesh


@pytest.mark.slow
def test_thousands_of_jobs_at_once_are_no_runaway_turn(cast: Cast) -> None:
    """It takes seconds: thousands of heads are signed, taken and looked after."""
    ann = cast.actor("ann")
    rig = Rig(cast)
    rig.meet(ann)
    people = [cast.actor(f"submitter {number}") for number in range(50)]
    heads = [
        cast.head(actor, frames=1, number=number, scene=blob("one scene"))
        for actor in people
        for number in range(1, 51)
    ]
    for at in range(0, len(heads), 4):
        rig.hear(ann, news(heads=tuple(heads[at : at + 4])))
    by_id = {actor.id: actor for actor in people}
    for job, ledger in list(rig.peer.ledger.jobs.items()):
        rig.hear(by_id[ledger.submitter], KeepAsk(job=job, fresh=False))
    rig.clear()
    rig.wait(2 * SECOND_MS, ann)
    assert len(rig.peer.claims.following) == 2_500


def told(cast: Cast) -> list[Effect]:
    ann, bob = cast.actor("ann"), cast.actor("bob")
    rig = Rig(cast)
    rig.meet(ann, bob)
    head = cast.head(ann, frames=20)
    rig.keep(head, bob, by=ann)
    rig.take(head, *(cast.result(bob, head, task) for task in range(5)), by=bob)
    rig.wait(30 * SECOND_MS, ann, bob)
    return rig.effects


def test_the_same_events_ask_for_the_same_effects(cast: Cast) -> None:
    assert told(Cast()) == told(Cast())


def test_nothing_of_its_own_leaves_a_peer_before_its_journal_has_it(trio_of_peers: SmallMesh) -> None:
    mesh = trio_of_peers
    job = mesh.submit("ann", frames=6)
    orders: list[list[Effect]] = []
    for host in mesh.hosts.values():
        handle = host.core.handle

        def recorded(now, event, handle=handle):  # type: ignore[no-untyped-def]
            effects = handle(now, event)
            orders.append(effects)
            return effects

        host.core.handle = recorded  # type: ignore[method-assign]
    mesh.run_until(lambda: mesh.hosts["ann"].job(job).state.value == "sealed")
    kept: set[bytes] = set()
    fresh = 0
    for effects in orders:
        written = {
            signed.id for effect in effects if isinstance(effect, Append) for signed in statements(effect.entries)
        }
        for effect in effects:
            if isinstance(effect, Append):
                kept |= {signed.id for signed in statements(effect.entries)}
            elif isinstance(effect, Send):
                said = [one for one in statements(effect.message) if isinstance(one.body, Entry | Hold | Mark)]
                fresh += sum(one.id in written for one in said)
                assert not [one for one in said if one.id in written and one.id not in kept]
    assert fresh > 20
