"""Who can be reached: channels, the dialling of peers without one, round trips, and who is surely gone.

With whom a channel is wanted is the `View`'s to say: with everybody, in all but large meshes. A channel that ends
without a word is dialled back at once: a refusal by the host, or another boot behind the address, proves that the
process is gone; anything else is silence, which proves nothing and is left to the leases.

A refusal counts at any address that the peer itself named as its own. That a firewall may refuse in its place costs a
frame rendered twice, once, and only after the channel broke.

Peers that were met are dialled for ever, as are the addresses that a person gave, connected or not: behind each may be
a part of the mesh that no other way leads to. Peers that others only tell of are `hearsay`. Each peer now and then
tells one other whom it has channels with, so that who was forgotten, or sits behind a router, is heard of again.

What is only true on one machine or cable, a loopback or link-local address, is told and believed within that alone.
"""

from collections.abc import Callable
from dataclasses import replace

from mesh.core.addressbook import AddressBook
from mesh.core.directory import MUTE_MS, Directory, Known
from mesh.core.effects import CloseChannel, Dial, Knock
from mesh.core.events import ChannelClosed, ChannelOpened, DialFailed, Started
from mesh.core.hearsay import Hearsay
from mesh.core.notes import Barred, NodeTold, PeerDead, PeerGone, PeerLost, PeerReached, PeersNeeded, PeerUnreachable
from mesh.core.timers import KnockAgain, Redial
from mesh.core.turn import Turn
from mesh.core.view import TOLD_EACH_MS, View, distance, introductions
from mesh.ground.ids import PeerId
from mesh.ground.instants import Instant, later
from mesh.ground.limits import (
    DIAL_BACK_MS,
    LEASE_MS,
    MAX_CONTACTS,
    REDIAL_MOST_MS,
    REDIAL_MS,
    RUMOUR_TRIES,
    SETTLE_SAMPLES,
    SILENT_MS,
    UNWANTED_MS,
)
from mesh.wire.addresses import told
from mesh.wire.dials import Parting
from mesh.wire.kept import KeptContact
from mesh.wire.messages import MAX_ADDRESSES, Address, Available, Contact, Contacts, Hello, Ping, Pong, portions

QUIET_MS = 2_000
"""A followed keeper that said nothing for so long is asked whether it is there: with `MUTE_MS` it is given up before
the leases that only it hears would end elsewhere."""

assert QUIET_MS + MUTE_MS < LEASE_MS

KNOWS_MANY = 16
"""A peer with so many channels hears of others by the rounds of probing soon enough."""

_STRANGE_MOST = 64
"""Addresses, said to be this peer's own, that it knocks at in one life: each costs one dial."""


