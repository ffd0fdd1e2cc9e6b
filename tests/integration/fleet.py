"""Worker processes against a real broker, with topics of their own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Self

from confluent_kafka import Consumer

from tests.patience import PATIENCE_S
from worker.contracts.verdicts import QualityVerdict
from worker.embedded.redis_server import free_port
from worker.settings import Settings
from worker.stream.clients import make_consumer
from worker.stream.topics import create_topics

PARTITIONS = 6


class Fleet:
    """Starts and ends workers, and reads what they publish."""

    def __init__(self, servers: str, name: str, folder: Path, replication: int = 1) -> None:
        self.environment = {
            "IQA_KAFKA__BOOTSTRAP_SERVERS": servers,
            "IQA_KAFKA__GROUP_ID": name,
            "IQA_KAFKA__DELIVERY": "at_least_once",
            # Workers start often here, and need not find out each time which runtime is the quicker one.
            "IQA_RUNTIME": "onnx",
            "IQA_KAFKA__PROPERTIES__SESSION_TIMEOUT_MS": "6000",
            "IQA_KAFKA__PROPERTIES__HEARTBEAT_INTERVAL_MS": "500",
            "IQA_TOPICS__UPLOADS": f"{name}.uploads",
            "IQA_TOPICS__VERDICTS": f"{name}.verdicts",
            "IQA_TOPICS__DEAD_LETTERS": f"{name}.dlq",
            "IQA_TOPICS__RETRY": f"{name}.retry",
            "IQA_FETCH__ALLOW_NETWORKS": "127.0.0.0/8",
        }
        self.settings = Settings.model_validate(
            {
                "kafka": {"bootstrap_servers": servers, "group_id": name},
                "topics": {
                    "uploads": f"{name}.uploads",
                    "verdicts": f"{name}.verdicts",
                    "dead_letters": f"{name}.dlq",
                    "retry": f"{name}.retry",
                },
            }
        )
        self._folder = folder
        self._replication = replication
        self._workers: list[WorkerProcess] = []
        self._reader: Consumer | None = None
        self.seen: Counter[str] = Counter()
        """How often a verdict on each image has been read so far."""
        self.latest: dict[str, QualityVerdict] = {}

    def create_topics(self) -> None:
        create_topics(self.settings, PARTITIONS, self._replication)

    def start(self, what: str = "worker", program: str = "worker.cli", **environment: str) -> WorkerProcess:
        """One more process: a worker, or a projection; by another ``program``, a module that runs the command after all."""
        log = self._folder / f"worker-{len(self._workers)}.log"
        worker = WorkerProcess({**self.environment, **environment}, log, what, program)
        self._workers.append(worker)
        return worker

    def read(self) -> int:
        """Take in what has been published by now; gives the number of images with a verdict."""
        if self._reader is None:
            self._reader = make_consumer(self.settings.kafka, f"{self.settings.kafka.group_id}.reader")
            self._reader.subscribe([self.settings.topics.verdicts])
        for message in self._reader.consume(500, 0.2):
            if message.error() is None:
                verdict = QualityVerdict.model_validate_json(message.value() or b"")
                self.seen[verdict.image_id] += 1
                self.latest[verdict.image_id] = verdict
        return len(self.seen)

    @property
    def duplicates(self) -> int:
        """Verdicts read beyond the first on each image."""
        return sum(self.seen.values()) - len(self.seen)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, worker in enumerate(self._workers):
            worker.kill()
            # Shown if the test fails: what one that fails now and then is understood by, and nobody has afterwards.
            print(f"-- worker {number} told at the end:\n{worker.log.read_text(errors='replace')[-4000:]}")
        if self._reader is not None:
            self._reader.close()


class WorkerProcess:
    """``iqa worker run`` (or ``iqa projection run``) as a process."""

    def __init__(self, environment: dict[str, str], log: Path, what: str = "worker", program: str = "worker.cli") -> None:
        self.port = int(environment.get("IQA_HTTP__PORT") or free_port())
        self.log = log
        command = [sys.executable, "-m", program, what, "run"]
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                command, env={**os.environ, **environment, "IQA_HTTP__PORT": str(self.port)}, stderr=file
            )

    def metric(self, name: str) -> float:
        """A metric without labels, or the upload lane's; 0 while the worker does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=30) as answer:
                found = re.search(rf'^{name}(?:{{lane="uploads"}})? (\S+)$', answer.read().decode(), re.MULTILINE)
        except OSError:
            return 0.0
        return float(found.group(1)) if found else 0.0

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def running(self) -> bool:
        """Whether its process lives."""
        return self._process.poll() is None

    def ask_to_stop(self) -> None:
        """SIGTERM, not waited for."""
        self.signal(signal.SIGTERM)

    def signal(self, number: int) -> None:
        """Any signal, not waited for."""
        self._process.send_signal(number)

    def terminate(self) -> int:
        """SIGTERM; gives the exit code."""
        self.ask_to_stop()
        return self.wait()

    def wait(self) -> int:
        """Until it ends by itself; gives the exit code."""
        return self._process.wait(PATIENCE_S)

    def kill(self) -> None:
        """SIGKILL: no drain, no leave."""
        self._process.kill()
        self._process.wait()
