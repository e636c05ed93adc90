"""A small world: a few hosts, and what each of their acts leads to, worked out once.

A host's state is a number here, and so is all that it may do: `act` says which state an act leads to and what leaves
the host on the way. The first time that a state meets an act, the state is put back into a core of that very process
and the checkers look at what happens; from then on it is a look-up. So the worlds of an exploration are many times
more than the turns that its cores take.

Invariants: blobs and pages are named by what they are made of, so that knowing of them tells no state from another.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from blake3 import blake3

from mesh.core import effects as ef
from mesh.core import events as ev
from mesh.ground.errors import MeshError
from mesh.ground.ids import BlobId, JobId, PeerId
from mesh.ground.instants import DAY_MS, WallTime
from mesh.wire.envelope import Signed, Signer, mesh_id, sign
from mesh.wire.members import ALL_ROLES, Admission
from mesh.wire.records import EngineId, OutputNames, Picture, SealPage
from mesh.wire.tasks import FrameRange, Frames
from sim.assemblies import Growing
from sim.books import Books
from sim.clock import EPOCH_MS
from sim.disk import BlobFacts
from sim.epochs import Epochs
from sim.host import Core
from sim.keys import Keyring
from sim.safety import Safety
from sim.scenario import Scenario
from sim.small_copy import Body, Copy, Shared
from sim.small_host import RENDER_MS, Out, Site, SmallHost, boot_of
from sim.small_rules import Kept, Promises, kept_by, rests_on_the_disk, seals_what_it_delivered
from sim.stills import cut_of
from sim.trust import Trust
from sim.violation import Violation

Act: TypeAlias = tuple[Any, ...]
"""What a host does: its name, and what belongs to it."""

MakeCore: TypeAlias = Callable[[Any, bytes], Core]

_CONTEXT = "meshnode sim small"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the others, and whoever chooses acts, need of a host's state."""

    site: Site
    kept: Kept
    first_due_ms: int | None
    """When its next timer is due."""
    rendered_ms: int | None
    """When its oldest render is done."""
    fetches: tuple[int, BlobId] | None
    """The host and the blob that its oldest work asks another host for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What an act leads to: the host's state, and what left it; or what was broken on the way."""

    state: int
    outs: tuple[Out, ...]
    broken: Exception | None = None


class _Nobody:
    """Who would lie in a larger world."""

    def is_member(self, peer: PeerId) -> bool:
        """Tell that nobody else belongs to the mesh."""
        del peer
        return False


class _NoFaults:
    """Rot, of which there is none."""

    rotted: dict[BlobId, None]

    def __init__(self) -> None:
        self.rotted = {}


class _NoHurry:
    """How soon a cancel is obeyed is asked of larger worlds."""

    def turned(self, host: SmallHost, effects: list[ef.Effect]) -> None:
        """Judge nothing."""


