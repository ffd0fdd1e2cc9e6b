"""Whichever Redis there is does what the store needs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from worker.embedded.redis_server import LocalRedis
from worker.errors import CacheError


@pytest.fixture(params=["found", "stand-in"])
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalRedis]:
    if request.param == "stand-in":
        monkeypatch.setenv("PATH", "")
    with LocalRedis() as running:
        yield running


def test_pipelines_expiry_and_many_keys(server: LocalRedis) -> None:
    """The stand-in, too."""
    client = redis.Redis.from_url(server.url)
    with client.pipeline(transaction=False) as batch:
        batch.set("a", b"1", ex=10_000)
        batch.set("b", b"2")
        batch.execute()
    assert client.mget(["a", "none", "b"]) == [b"1", None, b"2"]
    assert 0 < int(client.ttl("a")) <= 10_000


def test_insisting_on_a_real_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests of guarantees do not take a stand-in."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CacheError, match="no redis-server"):
        LocalRedis(real=True)
