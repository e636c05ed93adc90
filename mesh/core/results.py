"""What is published of a claim: its result, or why there is none, unless neither is wanted any more."""

from mesh.core.events import Rendered, RenderFailed
from mesh.core.ledger import Ledger
from mesh.core.notes import ClaimEnded, OpinionDue, Publish
from mesh.core.turn import Turn
from mesh.wire.codec import clipped
from mesh.wire.envelope import Signed
from mesh.wire.records import MAX_REASON_BYTES, Claim, Failed, Result


def rendered(claim: Signed[Claim], event: Rendered, render_ms: int, without: bytes | None = None) -> Result:
    """Return the record of a claim whose picture is stored; made of buckets, it is `without` those rejected before."""
    return Result(claim=claim, outputs=event.outputs, render_ms=render_ms, log=event.log, without=without)


def failed(claim: Signed[Claim], event: RenderFailed) -> Failed:
    """Return the record of a claim that came to nothing."""
    body = claim.body
    return Failed(
        task=body.task,
        attempt=body.attempt,
        kind=event.kind,
        reason=clipped(event.reason, MAX_REASON_BYTES),
        log=event.log,
        block=body.block,
    )


def lacks(ledger: Ledger, claim: Signed[Claim]) -> bool:
    """Whether something of what was claimed has no result that counts; a result is wanted even where it was stopped."""
    job = ledger.get(claim.body.job)
    return job is not None and job.lacks(claim.body.task, claim.body.block)


def publish(turn: Turn, ledger: Ledger, claim: Signed[Claim], what: Result | Failed) -> None:
    """Publish what came of a claim, where its job goes on and it is still wanted, and end the claim.

    What is checked twice is compared first.
    """
    job = ledger.get(claim.body.job)
    wanted = job is not None and not job.ended and lacks(ledger, claim)
    if wanted and job is not None and job.twice and isinstance(what, Result):
        turn.tell(OpinionDue(claim=claim, result=what))
        return
    if wanted:
        turn.tell(Publish(job=claim.body.job, what=what))
    turn.tell(ClaimEnded(claim=claim, gave_up=not wanted))
