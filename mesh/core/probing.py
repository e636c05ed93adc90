"""Who of the view is there: SWIM's probes and suspicions with Lifeguard's self-awareness, over authenticated peers.

Theory: each second one member is probed, the next in the order of ids. Where a peer begins follows from its own id and
the calendar, so that where clocks agree each member is probed by about one other a second, and no silence lasts long
unseen. Who does not answer is asked by three others and on its channel; then it is *doubted*, and told so. A doubt ends
when the peer is heard, or says in a higher incarnation that it lives; else after a time that shrinks with each other
peer that asked it itself in vain. A peer that hears of a doubt asks at once.

Invariants: hearsay alone gives nobody up: this peer itself has asked since, and heard nothing. Only who tells of its
own vain probe is a witness, and counts once; so whoever lies costs a probe. Nobody is judged by a timer that came
late, nor for what was asked before this host slept: it may have been us. A peer that answers on its channel is not
silent, whatever becomes of datagrams. Everything is bounded in `limits`. Incarnations from beyond the calendar are not
believed, so that each peer can outbid what is said of it.

The module must not know what a peer's silence means for jobs, nor how channels are kept.
"""

from bisect import bisect, insort
from collections.abc import Callable
from heapq import nsmallest

from mesh.core.contacts import Contacting
from mesh.core.dht.endpoints import addresses_of, believed, endpoint_of, is_loopback
from mesh.core.dht.questions import RoundTrips
from mesh.core.directory import Directory
from mesh.core.doubts import NOTHING_TOLD, Doubt, Member
from mesh.core.effects import SendDatagram
from mesh.core.events import DatagramHeard
from mesh.core.notes import PeerGone, PeerLost, PeerReached
from mesh.core.probes import Allowance, Asked, Asker, Probes
from mesh.core.tidings import Tidings, rank
from mesh.core.timers import ProbeDue, ProbeLate, TidingsDue
from mesh.core.turn import Turn
from mesh.core.view import distance
from mesh.ground.dice import Dice
from mesh.ground.ids import PeerId
from mesh.ground.instants import Instant, later
from mesh.ground.limits import (
    CHANNEL_QUIET_MS,
    CLOCK_BAD_MS,
    DEAF_MS,
    DEAF_PROBES,
    DOUBT_AGAIN_MS,
    DOUBT_TOLD_MS,
    DOUBTS_PER_TELLER,
    LATE_MS,
    PROBE_HELPERS,
    PROBE_MS,
    PROBE_PATIENCE_LEAST_MS,
    PROBE_PATIENCE_MS,
    PROBES_ANSWERED_PER_SECOND,
    PROBES_HELPED_PER_SECOND,
    REFUTED_MS,
    TIDINGS_LARGE_MS,
    TIDINGS_MS,
    TIDINGS_PEERS,
)
from mesh.wire.addresses import told
from mesh.wire.messages import Address
from mesh.wire.probes import (
    MAX_PROBED_ENDPOINTS,
    UNKNOWN,
    Alive,
    Gossip,
    Probe,
    Probed,
    ProbeFor,
    ProbeMessage,
    State,
    Tiding,
)

PROBE_HELP_MS = PROBE_PATIENCE_MS * 4 // 5
"""How long a peer waits that was asked to probe: even that it heard nothing comes before its asker has waited."""


