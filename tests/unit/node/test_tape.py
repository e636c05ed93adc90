"""Tapes: what a core heard makes a fresh one ask for the same, however the file ended; no key is on it."""

import io
from collections.abc import Callable
from dataclasses import replace

import pytest

from mesh.core import events as ev
from mesh.core.effects import Append, Effect
from mesh.core.me import Me
from mesh.core.peer import Peer
from mesh.core.stock import StoreMeasured
from mesh.core.tape import HEAD_BYTES, MAGIC, Full, TapeDamaged, digests, read_tape
from mesh.ground.ids import PublicKey
from mesh.ground.instants import Now
from mesh.node.tape import Recorder
from mesh.wire.kept import KeptHead
from mesh.wire.tasks import FrameRange, Frames
from sim.replay import Replayed, replay
from tests.support.cast import ENGINE, NAMES, PICTURE, Cast, blob, boot
from tests.support.rig import Rig

SEED = b"seed"


class Noting(Rig):
    """A rig that notes all that its peer hears."""

    def __init__(self, cast: Cast) -> None:
        self.noted: list[tuple[Now, ev.Event]] = []
        super().__init__(cast)

    def tell(self, event: ev.Event) -> list[Effect]:
        self.noted.append((self.now, event))
        return super().tell(event)


@pytest.fixture
def cast() -> Cast:
    return Cast()


@pytest.fixture
def heard(cast: Cast) -> list[tuple[Now, ev.Event]]:
    """Return what a peer hears that meets others, has a job and renders of it."""
    rig, others = Noting(cast), [cast.actor(name) for name in ("bob", "cy")]
    rig.meet(*others)
    rig.tell(
        ev.JobPlanned(
            op=1,
            name="shot",
            scene=blob("scene"),
            scene_blobs=(blob("scene"),),
            engine=ENGINE,
            frames=Frames(ranges=(FrameRange(first=1, last=4, step=1),)),
            names=NAMES,
            picture=PICTURE,
            directory="/out",
            overwrite=False,
        )
    )
    rig.wait(5_000, *others)
    rig.tell(StoreMeasured(stored=1, free=10**9))
    rig.tell(ev.ChannelClosed(peer=others[0].id, clean=False))
    rig.wait(3_000, others[1])
    return rig.noted


def me(cast: Cast) -> Me:
    actor = cast.actor("me")
    return Me(signer=actor.signer, chain=actor.chain, mesh=cast.mesh, boot=boot("me"), name="me")


def record(
    cast: Cast,
    heard: list[tuple[Now, ev.Event]],
    write: Callable[[bytes], object],
    say: Callable[[str], None] = lambda _text: None,
    *,
    most_bytes: int = 10**9,
) -> list[list[Effect]]:
    """Have a core hear something with a tape on, and return what it asked for."""
    recorder = Recorder(write, say, most_bytes=most_bytes)
    peer = Peer(recorder.begin(me(cast), SEED), SEED)
    asked = []
    for now, event in heard:
        recorder.heard(now, event)
        asked.append(peer.handle(now, event))
        recorder.asked(asked[-1])
    return asked


def recorded(cast: Cast, heard: list[tuple[Now, ev.Event]]) -> bytes:
    tape = io.BytesIO()
    record(cast, heard, tape.write)
    return tape.getvalue()


def again(cast: Cast, tape: bytes, make_core: Callable[[Me, bytes], Peer] = Peer) -> Replayed:
    return replay(io.BytesIO(tape).read, verifier=cast.keyring.verifier, make_core=make_core)


def test_a_fresh_core_that_hears_a_tape_asks_for_the_same(cast: Cast, heard: list[tuple[Now, ev.Event]]) -> None:
    tape = io.BytesIO()
    asked = record(cast, heard, tape.write)
    replayed = again(cast, tape.getvalue())
    assert not replayed.differs
    assert (replayed.turns, replayed.effects) == (len(heard), sum(map(len, asked)))
    assert replayed.effects > 50
    assert again(cast, tape.getvalue()).digest == replayed.digest


def test_a_torn_tape_is_read_up_to_where_it_was_torn(cast: Cast, heard: list[tuple[Now, ev.Event]]) -> None:
    tape = recorded(cast, heard[:40])
    whole = again(cast, tape).turns
    assert whole == 40
    shorter = again(cast, recorded(cast, heard[:39])).turns
    for cut in range(1, len(tape) - len(recorded(cast, heard[:39]))):
        replayed = again(cast, tape[:-cut])
        assert (replayed.turns, replayed.differs) == (shorter, "")
    assert again(cast, tape[:-1]).end == "it ends within a turn"


def test_damage_is_told_from_a_torn_end(cast: Cast, heard: list[tuple[Now, ev.Event]]) -> None:
    tape = recorded(cast, heard[:10])
    for place in range(0, len(tape) - 200, 37):
        bent = bytearray(tape)
        bent[place] ^= 1
        try:
            replayed = again(cast, bytes(bent))
        except TapeDamaged:
            continue
        assert replayed.turns < 10, "a length that leads beyond the end looks as a torn end does"
    bent = bytearray(tape)
    bent[len(MAGIC) + HEAD_BYTES + 3] ^= 1
    with pytest.raises(TapeDamaged, match="middle"):
        again(cast, bytes(bent))
    with pytest.raises(TapeDamaged, match="begin"):
        again(cast, b"no tape at all, but long enough")


