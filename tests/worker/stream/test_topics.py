"""What workers ask of the broker's topics before they start."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.patience import PATIENCE_S
from worker.embedded.broker import EmbeddedBroker
from worker.errors import BrokerError
from worker.settings import KafkaSettings, Settings
from worker.stream import topics
from worker.stream.clients import make_admin
from worker.stream.topic_facts import TopicFacts
from worker.stream.topics import ensure_topics, require_topics


class LateBroker:
    """Brokers that hear of topics only after they were asked ``late`` times; ``differs`` are facts other than the usual."""

    def __init__(self, late: int = 0, differs: dict[str, TopicFacts] | None = None) -> None:
        self._late = late
        self._differs = differs or {}
        self.asked = 0

    def describe(self, _: object, names: Sequence[str], timeout_s: float) -> dict[str, TopicFacts]:
        """As ``topic_facts.describe``."""
        assert timeout_s > 0
        self.asked += 1
        facts = {name: TopicFacts(name, partitions=6, replication=1) for name in names}
        return (
            {} if self.asked <= self._late else facts | {name: self._differs[name] for name in names if name in self._differs}
        )


def start(broker: LateBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "describe", broker.describe)
    monkeypatch.setattr(topics, "require_broker", lambda *_: None)
    require_topics(Settings())


def test_a_topic_just_created_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker that happens to be asked need not be the one that created it."""
    monkeypatch.setattr(topics, "SPREAD_S", PATIENCE_S)
    broker = LateBroker(late=2)
    start(broker, monkeypatch)
    assert broker.asked == 4, "two times in vain, once for what is shared, once for retries"


def test_a_topic_that_stays_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to do about it."""
    monkeypatch.setattr(topics, "SPREAD_S", 0.0)
    with pytest.raises(BrokerError, match=r"topic image.uploads does not exist; run `iqa topics create`"):
        start(LateBroker(late=1000), monkeypatch)


def test_verdicts_that_are_not_compacted_stop_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, which says how to mend it."""
    name = Settings().topics.verdicts
    facts = TopicFacts(name, partitions=6, replication=1, cleanup_policy="delete", retention_ms=604_800_000)
    with pytest.raises(BrokerError) as caught:
        start(LateBroker(differs={name: facts}), monkeypatch)
    line = str(caught.value)
    assert "image.quality.verdicts: cleanup.policy=delete (must be compact or compact,delete)" in line
    config = "--entity-name image.quality.verdicts --add-config cleanup.policy=[compact,delete],retention.ms=2592000000"
    assert line.endswith(config)
    assert "\n" not in line


@pytest.mark.parametrize("policy", ["compact", "compact,delete", None])
def test_verdicts_that_are_compacted_or_unknown_do_not(monkeypatch: pytest.MonkeyPatch, policy: str | None) -> None:
    """Who may not describe settings may well run workers."""
    name = Settings().topics.verdicts
    start(LateBroker(differs={name: TopicFacts(name, partitions=6, replication=1, cleanup_policy=policy)}), monkeypatch)


def test_a_topic_that_cannot_be_seen_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be there: the answer is about rights."""
    name = Settings().topics.dead_letters
    with pytest.raises(BrokerError, match=f"topic {name} cannot be seen: .* no right"):
        start(LateBroker(differs={name: TopicFacts(name, operations=frozenset(), hidden=True)}), monkeypatch)


def test_a_broker_without_topic_administration_is_enough() -> None:
    """The embedded one; and a topic that is missing there is not made by asking for it."""
    settings = Settings()
    names = settings.topics
    with EmbeddedBroker([names.uploads, names.verdicts, *settings.retry_topics]) as broker:
        kafka = KafkaSettings(bootstrap_servers=broker.bootstrap_servers)
        here = settings.model_copy(update={"kafka": kafka})
        with pytest.raises(BrokerError, match=f"topic {names.dead_letters} does not exist"):
            require_topics(here)
        assert names.dead_letters not in make_admin(kafka).list_topics(timeout=30).topics
    with EmbeddedBroker([names.uploads, names.verdicts, names.dead_letters, *settings.retry_topics]) as broker:
        require_topics(settings.model_copy(update={"kafka": KafkaSettings(bootstrap_servers=broker.bootstrap_servers)}))


def test_nothing_is_made_like_a_topic_that_is_not_there() -> None:
    """It was passed over in silence."""
    with EmbeddedBroker([]) as broker:
        settings = Settings(kafka=KafkaSettings(bootstrap_servers=broker.bootstrap_servers))
        with pytest.raises(BrokerError, match="topic image.uploads.dlq does not exist"):
            ensure_topics(settings, ["image.uploads.dlq.parked"], "image.uploads.dlq")
