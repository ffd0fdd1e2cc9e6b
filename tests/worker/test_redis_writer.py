"""Commands and places: together or not at all, and only from where Redis was."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from redis.crc import key_slot

from worker.embedded.redis_server import LocalRedis
from worker.redis_writer import _TAGS, WITNESSES, DisplacedError, Partition, Place, RedisWriter, place_key

P0: Partition = ("t", 0)
P1: Partition = ("t", 1)


@pytest.fixture(scope="module")
def server() -> Iterator[LocalRedis]:
    with LocalRedis() as running:
        yield running


@pytest.fixture
def client(server: LocalRedis) -> redis.Redis:
    found = redis.Redis.from_url(server.url)
    found.flushall()
    return found


@pytest.mark.parametrize("place", [Place(0), Place(7), Place(10**17, "ab-C_d")])
def test_places_are_read_as_they_were_written(place: Place) -> None:
    assert Place.parse(place.encode().encode()) == place


@pytest.mark.parametrize("value", [None, b"", b"-1", b"1 2 3", b"x", b"9" * 40, b"\xff\xfe", "\u0663".encode()])
def test_what_is_no_place(value: bytes | None) -> None:
    """Somebody else's value under our key means that everything is written once more."""
    assert Place.parse(value) is None


def test_keys_are_the_contract() -> None:
    """A topic's places lie in one slot of a Cluster; witnesses in slots of their own, evenly."""
    assert place_key(P0) == "iqa:projection:{t}:0"
    assert [key_slot(tag.encode()) * WITNESSES // 16384 for tag in _TAGS] == list(range(WITNESSES))


def test_commands_and_places(client: redis.Redis) -> None:
    """In their order."""
    writer = RedisWriter(client)
    assert writer.places([P0, P1]) == {P0: None, P1: None}
    writer.write([("SET", "a", "1"), ("SET", "b", "1"), ("DEL", "a")], {P0: None, P1: None}, {P0: Place(3, "x"), P1: Place(1)})
    assert writer.places([P0, P1]) == {P0: Place(3, "x"), P1: Place(1)}
    assert client.mget("a", "b") == [None, b"1"]
    assert writer.places([]) == {}


def test_from_another_place_nothing_is_written(client: redis.Redis) -> None:
    """Neither by a projection that was frozen, nor after a loss."""
    writer = RedisWriter(client)
    writer.write([], {P0: None}, {P0: Place(5)})
    for before in (None, Place(4), Place(5, "of-another-topic")):
        with pytest.raises(DisplacedError):
            writer.write([("SET", "a", "older")], {P0: before}, {P0: Place(6)})
    assert client.get("a") is None
    assert writer.places([P0]) == {P0: Place(5)}


def test_a_place_that_moves_meanwhile(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look and the transaction: the server itself refuses."""
    writer = RedisWriter(client)
    original = redis.client.Pipeline.multi

    def overtaken(pipeline: Any) -> None:
        client.set(place_key(P0), "9")
        original(pipeline)

    monkeypatch.setattr(redis.client.Pipeline, "multi", overtaken)
    with pytest.raises(DisplacedError):
        writer.write([("SET", "a", "older")], {P0: None}, {P0: Place(1)})
    assert client.get("a") is None
    assert writer.places([P0]) == {P0: Place(9)}


def test_reset(client: redis.Redis) -> None:
    """Everything once more, and no older batch may get in between."""
    writer = RedisWriter(client)
    writer.write([], {P0: None}, {P0: Place(5, "x")})
    writer.reset([P0])
    assert writer.places([P0]) == {P0: Place(0)}
    with pytest.raises(DisplacedError):
        writer.write([], {P0: Place(5, "x")}, {P0: Place(6, "x")})


@pytest.mark.redis
def test_without_the_right_to_transactions(server: LocalRedis, client: redis.Redis) -> None:
    """The place in force is the least that was surely written; a lost witness means everything."""
    if shutil.which("redis-server") is None:
        pytest.skip("needs a real Redis: no redis-server on the PATH")
    client.acl_setuser("few", enabled=True, nopass=True, keys=["*"], commands=["+get", "+set", "+mget"], reset=True)
    writer = RedisWriter(redis.Redis.from_url(server.url, username="few", password="any"))
    writer.write([("SET", "a", "1"), ("DEL", "b")], {P0: None}, {P0: Place(3)})
    assert writer.places([P0]) == {P0: Place(3)}
    with pytest.raises(DisplacedError):
        writer.write([], {P0: None}, {P0: Place(4)})
    (witness,) = [key for key in client.keys("iqa:projection:*") if key != place_key(P0).encode()]
    client.set(witness, "1")
    assert writer.places([P0]) == {P0: Place(1)}
    client.delete(witness)
    assert writer.places([P0]) == {P0: None}
