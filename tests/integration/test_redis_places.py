"""A Redis that comes back with less than it had is filled from where it really is; nobody does anything."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import absent
from tests.integration.fleet import Fleet
from tests.integration.redis_servers import MovingLink, RedisProcess
from tests.integration.test_whole_path import iqa
from tests.integration.verdict_feed import VerdictFeed
from worker.embedded.redis_server import free_port
from worker.redis_writer import Place, place_key
from worker.stream.clients import make_admin

pytestmark = [pytest.mark.kafka, pytest.mark.redis]

Wait = Callable[..., Any]
FIRST = [f"first-{number}" for number in range(40)]
LATER = [f"later-{number}" for number in range(40)]


@pytest.fixture
def keep(tmp_path: Path) -> Iterator[Callable[..., RedisProcess]]:
    """Makes servers with the options given, and ends them."""
    if shutil.which("redis-server") is None:
        absent("needs a real Redis: no redis-server on the PATH")
    made: list[RedisProcess] = []

    def make(**options: Any) -> RedisProcess:
        made.append(RedisProcess(tmp_path, **options))
        return made[-1]

    yield make
    for server in made:
        server.kill()


def test_restored_from_a_snapshot(fleet: Fleet, keep: Callable[..., RedisProcess], wait_until: Wait) -> None:
    """What came after the snapshot is written again, also an image's later verdict; no new event is needed."""
    server = keep()
    feed = VerdictFeed(fleet, server.url)
    projection = feed.project()
    feed.send(FIRST)
    wait_until(feed.complete, 60, "the first verdicts")
    server.client.save()
    feed.send([*LATER, *FIRST[:10]])
    wait_until(feed.complete, 60, "the later verdicts")
    server.kill()
    server.start()
    assert server.client.exists(f"iqa:verdict:{LATER[0]}") == 0, "the snapshot holds the first ones alone"
    wait_until(feed.complete, 60, "all verdicts after the restart")
    assert projection.metric("iqa_projection_rewinds_total") >= 1
    assert projection.terminate() == 0


def test_a_journal_cut_back(fleet: Fleet, keep: Callable[..., RedisProcess], wait_until: Wait) -> None:
    """As with appendfsync everysec and a lost machine; and while the projection is not there, either."""
    server = keep(appendonly="yes", appendfsync="everysec", aof_use_rdb_preamble="no")
    feed = VerdictFeed(fleet, server.url)
    projection = feed.project()
    feed.send(FIRST)
    wait_until(feed.complete, 60, "the first verdicts")
    (journal,) = (server.folder / "appendonlydir").glob("*.incr.aof")

    def synced() -> int:
        return journal.stat().st_size if b"first" in journal.read_bytes() else 0

    size = wait_until(synced, 10, "the journal")
    feed.send(LATER)
    wait_until(feed.complete, 60, "the later verdicts")
    assert projection.terminate() == 0
    server.kill()
    with journal.open("r+b") as file:
        file.truncate(size)
    server.start()
    assert server.client.exists(f"iqa:verdict:{LATER[0]}") == 0
    projection = feed.project()
    wait_until(feed.complete, 60, "all verdicts after the restart")
    assert projection.terminate() == 0


def test_a_failover_behind_one_address(fleet: Fleet, keep: Callable[..., RedisProcess], wait_until: Wait) -> None:
    """Old connections lead to the demoted primary, which refuses; the promoted replica is behind."""
    old, new = keep(), keep()
    link = MovingLink(free_port(), old.port)
    try:
        feed = VerdictFeed(fleet, f"redis://127.0.0.1:{link.port}/0")
        projection = feed.project()
        feed.send(FIRST)
        wait_until(feed.complete, 60, "the first verdicts")
        new.client.replicaof("127.0.0.1", old.port)
        wait_until(lambda: new.client.info("replication")["master_link_status"] == "up", 30, "the replica")
        new.client.replicaof("NO", "ONE")
        feed.send(LATER)
        wait_until(feed.complete, 60, "the later verdicts in the old primary")
        # What the demoted one writes no more is all that its clients notice.
        link.lead_to(new.port)
        old.client.replicaof("127.0.0.1", new.port)
        feed.send(["during"])
        wait_until(lambda: feed.complete(new.url), 60, "all verdicts in the new primary")
        assert projection.terminate() == 0
    finally:
        link.close()


def test_tombstones_in_order(fleet: Fleet, keep: Callable[..., RedisProcess], wait_until: Wait) -> None:
    """The last record on an image counts, be it a verdict or its end."""
    server = keep()
    feed = VerdictFeed(fleet, server.url)
    feed.send(["gone", "back", "stays"])
    feed.send_raw("gone", None)
    feed.send_raw("back", None)
    feed.send(["back"])
    projection = feed.project()
    wait_until(feed.complete, 60, "the state after all records")
    feed.send_raw("stays", None)
    wait_until(lambda: not server.client.exists("iqa:verdict:stays"), 60, "the deletion")
    assert projection.terminate() == 0


