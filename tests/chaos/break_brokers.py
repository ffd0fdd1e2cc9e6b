"""Brokers that go, and networks between them and the workers."""

from __future__ import annotations

from collections.abc import Callable

from tests.chaos.load import Load
from tests.chaos.scenario import Form
from tests.chaos.stage import NotHereError, Stage
from tests.integration.kafka_node import KafkaNode

__all__ = ["cut_network", "disk_full", "half_open", "kill_brokers", "slow_network", "stop_brokers"]


def stop_brokers(stage: Stage, load: Load, form: Form) -> None:
    """The broker that leads the most partitions is stopped (its leaders move), and comes back; then the next one."""
    _without_brokers(stage, stage.fleet.settings.topics.uploads, form, KafkaNode.stop)


def kill_brokers(stage: Stage, load: Load, form: Form) -> None:
    """The same with SIGKILL: the controller has to find out."""
    _without_brokers(stage, stage.fleet.settings.topics.verdicts, form, KafkaNode.kill)


def _without_brokers(stage: Stage, topic: str, form: Form, end: Callable[[KafkaNode], None]) -> None:
    for _ in range(form.times):
        leads = stage.cluster.leads(topic)
        node = stage.cluster.nodes[max(set(leads), key=leads.count)]
        end(node)
        stage.sleep(form.seconds)
        node.start()
        stage.cluster.wait_in_sync(topic)


def slow_network(stage: Stage, load: Load, form: Form) -> None:
    """Everything between workers and brokers takes 150 ms longer each way."""
    for link in stage.cluster.links:
        link.delay(0.15)
    stage.sleep(form.seconds)
    for link in stage.cluster.links:
        link.heal()


def cut_network(stage: Stage, load: Load, form: Form) -> None:
    """Workers lose all brokers, and get them back."""
    for _ in range(form.times):
        with stage.prober.fault():
            for link in stage.cluster.links:
                link.cut()
            stage.sleep(form.seconds)
        for link in stage.cluster.links:
            link.heal()
        seen = load.answered()
        stage.wait(lambda seen=seen: load.answered() > seen + 20 or load.all_sent(), 90, "verdicts")  # type: ignore[misc]


def half_open(stage: Stage, load: Load, form: Form) -> None:
    """All connections of the workers fall silent without a goodbye; new ones work.

    In the end those are reset that nobody has used meanwhile: each would hold up a later scenario for as long as it takes to
    be found silent.
    """
    for _ in range(form.times):
        for link in stage.cluster.links:
            link.silence()
        seen = load.answered()
        stage.wait(lambda seen=seen: load.answered() > seen + 60 or load.all_sent(), 120, "verdicts")  # type: ignore[misc]
    for link in stage.cluster.links:
        link.reset()


def disk_full(stage: Stage, load: Load, form: Form) -> None:
    """No byte is left on one broker's disk; it gives up, the disk is cleared, it comes back."""
    if not stage.cluster.can_fill_disk:
        raise NotHereError("the right to mount a small file system")
    topic, node = stage.fleet.settings.topics.verdicts, stage.cluster.nodes[-1]
    stage.cluster.fill_disk()
    stage.wait(lambda: not node.running(), 120, "the end of the broker whose disk is full")
    stage.sleep(form.seconds)
    stage.cluster.free_disk()
    node.start()
    stage.cluster.wait_in_sync(topic)
