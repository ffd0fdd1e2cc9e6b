"""Only public addresses are dialled, unless a network is allowed."""

from __future__ import annotations

import socket
import threading
from ipaddress import ip_network
from typing import Any

import httpcore
import pytest

from tests.patience import PATIENCE_S
from worker.errors import FetchFailedError
from worker.intake.guard import AddressGuard
from worker.intake.http_source import HttpSource
from worker.settings import FetchSettings

V4 = [
    "0.0.0.0", "0.1.2.3", "0.255.255.255", "10.0.0.0", "10.0.0.1", "10.255.255.255", "100.64.0.0", "100.64.0.1",
    "100.127.255.255", "127.0.0.0", "127.0.0.1", "127.1.2.3", "127.255.255.255", "169.254.0.1", "169.254.169.254",
    "169.254.170.2", "169.254.255.255", "172.16.0.0", "172.16.0.1", "172.17.0.1", "172.31.255.255", "192.0.0.0",
    "192.0.0.1", "192.0.0.8", "192.0.0.9", "192.0.0.10", "192.0.0.170", "192.0.0.171", "192.0.0.255", "192.0.2.0",
    "192.0.2.1", "192.0.2.255", "192.31.196.1", "192.52.193.1", "192.88.99.1", "192.88.99.2", "192.168.0.0",
    "192.168.0.1", "192.168.255.255", "192.175.48.1", "198.18.0.0", "198.18.0.1", "198.19.255.255", "198.51.100.0",
    "198.51.100.1", "198.51.100.255", "203.0.113.0", "203.0.113.1", "203.0.113.255", "224.0.0.0", "224.0.0.1",
    "224.0.0.251", "232.1.1.1", "239.255.255.250", "239.255.255.255", "240.0.0.0", "240.0.0.1", "250.1.2.3",
    "255.255.255.254", "255.255.255.255",
]  # fmt: skip
V6 = [
    "::", "::1", "::2", "::7f00:1", "::127.0.0.1", "::10.0.0.1", "::1.1.1.1", "::ffff:0:127.0.0.1", "::ffff:0:1.1.1.1",
    "64:ff9b:1::1", "64:ff9b:1::7f00:1", "64:ff9b:1:ffff::1.1.1.1", "100::1", "100:0:0:1::1", "1::1", "fc00::1",
    "fcff::1", "fd00::1", "fd12:3456:789a::1", "fdff:ffff::1", "fe80::1", "fe80::5efe:7f00:1", "fe80::1%eth0",
    "fe80::1%1", "fe90::1", "fea0::1", "febf:ffff::1", "fec0::1", "feff::1", "ff00::1", "ff01::1", "ff02::1",
    "ff02::fb", "ff05::2", "ff0e::1", "ffff::1", "2001::1", "2001:0:1::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:1::1", "2001:2::1", "2001:3::1", "2001:4:112::1", "2001:10::1", "2001:1f:ffff::1", "2001:20::1", "2001:2f::1",
    "2001:1ff:ffff::1", "2001:db8::1", "2001:db8:ffff::1", "2002::1", "2002:7f00:1::", "2002:7f00:1::1",
    "2002:a00:1::1", "2002:c0a8:1::1", "2002:101:101::1", "2620:4f:8000::1", "3fff::1", "3fff:fff:ffff::1", "4000::1",
    "5f00::1", "6000::1", "8000::1", "a000::1", "c000::1", "e000::1", "f000::1", "2606:4700::5efe:7f00:1",
    "2606:4700::5efe:101:101", "2606:4700::200:5efe:a00:1", "2606:4700::1%eth0", "::1%lo",
]  # fmt: skip
INSIDE = [
    "127.0.0.1", "127.255.0.1", "10.0.0.1", "192.168.1.1", "169.254.169.254", "172.16.0.1", "100.64.0.1", "0.0.0.0",
    "224.0.0.1", "192.0.2.1", "198.18.0.1",
]  # fmt: skip
REFUSED = [
    *V4, *V6, *(f"::ffff:{inner}" for inner in INSIDE), *(f"64:ff9b::{inner}" for inner in INSIDE),
    "not an address", "", " ", "1.1.1", "01.1.1.1", "1.1.1.1.", "0x7f.0.0.1", "1.1.1.1/32", "1.1.1.1:80", "[::1]",
    "::ffff:1.1.1.256",
]  # fmt: skip
PERMITTED = [
    "1.1.1.1", "1.0.0.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "93.184.216.34", "100.63.255.255", "100.128.0.0",
    "126.255.255.255", "128.0.0.1", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0",
    "192.0.3.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "198.51.99.255", "203.0.112.255",
    "203.0.114.0", "223.255.255.255", "2000::1", "2001:200::1", "2001:4860:4860::8888", "2606:4700::1111",
    "2400:cb00::1", "2a00:1450::1", "3ffe::1", "2003::1", "::ffff:1.1.1.1", "::ffff:8.8.8.8", "64:ff9b::1.1.1.1",
    "64:ff9b::808:808",
]  # fmt: skip


def test_the_table_is_long_enough() -> None:
    """Every case once."""
    assert len(set(REFUSED)) == len(REFUSED) >= 150
    assert len(set(PERMITTED)) == len(PERMITTED)


