"""The world: one heap of things to come, one clock, and everything in it drawn from one seed.

Two things due in the same millisecond happen in the order in which they were planned, so that a run is a function of
its scenario and seed alone. Nothing iterates a set, nothing reads the process's clock or environment.

The run has two phases. In the safety phase every fault of the scenario comes. Then all heals, the core set of peers
is started again and nothing breaks any more: in the liveness phase all must be finished within its time.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

from mesh.core.events import Event
from mesh.core.me import Me
from mesh.core.peer import Peer
from mesh.ground.dice import Dice
from mesh.ground.ids import BlobId, PeerId
from mesh.ground.instants import DAY_MS, WallTime
from mesh.wire.envelope import Signed, Signer, mesh_id, sign
from mesh.wire.members import ALL_ROLES, DEFAULT_ROLES, Admission, Role
from mesh.wire.messages import Address
from mesh.wire.records import EngineId, SealPage
from sim.adversary import Adversary
from sim.books import Books
from sim.capacity import Capacity
from sim.clock import EPOCH_MS
from sim.disk import BlobFacts
from sim.economy import Economy
from sim.fair import Fair
from sim.faults import Faults
from sim.hoarder import Hoarder
from sim.host import Core, Host
from sim.keys import Keyring, Signatures
from sim.liveness import Liveness
from sim.looks import Onlookers
from sim.net import Net, NetFaults, address_of
from sim.parcels import Checked, Wire, parcels_for
from sim.people import People
from sim.reach import Reach
from sim.safety import PARTS, Safety
from sim.scenario import Scenario
from sim.secrets import Secrets
from sim.stalls import Stalls
from sim.trace import Trace
from sim.trust import Trust
from sim.versions import Versions
from sim.views import Views

_ENGINES = ("blender", "povray")
_CHECK_EVERY_MS = 3_000
_WATCH_EVERY_MS = 1_000
_BRIDGES_MS = 20_000
_ADMISSION_MS = 365 * DAY_MS


def me_of(host: Host) -> Me:
    """Return who the peer on a host is, in its present life."""
    world = host.world
    return Me(
        signer=host.signer,
        chain=host.chain,
        mesh=world.mesh,
        boot=host.boot,
        name=host.name,
        everybody=world.scenario.everybody,
    )


def real_core(host: Host, seed: bytes) -> Core:
    """Make the peer that the project ships; where a scenario says so, behind a hoarder's tricks."""
    peer = Peer(me_of(host), seed)
    return Hoarder(host, peer) if host.index in host.world.scenario.hoarders else peer


