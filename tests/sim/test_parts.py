"""The parts of the simulated world: clocks, keys, disks, lines and scenarios, each by itself."""

import dataclasses
from pathlib import Path

import pytest

from mesh.ground.dice import Dice
from mesh.ground.errors import UsageError, WireError
from mesh.ground.ids import BlobId, JobId, RecordId
from mesh.ground.instants import Instant
from mesh.wire.envelope import sign
from mesh.wire.kept import KeptDelivery
from mesh.wire.members import StaticKey
from sim.clock import HostClock
from sim.disk import BlobFacts, Disk, NoRoom
from sim.keys import Keyring, Signatures
from sim.model import fold
from sim.named import NAMED, named
from sim.parcels import ByReference, Checked, carried
from sim.randomiser import draw
from sim.run import run
from sim.scenario import Act, Scenario, from_toml, to_toml
from sim.trace import canonical
from sim.world import World
from tests.support.cast import Cast

REGRESSIONS = sorted((Path(__file__).parents[2] / "sim" / "regressions").glob("*.toml"))


@pytest.mark.parametrize("drift_ppm", [-300, -1, 0, 7, 500])
def test_a_clock_reads_what_it_was_to_be_woken_at(drift_ppm: int) -> None:
    clock = HostClock(base_ms=12_345, drift_ppm=drift_ppm, wall_offset_ms=0)
    for world_ms in (0, 1, 999, 10**6, 10**9 + 7):
        instant = clock.instant(world_ms)
        woken_ms = clock.when(instant)
        assert clock.instant(woken_ms) >= instant > clock.instant(woken_ms - 1)
        assert abs(woken_ms - world_ms) <= 1
    assert clock.when(Instant(12_345)) == 0


def test_a_step_moves_the_wall_clock_alone() -> None:
    clock = HostClock(base_ms=0, drift_ppm=0, wall_offset_ms=5)
    before = clock.read(100)
    clock.step(-3_600_000)
    assert clock.read(100).instant == before.instant
    assert clock.read(100).wall == before.wall - 3_600_000
    clock.correct()
    assert clock.read(100) == before


@pytest.mark.parametrize("mode", ["stand-in", "real"])
def test_forgeries_are_rejected_in_every_mode(mode: Signatures) -> None:
    keyring = Keyring(mode)
    signer, other = keyring.signer(b"a" * 32), keyring.signer(b"b" * 32)
    good = sign(StaticKey(mesh=Cast().mesh, static=bytes(32)), signer)
    checked = Checked(keyring.verifier)
    checked.check(good)
    borrowed = sign(StaticKey(mesh=Cast().mesh, static=bytes(32)), other).signature
    for signature in (bytes(64), borrowed):
        with pytest.raises(WireError):
            checked.check(dataclasses.replace(good, signature=signature))
    stranger = sign(StaticKey(mesh=Cast().mesh, static=bytes(32)), Keyring(mode).signer(b"c" * 32))
    with pytest.raises(WireError):
        checked.check(stranger)


def test_both_modes_make_the_same_statements() -> None:
    made = [sign(StaticKey(mesh=Cast().mesh, static=bytes(32)), Keyring(mode).signer(b"a" * 32)) for mode in MODES]
    assert made[0].id == made[1].id
    assert made[0].signature == made[1].signature


MODES: tuple[Signatures, ...] = ("stand-in", "real")


def delivery(task: int) -> KeptDelivery:
    return KeptDelivery(job=JobId(bytes(32)), task=task, result=RecordId(bytes(32)), directory="/out")


def test_a_loss_of_power_leaves_a_first_part_of_what_was_not_synced() -> None:
    seen = set()
    for seed in range(40):
        disk = Disk(ByReference())
        disk.write((delivery(0), delivery(1)))
        disk.sync()
        disk.write((delivery(2), delivery(3)))
        disk.lose_power(Dice(b"%d" % seed))
        left = [entry.task for entry in disk.load() if isinstance(entry, KeptDelivery)]
        assert left == list(range(len(left)))
        seen.add(len(left))
    assert seen == {2, 3, 4}


def test_a_dead_process_loses_nothing_that_was_written() -> None:
    disk = Disk(ByReference())
    disk.write((delivery(0),))
    assert disk.load() == (delivery(0),)


def test_pieces_outlive_a_loss_of_power_once_the_blob_is_whole() -> None:
    disk = Disk(ByReference())
    part, whole = (BlobFacts(blob=BlobId(bytes([n]) * 32), pieces=3, size=3) for n in (1, 2))
    assert not disk.store(part, (0, 2))
    assert disk.store(whole, (0, 1, 2))
    disk.lose_power(Dice(b"x"))
    assert disk.pick(part.blob, (0, 1, 2)) == ()
    assert disk.pick(whole.blob, (0, 1, 2)) == (0, 1, 2)


