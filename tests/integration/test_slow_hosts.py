"""One slow picture holds up its own partition, one slow host its own pictures, and nobody else's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.fleet import PARTITIONS, Fleet
from tests.integration.looking import answer, counted
from tests.integration.test_delivery import pictures
from tests.patience import PATIENCE_S
from tests.worker.intake.servers import raw_server, silence
from worker.embedded.picture_server import PictureServer
from worker.send import make_event
from worker.stream.clients import make_producer

pytestmark = pytest.mark.kafka

Wait = Callable[..., Any]
WAYS = ("exactly_once", "at_least_once")
# So long that nothing of what waits for a silent host can end before the rest is done, on whatever machine.
SLOW = {"IQA_FETCH__TOTAL_TIMEOUT_S": "300", "IQA_FETCH__ATTEMPTS": "1", "IQA_WORKER__DRAIN_TIMEOUT_S": "1"}


def put(fleet: Fleet, partition: int, urls: dict[str, str]) -> None:
    """Events, by image id, in one partition and in that order."""
    producer = make_producer(fleet.settings.kafka)
    for image_id, url in urls.items():
        event = make_event(url, image_id)
        producer.produce(fleet.settings.topics.uploads, event.model_dump_json(), image_id, partition)
    assert producer.flush(PATIENCE_S) == 0


@pytest.mark.parametrize("delivery", WAYS)
def test_one_slow_picture(fleet: Fleet, delivery: str, wait_until: Wait) -> None:
    """At the head of a partition, and hundreds behind it in each: more than may be in flight. All other partitions finish."""
    fleet.create_topics()
    with PictureServer(pictures(1)) as server, raw_server(silence) as slow:
        put(fleet, 0, {"slow": f"{slow}/a.jpg"})
        for partition in range(4):
            put(fleet, partition, {f"quick-{partition}-{n}": server.url("0.jpg") for n in range(300)})
        worker = fleet.start(**SLOW, IQA_KAFKA__DELIVERY=delivery, IQA_WORKER__MAX_IN_FLIGHT="60")
        others = {f"quick-{partition}-{n}" for partition in (1, 2, 3) for n in range(300)}
        wait_until(lambda: fleet.read() and others <= set(fleet.seen), what="verdicts from partitions 1 to 3")
        assert "slow" not in fleet.seen
        assert not any(name.startswith("quick-0-") for name in fleet.seen)
        # What is done behind it waits for its turn, and more is done all the while: as far as bytes go.
        wait_until(lambda: counted(worker, "iqa_in_flight_events") == 301, what="all of partition 0 taken and done")
        assert answer(worker, "/livez")[0] == 200
        assert answer(worker)[0] == 200
        worker.kill()
    assert fleet.duplicates == 0


def test_one_slow_host(fleet: Fleet, wait_until: Wait) -> None:
    """Forty pictures of a host that hangs, more than there are threads: the pictures of others go on."""
    fleet.create_topics()
    with PictureServer(pictures(1)) as server, raw_server(silence) as slow:
        for partition in range(PARTITIONS - 1):
            put(fleet, partition, {f"slow-{partition}-{n}": f"{slow}/{n}.jpg" for n in range(8)})
        put(fleet, PARTITIONS - 1, {f"quick-{n}": server.url("0.jpg") for n in range(200)})
        worker = fleet.start(**SLOW, IQA_KAFKA__DELIVERY="exactly_once", IQA_WORKER__THREADS="8")
        wait_until(lambda: fleet.read() >= 200, what="verdicts on what is well")
        assert all(name.startswith("quick-") for name in fleet.seen)
        assert answer(worker)[0] == 200
        worker.kill()
    assert fleet.duplicates == 0
