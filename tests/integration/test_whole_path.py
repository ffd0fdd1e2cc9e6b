"""The whole path on real servers: topics, event, verdict on the topic and in Redis, the same from ``iqa score``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType

from tests.integration.broker import Broker
from tests.integration.fleet import Fleet
from tests.patience import PATIENCE_S
from tests.pictures import encode, page, photo
from tests.worker.test_score import comparable
from worker.contracts.verdicts import QualityVerdict
from worker.embedded.picture_server import PictureServer
from worker.embedded.redis_server import LocalRedis
from worker.send import make_event, send_events
from worker.settings import RedisSettings
from worker.store import VerdictReader, connect

pytestmark = [pytest.mark.kafka, pytest.mark.redis]

Wait = Callable[..., Any]
FILES = {
    "photo.jpg": encode(photo()),
    "large.jpg": encode(photo(1800, 1300)),
    "page.png": encode(page(["BUSINESS LICENCE", "No. 7", "granted to the holder"]), "PNG"),
    "half.jpg": encode(photo())[:5000],
}


def reader(url: str) -> VerdictReader:
    client = connect(RedisSettings(url=url))
    assert client is not None
    return VerdictReader(client)


def iqa(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "worker.cli", *arguments]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


def test_topic_redis_and_files_agree(fleet: Fleet, redis_url: str, tmp_path: Path, wait_until: Wait) -> None:
    """One verdict, three ways to it, equal field by field but for times and names."""
    fleet.create_topics()
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
    mark = uuid.uuid4().hex[:6]
    with PictureServer(FILES) as server:
        worker = fleet.start(IQA_REDIS__URL=redis_url, IQA_RUNTIME="auto")
        send_events(fleet.settings, [make_event(server.url(name), f"{mark}-{name}") for name in FILES])
        wait_until(lambda: fleet.read() == len(FILES), what="all verdicts")
        stored = {name: reader(redis_url).wait_for(f"{mark}-{name}", PATIENCE_S) for name in FILES}
        assert worker.terminate() == 0
    scored = iqa("score", str(folder), "--json")
    assert scored.returncode == 0, scored.stderr
    files = {Path(v.image_id).name: v for v in map(QualityVerdict.model_validate_json, scored.stdout.splitlines())}
    for name in FILES:
        published = fleet.latest[f"{mark}-{name}"]
        assert stored[name] == published
        assert comparable(files[name]) == comparable(published)


def test_redis_away_at_first(fleet: Fleet, own_redis: LocalRedis, wait_until: Wait) -> None:
    """Verdicts reach the topic without it; once it is there it has them all, without a restart of the worker."""
    fleet.create_topics()
    own_redis.stop()
    with PictureServer(FILES) as server:
        worker = fleet.start(IQA_REDIS__URL=own_redis.url, IQA_REDIS__TIMEOUT_S="0.3")
        send_events(fleet.settings, [make_event(server.url(name), name) for name in FILES])
        wait_until(lambda: fleet.read() == len(FILES), what="all verdicts on the topic")
        wait_until(lambda: worker.metric("iqa_projection_failures_total") >= 2, what="attempts at Redis")
        own_redis.start()
        found = {name: reader(own_redis.url).wait_for(name, PATIENCE_S) for name in FILES}
        assert worker.terminate() == 0
    assert found == {name: fleet.latest[name] for name in FILES}


def test_a_projection_of_its_own_and_a_rebuild_by_command(fleet: Fleet, own_redis: LocalRedis, wait_until: Wait) -> None:
    """What was evicted comes back by the command, what was lost altogether by itself; nothing is restarted."""
    fleet.create_topics()
    client = connect(RedisSettings(url=own_redis.url))
    assert client is not None
    with PictureServer(FILES) as server:
        worker = fleet.start(IQA_REDIS__URL=own_redis.url, IQA_PROJECTION__ENABLED="false")
        projection = fleet.start("projection", IQA_REDIS__URL=own_redis.url)
        send_events(fleet.settings, [make_event(server.url(name), name) for name in FILES])
        wait_until(lambda: fleet.read() == len(FILES), what="all verdicts on the topic")
        stored = reader(own_redis.url)
        wait_until(lambda: stored.get_many(list(FILES)) == fleet.latest, what="all verdicts in Redis")
        assert worker.metric("iqa_projected_verdicts_total") == 0
        assert client.delete("iqa:verdict:photo.jpg") == 1
        done = iqa("projection", "rebuild", **fleet.environment, IQA_REDIS__URL=own_redis.url)
        assert (done.returncode, done.stderr) == (0, "")
        wait_until(lambda: stored.get("photo.jpg") is not None, what="the evicted verdict")
        own_redis.stop()
        own_redis.start()
        wait_until(lambda: stored.get_many(list(FILES)) == fleet.latest, what="all verdicts in the new Redis")
        assert [projection.terminate(), worker.terminate()] == [0, 0]


def test_topics_create(fleet: Fleet) -> None:
    """Twice does no harm; verdicts are compacted, so that the topic keeps the latest of each image."""
    topics = fleet.settings.topics
    first, second = (iqa("topics", "create", "--partitions", "3", **fleet.environment) for _ in range(2))
    assert (first.returncode, second.returncode) == (0, 0)
    assert first.stdout.count("created") == 7
    assert second.stdout.count("was there") == 7
    admin = AdminClient({"bootstrap.servers": fleet.settings.kafka.bootstrap_servers})
    assert len(admin.list_topics(topics.uploads, timeout=PATIENCE_S).topics[topics.uploads].partitions) == 3
    resource = ConfigResource(ResourceType.TOPIC, topics.verdicts)
    (described,) = admin.describe_configs([resource]).values()
    assert described.result(PATIENCE_S)["cleanup.policy"].value == "compact,delete"


def test_missing_topics_stop_the_start(fleet: Fleet, broker: Broker) -> None:
    """One line that says what to run."""
    if not broker.own:
        pytest.skip("a broker of somebody else's may create topics on first use")
    worker = fleet.start()
    assert worker.wait() == 1
    lines = [line for line in worker.log.read_text().splitlines() if not line.startswith("{")]
    assert len(lines) == 1
    assert "does not exist; run `iqa topics create`" in lines[0]
    assert all(json.loads(line) for line in worker.log.read_text().splitlines() if line.startswith("{"))
