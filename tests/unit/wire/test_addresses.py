"""What an address says of itself."""

import pytest

from mesh.wire.addresses import is_loopback, same_network, tellable, told
from mesh.wire.messages import Address


@pytest.mark.parametrize(
    ("host", "loopback", "anywhere"),
    [
        ("127.0.0.1", True, False),
        ("127.8.9.1", True, False),
        ("::1", True, False),
        ("localhost", True, False),
        ("LOCALHOST.", True, False),
        ("fe80::1", False, False),
        ("fe80::1%eth0", False, False),
        ("169.254.1.1", False, False),
        ("0.0.0.0", False, False),
        ("::", False, False),
        ("224.0.0.1", False, False),
        ("10.0.0.1", False, True),
        ("192.168.1.5", False, True),
        ("fd00::1", False, True),
        ("2001:db8::1", False, True),
        ("::ffff:127.0.0.1", True, False),
        ("::ffff:10.0.0.1", False, True),
        ("studio.example", False, False),
        ("127.1", False, False),
        ("2130706433", False, False),
        ("0x7f000001", False, False),
        ("0177.0.0.1", False, False),
        ("0", False, False),
    ],
)
def test_what_is_only_true_here_is_told_to_nobody_elsewhere(host: str, loopback: bool, anywhere: bool) -> None:
    address = Address(host=host, port=1)
    assert is_loopback(address) is loopback
    assert tellable(address) is anywhere
    assert told([address], here=True) == (address,)
    assert bool(told([address], here=False)) is anywhere


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.168.1.5", "192.168.1.200", True),
        ("192.168.1.5", "192.168.2.5", False),
        ("fd00::1", "fd00::ffff:1", True),
        ("fd00::1", "fd00:0:0:1::1", False),
        ("10.0.0.1", "::ffff:10.0.0.1", True),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("studio.example", "studio.example", False),
    ],
)
def test_addresses_that_begin_alike_are_on_one_cable(one: str, other: str, same: bool) -> None:
    assert same_network(one, other) is same
    assert same_network(other, one) is same
