"""How a failed dial is told: refused is news about a peer, silence and missing routes are not."""

import errno
import socket

import pytest
import trio

from mesh.net.interfaces import addresses
from mesh.net.sockets import _dial_error, listen, remote_address
from mesh.ports.transport import AddressNotHere, DialRefused, DialTimedOut, DialUnreachable, TransportError
from mesh.wire.messages import MAX_ADDRESSES, Address

ADDRESS = Address(host="peer.example", port=4_000)

REFUSED = ConnectionRefusedError(errno.ECONNREFUSED, "refused")
SILENT = TimeoutError(errno.ETIMEDOUT, "timed out")
NO_ROUTE = OSError(errno.EHOSTUNREACH, "no route")


def failed(*causes: OSError) -> OSError:
    """Return what trio raises when every address of a name failed."""
    error = OSError("all attempts to connect failed")
    error.__cause__ = causes[0] if len(causes) == 1 else ExceptionGroup("all of them", list(causes))
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (failed(REFUSED), DialRefused),
        (failed(REFUSED, REFUSED), DialRefused),
        (failed(REFUSED, NO_ROUTE), DialUnreachable),
        (failed(REFUSED, SILENT), DialTimedOut),
        (failed(SILENT), DialTimedOut),
        (failed(NO_ROUTE), DialUnreachable),
        (socket.gaierror(socket.EAI_NONAME, "no such name"), DialUnreachable),
        (UnicodeError("label too long"), DialUnreachable),
    ],
    ids=["refused", "both refused", "one refused", "one silent", "silent", "no route", "no name", "no name at all"],
)
def test_a_dial_is_refused_only_if_every_address_refused(
    error: OSError | UnicodeError, kind: type[TransportError]
) -> None:
    told = _dial_error(ADDRESS, error)
    assert type(told) is kind
    assert "peer.example:4000" in str(told)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        # As trio words it, with the address as Python writes it.
        (
            failed(OSError(errno.EHOSTUNREACH, "Error connecting to ('10.0.0.7', 5): No route to host")),
            "no route to host",
        ),
        (failed(OSError(errno.ENETUNREACH, "Network is unreachable")), "network is unreachable"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "no such host"),
        (
            socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
            "temporary failure in name resolution",
        ),
        (UnicodeError("label too long"), "no such host"),
    ],
)
def test_a_dial_that_leads_nowhere_says_why_in_words(error: OSError | UnicodeError, reason: str) -> None:
    assert str(_dial_error(ADDRESS, error)) == f"peer.example:4000: {reason}"


def test_a_host_that_has_no_address_is_none_of_this_machines() -> None:
    # A label of 64 letters is refused before any resolver is asked.
    with pytest.raises(AddressNotHere, match="cannot be looked up: no such host"):
        trio.run(listen, "x" * 64, 0)


def test_this_host_has_addresses_and_loopback_is_the_last_resort() -> None:
    found = addresses(4_000)
    assert 1 <= len(found) <= MAX_ADDRESSES
    assert len(set(found)) == len(found)
    loopback = [address.host in ("127.0.0.1", "::1") for address in found]
    assert any(loopback)
    assert loopback == sorted(loopback)


@pytest.mark.parametrize(
    ("interface", "host"), [("eth0", "fe80::1%eth0"), ("br+lan", "fe80::1%7"), ("wl an", "fe80::1%7")]
)
def test_the_other_end_has_an_address_however_the_interface_is_called(
    interface: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Socket:
        def getpeername(self) -> tuple[str, int, int, int]:
            return "fe80::1", 4_000, 0, 7

    class Stream:
        socket = Socket()

    monkeypatch.setattr(socket, "getnameinfo", lambda _name, _flags: (f"fe80::1%{interface}", "4000"))
    assert remote_address(Stream()) == Address(host=host, port=4_000)  # type: ignore[arg-type]
