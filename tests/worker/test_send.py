"""Upload events as people and tests send them."""

from __future__ import annotations

import pytest

from tests.worker.stack import embedded_stack, read
from worker.contracts.cloudevents import header_map, parse_event
from worker.embedded.broker import EmbeddedBroker
from worker.errors import BrokerError
from worker.send import make_event, send_events
from worker.settings import KafkaSettings, Settings
from worker.stream.clients import make_admin
from worker.stream.incoming import read_record


def test_the_same_url_is_the_same_image() -> None:
    """But another event."""
    first, second = make_event("http://h/a.jpg"), make_event("http://h/a.jpg")
    assert first.image_id == second.image_id
    assert first.event_id != second.event_id
    assert make_event("http://h/b.jpg").image_id != first.image_id


def test_sent_events_are_read_back() -> None:
    """Binary CloudEvents, keyed by image."""
    event = make_event("http://h/a.jpg", "a1", "recruitment", metadata={"team": "x"})
    with embedded_stack({}) as stack:
        assert send_events(stack.settings(), [event]) == 1
        (message,) = read(stack.settings(), "image.uploads", 1)
    headers = header_map(read_record(message).headers)
    assert message.key() == b"a1"
    assert (headers["ce_type"], headers["ce_id"], headers["ce_subject"]) == ("image.uploaded.v1", event.event_id, "a1")
    body = message.value()
    assert isinstance(body, bytes)
    assert parse_event(body, headers) == event


def test_a_broker_that_is_away() -> None:
    """Named before anything is tried."""
    settings = Settings(kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1"))
    with pytest.raises(BrokerError, match=r"no answer from 127.0.0.1:1: .*refused; check IQA_KAFKA__BOOTSTRAP_SERVERS"):
        send_events(settings, [make_event("http://h/a.jpg")])


def test_a_topic_that_is_missing_is_named() -> None:
    """And not made: that is for `iqa topics create`, which knows how."""
    with EmbeddedBroker([]) as broker:
        settings = Settings(kafka=KafkaSettings(bootstrap_servers=broker.bootstrap_servers))
        with pytest.raises(BrokerError, match="topic image.uploads does not exist; run `iqa topics create`"):
            send_events(settings, [make_event("http://h/a.jpg")])
        assert make_admin(settings.kafka).list_topics(timeout=30).topics == {}
