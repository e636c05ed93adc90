"""Pushing: what is new to this peer is offered to a few contacts by its short id, and sent to whoever asks.

Theory: an epidemic. Who hears of an item that it lacks asks for it, then offers it to three others at once, and to
three more in each of the next two seconds, in one message with all that is new. Three rounds of three reach all but one
in some thousands, and comparing (`digests`) finds those. An item is asked of one teller at a time; whoever else told of
it is asked when that one does not answer.

Invariants: what a peer draws, in items, in ids or in comparing, comes out of a purse of its own. What it invents costs
one question for each eight bytes of it, of which a bounded number is remembered. An item that came and was not taken is
not asked for again for a while. What an item says, and whether it is to be believed, is not known here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from mesh.core.catalogue import Catalogue, Item, cancel_key, id_of, key_of
from mesh.core.directory import Directory
from mesh.core.membership import Members
from mesh.core.purse import Purse
from mesh.core.turn import Turn
from mesh.ground.ids import JobId, PeerId
from mesh.ground.instants import MINUTE_MS, SECOND_MS, Instant, later
from mesh.wire.envelope import Signed
from mesh.wire.gossip import SHORT_BYTES, Chains, Offer, Want
from mesh.wire.members import Admission
from mesh.wire.messages import Head, News, Revocations, portions
from mesh.wire.records import Entry, Mark
from mesh.wire.revocations import Notice

OFFER_FANOUT = 3
"""Contacts that are told of something new at once, and in each later round: a few bytes each, who lacks it asks."""

OFFER_ROUNDS = 3
"""Rounds of each, the later ones a second apart: one alone leaves out a peer in twenty, three one in some thousands."""

_OFFER_ALL = 8
"""With so few contacts all are told at once."""

WANT_MS = 2 * SECOND_MS
"""Who was asked for an item and has not sent it by then is asked no more, but the next who told of it."""

_WANT_TELLERS = 3
"""Others that are remembered for that."""

WANTS_UNDER_WAY = 512
"""Items asked of one peer at a time: half a megabyte of jobs, well within what a channel queues."""

MAX_WANTED = 16_384
"""Items that a peer was told of and lacks; a larger set is taken in several comparisons."""

MAX_WANTED_EACH = 8_192
"""Of these by the word of one peer, so that an inventor leaves room for the others."""

_REFUSED_MS = MINUTE_MS
"""An item that came and was not taken is not asked for again so soon."""

EARLY_MS = 10 * SECOND_MS
"""Nor is one that waits here for its author's chain, unless that does not come: then both are asked for again."""

_PUT_OFF_MOST = 8_192
"""Such items that are remembered."""

_CHASE_MS = 10 * SECOND_MS
"""The job or the chain that a mark is of, and that is not known here, is asked for again so often."""

_CHASED_MOST = 256
"""Such questions that are remembered."""

SET_PURSE_BYTES = 8 * 1024 * 1024
"""What one peer may draw of the set at once: about all that the largest has, for a newcomer."""

SET_BYTES_PER_SECOND = 64 * 1024
"""And in the long run: an honest peer asks for each item once."""

_PURSES_MS = 10 * SECOND_MS
"""The purses of those that are gone are looked for that often."""

assert WANTS_UNDER_WAY < MAX_WANTED_EACH < MAX_WANTED

_MANY = 64
"""Who lacks more than so many items came late: what it hears then is old to the others, and not told on."""

_HEAD_BYTES = 1_024
_NOTICE_BYTES = 2_048
_CHAIN_BYTES = 512
_OTHER_BYTES = 256
"""What an item takes to send, about."""


@dataclass(slots=True)
class Fresh:
    """Something new that is still offered."""

    rounds: int
    aware: dict[PeerId, None] = field(default_factory=dict)
    """Who has it, or was told of it."""


@dataclass(slots=True)
class Wanted:
    """An item that was told of, and is not here."""

    asked: PeerId
    asked_at: Instant | None = None
    """None: its turn has not come."""
    tellers: list[PeerId] = field(default_factory=list)
    """Who else has it."""


