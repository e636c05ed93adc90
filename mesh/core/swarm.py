"""Blobs come piece by piece from whoever has them, and are passed on as soon as a piece is verified.

There is one owner, so nobody has to be made to give: whoever wants a blob seeks it among connected peers, hears who
has which pieces, and asks for the rarest first, blobs and pieces, ties broken by a rank of its own so that peers who
start together ask for different ones. Who seeks is a source at once for what it has, and is asked before those that
have more: the one that has all is left for what nobody else has, and sends little more than one copy, however many
peers start together. Pieces are verified by the store before they are offered. At a blob's end an idle source is asked
too for what a slow one has not sent.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache
from heapq import nsmallest

from blake3 import blake3

from mesh.core.directory import Directory
from mesh.core.effects import FetchManifest, FetchPieces
from mesh.core.events import BlobStarted, FetchFailed, PiecesStored
from mesh.core.notes import BlobComplete, PeerLost, PeerReached, PeersNeeded
from mesh.core.ops import Ops
from mesh.core.piecebits import Narrower, bits_of, by_rarity, even_share_of, numbers_of, share_of
from mesh.core.timers import FetchLate
from mesh.core.turn import Turn
from mesh.core.wants import Pieces, Request, Want
from mesh.ground.ids import BlobId, PeerId
from mesh.ground.instants import Instant, Now, later
from mesh.ground.limits import FETCH_MS, FETCH_PIECES, FETCHES, FETCHES_PER_PEER, SEEK_PERIOD_MS
from mesh.ground.store_limits import STOCK_MS, STORE_LOOK_MS
from mesh.wire.messages import MAX_BITS_BYTES, Have, Seek

_SOURCES_ASKED = 24
"""Peers asked for one blob at a time; the next question goes to others too."""

_SEEK_BATCH = 256
_RANKS_KEPT = 1 << 16
"""Ranks are looked at whenever a request ends: of 1,000 blobs and what a few peers want of each."""

_SULK_MS = 5_000
"""A source that failed is left alone for so long."""

_SLOW_MS = 3_000
"""What one source has not sent after so long is asked of an idle one too, where nothing else is left to ask for."""

_SOLE_PIECES = 2
"""Pieces asked for in one go of the only one that has them: others who ask it now take other ones meanwhile."""

_CROWD = 4
"""Of more peers than are asked so many are known to seek a blob: then surely more do, and all are taken for seekers, so
that all agree on whose piece each is."""

_EARLY_MS = 250
"""For so long nobody knows who else seeks a blob: it is taken for a crowd, where there can be one."""

_CROWD_WAIT_MS = 1_000
"""In a crowd a peer leaves the pieces of others for so long to them, and hears of them when they have come."""

_SLOW_PIECES = 2
"""Pieces asked for twice at a time: what else of a slow request is here already is not known."""


class Swarm:
    """Fetch what is wanted; tell seekers what is here."""

    def __init__(self, directory: Directory, ops: Ops) -> None:
        self._directory = directory
        self._ops = ops
        self._pieces: dict[BlobId, Pieces] = {}
        self._complete: dict[BlobId, None] = {}
        self.wants: dict[BlobId, Want] = {}
        self._requests: dict[int, Request] = {}
        self._busy: dict[PeerId, int] = {}
        self._sulking: dict[PeerId, Instant] = {}
        self._seekers: dict[BlobId, dict[PeerId, Instant]] = {}
        self._sought_at: Instant | None = None

    def restore(self, complete: tuple[BlobId, ...]) -> None:
        """Take what lies whole on the disk."""
        self._complete.update(dict.fromkeys(complete))

    def complete(self, blob: BlobId) -> bool:
        """Whether the blob is whole on this peer's disk."""
        return blob in self._complete

    def sought(self, blob: BlobId) -> bool:
        """Whether somebody asked lately for a blob."""
        return blob in self._seekers

    def sought_by(self, peer: PeerId, blob: BlobId) -> bool:
        """Whether a peer asked lately for a blob, as it does until it has it."""
        return peer in self._seekers.get(blob, {})

    def lacking_bytes(self, blob: BlobId, size: int) -> int:
        """Return about how much of a blob of `size` bytes is not here yet."""
        return self._pieces.get(blob, Pieces()).lacking(size)

    def in_vain(self, blob: BlobId, for_ms: int, now: Now) -> bool:
        """Whether a blob is wanted, and for so long nobody has answered that it has it."""
        want = self.wants.get(blob)
        return want is not None and now.instant - want.silent_since >= for_ms

    def add(self, turn: Turn, blob: BlobId) -> None:
        """Note that this peer itself stored a whole blob; that is news only where somebody waits for it."""
        if blob in self.wants:
            self._finish(turn, blob)
        else:
            self._complete[blob] = None

    def want(self, turn: Turn, blob: BlobId, reason: bytes, *hints: PeerId, page_bytes: int = 0) -> None:
        """Fetch a blob for `reason`, such as a job's id; wanting it again only adds hints.

        `hints` are asked first, and all others too if it does not come soon; without one that can be asked, at once.
        The page of a seal has at most `page_bytes`.
        """
        if blob in self._complete:
            return
        want = self.wants.get(blob)
        new = [peer for peer in hints if want is None or peer not in want.hints]
        able = [peer for peer in new if self._directory.connected(peer) and peer != self._directory.me]
        for peer in able:
            turn.send(peer, Seek(blobs=(blob,)))
        if new:
            turn.tell(PeersNeeded(peers=tuple(new)))
        if want is None:
            want = self.wants[blob] = Want(rank=_rank(blob, 0, self._directory.me), since=turn.now.instant)
            if not able:
                self._seek(turn, [blob])
        want.hints.update(dict.fromkeys(new))
        want.reasons[reason] = None
        want.page_bytes = max(want.page_bytes, page_bytes)

    def drop(self, blob: BlobId, reason: bytes) -> None:
        """Want a blob for `reason` no more; what came is kept."""
        want = self.wants.get(blob)
        if want is not None:
            want.reasons.pop(reason, None)
            if not want.reasons:
                self.wants.pop(blob)

    def on_seek(self, turn: Turn, peer: PeerId, message: Seek) -> None:
        """Tell a seeker what is here, now and when it changes."""
        again: list[BlobId] = []
        for blob in message.blobs:
            want = self.wants.get(blob)
            if want is not None and peer in want.sought and peer not in want.sources:
                want.sought.pop(peer)  # it did not want the blob yet when it was asked, and keeps no such questions
                again.append(blob)
            if blob in self._complete or want is not None:
                self._seekers.setdefault(blob, {})[peer] = later(turn.now.instant, 3 * SEEK_PERIOD_MS)
            if blob in self._complete or (blob in self._pieces and self._pieces[blob].tellable):
                turn.send(peer, self._have(blob))
        if again:
            turn.send(peer, Seek(blobs=tuple(again)))

    def on_have(self, turn: Turn, peer: PeerId, message: Have) -> None:
        """Learn who has what of a wanted blob."""
        want = self.wants.get(message.blob)
        if want is None:
            return
        mine = self._pieces.get(message.blob)
        if message.pieces and mine is not None and mine.total and message.pieces != mine.total:
            return
        offer = want.sources[peer] = int.from_bytes(message.bits, "little") if message.pieces else None
        # Peers that all have the same part of a blob do not make it whole, however often they answer.
        if offer is None or mine is None or offer & ~mine.have:
            want.answered_at = turn.now.instant
            self._ask(turn)

    def on_blob_started(self, turn: Turn, event: BlobStarted) -> None:
        """Ask for the pieces of a blob whose manifest came."""
        self._done(event.op)
        want = self.wants.get(event.blob)
        if want is None:
            return
        want.manifest_op = None
        pieces = self._pieces.setdefault(event.blob, Pieces())
        pieces.total = event.pieces
        pieces.have |= bits_of(event.have)
        if pieces.complete:
            self._finish(turn, event.blob)
        self._ask(turn)

    def on_pieces_stored(self, turn: Turn, event: PiecesStored) -> None:
        """Pass on what came."""
        self._done(event.op)
        if event.blob in self._complete:
            self._ask(turn)  # another source was faster
            return
        want = self.wants.get(event.blob)
        pieces = self._pieces.setdefault(event.blob, Pieces())
        pieces.have |= bits_of(event.numbers)
        if want is not None:
            want.asked.pop(event.op, None)
            want.refused = 0
        if event.complete:
            self._finish(turn, event.blob)
        elif pieces.tellable:  # what was forgotten while a piece was on its way has no manifest yet
            self._tell_seekers(turn, event.blob)
        self._ask(turn)

    def on_fetch_failed(self, turn: Turn, event: FetchFailed) -> None:
        """Leave the source alone for a while, and try others; where there is no room here, that blob instead."""
        peer = self._done(event.op)
        want = self.wants.get(event.blob)
        if want is not None:
            want.asked.pop(event.op, None)
            if want.manifest_op == event.op:
                want.manifest_op = None
            if event.full:  # its bytes would come from anywhere in vain, and keep what may find room from its turn
                want.again_at = later(turn.now.instant, min(STORE_LOOK_MS << min(want.refused, 8), STOCK_MS))
                want.refused += 1
            elif peer is not None:
                want.sources.pop(peer, None)
        if peer is not None and not event.full:
            self._sulking[peer] = later(turn.now.instant, _SULK_MS)
        self._ask(turn)

    def forget(self, blob: BlobId) -> None:
        """Believe no more that a blob is here; whoever needs it wants it again, and its manifest says what is left."""
        self._complete.pop(blob, None)
        self._pieces.pop(blob, None)

    def on_fetch_late(self, turn: Turn, timer: FetchLate) -> None:
        """Give up on a request."""
        if timer.op in self._requests:
            self.on_fetch_failed(turn, FetchFailed(op=timer.op, blob=timer.blob, full=False))

    def on_peer_reached(self, turn: Turn, note: PeerReached) -> None:
        """Ask a new peer too."""
        self._sulking.pop(note.peer, None)
        for at in range(0, len(self.wants), _SEEK_BATCH):
            turn.send(note.peer, Seek(blobs=tuple(self.wants)[at : at + _SEEK_BATCH]))

    def on_peer_lost(self, turn: Turn, note: PeerLost) -> None:
        """Forget a source; requests to it fail by themselves."""
        for want in self.wants.values():
            want.sources.pop(note.peer, None)
        for seekers in self._seekers.values():
            seekers.pop(note.peer, None)
        for op, request in [(op, request) for op, request in self._requests.items() if request.peer == note.peer]:
            self.on_fetch_failed(turn, FetchFailed(op=op, blob=request.blob, full=False))

    def on_tick(self, turn: Turn) -> None:
        """Repeat what is sought; forget seekers that have stopped."""
        if self._sought_at is None or turn.now.instant - self._sought_at >= SEEK_PERIOD_MS:
            self._sought_at = turn.now.instant
            self._seek(turn, list(self.wants))
            self._need_sources(turn)
            for blob, seekers in list(self._seekers.items()):
                for peer in [peer for peer, until in seekers.items() if until < turn.now.instant]:
                    seekers.pop(peer)
                if not seekers:
                    self._seekers.pop(blob)
        self._ask(turn)
        self._ask_again(turn)

    def _need_sources(self, turn: Turn) -> None:
        """Say again whom what is wanted may come from."""
        hints: dict[PeerId, None] = {}
        for want in self.wants.values():
            hints.update(want.hints)
            if len(hints) >= _SOURCES_ASKED:
                break
        if hints:
            turn.tell(PeersNeeded(peers=tuple(hints)[:_SOURCES_ASKED]))

    def _seek(self, turn: Turn, blobs: list[BlobId]) -> None:
        asked: dict[PeerId, list[BlobId]] = {}
        for blob in blobs:
            found = self._to_ask(turn, blob)
            self.wants[blob].sought = dict.fromkeys(found)
            for peer in found:
                asked.setdefault(peer, []).append(blob)
        for peer, wanted in asked.items():
            for at in range(0, len(wanted), _SEEK_BATCH):
                turn.send(peer, Seek(blobs=tuple(wanted[at : at + _SEEK_BATCH])))

    def _to_ask(self, turn: Turn, blob: BlobId) -> list[PeerId]:
        connected = self._directory.all_connected()
        if len(connected) <= _SOURCES_ASKED:
            return connected
        want = self.wants.get(blob)
        first = [peer for peer in connected if want is not None and (peer in want.hints or peer in want.sources)]
        start = turn.dice.below(len(connected))
        others = [peer for peer in connected[start:] + connected[:start] if peer not in first]
        return [*first, *others][:_SOURCES_ASKED]

    def _ask(self, turn: Turn) -> None:
        if not self.wants or len(self._requests) >= FETCHES:
            return
        due = ((blob, want) for blob, want in self.wants.items() if want.again_at <= turn.now.instant)
        able = [blob for blob, want in due if any(self._able(turn, peer) for peer in want.sources)]
        if not able:
            return
        breadth = Counter[PeerId]()
        for want in self.wants.values():
            breadth.update(want.sources.keys())
        for blob in sorted(able, key=lambda blob: self._rarity(turn, blob)) if len(able) > 1 else able:
            if len(self._requests) >= FETCHES:
                return
            want, pieces = self.wants[blob], self._pieces.get(blob)
            if pieces is None or not pieces.total:
                self._ask_manifest(turn, blob, want, breadth)
            else:
                while self._ask_pieces(turn, blob, want, pieces, breadth):
                    pass

    def _rarity(self, turn: Turn, blob: BlobId) -> tuple[int, int, bool, bytes]:
        """Order blobs: those that found no room here last, then the rarest first, of equally rare ones those that fall
        to this peer.
        """
        want = self.wants[blob]
        others = any(_rank(blob, 0, rival) < want.rank for rival in self._rivals(turn, blob, want))  # mostly the first
        return (want.refused, len(want.sources), others, want.rank)

    def _rivals(self, turn: Turn, blob: BlobId, want: Want) -> Iterator[PeerId]:
        """Yield who else seeks a blob, or surely may."""
        found = self._directory.all_connected() if self._crowd(turn, blob, want) else self._seekers.get(blob, ())
        return (peer for peer in found if want.sources.get(peer, 0) is not None)

    def _crowd(self, turn: Turn, blob: BlobId, want: Want) -> bool:
        """Whether more peers may seek a blob than are known to."""
        early = turn.now.instant - want.since < _EARLY_MS
        if early and self._directory.channels > _SOURCES_ASKED:
            return True
        return len(self._seekers.get(blob, ())) >= _CROWD

    def _ask_manifest(self, turn: Turn, blob: BlobId, want: Want, breadth: Mapping[PeerId, int]) -> None:
        if want.manifest_op is not None:
            return
        able = [peer for peer in want.sources if self._able(turn, peer)]
        if able:
            peer = min(able, key=lambda source: (breadth[source], self._busy.get(source, 0)))
            want.manifest_op = self._request(turn, blob, peer)
            turn.do(FetchManifest(op=want.manifest_op, peer=peer, blob=blob, page_bytes=want.page_bytes))

    def _ask_pieces(self, turn: Turn, blob: BlobId, want: Want, pieces: Pieces, breadth: Mapping[PeerId, int]) -> bool:
        """Send at most one more request to each source; tell whether one was sent."""
        wanted = pieces.all & ~pieces.have & ~want.under_way
        if not wanted or len(self._requests) >= FETCHES:
            return False
        offers = {peer: pieces.all if offer is None else offer for peer, offer in want.sources.items()}
        able = [peer for peer, offer in offers.items() if offer & wanted and self._able(turn, peer)]
        if not able:
            return False
        rarity = by_rarity(wanted, offers.values())
        sole = next((bits for copies, bits in rarity if copies == 1), 0)
        crowd, rivals = self._crowd(turn, blob, want), list(self._rivals(turn, blob, want))
        ranks = [_rank(blob, 0, rival) for rival in rivals]
        mine = share_of(pieces.total, want.rank, ranks) if crowd else even_share_of(pieces.total, want.rank, ranks)
        others = sole & ~mine if crowd else 0
        share = max(1, -(-wanted.bit_count() // len(able)))
        widths = {peer: (want.sources[peer] is None, breadth[peer]) for peer in offers if self._willing(turn, peer)}
        sent, narrower = False, Narrower(offers, widths)
        for peer in sorted(able, key=lambda source: (widths[source], self._busy.get(source, 0), self._taste(source))):
            offered = offers[peer] & wanted & ~(0 if self._may_take(turn, peer, want) else others)
            chosen = offered & ~narrower.than(peer)
            if not chosen and not self._busy.get(peer) and not (crowd and want.asked):
                chosen = offered  # better twice from there than nothing
            if not chosen or len(self._requests) >= FETCHES:
                continue
            few = bool(chosen & sole) and (bool(rivals) or not pieces.have)
            most = 1 if crowd else _SOLE_PIECES if few else min(FETCH_PIECES, share)
            numbers = self._first(blob, want, [bits & chosen for _, bits in rarity], mine, most)
            self._request_pieces(turn, blob, want, peer, numbers)
            wanted &= ~bits_of(numbers)
            sent = True
        return sent

    def _may_take(self, turn: Turn, source: PeerId, want: Want) -> bool:
        """Whether a source may be asked for what falls to others: at first by who has nothing to do, later by all."""
        early = turn.now.instant - want.since < _CROWD_WAIT_MS
        return not self._requests if early else not self._busy.get(source)

    def _first(self, blob: BlobId, want: Want, rarity: list[int], mine: int, most: int) -> list[int]:
        """Return so many pieces of those in `rarity`, which begins with the rarest; of equally rare ones its own."""
        found: list[int] = []
        for bits in (part for each in rarity for part in (each & mine, each & ~mine)):
            if len(found) == most:
                break
            numbers = list(numbers_of(bits))
            for number in numbers:
                if number not in want.order:
                    want.order[number] = _rank(blob, number, self._directory.me)
            found += nsmallest(most - len(found), numbers, key=want.order.__getitem__)
        return found

    def _taste(self, source: PeerId) -> bytes:
        """Order sources that are as good, for each peer otherwise, so that they are not all asked by everybody."""
        return _rank(BlobId(source), 0, self._directory.me)

    def _ask_again(self, turn: Turn) -> None:
        """Ask idle sources for what others are slow to send, of blobs of which nothing else is left to ask for."""
        for blob, want in self.wants.items():
            pieces = self._pieces.get(blob)
            asked = [number for numbers in want.asked.values() for number in numbers]
            if pieces is None or not asked or pieces.all & ~pieces.have & ~bits_of(asked):
                continue
            slow = [op for op in want.asked if turn.now.instant - self._requests[op].at >= _SLOW_MS]
            late = [number for op in slow for number in want.asked[op] if not pieces.have >> number & 1]
            late = [number for number in late if asked.count(number) == 1]
            for peer in [peer for peer in want.sources if self._able(turn, peer) and not self._busy.get(peer)]:
                chosen = [number for number in late if _has(want.sources[peer], number)][-_SLOW_PIECES:]
                if chosen and len(self._requests) < FETCHES:
                    late = [number for number in late if number not in chosen]
                    self._request_pieces(turn, blob, want, peer, chosen)

    def _request_pieces(self, turn: Turn, blob: BlobId, want: Want, peer: PeerId, numbers: list[int]) -> None:
        op = self._request(turn, blob, peer)
        want.asked[op] = tuple(numbers)
        turn.do(FetchPieces(op=op, peer=peer, blob=blob, numbers=tuple(numbers), page_bytes=want.page_bytes))

    def _able(self, turn: Turn, peer: PeerId) -> bool:
        return self._willing(turn, peer) and self._busy.get(peer, 0) < FETCHES_PER_PEER

    def _willing(self, turn: Turn, peer: PeerId) -> bool:
        until = self._sulking.get(peer)
        sulks = until is not None and turn.now.instant < until
        return not sulks and self._directory.connected(peer)

    def _request(self, turn: Turn, blob: BlobId, peer: PeerId) -> int:
        op = self._ops.next()
        self._requests[op] = Request(blob=blob, peer=peer, at=turn.now.instant)
        self._busy[peer] = self._busy.get(peer, 0) + 1
        turn.wake(FetchLate(op=op, blob=blob), FETCH_MS)
        return op

    def _done(self, op: int) -> PeerId | None:
        request = self._requests.pop(op, None)
        if request is None:
            return None
        self._busy[request.peer] = max(0, self._busy.get(request.peer, 0) - 1)
        return request.peer

    def _finish(self, turn: Turn, blob: BlobId) -> None:
        self._complete[blob] = None
        self._tell_seekers(turn, blob)
        self.wants.pop(blob, None)
        self._pieces.pop(blob, None)
        turn.tell(BlobComplete(blob=blob))

    def _tell_seekers(self, turn: Turn, blob: BlobId) -> None:
        """Tell what is here to the seekers that have not said that they have all of it by now."""
        want, have = self.wants.get(blob), self._have(blob)
        offers = want.sources if want is not None else {}
        for peer in self._seekers.get(blob, {}):
            if offers.get(peer, 0) is not None:
                turn.send(peer, have)

    def _have(self, blob: BlobId) -> Have:
        if blob in self._complete:
            return Have(blob=blob, pieces=0, bits=b"")
        pieces = self._pieces[blob]
        bits = pieces.have.to_bytes((pieces.total + 7) // 8, "little")
        return Have(blob=blob, pieces=pieces.total, bits=bits[:MAX_BITS_BYTES])


def _has(offer: int | None, number: int) -> bool:
    return offer is None or bool(offer >> number & 1)


@lru_cache(maxsize=_RANKS_KEPT)
def _rank(blob: BlobId, number: int, peer: PeerId) -> bytes:
    return blake3(blob + number.to_bytes(4, "big") + peer).digest(length=8)
