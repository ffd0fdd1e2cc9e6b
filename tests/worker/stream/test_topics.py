"""What workers ask of the broker's topics before they start."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError

from worker.errors import BrokerError
from worker.settings import Settings
from worker.stream import topics
from worker.stream.topics import require_topics


class LateAdmin:
    """Brokers that hear of a topic only after they were asked ``late`` times for it."""

    def __init__(self, late: int) -> None:
        self._late = late
        self.asked: Counter[str] = Counter()

    def list_topics(self, name: str, timeout: float) -> Any:
        """Metadata of one topic, in the client's form."""
        assert timeout > 0
        self.asked[name] += 1
        unknown = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART) if self.asked[name] <= self._late else None
        return SimpleNamespace(topics={name: SimpleNamespace(error=unknown, partitions={})})


def start(admin: LateAdmin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "make_admin", lambda _: admin)
    require_topics(Settings.model_validate({"retry": {"delays_s": []}}))


def test_a_topic_just_created_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker that happens to be asked need not be the one that created it."""
    admin = LateAdmin(late=2)
    start(admin, monkeypatch)
    names = Settings().topics
    assert admin.asked == dict.fromkeys((names.uploads, names.verdicts, names.dead_letters), 3)


def test_a_topic_that_stays_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to do about it."""
    monkeypatch.setattr(topics, "SPREAD_S", 0.0)
    with pytest.raises(BrokerError, match=r"uploads does not exist; run `iqa topics create`"):
        start(LateAdmin(late=1000), monkeypatch)
