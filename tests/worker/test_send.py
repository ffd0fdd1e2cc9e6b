"""Upload events as people and tests send them."""

from __future__ import annotations

import pytest

from tests.worker.stack import embedded_stack, read
from worker.contracts.cloudevents import header_map, parse_event
from worker.errors import BrokerError
from worker.send import make_event, send_events
from worker.settings import KafkaSettings, Settings
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


def test_a_broker_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Named, with how many events were not sent."""
    monkeypatch.setattr("worker.send.FLUSH_S", 3.0)
    settings = Settings(kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1"))
    with pytest.raises(BrokerError, match="1 of 1 events were not sent"):
        send_events(settings, [make_event("http://h/a.jpg")])
