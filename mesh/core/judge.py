"""Whether a record may have any effect: its author's chain and roles, and that it fits its job. Never a date.

The ledger takes only what passes here, and every peer that knows the author's chain judges alike.
"""

from mesh.core.ledger import JobLedger
from mesh.core.membership import Members
from mesh.wire.envelope import Signed
from mesh.wire.members import Role
from mesh.wire.records import Cancel, Control, Entry, Failed, Hold, Lost, Result, Seal, SealPage


def acts(entry: Signed[Entry], ledger: JobLedger, members: Members) -> bool:
    """Tell whether a record whose signatures were checked belongs into the job's ledger."""
    if entry.body.job != ledger.id or not members.is_member(entry.author):
        return False
    match entry.body.what:
        case Result() as result:
            claim = result.claim
            fits = claim.author == entry.author and claim.body.job == ledger.id
            there = bool(ledger.parts.of(result.task, result.block))
            # One file a frame or bucket: whoever fetches, holds, pastes or seals outputs counts on it.
            return fits and there and len(result.outputs) == 1 and members.may(entry.author, Role.RENDER)
        case Failed() as failed:
            there = bool(ledger.parts.of(failed.task, failed.block))
            return there and members.may(entry.author, Role.RENDER)
        case Lost() as lost:
            return bool(ledger.parts.of(lost.task, lost.block))
        case Cancel() | Control():
            return entry.author == ledger.submitter or members.may(entry.author, Role.ADMIN)
        case Seal():
            return members.may(entry.author, Role.SUBMIT) or members.may(entry.author, Role.RENDER)


def valid_page(entry: Signed[Entry], page: SealPage, ledger: JobLedger, members: Members) -> bool:
    """Tell whether a seal, with its page whose signatures were checked, is one: complete, of this job, and held.

    It names frames alone. A keeper's seal needs as many holds of each output as the job asks; only the submitter's may
    leave frames out.
    """
    if page.job != ledger.id or len(page.tasks) != ledger.frames or not members.is_member(entry.author):
        return False
    by_submitter = entry.author == ledger.submitter
    for task, sealed in enumerate(page.tasks):
        if sealed.result is None:
            if not by_submitter:
                return False
            continue
        what = sealed.result.body.what
        if not isinstance(what, Result) or (what.task, what.block) != (task, None):
            return False
        if not acts(sealed.result, ledger, members):
            return False
        if not by_submitter and not _held(sealed.holds, what, ledger, members):
            return False
    return True


def _held(holds: tuple[Signed[Hold], ...], result: Result, ledger: JobLedger, members: Members) -> bool:
    replaced = {identifier for hold in holds for identifier in hold.body.replaces}
    for output in result.outputs:
        holders = {
            hold.author
            for hold in holds
            if (hold.body.job, hold.body.blob) == (ledger.id, output.blob)
            if hold.id not in replaced and members.is_member(hold.author)
        }
        if len(holders) < ledger.job.copies:
            return False
    return True
