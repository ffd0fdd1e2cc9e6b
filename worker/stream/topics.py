"""Looks at the topics that workers use, creates those that are missing, and says how others differ from what they must be."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from worker.errors import BrokerError
from worker.settings import Settings
from worker.stream.clients import make_admin, require_broker
from worker.stream.topic_facts import TopicFacts, describe
from worker.stream.topic_plan import Finding, TopicPlan, findings, is_compacted, mend, plan_topics

__all__ = ["TopicState", "compare_topics", "create_topics", "ensure_topics", "find_topics", "require_topics"]

log = structlog.get_logger()

TIMEOUT_S = 20.0
SPREAD_S = 3.0
"""How long a new topic may be unknown to the broker that happens to be asked, while others have it."""


@dataclass(frozen=True)
class TopicState:
    """A topic as it must be, and as it is: ``facts`` are ``None`` if it does not exist."""

    plan: TopicPlan
    facts: TopicFacts | None
    findings: tuple[Finding, ...] = ()


def create_topics(settings: Settings, partitions: int, replication: int) -> dict[str, bool]:
    """Create what is missing; returns each topic with whether it was created now.

    Raises:
        BrokerError: the broker is away or refuses.

    """
    return _create(make_admin(settings.kafka), settings, plan_topics(settings, partitions, replication))


def compare_topics(settings: Settings, partitions: int = 1, replication: int = 1) -> list[TopicState]:
    """Each topic of ours beside what it must be, with ``partitions`` and ``replication`` at the least. Creates none.

    Raises:
        BrokerError: the broker is away or refuses.

    """
    plans = plan_topics(settings, partitions, replication)
    found = describe(make_admin(settings.kafka), [plan.name for plan in plans])
    states = []
    for plan in plans:
        facts = found.get(plan.name)
        differs = findings(plan, facts) if facts and not facts.hidden else ()
        states.append(TopicState(plan, facts, tuple(differs)))
    return states


def find_topics(admin: AdminClient, names: Sequence[str], timeout_s: float = 10.0) -> dict[str, TopicFacts]:
    """What the broker says about topics that must be there. Those just created are waited for.

    Brokers hear of a topic one after the other.

    Raises:
        BrokerError: the broker does not answer, a topic is missing, or cannot be seen.

    """
    end, pause = time.monotonic() + SPREAD_S, threading.Event()
    while True:
        found = describe(admin, names, timeout_s)
        missing = [name for name in names if name not in found]
        hidden = [name for name in names if name in found and found[name].hidden]
        if hidden:
            raise BrokerError(f"topic {hidden[0]} cannot be seen: it does not exist, or this client has no right to use it")
        if not missing:
            return found
        if time.monotonic() > end:
            raise BrokerError(f"topic {missing[0]} does not exist; run `iqa topics create`")
        pause.wait(0.1)


def require_topics(settings: Settings, timeout_s: float = 10.0, *, verdicts_only: bool = False) -> None:
    """Check that the broker answers and has the topics that others share, and that verdicts are compacted.

    With ``verdicts_only`` just what a projection needs.

    Retry topics are the workers' own business: those that are missing, after an upgrade say, are made with as many partitions
    as the uploads topic. No other is.

    Raises:
        BrokerError: the broker does not answer, a topic is missing or cannot be seen, or verdicts would vanish.

    """
    require_broker(settings.kafka, timeout_s)
    admin, names = make_admin(settings.kafka), settings.topics
    shared = (names.verdicts,) if verdicts_only else (names.uploads, names.verdicts, names.dead_letters)
    found = find_topics(admin, shared, timeout_s)
    for plan in plan_topics(settings):
        if plan.name in found:
            _require(plan, found[plan.name], settings, verdicts=plan.name == names.verdicts)
    if not verdicts_only:
        ensure_topics(settings, settings.retry_topics, names.uploads, timeout_s)


def ensure_topics(settings: Settings, names: Sequence[str], like: str, timeout_s: float = 10.0) -> None:
    """Create those of ``names``, topics of ours, that are missing, with as many partitions and copies as topic ``like`` has.

    Raises:
        BrokerError: the broker is away or refuses, or there is no topic ``like``.

    """
    admin = make_admin(settings.kafka)
    found = describe(admin, [*names, like], timeout_s)
    missing = [name for name in names if name not in found]
    if not missing:
        return
    model = found.get(like)
    if model is None or model.hidden:
        raise BrokerError(f"topic {like} does not exist or cannot be seen; run `iqa topics create`")
    plans = plan_topics(settings, model.partitions, model.replication)
    created = _create(admin, settings, [plan for plan in plans if plan.name in missing])
    log.info("topics_created", topics=sorted(name for name, new in created.items() if new))


def _require(plan: TopicPlan, facts: TopicFacts, settings: Settings, *, verdicts: bool) -> None:
    """Refuse verdicts that are not compacted; tell of other differences by which events are lost."""
    compacted, differs = is_compacted(facts), findings(plan, facts)
    if verdicts and compacted is None:
        log.warning("topic_settings_unknown", topic=plan.name, detail="no right to describe them: is it compacted?")
    musts = [finding for finding in differs if finding.must]
    if verdicts and compacted is False:
        remedy = mend(plan.name, musts, settings.kafka.bootstrap_servers)[0]
        told = ", ".join(finding.text for finding in musts)
        raise BrokerError(f"topic {plan.name}: {told}; verdicts would vanish from it. Mend it: {remedy}")
    if musts:
        log.warning("topic_differs", topic=plan.name, differs=[finding.text for finding in musts])


def _create(admin: AdminClient, settings: Settings, plans: Sequence[TopicPlan]) -> dict[str, bool]:
    wanted = [NewTopic(plan.name, plan.partitions, plan.replication, config=dict(plan.config)) for plan in plans]
    created = {}
    for topic, future in admin.create_topics(wanted, request_timeout=TIMEOUT_S).items():
        try:
            future.result(TIMEOUT_S)
            created[topic] = True
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise BrokerError(f"topic {topic} was not created: {error.args[0].str()}") from error
            created[topic] = False
        except TimeoutError as error:
            raise BrokerError(f"no answer from {settings.kafka.bootstrap_servers} within {TIMEOUT_S:.0f} s") from error
    return created
