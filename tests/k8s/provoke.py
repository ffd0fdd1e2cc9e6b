"""``make provoke``: alerts on a real worker, by a real Prometheus, as real servers break (twenty minutes).

Kafka, Redis, a worker and Prometheus are started; one thing after the other is broken, and mended once the alerts that it must
raise are firing. What fires beside them is told, too. ``ARGS=Kafka`` provokes only troubles with that word.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import TopicPartition
from rich.console import Console

from tests.integration.fleet import PARTITIONS, Fleet, WorkerProcess
from tests.integration.looking import answer
from tests.integration.own_node import OwnNode, own_node
from tests.integration.test_delivery import pictures
from tests.k8s.prometheus_server import Ask, prometheus, wait_for
from worker.embedded.picture_server import PictureServer
from worker.embedded.redis_server import LocalRedis, free_port
from worker.send import make_event, send_events
from worker.stream.clients import make_admin

RULES = Path(__file__).resolve().parents[2] / "k8s" / "monitoring" / "rules.yaml"
console = Console()


@dataclass
class Stage:
    """All that runs, for trouble to break."""

    node: OwnNode
    redis: LocalRedis
    fleet: Fleet
    pictures: PictureServer
    port: int
    worker: WorkerProcess

    def send(self, count: int, service: str | None = None) -> None:
        events = [make_event(self.pictures.url(f"{n % 5}.jpg"), uuid.uuid4().hex, service) for n in range(count)]
        send_events(self.fleet.settings, events)

    def start_worker(self) -> None:
        self.worker = self.fleet.start(IQA_HTTP__PORT=str(self.port))
        wait_for(lambda: answer(self.worker)[0] == 200, "readiness")

    def expire(self) -> None:
        """Events that the topic loses while nobody reads."""
        self.worker.terminate()
        self.send(60)
        topic = self.fleet.settings.topics.uploads
        gone = [TopicPartition(topic, number, -1) for number in range(PARTITIONS)]
        admin = make_admin(self.fleet.settings.kafka)
        for done in admin.delete_records(gone).values():
            done.result(30)
        self.start_worker()

    def end_worker(self) -> None:
        self.worker.kill()

    def name_nobody(self) -> None:
        self.send(15, "nobody")

    def stop_redis(self) -> None:
        self.redis.stop()
        self.send(20)

    def start_redis(self) -> None:
        self.redis.start()

    def freeze_kafka(self) -> None:
        self.send(200)
        self.node.node.freeze()

    def thaw_kafka(self) -> None:
        self.node.node.thaw()

    def rest(self) -> None:
        """Nothing to mend."""


Step = Callable[[Stage], None]
TROUBLES: dict[str, tuple[Step, Step, set[str]]] = {
    "a service that no profile is for": (Stage.name_nobody, Stage.rest, {"IqaUnknownServices"}),
    "retention while no worker runs": (Stage.expire, Stage.rest, {"IqaEventsExpired"}),
    "Redis stopped": (Stage.stop_redis, Stage.start_redis, {"IqaRedisAway"}),
    "Kafka frozen, events in flight": (
        Stage.freeze_kafka,
        Stage.thaw_kafka,
        {"IqaBrokerSilent", "IqaNotReady"},
    ),
    "no worker": (Stage.end_worker, Stage.start_worker, {"IqaAbsent", "IqaNoneJoined"}),
}


def firing_of(ask: Ask) -> set[str]:
    """Names of the alerts that fire now."""
    return {alert["labels"]["alertname"] for alert in ask("alerts").get("alerts", []) if alert["state"] == "firing"}


def main() -> int:
    """Break one thing after the other; 1 if an alert that it must raise does not come."""
    if shutil.which("prometheus") is None:
        console.print("needs a Prometheus: apt-get install prometheus")
        return 2
    missing: dict[str, set[str]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "kafka").mkdir()
        node = stack.enter_context(own_node(folder / "kafka"))
        redis = stack.enter_context(LocalRedis(real=True))
        fleet = stack.enter_context(Fleet(node.servers, "provoke", folder))
        fleet.environment |= {"IQA_REDIS__URL": redis.url, "IQA_KAFKA__DELIVERY": "exactly_once"}
        fleet.create_topics()
        served = stack.enter_context(PictureServer(pictures(5)))
        port = free_port()
        scene = Stage(node, redis, fleet, served, port, fleet.start(IQA_HTTP__PORT=str(port)))
        wait_for(lambda: answer(scene.worker)[0] == 200, "readiness")
        ask = stack.enter_context(prometheus(folder, {"iqa": {"": port}}, [RULES]))
        scene.send(100)
        wait_for(lambda: fleet.read() >= 100, "verdicts")
        for name, (breaks, mends, wanted) in TROUBLES.items():
            if not all(word in name for word in sys.argv[1:]):
                continue
            before = firing_of(ask)
            began = time.monotonic()
            breaks(scene)
            seen: dict[str, float] = {}

            def all_there(began: float = began, seen: dict[str, float] = seen, wanted: set[str] = wanted) -> bool:
                for alert in firing_of(ask):
                    seen.setdefault(alert, time.monotonic() - began)
                return wanted <= seen.keys()

            try:
                wait_for(all_there, ", ".join(sorted(wanted)))
            except TimeoutError:
                missing[name] = wanted - seen.keys()
            others = sorted(seen.keys() - wanted - before)
            times = ", ".join(
                f"{alert} after {seen[alert]:.0f} s" for alert in sorted(wanted & seen.keys(), key=seen.__getitem__)
            )
            console.print(f"{name}: {times}" + (f"; beside them {', '.join(others)}" if others else ""))
            mends(scene)
    for name, alerts in missing.items():
        console.print(f"[red]{name}: {', '.join(sorted(alerts))} did not fire")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
