"""``make provoke``: alerts on a real worker, by a real Prometheus, as real servers break (forty minutes).

Kafka, Redis, a worker, a probe and Prometheus are started; one thing after the other is broken, and mended once the alerts that
it must raise are firing. Rules run in a tenth of their time, see ``quick_rules``. ``ARGS=Kafka`` provokes only troubles with
that word; ``ARGS=--slow`` takes the rules as they ship.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import yaml
from rich.console import Console

from tests.integration.fleet import Fleet
from tests.integration.own_node import own_node
from tests.integration.test_delivery import pictures
from tests.k8s.prometheus_rule import SOURCES
from tests.k8s.prometheus_server import EVERY_S, Ask, prometheus, wait_for
from tests.k8s.quick_rules import quick_rules
from tests.k8s.scene import Scene
from tests.k8s.troubles import TROUBLES, Trouble
from worker.embedded.picture_server import PictureServer
from worker.embedded.redis_server import LocalRedis, free_port

console = Console()


def alerts_of(ask: Ask) -> Callable[[], set[str]]:
    """The names of those that fire."""

    def firing() -> set[str]:
        alerts = ask("alerts").get("alerts", [])
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    return firing


def rules_in(folder: Path, *, quick: bool) -> Sequence[Path]:
    """The shipped rules; ``quick``: in a tenth of their time, written to ``folder``."""
    if not quick:
        return SOURCES
    for path in SOURCES:
        (folder / path.name).write_text(yaml.safe_dump(quick_rules(path)), encoding="utf-8")
    return [folder / path.name for path in SOURCES]


def provoke(scene: Scene, one: Trouble, firing: Callable[[], set[str]]) -> frozenset[str]:
    """Break it, tell what fires when, mend it; gives the alerts that did not come."""
    # What an earlier trouble has raised would be no sign of this one.
    wait_for(lambda: not one.wanted & firing(), f"silence before {one.name}")
    before, began, seen = firing(), time.monotonic(), dict[str, float]()
    one.breaks(scene)

    def all_there() -> bool:
        for alert in firing():
            seen.setdefault(alert, time.monotonic() - began)
        return one.wanted <= seen.keys()

    try:
        wait_for(all_there, ", ".join(sorted(one.wanted)))
    except TimeoutError as error:
        console.print(f"[red]{error}")
    others = sorted(seen.keys() - one.wanted - before)
    times = ", ".join(f"{alert} {seen[alert]:.0f} s" for alert in sorted(one.wanted & seen.keys(), key=seen.__getitem__))
    console.print(f"{one.name}: {times}" + (f"; beside them {', '.join(others)}" if others else ""))
    one.mends(scene)
    return one.wanted - seen.keys()


def main() -> int:
    """Break one thing after the other; 1 if an alert that it must raise does not come."""
    if shutil.which("prometheus") is None:
        console.print("needs a Prometheus: apt-get install prometheus")
        return 2
    words = [word for word in sys.argv[1:] if word != "--slow"]
    missing: dict[str, frozenset[str]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "kafka").mkdir()
        node = stack.enter_context(own_node(folder / "kafka"))
        redis = stack.enter_context(LocalRedis(real=True))
        fleet = stack.enter_context(Fleet(node.servers, "provoke", folder))
        fleet.environment |= {"IQA_REDIS__URL": redis.url, "IQA_KAFKA__DELIVERY": "exactly_once"}
        fleet.create_topics()
        files = {**pictures(5), "page.jpg": b"<!doctype html><title>Not found</title>"}
        served = stack.enter_context(PictureServer(files))
        scene = Scene(node, redis, fleet, served, (free_port(), free_port(), free_port()))
        scene.start_worker()
        scene.start_probe()
        quick = "--slow" not in sys.argv
        worker, second, probe = scene.ports
        # Most of the time there is no second worker, and none is missed.
        jobs = {"iqa": {"worker": worker, "probe": probe}, "spare": {"second": second}}
        ask = stack.enter_context(prometheus(folder, jobs, rules_in(folder, quick=quick), 1 if quick else EVERY_S))
        firing = alerts_of(ask)
        scene.send(100)
        wait_for(lambda: fleet.read() >= 100, "verdicts")
        for one in TROUBLES:
            if all(word in one.name for word in words) and (left := provoke(scene, one, firing)):
                missing[one.name] = left
    for name, alerts in missing.items():
        console.print(f"[red]{name}: {', '.join(sorted(alerts))} did not fire")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
