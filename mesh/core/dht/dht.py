"""The DHT's own machine: it answers what others ask, keeps its table of live nodes, and runs this peer's look-ups.

Theory: a node comes into the table when it was heard, at the address where it was heard; the transport vouches for who
speaks. Whoever is met on a channel is asked whether it hears datagrams, too. On joining a node looks for itself and
then into each of its buckets, so that it is known and knows; later once an hour. A pointer is stored by its author
alone, on the nodes nearest to its key, and again before it ends: nobody hands on what it keeps, so that no crowd of
newcomers sets off a storm.

Invariants: questions of one peer are answered up to `DHT_ANSWERS_PER_SECOND`; look-ups, questions and strangers that
wait are bounded. Everything here may be wrong or missing at any moment: nothing rests on it but how soon a peer is
found.
"""

from collections.abc import Iterable

from mesh.core.dht.endpoints import addresses_of, believed, endpoint_of, is_loopback
from mesh.core.dht.kin import Kin
from mesh.core.dht.lookup import Candidate, Lookup, Purpose, Running
from mesh.core.dht.questions import Asked, Questions
from mesh.core.dht.storage import Shelf, newer, pointer_problem
from mesh.core.dht.table import Neighbour, Table
from mesh.core.directory import Directory
from mesh.core.effects import SendDatagram
from mesh.core.events import DatagramHeard, Started
from mesh.core.membership import Members
from mesh.core.notes import NodeTold, PartFound, PeerDead, PeerGone, PeerReached, PointerKept, PointersRead
from mesh.core.timers import AnswersLate, BucketDue, RefreshDue
from mesh.core.turn import Turn
from mesh.ground.dht_limits import (
    DHT_ANSWERS_PER_SECOND,
    DHT_BUCKET_MS,
    DHT_COPIES,
    DHT_FAILS,
    DHT_LOOKUPS,
    DHT_OLD_MS,
    DHT_PART,
    DHT_PINGS_PER_SECOND,
    DHT_REFRESH_MS,
    DHT_STRANGERS,
    DHT_TOLD_MS,
)
from mesh.ground.dice import Dice
from mesh.ground.ids import PeerId
from mesh.ground.instants import SECOND_MS, Instant, later
from mesh.wire.envelope import Signed
from mesh.wire.lookups import (
    DHT_ID_BYTES,
    MAX_NODE_ENDPOINTS,
    Answer,
    Endpoint,
    FindNodes,
    FindPointers,
    Node,
    NodePing,
    NodePong,
    NodesFound,
    Pointer,
    PointersFound,
    PointerStored,
    Question,
    StorePointer,
    dht_id,
)
from mesh.wire.members import let_in_by
from mesh.wire.probes import PROBE_MESSAGES

_ANSWERS = (NodePong, NodesFound, PointersFound, PointerStored)


