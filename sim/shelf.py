"""What one host's shell does with blobs and files for the core: fetch, store, read, check, export.

The source of a fetch answers from its store alone, so that nothing is served which was not verified and stored before.
A blob's bytes do not exist; that a piece fits its manifest is given by the world's knowledge of the blob.
"""

from typing import TYPE_CHECKING

from blake3 import blake3

from mesh.core.effects import (
    CheckOutput,
    CompareOutputs,
    Evict,
    Export,
    FetchManifest,
    FetchPieces,
    ReadPage,
    ReadTree,
    TakeStock,
    WritePage,
)
from mesh.core.events import (
    BlobDamaged,
    BlobStarted,
    Exported,
    ExportFailed,
    FetchFailed,
    OutputChecked,
    OutputsCompared,
    PageRead,
    PageWritten,
    PiecesStored,
    TreeRead,
)
from mesh.core.stock import Evicted, StockTaken, Stored, StoreMeasured
from mesh.ground.errors import WireError
from mesh.ground.ids import BlobId
from mesh.ground.instants import WallTime
from mesh.ground.store_limits import STORE_LOOK_MS
from mesh.wire.records import SealPage
from sim.disk import BlobFacts, NoRoom
from sim.net import DIAL_GIVEN_UP_MS
from sim.trace import canonical

if TYPE_CHECKING:
    from sim.host import Host
    from sim.world import World

_READ_MS = 2
_CHECK_MS = 40
_EXPORT_MS = 15
_STOCK_MS = 30
_EVICT_MS = 20
_WRITE_AGAIN_MS = 5_000
"""A page for which there is no room is tried again after that."""

_SMALL_US = 1_000
"""What takes a line no longer than this waits for nothing else on it."""

_PAGE_CONTEXT = "meshnode sim seal page"


