"""Handshakes by datagrams that others began here: who gets a place, who must show a cookie first, who gets nothing.

Theory: whoever knows a recorded first message can send it from any address it likes. So what a first datagram costs is
bounded in steps: it is looked at (the mesh secret tells strangers from members, and recordings), at most so often a
second; it gets a place and an answer, at most so often a second, while few places are taken; beyond that it must show
a cookie. A cookie says that the caller reads what is sent to its address *and* knows the mesh secret now, which a
recording does not: the cookie travels sealed under that secret. It is a keyed hash of address and message, so that
nothing is kept of those who were given one.

Invariants: what is kept is bounded, per source and in all. Whoever did not prove that it knows the mesh secret earns
no byte; nobody earns a datagram longer than its own. Those who showed a cookie are never pushed out by those who did
not. The module must not know what a proof is good for.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final

from blake3 import blake3

from mesh.ground.datagram_limits import (
    ANSWERS_PER_SECOND,
    ANSWERS_PER_SOURCE,
    CHECKS_PER_SECOND,
    CHECKS_PER_SOURCE,
    COOKIE_MS,
    HALF_OPEN_CALM,
    HALF_OPEN_MS,
    HALF_OPEN_PER_SOURCE,
    MAX_HALF_OPEN,
)
from mesh.ground.instants import SECOND_MS, Instant
from mesh.wire.datagram import COOKIE_NONCE_SIZE, COOKIE_SIZE, INDEX_SIZE, NO_COOKIE, First, Part, seal_cookie
from mesh.wire.greeting import Answerer, Company, Proven
from mesh.wire.messages import Address
from mesh.wire.noise import KEY_SIZE

_NETWORK_BITS: Final = 64

Entropy = Callable[[int], bytes]
"""Returns so many bytes that nobody can guess."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """How many half-open handshakes there may be; a test may set them low."""

    most: int = MAX_HALF_OPEN
    calm: int = HALF_OPEN_CALM
    per_source: int = HALF_OPEN_PER_SOURCE


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Who waits there, since when and for whom."""

    answerer: Answerer
    address: Address
    source: str
    since: Instant
    sure: bool
    """Whether it showed a cookie."""


class Budget:
    """How often something may be done in a second, in all and for one source."""

    __slots__ = ("_all", "_begun", "_per_source", "_spent", "_total")

    def __init__(self, *, total: int, per_source: int) -> None:
        self._total = total
        self._per_source = per_source
        self._begun: int | None = None
        self._all = 0
        self._spent: Counter[Hashable] = Counter()

    def spend(self, now: Instant, source: Hashable) -> bool:
        """Whether it may be done once more now; it counts as done."""
        if self.spent(now, source):
            return False
        self._all += 1
        self._spent[source] += 1
        return True

    def spent(self, now: Instant, source: Hashable) -> bool:
        """Whether it was done as often as it may be."""
        second = now // SECOND_MS
        if second != self._begun:
            self._begun, self._all = second, 0
            self._spent.clear()
        return self._all >= self._total or self._spent[source] >= self._per_source


class Cookies:
    """Makes cookies and knows them again."""

    __slots__ = ("_drawn", "_entropy", "_secrets")

    def __init__(self, entropy: Entropy) -> None:
        self._entropy = entropy
        self._drawn: Instant | None = None
        self._secrets: list[bytes] = []
        """The newest first; two at most."""

    def make(self, now: Instant, address: Address, first: First) -> bytes:
        """Return the cookie of this caller."""
        if self._drawn is None or now - self._drawn >= COOKIE_MS:
            self._drawn = now
            self._secrets = [self._entropy(KEY_SIZE), *self._secrets[:1]]
        return _cookie(self._secrets[0], address, first)

    def good(self, address: Address, first: First) -> bool:
        """Whether `first` shows a cookie that was made for it."""
        if first.cookie == NO_COOKIE:
            return False
        return any(_cookie(secret, address, first) == first.cookie for secret in self._secrets)


