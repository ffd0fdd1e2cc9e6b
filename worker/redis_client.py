"""Connects to Redis by URL: one server, the primary that Sentinel names, or a Cluster.

    redis://[user:password@]host[:port][/database]
    redis+sentinel://[user:password@]host[:port][,host...]/service[/database]
    redis+cluster://[user:password@]host[:port][,host...]

``rediss`` in place of ``redis`` means TLS, to Sentinel too. redis-py's options follow as a query (``?ssl_ca_certs=...``). User
and password are the servers'; Sentinel's own are ``sentinel_username`` and ``sentinel_password`` in the query. The forms are
those of the packages limits and redis-sentinel-url: redis-py itself has none for Sentinel.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.connection import Connection, SSLConnection, parse_url
from redis.exceptions import (
    AskError,
    ClusterCrossSlotError,
    ClusterDownError,
    MasterDownError,
    RedisClusterException,
    TryAgainError,
)
from redis.retry import Retry
from redis.sentinel import Sentinel

from worker.errors import CacheError, SettingsError
from worker.settings import RedisSettings

__all__ = ["REDIS_ERRORS", "Client", "ClusterClient", "cache_error", "connect"]

SILENT_S = 0.1
"""A Cluster of which no node answered is not looked for again for so long."""

SETTING = "IQA_REDIS__URL"
PORTS = {"redis": 6379, "sentinel": 26379, "cluster": 6379}

REDIS_ERRORS = (redis.RedisError, RedisClusterException)
"""Everything that redis-py raises for a server that is away or refuses; its Cluster has a tree of its own."""

# What a node of a Cluster says to a client that takes it for the only server.
_CLUSTER_ANSWERS = (AskError, ClusterCrossSlotError, ClusterDownError, TryAgainError)


class ClusterClient:
    """A Cluster, looked for on first use and again after ``drop``; everything else is passed on to redis-py's client.

    redis-py's own connects when it is made, and forgets the addresses that it was given.
    """

    def __init__(self, hosts: list[tuple[str, int]], options: dict[str, Any]) -> None:
        self._hosts = hosts
        self._options = options
        self._lock = threading.Lock()
        self._found: RedisCluster | None = None
        self._failed: Exception | None = None
        self._failed_at = 0.0

    @property
    def cluster(self) -> RedisCluster:
        """redis-py's client.

        Raises:
            redis.RedisError, RedisClusterException: no node answers, or none is part of a Cluster.

        """
        with self._lock:
            if self._found is None:
                if self._failed is not None and time.monotonic() - self._failed_at < SILENT_S:
                    # Threads that waited here must not each wait for every node once more.
                    raise redis.ConnectionError(str(self._failed)) from self._failed
                self._found = self._look()
            return self._found

    def _look(self) -> RedisCluster:
        nodes = [ClusterNode(host, port) for host, port in self._hosts]  # type: ignore[no-untyped-call]
        try:
            found = RedisCluster(startup_nodes=nodes, retry=Retry(NoBackoff(), 1), **self._options)
        except REDIS_ERRORS as error:
            self._failed, self._failed_at = error, time.monotonic()
            raise
        self._failed = None
        return found

    def node(self, key: str | bytes) -> redis.Redis:
        """The primary that holds ``key``, by what is known of the slots."""
        cluster = self.cluster
        return cluster.get_redis_connection(cluster.get_node_from_key(key))  # type: ignore[no-untyped-call]

    def mget(self, keys: list[str]) -> list[bytes | None]:
        """Values of keys anywhere in the Cluster, in their order."""
        found: list[bytes | None] = self.cluster.mget_nonatomic(keys)
        return found

    def drop(self) -> None:
        """Forget what is known of the Cluster; whoever uses it now goes on."""
        with self._lock:
            self._found = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.cluster, name)


Client = redis.Redis | ClusterClient


@dataclass(frozen=True)
class _Address:
    kind: str
    hosts: list[tuple[str, int]] = field(default_factory=list)
    service: str = ""
    tls: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    sentinel: dict[str, str] = field(default_factory=dict)


def connect(settings: RedisSettings) -> Client | None:
    """A client, or ``None`` if no URL is set. Connects on first use.

    Raises:
        SettingsError: the URL is none, or an option in it does not exist.

    """
    url = settings.resolved_url()
    if not url:
        return None
    waits = {"socket_timeout": settings.timeout_s, "socket_connect_timeout": settings.timeout_s}
    address = _parse(url)
    options = waits | address.options
    if address.kind == "redis":
        return redis.Redis.from_url(url, **waits)
    if address.kind == "cluster":
        return ClusterClient(address.hosts, {**options, "ssl": True} if address.tls else options)
    options |= {"retry": Retry(NoBackoff(), 1)} | ({"ssl": True} if address.tls else {})
    # Credentials and database are the servers'; how to speak TLS is the same for both.
    shared = {key: value for key, value in options.items() if key.startswith(("ssl", "socket_"))}
    own = {**shared, **address.sentinel, "retry": Retry(NoBackoff(), 0)}
    sentinel = Sentinel(address.hosts, sentinel_kwargs=own, **options)  # type: ignore[no-untyped-call]
    found: redis.Redis = sentinel.master_for(address.service)  # type: ignore[no-untyped-call]
    return found


def cache_error(client: Client, error: Exception, what: str) -> CacheError:
    """What redis-py raised, as one line. Drops the connections, so that the next try may reach another server.

    A primary that was demoted keeps its connections and refuses for as long as one of them is used.
    """
    if isinstance(client, ClusterClient):
        client.drop()
    else:
        pool = client.connection_pool
        # Other threads end what they are at; their connections are closed when they come back.
        pool.update_active_connections_for_reconnect()
        pool.disconnect(inuse_connections=False)
        if isinstance(error, _CLUSTER_ANSWERS) and not isinstance(error, MasterDownError):
            return CacheError(
                f"{SETTING} leads to a node of a Redis Cluster; write redis+cluster://, or rediss+cluster:// for TLS"
            )
    # redis-py keeps but the slot and the address of what a node of a Cluster says about another one.
    kind = f"{type(error).__name__}: " if isinstance(error, AskError) or not str(error) else ""
    return CacheError(f"{what}: {kind}{' '.join(str(error).split())}")


def _parse(url: str) -> _Address:
    """The parts of a URL; messages hold none of it, for it may hold a password."""
    scheme, separator, rest = url.partition("://")
    base, _, kind = scheme.partition("+")
    if scheme == "unix" and separator:
        return _Address("redis", options=_options(url, Connection, {"path", "connection_class"}))
    if not separator or base not in {"redis", "rediss"} or (kind or "redis") not in PORTS or scheme.endswith("+redis"):
        raise _wrong("must begin with redis://, redis+sentinel://, redis+cluster:// (rediss... for TLS) or unix://")
    kind = kind or "redis"
    parts = _split("//" + rest)
    user, at, netloc = parts.netloc.rpartition("@")
    hosts = [_host(each, PORTS[kind]) for each in netloc.split(",")]
    path = [unquote(each) for each in parts.path.split("/") if each]
    if kind == "redis" and len(hosts) > 1:
        raise _wrong("several hosts go with redis+sentinel:// or redis+cluster://")
    service = path.pop(0) if kind == "sentinel" and path else ""
    if kind == "sentinel" and not service:
        raise _wrong("Sentinel needs the service's name: redis+sentinel://host:port/service")
    if len(path) > 1 or not "".join(path or "0").isdecimal():
        raise _wrong("the path must be the number of a database")
    if kind == "cluster" and int("".join(path or "0")):
        raise _wrong("a Cluster has database 0 alone")
    query = parse_qsl(parts.query)
    own = {key.removeprefix("sentinel_"): value for key, value in query if key.startswith("sentinel_")}
    if unknown := (own.keys() - {"username", "password"} if kind == "sentinel" else own):
        raise _wrong(f"there is no option sentinel_{min(unknown)}")
    kept = urlencode([(key, value) for key, value in query if not key.startswith("sentinel_")])
    plain = f"{base}://{user}{at}host/{path[0] if path else ''}?{kept}"
    options = _options(plain, SSLConnection if base == "rediss" else Connection, {"host", "connection_class"})
    if kind == "cluster":
        options.pop("db", None)
    return _Address(kind, hosts, service, base == "rediss", options, own)


def _options(url: str, connection: type[Connection], without: set[str]) -> dict[str, Any]:
    """What redis-py reads in a URL, checked: an option that does not exist would be told on first use, by a TypeError."""
    try:
        found = parse_url(url)  # type: ignore[no-untyped-call]
    except ValueError as error:
        raise _wrong(str(error) if "Invalid value for" in str(error) else "is no URL") from error
    options = {key: value for key, value in found.items() if key not in without}
    pool = {"max_connections", "timeout"}
    try:
        connection(**{key: value for key, value in options.items() if key not in pool})
    except (TypeError, ValueError, redis.RedisError) as error:
        named = str(error).rpartition("argument ")[2] if "unexpected keyword" in str(error) else ""
        raise _wrong(f"there is no option {named}" if named else "an option cannot be used") from error
    return options


def _split(rest: str) -> Any:
    try:
        return urlsplit(rest)
    except ValueError as error:
        raise _wrong("is no URL") from error


def _host(part: str, port: int) -> tuple[str, int]:
    found = _split("//" + part)
    try:
        number = found.port
    except ValueError as error:
        raise _wrong("a port must be a number up to 65535") from error
    if number == 0:
        raise _wrong("a port must be a number from 1 to 65535")
    return found.hostname or "localhost", number or port


def _wrong(what: str) -> SettingsError:
    return SettingsError(f"{SETTING}: {what}")
