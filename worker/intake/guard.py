"""Refuses addresses that are not on the public internet, at dial time.

The check is made on the resolved address that is then connected to, never on the name: a name that resolves to something else
a moment later gains nothing.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from worker.errors import FetchFailedError

__all__ = ["AddressGuard"]

_NAT64 = IPv6Network("64:ff9b::/96")


class AddressGuard:
    """Resolves names and lets through what may be dialled.

    Args:
        allow: private networks that may be fetched from all the same.
        threads: lookups at once; a lookup cannot be interrupted, so it runs beside the caller, who waits no longer than asked.

    """

    def __init__(self, allow: Sequence[IPv4Network | IPv6Network] = (), threads: int = 16) -> None:
        self._allow = tuple(allow)
        self._lookups = ThreadPoolExecutor(threads, thread_name_prefix="dns")

    def permits(self, address: str) -> bool:
        """Whether ``address`` (numeric) may be dialled."""
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        inner = _embedded(parsed)
        return any(inner in network for network in self._allow) or (inner.is_global and not inner.is_multicast)

    def resolve(self, host: str, port: int, timeout: float) -> list[str]:
        """Numeric addresses of ``host`` that may be dialled, in the resolver's order.

        Raises:
            FetchFailedError: ``host_not_found`` (may pass), ``fetch_timeout`` (may pass) or ``address_refused``.

        """
        lookup = self._lookups.submit(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        try:
            found = lookup.result(timeout)
        except FutureTimeoutError as error:
            raise FetchFailedError("fetch_timeout", f"{host} was not resolved in time", transient=True) from error
        except (OSError, UnicodeError) as error:
            raise FetchFailedError(
                "host_not_found", f"{host} does not resolve", transient=isinstance(error, OSError)
            ) from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        permitted = [address for address in addresses if self.permits(address)]
        if not permitted:
            raise FetchFailedError("address_refused", f"{host} is not a public address, nor in IQA_FETCH__ALLOW_NETWORKS")
        return permitted

    def close(self) -> None:
        """Let go of the lookup threads without waiting for lookups under way."""
        self._lookups.shutdown(wait=False, cancel_futures=True)


def _embedded(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address inside an IPv6 one, where there is one: that is what would be reached."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else address)
