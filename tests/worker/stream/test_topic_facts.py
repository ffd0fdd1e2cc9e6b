"""What a broker is asked about topics, where it tells little: librdkafka's own. The rest is tested against a real one."""

from __future__ import annotations

import pytest

from worker.embedded.broker import EmbeddedBroker
from worker.errors import BrokerError
from worker.settings import KafkaSettings, Settings
from worker.stream.clients import make_admin
from worker.stream.topic_facts import TopicFacts, describe, old_retry_topics


def test_what_the_broker_does_not_tell_is_none_and_missing_topics_are_left_out() -> None:
    """The embedded broker describes no settings: workers must start on it all the same."""
    with EmbeddedBroker(["there"], partitions=3) as broker:
        admin = make_admin(KafkaSettings(bootstrap_servers=broker.bootstrap_servers))
        found = describe(admin, ["there", "missing", "there"])
        assert describe(admin, []) == {}
        assert "missing" not in admin.list_topics(timeout=30).topics
    assert list(found) == ["there"]
    assert found["there"] == TopicFacts("there", found["there"].topic_id, partitions=3, replication=1)
    assert found["there"].topic_id


def test_retry_topics_of_an_earlier_setting() -> None:
    """Numbers beyond the delays; other names that begin alike are somebody else's."""
    retry = Settings().topics.retry
    others = [f"{retry}.x", f"{retry}.04", f"{retry}.5.x", f"{retry}-9", "other.retry.9", retry.replace(".", "x") + ".8"]
    with EmbeddedBroker([f"{retry}.1", f"{retry}.2", f"{retry}.10", f"{retry}.3", *others]) as broker:
        settings = Settings.model_validate({"retry": {"delays_s": [30.0, 300.0]}})
        admin = make_admin(KafkaSettings(bootstrap_servers=broker.bootstrap_servers))
        assert old_retry_topics(admin, settings) == [f"{retry}.3", f"{retry}.10"]
        assert old_retry_topics(admin, Settings()) == [f"{retry}.10"]


def test_a_broker_that_is_away() -> None:
    """One line for each question, and no other kind of error."""
    admin = make_admin(KafkaSettings(bootstrap_servers="127.0.0.1:1"))
    with pytest.raises(BrokerError, match="topic there cannot be described: .*Timed out"):
        describe(admin, ["there"], timeout_s=0.5)
    with pytest.raises(BrokerError, match="topics cannot be listed: "):
        old_retry_topics(admin, Settings(), timeout_s=0.5)