class Shelf:
    """One host's shell around its store."""

    def __init__(self, world: "World", host: "Host") -> None:
        self._world = world
        self._host = host
        self._dice = world.dice.fork(b"shelf" + host.index.to_bytes(4, "big"))
        self.evicted = 0
        """How many blobs went because their room was needed."""
        self.sends_until_us = 0
        self.receives_until_us = 0
        """When this host's line has sent all that it was asked for, and received all that came, in microseconds."""

    # Fetching.

    def fetch_manifest(self, effect: FetchManifest) -> None:
        """Ask a source for a manifest; the answer takes a round trip."""
        self._world.after(self._round_trip_ms(effect), self._manifest_here, self._host.life, effect)

    def _manifest_here(self, life: int, effect: FetchManifest) -> None:
        source = self._source(life, effect)
        if source is None:
            return
        facts = self._world.blobs.get(effect.blob)
        if facts is None or effect.blob not in source.disk.blobs:
            self._host.receive(FetchFailed(op=effect.op, blob=effect.blob, full=False))
            return
        stored = self._host.disk.start(facts)
        have = tuple(number for number in range(facts.pieces) if stored.bits >> number & 1)
        self._host.receive(BlobStarted(op=effect.op, blob=effect.blob, pieces=facts.pieces, have=have))

    def fetch_pieces(self, effect: FetchPieces) -> None:
        """Ask a source for pieces; the answer takes a round trip and the time of the bytes."""
        world, pieces = self._world, len(effect.numbers)
        round_trip_ms = self._round_trip_ms(effect)
        mbit, facts = world.scenario.line_mbit, world.blobs.get(effect.blob)
        index = world.net.target_of(self._host, effect.peer)
        if not mbit or facts is None or index is None:
            takes_ms = round_trip_ms + pieces * world.scenario.piece_ms
            world.after(takes_ms, self._pieces_here, self._host.life, effect)
            return
        source, takes_us = world.hosts[index].shelf, facts.size * pieces * 8 // (facts.pieces * mbit)
        begins_us = max(1_000 * world.now_ms, source.sends_until_us)
        source.sends_until_us = begins_us + takes_us
        small = takes_us <= _SMALL_US  # connections share a line, so that what is small comes between what is large
        comes_ms = (world.now_ms if small else begins_us // 1_000) + round_trip_ms
        world.at(comes_ms, self._bytes_come, self._host.life, takes_us, effect)

    def _round_trip_ms(self, effect: FetchManifest | FetchPieces) -> int:
        """Draw what a question to a source and its answer take; one that has no host is as near as any."""
        index = self._world.index_of(effect.peer)
        return 2 * self._world.net.latency_ms(self._host.index, self._host.index if index is None else index)

    def _bytes_come(self, life: int, takes_us: int, effect: FetchPieces) -> None:
        """Take bytes off the line as they come, after those that came before: what waits elsewhere keeps nobody."""
        if self._host.life != life:
            return
        now_us = 1_000 * self._world.now_ms
        self.receives_until_us = max(now_us, self.receives_until_us) + takes_us
        here_us = now_us + takes_us if takes_us <= _SMALL_US else self.receives_until_us
        self._world.at(-(-here_us // 1_000), self._pieces_here, life, effect)

    def _pieces_here(self, life: int, effect: FetchPieces) -> None:
        source = self._source(life, effect)
        if source is None:
            return
        facts = self._world.blobs.get(effect.blob)
        source.shelf.read(effect.blob)
        numbers = source.disk.pick(effect.blob, effect.numbers)
        if len(numbers) > 1 and self._world.faulty and self._dice.below(50) == 0:
            numbers = numbers[: 1 + self._dice.below(len(numbers) - 1)]
        if facts is None or not numbers or self._host.disk.full:
            full = self._host.disk.full
            self._host.receive(FetchFailed(op=effect.op, blob=effect.blob, full=full))
            return
        try:
            complete = self._host.disk.store(facts, numbers, page=facts.size <= effect.page_bytes)
        except NoRoom:
            self._host.receive(FetchFailed(op=effect.op, blob=effect.blob, full=True))
            return
        self._host.receive(PiecesStored(op=effect.op, blob=effect.blob, numbers=numbers, complete=complete))

    def _source(self, life: int, effect: FetchManifest | FetchPieces) -> "Host | None":
        """Return the source if it answers now; else see to it that the fetch fails in its time."""
        host, world = self._host, self._world
        if host.life != life:
            return None
        index = world.net.target_of(self._host, effect.peer)
        source = world.hosts[index] if index is not None else None
        failed = FetchFailed(op=effect.op, blob=effect.blob, full=False)
        if source is None or (source.powered and not source.running):
            host.receive(failed)
            return None
        if not source.powered or source.frozen or not world.net.connects(host.index, source.index):
            world.tell(host, DIAL_GIVEN_UP_MS, failed)
            return None
        return source

    # Reading and writing.

    def read(self, blob: BlobId) -> bool:
        """Read a blob and tell whether it is whole; the core is told when that shows a rotten piece."""
        stored = self._host.disk.blobs.get(blob)
        if stored is not None:
            self._host.disk.use(stored)
        return self._check(blob)

    def _check(self, blob: BlobId) -> bool:
        if self._host.disk.find_rot(blob):
            self._world.tell(self._host, 0, BlobDamaged(blob=blob))
        return self._host.disk.has(blob)

    # The store itself.

    def measure(self, life: int) -> None:
        """Tell the core every few seconds how full the store is."""
        host = self._host
        if host.life == life:
            self._world.tell(host, 0, StoreMeasured(stored=host.disk.taken, free=host.disk.room()))
            self._world.after(STORE_LOOK_MS, self.measure, life)

    def scrub(self, life: int, last: BlobId | None = None) -> None:
        """Check one blob after the other for rot."""
        if self._host.life != life:
            return
        after = [blob for blob in self._host.disk.blobs if last is None or blob > last]
        blob = min(after or self._host.disk.blobs, default=None)
        if blob is not None and not self._host.frozen:
            self._check(blob)
        self._world.after(self._world.scenario.scrub_ms, self.scrub, life, blob)

    def take_stock(self, effect: TakeStock) -> None:
        """List what the store holds."""
        self._world.after(_STOCK_MS, self._list, self._host.life, effect)

    def _list(self, life: int, effect: TakeStock) -> None:
        host, disk = self._host, self._host.disk
        if host.life != life:
            return
        blobs = tuple(
            Stored(blob=blob, size=stored.stored, last_used=WallTime(stored.used_ms), whole=stored.complete)
            for blob, stored in disk.blobs.items()
        )
        trees = tuple((root, self._world.trees.get(root, ())) for root in effect.roots if self.read(root))
        told = StockTaken(op=effect.op, stored=disk.taken, free=disk.room(), blobs=blobs, trees=trees)
        self._world.tell(host, _STOCK_MS, told)

    def evict(self, effect: Evict) -> None:
        """Delete blobs that were not used meanwhile."""
        self._world.after(1 + self._dice.below(_EVICT_MS), self._delete, self._host.life, effect)

    def _delete(self, life: int, effect: Evict) -> None:
        host, gone = self._host, []
        if host.life != life:
            return
        for stored in effect.blobs:
            self._world.safety.evicts(host, stored)
            if host.disk.delete(stored.blob, stored.last_used):
                gone.append(stored.blob)
        self.evicted += len(gone)
        self._world.tell(host, _EVICT_MS, Evicted(op=effect.op, gone=tuple(gone)))

    def read_tree(self, effect: ReadTree) -> None:
        """Read which blobs a scene's root names."""
        blobs = self._world.trees.get(effect.root, ()) if self.read(effect.root) else None
        sizes = tuple(self._world.blobs[blob].size for blob in blobs or ())
        self._world.tell(self._host, _READ_MS, TreeRead(op=effect.op, root=effect.root, blobs=blobs, sizes=sizes))

    def write_page(self, effect: WritePage) -> None:
        """Store a seal's page as a blob; its name leaves signatures out, so that it is the same in every mode."""
        blob = BlobId(blake3(canonical(effect.page).encode(), derive_key_context=_PAGE_CONTEXT).digest())
        facts = BlobFacts(blob=blob, pieces=1, size=1_000)
        self._world.blobs[blob] = facts
        self._world.pages[blob] = effect.page
        self._ingest_page(self._host.life, effect, facts)

    def _ingest_page(self, life: int, effect: WritePage, facts: BlobFacts) -> None:
        if self._host.life != life:
            return
        try:
            self._host.disk.ingest(facts, page=True)
        except NoRoom:
            self._world.after(_WRITE_AGAIN_MS, self._ingest_page, life, effect, facts)
            return
        written = PageWritten(op=effect.op, blob=facts.blob)
        self._world.tell(self._host, _READ_MS + self._world.scenario.fsync_ms, written)

    def read_page(self, effect: ReadPage) -> None:
        """Read a seal's page and check its signatures."""
        page: SealPage | None = None
        if self.read(effect.blob):
            page = self._world.pages.get(effect.blob)
        try:
            self._world.checked.check(page)
        except WireError:
            page = None
        self._world.tell(self._host, _READ_MS, PageRead(op=effect.op, blob=effect.blob, page=page))

    def check_output(self, effect: CheckOutput) -> None:
        """Look at a blob as at a picture."""
        facts = self._world.blobs.get(effect.blob)
        good = facts is not None and facts.picture and self.read(effect.blob)
        self._world.tell(self._host, _CHECK_MS, OutputChecked(op=effect.op, blob=effect.blob, good=good))

    def compare_outputs(self, effect: CompareOutputs) -> None:
        """Look whether two pictures show the same; what is rotten cannot be looked at."""
        alike = None
        if self.read(effect.mine) and self.read(effect.theirs):
            mine, theirs = self._world.blobs[effect.mine], self._world.blobs[effect.theirs]
            alike = theirs.picture and mine.look == theirs.look
        self._world.tell(self._host, 2 * _CHECK_MS, OutputsCompared(op=effect.op, alike=alike))

    def export(self, effect: Export) -> None:
        """Write a blob into a person's directory."""
        self._world.after(_EXPORT_MS + self._dice.below(_EXPORT_MS), self._rename, self._host.life, effect)

    def _rename(self, life: int, effect: Export) -> None:
        host = self._host
        if host.life != life:
            return
        place = (effect.directory, effect.name)
        there = host.disk.files.get(place)
        if host.disk.full or not self.read(effect.blob):
            why = "disk full" if host.disk.full else "the blob is not whole"
            host.receive(ExportFailed(op=effect.op, reason=why, exists=False))
            return
        if there is not None and there != effect.blob and not effect.overwrite:
            host.receive(ExportFailed(op=effect.op, reason="another file is there", exists=True))
            return
        self._world.safety.export_lands(host, effect)
        self._world.economy.exported(host, effect)
        host.disk.files[place] = effect.blob
        host.receive(Exported(op=effect.op))
