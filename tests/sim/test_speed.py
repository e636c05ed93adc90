"""What the core costs is measured without changing it, and the checkers look where records have changed."""

from __future__ import annotations

import dataclasses
import gc
import json

import pytest

from mesh.ground.ids import JobId
from mesh.ground.instants import HOUR_MS, MINUTE_MS
from mesh.wire.kept import KeptEntries, KeptHead
from mesh.wire.messages import Head
from sim.books import Book
from sim.model import fold, fold_frames
from sim.named import named
from sim.run import uncollected
from sim.speed import JOB_MINUTES, Speed, busy, measure
from sim.speed_report import ASKED, as_json, kinds, missed, table
from tests.support.cast import Cast


@pytest.fixture(scope="module")
def small() -> Speed:
    """A small run with clocks at each turn."""
    return measure(named("two-peers"), "reference", 1, timed=True)


def test_clocks_change_no_turn_and_miss_none(small: Speed) -> None:
    other = measure(named("two-peers"), "bytes", 1)
    assert (other.trace, other.events, other.turns) == (small.trace, small.events, small.turns)
    assert not other.kinds
    assert sum(kind.turns for kind in small.kinds) == small.turns
    assert 0 < sum(kind.processor_s for kind in small.kinds) < small.processor_s
    costs = [kind.processor_s for kind in small.kinds]
    assert costs == sorted(costs, reverse=True)


def test_a_figure_that_is_missed_is_named(small: Speed) -> None:
    fast = dataclasses.replace(small, events=50_000, processor_s=1.0, virtual_ms=HOUR_MS)
    assert not list(missed([fast]))
    (miss,) = missed([dataclasses.replace(fast, events=49_999)])
    assert "49,999 events/s" in miss
    (miss,) = missed([dataclasses.replace(fast, processor_s=91.0, events=10**7)])
    assert "91 s for a virtual hour" in miss
    (miss,) = missed([dataclasses.replace(fast, wire="bytes", events=19_999)])
    assert "bytes" in miss
    assert f"at least {ASKED['reference'].events_per_s:,}" in table([fast])[-1]
    assert any("Tick" in line for line in kinds(small))
    assert json.loads(json.dumps(as_json([fast])))[0]["events_per_s"] == 50_000


def test_the_hundred_always_have_a_job_and_lose_thirty_an_hour() -> None:
    hour = busy()
    assert (hour.peers, hour.safety_ms) == (100, HOUR_MS)
    assert hour.jobs * hour.submit_every_ms == HOUR_MS
    fastest = hour.renderers * JOB_MINUTES * MINUTE_MS * (100 + hour.slowest_percent) // 200 // hour.frame_ms
    assert hour.frames >= fastest, "of its length in minutes, with slots of a mean speed"
    kills = [act for act in hour.script if act.what == "kill"]
    assert len(kills) == 29
    assert len({act.peers for act in kills}) == len(kills)


def test_garbage_is_looked_for_again_after_a_run() -> None:
    gc.enable()  # nobody looks for it while these tests run
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()


class TestBooks:
    def setup_method(self) -> None:
        self.cast = Cast()
        self.head: Head = self.cast.head(self.cast.founder())
        self.job = JobId(self.head.job.id)
        self.book = Book()
        self.book.add(KeptHead(head=self.head))

    def test_what_is_written_of_a_frame_has_that_frame_looked_at_once(self) -> None:
        ann = self.cast.actor("ann")
        assert self.book.changed(self.job) == []
        first, second = self.cast.result(ann, self.head, 1), self.cast.result(ann, self.head, 2)
        self.book.add(KeptEntries(entries=(first, second, first)))
        assert self.book.changed(self.job) == [1, 2]
        assert self.book.changed(self.job) == []
        assert self.book.about(self.job, [1]) == [first]

    def test_what_may_change_any_frame_has_all_looked_at(self) -> None:
        ann = self.cast.actor("ann")
        result = self.cast.result(ann, self.head, 1)
        lost = self.cast.lost(ann, self.head, result)
        self.book.add(KeptEntries(entries=(result, lost)))
        everything = list(range(len(self.head.job.body.frames)))
        assert self.book.changed(self.job) == everything
        assert self.book.changed(self.job) == []
        self.book.look_again()
        assert self.book.changed(self.job) == everything
        assert self.book.about(self.job, [1]) == [lost, result]

    def test_some_frames_are_folded_as_all_are(self) -> None:
        ann, bob = self.cast.actor("ann"), self.cast.actor("bob")
        entries = [self.cast.result(each, self.head, task) for task in (0, 1) for each in (ann, bob)]
        entries.append(self.cast.lost(ann, self.head, entries[0]))
        self.book.add(KeptEntries(entries=tuple(entries)))
        author, body = self.head.job.author, self.head.job.body
        whole = fold(author, body, {entry.id: entry for entry in entries})
        for task in (0, 1, 2):
            some = fold_frames(author, body, self.book.about(self.job, [task]), [task])
            assert some == {task: whole[task]}
