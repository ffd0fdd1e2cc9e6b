"""A real Kafka for tests: the one that ``KAFKA_BOOTSTRAP_SERVERS`` names, else one in Docker, else one from ``make kafka``."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from worker.embedded.redis_server import free_port

LIBS = Path(__file__).parents[2] / ".kafka" / "libs"
IMAGE = "apache/kafka:4.1.0"
START_S = 60.0


class NoBrokerError(Exception):
    """There is no way to a broker here; the message says what was looked for."""


@dataclass(frozen=True)
class Broker:
    """Where it answers, and whether it is this session's own: one that creates no topics by itself."""

    bootstrap_servers: str
    own: bool


@contextmanager
def real_broker() -> Iterator[Broker]:
    """A broker for the length of a test session.

    Raises:
        NoBrokerError: there is none.

    """
    if given := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        wait_for(given)
        yield Broker(given, own=False)
    elif docker_answers():
        with in_docker() as servers:
            yield Broker(servers, own=True)
    elif shutil.which("java") and any(LIBS.glob("kafka_2.13-*.jar")):
        with from_libraries() as servers:
            yield Broker(servers, own=True)
    else:
        raise NoBrokerError("no KAFKA_BOOTSTRAP_SERVERS, no Docker daemon, and no Java with .kafka/libs (run `make kafka`)")


def docker_answers() -> bool:
    """Whether there is a daemon that this user may use."""
    program = shutil.which("docker")
    if program is None:
        return False
    try:
        return subprocess.run([program, "info"], capture_output=True, timeout=20, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def properties(port: int, controller: int) -> dict[str, str]:
    """One node that is broker and controller, quick to form groups, strict about topics."""
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://:{port},CONTROLLER://:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "auto.create.topics.enable": "false",
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        # A dead worker's open transaction holds readers back until it is cleaned up.
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    }


@contextmanager
def in_docker() -> Iterator[str]:
    """A container, removed afterwards."""
    port = free_port()
    settings = properties(port, port + 1 if port < 65_535 else port - 1)
    options = [part for key, value in settings.items() for part in ("-e", f"KAFKA_{key.upper().replace('.', '_')}={value}")]
    command = ["docker", "run", "--detach", "--rm", "--publish", f"127.0.0.1:{port}:{port}", *options, IMAGE]
    container = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600).stdout.strip()
    try:
        wait_for(f"127.0.0.1:{port}")
        yield f"127.0.0.1:{port}"
    finally:
        subprocess.run(["docker", "rm", "--force", container], capture_output=True, check=False, timeout=60)


@contextmanager
def from_libraries() -> Iterator[str]:
    """A process of this machine's Java, in a folder that is thrown away."""
    port, controller = free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="iqa-kafka-") as name:
        folder = Path(name)
        settings = properties(port, controller) | {"log.dirs": str(folder / "data")}
        (folder / "server.properties").write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        java = ["java", "-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-cp", f"{LIBS}/*"]
        at_home = ["-c", str(folder / "server.properties")]
        subprocess.run(
            [*java, "kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qk", *at_home],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen([*java, "kafka.Kafka", at_home[1]], stdout=log, stderr=log)
        try:
            wait_for(f"127.0.0.1:{port}", process, folder / "log")
            yield f"127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()


def wait_for(servers: str, process: subprocess.Popen[bytes] | None = None, log: Path | None = None) -> None:
    """Until the broker answers.

    Raises:
        RuntimeError: it does not, or its process has ended.

    """
    admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
    end, pause = time.monotonic() + START_S, threading.Event()
    while time.monotonic() < end and (process is None or process.poll() is None):
        with suppress(KafkaException):
            if admin.list_topics(timeout=2).brokers:
                return
        pause.wait(0.1)
    raise RuntimeError(f"no Kafka answers at {servers}\n{log.read_text()[-2000:] if log else ''}")