class Contacting:
    """Keep a channel with every peer of the view."""

    def __init__(
        self,
        directory: Directory,
        barred: Callable[[PeerId], bool] = lambda _peer: False,
        view: View | None = None,
    ) -> None:
        self._directory = directory
        self._known = directory.known
        self._view = view or View(directory)
        self._barred = barred
        """Whether no channel may be had with a peer: it, or this one, was thrown out."""
        self._own: tuple[Address, ...] = ()
        self._book = AddressBook(directory)
        self._hearsay = Hearsay()
        self._knocks: dict[Address, int] = {}
        """How often an address that a person gave was tried since there was last anybody."""
        self._tell_at: Instant | None = None
        """When somebody is told again whom we know."""
        self._number = 0
        self._awaited: dict[PeerId, None] = {}
        """Every peer with a channel that is asked something, or was never measured; some others, too."""
        self._strange: dict[Address, None] = {}
        self.patient = False
        """Whether a copy of this peer runs: each dial of one ends a channel of the other, so that none is made soon."""
        self.hello: Hello | None = None
        self.available: Available | None = None

    def on_started(self, turn: Turn, event: Started, kept: list[KeptContact]) -> None:
        """Dial whom the journal names, the nearest first, and no more at once than a crowd's start can bear."""
        self._own = event.addresses
        self._book.restore(kept)
        at_once = self._view.remember(turn.now.instant, len(self._directory.peers))
        each_ms = self._view.calls_up_each_ms(len(self._directory.peers) - at_once)
        nearest = sorted(self._directory.peers, key=lambda peer: distance(self._directory.me, peer))
        for place, peer in enumerate(nearest):
            if place < at_once:
                self._dial(turn, peer)
            else:
                self._dial_later(turn, peer, self._directory.peers[peer], (1 + place - at_once) * each_ms)
        for address in event.contacts:
            self._knock(turn, address)

    def on_channel_opened(self, turn: Turn, event: ChannelOpened) -> None:
        """Say who we are."""
        known = self._known(event.peer)
        if self._barred(event.peer):  # it was let in a moment before the news came
            known.dialling = False
            self._hearsay.met(event.peer)
            turn.do(CloseChannel(peer=event.peer, channel=event.channel))
            return
        restarted = known.boot is not None and known.boot != event.boot
        if restarted:
            turn.tell(PeerDead(peer=event.peer))
        self._directory.connect(event.peer, event.version)
        self._awaited[event.peer] = None
        known.left = known.dialling = known.greeted = known.parted = False
        known.dialled = event.address is not None
        if known.dialled:
            self._view.opened(event.peer)
        known.here = event.here
        known.boot, known.channel = event.boot, event.channel
        known.redial_ms = REDIAL_MS
        known.pings.clear()
        self._directory.offer(event.peer, None)
        if event.peer in self._hearsay:
            self._hear_say(known, known.addresses)
            known.addresses = ()
        if event.address is not None:
            known.learn(self._but_own((event.address,)))
        self._hearsay.met(event.peer)
        self._heard(turn, known)
        if self.hello is not None:
            turn.send(event.peer, self._greeting(self.hello, event))
        if self.available is not None:
            turn.send(event.peer, self.available)
        turn.tell(PeerReached(peer=event.peer, boot=event.boot, restarted=restarted))

    def _greeting(self, hello: Hello, event: ChannelOpened) -> Hello:
        """Return the hello for one channel: its handshake has shown the chain already, where there was one."""
        return replace(
            hello,
            addresses=told(hello.addresses, here=event.here),
            chain=hello.chain if event.shown is None else (),
            knows=len(self._directory.all_connected()) - 1,
        )

    def on_channel_closed(self, turn: Turn, event: ChannelClosed) -> None:
        """Dial back at once, unless the peer said that it leaves."""
        known = self._known(event.peer)
        if not known.connected:
            return
        self._directory.disconnect(event.peer)
        known.asked_at = None
        known.left = event.clean and not known.parted
        turn.tell(PeerLost(peer=event.peer))
        if known.left:
            turn.tell(PeerDead(peer=event.peer))
        if known.parted and not self._view.wants(event.peer):
            return
        if event.clean or self.patient:
            self._dial_later(turn, event.peer, known, REDIAL_MOST_MS)
        else:
            known.redial_ms = DIAL_BACK_MS
            self._dial(turn, event.peer)

    def on_barred(self, turn: Turn, note: Barred) -> None:
        """Close the channels of those who were thrown out; to all others here they are dead."""
        for peer in note.peers:
            known = self._known(peer)
            self._directory.disconnect(peer)
            known.asked_at = known.boot = None
            self._directory.offer(peer, None)
            known.left = True
            turn.do(CloseChannel(peer=peer, channel=known.channel))
            turn.tell(PeerLost(peer=peer))
            turn.tell(PeerDead(peer=peer))

    def on_peer_gone(self, turn: Turn, note: PeerGone) -> None:
        """Give up the channel to a peer that is silent to all; silence proves nothing, and it is dialled again."""
        known = self._directory.peers.get(note.peer)
        if known is not None and known.connected:
            self._give_up(turn, note.peer, known)

    def on_dial_failed(self, turn: Turn, event: DialFailed) -> None:
        """A refusal proves death; either way try again later."""
        known = self._directory.peers.get(event.peer)
        if known is None:
            return
        known.dialling = False
        if known.connected:
            return
        if event.peer in self._hearsay:
            if self._hearsay.failed(turn.now.instant, turn.dice, event.peer):
                self._directory.forget(event.peer)
            return
        if event.refused and known.boot is not None:
            known.boot = None
            turn.tell(PeerDead(peer=event.peer))
        if self._view.wants(event.peer):  # in a large mesh others take the place of most
            turn.tell(PeerUnreachable(peer=event.peer))
        if known.boot is None and not known.heard_wall and not self._view.wants(event.peer):
            self._directory.forget(event.peer)  # it was only looked for, by somebody who looks no more
            return
        if not self._view.wants(event.peer):
            known.redial_ms = max(known.redial_ms, UNWANTED_MS)
        self._dial_later(turn, event.peer, known, turn.dice.jitter(known.redial_ms))
        known.redial_ms = min(2 * known.redial_ms, self._directory.probe_ms())

    def found(self, turn: Turn, peer: PeerId, addresses: tuple[Address, ...]) -> None:
        """Dial a lost peer where it itself says that it is, if that is news."""
        known = self._known(peer)
        if not known.connected and any(address not in known.addresses for address in addresses):
            known.learn(self._but_own(addresses))
            known.redial_ms = REDIAL_MS
            self._dial(turn, peer)

    def on_peers_needed(self, turn: Turn, note: PeersNeeded) -> None:
        """Have channels with peers that a job needs, wherever they are."""
        for peer in note.peers:
            if peer == self._directory.me or self._barred(peer):
                continue
            fresh = self._view.need(turn.now.instant, peer)
            known = self._directory.peers.get(peer)
            if known is None or not (known.connected or known.addresses):
                turn.tell(PeerUnreachable(peer=peer, urgent=True))
            elif fresh or known.redial_at is None:
                known.redial_ms = REDIAL_MS
                self._dial(turn, peer)

    def on_parting(self, _turn: Turn, peer: PeerId, _message: Parting) -> None:
        """Know that the channel's end, which follows, is not the peer's."""
        self._known(peer).parted = True

    def on_knock_again(self, turn: Turn, timer: KnockAgain) -> None:
        """Try an address that a person gave, for ever: behind it may be another part of the mesh."""
        self._knock(turn, timer.address)

    def on_redial(self, turn: Turn, timer: Redial) -> None:
        """Dial a peer that is still without a channel."""
        known = self._directory.peers.get(timer.peer)
        if known is not None and known.redial_at is not None and known.redial_at <= turn.now.instant:
            known.redial_at = None
            self._dial(turn, timer.peer)

    def on_hello(self, turn: Turn, peer: PeerId, hello: Hello) -> None:
        """Learn a peer's name and addresses, and tell it whom we know.

        Not before its hello: of two peers that come at once, the one whose hello is heard later hears of the other.
        """
        known = self._known(peer)
        known.name, known.speaks = hello.name, hello.speaks
        known.learn(self._but_own(told(hello.addresses, here=known.here)))
        self._book.keep(turn, peer, known)
        if known.connected and not known.greeted:
            known.greeted = True
            if hello.knows < KNOWS_MANY:
                self._tell_contacts(turn, peer, known)
            strange = tuple(at for at in told(known.addresses, here=known.here) if at not in hello.addresses)
            if strange:  # where it was before; or where a copy of its disk runs, which it can find out by dialling
                turn.send(peer, Contacts(contacts=(Contact(peer=peer, addresses=strange),)))

    def on_contacts(self, turn: Turn, peer: PeerId, contacts: Contacts) -> None:
        """Try whomever we did not know; where others say that one is that was met is tried beside its own."""
        here, taken_up = self._known(peer).here, False
        for contact in contacts.contacts:
            before = self._directory.peers.get(contact.peer)
            if before is not None and before.connected and contact.peer not in self._hearsay:
                continue  # as most in a small mesh: where it is it says itself
            addresses = told(contact.addresses, here=here)
            if contact.peer == self._directory.me:
                self._look_for_twin(turn, addresses)
            if contact.peer == self._directory.me or not addresses or self._barred(contact.peer):
                continue
            if before is None and not self._takes_up(turn, peer, contact.peer):
                turn.tell(NodeTold(peer=contact.peer, addresses=addresses))
                continue
            known, addresses = self._known(contact.peer), self._but_own(addresses)
            if contact.peer in self._hearsay:
                known.learn((*known.addresses[: MAX_ADDRESSES // 2], *addresses))
            elif not known.connected:
                self._hear_say(known, tuple(one for one in addresses if one not in known.addresses))
            taken_up |= before is None
            idle = known.tried_at is None or turn.now.instant - known.tried_at >= REDIAL_MS
            lost = known.redial_at is None and not known.addresses  # it never said where it is
            if before is not None and idle and (known.left or lost):
                self._dial(turn, contact.peer, by_others=True)
        if taken_up:
            self._dial_rumours(turn)

    def on_available(self, peer: PeerId, available: Available) -> None:
        """Learn what a peer can render with."""
        self._directory.offer(peer, available)

    def on_ping(self, turn: Turn, peer: PeerId, ping: Ping) -> None:
        """Answer."""
        turn.send(peer, Pong(number=ping.number))

    def on_pong(self, turn: Turn, peer: PeerId, pong: Pong) -> None:
        """Measure."""
        if (sent := self._known(peer).pings.pop(pong.number, None)) is not None:
            self.measured(peer, turn.now.instant - sent)

    def measured(self, peer: PeerId, sample_ms: int) -> None:
        """Note how long a question and its answer took."""
        known = self._known(peer)
        known.round_trips_ms = [*known.round_trips_ms[-SETTLE_SAMPLES:], sample_ms]

    def on_anything(self, turn: Turn, peer: PeerId) -> None:
        """Note that a peer spoke, whatever it said."""
        self._heard(turn, self._directory.known(peer))

    def on_tick(self, turn: Turn) -> None:
        """Ask again who did not answer; give up channels that stay silent; try what others tell."""
        if self._view.choose(turn.now.instant):
            self._part(turn)
        self._dial_rumours(turn)
        self._dial_links(turn)
        self._tell_again(turn)
        self._book.on_tick(turn)
        for peer in sorted(self._awaited):
            known = self._directory.peers.get(peer)
            if known is None or not known.connected or (known.asked_at is None and known.round_trips_ms):
                del self._awaited[peer]
            elif known.asked_at is not None and turn.now.instant - known.asked_at > 2 * SILENT_MS:
                self._give_up(turn, peer, known)
            else:
                self.ask(turn, peer)

    def ask(self, turn: Turn, peer: PeerId) -> None:
        """Ping one peer, so that it is soon known whether it answers."""
        known, now = self._directory.peers.get(peer), turn.now.instant
        if known is None or not known.connected or known.is_asked(now):
            return
        self._number += 1
        if len(known.pings) > SETTLE_SAMPLES:
            known.pings.clear()
        known.pings[self._number] = now
        self._awaited[peer] = None
        if known.asked_at is None:
            known.asked_at = now
        turn.send(peer, Ping(number=self._number))

    def probe(self, turn: Turn, peer: PeerId, quiet_ms: int = QUIET_MS) -> None:
        """Ping a peer that much depends on, such as a keeper, if it has been quiet for a while."""
        known = self._directory.peers.get(peer)
        if known is not None and known.asked_at is None and turn.now.instant - known.heard_at >= quiet_ms:
            self.ask(turn, peer)

    def announce(self, turn: Turn, available: Available) -> None:
        """Tell everybody what this host can render with, and from now on whoever comes."""
        self.available = available
        for peer in self._directory.all_connected():
            turn.send(peer, available)

    def on_slept(self, turn: Turn) -> None:
        """After a gap of the clock nobody has been mute: it was us."""
        for peer in self._directory.all_connected():
            known = self._directory.peers[peer]
            known.asked_at, known.round_trips_ms = None, []  # only who answers is there: what it said before waits here
            known.pings.clear()
            self.ask(turn, peer)

    def _look_for_twin(self, turn: Turn, addresses: tuple[Address, ...]) -> None:
        """Knock, once, at addresses that are said to be this peer's own and are not."""
        for address in addresses:
            if address not in self._own and address not in self._strange and len(self._strange) < _STRANGE_MOST:
                self._strange[address] = None
                turn.do(Knock(address=address))

    def _give_up(self, turn: Turn, peer: PeerId, known: Known) -> None:
        self._directory.disconnect(peer)
        known.asked_at = None
        known.pings.clear()
        turn.do(CloseChannel(peer=peer, channel=known.channel))
        turn.tell(PeerLost(peer=peer))
        self._dial_later(turn, peer, known, REDIAL_MS)

    def _knock(self, turn: Turn, address: Address) -> None:
        """Try an address; the shell does not where one of our channels already leads there."""
        if address not in self._own:
            turn.do(Knock(address=address))
        pause_ms = self._directory.probe_ms()
        if self._directory.all_connected():
            self._knocks[address] = 0
        else:
            pause_ms = min(REDIAL_MS << min(self._knocks.get(address, 0), 8), pause_ms)
            self._knocks[address] = self._knocks.get(address, 0) + 1
        turn.wake(KnockAgain(address=address), turn.dice.jitter(pause_ms))

    def _takes_up(self, turn: Turn, teller: PeerId, peer: PeerId) -> bool:
        """Begin to try a peer that somebody tells of, unless it was in vain before, or there are too many."""
        if not self._view.takes_anybody() or not self._hearsay.believed(turn.now.instant, teller, peer):
            return False
        if len(self._directory.peers) >= MAX_CONTACTS:
            dropped = self._hearsay.crowded_out(teller)
            if dropped is None:
                return False
            self._directory.forget(dropped)
        self._hearsay.add(turn.now.instant, teller, peer)
        return True

    def _dial_rumours(self, turn: Turn) -> None:
        if not len(self._hearsay):
            return
        peers = self._directory.peers
        most = self._view.openings(turn.now.instant) if self._view.takes_anybody() else 0
        for peer in self._hearsay.due(
            turn.now.instant, lambda peer: 0 if peers[peer].dialling else len(peers[peer].addresses), most
        ):
            if self._barred(peer):  # thrown out since it was told of
                self._hearsay.met(peer)
                self._directory.forget(peer)
            else:
                self._dial(turn, peer)

    def _dial_links(self, turn: Turn) -> None:
        """In a large mesh, dial whom the view wants: the DHT knows where they are."""
        for peer in self._view.links:
            known = self._directory.peers.get(peer)
            if known is not None and (known.connected or known.dialling or known.redial_at is not None):
                continue
            if self._view.openings(turn.now.instant) < 1:
                return
            if known is not None and known.addresses:
                self._dial(turn, peer)
            else:
                turn.tell(PeerUnreachable(peer=peer))

    def _part(self, turn: Turn) -> None:
        """End a channel that was opened from here and is of no use."""
        peer = self._view.surplus(turn.now.instant)
        if peer is not None:
            known = self._directory.peers[peer]
            known.parted, known.asked_at = True, None
            self._directory.disconnect(peer)
            turn.send(peer, Parting())
            turn.do(CloseChannel(peer=peer, channel=known.channel))
            turn.tell(PeerLost(peer=peer))

    def _tell_again(self, turn: Turn) -> None:
        """Now and then tell one peer of the others: it may have forgotten some, and some never heard of it."""
        if self._tell_at is not None and turn.now.instant < self._tell_at:
            return
        connected = self._directory.all_connected()
        if self._tell_at is not None and connected:
            chosen = connected[turn.dice.below(len(connected))]
            self._tell_contacts(turn, chosen, self._directory.peers[chosen], all_of_them=not self._view.large)
        period_ms = self._directory.probe_ms() if self._view.large else TOLD_EACH_MS
        self._tell_at = later(turn.now.instant, turn.dice.jitter(period_ms))

    def _tell_contacts(self, turn: Turn, peer: PeerId, known: Known, *, all_of_them: bool = False) -> None:
        others = [contact for contact in self._directory.contacts(here=known.here) if contact.peer != peer]
        chosen = others if all_of_them else introductions(peer, others, turn.dice)
        for portion in portions(Contacts, "contacts", chosen):
            turn.send(peer, Contacts(contacts=portion))

    def _dial_later(self, turn: Turn, peer: PeerId, known: Known, after_ms: int) -> None:
        due = later(turn.now.instant, after_ms)
        if known.redial_at is None or not turn.now.instant < known.redial_at <= due:
            known.redial_at = due
            turn.wake(Redial(peer=peer), after_ms)

    def _dial(self, turn: Turn, peer: PeerId, *, by_others: bool = False) -> None:
        """Dial a peer; `by_others`: only since somebody said something, so that all of it is paid for as hearsay."""
        known = self._known(peer)
        if known.connected or known.dialling or self._barred(peer):
            return
        others, its_own = known.told, known.addresses
        paid = self._hearsay.affords(turn.now.instant, len(others) + (len(its_own) if by_others else 0))
        if by_others and not paid:
            return
        if paid and others:
            known.told_tries += 1
            if known.told_tries >= RUMOUR_TRIES:
                known.told = ()
        others = others if paid else ()
        if its_own or others:
            known.dialling = True
            known.tried_at = turn.now.instant
            turn.do(Dial(peer=peer, addresses=(*its_own, *others), others=len(others)))

    def _hear_say(self, known: Known, addresses: tuple[Address, ...]) -> None:
        """Remember where others say that a peer is; what was said before keeps half of the places."""
        kept = MAX_ADDRESSES // 2
        merged = tuple(dict.fromkeys((*known.told[: kept // 2], *addresses, *known.told)))[:kept]
        if merged != known.told:
            known.told, known.told_tries = merged, 0

    def _heard(self, turn: Turn, known: Known) -> None:
        if known.asked_at is not None and turn.now.instant - known.asked_at >= MUTE_MS:
            known.pings.clear()  # what was asked of a peer that slept, or was cut off, measures that
        known.heard_at = turn.now.instant
        known.heard_wall = turn.now.wall
        known.asked_at = None

    def _but_own(self, addresses: tuple[Address, ...]) -> tuple[Address, ...]:
        return tuple(address for address in addresses if address not in self._own)
