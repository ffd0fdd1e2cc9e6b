"""Topics that are made anew or lose their records unread, and rights that are taken."""

from __future__ import annotations

from functools import partial

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin._acl import AclOperation
from confluent_kafka.admin._resource import ResourceType

from tests.chaos.load import Load
from tests.chaos.scenario import Form
from tests.chaos.stage import Stage
from tests.integration.fleet import PARTITIONS

__all__ = ["retention", "rights_taken", "topic_remade"]

EXPIRED = "iqa_expired_events_total"
ADMIN_S = 30.0
SOON_S = 60.0
SOME = 60
"""Answers that show that things go on."""

TAKEN = 10
"""Records that each partition loses."""


def topic_remade(stage: Stage, load: Load, form: Form) -> None:
    """The uploads topic is deleted and made anew while workers have events of the old one in flight.

    What workers had committed by then must be answered, and all that is sent to the new one. What lay in the old one beyond
    that may be answered, but at most once: whoever deleted it unread has lost it. Each worker ends by itself, since its client
    knows the old topic, and another takes its place. A broker has been away before, so that leader epochs of the old topic are
    higher than the new one's: a client that stays never reads those partitions.
    """
    topic, admin = stage.fleet.settings.topics.uploads, stage.cluster.admin
    for _ in range(form.times):
        _go_on(stage, load)
        stage.cluster.nodes[0].stop()
        stage.cluster.nodes[0].start()
        stage.cluster.wait_in_sync(topic)
        load.hold()
        places = _committed(stage)
        load.excuse(name for name in load.missing() if load.places[name].offset >= places[load.places[name].partition])
        admin.delete_topics([topic])[topic].result(ADMIN_S)
        stage.wait(lambda: topic not in admin.list_topics(timeout=10).topics, SOON_S, "the end of the topic")
        # Whoever connects now learns that there is no such topic, and has to find out that there is one again.
        stage.cluster.interrupt()
        stage.sleep(form.seconds)
        stage.fleet.create_topics()
        stage.cluster.wait_in_sync(topic)
        load.resume()
        # Whoever comes now begins where the group says: a place of the old topic would pass over events of the new one.
        stage.succeed(SOON_S)
        _go_on(stage, load)


def retention(stage: Stage, load: Load, form: Form) -> None:
    """Workers are away, and the oldest events that they have not read are deleted. How many is counted, to the last one."""
    for _ in range(form.times):
        _go_on(stage, load)
        for worker in stage.workers:
            stage.let_go(worker)
        for worker in stage.workers:
            worker.wait()
        taken = _expire(stage, load)
        for index in range(len(stage.workers)):
            stage.replace(index)
        load.resume()
        _go_on(stage, load)
        stage.wait(partial(_counts, stage, len(taken)), SOON_S, f"{len(taken)} events that are counted as taken")
        counted = stage.counted(EXPIRED)
        if counted != len(taken) or taken & stage.witness.answered():
            raise AssertionError(f"{len(taken)} events were taken unread, {counted:.0f} are counted")


def _counts(stage: Stage, least: int) -> bool:
    return stage.counted(EXPIRED) >= least


def _expire(stage: Stage, load: Load) -> set[str]:
    """Wait for a backlog, and delete its oldest events; gives their ids. Nothing more is sent."""
    places = _committed(stage)

    def waiting() -> bool:
        latest = dict.fromkeys(range(PARTITIONS), -1)
        for place in list(load.places.values()):
            latest[place.partition] = max(latest[place.partition], place.offset)
        return all(latest[number] >= places[number] + TAKEN for number in latest)

    stage.wait(waiting, SOON_S, f"{TAKEN} events that wait in each partition")
    load.hold()
    ends = {number: offset + TAKEN for number, offset in places.items()}
    taken = {name for name, place in load.places.items() if places[place.partition] <= place.offset < ends[place.partition]}
    load.excuse(taken)
    cuts = [TopicPartition(stage.fleet.settings.topics.uploads, number, offset) for number, offset in ends.items()]
    for future in stage.cluster.admin.delete_records(cuts).values():
        future.result(ADMIN_S)
    return taken


def rights_taken(stage: Stage, load: Load, form: Form) -> None:
    """One right after the other is taken from all workers, and given back when each has said so and is not ready."""
    names = stage.fleet.settings.topics
    rights = (
        (ResourceType.TOPIC, names.verdicts, AclOperation.WRITE),
        (ResourceType.TOPIC, names.uploads, AclOperation.READ),
        (ResourceType.TOPIC, names.dead_letters, AclOperation.WRITE),
        (ResourceType.GROUP, stage.fleet.settings.kafka.group_id, AclOperation.READ),
    )
    for kind, name, operation in rights[: form.times]:
        _go_on(stage, load)
        stage.fresh_log_lines()
        try:
            with stage.prober.fault():
                stage.cluster.deny(kind, name, operation)
                stage.wait(stage.none_ready, SOON_S, f"a fleet that is not ready without the right to {operation.name} {name}")
                stage.sleep(form.seconds)
                told = [line for line in stage.fresh_log_lines() if name in line and '"level": "error"' in line]
        finally:
            stage.cluster.give_back()
        if not told:
            raise AssertionError(f"no worker has told that it may not {operation.name} {name}")
    stage.wait(stage.all_ready, SOON_S, "a fleet that is ready with all rights")


def _go_on(stage: Stage, load: Load) -> None:
    """Wait for some more answers."""
    seen = load.answered()
    stage.wait(lambda: load.answered() > seen + SOME or load.all_sent(), SOON_S, "verdicts")


def _committed(stage: Stage) -> dict[int, int]:
    """Of each partition of the uploads topic, the offset that the group goes on from; open transactions are waited for."""
    settings = stage.fleet.settings
    places = [TopicPartition(settings.topics.uploads, number) for number in range(PARTITIONS)]
    asked = ConsumerGroupTopicPartitions(settings.kafka.group_id, places)
    future = stage.cluster.admin.list_consumer_group_offsets([asked], require_stable=True)[settings.kafka.group_id]
    found = future.result(ADMIN_S)
    return {place.partition: max(0, place.offset) for place in found.topic_partitions or []}
