"""Real servers. Where there are none, tests are skipped with a line that says so; in CI they fail."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.broker import Broker, NoBrokerError, real_broker
from tests.integration.fleet import Fleet
from worker.embedded.redis_server import LocalRedis


def absent(what: str) -> None:
    """Skip on a person's machine, fail in CI."""
    if os.environ.get("CI"):
        pytest.fail(f"{what}, and in CI it must be there", pytrace=False)
    pytest.skip(what)


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    try:
        with real_broker() as found:
            yield found
    except NoBrokerError as error:
        absent(f"needs a real Kafka: {error}")


@pytest.fixture
def own_redis() -> Iterator[LocalRedis]:
    """A server of the test's own, which it may stop."""
    if shutil.which("redis-server") is None:
        absent("needs a real Redis: no redis-server on the PATH")
    with LocalRedis(real=True) as running:
        yield running


@pytest.fixture
def redis_url(request: pytest.FixtureRequest) -> str:
    """Any real Redis: the one that ``REDIS_URL`` names, or one of our own."""
    if given := os.environ.get("REDIS_URL"):
        return given
    running: LocalRedis = request.getfixturevalue("own_redis")
    return running.url


@pytest.fixture
def fleet(broker: Broker, tmp_path: Path) -> Iterator[Fleet]:
    """Topics and a consumer group that no other test knows."""
    with Fleet(broker.bootstrap_servers, f"test-{uuid.uuid4().hex[:8]}", tmp_path) as found:
        yield found
