"""Refuses addresses that are not on the public internet, at dial time.

The check is made on the resolved address that is then connected to, never on the name: a name that resolves to something else
a moment later gains nothing.
"""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

from worker.errors import FetchFailedError

__all__ = ["AddressGuard"]

# IANA's special-purpose registries (RFC 6890 and what followed), with multicast and reserved space. Written out, since what
# Python calls global changes with its version.
_REFUSED_V4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
    )
)  # fmt: skip
_GLOBAL_V6 = IPv6Network("2000::/3")
_REFUSED_V6 = tuple(
    IPv6Network(network)
    # Protocol assignments with Teredo and ORCHID, documentation twice, 6to4, AS112.
    for network in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
)
_NAT64 = IPv6Network("64:ff9b::/96")
_ISATAP = {0x00005EFE, 0x02005EFE}
PORTS = (80, 443)


class AddressGuard:
    """Resolves names and lets through what may be dialled.

    Args:
        allow: private networks that may be fetched from all the same, on any port.
        hosts: names that may be fetched from wherever they lead, on any port; ``.example.org`` means all below it.
        ports: of public addresses, these alone.
        threads: lookups at once; a lookup cannot be interrupted, so it runs beside the caller, who waits no longer than asked.

    """

    def __init__(
        self,
        allow: Sequence[IPv4Network | IPv6Network] = (),
        threads: int = 16,
        hosts: Sequence[str] = (),
        ports: Sequence[int] = PORTS,
    ) -> None:
        self._allow = tuple(allow)
        self._hosts = tuple(host.lower().rstrip(".") for host in hosts)
        self._ports = frozenset(ports)
        self._lookups = ThreadPoolExecutor(threads, thread_name_prefix="dns")
        self._per_domain = max(1, threads // 2)
        self._under_way: Counter[str] = Counter()
        self._lock = threading.Lock()

    def permits(self, address: str, port: int = 443) -> bool:
        """Whether ``address`` (numeric) may be dialled on ``port``."""
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        inner = _embedded(parsed)
        if any(inner.version == network.version and inner in network for network in self._allow):
            return True
        return port in self._ports and _is_public(inner)

    def _trusts(self, host: str) -> bool:
        name = host.lower().rstrip(".")
        return any(name == known or (known.startswith(".") and name.endswith(known)) for known in self._hosts)

    def resolve(self, host: str, port: int, timeout: float) -> list[str]:
        """Numeric addresses of ``host`` that may be dialled, in the resolver's order.

        Raises:
            FetchFailedError: ``host_not_found`` or ``fetch_timeout``, which may pass; ``address_refused``, ``invalid_url``.

        """
        try:
            found = self._look_up(host, port, timeout)
        except FutureTimeoutError as error:
            raise FetchFailedError("fetch_timeout", f"{host} was not resolved in time", transient=True) from error
        except OSError as error:
            raise FetchFailedError("host_not_found", f"{host} does not resolve", transient=True) from error
        except (ValueError, OverflowError) as error:
            # Names that no lookup can be made of: labels that are too long or empty, null bytes.
            raise FetchFailedError("invalid_url", "the URL's host cannot be") from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        if self._trusts(host):
            return addresses
        permitted = [address for address in addresses if self.permits(address, port)]
        if not permitted:
            raise FetchFailedError(
                "address_refused",
                f"{host}, port {port}, is not public, nor allowed by IQA_FETCH__ALLOW_NETWORKS, _HOSTS, _PORTS",
            )
        return permitted

    def _look_up(self, host: str, port: int, timeout: float) -> list[Any]:
        """Ask the resolver, beside the caller; numbers need none.

        A lookup under way cannot be ended. A domain whose servers are silent would soon hold all threads, so each registered
        name, by its last two labels, has its share of them.

        Raises:
            TimeoutError: no answer in time, or too many lookups of that domain are under way.
            OSError, ValueError: there is no such name, or it is none.

        """
        if _is_numeric(host):
            return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        domain = ".".join(host.lower().rstrip(".").split(".")[-2:])
        with self._lock:
            if self._under_way[domain] >= self._per_domain:
                raise FutureTimeoutError
            self._under_way[domain] += 1
        lookup = self._lookups.submit(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        lookup.add_done_callback(lambda _: self._looked_up(domain))
        try:
            return lookup.result(timeout)
        except FutureTimeoutError:
            lookup.cancel()
            raise

    def _looked_up(self, domain: str) -> None:
        with self._lock:
            self._under_way[domain] -= 1
            if not self._under_way[domain]:
                del self._under_way[domain]

    def close(self) -> None:
        """Let go of the lookup threads without waiting for lookups under way."""
        self._lookups.shutdown(wait=False, cancel_futures=True)


def _is_numeric(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _embedded(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that a mapped or translated (NAT64) one stands for: that is what would be reached."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _REFUSED_V4)
    # Zones name an interface of this machine. ISATAP hides an IPv4 address behind any prefix.
    if address.scope_id is not None or (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
        return False
    return address in _GLOBAL_V6 and not any(address in network for network in _REFUSED_V6)
