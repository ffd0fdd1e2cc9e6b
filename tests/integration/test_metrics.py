"""Metrics of a real worker behind a real broker: counted once, by lane, and no lag where nothing waits."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import urllib.request
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.integration.conftest import absent
from tests.integration.fleet import PARTITIONS, Fleet, WorkerProcess
from tests.integration.looking import counted
from tests.integration.test_delivery import pictures, send
from tests.integration.test_retries_and_replay import ONCE, host
from tests.integration.test_retries_and_replay import send as send_to
from worker.embedded.picture_server import PictureServer
from worker.embedded.redis_server import LocalRedis
from worker.send import make_event
from worker.stream.clients import make_transactional_producer

pytestmark = pytest.mark.kafka

Wait = Callable[..., Any]
OPEN = "application/openmetrics-text;version=1.0.0"


def lag(fleet: Fleet, worker: WorkerProcess) -> tuple[float, float]:
    """Of all partitions of the uploads: records, and the sum of seconds."""
    topic = fleet.settings.topics.uploads
    records, seconds = (counted(worker, f"iqa_partition_lag_{what}", topic=topic) for what in ("records", "seconds"))
    return records, seconds


def test_lag_rises_and_falls_and_events_are_counted_once(fleet: Fleet, wait_until: Wait) -> None:
    """Also where the sender's transactions leave markers behind the last record, which no consumer ever reads."""
    fleet.create_topics()
    with PictureServer(pictures(40)) as server:
        worker = fleet.start(IQA_KAFKA__DELIVERY="exactly_once", IQA_WORKER__MAX_IN_FLIGHT="16")
        wait_until(lambda: worker.metric("iqa_assigned_partitions") == PARTITIONS, what="the assignment")
        wait_until(lambda: lag(fleet, worker) == (0, 0), what="no lag")
        send(fleet, server, 400, 40)
        wait_until(lambda: min(lag(fleet, worker)) > 0, what="lag in records and in seconds")
        wait_until(lambda: fleet.read() >= 400, what="a verdict on every image")
        wait_until(lambda: lag(fleet, worker) == (0, 0), what="no lag again")
        producer = make_transactional_producer(fleet.settings.kafka, f"sender-{uuid.uuid4().hex}")
        producer.init_transactions()
        producer.begin_transaction()
        for number in range(12):
            event = make_event(server.url("1.jpg"), f"more-{number}")
            producer.produce(fleet.settings.topics.uploads, event.model_dump_json().encode(), event.image_id.encode())
        producer.commit_transaction()
        wait_until(lambda: fleet.read() >= 412, what="verdicts on those of the transaction")
        wait_until(lambda: lag(fleet, worker) == (0, 0), what="no lag behind the markers")
        wait_until(lambda: counted(worker, "iqa_verdicts_total") == 412, what="each verdict counted")
        assert counted(worker, "iqa_events_total", lane="uploads") == 412
        assert counted(worker, "iqa_event_age_seconds_count", lane="uploads", at="published") == 412
        assert counted(worker, "iqa_event_age_seconds_count", lane="retry") == 0
        assert counted(worker, "iqa_rebalances_total", lane="uploads", kind="assigned") >= 1
        assert counted(worker, "iqa_partitions_moved_total", lane="uploads", kind="assigned") == PARTITIONS
        assert worker.terminate() == 0


def test_what_is_shown_is_clean_and_not_too_much(fleet: Fleet, own_redis: LocalRedis, wait_until: Wait) -> None:
    """By promtool's own check; with six partitions of everything as few series as the catalogue's test counts for 24."""
    promtool = shutil.which("promtool")
    if promtool is None:
        absent("needs promtool: apt-get install prometheus")
    assert promtool is not None
    fleet.create_topics()
    with PictureServer(pictures(5)) as server:
        worker = fleet.start(IQA_KAFKA__DELIVERY="exactly_once", IQA_REDIS__URL=own_redis.url)
        send(fleet, server, 30, 5)
        wait_until(lambda: fleet.read() >= 30, what="verdicts")
        for kind in ("", OPEN):
            asked = urllib.request.Request(f"http://127.0.0.1:{worker.port}/metrics", headers={"Accept": kind} if kind else {})
            with urllib.request.urlopen(asked, timeout=30) as answer:
                text = answer.read()
            count = sum(not line.startswith(b"#") for line in text.splitlines())
            print(f"{count} series with {PARTITIONS} partitions")
            assert count <= 400 - 3 * (24 - PARTITIONS)
            if not kind:
                done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False, timeout=60)
                assert (done.returncode, done.stdout + done.stderr) == (0, b"")
        assert worker.terminate() == 0


def test_retries_are_counted_by_their_lane(fleet: Fleet, wait_until: Wait) -> None:
    """An event that fails at first is taken twice; its age counts from its first record on."""
    fleet.create_topics()
    with host(pictures(5)) as server:
        worker = fleet.start(**ONCE | {"IQA_RETRY__DELAYS_S": "1,2,4,8"})
        wait_until(lambda: worker.metric("iqa_assigned_partitions") == PARTITIONS, what="the assignment")
        send_to(fleet, server, 1)
        wait_until(lambda: counted(worker, "iqa_retries_total", attempt="1") == 1, what="a retry")
        wait_until(lambda: counted(worker, "iqa_partition_lag_seconds", lane="retry") > 0, what="a retry that waits")
        assert counted(worker, "iqa_partition_lag_records", lane="retry") >= 1
        server.down = False
        wait_until(lambda: fleet.read() >= 1, what="the verdict")
        age = {"lane": "retry", "at": "published"}
        wait_until(lambda: counted(worker, "iqa_verdicts_total") == 1, what="the verdict counted")
        assert counted(worker, "iqa_event_age_seconds_count", **age) >= 1
        assert counted(worker, "iqa_event_age_seconds_sum", **age) >= 1
        assert counted(worker, "iqa_fetches_total", outcome="failed") >= 1
        assert counted(worker, "iqa_fetches_total", outcome="fetched") == 1


def test_openmetrics_packed(fleet: Fleet, wait_until: Wait) -> None:
    """As Prometheus asks for it; the parser of OpenMetrics takes every line."""
    fleet.create_topics()
    worker = fleet.start()
    wait_until(lambda: worker.metric("iqa_assigned_partitions") == PARTITIONS, what="the assignment")
    asked = urllib.request.Request(
        f"http://127.0.0.1:{worker.port}/metrics", headers={"Accept": OPEN, "Accept-Encoding": "gzip"}
    )
    with urllib.request.urlopen(asked, timeout=30) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
        text = gzip.decompress(answer.read()).decode()
    families = {family.name for family in text_string_to_metric_families(text)}  # type: ignore[no-untyped-call]
    assert {"iqa_events", "iqa_event_age_seconds", "iqa_condition"} <= families
