"""A Kafka and a Redis that let in only who knows a password, over TLS, with certificates made on the spot."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis
import trustme
from cryptography.hazmat.primitives import serialization

from tests.integration.kafka_node import KafkaNode, quick_groups, wait_for
from worker.embedded.redis_server import free_port

USER = "worker"


@dataclass(frozen=True)
class Certificates:
    """Of a server on 127.0.0.1, and of who signed it."""

    authority: Path
    chain: Path
    key: Path
    both: Path


def make_certificates(folder: Path) -> Certificates:
    """In ``folder``; the key in PKCS 8, which Kafka insists on."""
    authority = trustme.CA()
    server = authority.issue_cert("127.0.0.1", "localhost")
    found = Certificates(folder / "ca.pem", folder / "chain.pem", folder / "key.pem", folder / "both.pem")
    authority.cert_pem.write_to_path(str(found.authority))
    key = serialization.load_pem_private_key(server.private_key_pem.bytes(), None)
    options = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    chain = b"".join(part.bytes() for part in server.cert_chain_pems)
    found.key.write_bytes(key.private_bytes(*options))
    found.chain.write_bytes(chain)
    found.both.write_bytes(key.private_bytes(*options) + chain)
    return found


@contextmanager
def secure_kafka(folder: Path, certificates: Certificates, password: str) -> Iterator[str]:
    """A broker whose outer listener wants TLS and SCRAM-SHA-512; gives its address."""
    outer, inner, controller = free_port(), free_port(), free_port()
    outside = "listener.name.outside"
    properties = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "INSIDE",
        "listeners": f"OUTSIDE://127.0.0.1:{outer},INSIDE://127.0.0.1:{inner},CONTROLLER://127.0.0.1:{controller}",
        "listener.security.protocol.map": "OUTSIDE:SASL_SSL,INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT",
        f"{outside}.ssl.keystore.type": "PEM",
        f"{outside}.ssl.keystore.location": str(certificates.both),
        f"{outside}.sasl.enabled.mechanisms": "SCRAM-SHA-512",
        f"{outside}.scram-sha-512.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
        **quick_groups(copies=1),
    }
    node = KafkaNode(folder, properties, format_options=("--add-scram", f"SCRAM-SHA-512=[name={USER},password={password}]"))
    node.format()
    node.start()
    try:
        wait_for(f"127.0.0.1:{inner}", node)
        yield f"127.0.0.1:{outer}"
    finally:
        node.kill()


@contextmanager
def secure_redis(folder: Path, certificates: Certificates, password: str) -> Iterator[str]:
    """A Redis with TLS alone, whose only user may touch ``iqa:`` keys alone; gives its URL, password included."""
    port = free_port()
    users = folder / "users.acl"
    rights = "~iqa:* resetchannels -@all +get +set +mget +del +@transaction +@connection"
    users.write_text(f"user default off\nuser {USER} on >{password} {rights}\n")
    options = {
        "port": 0,
        "tls-port": port,
        "bind": "127.0.0.1",
        "tls-cert-file": certificates.chain,
        "tls-key-file": certificates.key,
        "tls-ca-cert-file": certificates.authority,
        "tls-auth-clients": "no",
        "aclfile": users,
        "save": "",
        "dir": folder,
    }
    command = ["redis-server", *(str(part) for key, value in options.items() for part in (f"--{key}", value))]
    with (folder / "redis.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    url = f"rediss://{USER}:{password}@127.0.0.1:{port}/0?ssl_ca_certs={certificates.authority}"
    try:
        client = redis.Redis.from_url(url, retry=redis.retry.Retry(redis.backoff.ConstantBackoff(0.1), 1800))
        client.ping()
        client.close()
        yield url
    finally:
        process.kill()
        process.wait()
