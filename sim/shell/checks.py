"""The checkers of tier B: what each turn and each packet must keep, and what must be so at the end.

They judge from what lies on disks, what journals were told and what files say; the fold is the model's, which shares no
code with the core's. What is found is noted, and ends the run at the next look, since who finds it is in the middle of
the very node that it is about.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from mesh.core.effects import Append, Effect, StartAssembly, StartRender, Stopped
from mesh.core.events import Event
from mesh.core.me import Me
from mesh.core.peer import Peer
from mesh.core.status import JobState, TaskState, TaskView
from mesh.ground.errors import WireError
from mesh.ground.ids import JobId
from mesh.ground.instants import Now
from mesh.node.tape import Recorder
from mesh.wire import messages
from mesh.wire.copies import Holds
from mesh.wire.envelope import Signed
from mesh.wire.kept import Kept, KeptOrder
from mesh.wire.messages import Entries
from mesh.wire.records import Entry, Result, Seal, SealPage, decode_page
from sim.books import Book
from sim.model import Told, fold_frames
from sim.secrets import Secrets
from sim.shell.disk import Disk
from sim.violation import Violation

if TYPE_CHECKING:
    from sim.shell.host import Host

_KEPT_FIRST: Final = tuple(
    bytes((0x82, 0x18, kind.NUMBER) if kind.NUMBER > 23 else (0x82, kind.NUMBER)) for kind in (Entries, Holds)
)
"""How packets begin that may carry statements which their author must have kept before."""

_LOOK_BYTES: Final = 1 << 20


class Checks:
    """All checkers of one run."""

    def __init__(self, secrets: Secrets) -> None:
        self.found: list[Violation] = []
        self.secrets = secrets
        self.packets = 0
        """Looked into."""
        self.folds = 0
        """Compared."""
        self._said: list[bytes] = []
        self._said_bytes = 0

    def broken(self, rule: str, text: str, *ids: bytes) -> None:
        """Note that a rule was broken."""
        self.found.append(Violation(rule, text, *ids))

    # Every turn.

    def turned(self, host: "Host", book: Book, effects: Sequence[Effect]) -> None:
        """S11: no task of a job is started whose cancel is in the journal."""
        for effect in effects:
            if isinstance(effect, StartRender | StartAssembly) and JobId(effect.job.id) in book.cancels:
                self.broken("S11", f"{host.name} started task {effect.task} of a cancelled job", effect.job.id)

    def after_stop(self, host: "Host", event: Event, effect: Effect) -> None:
        """S12: nothing has an effect after the core said that it stops."""
        self.broken("S12", f"{host.name} asked for {effect} on {type(event).__name__} after it had stopped")

    # Every packet.

    def said(self, host: "Host", packet: bytes) -> None:
        """barrier: what a peer says under its own key is in its journal by then. S13: no packet holds a secret."""
        self._said.append(packet)
        self._said_bytes += len(packet)
        if self._said_bytes > _LOOK_BYTES:
            self.look_through()
        if not packet.startswith(_KEPT_FIRST):
            return
        self.packets += 1
        try:
            message = messages.decode(packet)
        except WireError:
            self.broken("wire", f"{host.name} said what nobody can read")
            return
        said = message.entries if isinstance(message, Entries) else message.holds if isinstance(message, Holds) else ()
        for signed in said:
            if signed.author == host.peer and signed.id not in host.disk.written:
                self.broken("barrier", f"{host.name} sent a statement of its own before it was kept", signed.id)

    def look_through(self) -> None:
        """S13: no packet holds a secret; many at a time, since the search costs the same for a few."""
        said, self._said, self._said_bytes = b"\0".join(self._said), [], 0
        try:
            self.secrets.look("what peers said", said)
        except Violation as violation:
            self.found.append(violation)

    # Now and then.

    def folds_agree(self, host: "Host", core: Peer, book: Book) -> None:
        """S4: what a peer shows of its jobs is what its records say."""
        for job, head in book.heads.items():
            views = core.task_views(job)
            entries = list(book.entries.get(job, {}).values())
            told = fold_frames(head.author, head.body, entries, range(len(head.body.frames)))
            pages = [page for entry in entries if (page := _page(host.disk, entry)) is not None]
            for view in views:
                self.folds += 1
                if not _agrees(view, told[view.task]) and not any(_sealed_as(page, view) for page in pages):
                    said = told[view.task]
                    text = f"{host.name} shows task {view.task} as {view.state.value}, its records say {said}"
                    self.broken("S4", text, job)

    # At the end.

    def same_everywhere(self, hosts: Iterable["Host"]) -> None:
        """S3: peers that show a job sealed show the same results; S1: what is safe is whole on somebody's disk."""
        first: dict[JobId, tuple[str, tuple[TaskView, ...]]] = {}
        hosts = list(hosts)
        for host in hosts:
            for job in host.book.heads:
                view, views = host.job_view(job), host.core.task_views(job)
                if (
                    view is None
                    or not views
                    or not host.core.ledger.jobs[job].seals
                    or view.state is not JobState.SEALED
                ):
                    continue
                name, seen = first.setdefault(job, (host.name, views))
                if [one.result for one in seen] != [one.result for one in views]:
                    self.broken("S3", f"{name} and {host.name} show a job sealed with different results", job)
                for one in views:
                    if one.state is TaskState.SAFE and not _is_somewhere(host, one, job, hosts):
                        self.broken("S1", f"{host.name} calls task {one.task} safe, which nobody has", job)


