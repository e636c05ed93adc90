"""The addresses that a person gave with `--peer`: what became of each, said once and shown for good.

Theory: an address that leads nowhere may be a typing error or a machine that is not switched on yet, and nobody can
tell which. So it is no error that ends anything: the person is told within seconds what is known, the address is tried
for ever, and `status` goes on to say what the last try found.

The module must not know when addresses are tried.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Final

from mesh.ground.errors import MeshError
from mesh.ports.desk import BootstrapRow
from mesh.ports.transport import DialledSelf, TransportError
from mesh.wire.messages import Address

VERDICT_S: Final = 4.0
"""An address that has not answered by then is said to be silent, although it has more time: within five seconds a
person knows how each stands."""


class Bootstraps:
    """What is known of each address."""

    def __init__(
        self,
        typed: Sequence[Address] = (),
        say: Callable[[str], None] = lambda _: None,
        own: Collection[Address] = (),
    ) -> None:
        self._rows: dict[Address, BootstrapRow] = {
            address: {"address": str(address), "state": "untried", "error": "", "problem": ""} for address in typed
        }
        self._unsaid = dict.fromkeys(typed)
        self._say = say
        for address in typed:
            if address in own:  # which is never dialled
                self.failed(address, DialledSelf(f"{address} is this peer itself"))

    def rows(self) -> list[BootstrapRow]:
        """Return what became of each address, in the order in which they were given."""
        return list(self._rows.values())

    def reached(self, address: Address) -> None:
        """Note that a member of this mesh answers there."""
        if address in self._rows:
            self._rows[address] = {"address": str(address), "state": "reached", "error": "", "problem": ""}
            self._unsaid.pop(address, None)

    def failed(self, address: Address, error: TransportError) -> None:
        """Note why nobody of this mesh answers there, and say so the first time."""
        if address not in self._rows:
            return
        self._rows[address] = {
            "address": str(address),
            "state": "unreached",
            "error": type(error).__name__,
            "problem": problem_at(address, error),
        }
        if address in self._unsaid:
            del self._unsaid[address]
            self._say(_said(address, error))


def _said(address: Address, error: TransportError) -> str:
    if isinstance(error, DialledSelf):
        return f"--peer {address}: that is this peer itself"
    return f"no peer of this mesh at {address} yet ({problem_at(address, error)}); it is tried again and again"


def problem_at(address: Address, error: MeshError) -> str:
    """Return what an error says beside the address, which everybody who prints it has named."""
    return str(error).removeprefix(f"{address}").removesuffix(f" at {address}").lstrip(": ")
