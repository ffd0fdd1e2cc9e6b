"""What each topic must be, what it should be, and how to mend one that is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from worker.settings import Settings
from worker.stream.clients import MAX_RECORD_BYTES
from worker.stream.dead_letters import parked_topic
from worker.stream.topic_facts import TopicFacts

__all__ = ["Finding", "TopicPlan", "count", "findings", "is_compacted", "mend", "plan_topics"]

DAY_MS = 86_400_000
DEAD_LETTERS_MS = 30 * DAY_MS
RETRIES_MS = 7 * DAY_MS
SAFE_COPIES = 3
"""With so many, one broker may be away while two copies still take every record."""


@dataclass(frozen=True)
class TopicPlan:
    """A topic as it is made, and what is enough of one that is there.

    Attributes:
        name: of the topic.
        partitions: at least.
        replication: copies of each partition, at least.
        config: the topic's settings when it is made.
        delay_ms: what its records wait for; it must keep them longer.
        least_bytes: a smaller ``max.message.bytes`` cuts what we write.

    """

    name: str
    partitions: int
    replication: int
    config: Mapping[str, str]
    delay_ms: int = 0
    least_bytes: int = MAX_RECORD_BYTES


@dataclass(frozen=True)
class Finding:
    """How a topic differs from its plan.

    Attributes:
        text: ``cleanup.policy=delete (must be compact or compact,delete)``.
        must: records are lost, or cannot be written, or it is less than was asked for; else it only should be otherwise.
        config: settings of the topic that mend it.
        partitions: as many mend it.

    """

    text: str
    must: bool
    config: Mapping[str, str] = field(default_factory=dict)
    partitions: int | None = None


def plan_topics(settings: Settings, partitions: int = 1, replication: int = 1) -> list[TopicPlan]:
    """Every topic of ours: uploads, verdicts, retries, dead letters, parked ones. Uploads keep the broker's retention."""
    names, size = settings.topics, (partitions, replication)
    common = {"max.message.bytes": str(MAX_RECORD_BYTES)}
    if replication >= SAFE_COPIES:
        common["min.insync.replicas"] = str(SAFE_COPIES - 1)
    events = {**common, "cleanup.policy": "delete"}
    verdicts = {**common, "cleanup.policy": "compact,delete", "retention.ms": str(settings.redis.verdict_ttl_s * 1000)}
    retries = {**events, "retention.ms": str(RETRIES_MS)}
    letters = {**events, "retention.ms": str(DEAD_LETTERS_MS)}
    return [
        # How large an upload may be is for its senders to say.
        TopicPlan(names.uploads, *size, events, least_bytes=0),
        TopicPlan(names.verdicts, *size, verdicts),
        *(
            TopicPlan(name, *size, retries, delay_ms=int(delay_s * 1000))
            for name, delay_s in zip(settings.retry_topics, settings.retry.delays_s, strict=True)
        ),
        TopicPlan(names.dead_letters, *size, letters),
        TopicPlan(parked_topic(settings), *size, letters),
    ]


def findings(plan: TopicPlan, facts: TopicFacts) -> list[Finding]:
    """How a topic that is there differs for the worse. More of anything is fine, and what the broker does not tell is, too."""
    found = []
    if facts.partitions < plan.partitions:
        text = f"{count(facts.partitions, 'partition', 'partitions')} (asked: {plan.partitions})"
        found.append(Finding(text, must=True, partitions=plan.partitions))
    if facts.replication < plan.replication:
        found.append(Finding(f"{count(facts.replication, 'copy', 'copies')} (asked: {plan.replication})", must=True))
    found += [*_policy(plan, facts), *_retention(plan, facts), *_in_sync(facts)]
    if facts.max_message_bytes is not None and facts.max_message_bytes < plan.least_bytes:
        text = f"max.message.bytes={facts.max_message_bytes} (should be {plan.least_bytes})"
        found.append(Finding(text, must=False, config={"max.message.bytes": str(plan.least_bytes)}))
    return found


def is_compacted(facts: TopicFacts) -> bool | None:
    """Whether the last record of each key stays; ``None`` if the broker does not tell."""
    return None if facts.cleanup_policy is None else "compact" in facts.cleanup_policy.split(",")


def mend(name: str, found: Sequence[Finding], servers: str) -> list[str]:
    """Commands of Kafka's own that mend what a command can. Copies are another matter: ``kafka-reassign-partitions.sh``."""
    commands = []
    config = {key: value for finding in found for key, value in finding.config.items()}
    if config:
        pairs = ",".join(f"{key}=[{value}]" if "," in value else f"{key}={value}" for key, value in config.items())
        tool = f"kafka-configs.sh --bootstrap-server {servers} --alter --entity-type topics --entity-name {name}"
        commands.append(f"{tool} --add-config {pairs}")
    for finding in found:
        if finding.partitions:
            tool = f"kafka-topics.sh --bootstrap-server {servers} --alter --topic {name}"
            commands.append(f"{tool} --partitions {finding.partitions}")
    return commands


def count(number: int, one: str, many: str) -> str:
    """``1 partition``, ``6 partitions``."""
    return f"{number} {one if number == 1 else many}"


def _policy(plan: TopicPlan, facts: TopicFacts) -> list[Finding]:
    wanted, compacted = plan.config["cleanup.policy"], is_compacted(facts)
    if compacted is None or compacted == ("compact" in wanted):
        return []
    told = "compact or compact,delete" if "compact" in wanted else wanted
    # A topic that deletes keeps its verdicts for days: once it compacts, too, as long as Redis does.
    config = {
        key: plan.config[key] for key in ("cleanup.policy", "retention.ms") if "compact" in wanted or key == "cleanup.policy"
    }
    return [Finding(f"cleanup.policy={facts.cleanup_policy} (must be {told})", must=True, config=config)]


def _retention(plan: TopicPlan, facts: TopicFacts) -> list[Finding]:
    held = facts.retention_ms
    if held is None or held < 0 or facts.cleanup_policy == "compact":
        return []
    wanted = int(plan.config.get("retention.ms", 0))
    if held <= plan.delay_ms:
        text = f"retention.ms={held} (must be more than the delay, {plan.delay_ms})"
        return [Finding(text, must=True, config={"retention.ms": str(wanted)})]
    # A retry topic may keep less than ours do, as long as it is more than its delay.
    if held < wanted and not plan.delay_ms:
        return [Finding(f"retention.ms={held} (should be {wanted})", must=False, config={"retention.ms": str(wanted)})]
    return []


def _in_sync(facts: TopicFacts) -> list[Finding]:
    least, copies = facts.min_insync_replicas, facts.replication
    if least is None:
        return []
    if least > copies:
        config = {"min.insync.replicas": str(max(1, copies - 1))}
        return [Finding(f"min.insync.replicas={least} (must be at most the copies, {copies})", must=True, config=config)]
    if copies >= SAFE_COPIES and least < SAFE_COPIES - 1:
        config = {"min.insync.replicas": str(SAFE_COPIES - 1)}
        return [Finding(f"min.insync.replicas={least} (should be {SAFE_COPIES - 1})", must=False, config=config)]
    return []
