"""Who belongs to the made-up desk's mesh."""

from mesh.ports.roster import MemberRow, PeerRow
from mesh.wire.versions import VERSION_HIGHEST

ME = "a1" * 32
OTHER = "b2" * 32


def member_row(identity: str, name: str, *, by: str = "") -> MemberRow:
    """Make the row of a member that the founding, or another member's invite, let in."""
    return MemberRow(
        id=identity,
        name=name,
        me=identity == ME,
        connected=True,
        roles=["render", "submit", "invite"] if by else ["render", "submit", "invite", "admin"],
        state="member",
        expires_at_ms=1_792_592_000_000,
        admitted_by=by,
        admitted_by_name="desk" if by else "",
        invite="e5" * 32 if by else "",
        revoked_by="",
        revoked_by_name="",
    )


def peer_row(identity: str = ME, name: str = "desk", *, me: bool = True) -> PeerRow:
    """Make a connected peer's row."""
    return PeerRow(
        id=identity,
        name=name,
        me=me,
        connected=True,
        addresses=["192.168.1.5:40001"],
        engines=["blender 4.2.23"],
        slots=1,
        busy=0,
        draining=False,
        paused=False,
        revoked=False,
        round_trip_ms=None if me else 3,
        wire=VERSION_HIGHEST,
    )
