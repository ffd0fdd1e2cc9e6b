"""Sends upload events: for people who try the system, and for tests."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message

from worker.contracts.cloudevents import event_headers
from worker.contracts.events import ImageUploaded
from worker.errors import BrokerError
from worker.settings import Settings
from worker.stream.clients import make_admin, make_producer, require_broker
from worker.stream.topics import find_topics

__all__ = ["make_event", "send_events"]

SOURCE = "/iqa/send"
FLUSH_S = 15.0


def make_event(url: str, image_id: str | None = None, service: str | None = None, **more: Any) -> ImageUploaded:
    """An event for ``url``; without ``image_id`` one is derived from the URL, so that sending again means the same image."""
    identity = image_id or uuid.uuid5(uuid.NAMESPACE_URL, url).hex
    return ImageUploaded(
        event_id=str(uuid.uuid4()), image_id=identity, url=url, uploaded_at=datetime.now(UTC), service=service, **more
    )


def send_events(settings: Settings, events: Iterable[ImageUploaded]) -> int:
    """Send events in CloudEvents' binary mode and wait until the broker has them; returns how many.

    Raises:
        BrokerError: the broker is away, there is no uploads topic, or it did not take them all.

    """
    require_broker(settings.kafka)
    find_topics(make_admin(settings.kafka), [settings.topics.uploads])
    # Not longer than the flush below: the broker's own reason is then reported, and not only that time is up.
    producer = make_producer(settings.kafka, **{"delivery.timeout.ms": int(1000 * FLUSH_S) - 2000})
    failures: list[str] = []

    def delivered(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failures.append(error.str())

    count = 0
    for event in events:
        body, key, headers = event.model_dump_json().encode(), event.image_id.encode(), event_headers(event, SOURCE)
        try:
            producer.produce(settings.topics.uploads, body, key, headers=list(headers), on_delivery=delivered)
        except (KafkaException, BufferError) as error:
            raise BrokerError(f"event {event.event_id} was not sent: {error}") from error
        producer.poll(0)
        count += 1
    left = producer.flush(FLUSH_S)
    if left or failures:
        reason = failures[0] if failures else f"no answer from {settings.kafka.bootstrap_servers}"
        raise BrokerError(f"{left + len(failures)} of {count} events were not sent: {reason}")
    return count
