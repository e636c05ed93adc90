"""What came of a render or of a blob, passed on to all whom it concerns, in the order that this needs.

Pictures and logs are on this host's disk before anybody may ask for them, so `Swarm` hears of them first; a claim's
time is booked before its slot is given on.
"""

from mesh.core.assembling import Assembling
from mesh.core.claims import Claims
from mesh.core.events import BlobDamaged, FrameWritten, Rendered, RenderFailed, RenderProgressed
from mesh.core.holds import Holding
from mesh.core.notes import BlobsEvicted
from mesh.core.scenes import Scenes
from mesh.core.slots import Slots
from mesh.core.swarm import Swarm
from mesh.core.turn import Turn


class Outcomes:
    """Pass on what the shell says of renders and blobs."""

    def __init__(
        self,
        slots: Slots,
        assembling: Assembling,
        claims: Claims,
        swarm: Swarm,
        *,
        scenes: Scenes,
        holding: Holding,
    ) -> None:
        self._slots = slots
        self._assembling = assembling
        self._claims = claims
        self._swarm = swarm
        self._scenes = scenes
        self._holding = holding

    def on_progress(self, _turn: Turn, event: RenderProgressed) -> None:
        """Note that something gets on."""
        self._slots.on_progress(event)
        self._assembling.on_progress(event)

    def on_frame_written(self, turn: Turn, event: FrameWritten) -> None:
        """Book the time, then give the slot on."""
        if self._assembling.assembles(event.op):
            self._assembling.on_frame_written(event)
            return
        claim = self._slots.claim_of(event.op)
        if claim is not None:
            self._claims.on_frame_written(turn, event, claim)
            self._slots.on_frame_written(turn, event)

    def on_rendered(self, turn: Turn, event: Rendered) -> None:
        """Have the picture and the log offered, then publish."""
        for output in event.outputs:
            self._swarm.add(turn, output.blob)
        if event.log is not None:
            self._swarm.add(turn, event.log)
        if self._assembling.assembles(event.op):
            self._assembling.on_answer(turn, event)
        else:
            self._slots.on_rendered(turn, event)

    def on_render_failed(self, turn: Turn, event: RenderFailed) -> None:
        """Have the log offered, leave the task to others, then say so."""
        if event.log is not None:
            self._swarm.add(turn, event.log)
        assembly = self._assembling.claim_of(event.op)
        claim = assembly or self._slots.claim_of(event.op)
        if claim is not None:
            self._claims.on_render_failed(turn, event, claim)
        if assembly is not None:
            self._assembling.on_answer(turn, event)
        elif claim is not None:
            self._slots.on_render_failed(turn, event)

    def on_blobs_evicted(self, turn: Turn, note: BlobsEvicted) -> None:
        """Offer them no more; what bound them binds no more, or they would be here."""
        for blob in note.blobs:
            self._swarm.forget(blob)
        self._scenes.on_blobs_evicted(turn, note)

    def on_blob_damaged(self, turn: Turn, event: BlobDamaged) -> None:
        """Offer it no more, and fetch it again where it is needed."""
        self._swarm.forget(event.blob)
        self._scenes.on_blob_damaged(turn, event)
        self._holding.on_blob_damaged(turn, event)