def _page(disk: Disk, entry: Signed[Entry]) -> SealPage | None:
    """Return what a seal says, where it is here."""
    what = entry.body.what
    kept = disk.shelves.blobs.get(what.blob) if isinstance(what, Seal) else None
    if kept is None or len(kept.pieces) < len(kept.manifest.pieces):
        return None
    return decode_page(b"".join(kept.pieces[number] for number in sorted(kept.pieces)))


def _sealed_as(page: SealPage, view: TaskView) -> bool:
    sealed = page.tasks[view.task].result if view.task < len(page.tasks) else None
    return (sealed.id if sealed is not None else None) == view.result


def _agrees(view: TaskView, told: Told) -> bool:
    if (view.state is TaskState.STOPPED) != told.stopped:
        return False
    counts = view.state in (TaskState.COUNTS, TaskState.SAFE)
    return counts == (told.result is not None) and (not counts or view.result == told.result)


def _is_somewhere(host: "Host", view: TaskView, job: JobId, hosts: list["Host"]) -> bool:
    entry = host.book.entries.get(job, {}).get(view.result) if view.result is not None else None
    if entry is None or not isinstance(entry.body.what, Result):
        return True  # the seal's page alone tells it
    stores = [other.disk.shelves.blobs for other in hosts]
    return all(
        any((kept := blobs.get(output.blob)) and len(kept.pieces) == len(kept.manifest.pieces) for blobs in stores)
        for output in entry.body.what.outputs
    )


class Witness:
    """The tape of one life: what checkers, the trace and, where the core is recorded, a real tape hear of each turn."""

    def __init__(self, host: "Host", book: Book, recorder: Recorder | None) -> None:
        self._host = host
        self._book = book
        self._recorder = recorder
        self._event: Event | None = None
        self._stopped = False

    def begin(self, me: Me, seed: bytes) -> Me:
        """Take who the core is."""
        return self._recorder.begin(me, seed) if self._recorder is not None else me

    def heard(self, now: Now, event: Event) -> None:
        """Take what the core is about to hear."""
        self._event = event
        if self._recorder is not None:
            self._recorder.heard(now, event)

    def asked(self, effects: Sequence[Effect]) -> None:
        """Take what it asked for."""
        host, event = self._host, self._event
        assert event is not None, "a turn without an event"
        if self._recorder is not None:
            self._recorder.asked(effects)
        if self._stopped and effects:
            host.mesh.checks.after_stop(host, event, effects[0])
        self._stopped |= any(isinstance(effect, Stopped) for effect in effects)
        host.mesh.checks.turned(host, self._book, effects)
        host.mesh.trace.turn(host.mesh.now_ms, host.index, event, list(effects))
        for effect in effects:
            if isinstance(effect, Append):
                for kept in effect.entries:
                    self._book.add(kept)
                    host.noted(kept)

    def broke(self, error: Exception) -> None:
        """Take that it broke a rule."""
        if self._recorder is not None:
            self._recorder.broke(error)


def order_of(kept: Kept) -> tuple[JobId, str] | None:
    """Return which job's files an entry of a journal wants where."""
    return (kept.job, kept.directory) if isinstance(kept, KeptOrder) else None
