"""The checker of S8: every peer follows the highest epoch that it has heard, and only coordinators grant.

What a host has heard is what messages told it while it knew by its journal that the author keeps the job, and what it
announced itself. Held against that is whom its election follows, after each turn that could change it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mesh.core.effects import Effect, Send
from mesh.core.election import rank
from mesh.core.events import Event, MessageHeard
from mesh.ground.ids import JobId, PeerId
from mesh.wire.envelope import Signed
from mesh.wire.messages import Window
from mesh.wire.stills import Epoch, Grants, Leading
from sim.views import peer_behind
from sim.violation import Violation

if TYPE_CHECKING:
    from sim.host import Host
    from sim.world import World

_TELLING = (Leading, Window)
_SAYING = (Leading, Grants)
"""Of all that is heard and sent only these are looked at: a look into the type is all that most turns cost."""


class Epochs:
    """The highest epoch that each host has heard of each job, in its present life."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._highest: dict[tuple[int, int, JobId], Signed[Epoch]] = {}

    def turned(self, host: "Host", event: Event, effects: Sequence[Effect]) -> None:
        """Look at what a turn has heard, and at what it asked for; who has stopped hears nothing any more."""
        # Hardly any turn has to do with epochs: that is found out first, and cheaply.
        heard = _told(event) if type(event) is MessageHeard and type(event.message) in _TELLING else None
        said = [effect.message for effect in effects if type(effect) is Send and type(effect.message) in _SAYING]
        if (heard is None and not said) or peer_behind(host.core).stopping.over:
            return
        if heard is not None and isinstance(event, MessageHeard) and not self._is_shut_out(host, event.peer):
            self._hear(host, heard)
            self._compare(host, heard.body.job)
        for message in said:
            match message:
                case Leading(epoch=epoch) if epoch.author == host.peer_id:
                    self._hear(host, epoch)
                    self._compare(host, epoch.body.job)
                case Grants():
                    self._grants(host, message)
                case _:
                    pass

    def _is_shut_out(self, host: "Host", peer: PeerId) -> bool:
        """Whether a host has to be deaf to a peer (S5), or is out itself: what was said before may come afterwards."""
        index, bans = self._world.index_of(peer), self._world.books.of(host).bans
        chains = [host.chain] if index is None else [host.chain, self._world.hosts[index].chain]
        return bool(bans) and any(bans.chain(chain) is not None for chain in chains)

    def look(self) -> None:
        """Look at all that were ever heard of by those who run."""
        for index, life, job in list(self._highest):
            host = self._world.hosts[index]
            if host.running and host.life == life:
                self._compare(host, job)

    def _hear(self, host: "Host", epoch: Signed[Epoch]) -> None:
        job, key = epoch.body.job, (host.index, host.life, epoch.body.job)
        book, ledger = self._world.books.of(host), host.core.ledger.get(epoch.body.job)
        if ledger is None or ledger.ended or book.keepers.get((job, epoch.author), 0) < host.now().wall:
            return
        if epoch.author in book.bans.struck():
            return
        highest = self._highest.get(key)
        if highest is None or rank(epoch) > rank(highest):
            self._highest[key] = epoch

    def _compare(self, host: "Host", job: JobId) -> None:
        """Hold whom a host follows against the highest epoch that it has heard. Raises Violation."""
        key = (host.index, host.life, job)
        highest, ledger = self._highest.get(key), host.core.ledger.get(job)
        if ledger is None or ledger.ended:
            self._highest.pop(key, None)
            return
        followed = host.core.election.epoch(job)
        if highest is None:
            return
        if followed is None or rank(followed) < rank(highest):
            said = f"{followed.body.number} of {followed.author.hex()[:8]}" if followed is not None else "nobody"
            text = f"{host.name} has heard of epoch {highest.body.number} of {highest.author.hex()[:8]}"
            raise Violation("S8", f"{text}, and follows {said}", job)
        self._highest[key] = followed

    def _grants(self, host: "Host", message: Grants) -> None:
        """Only who follows its own epoch grants, and by that."""
        for grant in message.grants:
            followed = host.core.election.epoch(grant.body.job)
            if followed is None or followed.author != host.peer_id or followed.body.number != grant.body.epoch:
                text = f"{host.name} grants in epoch {grant.body.epoch}, in which it does not lead"
                raise Violation("S8", text, grant.body.job)


def _told(event: MessageHeard) -> Signed[Epoch] | None:
    """Return the epoch that a message tells of, if any."""
    match event.message:
        case Leading(epoch=epoch):
            return epoch
        case Window(job=job, epoch=epoch) if epoch is not None and epoch.body.job == job:
            return epoch
        case _:
            return None
