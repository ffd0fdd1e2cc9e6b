"""Three Kafka nodes (one, where memory is short), each behind a link that can be broken."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclBindingFilter, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType

from tests.chaos.link import FaultyLink
from tests.integration.kafka_node import KafkaNode, quick_groups, wait_for
from worker.embedded.redis_server import free_port

__all__ = ["Cluster", "nodes_that_fit"]

NODE_BYTES = 1_500_000_000
SMALL_DISK = "192m"
USER, PASSWORD = "worker", "worker-8d2e"
ANSWER_S = 30.0


def nodes_that_fit() -> int:
    """3 where as many Java processes fit into the memory that is free, else 1."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    return 3 if free > 3 * NODE_BYTES else 1


class Cluster:
    """Nodes are numbered from 0. Checks go straight to them and may do anything; workers go through ``links``, as ``USER``."""

    def __init__(self, folder: Path, count: int) -> None:
        ports = [(free_port(), free_port(), free_port(), free_port()) for _ in range(count)]
        voters = ",".join(f"{number + 1}@127.0.0.1:{controller}" for number, (_, _, _, controller) in enumerate(ports))
        self.links = [FaultyLink(outer, inner) for _, inner, outer, _ in ports]
        self.direct = ",".join(f"127.0.0.1:{direct}" for direct, _, _, _ in ports)
        self.through_links = ",".join(f"127.0.0.1:{link.port}" for link in self.links)
        self.copies = count
        self._disk: Path | None = None
        self.nodes = []
        for number, (direct, inner, outer, controller) in enumerate(ports):
            at_home = folder / f"kafka-{number}"
            at_home.mkdir()
            if number == count - 1:
                self._disk = _small_disk(at_home / "data")
            self.nodes.append(KafkaNode(at_home, _properties(number, direct, inner, outer, controller, voters, count)))
        try:
            for node in self.nodes:
                node.format()
                node.start()
            wait_for(self.direct, brokers=count)
        except BaseException:
            self.close()
            raise
        self.admin = AdminClient({"bootstrap.servers": self.direct, "log_level": 0})

    def leads(self, topic: str) -> list[int]:
        """The nodes that lead its partitions, in the partitions' order."""
        found = self.admin.list_topics(topic, timeout=10).topics[topic].partitions
        return [int(found[number].leader) - 1 for number in sorted(found)]

    def wait_in_sync(self, topic: str, timeout_s: float = 60.0) -> None:
        """Until every partition has all its copies in step.

        Raises:
            TimeoutError: they do not come into step.

        """
        end, pause = time.monotonic() + timeout_s, threading.Event()
        while time.monotonic() < end:
            found = self.admin.list_topics(topic, timeout=10).topics[topic].partitions.values()
            if all(len(partition.isrs) == self.copies and partition.leader > 0 for partition in found):
                return
            pause.wait(0.2)
        raise TimeoutError(f"{topic} has copies out of step after {timeout_s:.0f} s")

    @property
    def login(self) -> dict[str, str]:
        """Environment of workers: who they are."""
        told = {
            "SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "SASL_MECHANISM": "PLAIN",
            "SASL_USERNAME": USER,
            "SASL_PASSWORD": PASSWORD,
        }
        return {f"IQA_KAFKA__PROPERTIES__{name}": value for name, value in told.items()}

    def deny(self, kind: ResourceType, name: str, operation: AclOperation) -> None:
        """Take one right from workers; they keep all others on ``name``, which that would else take, too."""
        rules = [
            _rule(AclBinding, kind, name, operation, AclPermissionType.DENY),
            _rule(AclBinding, kind, name, AclOperation.ALL, AclPermissionType.ALLOW),
        ]
        for future in self.admin.create_acls(rules).values():
            future.result(ANSWER_S)

    def give_back(self) -> None:
        """Every right that was taken."""
        everything = _rule(AclBindingFilter, ResourceType.ANY, None, AclOperation.ANY, AclPermissionType.ANY)
        for future in self.admin.delete_acls([everything]).values():
            future.result(ANSWER_S)

    def interrupt(self) -> None:
        """Break all connections of workers once."""
        for link in self.links:
            link.cut()
            link.heal()

    @property
    def can_fill_disk(self) -> bool:
        """Whether the last node has a disk of its own that is small enough to be filled: that takes the right to mount."""
        return self._disk is not None

    def fill_disk(self) -> None:
        """Leave no byte on the last node's disk."""
        if self._disk is None:
            raise RuntimeError("there is no small disk")
        with (self._disk / "ballast").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(65_536))
            except OSError:
                pass

    def free_disk(self) -> None:
        """Take the ballast away."""
        if self._disk is not None:
            (self._disk / "ballast").unlink(missing_ok=True)

    def close(self) -> None:
        """End everything."""
        for node in self.nodes:
            node.kill()
        for link in self.links:
            link.close()
        if self._disk is not None:
            subprocess.run(["umount", "--lazy", self._disk], check=False, timeout=30)


def _rule(make: Callable[..., Any], kind: ResourceType, name: str | None, what: AclOperation, says: AclPermissionType) -> Any:
    return make(kind, name, ResourcePatternType.LITERAL, f"User:{USER}", "*", what, says)


def _properties(number: int, direct: int, inner: int, outer: int, controller: int, voters: str, count: int) -> dict[str, str]:
    return {
        "process.roles": "broker,controller",
        "node.id": str(number + 1),
        "controller.quorum.voters": voters,
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "DIRECT",
        "listeners": f"DIRECT://127.0.0.1:{direct},LINKED://127.0.0.1:{inner},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"DIRECT://127.0.0.1:{direct},LINKED://127.0.0.1:{outer}",
        "listener.security.protocol.map": "DIRECT:PLAINTEXT,CONTROLLER:PLAINTEXT,LINKED:SASL_PLAINTEXT",
        "listener.name.linked.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.linked.plain.sasl.jaas.config": (
            f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
        ),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "allow.everyone.if.no.acl.found": "true",
        "min.insync.replicas": str(2 if count > 2 else 1),
        # Segments are small, so that a disk of 192 MB holds them; indexes are allocated at once.
        "log.segment.bytes": "8388608",
        "log.index.size.max.bytes": "262144",
        **quick_groups(copies=count),
    }


def _small_disk(folder: Path) -> Path | None:
    """A file system of 192 MB at ``folder``, or ``None`` where this process may not mount one."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "tmpfs", str(folder)]
    try:
        return folder if subprocess.run(command, capture_output=True, check=False, timeout=30).returncode == 0 else None
    except OSError:
        return None
