"""One run of tier B: hosts, their network, what goes wrong, people, and the judgement at the end.

First faults come, then all is mended and everybody started again; once all jobs are finished every peer is asked to
stop. A rule that is broken, and whatever any task raises, ends the run.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Final, Protocol

import trio

from mesh.core.me import Me
from mesh.core.peer import Peer
from mesh.core.status import JobState
from mesh.ground.dice import Dice
from mesh.ground.instants import DAY_MS, WallTime
from mesh.node.identity import Identity
from mesh.node.joining import found_mesh
from mesh.node.node import Beginning, Ending, Node, Parts, Tape
from mesh.wire import invites
from mesh.wire.signing import Ed25519Signer, Ed25519Verifier
from sim.clock import EPOCH_MS
from sim.replay import replay
from sim.secrets import Secrets
from sim.shell.checks import Checks
from sim.shell.course import Act, Course
from sim.shell.host import KEY_BYTES, Host, Life
from sim.shell.lines import Lines
from sim.shell.net import ShellAirwaves, ShellLan, ShellWires
from sim.shell.people import People
from sim.trace import Trace
from sim.violation import Violation
from sim.wires import MemoryChannel

LOOK_S: Final = 1.0
FOLDS_S: Final = 5.0
"""How often what peers show is compared with their records."""
STOP_S: Final = 60.0
"""A peer that is asked to stop has stopped by then."""
_INVITE_MS: Final = 24 * 3_600_000


class MakeNode(Protocol):
    """Makes a node: the one that the project ships, or a mutant of it."""

    def __call__(
        self, parts: Parts, who: Identity, beginning: Beginning, *, tape: Tape, make_core: Callable[[Me, bytes], Peer]
    ) -> Node: ...


class CachedVerifier:
    """Verifies a signature once for all peers of the run, since they hear the same statements."""

    def __init__(self) -> None:
        self.verifies = lru_cache(maxsize=1 << 17)(Ed25519Verifier().verifies)


class Mesh:
    """Everything there is in one run."""

    def __init__(
        self, course: Course, *, make_node: MakeNode = Node, make_core: Callable[[Me, bytes], Peer] = Peer
    ) -> None:
        self.course = course
        self.make_node = make_node
        self.make_core = make_core
        dice = self.dice = Dice(b"mesh" + course.seed.to_bytes(8, "big"))
        self.lines = Lines(dice, latency_ms=course.latency_ms, jitter_ms=course.jitter_ms, loss_ppm=course.loss_ppm)
        self.wires = ShellWires(self.lines, self._tap)
        self.airwaves = ShellAirwaves(self.lines)
        self.lans: dict[str, ShellLan] = {}
        self.verifier = CachedVerifier()
        self.secrets = Secrets()
        self.checks = Checks(self.secrets)
        self.trace = Trace(searched=self._searched)
        root, self.secret = dice.draw(KEY_BYTES), dice.draw(KEY_BYTES)
        self.secrets.add("the root key", root)
        self.secrets.add("the mesh's secret", self.secret)
        self.hosts = [self._host(index) for index in range(course.peers)]
        self._by_address = {host.address.host: host for host in self.hosts}
        founder = self.hosts[0]
        founder.standing = found_mesh(root=Ed25519Signer(root), founder=founder.signer, now=WallTime(EPOCH_MS - DAY_MS))
        self.people = People(self)
        self.token = ""
        """The invite by which all others come."""
        self._acts = len(course.acts)
        """Faults that are not over."""
        self.tapes = 0
        """Replayed."""

    @property
    def now_ms(self) -> int:
        """Virtual time."""
        return round(trio.current_time() * 1000)

    def _host(self, index: int) -> Host:
        slots = 1 + self.dice.below(2) if 0 < index <= self.course.renderers else 0
        host = Host(self, index, self.dice.fork(b"host" + index.to_bytes(4, "big")), slots=slots)
        self.secrets.add(f"a key of {host.name}", *host.secrets)
        return host

    def _tap(self, channel: MemoryChannel, packet: bytes) -> None:
        host = self._by_address[channel.host]
        self.checks.said(host, packet)

    def _searched(self, text: bytes) -> None:
        self.secrets.look("the trace", text)

    def happened(self, host: Host, text: str) -> None:
        """Note what the world did to a host."""
        self.trace.happened(self.now_ms, host.index, text)

    # The run.

    async def run(self) -> None:
        """Run to the end; raises `Violation`, and whatever a node raised."""
        async with trio.open_nursery() as nursery:
            self.nursery = nursery
            nursery.start_soon(self.lines.run)
            await self._found()
            for host in self.hosts[1:]:
                nursery.start_soon(self._start_at, host, self.course.late.get(host.index, 100 * host.index))
            nursery.start_soon(self._faults)
            nursery.start_soon(self.people.run)
            nursery.start_soon(self._look_at_folds)
            await self._until(lambda: not self._acts, "the faults to be over")
            self.lines.loss_ppm = 0
            await self._until(self._finished, "all jobs to be finished")
            self._judge()
            await self._stop_all()
            self._replay()
            self.checks.look_through()
            self._raise_found()
            nursery.cancel_scope.cancel()

    async def _found(self) -> None:
        """Start the founder, and have it write an invite for all others."""
        founder = self.hosts[0]
        founder.start()
        await self._until(lambda: founder.life is not None and founder.life.desk is not None, "the founder")
        assert founder.life is not None
        assert founder.life.desk is not None
        self.token = (await founder.life.desk.invite([], _INVITE_MS, len(self.hosts)))["token"]
        self.secrets.add("the invite's key", invites.read(self.token, self.verifier).seed)
        self.secrets.add("the invite", self.token.encode())

    async def _start_at(self, host: Host, at_ms: int) -> None:
        await trio.sleep(max(0, at_ms - self.now_ms) / 1000)
        host.start()

    async def _until(self, is_so: Callable[[], bool], what: str) -> None:
        """Wait for something; raise what was found meanwhile, or that it took too long."""
        while not is_so():
            self._raise_found()
            if self.now_ms > self.course.ends_ms:
                raise Violation("L2", f"waited in vain for {what}: {self._unfinished()}")
            await trio.sleep(LOOK_S)

    def _raise_found(self) -> None:
        if self.checks.found:
            raise self.checks.found[0]

    async def _look_at_folds(self) -> None:
        while True:
            await trio.sleep(FOLDS_S)
            for host in self.hosts:
                if host.works:
                    self.checks.folds_agree(host, host.core, host.book)

    # What goes wrong.

    async def _faults(self) -> None:
        for act in self.course.acts:
            await trio.sleep(max(0, act.at_ms - self.now_ms) / 1000)
            self.nursery.start_soon(self._see_through, act)

    async def _see_through(self, act: Act) -> None:
        await self._perform(act)
        self._acts -= 1

    async def _perform(self, act: Act) -> None:
        host, lasts_s = self.hosts[act.host], act.lasts_ms / 1000
        self.happened(host, f"{act.what} for {act.lasts_ms} ms")
        match act.what:
            case "kill" | "power":
                host.kill(power=act.what == "power")
                await self._restart(host, lasts_s)
            case "fuse":
                host.disk.fuse = host.blow
                await trio.sleep(lasts_s)
                host.disk.fuse = None
                await self._restart(host, lasts_s)
            case "stop":
                if host.life is not None and host.life.desk is not None:
                    host.life.asked_to_stop = True
                    await self.people.at_desk(host, lambda desk: desk.stop(now=False))
                    await self._restart(host, lasts_s)
            case "still":
                await self._stand_still(host, lasts_s)
            case "cut" | "isolate":
                others = [self.hosts[act.other]] if act.what == "cut" else self.hosts
                await self._cut(host, [other for other in others if other is not host], lasts_s)
            case "full":
                host.disk.full = True
                await trio.sleep(lasts_s)
                host.disk.full = False
            case "pause":
                await self.people.at_desk(host, lambda desk: desk.pause(None, now=True))
                await trio.sleep(lasts_s)
                await self.people.at_desk(host, lambda desk: desk.resume())

    async def _restart(self, host: Host, after_s: float) -> None:
        """Start a host's next process, once this one has ended; one that lives on is let live."""
        ending = host.lives[-1] if host.lives else None
        await trio.sleep(after_s)
        if ending is not None and (ending.world.dead or ending.asked_to_stop):
            await ending.ended.wait()
        host.start()

    async def _stand_still(self, host: Host, lasts_s: float) -> None:
        world = host.life.world if host.life is not None else None
        if world is None or world.stands is not None:
            return
        self.lines.hold(host.address.host)
        stands = world.stands = trio.Event()
        try:
            await trio.sleep(lasts_s)
        finally:  # also at the end of the run: whoever waits for the disk does so in spite of a cancellation
            world.stands = None
            stands.set()
            self.lines.release(host.address.host)

    async def _cut(self, host: Host, others: list[Host], lasts_s: float) -> None:
        ways = [(host.address.host, other.address.host) for other in others]
        ways += [(there, here) for here, there in ways]
        for source, target in ways:
            self.lines.cut(source, target)
        await trio.sleep(lasts_s)
        for source, target in ways:
            self.lines.mend(source, target)

    # The end.

    def _finished(self) -> bool:
        return self.people.all_said and not self._unfinished()

    def _unfinished(self) -> str:
        """Say what is not as it must be at the end; nothing where all is."""
        for host in self.hosts:
            if not host.works or host.life is None or host.life.desk is None:
                return f"{host.name} does not run"
        for job, host in self.people.accepted.items():
            view = host.job_view(job)
            if view is None:
                return f"{host.name} does not know its own job {job.hex()[:8]}"
            if job in self.people.cancelled:
                if view.state is not JobState.CANCELLED:
                    return f"{host.name} shows a cancelled job as {view.state.value}"
            elif view.state is not JobState.SEALED or view.delivered < view.tasks:
                done = f"{view.counting} of {view.tasks} count, {view.delivered} delivered, {view.problems}"
                return f"{host.name} shows {view.record.name} as {view.state.value}: {done}"
        return ""

    def _judge(self) -> None:
        """Judge what lies on disks once all is finished."""
        self.checks.same_everywhere(self.hosts)
        for job, host in self.people.accepted.items():
            self.people.look_at_files(job, host)
        self._raise_found()

    async def _stop_all(self) -> None:
        """Ask everybody to stop; none may take longer than it may, nor end in any other way."""
        running = [host.life for host in self.hosts if host.life is not None]
        async with trio.open_nursery() as asking:
            for life in running:
                asking.start_soon(self.people.at_desk, life.host, lambda desk: desk.stop(now=False))
        with trio.move_on_after(STOP_S):
            for life in running:
                await life.ended.wait()
        for life in running:
            if life.ending is not Ending.STOPPED:
                state = "is dead" if life.world.dead else "runs on" if not life.ended.is_set() else "ended"
                text = f"{life.host.name} was asked to stop, and has not stopped well: it {state}"
                raise Violation("L2", text, life.host.peer)

    def closed(self, life: Life) -> None:
        """resources: a process that ends in order leaves nothing open and nothing behind."""
        host, transport = life.host, life.transport
        left = [path.name for path in life.scratch().iterdir()]
        if left or life.stagehand.open:
            self.checks.broken("resources", f"{host.name} leaves {left} and {len(life.stagehand.open)} stages behind")
        if transport is not None and (open_ones := sum(channel.open for channel in transport.channels)):
            self.checks.broken("resources", f"{host.name} leaves {open_ones} channels open")

    def _replay(self) -> None:
        """tape: what was recorded makes a fresh core ask for the same. S13: no tape holds a secret."""
        for host in self.hosts:
            for life in host.lives if host.index in self.course.taped else ():
                if not life.tape.getvalue():
                    continue  # it was killed before it had a core
                self.secrets.look(f"the tape of {host.name}", life.tape.getvalue())
                life.tape.seek(0)
                replayed = replay(life.tape.read, verifier=self.verifier, make_core=self.make_core)
                self.tapes += 1
                if replayed.differs:
                    self.checks.broken("tape", f"{host.name}, life {life.number}: {replayed.differs}")
