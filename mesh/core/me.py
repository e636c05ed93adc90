"""Who this peer is, as every machine of its core may know."""

from dataclasses import dataclass

from mesh.core.membership import Chain
from mesh.ground.ids import Boot, MeshId
from mesh.ground.limits import EVERYBODY
from mesh.wire.envelope import Signer


@dataclass(frozen=True, slots=True, kw_only=True)
class Me:
    """Who this peer is: its key, its chain, its mesh, and this start of its process."""

    signer: Signer
    chain: Chain
    mesh: MeshId
    boot: Boot
    name: str
    everybody: int = EVERYBODY
    """Up to so many peers are all kept channels with."""
