"""Only public addresses are dialled, unless a network is allowed."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from worker.errors import FetchFailedError
from worker.intake.guard import AddressGuard


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "224.0.0.1", "255.255.255.255",
        "192.0.2.1", "198.18.0.1", "::1", "::", "fe80::1", "fd00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
        "64:ff9b::a00:1", "2002:7f00:1::", "2001:db8::1", "not an address", "",
    ],
)  # fmt: skip
def test_refused(address: str) -> None:
    """Loopback, private, link-local, shared, reserved, documentation, multicast; also inside IPv6."""
    assert not AddressGuard().permits(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1"])
def test_permitted(address: str) -> None:
    """The public internet."""
    assert AddressGuard().permits(address)


def test_allowed_networks() -> None:
    """What a setting names, and nothing beside it."""
    guard = AddressGuard([ip_network("10.1.0.0/16"), ip_network("fd00::/8")])
    assert guard.permits("10.1.2.3")
    assert guard.permits("fd00::7")
    assert not guard.permits("10.2.0.1")
    assert guard.permits("::ffff:10.1.2.3")


@pytest.mark.parametrize(
    ("host", "code"),
    [("localhost", "address_refused"), ("2130706433", "address_refused"), ("no.such.host.invalid", "host_not_found")],
)
def test_names_are_resolved_before_they_are_judged(host: str, code: str) -> None:
    """However the address is spelt."""
    with pytest.raises(FetchFailedError) as caught:
        AddressGuard().resolve(host, 80, 10.0)
    assert caught.value.code == code
