"""``make provoke``: alerts on a real worker, by a real Prometheus, as real servers break (forty minutes).

Kafka, Redis, a worker, a probe and Prometheus are started; one thing after the other is broken, and mended once the alerts that
it must raise are firing. Rules run in a tenth of their time, see ``quick_rules``. ``ARGS=Kafka`` provokes only troubles with
that word; ``ARGS=--slow`` takes the rules as they ship.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from tests.integration.fleet import Fleet
from tests.integration.own_node import own_node
from tests.integration.test_delivery import pictures
from tests.k8s.quick_rules import quick_rules
from tests.k8s.scene import Scene, wait_for
from tests.k8s.troubles import TROUBLES, Trouble
from worker.embedded.picture_server import PictureServer
from worker.embedded.redis_server import LocalRedis, free_port

RULES = Path(__file__).resolve().parents[2] / "k8s" / "monitoring"
NAMES = ("rules.yaml", "drift.yaml")
console = Console()


@contextmanager
def prometheus(folder: Path, targets: Sequence[int], *, quick: bool = True) -> Iterator[Callable[[], set[str]]]:
    """A Prometheus with our rules that scrapes these ports; gives a question for the alerts that fire."""
    port, every = free_port(), "1s" if quick else "5s"
    for name in NAMES:
        rules = quick_rules(RULES / name) if quick else yaml.safe_load((RULES / name).read_text(encoding="utf-8"))
        (folder / name).write_text(yaml.safe_dump(rules), encoding="utf-8")
    told = {
        "global": {"scrape_interval": every, "evaluation_interval": every, "scrape_timeout": every},
        "rule_files": [str(folder / name) for name in NAMES],
        # Most of the time there is no second worker, and none is missed.
        "scrape_configs": [_job("iqa", targets[0], targets[2]), _job("spare", targets[1])],
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(told), encoding="utf-8")
    options = {"config.file": folder / "prometheus.yaml", "storage.tsdb.path": folder / "tsdb"}
    command = [
        str(shutil.which("prometheus")),
        *(f"--{k}={v}" for k, v in options.items()),
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)

    def asked(path: str) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/{path}", timeout=30) as got:
                found: dict[str, Any] = json.loads(got.read())["data"]
        except OSError:
            return {}
        return found

    def firing() -> set[str]:
        alerts = asked("alerts").get("alerts", [])
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    try:
        # What is counted before the first scrape is no rise.
        wait_for(lambda: asked("query?query=iqa_build_info").get("result"), "scrape")
        yield firing
    finally:
        process.terminate()
        process.wait()


def _job(name: str, *ports: int) -> dict[str, Any]:
    return {"job_name": name, "static_configs": [{"targets": [f"127.0.0.1:{port}" for port in ports]}]}


def provoke(scene: Scene, one: Trouble, firing: Callable[[], set[str]]) -> frozenset[str]:
    """Break it, tell what fires when, mend it; gives the alerts that did not come."""
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
        firing = stack.enter_context(prometheus(folder, scene.ports, quick="--slow" not in sys.argv))
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
