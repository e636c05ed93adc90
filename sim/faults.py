"""What goes wrong with machines and lines, and how all of it heals.

Times of faults are drawn beforehand; whom they hit is drawn when they come, among those who are up. Each ends by itself
after about the scenario's `down_ms`, or when the liveness phase begins, whichever is first.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from mesh.ground.ids import BlobId
from mesh.ground.instants import HOUR_MS, MINUTE_MS
from sim import coordinator, coreset
from sim.scenario import Act

if TYPE_CHECKING:
    from sim.host import Host
    from sim.world import World

_FIRST_MS = 4_000
_FUSE_EFFECTS = 40
_STOP_PATIENCE_MS = 2_000


class Faults:
    """All faults of one run."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._dice = world.dice.fork(b"faults")
        self.core = dict.fromkeys(world.scenario.core or range(world.scenario.peers))
        self._mends: dict[int, tuple[tuple[int, int], ...]] = {}
        self._for_good: dict[int, None] = {}
        """Hosts that left, or lost their disks: nobody can have them back."""
        self.wiped: dict[BlobId, None] = {}
        """Blobs that were promised to be kept on a disk that was lost."""
        self._cuts = 0
        self._stopping: dict[int, int] = {}
        """Hosts that a script asked to stop, in which life: when all heals they may not be done with it."""
        self.failures = 0
        """How often a process or machine ended, was asked to, froze or fell asleep."""
        self.paused: dict[int, None] = {}
        """Hosts that their owners ever paused: when all heals, they let them render again."""
        self.rotted: dict[BlobId, dict[int, None]] = {}
        """Blobs of which a copy rotted, and on whose disks: nobody promised that they survive there."""

    def plan_all(self) -> None:
        """Plan the drawn faults and the script's acts."""
        scenario = self._world.scenario
        kinds: tuple[tuple[int, Callable[[], None]], ...] = (
            (scenario.kills, self._kill),
            (scenario.powers, self._power),
            (scenario.fuses, self._fuse),
            (scenario.freezes, self._freeze),
            (scenario.sleeps, self._sleep),
            (scenario.splits, self._split),
            (scenario.one_ways, self._one_way),
            (scenario.stops, self._stop),
            (scenario.steps, self._step),
            (scenario.rots, self._rot),
            (scenario.full_disks, self._fill),
            (scenario.pauses, self._pause),
            (scenario.isolations, self._isolate),
            (scenario.clogs, self._clog),
            (scenario.lags, self._lag),
            (scenario.slow_disks, self._stall),
            (scenario.moves, self._move),
            (scenario.rejects, self._world.people.reject_something),
            (scenario.looks, self._world.onlookers.look_somewhere),
        )
        planned = [(-(-per_minute * scenario.safety_ms // MINUTE_MS), fault) for per_minute, fault in kinds]
        deaths = -(-scenario.peers * scenario.churn_percent * scenario.safety_ms // (100 * HOUR_MS))
        for times, fault in (*planned, (deaths, self._churn)):
            for _ in range(times):
                at_ms = _FIRST_MS + self._dice.below(max(1, scenario.safety_ms - _FIRST_MS))
                self._world.at(at_ms, self._come, fault)
        for act in scenario.script:
            self._world.at(act.at_ms, self._act, act)

    def _come(self, fault: Callable[[], None]) -> None:
        if self._world.faulty:
            fault()

    def _down_ms(self) -> int:
        """Draw how long a fault lasts: mostly about the scenario's time, now and then four times that."""
        mean_ms = self._world.scenario.down_ms
        drawn_ms = 1 + self._dice.below(2 * mean_ms)
        return 4 * drawn_ms if self._dice.below(8) == 0 else drawn_ms

    def _victim(self) -> "Host | None":
        up = [host for host in self._world.hosts if host.running and not host.frozen]
        return up[self._dice.below(len(up))] if up else None

    def _happened(self, host: "Host", text: str) -> None:
        self._world.trace.happened(self._world.now_ms, host.index, text)

    # Processes and machines.

    def kill(self, host: "Host", *, power: bool) -> None:
        """End a process, or its whole machine, at once."""
        self._happened(host, "loses power" if power else "is killed")
        self.failures += host.running
        self._world.economy.leaves(host)
        host.die(power=power)

    def start(self, host: "Host") -> None:
        """Start a host again unless it runs, or is to stay away."""
        if host.index not in self._for_good and not host.running and (self._world.faulty or self.is_core(host)):
            self._happened(host, "starts")
            host.start()

    def _kill(self) -> None:
        self._end(power=False)

    def _power(self) -> None:
        self._end(power=True)

    def _churn(self) -> None:
        self._end(power=self._dice.below(2) == 0)

    def _end(self, *, power: bool) -> None:
        host = self._victim()
        if host is not None:
            self.kill(host, power=power)
            self._world.after(self._down_ms(), self.start, host)

    def _move(self) -> None:
        """Kill a process, and let it come back elsewhere; whose address all were given stays there, to be found."""
        host = self._victim()
        if host is not None and not self._world.is_contact(host.index):
            self.kill(host, power=False)
            self.move(host)
            self._world.after(self._down_ms(), self.start, host)

    def move(self, host: "Host") -> None:
        """Give a host whose process does not run another address."""
        self._happened(host, "moves to another address")
        self._world.net.move(host)

    def _fuse(self) -> None:
        host = self._victim()
        if host is not None:
            host.fuse = 1 + self._dice.below(_FUSE_EFFECTS)

    def fuse_blew(self, host: "Host") -> None:
        """End a host between two effects."""
        self.kill(host, power=self._dice.below(2) == 0)
        self._world.after(self._down_ms(), self.start, host)

    def _freeze(self) -> None:
        self._suspend(machine=False)

    def _sleep(self) -> None:
        self._suspend(machine=True)

    def _suspend(self, *, machine: bool) -> None:
        host = self._victim()
        if host is not None:
            self.suspend(host, self._down_ms(), machine=machine)

    def suspend(self, host: "Host", for_ms: int, *, machine: bool) -> None:
        """Freeze a process, or let its machine sleep, for a time."""
        self._happened(host, "falls asleep" if machine else "is frozen")
        self.failures += 1
        self._world.economy.leaves(host)
        host.wakes_ms = self._world.now_ms + for_ms
        host.freeze(machine=machine)
        self._world.after(for_ms, self._thaw, host, host.life)

    def _thaw(self, host: "Host", life: int) -> None:
        if host.life == life and host.frozen:
            self._happened(host, "goes on")
            host.thaw()

    def _pause(self) -> None:
        host = self._victim()
        if host is not None:
            self.pause(host, now=self._dice.below(2) == 0)
            self._world.after(2 * self._down_ms(), self.resume, host)

    def resume(self, host: "Host") -> None:
        """Let a host's owner give it back, unless it is away."""
        self._happened(host, "is resumed")
        host.ask_to_resume()

    def pause(self, host: "Host", *, now: bool) -> None:
        """Let a host's owner pause it."""
        self._happened(host, "is paused at once" if now else "is paused")
        if now:
            self._world.economy.leaves(host)
        self.paused[host.index] = None
        host.ask_to_pause(now=now)

    def _stop(self) -> None:
        host = self._victim()
        if host is not None:
            self._happened(host, "is asked to stop")
            self.failures += 1
            host.ask_to_stop()
            self._world.after(_STOP_PATIENCE_MS + self._down_ms(), self._start_stopped, host, host.life)

    def _start_stopped(self, host: "Host", life: int) -> None:
        """Start a stopped host again, once it is done with stopping."""
        if host.life == life:
            self._world.after(_STOP_PATIENCE_MS, self._start_stopped, host, life)
        else:
            self.start(host)

    # Clocks and disks.

    def _step(self) -> None:
        host = self._victim()
        if host is not None:
            self._world.books.date(host)
            host.clock.step(self._dice.below(2 * HOUR_MS) - HOUR_MS)
            self._world.books.date(host)

    def _rot(self) -> None:
        """Let a piece of a picture or bucket rot on one disk."""
        host = self._victim()
        if host is None:
            return
        facts = self._world.blobs
        pictures = [blob for blob in host.disk.whole() if facts[blob].picture or facts[blob].bucket]
        if pictures:
            blob = pictures[self._dice.below(len(pictures))]
            host.disk.blobs[blob].rotten = 1
            self.rotted.setdefault(blob, {})[host.index] = None
            self._happened(host, f"has a rotten piece of {blob.hex()[:8]}")

    def _fill(self) -> None:
        host = self._victim()
        if host is not None:
            self._fill_disk(host)
            self._world.after(self._down_ms(), self._empty, host)

    def _fill_disk(self, host: "Host") -> None:
        self._happened(host, "has a full disk")
        host.disk.full = True

    def _clone(self, host: "Host") -> None:
        """Copy the disk of a host's original as it is now, and start the host on it."""
        original = self._world.scenario.original(host.index)
        assert original is not None
        self._happened(host, f"starts on a copy of p{original}'s disk")
        host.disk.copy(self._world.hosts[original].disk)
        host.start()

    def _empty(self, host: "Host") -> None:
        host.disk.full = False

    def _stall(self) -> None:
        host = self._victim()
        if host is not None:
            self._happened(host, "has a slow disk")
            host.disk.stall_ms = self._world.scenario.stall_ms
            self._world.after(self._down_ms(), self._unstall, host)

    def _unstall(self, host: "Host") -> None:
        host.disk.stall_ms = 0

    # Lines.

    def _split(self) -> None:
        count = self._world.scenario.peers
        side = [index for index in range(count) if self._dice.below(2)]
        other = [index for index in range(count) if index not in side]
        self._part(side, other, both=True, for_ms=self._down_ms() * 2)

    def _one_way(self) -> None:
        host = self._victim()
        if host is not None:
            deaf = [index for index in range(self._world.scenario.peers) if index != host.index and self._dice.below(3)]
            self._part([host.index], deaf, both=False, for_ms=self._down_ms())

    def _isolate(self) -> None:
        host = self._victim()
        if host is not None:
            others = [index for index in range(self._world.scenario.peers) if index != host.index]
            self._part([host.index], others, both=True, for_ms=self._down_ms())

    def _clog(self) -> None:
        host, other = self._victim(), self._victim()
        if host is not None and other is not None and host is not other:
            self._part([host.index], [other.index], both=True, for_ms=self._down_ms())

    def _lag(self) -> None:
        host = self._victim()
        if host is not None:
            self._happened(host, "is on a slow line")
            self._world.net.lags[host.index] = self._world.scenario.lag_ms
            self._world.after(self._down_ms(), self._unlag, host)

    def _unlag(self, host: "Host") -> None:
        self._world.net.lags.pop(host.index, None)

    def _part(self, side: list[int], other: list[int], *, both: bool, for_ms: int) -> None:
        number = self.cut(tuple(side), tuple(other), both=both)
        self._world.after(for_ms, self.mend, number)

    def cut(self, side: tuple[int, ...], other: tuple[int, ...], *, both: bool) -> int:
        """Cut what `side` sends to `other`, and perhaps the way back; return the number of the cut."""
        pairs = [(one, two) for one in side for two in other]
        if both:
            pairs += [(two, one) for one, two in pairs]
        self._cuts += 1
        self._mends[self._cuts] = tuple(pairs)
        for one, two in pairs:
            self._world.net.cut(one, two)
        self._world.trace.happened(
            self._world.now_ms,
            side[0] if side else 0,
            f"cut {self._cuts}: {side} from {other}{'' if both else ' one way'}",
        )
        self._world.economy.parted(self._cuts, side, other, both)
        self._world.stalls.parted(self._cuts, side, other, both)
        return self._cuts

    @property
    def cuts_now(self) -> int:
        """How many cuts are in force."""
        return len(self._mends)

    def mend(self, number: int) -> None:
        """Take one cut back."""
        if number in self._mends:
            self._world.trace.happened(self._world.now_ms, 0, f"cut {number} is mended")
            self._world.economy.mended(number)
            self._world.stalls.mended(number)
            pairs = self._mends.pop(number)
            for one, two in pairs:
                self._world.net.mend(one, two)

    # Scripts, and the end of all faults.

    def _act(self, act: Act) -> None:
        world = self._world
        for host in (world.hosts[index] for index in act.peers):
            match act.what:
                case "kill" | "power":
                    self.kill(host, power=act.what == "power")
                case "start":
                    self.start(host)
                case "freeze" | "sleep":
                    self.suspend(host, world.scenario.ends_ms, machine=act.what == "sleep")
                case "thaw":
                    self._thaw(host, host.life)
                case "revoke" | "strike":
                    self._happened(host, "is revoked")
                    world.people.revoke(host, strike=act.what == "strike")
                case "move":
                    self.move(host)
                case "fill":
                    self._fill_disk(host)
                case "empty":
                    self._happened(host, "has room again")
                    self._empty(host)
                case "clone":
                    self._clone(host)
                case "stop":
                    self._happened(host, "is asked to stop")
                    self.failures += host.running
                    self._stopping[host.index] = host.life
                    host.ask_to_stop()
                case "upgrade":
                    self._happened(host, "is upgraded")
                    if host.running:
                        world.after(0, self._start_stopped, host, host.life)
                    host.upgrade()
                case "leave":
                    self._happened(host, "is asked to leave")
                    self._goes_for_good(host)
                    host.ask_to_leave()
                case "wipe":
                    self._wipe(host)
                case "pause" | "pause-now":
                    self.pause(host, now=act.what == "pause-now")
                case "resume":
                    self.resume(host)
                case _:
                    pass
        match act.what:
            case "cut" | "cut-one-way":
                others = act.others or tuple(index for index in range(len(world.hosts)) if index not in act.peers)
                self.cut(act.peers, others, both=act.what == "cut")
            case "mend":
                for number in list(self._mends):
                    self.mend(number)
            case "submit":
                world.people.submit(world.people.plans[act.job])
            case "cancel":
                world.people.cancel(world.people.plans[act.job])
            case "weigh":
                world.people.weigh(world.people.plans[act.job], act.weight)
            case "kill-assembler" | "lose-assembler":
                for host in [host for host in world.hosts if host.assemblies.growing]:
                    self._end_assembler(host, for_good=act.what == "lose-assembler")
            case "kill-coordinator" | "mute-coordinator" | "usurp":
                coordinator.strike(world, act.what)
            case _:
                pass

    def _wipe(self, host: "Host") -> None:
        """Take a host away with its disk; what is left must do without."""
        self.kill(host, power=True)
        self._happened(host, "loses its disk")
        self.wiped.update({hold.body.blob: None for hold in self._world.books.standing(host)})
        self._goes_for_good(host)
        host.wipe()

    def _goes_for_good(self, host: "Host") -> None:
        self.core.pop(host.index, None)
        self._for_good[host.index] = None

    def _end_assembler(self, host: "Host", *, for_good: bool) -> None:
        """End a host that assembles a frame, for a while or for good; the first, whom all were told of, for a while."""
        for_good = for_good and host.index > 0
        self.kill(host, power=for_good)
        if for_good:
            self.core.pop(host.index, None)
        else:
            self._world.after(self._world.scenario.down_ms, self.start, host)

    def is_core(self, host: "Host") -> bool:
        """Tell whether the liveness phase counts on a host."""
        return host.index in self.core

    def heal(self) -> None:
        """Mend all lines and disks, start the core set of peers, end all pauses, and all other peers for good, remnants
        apart.
        """
        world = self._world
        coreset.enlarge(world, self.core, self._for_good)
        there = [host for host in world.hosts if not self.is_core(host) and host.index not in self._for_good]
        remnants = there[: world.scenario.remnants]
        for number in list(self._mends):
            self.mend(number)
        world.net.heal()
        for host in world.hosts:
            host.mute = False
            host.fuse = 0
            world.books.date(host)
            host.clock.correct()
            host.disk.full = False
            host.disk.stall_ms = 0
            if host in remnants:
                self._leave_remnant(host)
                continue
            if not self.is_core(host):
                self.kill(host, power=False)
                continue
            self._thaw(host, host.life)
            self.start(host)
            if self._stopping.get(host.index) == host.life:
                self._start_stopped(host, host.life)
            if host.index in self.paused:
                self.resume(host)

    def _leave_remnant(self, host: "Host") -> None:
        """Let one who is not of the core go on, heard by it or hearing it, and never both."""
        core = tuple(self.core)
        if self._dice.below(2):
            self.cut((host.index,), core, both=False)
        else:
            self.cut(core, (host.index,), both=False)
        self._thaw(host, host.life)
        if not host.running:
            self._happened(host, "starts")
            host.start()