class Probing:
    """Probe the members of the view, answer their probes, and give up who is silent to all."""

    def __init__(
        self, directory: Directory, contacting: Contacting, barred: Callable[[PeerId], bool] = lambda _peer: False
    ) -> None:
        self._directory = directory
        self._contacting = contacting
        self._barred = barred
        self._me = directory.me
        self.dice = Dice(directory.me)
        """Draws of its own, renewed at the start: how often it draws changes nobody else's."""
        self.incarnation = 0
        """Of this peer's own life."""
        self.given_up = 0
        """Members that were declared gone."""
        self.probes = Probes()
        self.doubts: dict[PeerId, Doubt] = {}
        """Whom this peer doubts."""
        self._members: dict[PeerId, Member] = {}
        self._order: list[PeerId] = []
        """Their ids, lowest first."""
        self._tidings = Tidings()
        self._stirs_at: Instant | None = None
        """When tidings and doubts are looked at next; None: there are none."""
        self._due = Instant(0)
        """When the next member is probed."""
        self._refuted_at: Instant | None = None
        self._answers = Allowance(PROBES_ANSWERED_PER_SECOND)
        self._help_given = Allowance(PROBES_HELPED_PER_SECOND)
        self._doubts_raised = Allowance(DOUBTS_PER_TELLER)

    # Routes.

    def on_started(self, turn: Turn) -> None:
        """Begin a life: at the calendar, so that it outranks the one before."""
        self.dice = turn.dice.fork(b"probing")
        self.incarnation = max(1, turn.now.wall)
        self._plan(turn, 1 + self.dice.below(PROBE_MS))

    def on_peer_reached(self, _turn: Turn, note: PeerReached) -> None:
        """Probe who has a channel with us; whatever was thought of it before is over."""
        self.watch(note.peer)

    def on_peer_lost(self, _turn: Turn, note: PeerLost) -> None:
        """Who has no channel is dialled, which tells more than a probe."""
        self.unwatch(note.peer)

    def on_slept(self, turn: Turn) -> None:
        """Forget what was asked and doubted: it was us who did not hear."""
        for peer in list(self.probes.own):
            self.probes.forget(peer)
        for peer in list(self.doubts):
            self._clear(peer, self._members[peer])
        self._due = turn.now.instant

    def on_probe_due(self, turn: Turn, _timer: ProbeDue) -> None:
        """Probe the next member."""
        late_ms = turn.now.instant - self._due
        if late_ms >= LATE_MS:
            self.probes.feel(1)
            for doubt in self.doubts.values():
                doubt.since = later(doubt.since, late_ms)
        for allowance in (self._answers, self._help_given, self._doubts_raised):
            allowance.renew()
        self._plan(turn, PROBE_MS - late_ms % PROBE_MS)
        if self._order:
            # Each begins at its own place and goes on with the calendar: together they are everywhere.
            place = bisect(self._order, self._me) + turn.now.wall // PROBE_MS
            self._probe(turn, self._order[place % len(self._order)], helped=True)

    def on_probe_late(self, turn: Turn, timer: ProbeLate) -> None:
        """Have others ask, and the channel; then doubt who answered nobody."""
        asked = self.probes.open.get(timer.number)
        if asked is None:
            return
        if self.probes.late(turn.now.instant, asked):
            self.probes.feel(1)
            self.probes.wait(turn, asked, PROBE_PATIENCE_MS)
        elif asked.asker is not None:
            self._report(turn, asked, asked.asker, answered=False)
        elif self._heard_on_channel(asked):
            self._answered_elsewhere(turn, asked)
        elif asked.by_datagram and not asked.again:
            self._ask_again(turn, asked)
        else:
            self._miss(turn, asked)

    def on_tidings_due(self, turn: Turn, _timer: TidingsDue) -> None:
        """Tell what is fresh, and look at every doubt."""
        late = self._stirs_at is not None and turn.now.instant - self._stirs_at >= LATE_MS
        self._stirs_at = None
        for doubt in [] if late else list(self.doubts.values()):
            self._look(turn, doubt)
        if self._tidings:
            self._gossip(turn)
        if self._tidings or self.doubts:
            self._stir(turn, TIDINGS_LARGE_MS if self._directory.crowd else TIDINGS_MS)

    def on_datagram_heard(self, turn: Turn, event: DatagramHeard, message: ProbeMessage) -> None:
        """Take what a peer says of itself and of others, and answer it."""
        peer = event.peer
        if self._barred(peer):
            return
        if isinstance(message, Alive):
            self._take_alive(turn, peer, message)
        about = self._meet(peer, event.address)
        for tiding in message.tidings:
            self._hear(turn, peer, tiding)
        match message:
            case Probe() if self._answers.spend(peer):
                tidings = self._tidings.take(self._peers, *about)
                answer = Alive(number=message.number, incarnation=self.incarnation, tidings=tidings)
                self._say(turn, peer, (event.address,), answer)
            case ProbeFor() if self._help_given.spend(peer):
                self._help(turn, event, message)
            case Probed():
                self._take_probed(turn, peer, message)
            case _:
                pass

    # The view.

    def watch(self, peer: PeerId) -> None:
        """Take a peer into the view, as one of whom nothing is known yet."""
        self.unwatch(peer)
        self._members[peer] = Member()
        insort(self._order, peer)

    def unwatch(self, peer: PeerId) -> None:
        """Let a peer out of the view; what is told of it is told on."""
        if self._members.pop(peer, None) is not None:
            del self._order[bisect(self._order, peer) - 1]
            self.doubts.pop(peer, None)
            self.probes.forget(peer)

    @property
    def _peers(self) -> int:
        """How many the view has, this one included."""
        return 1 + len(self._members)

    def _meet(self, peer: PeerId, address: Address) -> tuple[Tiding, ...]:
        """Note that a peer spoke; return what it must hear first: that it was doubted until now, so that it clears
        itself before all others, too.
        """
        member = self._members.get(peer)
        if member is None:
            return ()
        about = () if member.doubt is None else (member.doubt.tiding(),)
        member.reads_at = address
        self._clear(peer, member)
        return about

    # Asking.

    def _probe(self, turn: Turn, peer: PeerId, *, helped: bool) -> None:
        if peer in self.probes.own or self.probes.full(own=True):
            return
        member, now = self._members[peer], turn.now.instant
        addresses = self._addresses(peer, member) if now >= member.deaf_until else ()
        asked = self.probes.begin(now, peer, by_datagram=bool(addresses), helped=helped)
        if not addresses:
            self._contacting.ask(turn, peer)
            self.probes.wait(turn, asked, self.probes.whole_ms)
            return
        about = () if member.doubt is None else (member.doubt.tiding(),)
        tidings = self._tidings.take(self._peers, *about)
        self._say(turn, peer, addresses, Probe(number=asked.number, tidings=tidings))
        if helped and self._quiet(peer, now):
            self._contacting.ask(turn, peer)
        self.probes.wait(turn, asked, self.probes.patience_ms(member.trips))

    def _ask_again(self, turn: Turn, asked: Asked) -> None:
        """Ask on the channel, and have others ask."""
        asked.again = True
        self._contacting.ask(turn, asked.peer)
        if asked.helped:
            addresses = self._addresses(asked.peer, self._members[asked.peer])
            for helper in self._helpers(turn, asked.peer):
                asked.helpers[helper] = False
                there = told(addresses, here=self._directory.peers[helper].here)
                endpoints = [one for one in map(endpoint_of, there) if one is not None][:MAX_PROBED_ENDPOINTS]
                tidings = self._tidings.take(self._peers)
                wish = ProbeFor(number=asked.number, peer=asked.peer, endpoints=tuple(endpoints), tidings=tidings)
                self._say(turn, helper, self._addresses(helper, self._members[helper]), wish)
        elapsed_ms = turn.now.instant - asked.since
        self.probes.wait(turn, asked, max(PROBE_PATIENCE_LEAST_MS, self.probes.whole_ms - elapsed_ms))

    def _take_alive(self, turn: Turn, peer: PeerId, message: Alive) -> None:
        asked = self.probes.open.get(message.number)
        if asked is None or asked.peer != peer:
            return
        if asked.asker is not None:
            self._report(turn, asked, asked.asker, answered=True)
            return
        self.probes.close(asked)
        self.probes.feel(-1)
        member = self._members[peer]
        member.unheard, member.deaf_until = 0, Instant(0)
        self._measure(peer, member, turn.now.instant - asked.since)
        if message.incarnation < member.incarnation:
            member.told = NOTHING_TOLD  # what was told of it came from somebody else
        member.incarnation = message.incarnation
        if member.doubt is not None and message.incarnation > member.doubt.incarnation:
            self._tell(turn, member, Tiding(peer=peer, incarnation=message.incarnation, state=int(State.ALIVE)))

    def _take_probed(self, turn: Turn, helper: PeerId, message: Probed) -> None:
        asked = self.probes.open.get(message.number)
        if asked is not None and helper in asked.helpers:
            asked.helpers[helper] = True
            if message.answered:
                self._answered_elsewhere(turn, asked)

    def _answered_elsewhere(self, turn: Turn, asked: Asked) -> None:
        """Note that a peer is there, though it did not answer a datagram of this one."""
        self.probes.close(asked)
        self.probes.feel(-1)
        member = self._members[asked.peer]
        self._clear(asked.peer, member)
        if asked.by_datagram and self._heard_on_channel(asked):
            member.unheard += 1
            if member.unheard >= DEAF_PROBES:
                member.deaf_until = later(turn.now.instant, DEAF_MS)
                member.reads_at = None

    def _miss(self, turn: Turn, asked: Asked) -> None:
        """Doubt a peer that this one asked in vain."""
        self.probes.close(asked)
        # Helpers that did not even say that they heard nothing speak against this peer's own ears.
        self.probes.feel(sum(not spoke for spoke in asked.helpers.values()) if asked.helpers else 1)
        member = self._members[asked.peer]
        doubt = member.doubt or self._doubt(turn, asked.peer, member, member.incarnation)
        doubt.missed = True
        self._tell(turn, member, doubt.tiding())

    # Asking for others.

    def _help(self, turn: Turn, event: DatagramHeard, wish: ProbeFor) -> None:
        """Probe a third peer, where this one knows that it is, else where the asker says so."""
        if wish.peer == self._me or self._barred(wish.peer) or self.probes.full(own=False):
            return
        member = self._members.get(wish.peer)
        known = self._addresses(wish.peer, member) if member is not None else ()
        here = endpoint_of(event.address)
        hearsay = believed(wish.endpoints, (), loopback=here is not None and is_loopback(here))
        asker = Asker(peer=event.peer, address=event.address, number=wish.number)
        asked = self.probes.begin(turn.now.instant, wish.peer, by_datagram=True, asker=asker)
        self._say(turn, wish.peer, known or addresses_of(hearsay), Probe(number=asked.number))
        patience_ms = self.probes.patience_ms(member.trips if member is not None else None)
        self.probes.wait(turn, asked, min(patience_ms, PROBE_HELP_MS))

    def _report(self, turn: Turn, asked: Asked, asker: Asker, *, answered: bool) -> None:
        """Tell who asked for a probe what came of it."""
        self.probes.close(asked)
        tidings = self._tidings.take(self._peers)
        self._say(turn, asker.peer, (asker.address,), Probed(number=asker.number, answered=answered, tidings=tidings))

    # Doubts.

    def _hear(self, turn: Turn, teller: PeerId, tiding: Tiding) -> None:
        """Take what one peer says of another, or of this one."""
        if tiding.incarnation > turn.now.wall + CLOCK_BAD_MS:
            return  # nobody could outbid that
        if tiding.peer == self._me:
            self._refute(turn, tiding)
            return
        member = self._members.get(tiding.peer)
        if member is None or tiding.state > State.GONE:
            return
        if tiding.state != State.ALIVE:
            if tiding.incarnation >= member.incarnation or tiding.incarnation == UNKNOWN:
                self._accuse(turn, teller, member, tiding)
        elif tiding.incarnation > member.incarnation:
            member.incarnation = tiding.incarnation
            if member.doubt is not None and member.doubt.incarnation < tiding.incarnation:
                self._clear(tiding.peer, member)
            self._tell(turn, member, tiding)

    def _accuse(self, turn: Turn, teller: PeerId, member: Member, tiding: Tiding) -> None:
        doubt = member.doubt
        if doubt is None:
            if not self._doubts_raised.spend(teller):
                return
            doubt = self._doubt(turn, tiding.peer, member, member.incarnation)
            self._probe(turn, tiding.peer, helped=False)
        doubt.incarnation = max(doubt.incarnation, tiding.incarnation)
        if tiding.state != State.DOUBTED:
            doubt.testify(teller)

    def _doubt(self, turn: Turn, peer: PeerId, member: Member, incarnation: int) -> Doubt:
        now = turn.now.instant
        doubt = Doubt(peer=peer, incarnation=incarnation, since=now, asked_at=now)
        member.doubt = self.doubts[peer] = doubt
        self._stir(turn, 1 + self.dice.below(TIDINGS_MS))
        return doubt

    def _look(self, turn: Turn, doubt: Doubt) -> None:
        """Give a doubted peer up, ask it again, or tell on that somebody doubts it."""
        now, member = turn.now.instant, self._members[doubt.peer]
        if doubt.ripe(now, self._peers):
            self.given_up += 1
            self._tell(turn, member, Tiding(peer=doubt.peer, incarnation=doubt.incarnation, state=int(State.GONE)))
            self.unwatch(doubt.peer)
            turn.tell(PeerGone(peer=doubt.peer))
            return
        if now - doubt.asked_at >= DOUBT_AGAIN_MS:
            doubt.asked_at = now
            self._probe(turn, doubt.peer, helped=False)
        if now - doubt.since >= DOUBT_TOLD_MS:
            self._tell(turn, member, doubt.tiding())

    def _clear(self, peer: PeerId, member: Member) -> None:
        """End a doubt: the peer is there."""
        if member.doubt is not None:
            member.doubt = None
            del self.doubts[peer]
            if member.told[1] != State.ALIVE:
                self._tidings.drop(peer)

    def _refute(self, turn: Turn, tiding: Tiding) -> None:
        """Outbid what is said of this peer."""
        if tiding.state == State.ALIVE or UNKNOWN < tiding.incarnation < self.incarnation:
            return
        self.incarnation = max(self.incarnation, tiding.incarnation) + 1
        if self._refuted_at is None or turn.now.instant - self._refuted_at >= REFUTED_MS:
            self._refuted_at = turn.now.instant
            self.probes.feel(1)
        self._tidings.add(Tiding(peer=self._me, incarnation=self.incarnation, state=int(State.ALIVE)))
        self._stir(turn, 1)

    # Telling.

    def _tell(self, turn: Turn, member: Member, tiding: Tiding) -> None:
        """Begin to tell a tiding, once."""
        if rank(tiding) > member.told:
            member.told = rank(tiding)
            self._tidings.add(tiding)
            self._stir(turn, 1 + self.dice.below(TIDINGS_MS))

    def _stir(self, turn: Turn, after_ms: int) -> None:
        if self._stirs_at is None:
            self._stirs_at = later(turn.now.instant, after_ms)
            turn.wake(TidingsDue(), after_ms)

    def _gossip(self, turn: Turn) -> None:
        for peer in self._drawn(turn, TIDINGS_PEERS):
            tidings = self._tidings.take(self._peers)
            if tidings:
                self._say(turn, peer, self._addresses(peer, self._members[peer]), Gossip(tidings=tidings))

    def _say(self, turn: Turn, peer: PeerId, addresses: tuple[Address, ...], message: ProbeMessage) -> None:
        if addresses:
            turn.do(SendDatagram(peer=peer, addresses=addresses, message=message))

    def _plan(self, turn: Turn, after_ms: int) -> None:
        self._due = later(turn.now.instant, after_ms)
        turn.wake(ProbeDue(), after_ms)

    # What is known of members.

    def _able(self, turn: Turn) -> list[PeerId]:
        """Return those that may hear datagrams and are not doubted.

        Also such as nothing was heard from yet: young views would else tell tidings to their neighbours' ids alone.
        """
        now = turn.now.instant
        return [peer for peer, member in self._members.items() if member.doubt is None and now >= member.deaf_until]

    def _helpers(self, turn: Turn, peer: PeerId) -> list[PeerId]:
        """Return who is asked to probe a peer: any, and in a large mesh those nearest to it.

        These have a channel with it; any other would have to call it first, and mostly in vain.
        """
        if not self._directory.crowd:
            return [helper for helper in self._drawn(turn, 1 + PROBE_HELPERS) if helper != peer][:PROBE_HELPERS]
        able = (helper for helper in self._able(turn) if helper != peer)
        return nsmallest(PROBE_HELPERS, able, key=lambda helper: distance(peer, helper))

    def _drawn(self, turn: Turn, many: int) -> list[PeerId]:
        """Draw some that may hear datagrams and are not doubted."""
        able = self._able(turn)
        drawn = []
        for _ in range(min(many, len(able))):
            place = self.dice.below(len(able))
            drawn.append(able[place])
            able[place] = able[-1]
            able.pop()
        return drawn

    def _addresses(self, peer: PeerId, member: Member) -> tuple[Address, ...]:
        """Return where a member may hear datagrams: where it spoke from, else where it was reached or says that it is.

        Names are left out: no resolver is asked.
        """
        known = self._directory.peers.get(peer)
        named = [one for one in known.addresses if endpoint_of(one) is not None] if known is not None else []
        return tuple(dict.fromkeys((member.reads_at, *named) if member.reads_at is not None else named))

    def _heard_on_channel(self, asked: Asked) -> bool:
        known = self._directory.peers.get(asked.peer)
        return known is not None and known.connected and known.heard_at >= asked.since

    def _quiet(self, peer: PeerId, now: Instant) -> bool:
        """Whether a member's channel said nothing for so long that it may be broken, though the member is there.

        In a large view that takes half a round: the other end asks once in a round, too, and one of both is enough.
        """
        known = self._directory.peers.get(peer)
        quiet_ms = max(CHANNEL_QUIET_MS, PROBE_MS * len(self._order) // 2)
        return known is not None and now - known.heard_at >= quiet_ms

    def _measure(self, peer: PeerId, member: Member, sample_ms: int) -> None:
        if member.trips is None:
            member.trips = RoundTrips(sample_ms, sample_ms / 2)
            return
        if sample_ms <= member.trips.mean_ms + 4 * member.trips.deviation_ms:
            self._contacting.measured(peer, sample_ms)  # longer ones mostly waited for a handshake
        member.trips.take(sample_ms)