class HalfOpen:
    """The handshakes under way, oldest first."""

    def __init__(self, entropy: Entropy, places: Places = Places()) -> None:
        self._entropy = entropy
        self._places = places
        self._by_index: OrderedDict[bytes, _Place] = OrderedDict()
        self._by_caller: dict[tuple[Address, bytes], _Place] = {}
        self._taken: Counter[str] = Counter()
        self._checks = Budget(total=CHECKS_PER_SECOND, per_source=CHECKS_PER_SOURCE)
        self._answers = Budget(total=ANSWERS_PER_SECOND, per_source=ANSWERS_PER_SOURCE)
        self._cookies = Cookies(entropy)

    def __len__(self) -> int:
        return len(self._by_index)

    def first(self, now: Instant, company: Company, address: Address, first: First, *, size: int) -> bytes | None:
        """Return the answer to a first datagram of `size` bytes, never longer than that; raise `WireError`."""
        known = self._by_caller.get((address, first.index))
        if known is not None:
            return known.answerer.second(first.part, size) if known.answerer.message == first.message else None
        source = source_of(address)
        if not self._checks.spend(now, source):
            return None
        answerer = Answerer(company, first, index=self._entropy(INDEX_SIZE), seed=self._entropy(KEY_SIZE))
        sure = self._cookies.good(address, first)
        taken, places = self._taken[source], self._places
        if not sure and (len(self) >= places.calm or taken >= places.per_source):
            cookie = self._cookies.make(now, address, first)
            nonce = self._entropy(COOKIE_NONCE_SIZE)
            return seal_cookie(cookie, first, secret=company.papers.secret, nonce=nonce).encode()
        if taken >= 2 * places.per_source or not self._answers.spend(now, source):
            return None
        # Before a place is taken: this raises for keys that nobody can compute with, or gives nothing that can be sent.
        answer = answerer.second(first.part, size)
        if answer is None:
            return None
        if len(self) >= places.most:
            self._drop(next((place for place in self._by_index.values() if not place.sure), None) or self._oldest())
        self._take(_Place(answerer=answerer, address=address, source=source, since=now, sure=sure))
        return answer

    def third(self, address: Address, part: Part) -> Proven | None:
        """Return what a part of message 3 proves, whose handshake is over then; raise `WireError`."""
        place = self._by_index.get(part.to)
        # From elsewhere than the first: whoever sends it could be anybody's victim.
        if place is None or place.address != address or place.answerer.caller != part.sender:
            return None
        over = True
        try:
            proven = place.answerer.take(part)
            over = proven is not None
        finally:
            if over:
                self._drop(place)
        return proven

    def age(self, now: Instant) -> None:
        """Let go of those that took too long."""
        while self._by_index and now - self._oldest().since >= HALF_OPEN_MS:
            self._drop(self._oldest())

    def _oldest(self) -> _Place:
        return next(iter(self._by_index.values()))

    def _take(self, place: _Place) -> None:
        self._by_index[place.answerer.index] = place
        self._by_caller[place.address, place.answerer.caller] = place
        self._taken[place.source] += 1

    def _drop(self, place: _Place) -> None:
        del self._by_index[place.answerer.index]
        del self._by_caller[place.address, place.answerer.caller]
        self._taken[place.source] -= 1
        if not self._taken[place.source]:
            del self._taken[place.source]


def source_of(address: Address) -> str:
    """Return what one sender has at its disposal: an IPv4 address, or a whole IPv6 network of 64 bits."""
    if ":" not in address.host:
        return address.host
    try:
        number = int(IPv6Address(address.host))
    except ValueError:
        return address.host
    return f"{number >> _NETWORK_BITS:x}::/64"


def _cookie(secret: bytes, address: Address, first: First) -> bytes:
    # Each part has a fixed length, but for the address, which ends it.
    return blake3(first.index + first.message + str(address).encode(), key=secret).digest(length=COOKIE_SIZE)
