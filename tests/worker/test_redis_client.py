"""URLs of Redis: which forms there are, and what is said of a wrong one."""

from __future__ import annotations

import threading

import pytest
import redis
from redis.sentinel import SentinelConnectionPool

from worker.errors import CacheError, SettingsError
from worker.redis_client import REDIS_ERRORS, ClusterClient, cache_error, connect
from worker.settings import RedisSettings


def client(url: str) -> redis.Redis | ClusterClient:
    found = connect(RedisSettings(url=url, timeout_s=0.5))
    assert found is not None
    return found


def test_no_url_is_no_client() -> None:
    assert connect(RedisSettings()) is None


def test_one_server() -> None:
    """As redis-py reads it."""
    found = client("rediss://me:p%40ss@h:7/3?ssl_ca_certs=/ca&max_connections=9")
    assert isinstance(found, redis.Redis)
    options = found.connection_pool.connection_kwargs
    assert [options[key] for key in ("host", "port", "db", "username", "password")] == ["h", 7, 3, "me", "p@ss"]
    assert options["socket_timeout"] == 0.5
    assert isinstance(client("unix:///run/redis.sock?db=2"), redis.Redis)


def test_sentinel() -> None:
    """Credentials, database and TLS reach the servers; TLS and its own credentials the sentinels."""
    url = "rediss+sentinel://me:p%40ss@h:7,[::1]:8,i/verdicts/3?ssl_ca_certs=/ca&sentinel_username=s&sentinel_password=t"
    found = client(url)
    assert isinstance(found, redis.Redis)
    pool = found.connection_pool
    assert isinstance(pool, SentinelConnectionPool)
    assert pool.service_name == "verdicts"
    options = pool.connection_kwargs
    assert [options[key] for key in ("db", "username", "password", "ssl_ca_certs")] == [3, "me", "p@ss", "/ca"]
    asked = [each.connection_pool.connection_kwargs for each in pool.sentinel_manager.sentinels]
    assert [(each["host"], each["port"]) for each in asked] == [("h", 7), ("::1", 8), ("i", 26379)]
    assert {(each["username"], each["password"], each["ssl_ca_certs"]) for each in asked} == {("s", "t", "/ca")}


def test_cluster() -> None:
    """Nobody is asked before the first use; then the failure is one of Redis."""
    found = client("redis+cluster://me:secret@127.0.0.1:1,127.0.0.1:2")
    assert isinstance(found, ClusterClient)
    with pytest.raises(redis.exceptions.RedisClusterException) as raised:
        found.get("a")
    told = cache_error(found, raised.value, "Redis does not answer")
    assert isinstance(told, CacheError)
    assert str(told).startswith("Redis does not answer: Redis Cluster cannot be connected")
    assert "secret" not in str(told)


def test_threads_do_not_queue_for_a_cluster_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waited while another looked takes its answer."""
    looks, looking, go_on = list[int](), threading.Event(), threading.Event()

    def away(**_: object) -> None:
        looks.append(1)
        looking.set()
        assert go_on.wait(30)
        raise redis.exceptions.RedisClusterException("nobody there")

    monkeypatch.setattr("worker.redis_client.RedisCluster", away)
    monkeypatch.setattr("worker.redis_client.SILENT_S", 60.0)
    found = client("redis+cluster://h")
    raised: list[str] = []

    def ask() -> None:
        with pytest.raises(REDIS_ERRORS) as error:
            found.get("a")
        raised.append(str(error.value))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert looking.wait(30)
    go_on.set()
    for thread in threads:
        thread.join(30)
    assert raised == ["nobody there"] * 8
    assert len(looks) == 1


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("nonsense", "must begin with"),
        ("redi://h", "must begin with"),
        ("redis+redis://h", "must begin with"),
        ("redis+Cluster://h", "must begin with"),
        ("redis://h:99999", "a port must be"),
        ("redis://h:0", "a port must be"),
        ("redis://me:pass/word@h:1", "a port must be"),
        ("redis://[::1", "is no URL"),
        ("redis://h:1,i:2", "several hosts"),
        ("redis://h/one", "number of a database"),
        ("redis://h?nonsense=1", "there is no option 'nonsense'"),
        ("redis://h?socket_timeout=soon", "Invalid value for 'socket_timeout'"),
        ("redis://h?ssl_ca_certs=/ca", "there is no option 'ssl_ca_certs'"),
        ("unix:///run/redis.sock?nonsense=1", "there is no option 'nonsense'"),
        ("redis+sentinel://h:1", "needs the service's name"),
        ("redis+sentinel://h:1/verdicts/x", "number of a database"),
        ("redis+sentinel://h:1/verdicts?sentinel_nonsense=1", "there is no option sentinel_nonsense"),
        ("redis+cluster://h:1/2", "database 0 alone"),
        ("redis+cluster://h?sentinel_password=x", "there is no option sentinel_password"),
    ],
)
def test_wrong_urls(url: str, told: str) -> None:
    """One line that names the setting and holds nothing of the URL, which may hold a password."""
    with pytest.raises(SettingsError) as raised:
        connect(RedisSettings(url=url))
    message = str(raised.value)
    assert message.startswith("IQA_REDIS__URL: ")
    assert told in message
    assert "\n" not in message
    assert "word" not in message.replace("password", "")
