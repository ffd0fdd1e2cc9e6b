"""A Redis that workers reach through one address, and that another one may take over."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.integration.redis_servers import MovingLink, RedisProcess
from worker.embedded.redis_server import free_port

__all__ = ["RedisPair"]


class _Server(RedisProcess):
    def signal(self, number: signal.Signals) -> None:
        if self._process:
            self._process.send_signal(number)


class RedisPair:
    """One server at first; ``add_replica`` gives it another one, ``fail_over`` makes that the primary."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: list[_Server] = []
        self.primary = self._start_server()
        self._replica: _Server | None = None
        self._link = MovingLink(free_port(), self.primary.port)
        self.url = f"redis://127.0.0.1:{self._link.port}/0"

    def _start_server(self) -> _Server:
        server = _Server(self._folder)
        self._running.append(server)
        return server

    def stop(self) -> None:
        """SIGKILL for the primary."""
        self.primary.kill()

    def start(self) -> None:
        """Start it again, with what was saved last."""
        self.primary.start()

    def save(self) -> None:
        """Write a snapshot."""
        self.primary.client.save()

    def forget_snapshot(self) -> None:
        """Nothing is saved: the next start is an empty one."""
        (self.primary.folder / "dump.rdb").unlink(missing_ok=True)

    def freeze(self) -> None:
        """Answer nothing, with all connections open, until ``thaw``."""
        self.primary.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on."""
        self.primary.signal(signal.SIGCONT)

    def limit_memory(self, most: int) -> None:
        """Refuse writes beyond ``most`` bytes, 0 for no limit."""
        self.primary.client.config_set("maxmemory-policy", "noeviction")
        self.primary.client.config_set("maxmemory", most)

    def add_replica(self) -> None:
        """A second server begins to follow the primary; see ``in_sync``."""
        self._replica = self._start_server()
        self._replica.client.replicaof("127.0.0.1", self.primary.port)

    def in_sync(self) -> bool:
        """Whether the replica holds what the primary had when it was asked."""
        if self._replica is None:
            return False
        wanted = int(self.primary.client.info("replication")["master_repl_offset"])
        found = self._replica.client.info("replication")
        return found.get("master_link_status") == "up" and int(found.get("slave_repl_offset", 0)) >= wanted

    def cut_off_replica(self) -> None:
        """It hears nothing any more, and keeps what it has."""
        if self._replica is not None:
            self._replica.client.replicaof("127.0.0.1", free_port())

    def fail_over(self, *, demote: bool) -> None:
        """The replica takes over: new connections lead to it.

        The old primary becomes its replica and keeps its connections (it answers READONLY), or dies.
        """
        if self._replica is None:
            raise RuntimeError("there is no replica")
        old, self.primary, self._replica = self.primary, self._replica, None
        if not demote:
            old.kill()
        self.primary.client.replicaof("NO", "ONE")
        self._link.lead_to(self.primary.port)
        if demote:
            old.client.replicaof("127.0.0.1", self.primary.port)

    def close(self) -> None:
        """End everything."""
        self._link.close()
        for server in self._running:
            server.kill()