class World:
    """Everything that there is in one run."""

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        *,
        wire: Wire = "reference",
        signatures: Signatures = "stand-in",
        make_core: Callable[[Host, bytes], Core] = real_core,
    ) -> None:
        self.scenario = scenario
        self.seed = seed
        self.now_ms = 0
        self.events = 0
        self.faulty = True
        """Whether the safety phase is on."""
        self.finished = False
        self._part = 0
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._planned = 0
        self.dice = Dice(b"world" + seed.to_bytes(8, "big"))
        self.make_core = make_core
        self.keyring = Keyring(signatures)
        self.parcels = parcels_for(wire)
        self.checked = Checked(self.keyring.verifier)
        self.secrets = Secrets()
        self.trace = Trace(searched=lambda text: self.secrets.look("what hosts heard and asked for", text))
        self.engines = tuple(
            EngineId(name=_ENGINES[kind % 2], version=f"4.2.{23 + kind}", build="sim")
            for kind in range(scenario.engines)
        )
        self.blobs: dict[BlobId, BlobFacts] = {}
        self.trees: dict[BlobId, tuple[BlobId, ...]] = {}
        self.pages: dict[BlobId, SealPage] = {}

        self._root = self.keyring.signer(self.dice.draw(32))
        self.mesh = mesh_id(self._root.key)
        self.net = Net(self)
        self.net.faults = NetFaults(
            loss_ppm=scenario.loss_ppm, duplicate_ppm=scenario.duplicate_ppm, reorder_ppm=scenario.reorder_ppm
        )
        self.books = Books(self)
        self.capacity = Capacity(self)
        self.economy = Economy(self)
        self.fair = Fair(self)
        self.stalls = Stalls(self)
        self.safety = Safety(self)
        self.reach = Reach(self)
        self.people = People(self)
        self.onlookers = Onlookers(self)
        self.versions = Versions(self)
        self.hosts: list[Host] = []
        self._index: dict[PeerId, int] = {}
        for index in range(scenario.peers):
            self._settle(index)
        self.adversary = Adversary(self)
        self.trust = Trust(self)
        self.faults = Faults(self)
        self.liveness = Liveness(self)
        self.views = Views(self)

    def engine_of(self, job: int) -> EngineId:
        """Return the engine that a job wants."""
        return self.engines[job % len(self.engines)]

    def engines_on(self, index: int, dice: Dice) -> tuple[EngineId, ...]:
        """Return the engines of a host: the first one's all, of others some, one at least."""
        if index == 0 or len(self.engines) == 1:
            return self.engines
        draws = dice.fork(b"engines")
        some = tuple(engine for engine in self.engines if draws.below(2))
        return some or (self.engines[draws.below(len(self.engines))],)

    def _settle(self, index: int) -> None:
        """Make one host, admitted by the root, that knows where the first two listen; or one that is to be a clone."""
        original = self.scenario.original(index)
        if original is None:
            signer = self.keyring.signer(self.dice.draw(32))
            roles = ALL_ROLES if index == 0 else DEFAULT_ROLES
            host = Host(self, index, signer, (self.admit(self._root, signer, roles),))
            host.contacts = self._contacts_of(index)
            self._index[host.peer_id] = index
        else:
            host = Host(self, index, self.hosts[original].signer, self.hosts[original].chain)
        self.hosts.append(host)
        self.net.place(host)

    def is_contact(self, index: int) -> bool:
        """Tell whether a host's address was given to others before their first start."""
        address = address_of(index)
        return any(address in host.contacts for host in self.hosts)

    def _contacts_of(self, index: int) -> tuple[Address, ...]:
        """Return what a host knows of the others at its first start: the first two, of the side that it is on."""
        islanders = self.scenario.islanders
        known: list[int] = []
        if index in islanders:
            known += islanders[:1]
        if index not in islanders or index in self.scenario.bridges:
            known += [other for other in range(self.scenario.peers) if other not in islanders][:2]
        if index in self.scenario.bridges:
            known += islanders[:1]
        wrong = (address_of(self.scenario.peers),) if index in islanders else ()
        return tuple(address_of(other) for other in known if other < index) + wrong

    def admit(self, issuer: Signer, subject: Signer, roles: Role) -> Signed[Admission]:
        """Admit a key to this mesh."""
        body = Admission(
            mesh=self.mesh,
            subject=subject.key,
            roles=roles,
            issued=WallTime(EPOCH_MS - DAY_MS),
            expires=WallTime(EPOCH_MS + _ADMISSION_MS),
            invite=None,
        )
        return sign(body, issuer)

    def member(self, seed: bytes) -> tuple[Signer, tuple[Signed[Admission], ...]]:
        """Admit somebody who has no host: the adversary's identities."""
        signer = self.keyring.signer(seed)
        return signer, (self.admit(self._root, signer, DEFAULT_ROLES),)

    # The heap.

    def at(self, time_ms: int, action: Callable[..., None], *arguments: Any) -> None:
        """Plan an action."""
        self._planned += 1
        heappush(self._heap, (time_ms, self._planned, action, arguments))

    def after(self, delay_ms: int, action: Callable[..., None], *arguments: Any) -> None:
        """Plan an action in `delay_ms` from now."""
        self.at(self.now_ms + delay_ms, action, *arguments)

    def tell(self, host: Host, delay_ms: int, event: Event) -> None:
        """Let a host's present life hear an event in `delay_ms`."""
        self.at(self.now_ms + delay_ms, self._tell, host, host.life, event)

    def tell_at(self, host: Host, time_ms: int, event: Event) -> None:
        """Let a host's present life hear an event at `time_ms`."""
        self.at(time_ms, self._tell, host, host.life, event)

    def _tell(self, host: Host, life: int, event: Event) -> None:
        if host.life == life:
            host.receive(event)

    def index_of(self, peer: PeerId) -> int | None:
        """Return which host a peer is on, of clones the original; None for one that has no host."""
        return self._index.get(peer)

    # The run.

    def begin(self) -> None:
        """Plan all that is to come of itself."""
        self.secrets.add("a signing key", *self.keyring.secrets)
        scenario = self.scenario
        for host in self.hosts:
            late_ms = _BRIDGES_MS if host.index in scenario.bridges else 0
            if host.index >= scenario.peers - scenario.late:
                late_ms = scenario.late_ms
            if scenario.original(host.index) is None:
                self.at(late_ms + self.dice.below(500), host.start)
        self.people.plan_all()
        self.faults.plan_all()
        self.adversary.plan_all()
        self.versions.plan_all()
        self.after(_CHECK_EVERY_MS, self._check)
        self.at(scenario.safety_ms, self._heal)

    def run(self) -> None:
        """Run to the end; raises `Violation`, and lets pass what the core itself raises."""
        self.begin()
        self.go_on()
        self.safety.end()
        self.reach.look()
        self.economy.end()
        self.fair.judge()

    def go_on(self) -> None:
        """Let time pass until all is finished."""
        heap = self._heap
        while heap and not self.finished:
            self.now_ms, _, action, arguments = heappop(heap)
            self.events += 1
            action(*arguments)

    def _heal(self) -> None:
        """Go from the safety phase to the liveness phase."""
        self.faulty = False
        self.safety.look()
        self.fair.judge()
        self.faults.heal()
        self.views.healed()
        self.after(_WATCH_EVERY_MS, self._watch)

    def _check(self) -> None:
        self.safety.doors()
        self.safety.look(self._part)
        if self.faulty:
            self.reach.look()
        self.fair.look()
        self.stalls.look()
        self._part = (self._part + 1) % PARTS
        self.after(_CHECK_EVERY_MS, self._check)

    def _watch(self) -> None:
        """End the run when all is finished, or fail it when that takes too long."""
        self.views.look()
        settled = self.now_ms >= self.scenario.least_ms and self.views.converged_ms is not None
        if settled and self.liveness.finished():
            self.finished = True
        elif self.now_ms > self.scenario.ends_ms:
            self.liveness.fail()
        else:
            self.after(_WATCH_EVERY_MS, self._watch)