class Offers:
    """Offer what is new, ask for what others offer, and send what they ask for."""

    def __init__(self, catalogue: Catalogue, members: Members, directory: Directory) -> None:
        self._catalogue = catalogue
        self._members = members
        self._directory = directory
        self._fresh: dict[bytes, Fresh] = {}
        self._wanted: dict[bytes, Wanted] = {}
        self._waiting: dict[PeerId, dict[bytes, None]] = {}
        """What each teller is to be asked for."""
        self._asked: dict[PeerId, dict[bytes, None]] = {}
        """What each was asked for, the oldest question first."""
        self._put_off: dict[bytes, Instant] = {}
        """Until when what came and could not be taken is not asked for again."""
        self._chased: dict[bytes, Instant] = {}
        self._purses: dict[PeerId, Purse] = {}
        self._purses_due = Instant(0)
        """When they are looked through again."""
        self.crowded = False
        """Whether there was more to take than there is room to remember; whoever compares sees to it."""

    @property
    def catching_up(self) -> bool:
        """Whether so much is missing here that this peer has news for nobody."""
        return len(self._wanted) > _MANY

    def read_by(self, peer: PeerId) -> Catalogue:
        """Return the part of the set that a peer can read."""
        return self._catalogue.read_by(self._directory.version(peer))

    def spread(self, turn: Turn, items: Sequence[Item], *, but: PeerId | None = None, at_once: bool = True) -> None:
        """Offer what is new to some contacts now, or with the next tick; then to others."""
        if not items:
            return
        ids = [id_of(item) for item in items]
        aware = {but: None} if but is not None else {}
        for short in ids:
            self._fresh[short] = Fresh(rounds=OFFER_ROUNDS, aware=dict(aware))
        if at_once:
            self._round(turn, ids)

    def on_offer(self, turn: Turn, peer: PeerId, offer: Offer) -> None:
        """Ask for what this peer lacks."""
        self.told(turn, peer, offer.ids)

    def told(self, turn: Turn, peer: PeerId, ids: Iterable[bytes]) -> None:
        """Take a peer's word that it has these items."""
        waiting = self._waiting.setdefault(peer, {})
        asked = self._asked.setdefault(peer, {})
        for short in ids:
            if short in self._fresh:
                self._fresh[short].aware[peer] = None
            if self._catalogue.find(short) is not None or self._is_put_off(turn.now.instant, short):
                continue
            wanted = self._wanted.get(short)
            if wanted is not None:
                if wanted.asked != peer and peer not in wanted.tellers and len(wanted.tellers) < _WANT_TELLERS:
                    wanted.tellers.append(peer)
            elif len(self._wanted) < MAX_WANTED and len(waiting) + len(asked) < MAX_WANTED_EACH:
                self._wanted[short] = Wanted(asked=peer)
                waiting[short] = None
            else:
                self.crowded = True
        self._ask(turn, peer)

    def tell(self, turn: Turn, peer: PeerId, keys: Sequence[bytes]) -> None:
        """Offer a peer what comparing shows that it lacks."""
        for portion in portions(Offer, "ids", keys):
            if not self.pay(turn, peer, SHORT_BYTES * len(portion)):
                return
            turn.send(peer, Offer(ids=portion))

    def on_want(self, turn: Turn, peer: PeerId, want: Want) -> None:
        """Send what is asked for, as far as the peer's purse goes; with a job its cancel."""
        chains = [chain for author in want.authors if (chain := self._members.chain(author)) is not None]
        if chains and self.pay(turn, peer, _CHAIN_BYTES * len(chains)):
            turn.send(peer, Chains(chains=tuple(chains)))
        items: dict[bytes, Item] = {}
        read = self.read_by(peer)
        for short in want.ids:
            found = read.find(short)
            if found is None:
                continue
            if not self.pay(turn, peer, _bytes(found)):
                break
            items[key_of(found)] = found
            if short in self._fresh:
                self._fresh[short].aware[peer] = None
            cancel = read.find(cancel_key(JobId(found.job.id))) if isinstance(found, Head) else None
            if cancel is not None:
                items[key_of(cancel)] = cancel
        send_items(turn, peer, list(items.values()))

    def heard(self, turn: Turn, peer: PeerId, items: Iterable[Item], early: Mapping[bytes, int]) -> None:
        """Note that items came, and ask for the next ones; what was not taken is put off, an `early` one so many ms."""
        for item in items:
            put_off_ms = early.get(id_of(item), _REFUSED_MS)
            for short in (id_of(item), key_of(item)):
                wanted = self._wanted.pop(short, None)
                if wanted is not None:
                    self._asked.get(wanted.asked, {}).pop(short, None)
                    self._waiting.get(wanted.asked, {}).pop(short, None)
                if self._catalogue.find(short) is None:
                    self._put_off[short] = later(turn.now.instant, put_off_ms)
        while len(self._put_off) > _PUT_OFF_MOST:
            self._put_off.pop(next(iter(self._put_off)))
        self._ask(turn, peer)

    def chase_job(self, turn: Turn, peer: PeerId, job: JobId) -> None:
        """Ask whoever sent a mark for its job, which is not known here."""
        if self._chases(turn, job) and not self._is_put_off(turn.now.instant, job[:SHORT_BYTES]):
            turn.send(peer, Want(ids=(job[:SHORT_BYTES],), authors=()))

    def chase_authors(self, turn: Turn, peer: PeerId, authors: Iterable[PeerId]) -> None:
        """Ask whoever sent items for their authors' chains, without which they cannot be judged."""
        chased = [author for author in dict.fromkeys(authors) if self._chases(turn, author)]
        for portion in portions(Want, "authors", chased):
            turn.send(peer, Want(ids=(), authors=portion))

    def pay(self, turn: Turn, peer: PeerId, cost_bytes: int) -> bool:
        """Take from a peer's purse what it draws; tell whether it was there."""
        now = turn.now.instant
        purse = self._purses.get(peer)
        if purse is None:
            purse = self._purses[peer] = Purse(now, most=SET_PURSE_BYTES, per_second=SET_BYTES_PER_SECOND)
        return purse.pay(now, cost_bytes)

    def on_tick(self, turn: Turn) -> None:
        """Offer again what is new; ask others for what did not come; forget the purses of those that are gone."""
        self._round(turn, list(self._fresh))
        for peer in list(self._asked):
            self._look_after(turn, peer)
        if turn.now.instant < self._purses_due:
            return
        self._purses_due = later(turn.now.instant, _PURSES_MS)
        for peer, purse in list(self._purses.items()):
            if not self._directory.connected(peer) and purse.full(turn.now.instant):
                del self._purses[peer]

    def _round(self, turn: Turn, ids: Sequence[bytes]) -> None:
        """Offer items to a few contacts, each to those of them that may lack it."""
        if not ids:
            return
        connected = self._directory.all_connected()
        small = len(connected) <= _OFFER_ALL
        due = [(short, fresh) for short in ids if (fresh := self._fresh.get(short)) is not None]
        lacking = [peer for peer in connected if any(peer not in fresh.aware for _, fresh in due)]
        for peer in lacking if small else _drawn(turn, lacking, OFFER_FANOUT):
            untold = [short for short, fresh in due if peer not in fresh.aware]
            for portion in portions(Offer, "ids", self._readable(peer, untold)):
                turn.send(peer, Offer(ids=portion))
            for short in untold:
                self._fresh[short].aware[peer] = None
        for short, fresh in due:
            fresh.rounds -= 1
            if small or fresh.rounds <= 0:
                del self._fresh[short]

    def _readable(self, peer: PeerId, ids: list[bytes]) -> list[bytes]:
        """Return the items that a peer can read; one that has left the set is nobody's matter."""
        read = self.read_by(peer)
        return ids if read is self._catalogue else [short for short in ids if read.find(short) is not None]

    def _ask(self, turn: Turn, peer: PeerId) -> None:
        """Ask a peer for what is next, so that it always has something to send, and never more than a channel takes."""
        waiting, asked = self._waiting.get(peer, {}), self._asked.setdefault(peer, {})
        if not waiting or len(asked) > WANTS_UNDER_WAY // 2 or not self._directory.connected(peer):
            return
        ids = []
        while waiting and len(asked) < WANTS_UNDER_WAY:
            short = next(iter(waiting))
            del waiting[short]
            wanted = self._wanted[short]
            if self._catalogue.find(short) is not None:
                del self._wanted[short]
                continue
            wanted.asked_at = turn.now.instant
            asked[short] = None
            ids.append(short)
        for portion in portions(Want, "ids", ids):
            turn.send(peer, Want(ids=portion, authors=()))

    def _look_after(self, turn: Turn, peer: PeerId) -> None:
        """Give up what one teller has not sent in time, and ask the next one."""
        asked, waiting = self._asked[peer], self._waiting.setdefault(peer, {})
        gone = not self._directory.connected(peer)
        late = []
        for short in asked:
            at = self._wanted[short].asked_at
            assert at is not None
            if not gone and turn.now.instant - at < WANT_MS:
                break
            late.append(short)
        if gone:
            late += list(waiting)
            waiting.clear()
        others: dict[PeerId, None] = {}
        for short in late:
            asked.pop(short, None)
            wanted = self._wanted[short]
            if self._catalogue.find(short) is not None or not wanted.tellers:
                del self._wanted[short]
                continue
            wanted.asked, wanted.asked_at = wanted.tellers.pop(0), None
            self._waiting.setdefault(wanted.asked, {})[short] = None
            others[wanted.asked] = None
        for other in (peer, *others):
            self._ask(turn, other)
        if not asked and not self._waiting[peer]:
            del self._asked[peer], self._waiting[peer]

    def _chases(self, turn: Turn, what: bytes) -> bool:
        """Whether something may be asked for that was not offered, as it may now and then."""
        at = self._chased.get(what)
        if at is not None and turn.now.instant - at < _CHASE_MS:
            return False
        self._chased[what] = turn.now.instant
        while len(self._chased) > _CHASED_MOST:
            self._chased.pop(next(iter(self._chased)))
        return True

    def _is_put_off(self, now: Instant, short: bytes) -> bool:
        until = self._put_off.get(short)
        if until is None or now < until:
            return until is not None
        del self._put_off[short]
        return False


