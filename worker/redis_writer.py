"""Writes to Redis, and keeps there how far the topic has been written: the two cannot come apart.

    iqa:projection:{topic}:partition          next offset to write, and the topic's id
    iqa:projection:{tag}:topic:partition      the same, once for every tag; only where there are no transactions

One server takes a batch and its places in one transaction, and only if the places are still those that the batch was read for:
a projection that was frozen while another took over changes nothing.

A Cluster has no such transaction, and each of its shards may lose another part. So every shard has witnesses: keys in slots
that lie evenly over all, written behind the verdicts on the same connection. Whoever is promoted while behind lacks the
latest witnesses, too. A batch counts once all shards have taken it: the place in force is the least of all.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import redis
import structlog
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import ResponseError, WatchError

from worker.redis_client import Client, ClusterClient

__all__ = ["Command", "DisplacedError", "Partition", "Place", "RedisWriter", "place_key"]

log = structlog.get_logger()

Partition = tuple[str, int]
"""Topic and partition number."""

Command = tuple[str | bytes | int, ...]
"""A command of Redis with its arguments; the key is the second."""

WITNESSES = 64
"""In a Cluster; shards of fewer slots in a row than a 64th of all may go without."""

_TRANSACTION = re.compile(r"'(watch|multi|exec|unwatch)\b|command .(watch|multi|exec|unwatch)\b", re.IGNORECASE)


class DisplacedError(Exception):
    """Redis says another place than the batch was read for: somebody else wrote, or it lost something."""


class Place(NamedTuple):
    """The next offset to write, in a topic of this id (empty: not known)."""

    offset: int
    topic_id: str = ""

    def encode(self) -> str:
        """As it lies in Redis."""
        return f"{self.offset} {self.topic_id}".strip()

    @classmethod
    def parse(cls, value: bytes | str | None) -> Place | None:
        """What lies in Redis; ``None`` for nothing, and for what is no place."""
        text = value if isinstance(value, str) else (value or b"").decode("utf-8", "replace")
        parts = text.split(" ")
        if len(parts) > 2 or not re.fullmatch(r"[0-9]{1,18}", parts[0], re.ASCII):
            return None
        return cls(int(parts[0]), *parts[1:])


def place_key(partition: Partition) -> str:
    """Where a partition's place lies; the braces keep a topic's places in one slot of a Cluster."""
    return f"iqa:projection:{{{partition[0]}}}:{partition[1]}"


def _witness_key(tag: str, partition: Partition) -> str:
    return f"iqa:projection:{{{tag}}}:{partition[0]}:{partition[1]}"


def _even_tags(count: int) -> list[str]:
    """Short names whose slots lie one in every ``count``-th of all slots."""
    width, found, number = REDIS_CLUSTER_HASH_SLOTS // count, dict[int, str](), 0
    while len(found) < count:
        found.setdefault(key_slot(str(number).encode()) // width, str(number))
        number += 1
    return [found[part] for part in range(count)]


class RedisWriter:
    """Commands in order, with places. Redis' errors come out as redis-py raises them.

    A user without the right to transactions is served as a Cluster is; one without the right to delete keeps what should go.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._transactions = True
        self._deletes = True
        self._unwatched: frozenset[str] = frozenset()

    @property
    def _one(self) -> redis.Redis | None:
        """The server, where one takes everything in transactions."""
        return None if isinstance(self._client, ClusterClient) or not self._transactions else self._client

    def places(self, partitions: Collection[Partition]) -> dict[Partition, Place | None]:
        """The places in force; ``None`` where Redis holds nothing, or not everything."""
        return self._in_force(self._placed(partitions))

    def _in_force(self, done: Mapping[Partition, Place | None]) -> dict[Partition, Place | None]:
        found = dict(done)
        if self._one is not None or not found:
            return found
        behind: set[str] = set()
        for tag, witnesses in self._witnesses(list(found)).items():
            for partition, seen in zip(found, witnesses, strict=True):
                least = found[partition]
                if least is None or seen is None or seen.topic_id != least.topic_id:
                    found[partition] = None
                elif seen < least:
                    behind.add(tag)
                    found[partition] = seen
        if behind:
            log.info("redis_shards_behind", tags=sorted(behind))
        return found

    def write(
        self, commands: Sequence[Command], before: Mapping[Partition, Place | None], after: Mapping[Partition, Place]
    ) -> None:
        """Run ``commands`` and then set the places to ``after``, if they still are as ``before``; all may be done again.

        Raises:
            DisplacedError: they are not; nothing counts as written.

        """
        while True:
            allowed = [command for command in commands if self._deletes or command[0] != "DEL"]
            try:
                if self._one is not None:
                    self._commit(self._one, before, after, allowed)
                else:
                    self._write_by_shard(allowed, before, after)
            except WatchError as error:
                raise DisplacedError from error
            except ResponseError as error:
                if not self._do_without(error):
                    raise
            else:
                return

    def reset(self, partitions: Iterable[Partition]) -> None:
        """Have everything written once more."""
        for partition in partitions:
            self._client.set(place_key(partition), Place(0).encode())

    def _do_without(self, error: ResponseError) -> bool:
        """Whether a right was missing that can be done without, from now on."""
        if self._transactions and _TRANSACTION.search(str(error)):
            self._transactions = False
            log.warning("redis_without_transactions", error=str(error), told="see SECURITY.md for the rights")
            return True
        if self._deletes and isinstance(error, redis.exceptions.NoPermissionError) and "'del'" in str(error):
            self._deletes = False
            log.error(
                "redis_deletes_refused", error=str(error), told="tombstones delete nothing; see SECURITY.md for the rights"
            )
            return True
        return False

    def _placed(self, partitions: Collection[Partition]) -> dict[Partition, Place | None]:
        keys = [place_key(partition) for partition in partitions]
        values = self._node(keys[0]).mget(keys) if keys else []
        return dict(zip(partitions, map(Place.parse, values), strict=True))

    def _commit(
        self,
        node: redis.Redis,
        before: Mapping[Partition, Place | None],
        after: Mapping[Partition, Place],
        commands: Sequence[Command] = (),
    ) -> None:
        """One transaction on one server, given up if a place is not the one before."""
        keys = [place_key(partition) for partition in after]
        batch: Any
        with node.pipeline(transaction=self._transactions) as batch:
            if keys and self._transactions:
                batch.watch(*keys)
                found = batch.mget(keys)
                if [Place.parse(value) for value in found] != [before[partition] for partition in after]:
                    raise DisplacedError
                batch.multi()
            for command in commands:
                batch.execute_command(*command)
            for key, place in zip(keys, after.values(), strict=True):
                batch.execute_command("SET", key, place.encode())
            batch.execute()

    def _write_by_shard(
        self, commands: Sequence[Command], before: Mapping[Partition, Place | None], after: Mapping[Partition, Place]
    ) -> None:
        done = self._placed(list(after))
        if self._in_force(done) != {partition: before[partition] for partition in after}:
            raise DisplacedError
        witnesses: list[Command] = [
            ("SET", _witness_key(tag, partition), place.encode()) for tag in self._tags for partition, place in after.items()
        ]
        pipeline: Any
        for node, batch in self._by_node([*commands, *witnesses]):
            with node.pipeline(transaction=False) as pipeline:
                for command in batch:
                    pipeline.execute_command(*command)
                pipeline.execute()
        if after:
            self._commit(self._node(place_key(next(iter(after)))), done, after)

    def _witnesses(self, partitions: list[Partition]) -> dict[str, list[Place | None]]:
        asked: list[Command] = [("MGET", *(_witness_key(tag, partition) for partition in partitions)) for tag in self._tags]
        found: dict[str, list[Place | None]] = {}
        pipeline: Any
        for node, batch in self._by_node(asked):
            with node.pipeline(transaction=False) as pipeline:
                for command in batch:
                    pipeline.execute_command(*command)
                for command, values in zip(batch, pipeline.execute(), strict=True):
                    tag = re.findall(r"\{(\d+)\}", str(command[1]))[0]
                    found[tag] = [Place.parse(value) for value in values]
        self._warn_of_unwatched()
        return found

    def _warn_of_unwatched(self) -> None:
        """Shards that own no witness: what they lose when they fail over is not noticed."""
        if not isinstance(self._client, ClusterClient):
            return
        cluster: Any = self._client.cluster
        watched = {cluster.get_node_from_key(_witness_key(tag, ("", 0))).name for tag in self._tags}
        unwatched = frozenset(node.name for node in cluster.get_primaries()) - watched
        if unwatched - self._unwatched:
            log.warning("redis_shards_unwatched", nodes=sorted(unwatched))
        self._unwatched = unwatched

    @property
    def _tags(self) -> list[str]:
        return _TAGS if isinstance(self._client, ClusterClient) else _TAGS[:1]

    def _node(self, key: str | bytes) -> redis.Redis:
        return self._client.node(key) if isinstance(self._client, ClusterClient) else self._client

    def _by_node(self, commands: Sequence[Command]) -> list[tuple[redis.Redis, list[Command]]]:
        found: dict[int, tuple[redis.Redis, list[Command]]] = {}
        for command in commands:
            key = command[1]
            node = self._node(key if isinstance(key, bytes) else str(key))
            found.setdefault(id(node), (node, []))[1].append(command)
        return list(found.values())


_TAGS = _even_tags(WITNESSES)
