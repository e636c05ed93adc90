"""Whether a record may have any effect: its author's chain and roles, and that it fits its job. Never a date.

The ledger takes only what passes here, and every peer that knows the author's chain judges alike.
"""

from mesh.core.ledger import JobLedger
from mesh.core.membership import Members
from mesh.ground.ids import PeerId
from mesh.wire.envelope import Signed
from mesh.wire.members import Role
from mesh.wire.records import Cancel, Control, Entry, Failed, Hold, Lost, Reject, Result, Seal, SealPage, Vouch


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
        case Vouch() as vouch:
            fits = vouch.claim.author == entry.author and vouch.claim.body.job == ledger.id
            there = bool(ledger.parts.of(vouch.task, vouch.block))
            return ledger.twice and fits and there and members.may(entry.author, Role.RENDER)
        case Reject() as reject:
            return bool(ledger.parts.of(reject.task, reject.block)) and may_reject(entry.author, ledger, members)


def may_reject(author: PeerId, ledger: JobLedger, members: Members) -> bool:
    """Tell whether a peer rules on the job's results: its submitter, a judge that it names, or an admin."""
    if author == ledger.submitter or author in ledger.job.judges:
        return True
    return members.may(author, Role.ADMIN)


def valid_page(entry: Signed[Entry], page: SealPage, ledger: JobLedger, members: Members) -> bool:
    """Tell whether a seal, with its page whose signatures were checked, is one: complete, of this job, and held.

    It names frames alone. Where the job is checked twice somebody else must vouch for each. A keeper's seal needs as
    many holds of each output as the job asks; only the submitter's may leave frames out.
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
        if ledger.twice and not _vouched(sealed.vouch, sealed.result, ledger, members):
            return False
        if not by_submitter and not _held(sealed.holds, what, ledger, members):
            return False
    return True


def _vouched(vouch: Signed[Entry] | None, result: Signed[Entry], ledger: JobLedger, members: Members) -> bool:
    what, of = vouch.body.what if vouch is not None else None, result.body.what
    if vouch is None or not isinstance(what, Vouch) or not isinstance(of, Result) or what.result != result.id:
        return False
    fits = (what.task, what.block) == (of.task, of.block) and vouch.author != result.author
    return fits and acts(vouch, ledger, members)


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
