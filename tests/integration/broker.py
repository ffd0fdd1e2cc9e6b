"""A real Kafka for tests: the one that ``KAFKA_BOOTSTRAP_SERVERS`` names, else one in Docker, else one from ``make kafka``."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.integration.kafka_node import KafkaNode, libraries_there, quick_groups, wait_for
from tests.patience import PATIENCE_S
from worker.embedded.redis_server import free_port

IMAGE = "apache/kafka:4.1.0"


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
    elif libraries_there():
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
        return subprocess.run([program, "info"], capture_output=True, timeout=PATIENCE_S, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def properties(port: int, controller: int) -> dict[str, str]:
    """One node that is broker and controller."""
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://:{port},CONTROLLER://:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        **quick_groups(copies=1),
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
        subprocess.run(["docker", "rm", "--force", container], capture_output=True, check=False, timeout=PATIENCE_S)


@contextmanager
def from_libraries() -> Iterator[str]:
    """A process of this machine's Java, in a folder that is thrown away."""
    port, controller = free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="iqa-kafka-") as name:
        node = KafkaNode(Path(name), properties(port, controller))
        node.format()
        node.start()
        try:
            wait_for(f"127.0.0.1:{port}", node)
            yield f"127.0.0.1:{port}"
        finally:
            node.kill()
