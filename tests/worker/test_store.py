"""Keys, the cache of repeats, and what the ranking service reads with."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import redis

from tests.patience import PATIENCE_S
from tests.worker.helpers import verdict
from worker.contracts.verdicts import without
from worker.embedded.redis_server import LocalRedis
from worker.errors import CacheError
from worker.redis_client import Client
from worker.settings import RedisSettings
from worker.store import Change, ContentCache, VerdictReader, VerdictWriter, connect, content_key, verdict_key

SHA = "ab" * 32


@pytest.fixture(scope="module")
def server() -> Iterator[LocalRedis]:
    with LocalRedis() as running:
        yield running


@pytest.fixture
def client(server: LocalRedis) -> redis.Redis:
    found = connect(RedisSettings(url=server.url))
    assert isinstance(found, redis.Redis)
    found.flushall()
    return found


@pytest.fixture
def nobody() -> Client:
    found = connect(RedisSettings(url="redis://127.0.0.1:1/0", timeout_s=0.2))
    assert found is not None
    return found


def test_keys_are_the_contract() -> None:
    """Other services were told these."""
    assert verdict_key("a1") == "iqa:verdict:a1"
    assert content_key("f1", SHA) == f"iqa:content:f1:{SHA}"


def test_written_verdicts_are_read_back(client: redis.Redis) -> None:
    """One, many, and none; with a time to live."""
    first, second = verdict("a", produced_at=datetime.now(UTC)), verdict("b")
    VerdictWriter(client, RedisSettings(verdict_ttl_s=100_000)).write([first, second])
    reader = VerdictReader(client)
    assert reader.get("a") == first
    assert reader.get_many(["b", "nobody", "a"]) == {"b": second, "nobody": None, "a": first}
    assert reader.get_many([]) == {}
    assert 99_000 <= int(client.ttl("iqa:verdict:a")) <= 100_000


def test_the_later_verdict_counts(client: redis.Redis) -> None:
    """Within one batch, too."""
    VerdictWriter(client, RedisSettings()).write([verdict("a", event_id="1"), verdict("a", event_id="2")])
    found = VerdictReader(client).get("a")
    assert found is not None
    assert found.event_id == "2"


def test_wait_for(client: redis.Redis) -> None:
    """It comes while it is waited for; or it does not."""
    reader = VerdictReader(client)
    assert reader.wait_for("late", 0.05) is None  # not a bound
    writer = VerdictWriter(client, RedisSettings())
    threading.Timer(0.1, writer.write, [[verdict("late")]]).start()
    assert reader.wait_for("late", PATIENCE_S) == verdict("late")


def test_content_is_known_by_fingerprint_and_bytes(client: redis.Redis) -> None:
    """Another engine or profile means another answer."""
    VerdictWriter(client, RedisSettings()).write([verdict("a")])
    cache = ContentCache(client)
    assert cache.get("f1", SHA) == verdict("a").assessment
    assert cache.get("f2", SHA) is None
    assert cache.get("f1", "cd" * 32) is None


@pytest.mark.parametrize(("code", "kept"), [("truncated", True), ("http_not_found", False), ("sha256_mismatch", False)])
def test_only_what_lies_in_the_bytes_is_reused(client: redis.Redis, code: str, kept: bool) -> None:
    """A host that was down says nothing about the picture."""
    VerdictWriter(client, RedisSettings()).write([verdict("a", reason={"code": code, "detail": ""})])
    assert (ContentCache(client).get("f1", SHA) is not None) == kept


def test_a_shortened_assessment_answers_nobody_else(client: redis.Redis) -> None:
    """What one verdict had to leave out for its size, another event may need."""
    VerdictWriter(client, RedisSettings()).write([without(verdict("a"), "signals")])
    assert ContentCache(client).get("f1", SHA) is None
    VerdictWriter(client, RedisSettings()).write([without(verdict("a"), "metadata")])
    assert ContentCache(client).get("f1", SHA) == verdict("a").assessment


def test_a_damaged_entry_is_no_answer(client: redis.Redis) -> None:
    """Somebody else's value under our key must not stop the worker."""
    client.set(content_key("f1", SHA), b"{nonsense")
    assert ContentCache(client).get("f1", SHA) is None


def test_without_redis(nobody: Client) -> None:
    """The cache knows nothing and asks no more for a while; readers and writers are told."""
    cache = ContentCache(nobody)
    assert cache.get("f1", SHA) is None
    assert cache._silent_until > 0
    with pytest.raises(CacheError):
        VerdictReader(nobody).get("a")
    with pytest.raises(CacheError):
        VerdictWriter(nobody, RedisSettings()).write([verdict("a")])


