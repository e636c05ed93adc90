"""Two versions of the wire in one world, and one that is ahead of both.

A host of `old` runs the program of before: what it says and hears, by packet, datagram and journal entry, goes through
the frozen wire of `previous`, and its channels speak that version. Its core is the present one, held to the old wire by
its channels: what nobody can say to it, it cannot act upon. A host `ahead` says things that only a later version knows.

Where messages go by reference there are no bytes to read again; then what a message needs is looked at instead, which
the tests of `versions` hold to be the same.
"""

from typing import TYPE_CHECKING, Final

from mesh.core.effects import CloseChannel, Effect
from mesh.core.events import UnknownHeard
from mesh.ground.errors import WireError
from mesh.ground.ids import JobId, PeerId
from mesh.ground.share_limits import WEIGHT_DEFAULT
from mesh.wire.kept import Kept
from mesh.wire.messages import Message
from mesh.wire.records import Job
from mesh.wire.versions import VERSION_HIGHEST, needed, since
from sim.previous.codec import VERSION as PREVIOUS
from sim.previous.codec import previous
from sim.violation import Violation

if TYPE_CHECKING:
    from sim.host import Host
    from sim.people import Plan
    from sim.world import World

_AHEAD_EACH_MS: Final = 2_000

assert PREVIOUS == VERSION_HIGHEST - 1, "the frozen wire is not that of the version before"


class Versions:
    """Who speaks what, and who reads it."""

    def __init__(self, world: "World") -> None:
        self._world = world

    def plan_all(self) -> None:
        """Plan what those say who are ahead."""
        for index in self._world.scenario.ahead:
            self._world.after(_AHEAD_EACH_MS, self._say_later_things, self._world.hosts[index])

    def first(self, index: int) -> int:
        """Return the version that a host speaks at first."""
        return PREVIOUS if index in self._world.scenario.old else VERSION_HIGHEST

    def needs(self, plan: "Plan") -> int:
        """Return the version that a job needs, or may: it may not be there yet."""
        if plan.job is not None:
            return needed(self._world.books.jobs[plan.job].body)
        asked, judges = plan.scenario, self._world.scenario.judges
        later = asked.memory_mb or asked.twice or judges or plan.weight != WEIGHT_DEFAULT
        return since(Job, "memory_mb") if later else PREVIOUS

    def may_have_part(self, host: "Host", job: JobId) -> bool:
        """Tell whether a host speaks what a job needs."""
        return host.version >= needed(self._world.books.jobs[job].body)

    def says(self, host: "Host", other: PeerId, message: Message, version: int) -> None:
        """Wire: whoever says something on a channel of an old version says it so that it is read there."""
        if version < VERSION_HIGHEST and needed(message) > version:
            what = f"{type(message).__name__} that needs version {needed(message)} on a channel of version {version}"
            raise Violation("wire", f"{host.name} says a {what}", other)

    def packet(self, host: "Host", other: PeerId, parcel: object, version: int) -> object:
        """Return a packet as the old version's program at one of its ends wrote or read it."""
        if version == VERSION_HIGHEST or not isinstance(parcel, bytes):
            return parcel
        try:
            return previous().message(parcel)
        except WireError as error:
            raise Violation("wire", f"{host.name} says what version {version} does not read: {error}", other) from error

    def datagram(self, version: int, parcel: object) -> object:
        """Do the same with a datagram."""
        return previous().lookup(parcel) if version < VERSION_HIGHEST and isinstance(parcel, bytes) else parcel

    def turned(self, host: "Host", event: UnknownHeard, effects: list[Effect]) -> None:
        """Wire: nobody ends a channel because the other is ahead."""
        for effect in effects:
            if isinstance(effect, CloseChannel) and effect.peer == event.peer:
                raise Violation("wire", f"{host.name} ends a channel for a kind that it does not know", event.peer)

    def _say_later_things(self, host: "Host") -> None:
        """Say something of an unknown kind to everybody who speaks the present version."""
        if host.works:
            for other in self._world.hosts:
                self._world.net.say_unknown(host, other)
        self._world.after(_AHEAD_EACH_MS, self._say_later_things, host)


class Shelved:
    """How a host's journal entries are stored: by whichever program runs there, the old or the present one."""

    def __init__(self, world: "World", host: "Host") -> None:
        self._parcels = world.parcels
        self._host = host

    def knows(self, entry: Kept) -> bool:
        """Tell whether the host's program has such entries at all."""
        return self._host.version == VERSION_HIGHEST or needed(entry) <= self._host.version

    def lay_down(self, entry: Kept) -> object:
        """Return an entry as the host's program writes it."""
        return self._as_read(self._parcels.lay_down(entry))

    def pick_up(self, stored: object) -> Kept:
        """Return what an entry says, as the host's program reads it."""
        return self._parcels.pick_up(self._as_read(stored))

    def _as_read(self, stored: object) -> object:
        if self._host.version < VERSION_HIGHEST and isinstance(stored, bytes):
            return previous().kept(stored)
        return stored
