"""Sentinel and Cluster by URL, on real processes: whoever is promoted was cut off before the last verdicts came."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import absent
from tests.integration.fleet import Fleet
from tests.integration.redis_servers import PASSWORD, RedisProcess, redis_cluster, redis_sentinels
from tests.integration.secure import Certificates, make_certificates
from tests.integration.test_whole_path import iqa
from tests.integration.verdict_feed import VerdictFeed
from tests.worker.helpers import verdict
from worker.settings import RedisSettings
from worker.store import ContentCache, connect

pytestmark = [pytest.mark.kafka, pytest.mark.redis]

Wait = Callable[..., Any]
FIRST = [f"first-{number}" for number in range(60)]
LATER = [f"later-{number}" for number in range(60)]


@pytest.fixture(params=[False, True], ids=["plain", "TLS and users"])
def certificates(request: pytest.FixtureRequest, tmp_path: Path) -> Certificates | None:
    if shutil.which("redis-server") is None or shutil.which("redis-cli") is None:
        absent("needs a real Redis: no redis-server and redis-cli on the PATH")
    return make_certificates(tmp_path) if request.param else None


def synced(nodes: list[RedisProcess]) -> bool:
    told = [node.client.info("replication") for node in nodes]
    return all(each["role"] == "master" or each["master_link_status"] == "up" for each in told)


def known_from_cache(url: str) -> bool:
    client = connect(RedisSettings(url=url))
    assert client is not None
    sample = verdict("x")
    return ContentCache(client).get(sample.fingerprint, sample.content_sha256 or "") == sample.assessment


def test_sentinel(fleet: Fleet, tmp_path: Path, certificates: Certificates | None, wait_until: Wait) -> None:
    """The primary is killed with verdicts that its replica never got."""
    with redis_sentinels(tmp_path, certificates) as setup:
        primary, replica = setup.servers
        wait_until(lambda: synced(setup.servers), 30, "the replica")
        wait_until(lambda: all(each.client.sentinel_slaves("verdicts") for each in setup.sentinels), 30, "the sentinels")
        feed = VerdictFeed(fleet, setup.url)
        projection = feed.project()
        feed.send(FIRST)
        wait_until(feed.complete, 60, "the first verdicts")
        wait_until(lambda: replica.client.dbsize() == primary.client.dbsize(), 30, "the replica's copy")
        primary.cut_off_replicas()
        feed.send([*LATER, *FIRST[:5]])
        wait_until(feed.complete, 60, "the later verdicts in the primary")
        assert replica.client.exists("iqa:verdict:later-0") == 0
        primary.kill()
        feed.send(["during"])
        wait_until(lambda: replica.role() == "master", 60, "the failover")
        wait_until(feed.complete, 60, "all verdicts in the new primary")
        assert known_from_cache(setup.url)
        assert projection.terminate() == 0
        assert PASSWORD not in projection.log.read_text()


def test_cluster(fleet: Fleet, tmp_path: Path, certificates: Certificates | None, wait_until: Wait) -> None:
    """One of three shards loses what its replica never got; the others have everything."""
    with redis_cluster(tmp_path, certificates) as (nodes, url):
        wait_until(lambda: synced(nodes), 30, "the replicas")
        feed = VerdictFeed(fleet, url)
        projection = feed.project()
        feed.send(FIRST)
        wait_until(feed.complete, 60, "the first verdicts")
        primary = next(node for node in nodes if node.role() == "master")
        ports = {node.port: node for node in nodes}
        (told,) = [value for key, value in primary.client.info("replication").items() if key == "slave0"]
        replica = ports[int(told["port"])]
        wait_until(lambda: replica.client.dbsize() == primary.client.dbsize(), 30, "the replica's copy")
        primary.cut_off_replicas()
        feed.send([*LATER, *FIRST[:5]])
        wait_until(feed.complete, 60, "the later verdicts")
        assert replica.client.dbsize() < primary.client.dbsize()
        primary.kill()
        feed.send(["during"])
        wait_until(lambda: replica.role() == "master", 60, "the failover")
        wait_until(feed.complete, 60, "all verdicts in all shards")
        assert known_from_cache(url)
        done = iqa("projection", "rebuild", **fleet.environment, IQA_REDIS__URL=url)
        assert (done.returncode, done.stderr) == (0, "")
        wait_until(lambda: projection.metric("iqa_projection_rewinds_total") >= 2, 60, "the rebuild")
        assert projection.terminate() == 0
        assert PASSWORD not in projection.log.read_text()


def test_slots_that_move(fleet: Fleet, tmp_path: Path, wait_until: Wait) -> None:
    """From one shard to another while verdicts come: nothing is missing, and nothing begins anew."""
    if shutil.which("redis-cli") is None:
        absent("needs redis-cli")
    with redis_cluster(tmp_path) as (nodes, url):
        wait_until(lambda: synced(nodes), 30, "the replicas")
        feed = VerdictFeed(fleet, url)
        projection = feed.project()
        feed.send([f"before-{number}" for number in range(500)])
        wait_until(feed.complete, 60, "the first verdicts")
        giver, taker = [node for node in nodes if node.role() == "master"][:2]
        names = [node.client.cluster("myid").decode() for node in (giver, taker)]
        target = ["--cluster-from", names[0], "--cluster-to", names[1], "--cluster-slots", "1000", "--cluster-yes"]
        with subprocess.Popen(
            ["redis-cli", "--cluster", "reshard", f"127.0.0.1:{giver.port}", *target], stdout=subprocess.DEVNULL
        ) as moving:
            turn = 0
            while moving.poll() is None:
                feed.send([f"during-{turn}-{number}" for number in range(20)])
                turn += 1
        assert moving.returncode == 0
        wait_until(feed.complete, 60, "all verdicts")
        assert projection.metric("iqa_projection_rewinds_total") == 0
        assert projection.terminate() == 0


def test_a_node_of_a_cluster_is_told_as_such(fleet: Fleet, tmp_path: Path, wait_until: Wait) -> None:
    """A plain URL would be away for ever without a word."""
    if shutil.which("redis-cli") is None:
        absent("needs redis-cli")
    with redis_cluster(tmp_path) as (nodes, _):
        told = [iqa("verdict", "get", f"a{n}", IQA_REDIS__URL=nodes[0].url) for n in range(3)]
        assert {each.returncode for each in told} == {1}
        wanted = "iqa: IQA_REDIS__URL leads to a node of a Redis Cluster; write redis+cluster://"
        lines = [each.stderr for each in told if "no verdict" not in each.stderr]
        assert lines
        assert all(line.startswith(wanted) and line.count("\n") == 1 for line in lines)
        feed = VerdictFeed(fleet, nodes[0].url)
        feed.send(FIRST)
        projection = feed.project()
        wait_until(lambda: "write redis+cluster://" in projection.log.read_text(), 60, "the line in the log")
        assert projection.terminate() == 0