def test_fields_that_are_not_known_here_are_kept(client: redis.Redis) -> None:
    """A newer worker adds some, and the projection may be an older one."""
    found = verdict("a")
    body = found.model_dump_json().replace("{", '{"added_later": [1], ', 1).encode()
    VerdictWriter(client, RedisSettings()).apply([Change.of(b"a", body)], {}, {})
    assert client.get("iqa:verdict:a") == body
    assert VerdictReader(client).get("a") == found


def test_what_is_no_verdict(client: redis.Redis) -> None:
    """One asked for alone is told in a line; among many the others are answered."""
    writer, reader = VerdictWriter(client, RedisSettings()), VerdictReader(client)
    writer.write([verdict("a")])
    deep = verdict("b").model_dump_json().replace('"metadata":{}', '"metadata":{"a":' + "[" * 400 + "]" * 400 + "}")
    client.set(verdict_key("b"), deep)
    with pytest.raises(CacheError, match=r"what Redis holds on b is no verdict: .*recursion") as told:
        reader.wait_for("b", PATIENCE_S)
    assert "\n" not in str(told.value)
    assert reader.get_many(["a", "b"]) == {"a": verdict("a"), "b": None}


def test_time_to_live_begins_when_a_verdict_was_produced(client: redis.Redis) -> None:
    """A rebuild makes nothing live longer; what is over by then stays away."""
    now = datetime.now(UTC)
    half, over = (
        verdict("half", produced_at=now - timedelta(seconds=50_000)),
        verdict("over", produced_at=now - timedelta(seconds=100_001)),
    )
    VerdictWriter(client, RedisSettings(verdict_ttl_s=100_000)).write([half, over])
    assert 49_000 <= int(client.ttl("iqa:verdict:half")) <= 50_000
    assert client.exists("iqa:verdict:over") == 0


def test_an_older_verdict_replaces_no_newer_one(client: redis.Redis) -> None:
    """A rebuild after partitions were added may read the newer one's partition first: within a batch, and in two."""
    now = datetime.now(UTC)
    newer, older = (verdict("a", event_id=e, produced_at=now - timedelta(hours=h)) for e, h in (("new", 1), ("old", 2)))
    writer, reader = VerdictWriter(client, RedisSettings()), VerdictReader(client)
    for batches in ([[newer, older]], [[newer], [older]], [[older, newer]], [[older], [newer]]):
        client.flushall()
        for batch in batches:
            writer.write(batch)
        assert reader.get("a") == newer


def test_the_topic_decides_where_clocks_may_differ(client: redis.Redis) -> None:
    """Fresh verdicts, and old ones half a minute apart, are written in their order; a tombstone makes room for any."""
    now = datetime.now(UTC)
    writer, reader = VerdictWriter(client, RedisSettings()), VerdictReader(client)
    for first, second in ((0, 200), (7200, 7230)):
        one, other = (verdict("a", event_id=str(ago), produced_at=now - timedelta(seconds=ago)) for ago in (first, second))
        client.flushall()
        writer.write([one])
        writer.write([other])
        assert reader.get("a") == other
    older = verdict("a", event_id="older", produced_at=now - timedelta(days=1))
    writer.apply([Change.of(b"a", None), Change.to(older)], {}, {})
    assert reader.get("a") == older


def test_what_is_no_verdict_is_replaced_by_any(client: redis.Redis) -> None:
    """It says nothing of when it was written."""
    client.set(verdict_key("a"), b"{nonsense")
    old = verdict("a", produced_at=datetime.now(UTC) - timedelta(hours=1))
    VerdictWriter(client, RedisSettings()).write([old])
    assert VerdictReader(client).get("a") == old


def test_what_came_of_a_question_is_told(client: redis.Redis, nobody: Client) -> None:
    """A Redis that failed is not asked for a while, which is an error each time."""
    VerdictWriter(client, RedisSettings()).write([verdict("a")])
    client.set(content_key("odd", SHA), b"{nonsense")
    told: list[str] = []
    cache, away = ContentCache(client, told.append), ContentCache(nobody, told.append)
    for fingerprint in ("f1", "f2", "odd"):
        cache.get(fingerprint, SHA)
    for _ in range(2):
        away.get("f1", SHA)
    assert told == ["hit", "miss", "error", "error", "error"]
