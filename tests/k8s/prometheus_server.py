"""A real Prometheus, for programs that ask it something."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import yaml

from worker.embedded.redis_server import free_port

__all__ = ["EVERY_S", "Ask", "prometheus", "wait_for"]

Ask = Callable[..., dict[str, Any]]
"""Asks a path of the API with parameters; gives the data of the answer, nothing while there is none."""
EVERY_S = 5
PATIENCE_S = 900.0


def wait_for(condition: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> float:
    """Seconds until ``condition`` holds.

    Raises:
        TimeoutError: it does not.

    """
    began, pause = time.monotonic(), threading.Event()
    while not condition():
        if time.monotonic() - began > patience_s:
            raise TimeoutError(f"no {what} within {patience_s:.0f} s")
        pause.wait(0.5)
    return time.monotonic() - began


@contextmanager
def prometheus(
    folder: Path, jobs: Mapping[str, Mapping[str, int]], rules: Sequence[Path], every_s: int = EVERY_S
) -> Iterator[Ask]:
    """One with ``rules`` that scrapes ports of this machine: by job, and by the name of the instance; gives how to ask it."""
    port, every = free_port(), f"{every_s}s"
    told = {
        "global": {"scrape_interval": every, "evaluation_interval": every, "scrape_timeout": every},
        "rule_files": [str(file) for file in rules],
        "scrape_configs": [_job(name, ports) for name, ports in jobs.items()],
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(told), encoding="utf-8")
    places = {"config.file": folder / "prometheus.yaml", "storage.tsdb.path": folder / "tsdb"}
    options = {**places, "web.listen-address": f"127.0.0.1:{port}"}
    command = [str(shutil.which("prometheus")), *(f"--{name}={value}" for name, value in options.items())]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)

    def ask(path: str, **parameters: str) -> dict[str, Any]:
        address = f"http://127.0.0.1:{port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(address, timeout=60) as got:
                found: dict[str, Any] = json.loads(got.read())["data"]
        except urllib.error.HTTPError as error:
            if error.code == HTTPStatus.SERVICE_UNAVAILABLE:
                return {}  # not yet
            raise ValueError(f"{parameters}: {error.read().decode(errors='replace')}") from error
        except OSError:
            return {}
        return found

    try:
        # What is counted before the first scrape is no rise.
        wait_for(lambda: ask("query", query="iqa_build_info").get("result"), "scrape")
        yield ask
    finally:
        process.terminate()
        process.wait()


def _job(name: str, ports: Mapping[str, int]) -> dict[str, Any]:
    targets = [
        {"targets": [f"127.0.0.1:{port}"], "labels": {"instance": instance} if instance else {}}
        for instance, port in ports.items()
    ]
    return {"job_name": name, "static_configs": targets}
