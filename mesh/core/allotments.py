"""How much one author may say: so that nobody fills a ledger, and what stays of too much is the same everywhere.

Pure functions of a record.
"""

from mesh.ground.ids import PeerId
from mesh.ground.limits import (
    BUCKETS_PER_AUTHOR,
    FAILURES_PER_TRY,
    LOST_PER_AUTHOR,
    LOST_PER_BUCKET,
    RESULTS_PER_AUTHOR,
    SEALS_PER_AUTHOR,
)
from mesh.ground.share_limits import CONTROLS_PER_AUTHOR
from mesh.wire.envelope import Signed
from mesh.wire.records import MAX_TRIES, Cancel, Control, Entry, Failed, Lost, Reject, Result, Seal, Vouch


def room(entry: Signed[Entry], submitter: PeerId) -> tuple[tuple[object, ...], int]:
    """Return what a record is about, and how many such its author may say; no honest peer needs more."""
    author, what = entry.author, entry.body.what
    match what:
        case Result():
            most = RESULTS_PER_AUTHOR if what.block is None else BUCKETS_PER_AUTHOR
            return ("result", author, what.task, what.block), most
        case Failed():
            return ("failed", author, what.task, what.block), MAX_TRIES * FAILURES_PER_TRY
        case Lost() if author == submitter:
            return ("lost", author, what.task, what.block), RESULTS_PER_AUTHOR
        case Lost() if what.block is not None:
            return ("lost", author, what.task, what.block), LOST_PER_BUCKET
        case Lost():
            return ("lost", author), LOST_PER_AUTHOR
        case Cancel():
            return ("cancel", author), 1
        case Control():
            return ("control", author), CONTROLS_PER_AUTHOR
        case Seal():
            return ("seal", author), SEALS_PER_AUTHOR
        case Vouch():
            return ("vouch", author, what.task, what.block), RESULTS_PER_AUTHOR
        case Reject():
            return ("reject", author, what.task, what.block), RESULTS_PER_AUTHOR


def place(entry: Signed[Entry]) -> tuple[bytes, bytes]:
    """Order what one author said of one thing: seals as they rank, all else by id."""
    what = entry.body.what
    return (what.blob if isinstance(what, Seal) else b"", entry.id)


def seal_rank(entry: Signed[Entry], submitter: PeerId) -> tuple[bool, bytes, bytes]:
    """Order seals of one job: the submitter's stands, else the lowest hash."""
    what = entry.body.what
    assert isinstance(what, Seal)
    return (entry.author != submitter, what.blob, entry.id)
