"""Real Redis processes: single ones that keep their data, a primary under Sentinel, a Cluster; replicas that fall behind."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from tests.chaos.link import FaultyLink
from tests.integration.secure import Certificates
from worker.embedded.redis_server import free_port

__all__ = ["PASSWORD", "RIGHTS", "MovingLink", "RedisProcess", "Sentinels", "redis_cluster", "redis_sentinels"]

PASSWORD = "redis-Passw0rd-41c7"
RIGHTS = "~iqa:* +get +set +mget +del +@transaction +@connection +cluster|slots"
REPLICATION = "replicas-Passw0rd"


class MovingLink(FaultyLink):
    """One address whose new connections are led elsewhere, as a cloud's primary endpoint does; old ones stay."""

    def lead_to(self, target: int) -> None:
        self._target = target


class RedisProcess:
    """A ``redis-server`` in a folder of its own, started; its data outlives ``kill``."""

    def __init__(self, folder: Path, *, sentinel: str = "", certificates: Certificates | None = None, **options: Any) -> None:
        self.port = free_port()
        self.folder = folder / f"redis-{self.port}"
        self.folder.mkdir()
        self.certificates = certificates
        settings = {"dir": self.folder, "save": '""', "bind": "127.0.0.1", "repl-diskless-sync-delay": 0} | _transport(
            self.port, certificates
        )
        settings |= {key.replace("_", "-"): value for key, value in options.items()}
        self._mode = ["--sentinel"] if sentinel else []
        (self.folder / "conf").write_text("".join(f"{key} {value}\n" for key, value in settings.items()) + sentinel)
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            command = ["redis-server", str(self.folder / "conf"), *self._mode]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        self.client.ping()

    @property
    def client(self) -> redis.Redis:
        """As the user who may do everything."""
        tls = {"ssl": True, "ssl_ca_certs": str(self.certificates.authority)} if self.certificates else {}
        return redis.Redis(port=self.port, retry=Retry(ConstantBackoff(0.05), 200), **tls)  # type: ignore[arg-type]

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def role(self) -> str:
        return str(self.client.info("replication")["role"])

    def cut_off_replicas(self) -> None:
        """From now on they get nothing any more; they do not know what they miss."""
        self.client.acl_setuser("replicas", enabled=False)
        self.client.client_kill_filter(_type="replica")

    def kill(self) -> None:
        if self._process:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


def _transport(port: int, certificates: Certificates | None) -> dict[str, Any]:
    if certificates is None:
        return {"port": port}
    return {
        "port": 0,
        "tls-port": port,
        "tls-replication": "yes",
        "tls-cluster": "yes",
        "tls-auth-clients": "no",
        "tls-cert-file": certificates.chain,
        "tls-key-file": certificates.key,
        "tls-ca-cert-file": certificates.authority,
    }


def _users(*, secured: bool) -> dict[str, Any]:
    """The user of replicas; and one of few rights, for the worker."""
    users = [f"user replicas on >{REPLICATION} +psync +replconf +ping"]
    if secured:
        users.append(f"user worker on >{PASSWORD} {RIGHTS} resetchannels")
    return {"masteruser": "replicas", "masterauth": REPLICATION, "user": "\nuser ".join(each[5:] for each in users)}


def _query(certificates: Certificates | None) -> str:
    return f"?ssl_ca_certs={certificates.authority}" if certificates else ""


@dataclass
class Sentinels:
    """Two servers, three sentinels; the first server is the primary at first."""

    servers: list[RedisProcess]
    sentinels: list[RedisProcess]
    url: str


@contextmanager
def redis_sentinels(folder: Path, certificates: Certificates | None = None) -> Iterator[Sentinels]:
    """A primary, its replica, and three who watch them; with certificates: TLS, and a user of few rights."""
    running: list[RedisProcess] = []
    try:
        options = _users(secured=certificates is not None)
        servers = [RedisProcess(folder, certificates=certificates, **options) for _ in range(2)]
        running += servers
        servers[1].client.replicaof("127.0.0.1", servers[0].port)
        watch = (
            f"sentinel monitor verdicts 127.0.0.1 {servers[0].port} 2\nsentinel down-after-milliseconds verdicts 1000\n"
            "sentinel failover-timeout verdicts 3000\n"
        )
        sentinels = [RedisProcess(folder, sentinel=watch, certificates=certificates) for _ in range(3)]
        running += sentinels
        hosts = ",".join(f"127.0.0.1:{each.port}" for each in sentinels)
        scheme, user = ("rediss", f"worker:{PASSWORD}@") if certificates else ("redis", "")
        yield Sentinels(servers, sentinels, f"{scheme}+sentinel://{user}{hosts}/verdicts/0{_query(certificates)}")
    finally:
        for each in running:
            each.kill()


@contextmanager
def redis_cluster(folder: Path, certificates: Certificates | None = None) -> Iterator[tuple[list[RedisProcess], str]]:
    """Six nodes, of which three are replicas, and the URL; with certificates: TLS, and a user of few rights."""
    options = {
        **_users(secured=certificates is not None),
        "cluster_enabled": "yes",
        "cluster_node_timeout": 1000,
        "cluster_replica_validity_factor": 0,
        "cluster_allow_replica_migration": "no",
    }
    nodes: list[RedisProcess] = []
    try:
        for _ in range(6):
            bus = free_port()
            nodes.append(RedisProcess(folder, certificates=certificates, cluster_port=bus, **options))
        tls = ["--tls", "--cacert", str(certificates.authority)] if certificates else []
        hosts = [f"127.0.0.1:{node.port}" for node in nodes]
        create = ["redis-cli", *tls, "--cluster", "create", *hosts, "--cluster-replicas", "1", "--cluster-yes"]
        done = subprocess.run(create, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        scheme, user = ("rediss", f"worker:{PASSWORD}@") if certificates else ("redis", "")
        yield nodes, f"{scheme}+cluster://{user}{','.join(hosts[:3])}{_query(certificates)}"
    finally:
        for node in nodes:
            node.kill()
