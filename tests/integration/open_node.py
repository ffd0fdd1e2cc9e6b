"""A Kafka as its makers ship it, which makes topics on first use; with a user who may do only what he is given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType

from tests.integration.kafka_node import KafkaNode, quick_groups, wait_for
from worker.embedded.redis_server import free_port

USER, PASSWORD = "limited", "limited-1f7a"


@dataclass(frozen=True)
class OpenNode:
    """Where it answers: anybody, who may do anything; and ``USER``."""

    servers: str
    users_servers: str

    @property
    def users_properties(self) -> dict[str, str]:
        """Of a client of ``USER``'s."""
        login = {"sasl_username": USER, "sasl_password": PASSWORD}
        return {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN", **login}

    def allow(self, topic: str, *operations: AclOperation) -> None:
        """Let ``USER`` do that to a topic."""
        any_host = (f"User:{USER}", "*")
        rules = [
            AclBinding(ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, *any_host, operation, AclPermissionType.ALLOW)
            for operation in operations
        ]
        admin = AdminClient({"bootstrap.servers": self.servers})
        for future in admin.create_acls(rules).values():
            future.result(30)

    def topics(self) -> set[str]:
        """All there are."""
        return set(AdminClient({"bootstrap.servers": self.servers}).list_topics(timeout=30).topics)


@contextmanager
def open_node(folder: Path) -> Iterator[OpenNode]:
    """A node whose data lies in ``folder``, killed at the end."""
    anybody, limited, controller = free_port(), free_port(), free_port()
    login = f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
    properties = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "ANYBODY",
        "listeners": f"ANYBODY://127.0.0.1:{anybody},LIMITED://127.0.0.1:{limited},CONTROLLER://127.0.0.1:{controller}",
        "listener.security.protocol.map": "ANYBODY:PLAINTEXT,LIMITED:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
        "listener.name.limited.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.limited.plain.sasl.jaas.config": login,
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        **quick_groups(copies=1),
        "auto.create.topics.enable": "true",
    }
    node = KafkaNode(folder, properties)
    node.format()
    node.start()
    try:
        wait_for(f"127.0.0.1:{anybody}", node)
        yield OpenNode(f"127.0.0.1:{anybody}", f"127.0.0.1:{limited}")
    finally:
        node.kill()