class LosesAnEffect(Peer):
    """Asks for one effect less, once."""

    turns = 0

    def handle(self, now: Now, event: ev.Event) -> list[Effect]:
        self.turns += 1
        effects = super().handle(now, event)
        return effects[:-1] if self.turns == 7 else effects


class IsLate(Peer):
    """Reads another calendar than it is told, so that it signs something else."""

    def handle(self, now: Now, event: ev.Event) -> list[Effect]:
        late = isinstance(event, ev.JobPlanned)
        return super().handle(Now(instant=now.instant, wall=type(now.wall)(now.wall + late)), event)


def test_the_first_turn_that_differs_is_named(cast: Cast, heard: list[tuple[Now, ev.Event]]) -> None:
    tape = recorded(cast, heard)
    replayed = again(cast, tape, LosesAnEffect)
    assert replayed.turns == 7
    assert "turn 7" in replayed.differs
    assert "were recorded" in replayed.differs
    assert "something else signed" in again(cast, tape, IsLate).differs
    other = again(cast, tape, lambda who, seed: Peer(replace(who, name="somebody"), seed))
    assert "another Send" in other.differs or "something else signed" in other.differs
    assert again(cast, tape, lambda who, _seed: Peer(who, b"other")).differs


def test_a_broken_rule_breaks_again(cast: Cast, heard: list[tuple[Now, ev.Event]]) -> None:
    class Breaks(Peer):
        def handle(self, now: Now, event: ev.Event) -> list[Effect]:
            assert not isinstance(event, StoreMeasured), "a rule"
            return super().handle(now, event)

    tape = io.BytesIO()
    recorder = Recorder(tape.write, lambda _text: None)
    peer = Breaks(recorder.begin(me(cast), SEED), SEED)
    for now, event in heard:
        recorder.heard(now, event)
        try:
            effects = peer.handle(now, event)
        except AssertionError as error:
            recorder.broke(error)
            break
        recorder.asked(effects)
    replayed = again(cast, tape.getvalue(), Breaks)
    assert (replayed.differs, replayed.end) == ("", "a broken rule ended it")
    assert "broke no rule" in again(cast, tape.getvalue()).differs
    assert "broke a rule" in again(cast, recorded(cast, heard), Breaks).differs


def test_a_tape_ends_at_its_bound_and_says_so(cast: Cast, heard: list[tuple[Now, ev.Event]]) -> None:
    most_bytes, tape, said = len(recorded(cast, heard)) // 2, io.BytesIO(), []
    record(cast, heard, tape.write, said.append, most_bytes=most_bytes)
    assert len(tape.getvalue()) <= most_bytes
    assert list(read_tape(io.BytesIO(tape.getvalue()).read))[-1] == Full()
    replayed = again(cast, tape.getvalue())
    assert not replayed.differs
    assert 0 < replayed.turns < len(heard)
    assert "full" in replayed.end
    assert said == ["the tape ends here: it is full"]


def test_a_disk_that_takes_no_more_ends_the_tape_and_not_the_peer(
    cast: Cast, heard: list[tuple[Now, ev.Event]]
) -> None:
    tape, said = io.BytesIO(), []

    def write(data: bytes) -> None:
        if len(tape.getvalue()) > 5_000:
            raise OSError(28, "No space left on device")
        tape.write(data)

    asked = record(cast, heard, write, said.append)
    assert len(asked) == len(heard)
    assert said == ["the tape ends here: No space left on device"]
    assert not again(cast, tape.getvalue()).differs


def test_no_key_is_on_a_tape(cast: Cast, heard: list[tuple[Now, ev.Event]]) -> None:
    class Kept:
        """A signer that shows what it must not show to whoever looks."""

        def __init__(self) -> None:
            self.inner = cast.actor("me").signer
            self.secret = b"the secret of this peer's own key"

        @property
        def key(self) -> PublicKey:
            return self.inner.key

        def sign(self, message: bytes) -> bytes:
            return self.inner.sign(message)

    tape = io.BytesIO()
    recorder = Recorder(tape.write, lambda _text: None)
    watched = recorder.begin(replace(me(cast), signer=Kept()), SEED)
    peer = Peer(watched, SEED)
    for now, event in heard:
        recorder.heard(now, event)
        recorder.asked(peer.handle(now, event))
    assert watched.signer.sign(b"something")
    assert b"the secret" not in tape.getvalue()
    assert watched.signer.key in tape.getvalue()
    assert not again(cast, tape.getvalue()).differs


def test_signatures_count_that_ids_leave_out(cast: Cast) -> None:
    head = cast.head(cast.actor("bob"))
    forged = replace(head, job=replace(head.job, signature=bytes(64)))
    assert head == forged, "its id says nothing of the signature"
    (true,), (false,) = (digests([Append(entries=(KeptHead(head=one),))]) for one in (head, forged))
    assert (true[0], false[0]) == ("Append", "Append")
    assert true[1] != false[1]
