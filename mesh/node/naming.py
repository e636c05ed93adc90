"""Which peer a person means by a name, an id, or the beginning of an id."""

from string import hexdigits

from mesh.core.status import MeshView, PeerView
from mesh.ground.ids import ID_SIZE, PeerId
from mesh.ports.desk import Ambiguous, UnknownPeer


def find_peer(view: MeshView, named: str) -> PeerView:
    """Return the peer with that name, id, or beginning of an id."""
    by_id = [peer for peer in view.peers if named and peer.peer.hex().startswith(named.lower())]
    by_name = [peer for peer in view.peers if named and peer.name == named and peer not in by_id]
    exact = [peer for peer in by_id if peer.peer.hex() == named.lower()]
    for found in (exact, by_id + by_name):
        if len(found) == 1:
            return found[0]
        if found:
            ids = ", ".join(peer.peer.hex()[:12] for peer in found[:8])
            raise Ambiguous(f"{named!r} is {len(found)} peers: {ids}")
    raise UnknownPeer(f"no peer is called {named!r}")


def anybody(view: MeshView, named: str) -> PeerId:
    """Return the peer with that name, id, or beginning of an id; any whole id may be a peer's that was never met."""
    try:
        return find_peer(view, named).peer
    except UnknownPeer:
        if len(named) != 2 * ID_SIZE or not all(digit in hexdigits for digit in named):
            raise
    return PeerId(bytes.fromhex(named))