def test_rebuild_by_command(fleet: Fleet, keep: Callable[..., RedisProcess], wait_until: Wait) -> None:
    """Single keys that were evicted come back; a place that is nonsense counts as none."""
    server = keep()
    feed = VerdictFeed(fleet, server.url)
    projection = feed.project()
    feed.send(FIRST)
    wait_until(feed.complete, 60, "the first verdicts")
    server.client.delete("iqa:verdict:first-1", "iqa:verdict:first-2")
    done = iqa("projection", "rebuild", **fleet.environment, IQA_REDIS__URL=server.url)
    assert (done.returncode, done.stderr) == (0, "")
    wait_until(feed.complete, 60, "the evicted verdicts")
    server.client.flushall()
    for number in range(6):
        server.client.set(place_key((fleet.settings.topics.verdicts, number)), "nonsense")
    wait_until(feed.complete, 60, "everything")
    assert projection.terminate() == 0


@pytest.mark.parametrize("place", [Place(10**12), Place(7, "of-another-topic")])
def test_a_place_that_is_not_in_this_topic(
    fleet: Fleet, keep: Callable[..., RedisProcess], wait_until: Wait, place: Place
) -> None:
    """Beyond its end, or from one of the same name that was deleted: everything is written."""
    server = keep()
    feed = VerdictFeed(fleet, server.url)
    for number in range(6):
        server.client.set(place_key((fleet.settings.topics.verdicts, number)), place.encode())
    feed.send([*FIRST, *LATER])
    projection = feed.project()
    wait_until(feed.complete, 60, "all verdicts")
    wait_until(lambda: feed.lag() == 0, 60, "a lag of 0")
    assert projection.terminate() == 0


def test_a_topic_made_anew_while_it_is_followed(fleet: Fleet, keep: Callable[..., RedisProcess], wait_until: Wait) -> None:
    """It ends, and the next one begins anew, with more records than the old topic had: offsets alone would tell nothing."""
    server = keep()
    feed = VerdictFeed(fleet, server.url)
    projection = feed.project()
    feed.send(FIRST)
    wait_until(feed.complete, 60, "the first verdicts")
    admin, topic = make_admin(fleet.settings.kafka), fleet.settings.topics.verdicts
    for future in admin.delete_topics([topic]).values():
        future.result(60)
    wait_until(lambda: topic not in admin.list_topics(timeout=60).topics, 60, "the deletion")
    fleet.create_topics()
    feed.send([*LATER, *(f"more-{number}" for number in range(200))])
    assert projection.wait() == 1
    assert "was made anew while in use" in projection.log.read_text()
    projection = feed.project()
    # The first one may have written all that, before it knew.
    feed.send([f"again-{number}" for number in range(20)])
    wait_until(feed.complete, 90, "all verdicts of the new topic")
    assert projection.terminate() == 0


def test_two_groups_on_one_redis(fleet: Fleet, keep: Callable[..., RedisProcess], wait_until: Wait) -> None:
    """Both write; neither sets the other back for good."""
    server = keep()
    feed = VerdictFeed(fleet, server.url)
    projections = [feed.project(), feed.project(IQA_KAFKA__GROUP_ID=f"{fleet.settings.kafka.group_id}-2")]
    for turn in range(5):
        feed.send([f"turn-{turn}-{number}" for number in range(20)] + FIRST[:5])
    wait_until(feed.complete, 60, "all verdicts")
    wait_until(lambda: all(each.metric("iqa_projection_lag") == 0 for each in projections), 60, "no lag")
    assert feed.complete()
    assert [each.terminate() for each in projections] == [0, 0]


def test_rights_of_older_versions_are_enough_to_go_on(
    fleet: Fleet, keep: Callable[..., RedisProcess], wait_until: Wait
) -> None:
    """Without transactions and deletions verdicts are written all the same, and a line says what is missing."""
    server = keep(user="old on >secret ~iqa:* resetchannels +get +set +mget +@connection")
    feed = VerdictFeed(fleet, server.url.replace("redis://", "redis://old:secret@"))
    projection = feed.project()
    feed.send(FIRST)
    wait_until(feed.complete, 60, "the first verdicts")
    kept = feed.latest["first-1"]
    feed.send_raw("first-1", None)
    feed.latest["first-1"] = kept
    feed.send(LATER)
    wait_until(feed.complete, 60, "what came after the tombstone")
    server.client.delete("iqa:verdict:later-1")
    assert iqa("projection", "rebuild", **fleet.environment, IQA_REDIS__URL=feed.redis_url).returncode == 0
    wait_until(feed.complete, 60, "the evicted verdict")
    assert projection.terminate() == 0
    assert '"redis_without_transactions"' in projection.log.read_text()
    assert '"redis_deletes_refused"' in projection.log.read_text()