def send_items(turn: Turn, peer: PeerId, items: Sequence[Item]) -> None:
    """Send items whole, revocations first and jobs before what is said of them."""
    notices = [item for item in items if isinstance(item, Notice)]
    for some in portions(Revocations, "notices", notices):
        turn.send(peer, Revocations(notices=some))
    heads = [item for item in items if isinstance(item, Head)]
    for part in portions(News, "heads", heads):
        turn.send(peer, News(heads=part, marks=(), cancels=(), admissions=()))
    signed = [item for item in items if isinstance(item, Signed)]
    rest = (
        portions(News, "marks", [item for item in signed if isinstance(item.body, Mark)]),
        portions(News, "cancels", [item for item in signed if isinstance(item.body, Entry)]),
        portions(News, "admissions", [item for item in signed if isinstance(item.body, Admission)]),
    )
    for marks, cancels, admissions in zip_longest(*rest, fillvalue=()):
        turn.send(peer, News(heads=(), marks=marks, cancels=cancels, admissions=admissions))


def _bytes(item: Item) -> int:
    match item:
        case Head():
            return _HEAD_BYTES
        case Notice():
            return _NOTICE_BYTES
        case _:
            return _OTHER_BYTES


def _drawn(turn: Turn, others: list[PeerId], count: int) -> list[PeerId]:
    left = list(others)
    return [left.pop(turn.dice.below(len(left))) for _ in range(min(count, len(left)))]