class SmallWorld:
    """All hosts of a small world, and what their acts lead to."""

    def __init__(self, scenario: Scenario, *, seed: int, step_ms: int, make_core: MakeCore) -> None:
        self.scenario = scenario
        self.step_ms = step_ms
        (self.submitter,) = scenario.submitters
        self._seed = f"{seed} "
        self.now_ms = 0
        self.shared = Shared()
        self.blobs: dict[BlobId, BlobFacts] = {}
        self.trees: dict[BlobId, tuple[BlobId, ...]] = {}
        self.pages: dict[BlobId, SealPage] = {}
        self.engines = (EngineId(name="blender", version="4.2.23", build="sim"),)
        self.job: JobId | None = None
        self.turns = 0
        """Acts that were worked out by a core."""
        self.adversary, self.faults = _Nobody(), _NoFaults()
        self._make_core = make_core
        keyring = Keyring("stand-in")
        root = keyring.signer(self._draw("root"))
        self.mesh = mesh_id(root.key)
        self.books: Any = Books(self._seen())
        self.trust: Any = Trust(self._seen())
        self.safety: Any = Safety(self._seen())
        self.safety.cancels = cast(Any, _NoHurry())
        self.hosts: list[SmallHost] = []
        for index in range(scenario.peers):
            signer = keyring.signer(self._draw(f"peer {index}"))
            self.hosts.append(SmallHost(self, index, signer, (self._admit(root, signer),)))
        self._index = {host.peer_id: host.index for host in self.hosts}
        self._bits: dict[BlobId, int] = {}
        self._bodies: dict[tuple[int, int], tuple[Core, Promises, Body, Copy]] = {}
        self._states = Shared()
        self._facts: list[Facts] = []
        self._outcomes: dict[tuple[int, Act, int], Outcome] = {}
        self._epochs: dict[tuple[int, int], Any] = {}
        self.promises = Promises()

    def _seen(self) -> Any:
        """Return this world as the checkers of larger ones take it: they ask for what there is of it."""
        return self

    def seen(self, host: SmallHost) -> Any:
        """Return a host as those checkers take it."""
        return host

    def _admit(self, root: Signer, subject: Signer) -> Signed[Admission]:
        body = Admission(
            mesh=self.mesh,
            subject=subject.key,
            roles=int(ALL_ROLES),
            issued=WallTime(EPOCH_MS - DAY_MS),
            expires=WallTime(EPOCH_MS + 30 * DAY_MS),
            invite=None,
        )
        return sign(body, root)

    def _draw(self, what: str) -> bytes:
        return blake3((self._seed + what).encode(), derive_key_context=_CONTEXT).digest()

    def index_of(self, peer: bytes) -> int | None:
        """Return which host a peer is on."""
        return self._index.get(PeerId(peer))

    def bit(self, blob: BlobId) -> int:
        """Return the bit that stands for a blob."""
        return self._bits.setdefault(blob, 1 << len(self._bits))

    # States.

    def new_host(self, index: int) -> int:
        """Return the state of a host that was never started."""
        return self._state(index, (), Site(), Kept(calls_safe=0, keeps=0))

    def facts(self, state: int) -> Facts:
        """Return what is known of a host's state."""
        return self._facts[state]

    def _state(self, index: int, copy: Copy, site: Site, kept: Kept) -> int:
        number = self._states.number((index, copy, site))
        if number == len(self._facts):
            asked = self.shared.thing(site.works[0]) if site.works else None
            fetches = None
            if isinstance(asked, ef.FetchManifest | ef.FetchPieces):
                fetches = (self._index[asked.peer], asked.blob)
            due_ms = site.timers[0][0] if site.timers else None
            done_ms = site.renders[0][1] + RENDER_MS if site.renders else None
            self._facts.append(Facts(site=site, kept=kept, first_due_ms=due_ms, rendered_ms=done_ms, fetches=fetches))
        return number

    @property
    def states(self) -> int:
        """How many states of single hosts were met."""
        return len(self._facts)

    # Acts.

    def act(self, state: int, act: Act, now_ms: int) -> Outcome:
        """Return what an act of a host leads to."""
        key = (state, act, now_ms)
        found = self._outcomes.get(key)
        if found is None:
            found = self._outcomes[key] = self._work_out(state, act, now_ms)
        return found

    def _work_out(self, state: int, act: Act, now_ms: int) -> Outcome:
        self.turns += 1
        self.now_ms = now_ms
        index, copy, site = self._states.thing(state)
        host = self.hosts[index]
        host.load(site)
        if act[0] == "start":
            host.running = True
        body: Body | None = None
        if host.running:
            host.core, promises, body, fresh = self._body(host)
            body.put(fresh if act[0] == "start" else copy)
            self.promises = promises
        self._open_book(host)
        try:
            self._do(host, act)
            if host.running:
                self.safety.look()
        except (MeshError, AssertionError, LookupError, AttributeError, TypeError, ValueError) as error:
            if body is not None:
                body.forget()
            return Outcome(state=state, outs=(), broken=error)
        if not host.running:
            self._open_book(host)
            copy = ()
            if body is not None:
                body.forget()
        elif body is not None:
            copy = body.take()
        book = self.books.of(host)
        return Outcome(state=self._state(index, copy, host.save(), kept_by(host, book)), outs=tuple(host.outs))

    def _body(self, host: SmallHost) -> tuple[Core, Promises, Body, Copy]:
        key = (host.index, host.life)
        found = self._bodies.get(key)
        if found is None:
            core, promises = self._make_core(host, self._draw(f"core {key}")), Promises()
            self._epochs[key] = epochs = Epochs(self._seen())
            body = Body((core, promises, epochs), (self, host), self.shared)
            found = self._bodies[key] = (core, promises, body, body.take())
        self.safety.epochs = self._epochs[key]
        return found

    def _open_book(self, host: SmallHost) -> None:
        for other in self.hosts:
            other.running = other.running and other is host
        self.books.started(host, host.kept())

    def _do(self, host: SmallHost, act: Act) -> None:
        match act:
            case ("hear", other, number):
                host.receive(ev.MessageHeard(peer=self.hosts[other].peer_id, message=self.shared.thing(number)))
            case ("opened", other, life, dialled):
                peer = self.hosts[other]
                address = peer.address if dialled else None
                host.receive(ev.ChannelOpened(peer=peer.peer_id, boot=boot_of(other, life), address=address))
            case ("closed", other, clean):
                host.receive(ev.ChannelClosed(peer=self.hosts[other].peer_id, clean=clean))
            case ("failed", other, refused):
                host.dialled(other)
                host.receive(ev.DialFailed(peer=self.hosts[other].peer_id, refused=refused))
            case ("dialled", other):
                host.dialled(other)
            case ("sync",):
                host.synced()
            case ("timer",):
                host.fire()
            case ("work", found):
                host.work(found=found)
            case ("render",):
                host.render()
            case ("crash", survive, landed):
                host.crash(survive, landed=landed)
            case ("start",):
                host.start()
            case ("submit",):
                host.receive(self._planned())
            case _:
                assert act == ("cancel",) and self.job is not None
                host.receive(ev.CancelAsked(op=2, job=self.job))

    def _planned(self) -> ev.JobPlanned:
        scene = BlobId(blake3(b"scene", derive_key_context=_CONTEXT).digest())
        facts = BlobFacts(blob=scene, pieces=1, size=1_000)
        self.blobs[scene] = facts
        self.trees[scene] = ()
        self.hosts[self.submitter].disk.ingest(facts)
        return ev.JobPlanned(
            op=1,
            name="job0",
            scene=scene,
            scene_blobs=(scene,),
            engine=self.engines[0],
            frames=Frames(ranges=(FrameRange(first=1, last=self.scenario.frames, step=1),)),
            names=OutputNames(prefix="frame_", digits=4, suffix=".png"),
            picture=Picture(format="PNG", width=1920, height=1080, color_mode="RGB", depth=8),
            directory="/home",
            overwrite=True,
            cut=cut_of(self.scenario),
        )

    # What happens on the way.

    def answered(self, effect: ef.Reply) -> None:
        """Learn which job a person's command is about."""
        if effect.op == 1:
            assert isinstance(effect.reply, ef.Accepted), effect
            self.job = effect.reply.job

    def turned(self, host: SmallHost, event: ev.Event, effects: list[ef.Effect]) -> None:
        """Have the checkers look at a turn."""
        self.books.turned(host, event, effects)
        self.safety.turned(host, event, effects)
        self.promises.turned(host, event, effects)
        seals_what_it_delivered(host, self.books.of(host), effects)

    def sends(self, host: SmallHost, effect: ef.Send) -> None:
        """Have the checkers look at what is sent."""
        self.safety.sends(host, effect)
        rests_on_the_disk(host, effect.message)

    def finishes(self, host: SmallHost, growing: Growing) -> None:
        """Look whether all of a frame was pasted. Raises Violation."""
        cut = growing.effect.job.body.cut
        if cut is None or growing.finishing or len(growing.cells) != len(cut.grid):
            raise Violation("assembly", f"{host.name} finishes a frame of {len(growing.cells)} cells", growing.job)
