"""One Kafka process from the libraries of ``make kafka``: formatted, started, stopped, killed, frozen."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.patience import PATIENCE_S

__all__ = ["CLUSTER_ID", "KafkaNode", "libraries_there", "quick_groups", "wait_for"]

LIBS = Path(__file__).parents[2] / ".kafka" / "libs"
CLUSTER_ID = "MkU3OEVBNTcwNTJENDM2Qk"
START_S = 300.0


def libraries_there() -> bool:
    """Whether ``make kafka`` has run, and there is a Java."""
    return shutil.which("java") is not None and any(LIBS.glob("kafka_2.13-*.jar"))


def quick_groups(copies: int) -> dict[str, str]:
    """Properties of a node that forms groups quickly, is strict about topics, and keeps ``copies`` of its own topics."""
    least = str(2 if copies > 2 else 1)
    return {
        "auto.create.topics.enable": "false",
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        # The same for groups whose partitions the broker assigns (KIP-848): there it is the broker that sets the times.
        "group.consumer.min.session.timeout.ms": "1000",
        "group.consumer.session.timeout.ms": "6000",
        "group.consumer.min.heartbeat.interval.ms": "500",
        "group.consumer.heartbeat.interval.ms": "500",
        "offsets.topic.replication.factor": str(copies),
        "offsets.topic.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": str(copies),
        "share.coordinator.state.topic.min.isr": least,
        "transaction.state.log.replication.factor": str(copies),
        "transaction.state.log.min.isr": least,
        "transaction.state.log.num.partitions": "4",
        # A dead worker's open transaction holds readers back until it is cleaned up.
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    }


class KafkaNode:
    """A broker and controller whose data lies in ``folder``; not started yet.

    Args:
        folder: for its properties, data (below ``data``, unless ``log.dirs`` says otherwise) and log.
        properties: of the server.
        java: options of the Java virtual machine.
        format_options: of the storage tool, beyond cluster and properties: the first users, say.

    """

    def __init__(
        self,
        folder: Path,
        properties: Mapping[str, str],
        java: tuple[str, ...] = (),
        format_options: tuple[str, ...] = (),
    ) -> None:
        self.log = folder / "log"
        self._properties = folder / "server.properties"
        settings = {"log.dirs": str(folder / "data"), **properties}
        self._properties.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        self._java = ["java", "-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", *java, "-cp", f"{LIBS}/*"]
        self._format_options = format_options
        self._process: subprocess.Popen[bytes] | None = None

    def format(self) -> None:
        """Prepare the folder, once."""
        command = [*self._java, "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(self._properties)]
        subprocess.run([*command, *self._format_options], check=True, capture_output=True, timeout=300)

    def start(self) -> None:
        """Start (again) on the same data; see ``wait_for``."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen([*self._java, "kafka.Kafka", str(self._properties)], stdout=log, stderr=log)

    def running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """SIGTERM, waited for: leaders move away first."""
        self._end(signal.SIGTERM, PATIENCE_S)

    def kill(self) -> None:
        """SIGKILL."""
        self._end(signal.SIGKILL, PATIENCE_S)

    def freeze(self) -> None:
        """SIGSTOP: connections stay, and nobody answers."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT: it goes on."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def _end(self, number: int, timeout_s: float) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


def wait_for(servers: str, node: KafkaNode | None = None, brokers: int = 1, options: Mapping[str, str] | None = None) -> None:
    """Until as many ``brokers`` answer at ``servers``; ``options`` are the client's.

    Raises:
        RuntimeError: they do not, or the process of ``node`` has ended.

    """
    admin = AdminClient({"bootstrap.servers": servers, "log_level": 0, **(options or {})})
    end, pause = time.monotonic() + START_S, threading.Event()
    while time.monotonic() < end and (node is None or node.running()):
        with suppress(KafkaException):
            if len(admin.list_topics(timeout=30).brokers) >= brokers:
                return
        pause.wait(0.1)
    raise RuntimeError(f"no Kafka answers at {servers}\n{_why(node.log) if node else ''}")


def _why(log: Path) -> str:
    """What went wrong, by the log: it ends with pages on an orderly stop, whatever the reason."""
    lines = log.read_text(errors="replace").splitlines()
    wrong = [line for line in lines if re.search(r"ERROR|FATAL|Exception|Caused by", line)]
    return "\n".join([*wrong[:30], "its end:", *lines[-10:]])
