"""What a stage may take of its machine."""

from mesh.cli.compose.peer import stage_limits
from mesh.ground.settings import Settings
from mesh.ports.world import HostFacts

FACTS = HostFacts(name="host", cores=8, memory_mb=10_000)


def test_all_stages_together_leave_the_machine_a_tenth_of_its_memory() -> None:
    for slots in (1, 2, 3):
        memory_bytes = stage_limits(Settings(), FACTS, slots).memory_bytes
        assert memory_bytes is not None
        assert 8_999 << 20 <= memory_bytes * slots + (slots << 20) <= 9_003 << 20
    assert stage_limits(Settings(), FACTS, 0).memory_bytes == 9_000 << 20


def test_cores_are_shared_among_stages_and_one_alone_takes_them_all() -> None:
    assert [stage_limits(Settings(), FACTS, slots).threads for slots in (0, 1, 2, 3, 16)] == [0, 0, 4, 2, 1]


def test_settings_hold_for_each_stage() -> None:
    limits = stage_limits(Settings(memory_limit_mb=500, engine_threads=3, engine_silence_s=7), FACTS, 4)
    assert (limits.memory_bytes, limits.threads, limits.silence_ms) == (500 << 20, 3, 7_000)
