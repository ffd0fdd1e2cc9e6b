"""A Kafka of a test's own, which it may freeze and kill."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.integration.broker import properties
from tests.integration.conftest import absent
from tests.integration.kafka_node import KafkaNode, libraries_there, wait_for
from worker.embedded.redis_server import free_port

__all__ = ["OwnNode", "own_node"]


@dataclass(frozen=True)
class OwnNode:
    """Its process, and where it answers."""

    node: KafkaNode
    servers: str

    def start_again(self) -> None:
        """On the same data and at the same address; returns when it answers."""
        self.node.start()
        wait_for(self.servers, self.node)


@contextmanager
def own_node(folder: Path, **more: str) -> Iterator[OwnNode]:
    """A node whose data lies in ``folder``, killed at the end; ``more`` are properties, with ``_`` for ``.``."""
    if not libraries_there() or shutil.which("java") is None:
        absent("needs `make kafka` and Java")
    port = free_port()
    settings = properties(port, free_port()) | {name.replace("_", "."): value for name, value in more.items()}
    node = KafkaNode(folder, settings)
    node.format()
    node.start()
    try:
        wait_for(f"127.0.0.1:{port}", node)
        yield OwnNode(node, f"127.0.0.1:{port}")
    finally:
        node.kill()
