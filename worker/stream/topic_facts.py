"""What the broker says about topics. Asking never creates one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._topic import TopicDescription

from worker.errors import BrokerError
from worker.settings import Settings

__all__ = ["TopicFacts", "describe", "old_retry_topics"]

TIMEOUT_S = 10.0
NO_ID = "AAAAAAAAAAAAAAAAAAAAAA"
"""What brokers older than 2.8 answer, which give topics no ids."""

_NO_CONFIG = frozenset(
    {
        KafkaError._UNSUPPORTED_FEATURE,  # noqa: SLF001 - the library's own name; librdkafka's mock broker answers so
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    }
)


@dataclass(frozen=True)
class TopicFacts:
    """One topic. What is ``None`` the broker does not tell: no right to describe settings, or it cannot.

    Attributes:
        name: of the topic.
        topic_id: another one once a topic of this name is made anew.
        partitions: how many; 0 if ``hidden``.
        replication: copies of partition 0, the leader's included; 0 if ``hidden``.
        max_message_bytes: of a batch of records, compressed.
        cleanup_policy: ``delete``, ``compact`` or ``compact,delete``, in that order.
        retention_ms: -1 for ever.
        min_insync_replicas: copies that must have a record before it counts as written.
        operations: what this client may do: ``READ``, ``WRITE``, ``DESCRIBE``, ``DESCRIBE_CONFIGS`` and so on.
        hidden: this client has no right to see whether there is such a topic.

    """

    name: str
    topic_id: str | None = None
    partitions: int = 0
    replication: int = 0
    max_message_bytes: int | None = None
    cleanup_policy: str | None = None
    retention_ms: int | None = None
    min_insync_replicas: int | None = None
    operations: frozenset[str] | None = None
    hidden: bool = False


def describe(admin: AdminClient, names: Sequence[str], timeout_s: float = TIMEOUT_S) -> dict[str, TopicFacts]:
    """What the broker says about ``names``, by name. Those that do not exist are left out; see ``TopicFacts.hidden``.

    Raises:
        BrokerError: no answer within ``timeout_s`` for each of two requests, or one that is no use.

    """
    wanted = list(dict.fromkeys(names))
    if not wanted:
        return {}
    found: dict[str, TopicFacts] = {}
    asked = admin.describe_topics(TopicCollection(wanted), include_authorized_operations=True, request_timeout=timeout_s)
    for name, future in asked.items():
        try:
            found[name] = _facts(_result(future, timeout_s))
        except KafkaException as error:
            code = error.args[0].code()
            if code == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                found[name] = TopicFacts(name, operations=frozenset(), hidden=True)
            elif code != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise BrokerError(f"topic {name} cannot be described: {error.args[0].str()}") from error
    visible = [name for name, facts in found.items() if not facts.hidden]
    for name, config in _configs(admin, visible, timeout_s).items():
        found[name] = _with_config(found[name], config)
    return found


def old_retry_topics(admin: AdminClient, settings: Settings, timeout_s: float = TIMEOUT_S) -> list[str]:
    """Retry topics of an earlier setting that still exist, ``<prefix>.4`` where there are three delays; in order of number.

    Raises:
        BrokerError: no answer within ``timeout_s``.

    """
    try:
        # Without a name: with one, this call would create the topic where the broker allows it.
        existing = admin.list_topics(timeout=timeout_s).topics
    except KafkaException as error:
        raise BrokerError(f"topics cannot be listed: {error.args[0].str()}") from error
    numbered = re.compile(re.escape(settings.topics.retry) + r"\.([1-9]\d*)")
    numbers = sorted(int(match.group(1)) for match in map(numbered.fullmatch, existing) if match)
    return [f"{settings.topics.retry}.{number}" for number in numbers if number > len(settings.retry.delays_s)]


def _facts(found: TopicDescription) -> TopicFacts:
    identity = str(found.topic_id)
    operations = found.authorized_operations
    return TopicFacts(
        name=found.name,
        topic_id=None if identity == NO_ID else identity,
        partitions=len(found.partitions),
        replication=len(found.partitions[0].replicas) if found.partitions else 0,
        operations=None if operations is None else frozenset(operation.name for operation in operations),
    )


def _configs(admin: AdminClient, names: Sequence[str], timeout_s: float) -> dict[str, dict[str, str]]:
    """Settings by topic; without those that the broker does not tell."""
    if not names:
        return {}
    found: dict[str, dict[str, str]] = {}
    resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
    for resource, future in admin.describe_configs(resources, request_timeout=timeout_s).items():
        try:
            found[resource.name] = {key: entry.value for key, entry in _result(future, timeout_s).items()}
        except KafkaException as error:
            if error.args[0].code() not in _NO_CONFIG:
                message = f"settings of topic {resource.name} cannot be described: {error.args[0].str()}"
                raise BrokerError(message) from error
    return found


def _with_config(facts: TopicFacts, config: Mapping[str, str]) -> TopicFacts:
    policy = config.get("cleanup.policy")
    return replace(
        facts,
        max_message_bytes=_number(config, "max.message.bytes"),
        cleanup_policy=None if policy is None else ",".join(sorted(part.strip() for part in policy.split(","))),
        retention_ms=_number(config, "retention.ms"),
        min_insync_replicas=_number(config, "min.insync.replicas"),
    )


def _number(config: Mapping[str, str], key: str) -> int | None:
    value = config.get(key)
    return None if value is None else int(value)


def _result(future: Future[Any], timeout_s: float) -> Any:
    """Of a request that has a time-out of its own; the second bound is for a client that hangs.

    Raises:
        BrokerError: not even the client's own time-out came.
        KafkaException: what the broker, or the client's time-out, says.

    """
    try:
        return future.result(timeout_s + 5.0)
    except TimeoutError as error:
        raise BrokerError(f"no answer from the broker within {timeout_s:.0f} s") from error