class Dht:
    """One node of the DHT."""

    def __init__(self, directory: Directory, members: Members) -> None:
        self._directory = directory
        self._members = members
        self.me = directory.me
        self.table = Table(directory.me)
        self.shelf = Shelf(directory.me)
        self.questions = Questions()
        self.own: tuple[Endpoint, ...] = ()
        """Where this peer itself is reached."""
        self._running: dict[int, Running] = {}
        self._last = 0
        self._strangers: dict[PeerId, None] = {}
        """Peers met on channels, to be asked whether they hear datagrams."""
        self._answers: dict[PeerId, int] = {}
        """Questions of each peer that were answered in this second."""
        self.dice = Dice(directory.me)
        """Draws of its own, renewed at the start: how often it draws changes nobody else's."""
        self.joins = 0
        """How often this node has looked for itself to the end: who is nearest is known better then."""
        self._joined = False
        self._to_refresh: list[bytes] = []
        self._published: Signed[Pointer] | None = None
        self._told_until = Instant(0)
        """Before that no further node is asked only because somebody told of it."""
        self._before: dict[PeerId, None] = {}
        """The nearest nodes that were known before the present look-up for oneself."""
        self._holders: dict[PeerId, tuple[Endpoint, ...]] = {}
        """Nodes that are asked to keep this peer's own pointer."""
        self._spread = 0
        """How many they were when it was last published."""

    # Routes.

    def on_started(self, turn: Turn, event: Started) -> None:
        """Learn this peer's own addresses."""
        self.dice = turn.dice.fork(b"dht")
        found = (endpoint_of(address) for address in event.addresses)
        self.own = tuple(endpoint for endpoint in found if endpoint is not None)
        turn.wake(RefreshDue(), self.dice.jitter(DHT_REFRESH_MS))

    def on_peer_reached(self, _turn: Turn, note: PeerReached) -> None:
        """Remember to ask a peer that was met whether it hears datagrams, too."""
        if self.table.get(note.peer) is None and len(self._strangers) < DHT_STRANGERS:
            self._strangers[note.peer] = None

    def on_tick(self, turn: Turn) -> None:
        """Ask some of those that were met; begin anew where nobody is left."""
        self._answers.clear()
        self.shelf.at(turn.now)
        if not self._strangers and not len(self.table):
            self._strangers = self._drawn()
        for peer in list(self._strangers)[:DHT_PINGS_PER_SECOND]:
            del self._strangers[peer]
            endpoints = self._endpoints_known(peer)
            if endpoints and self._members.chain(peer) is not None:
                if self._directory.crowd or not self._directory.connected(peer) or not self._joined:
                    self._ask_who_is_near(turn, peer, endpoints)
                else:  # its channel proves that it is there, and in a small mesh whom it knows comes by itself
                    self._meet(turn, peer, endpoints[0], ask=False)
            elif endpoints:
                self._ping(turn, peer, endpoints)
            elif self._directory.connected(peer):
                self._strangers[peer] = None  # its hello, which tells them, is on its way

    def on_peer_gone(self, _turn: Turn, note: PeerDead | PeerGone) -> None:
        """Forget a node that does not answer anybody, so that no question to it has to time out."""
        self.table.remove(note.peer)
        self._holders.pop(note.peer, None)
        self._strangers.pop(note.peer, None)
        self._joined = bool(len(self.table))

    def on_node_told(self, turn: Turn, note: NodeTold) -> None:
        """Now and then ask a node, where somebody says that it is, who is near this one: it may be of another part."""
        if not self._joined or turn.now.instant < self._told_until or self.table.get(note.peer) is not None:
            return
        told = (endpoint_of(address) for address in note.addresses)
        loopback = any(map(is_loopback, self.own))
        endpoints = believed((one for one in told if one is not None), self.own, loopback=loopback)
        if endpoints:
            self._told_until = later(turn.now.instant, DHT_TOLD_MS)
            self._ask_who_is_near(turn, note.peer, endpoints)

    def on_datagram_heard(self, turn: Turn, event: DatagramHeard) -> None:
        """Answer a question, or take the answer to one of ours; either way its sender is alive where it spoke."""
        if self._members.barred(event.peer):
            return
        message, endpoint = event.message, endpoint_of(event.address)
        assert not isinstance(message, PROBE_MESSAGES), "what is said of who is there is not the DHT's"
        if isinstance(message, _ANSWERS):
            asked = self.questions.answered(turn, event.peer, message)
            if asked is None:
                return
            if isinstance(message, NodePong):
                self._members.learn(message.chain)
            self._meet(turn, event.peer, endpoint, ask=not isinstance(message, NodePong))
            self._take(turn, asked, message, loopback=endpoint is not None and is_loopback(endpoint))
            return
        answers = self._answers.get(event.peer, 0)
        if answers >= DHT_ANSWERS_PER_SECOND:
            return
        self._answers[event.peer] = answers + 1
        answer = self._answer(turn, event.peer, message, loopback=endpoint is not None and is_loopback(endpoint))
        turn.do(SendDatagram(peer=event.peer, addresses=(event.address,), message=answer))
        self._meet(turn, event.peer, endpoint)

    def on_answers_late(self, turn: Turn, _timer: AnswersLate) -> None:
        """Ask once more, or give nodes up."""
        for number in self.questions.late(turn):
            self._press(turn, number)

    def _press(self, turn: Turn, number: int) -> None:
        asked = self.questions.open.get(number)
        if asked is None:
            return
        running = self._running.get(asked.lookup) if asked.lookup is not None else None
        if running is not None:
            running.lookup.late(asked.peer)
        self.questions.press(turn, number, again=running is None or not running.lookup.doubts(asked.peer))
        given_up = number not in self.questions.open
        if given_up:
            self._fail(turn, asked)
            if asked.lookup is None:
                self._go_on(turn)
        if running is None or asked.lookup is None:
            return
        if given_up:
            running.lookup.failed(asked.peer)
            self._advance(turn, asked.lookup, running)
        else:  # that it is late ends no look-up
            self._ask_next(turn, asked.lookup, running.lookup)

    def on_refresh_due(self, turn: Turn, _timer: RefreshDue) -> None:
        """Look for oneself, then into each bucket."""
        turn.wake(RefreshDue(), self.dice.jitter(DHT_REFRESH_MS))
        self._start(turn, Purpose.JOIN, dht_id(self.me))

    # What others of this peer's machines want.

    @property
    def thin(self) -> bool:
        """Whether this peer's pointer lies on fewer nodes than it might: there were few, or most of them are gone."""
        return self._spread < min(len(self.table), DHT_COPIES) or 2 * len(self._holders) < self._spread

    def read(self, turn: Turn, peer: PeerId) -> None:
        """Look a peer's pointer up; `PointersRead` follows, within this turn where nobody can be asked."""
        self._start(turn, Purpose.READ, dht_id(peer))

    def publish(self, turn: Turn, pointer: Signed[Pointer], *, afresh: bool) -> None:
        """Have this peer's pointer kept: by the nodes nearest to it now, or by those that kept it last.

        `PointerKept` follows for each node that does.
        """
        self._published = pointer
        if afresh or 2 * len(self._holders) < DHT_COPIES:
            self._start(turn, Purpose.PUBLISH, dht_id(self.me))
        else:
            self._store(turn)

    # Answering.

    def _answer(self, turn: Turn, peer: PeerId, question: Question, *, loopback: bool) -> Answer:
        match question:
            case FindNodes():
                return NodesFound(number=question.number, nodes=self._told(question.target, peer, loopback=loopback))
            case FindPointers():
                kept = [one for one in self.shelf.get(question.key) if one.body.expires > turn.now.wall]
                nodes = self._told(question.key, peer, loopback=loopback)
                return PointersFound(number=question.number, pointers=tuple(kept[:1]), nodes=nodes)
            case StorePointer():
                return PointerStored(number=question.number, sequence=self._keep(turn, peer, question.pointer))
            case _:
                return NodePong(number=question.number, chain=self._members.my_chain)

    def _told(self, target: bytes, asker: PeerId, *, loopback: bool) -> tuple[Node, ...]:
        nodes = []
        for near in self.table.unlike(target, but=asker):
            endpoints = [endpoint for endpoint in near.endpoints if loopback or not is_loopback(endpoint)]
            if endpoints:
                nodes.append(Node(peer=near.peer, endpoints=tuple(endpoints[:MAX_NODE_ENDPOINTS])))
        return tuple(nodes)

    def _keep(self, turn: Turn, peer: PeerId, pointer: Signed[Pointer]) -> int:
        """Keep a pointer that its author itself brings; return the highest sequence kept of it, 0 for none."""
        if pointer.author != peer or pointer_problem(pointer, pointer.body.key, turn.now.wall):
            return 0
        self.shelf.at(turn.now)
        self.shelf[pointer.body.key] = pointer
        kept = [one.body.sequence for one in self.shelf.get(pointer.body.key) if one.author == peer]
        return max(kept, default=0)

    # The table.

    def _meet(self, turn: Turn, peer: PeerId, endpoint: Endpoint | None, *, ask: bool = True) -> None:
        """Note that a peer was heard at an address; `ask` for its chain where that is not known."""
        neighbour = self.table.get(peer)
        if neighbour is not None:
            self.table.heard(neighbour, turn.now.instant)
            if endpoint is not None and endpoint != neighbour.endpoints[0]:
                others = [one for one in neighbour.endpoints if one != endpoint]
                self.table.move(neighbour, (endpoint, *others)[:MAX_NODE_ENDPOINTS])
            return
        if endpoint is None or peer == self.me:
            return
        chain = self._members.chain(peer)
        if chain is None:
            if ask:
                self._ping(turn, peer, (endpoint,))
            return
        newcomer = Neighbour(peer, (endpoint,), invite=let_in_by(chain), heard_at=turn.now.instant)
        if self.table.add(newcomer):
            if ask and self._joined and peer in self._nearest():
                self._ask_who_is_near(turn, peer, newcomer.endpoints)
            if not self._joined:
                self._joined = True
                turn.wake(RefreshDue(), self.dice.jitter(SECOND_MS))
            return
        oldest = self.table.oldest_beside(peer)
        if oldest is not None and turn.now.instant - oldest.heard_at >= DHT_OLD_MS:
            self._ping(turn, oldest.peer, oldest.endpoints)

    def _ping(self, turn: Turn, peer: PeerId, endpoints: tuple[Endpoint, ...]) -> None:
        """Ask whether a peer is there; not while it is being asked."""
        if not self._is_asked(peer) and len(self.questions.open) < DHT_STRANGERS:
            self.questions.ask(turn, peer, endpoints, NodePing(number=self.questions.number()))

    def _nearest(self) -> list[PeerId]:
        return [node.peer for node in self.table.closest(dht_id(self.me))]

    def _ask_who_is_near(self, turn: Turn, peer: PeerId, endpoints: tuple[Endpoint, ...]) -> None:
        """Ask a node for those nearest to this one: where two parts of a mesh meet, nobody else tells of them."""
        if not self._is_asked(peer) and len(self.questions.open) < DHT_STRANGERS:
            question = FindNodes(number=self.questions.number(), target=dht_id(self.me))
            self.questions.ask(turn, peer, endpoints, question)

    def _look_around(self, turn: Turn, teller: PeerId, nodes: Iterable[Node], *, loopback: bool) -> None:
        """Look for oneself anew where somebody knows nodes that are nearer than what is known."""
        if any(one.purpose is Purpose.MEET for one in self._running.values()):
            return
        nearest = self._nearest()
        at = int.from_bytes(dht_id(self.me), "big")
        distances = [int.from_bytes(dht_id(peer), "big") ^ at for peer in nearest]
        farthest = distances[-1] if len(distances) >= DHT_COPIES else 1 << 8 * DHT_ID_BYTES
        fresh = [
            node
            for node in nodes
            if self.table.get(node.peer) is None and int.from_bytes(dht_id(node.peer), "big") ^ at < farthest
        ]
        candidates = self._candidates(fresh, teller, loopback=loopback)
        if candidates:
            self._before = dict.fromkeys(nearest)
            self._start(turn, Purpose.MEET, dht_id(self.me), candidates)

    def _is_asked(self, peer: PeerId) -> bool:
        """Whether a question beside the look-ups waits for its answer there."""
        return any(asked.peer == peer and asked.lookup is None for asked in self.questions.open.values())

    def _fail(self, turn: Turn, asked: Asked) -> None:
        """Count a question that nobody answered; its peer is told to nobody any more, and soon asked again."""
        neighbour = self.table.get(asked.peer)
        if neighbour is not None:
            self.table.failed(neighbour)
            if neighbour.fails < DHT_FAILS:
                self._ping(turn, neighbour.peer, neighbour.endpoints)
            else:
                self.table.remove(asked.peer)
                self._joined = bool(len(self.table))
        if isinstance(asked.question, StorePointer):
            self._holders.pop(asked.peer, None)

    def _endpoints_known(self, peer: PeerId) -> tuple[Endpoint, ...]:
        """Return where a peer of the directory may hear datagrams: where it was reached, or says that it is."""
        known = self._directory.peers.get(peer)
        found = (endpoint_of(address) for address in known.addresses) if known is not None else ()
        return tuple(endpoint for endpoint in found if endpoint is not None)[: 2 * MAX_NODE_ENDPOINTS]

    def _drawn(self) -> dict[PeerId, None]:
        """Draw one of the peers that are known from channels: behind it may be everybody."""
        peers = list(self._directory.peers)
        return {peers[self.dice.below(len(peers))]: None} if peers else {}

    # Look-ups.

    def _start(self, turn: Turn, purpose: Purpose, target: bytes, told: Iterable[Candidate] = ()) -> None:
        if any(one.purpose is purpose and one.lookup.target == target for one in self._running.values()):
            return
        lookup = Lookup(target, self.me, reads=purpose is Purpose.READ, kin=self._kin)
        running = Running(lookup=lookup, purpose=purpose)
        if len(self._running) < DHT_LOOKUPS:
            nearest = self.table.unlike(target) or self.table.neighbours()
            lookup.learn(Candidate(near.peer, near.endpoints, None) for near in nearest)
            lookup.learn(told)
        self._last += 1
        self._running[self._last] = running
        self._advance(turn, self._last, running)

    def _advance(self, turn: Turn, number: int, running: Running) -> None:
        """Ask whom it helps to ask now; end the look-up when there is nobody."""
        lookup = running.lookup
        if not lookup.over or self._introducing(running):
            self._ask_next(turn, number, lookup)
            return
        self._running.pop(number, None)
        self._end(turn, running)

    def _ask_next(self, turn: Turn, number: int, lookup: Lookup) -> None:
        for candidate in lookup.next():
            name = self.questions.number()
            question: FindNodes | FindPointers = (
                FindPointers(number=name, key=lookup.target)
                if lookup.reads
                else FindNodes(number=name, target=lookup.target)
            )
            self.questions.ask(turn, candidate.peer, candidate.endpoints, question, lookup=number)

    def _introducing(self, running: Running) -> bool:
        """Whether it is still being asked who some of the nearest are: they may all be one person's."""
        lookup = running.lookup
        if running.purpose not in (Purpose.READ, Purpose.PUBLISH) or lookup.agreed:
            return False
        return any(self._members.chain(one.peer) is None and self._is_asked(one.peer) for one in lookup.nearest())

    def _go_on(self, turn: Turn) -> None:
        """Let look-ups go on that waited to hear who somebody is."""
        for number, running in list(self._running.items()):
            self._advance(turn, number, running)

    def _kin(self, candidate: Candidate) -> Kin:
        chain = self._members.chain(candidate.peer)
        return self.table.kin_by(let_in_by(chain) if chain else None, candidate.range)

    def _take(self, turn: Turn, asked: Asked, answer: Answer, *, loopback: bool) -> None:
        if asked.lookup is None:
            self._take_beside(turn, asked, answer, loopback=loopback)
            return
        running = self._running.get(asked.lookup)
        if running is None or isinstance(answer, NodePong | PointerStored):
            return
        found = answer.pointers if isinstance(answer, PointersFound) else ()
        pointers = [one for one in found if not pointer_problem(one, running.lookup.target, turn.now.wall)]
        running.lookup.answered(asked.peer, self._candidates(answer.nodes, asked.peer, loopback=loopback), pointers)
        self._advance(turn, asked.lookup, running)

    def _take_beside(self, turn: Turn, asked: Asked, answer: Answer, *, loopback: bool) -> None:
        """Take an answer to what no look-up asked."""
        match answer:
            case PointerStored(sequence=sequence) if sequence:
                turn.tell(PointerKept(sequence=sequence))
            case PointerStored():
                self._holders.pop(asked.peer, None)
            case NodesFound():
                self._look_around(turn, asked.peer, answer.nodes, loopback=loopback)
            case _:
                pass
        self._go_on(turn)

    def _candidates(self, nodes: Iterable[Node], teller: PeerId, *, loopback: bool) -> list[Candidate]:
        """Return what is believed of the nodes that somebody told; of one in the table its own word counts."""
        found = []
        for node in nodes:
            known = self.table.get(node.peer)
            endpoints = known.endpoints if known else believed(node.endpoints, self.own, loopback=loopback)
            if endpoints:
                found.append(Candidate(node.peer, endpoints, teller))
        return found

    def _end(self, turn: Turn, running: Running) -> None:
        lookup = running.lookup
        match running.purpose:
            case Purpose.READ:
                for mine in self.shelf.get(lookup.target):
                    if not pointer_problem(mine, lookup.target, turn.now.wall):
                        lookup.pointers[mine.author] = newer(lookup.pointers.get(mine.author), mine)
                authors = sorted(lookup.pointers)
                turn.tell(PointersRead(key=lookup.target, pointers=tuple(lookup.pointers[one] for one in authors)))
            case Purpose.PUBLISH:
                self._holders = {node.peer: node.endpoints for node in lookup.nearest()}
                self._spread = len(self._holders)
                self._store(turn)
            case Purpose.JOIN:
                self.joins += 1
                ranges = self.table.ranges()
                self._to_refresh = [self._within(each.lower, each.upper) for each in ranges]
                self._refresh_next(turn)
            case Purpose.MEET:
                self._tell_of_another_part(turn, lookup.nearest())
            case Purpose.REFRESH:
                self._refresh_next(turn)

    def _tell_of_another_part(self, turn: Turn, nearest: list[Candidate]) -> None:
        """Have others told of a node, where so many of the nearest were unknown that a part of the mesh must be."""
        fresh = [node for node in nearest if node.peer not in self._before and self.table.get(node.peer) is not None]
        if len(self._before) >= DHT_COPIES and len(fresh) >= DHT_PART:
            turn.tell(PartFound(peer=fresh[0].peer, addresses=addresses_of(fresh[0].endpoints)))

    def on_bucket_due(self, turn: Turn, _timer: BucketDue) -> None:
        """Look into the next bucket."""
        if self._to_refresh:
            self._start(turn, Purpose.REFRESH, self._to_refresh.pop())

    def _refresh_next(self, turn: Turn) -> None:
        """Look into one bucket after another, with pauses: nobody waits for it, and each look meets many strangers."""
        if self._to_refresh:
            turn.wake(BucketDue(), self.dice.jitter(DHT_BUCKET_MS))

    def _within(self, lower: int, upper: int) -> bytes:
        drawn = int.from_bytes(self.dice.draw(DHT_ID_BYTES), "big")
        return (lower + drawn % (upper - lower + 1)).to_bytes(DHT_ID_BYTES, "big")

    def _store(self, turn: Turn) -> None:
        if self._published is None:
            return
        for peer, endpoints in list(self._holders.items()):
            question = StorePointer(number=self.questions.number(), pointer=self._published)
            self.questions.ask(turn, peer, endpoints, question)
