"""The page for senders and readers, tried on real servers: its examples are sent, its consumer reads what comes back."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Producer

from tests.integration.fleet import Fleet
from tests.pictures import encode, photo
from tests.worker.contracts.test_examples import EXAMPLES, PAGE, RECORDS
from worker.embedded.picture_server import PictureServer
from worker.stream.dead_letters import DeadLetter, Filter, read_dead_letters

pytestmark = pytest.mark.kafka

FIRST, SECOND = "job-4711/1", "job-4711/2"
SENT = [record for record in RECORDS if "reason" not in record]
REFUSED = [record for record in RECORDS if "reason" in record]


class EnoughError(Exception):
    """Ends the page's consumer, which never ends."""


def read_as_the_page_says(servers: str, topic: str, rank: Callable[[str, Any], None]) -> None:
    """Run the page's consumer until ``rank`` has seen enough."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    with pytest.raises(EnoughError):
        exec(code.replace("kafka:9092", servers).replace("image.quality.verdicts", topic), {"rank": rank})


def send_examples(fleet: Fleet, pictures: str) -> None:
    producer = Producer({"bootstrap.servers": fleet.settings.kafka.bootstrap_servers})
    for record in RECORDS:
        body = (EXAMPLES / record["file"]).read_bytes().replace(b"https://images.example.com/", pictures.encode())
        producer.produce(fleet.settings.topics.uploads, body, b"k", headers=list(record["headers"].items()))
    assert producer.flush(30) == 0


def give_up_a_verdict(servers: str, topic: str) -> None:
    """A transaction that is written and then aborted: no reader may rank by it."""
    producer = Producer({"bootstrap.servers": servers, "transactional.id": f"{topic}.aborted"})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(topic, b'{"status": "given up"}', FIRST.encode())
    producer.flush(30)
    producer.abort_transaction(30)


def test_examples_are_answered_and_read_as_the_page_says(fleet: Fleet, wait_until: Callable[..., Any]) -> None:
    """Every example gets its verdict or its dead letter; aborted verdicts are not seen, tombstones are."""
    fleet.create_topics()
    servers, topic = fleet.settings.kafka.bootstrap_servers, fleet.settings.topics.verdicts
    give_up_a_verdict(servers, topic)
    seen: dict[str, Any] = {}

    def rank(image_id: str, verdict: Any) -> None:
        assert verdict is None or verdict["status"] in {"scored", "unscorable"}
        seen[image_id] = verdict
        if None in seen.values() and len(seen) == len(SENT):
            raise EnoughError

    with PictureServer({"job-4711/1.jpg": encode(photo())}) as server:
        fleet.start(IQA_KAFKA__DELIVERY="exactly_once")
        send_examples(fleet, server.url(""))
        wait_until(lambda: fleet.read() == len(SENT), 60, "a verdict on every example")
        tombstones = Producer({"bootstrap.servers": servers, "partitioner": "murmur2_random"})
        tombstones.produce(topic, None, FIRST.encode())
        tombstones.flush(30)
        read_as_the_page_says(servers, topic, rank)
        url = server.url("job-4711/2.jpg")
    # The tombstone lies behind the verdict in the same partition.
    assert seen[FIRST] is None
    assert fleet.latest[FIRST].status == "scored"
    full = json.loads((EXAMPLES / "full.json").read_text(encoding="utf-8"))
    assert {name: seen[SECOND][name] for name in ("event_id", "service", "metadata", "url")} == {
        "event_id": full["event_id"], "service": full["service"], "metadata": full["metadata"], "url": url,
    }  # fmt: skip
    letters: list[DeadLetter] = []

    def all_refused() -> bool:
        letters[:] = read_dead_letters(fleet.settings, Filter())
        return len(letters) == len(REFUSED)

    wait_until(all_refused, 60, "a dead letter for every example that is refused")
    told = sorted((letter.reason, letter.detail) for letter in letters)
    assert told == sorted((record["reason"], record["detail"]) for record in REFUSED)
