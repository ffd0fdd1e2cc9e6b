"""``iqa probe`` beside a real worker, broker and Redis: right, wrong, lost, late; and what it knows of the fleet."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.fleet import PARTITIONS, Fleet, WorkerProcess
from tests.integration.looking import counted, lines
from tests.integration.test_delivery import pictures, send
from worker.embedded.picture_server import PictureServer
from worker.embedded.redis_server import LocalRedis, free_port
from worker.probe.known import KNOWN
from worker.stream.clients import make_producer

pytestmark = pytest.mark.kafka

Wait = Callable[..., Any]


def settings_of(redis: LocalRedis) -> dict[str, str]:
    port = str(free_port())
    return {"IQA_REDIS__URL": redis.url, "IQA_HTTP__PORT": port, "IQA_PROBE__SERVED_AT": f"http://127.0.0.1:{port}"}


def once(fleet: Fleet, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **fleet.environment, "COLUMNS": "200", **more}
    command = [sys.executable, "-m", "worker.cli", "probe", "once"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)


def shown(process: WorkerProcess, name: str, **labels: str) -> float:
    """The sum of such samples; -1 while it does not answer."""
    try:
        return counted(process, name, **labels)
    except OSError:
        return -1


def probes(probe: WorkerProcess, result: str) -> float:
    return shown(probe, "iqa_probes_total", result=result)


def test_once_tells_right_from_wrong(fleet: Fleet, own_redis: LocalRedis, wait_until: Wait) -> None:
    """Through fetch, engines, topic and Redis, twice: the second time the bytes are others, and are judged again."""
    fleet.create_topics()
    worker = fleet.start(IQA_KAFKA__DELIVERY="exactly_once", IQA_REDIS__URL=own_redis.url)
    patient = settings_of(own_redis) | {"IQA_PROBE__TIMEOUT_S": "180", "IQA_PROBE__INTERVAL_S": "180"}
    found = once(fleet, **patient)
    assert found.returncode == 0, found.stdout + found.stderr
    assert found.stdout.count("right") == len(KNOWN)
    assert found.stdout.count(" s │") == 2 * len(KNOWN)
    again = once(fleet, **patient, IQA_PROBE__EXPECTED_CERTIFICATE="high")
    assert again.returncode == 1
    assert "medium where high is right: keywords certificate" in again.stdout
    assert counted(worker, "iqa_repeats_total") == 0
    assert counted(worker, "iqa_verdicts_total", status="scored") == 2 * len(KNOWN)
    # Where nobody serves it: it is a retry, and no verdict comes in time.
    quick = {"IQA_PROBE__TIMEOUT_S": "3", "IQA_PROBE__INTERVAL_S": "3", "IQA_PROBE__SERVED_AT": "http://127.0.0.2:1"}
    elsewhere = once(fleet, **patient | quick)
    assert elsewhere.returncode == 1
    assert elsewhere.stdout.count("no verdict within 3 s") == len(KNOWN)
    assert worker.terminate() == 0


def test_lost_and_late_and_what_the_fleet_looks_like(fleet: Fleet, own_redis: LocalRedis, wait_until: Wait) -> None:
    """Nobody works: probes are lost, partitions are nobody's, lag is seen. A worker comes: all of it ends."""
    fleet.create_topics()
    quick = {"IQA_PROBE__INTERVAL_S": "3", "IQA_PROBE__TIMEOUT_S": "3"}
    probe = fleet.start("probe", **settings_of(own_redis) | quick)
    wait_until(lambda: probes(probe, "lost") >= 2, what="two lost probes")
    with PictureServer(pictures(3)) as server:
        send(fleet, server, 9, 3)
        wait_until(lambda: shown(probe, "iqa_fleet_lag_records", lane="uploads") >= 9, what="lag")
        assert counted(probe, "iqa_fleet_unowned_partitions", lane="uploads") == PARTITIONS
        assert counted(probe, "iqa_fleet_members", lane="uploads") == 0
        assert counted(probe, "iqa_fleet_lag_seconds", lane="uploads") > 0
        worker = fleet.start(IQA_KAFKA__DELIVERY="exactly_once", IQA_REDIS__URL=own_redis.url)
        wait_until(lambda: shown(probe, "iqa_probe_late_total") >= 2, what="late verdicts")
        wait_until(lambda: probes(probe, "right") >= 2, what="two right probes")
        wait_until(lambda: shown(probe, "iqa_fleet_members", lane="uploads") == 1, what="one member")
        assert counted(probe, "iqa_fleet_unowned_partitions", lane="uploads") == 0
        own_redis.stop()
        wait_until(lambda: probes(probe, "unprojected") >= 1, what="a verdict that is not in Redis")
    assert counted(probe, "iqa_probe_seconds_count", at="kafka") >= 2
    assert probe.terminate() == 0
    assert worker.terminate() == 0
    told = {line["result"] for line in lines(probe, "probe")}
    assert {"lost", "right", "unprojected"} <= told


def test_dead_letters_wait_until_a_replay(fleet: Fleet, own_redis: LocalRedis, wait_until: Wait) -> None:
    """What no replay of all has taken; a dry run takes nothing."""
    fleet.create_topics()
    worker = fleet.start(IQA_KAFKA__DELIVERY="exactly_once")
    probe = fleet.start("probe", **settings_of(own_redis))

    def waiting() -> float:
        return shown(probe, "iqa_dead_letters_waiting_records")

    producer = make_producer(fleet.settings.kafka)
    for number in range(3):
        producer.produce(fleet.settings.topics.uploads, b"no json", str(number).encode())
    assert producer.flush(60) == 0
    # And the markers of the worker's transactions.
    wait_until(lambda: waiting() >= 3, what="three dead letters that wait")
    # Else they would come back at once.
    assert worker.terminate() == 0
    replay = [sys.executable, "-m", "worker.cli", "dlq", "replay"]
    for options in (["--dry-run"], []):
        assert waiting() >= 3
        subprocess.run(
            [*replay, *options], env={**os.environ, **fleet.environment}, check=True, capture_output=True, timeout=120
        )
    wait_until(lambda: waiting() == 0, what="no dead letter that waits")
    wait_until(lambda: shown(probe, "iqa_fleet_lag_records", lane="uploads") >= 3, what="the events sent again")
    assert probe.terminate() == 0


def test_a_broker_that_is_away_is_what_a_probe_is_for(tmp_path: Path, own_redis: LocalRedis, wait_until: Wait) -> None:
    """It counts what it could not send, keeps answering, and ends in order."""
    with Fleet(f"127.0.0.1:{free_port()}", "nobody", tmp_path) as fleet:
        probe = fleet.start("probe", **settings_of(own_redis), IQA_PROBE__INTERVAL_S="1", IQA_PROBE__TIMEOUT_S="1")
        wait_until(lambda: probes(probe, "unsent") >= 1, what="a probe that could not be sent")
        with urllib.request.urlopen(f"http://127.0.0.1:{probe.port}/livez", timeout=30) as answer:
            assert answer.status == 200
        assert counted(probe, "iqa_fleet_lag_records") == 0
        assert probe.terminate() == 0
        assert once(fleet, **settings_of(own_redis)).returncode == 1


def test_it_must_be_told_where_it_is_reached(fleet: Fleet) -> None:
    """With one line that names both ways."""
    found = once(fleet)
    assert found.returncode == 2
    assert found.stderr.startswith("iqa: IQA_PROBE__SERVED_AT is not set")
    assert len(found.stderr.splitlines()) == 1
