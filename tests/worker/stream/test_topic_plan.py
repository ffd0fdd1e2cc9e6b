"""What topics must be, and how those that are there differ."""

from __future__ import annotations

from dataclasses import replace

import pytest

from worker.settings import Settings
from worker.stream.topic_facts import TopicFacts
from worker.stream.topic_plan import TopicPlan, findings, mend, plan_topics

DAY_MS = 86_400_000


def plan(name: str, partitions: int = 6, replication: int = 3) -> TopicPlan:
    return next(found for found in plan_topics(Settings(), partitions, replication) if found.name == name)


def as_planned(name: str) -> TopicFacts:
    config = plan(name).config
    retention = config.get("retention.ms")
    return TopicFacts(
        name=name,
        partitions=6,
        replication=3,
        max_message_bytes=int(config["max.message.bytes"]),
        cleanup_policy=config["cleanup.policy"],
        retention_ms=int(retention) if retention else 7 * DAY_MS,
        min_insync_replicas=2,
    )


def test_how_topics_are_made() -> None:
    """Verdicts are compacted, and kept as long as Redis keeps them; dead letters for a month."""
    settings = Settings.model_validate({"redis": {"verdict_ttl_s": 3600}, "retry": {"delays_s": [30.0]}})
    made = {found.name: found.config for found in plan_topics(settings, 6, 1)}
    room = {"max.message.bytes": "4000000"}
    events = {**room, "cleanup.policy": "delete"}
    assert made == {
        "image.uploads": events,
        "image.quality.verdicts": {**room, "cleanup.policy": "compact,delete", "retention.ms": "3600000"},
        "image.uploads.retry.1": {**events, "retention.ms": str(7 * DAY_MS)},
        "image.uploads.dlq": {**events, "retention.ms": str(30 * DAY_MS)},
        "image.uploads.dlq.parked": {**events, "retention.ms": str(30 * DAY_MS)},
    }


@pytest.mark.parametrize(("copies", "least"), [(1, None), (2, None), (3, "2"), (4, "2")])
def test_two_copies_take_every_record_where_there_are_three(copies: int, least: str | None) -> None:
    """With two copies, the loss of one broker would stop all writing."""
    assert {found.config.get("min.insync.replicas") for found in plan_topics(Settings(), 6, copies)} == {least}


@pytest.mark.parametrize("name", [found.name for found in plan_topics(Settings())])
def test_topics_as_they_are_made_do_not_differ(name: str) -> None:
    """Nor do those with more of anything, or those that the broker says nothing about."""
    facts = as_planned(name)
    assert findings(plan(name), facts) == []
    more = replace(facts, partitions=12, replication=5, max_message_bytes=9_000_000, retention_ms=-1, min_insync_replicas=3)
    assert findings(plan(name), more) == []
    assert findings(plan(name), TopicFacts(name, partitions=6, replication=3)) == []


@pytest.mark.parametrize(
    ("name", "differs", "told", "must"),
    [
        (
            "image.quality.verdicts",
            {"cleanup_policy": "delete"},
            "cleanup.policy=delete (must be compact or compact,delete)",
            True,
        ),
        ("image.quality.verdicts", {"partitions": 1}, "1 partition (asked: 6)", True),
        ("image.quality.verdicts", {"replication": 2}, "2 copies (asked: 3)", True),
        ("image.quality.verdicts", {"retention_ms": DAY_MS}, "retention.ms=86400000 (should be 2592000000)", False),
        ("image.quality.verdicts", {"max_message_bytes": 1_048_588}, "max.message.bytes=1048588 (should be 4000000)", False),
        ("image.quality.verdicts", {"min_insync_replicas": 1}, "min.insync.replicas=1 (should be 2)", False),
        ("image.uploads", {"min_insync_replicas": 4}, "min.insync.replicas=4 (must be at most the copies, 3)", True),
        ("image.uploads", {"cleanup_policy": "compact,delete"}, "cleanup.policy=compact,delete (must be delete)", True),
        ("image.uploads.dlq", {"cleanup_policy": "compact"}, "cleanup.policy=compact (must be delete)", True),
        ("image.uploads.dlq.parked", {"retention_ms": DAY_MS}, "retention.ms=86400000 (should be 2592000000)", False),
        (
            "image.uploads.retry.3",
            {"retention_ms": 600_000},
            "retention.ms=600000 (must be more than the delay, 1800000)",
            True,
        ),
    ],
)
def test_what_differs_for_the_worse(name: str, differs: dict[str, int | str], told: str, *, must: bool) -> None:
    """In words, and whether it matters at once."""
    (found,) = findings(plan(name), replace(as_planned(name), **differs))  # type: ignore[arg-type]
    assert (found.text, found.must) == (told, must)


@pytest.mark.parametrize(
    ("name", "differs"),
    [
        ("image.uploads", {"max_message_bytes": 1_048_588}),
        ("image.uploads", {"retention_ms": DAY_MS}),
        ("image.uploads.retry.1", {"retention_ms": DAY_MS}),
        ("image.quality.verdicts", {"cleanup_policy": "compact", "retention_ms": DAY_MS}),
    ],
)
def test_what_is_for_others_to_choose(name: str, differs: dict[str, int | str]) -> None:
    """How large uploads may be; how long their owner keeps them; a retention that nothing is deleted by."""
    assert findings(plan(name), replace(as_planned(name), **differs)) == []  # type: ignore[arg-type]


def test_commands_that_mend() -> None:
    """One for all settings, one for partitions; values with commas in brackets, as Kafka's tool wants them."""
    name = "image.quality.verdicts"
    wrong = replace(as_planned(name), partitions=1, cleanup_policy="delete", retention_ms=7 * DAY_MS, min_insync_replicas=1)
    config = "cleanup.policy=[compact,delete],retention.ms=2592000000,min.insync.replicas=2"
    assert mend(name, findings(plan(name), wrong), "k:9092") == [
        f"kafka-configs.sh --bootstrap-server k:9092 --alter --entity-type topics --entity-name {name} --add-config {config}",
        f"kafka-topics.sh --bootstrap-server k:9092 --alter --topic {name} --partitions 6",
    ]
    assert mend(name, findings(plan(name), as_planned(name)), "k:9092") == []
