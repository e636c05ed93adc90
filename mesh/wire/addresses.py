"""Where a peer accepts channels, as it travels: nothing that a resolver could take for anything else."""

import dataclasses
import re
from typing import Annotated, TypeAlias

from mesh.wire.codec import AtMost, Between

MAX_ADDRESSES = 8

Port: TypeAlias = Annotated[int, Between(1, 65_535)]
Host: TypeAlias = Annotated[str, AtMost(100)]
"""An address, perhaps with a zone, or a name that a resolver knows."""

# Names without surprises for a resolver: ASCII labels of 1 to 63 characters. An IPv6 address may name its zone.
_HOST = re.compile(
    r"(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:%[A-Za-z0-9._-]+)?"
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a peer accepts channels; raises `ValueError` for a host that no resolver may be asked for."""

    host: Host
    port: Port

    def __post_init__(self) -> None:
        if not _HOST.fullmatch(self.host):
            raise ValueError(f"{self.host!a} is neither an address nor a host's name")

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