@pytest.mark.parametrize("address", REFUSED)
def test_refused(address: str) -> None:
    """All that is not globally routable, both ends of each network; also inside IPv6, with zones, and oddly spelt."""
    assert not AddressGuard().permits(address)


@pytest.mark.parametrize("address", PERMITTED)
def test_permitted(address: str) -> None:
    """The public internet, up to the very edges of what is refused."""
    assert AddressGuard().permits(address)


@pytest.mark.parametrize("port", [0, 22, 25, 6379, 8080, 8443, 9092, 65_535])
def test_other_ports_are_refused(port: int) -> None:
    """Of public addresses; allowed networks may use any."""
    assert not AddressGuard().permits("1.1.1.1", port)
    assert AddressGuard(ports=[port]).permits("1.1.1.1", port)
    assert AddressGuard([ip_network("10.0.0.0/8")]).permits("10.0.0.1", port)


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "localhost.", "LOCALHOST", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1",
        "017700000001", "0", "0.0.0.0", "::1", "::ffff:127.0.0.1", "10.1", "167772161", "0xa.0.0.1",
    ],
)  # fmt: skip
def test_odd_spellings_are_what_they_resolve_to(host: str) -> None:
    """Octal, hexadecimal, short and long forms, trailing dots: the address is judged, never the name."""
    with pytest.raises(FetchFailedError) as caught:
        AddressGuard().resolve(host, 80, 10.0)
    assert caught.value.code in {"address_refused", "host_not_found"}


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """The machine's resolver gives these answers, one after the other; gives the names that it was asked for."""
    asked: list[str] = []

    def answer(host: str, port: int, **_: object) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        asked.append(host)
        return [(2, 1, 6, "", (address, port)) for address in answers[min(len(asked), len(answers)) - 1]]

    monkeypatch.setattr("socket.getaddrinfo", answer)
    return asked


def test_names_that_resolve_to_several_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only those that may be dialled are; one private address among public ones gains nothing."""
    resolving(monkeypatch, ["10.0.0.1", "1.1.1.1", "::1"])
    assert AddressGuard().resolve("mixed.example", 443, 1.0) == ["1.1.1.1"]


def test_rebinding_gains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is public when asked and private a moment later: asked once, and what was checked is what is dialled."""
    asked = resolving(monkeypatch, ["1.1.1.1"], ["127.0.0.1"])
    dialled: list[str] = []

    def dial(_: object, host: str, *__: object) -> None:
        dialled.append(host)
        raise httpcore.ConnectError("stop here")

    monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", dial)
    source = HttpSource(FetchSettings())
    for code in ("connect_failed", "address_refused"):
        with pytest.raises(FetchFailedError) as caught:
            source.fetch("http://rebind.example/a.jpg")
        assert caught.value.code == code
    assert asked == ["rebind.example"] * 2
    assert dialled == ["1.1.1.1"]
    source.close()


@pytest.mark.parametrize(
    ("host", "trusted"),
    [
        ("files.internal", True),
        ("FILES.internal.", True),
        ("a.store.internal", True),
        ("store.internal", False),
        ("xfiles.internal", False),
        ("files.internal.evil.example", False),
    ],
)
def test_hosts_that_may_lead_anywhere(monkeypatch: pytest.MonkeyPatch, host: str, trusted: bool) -> None:
    """By whole names, or all below a domain; nothing that only looks alike."""
    resolving(monkeypatch, ["10.0.0.1"])
    guard = AddressGuard(hosts=["files.internal", ".store.internal"])
    if trusted:
        assert guard.resolve(host, 9000, 1.0) == ["10.0.0.1"]
    else:
        with pytest.raises(FetchFailedError, match="address_refused"):
            guard.resolve(host, 9000, 1.0)


@pytest.mark.parametrize("url", ["http://user@1.1.1.1/", "http://user:secret@1.1.1.1/", "https://:x@example.org/a.jpg"])
def test_user_info_is_refused_and_not_repeated(url: str) -> None:
    """Neither fetched nor shown in the reason."""
    source = HttpSource(FetchSettings())
    with pytest.raises(FetchFailedError, match="invalid_url") as caught:
        source.fetch(url)
    assert "secret" not in str(caught.value)
    source.close()


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


def test_a_domain_whose_servers_are_silent_holds_its_share_of_the_lookups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers need no lookup; other names find threads; what is too many is told at once, and may pass."""
    silent, begun = threading.Event(), list[str]()
    ask = socket.getaddrinfo

    def look_up(host: str, port: int, **options: Any) -> Any:
        if host.endswith("slow.test"):
            begun.append(host)
            silent.wait()
        return ask("127.0.0.1", port, **options)

    monkeypatch.setattr("worker.intake.guard.socket.getaddrinfo", look_up)
    guard = AddressGuard([ip_network("127.0.0.0/8")], threads=4)
    try:
        for number in range(6):
            with pytest.raises(FetchFailedError) as caught:
                guard.resolve(f"h{number}.slow.test", 80, 0.01)
            assert (caught.value.code, caught.value.transient) == ("fetch_timeout", True)
        assert len(begun) <= 2
        assert guard.resolve("good.test", 80, PATIENCE_S) == ["127.0.0.1"]
        assert guard.resolve("127.0.0.1", 80, 0) == ["127.0.0.1"]
    finally:
        silent.set()
        guard.close()
