"""Probes."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request

import pytest
from prometheus_client import CollectorRegistry

from tests.patience import PATIENCE_S
from worker.errors import SettingsError
from worker.telemetry.http import TelemetryServer


def test_one_failing_condition_fails_the_probe() -> None:
    """And the body says which."""
    server = TelemetryServer("127.0.0.1", 0, lambda: {"a": True, "b": False}, lambda: {"c": True}, CollectorRegistry())
    try:
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"http://127.0.0.1:{server.port}/livez", timeout=PATIENCE_S)
        assert caught.value.code == 503
        assert json.loads(caught.value.read()) == {"a": True, "b": False}
        assert urllib.request.urlopen(f"http://127.0.0.1:{server.port}/readyz?verbose", timeout=PATIENCE_S).status == 200
    finally:
        server.close()


def test_a_port_in_use_is_named() -> None:
    """The start stops with the setting to change."""
    first = TelemetryServer("127.0.0.1", 0, dict, dict, CollectorRegistry())
    try:
        with pytest.raises(SettingsError, match=rf"IQA_HTTP__PORT.*127\.0\.0\.1:{first.port}"):
            TelemetryServer("127.0.0.1", first.port, dict, dict, CollectorRegistry())
    finally:
        first.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "::"])
def test_pods_with_either_kind_of_address_can_be_probed(host: str) -> None:
    """An address of IPv6 is listened on as such; ``::`` is everything, IPv4 included."""
    if ":" in host and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    server = TelemetryServer(host, 0, dict, dict, CollectorRegistry())
    try:
        for name in {"::": ["[::1]", "127.0.0.1"], "::1": ["[::1]"]}.get(host, [host]):
            with urllib.request.urlopen(f"http://{name}:{server.port}/livez", timeout=PATIENCE_S) as answer:
                assert answer.status == 200
    finally:
        server.close()


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