def test_pages_find_room_on_a_disk_where_nothing_else_does() -> None:
    disk = Disk(ByReference(), quota_bytes=50_000)
    disk.ingest(BlobFacts(blob=BlobId(bytes(32)), pieces=1, size=49_000))
    page, large = (BlobFacts(blob=BlobId(bytes([n]) * 32), pieces=1, size=900) for n in (1, 2))
    assert disk.room() == 0
    with pytest.raises(NoRoom):
        disk.store(page, (0,))
    assert disk.store(page, (0,), page=True)
    with pytest.raises(NoRoom):
        disk.ingest(large, page=True)
    assert (disk.room(), disk.room(page=True)) == (0, 100)


def test_a_rotten_piece_is_missing_once_it_was_read() -> None:
    disk = Disk(ByReference())
    facts = BlobFacts(blob=BlobId(bytes(32)), pieces=2, size=2)
    disk.ingest(facts)
    disk.blobs[facts.blob].rotten = 0b10
    assert disk.has(facts.blob)
    assert not disk.intact(facts.blob)
    assert disk.find_rot(facts.blob)
    assert disk.pick(facts.blob, (0, 1)) == (0,)
    assert not disk.find_rot(facts.blob)


def test_what_carries_statements_is_found_at_any_depth() -> None:
    cast = Cast()
    head = cast.head(cast.founder())
    assert [signed.id for signed in carried((head,))] == [head.job.id, *(admission.id for admission in head.chain)]
    assert list(carried(head.job.body)) == []


def test_canonical_text_leaves_signatures_out_and_nothing_else() -> None:
    cast = Cast()
    head = cast.head(cast.founder())
    unsigned = dataclasses.replace(head, job=dataclasses.replace(head.job, signature=bytes(64)))
    assert canonical(unsigned) == canonical(head)
    assert canonical(dataclasses.replace(head, chain=())) != canonical(head)


@pytest.mark.parametrize("name", NAMED)
def test_named_scenarios_come_back_from_toml(name: str) -> None:
    assert from_toml(to_toml(named(name), 5, "why\nit is kept")) == (named(name), 5)


@pytest.mark.parametrize("seed", range(20))
def test_drawn_scenarios_come_back_from_toml(seed: int) -> None:
    scenario = draw(seed, 20, 2)
    assert from_toml(to_toml(scenario, seed, "")) == (scenario, seed)
    assert draw(seed, 20, 2) == scenario


def test_unknown_options_and_acts_are_errors() -> None:
    with pytest.raises(UsageError, match="speling"):
        from_toml("seed = 1\nspeling = 2\n")
    with pytest.raises(UsageError, match="explode"):
        Act(at_ms=0, what="explode")
    with pytest.raises(UsageError, match="calm"):
        named("clam")
    with pytest.raises(UsageError, match="render"):
        Scenario(peers=2, renderers=3)


def test_the_model_of_the_fold_says_which_result_counts() -> None:
    cast = Cast()
    head = cast.head(cast.founder())
    job, ann, bob = head.job, cast.actor("ann"), cast.actor("bob")
    late, early = cast.result(ann, head, 0, attempt=2), cast.result(bob, head, 0, attempt=1)
    assert fold(job.author, job.body, {late.id: late})[0].result == late.id
    both = {late.id: late, early.id: early}
    assert fold(job.author, job.body, both)[0].result == early.id
    lost = cast.lost(ann, head, early)
    assert fold(job.author, job.body, {**both, lost.id: lost})[0].result == late.id


class TestLines:
    """Channels of two hosts whose cores do what they like."""

    @staticmethod
    def world(script: tuple[Act, ...] = ()) -> World:
        return World(Scenario(peers=2, renderers=2, jobs=0, safety_ms=40_000, least_ms=40_000, script=script), 1)

    def test_two_hosts_find_each_other(self) -> None:
        world = self.world()
        world.run()
        for host in world.hosts:
            assert [peer.connected for peer in host.core.mesh_view(host.now()).peers if not peer.me] == [True]

    def test_a_cut_is_silent_and_heals(self) -> None:
        script = (Act(at_ms=5_000, what="cut", peers=(0,)), Act(at_ms=30_000, what="mend"))
        world = self.world(script=script)
        connected: list[list[bool]] = []

        def look() -> None:
            views = [host.core.mesh_view(host.now()) for host in world.hosts]
            connected.append([any(peer.connected for peer in view.peers if not peer.me) for view in views])

        world.at(6_000, look)
        world.at(29_000, look)
        world.run()
        look()
        assert connected == [[True, True], [False, False], [True, True]]


@pytest.mark.parametrize("path", REGRESSIONS, ids=lambda path: path.stem)
def test_no_regression_comes_back(path: Path) -> None:
    scenario, seed = from_toml(path.read_text(encoding="utf-8"))
    ran = run(scenario, seed)
    assert ran.good, "\n".join(ran.story)
