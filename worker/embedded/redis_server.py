"""A Redis for the demo and for tests: a real ``redis-server`` where one is found, else an embedded stand-in."""

from __future__ import annotations

import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from worker.errors import CacheError

__all__ = ["LocalRedis", "free_port"]

START_S = 60.0


PORTS = range(10_000, 30_000)
"""Below those that Linux and macOS give to outgoing connections (32768 and up): one of those may be taken by a client of
anybody's between being found free and being listened on, which for a broker is seconds later."""


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on now.

    Raises:
        CacheError: a thousand ports were taken.

    """
    for port in random.SystemRandom().sample(PORTS, 1000):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise CacheError(f"no TCP port of 127.0.0.1 from {PORTS.start} to {PORTS.stop} is free; `ss -ltn` shows who listens there")


class LocalRedis:
    """A Redis on a free local port until ``close``; nothing is kept on disk.

    Args:
        real: insist on a real ``redis-server``.

    Raises:
        CacheError: it does not start, or ``real`` is asked for and none is on the PATH.

    """

    def __init__(self, *, real: bool = False) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None
        self._stand_in: Any = None
        self._folder = tempfile.TemporaryDirectory(prefix="iqa-redis-")
        self._program = shutil.which("redis-server")
        if real and not self._program:
            raise CacheError("no redis-server on the PATH")
        self.kind = "redis-server" if self._program else "embedded stand-in (fakeredis)"
        self.start()

    def start(self) -> None:
        """Start it (again), empty, on the same port.

        Raises:
            CacheError: it does not start.

        """
        if self._program:
            self._start_program(self._program)
        else:
            self._start_stand_in()
        self._wait()

    def _start_program(self, program: str) -> None:
        options = {"port": self.port, "bind": "127.0.0.1", "dir": self._folder.name, "save": "", "appendonly": "no"}
        command = [program, *(part for key, value in options.items() for part in (f"--{key}", str(value)))]
        with (Path(self._folder.name) / "log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603 - found on the PATH above

    def _start_stand_in(self) -> None:
        try:
            from fakeredis import TcpFakeServer  # only the demo and tests have it
        except ImportError as error:
            raise CacheError("neither redis-server nor fakeredis is there; install the demo extra") from error
        self._stand_in = TcpFakeServer(("127.0.0.1", self.port), server_type="redis")
        self._stand_in.daemon_threads = True
        threading.Thread(target=self._stand_in.serve_forever, name="redis", daemon=True).start()

    def _wait(self) -> None:
        end, pause = time.monotonic() + START_S, threading.Event()
        client = redis.Redis.from_url(self.url)
        while True:
            try:
                client.ping()
            except redis.RedisError as error:
                if time.monotonic() > end or (self._process and self._process.poll() is not None):
                    self.close()
                    raise CacheError(f"{self.kind} does not start") from error
                pause.wait(0.02)
            else:
                client.close()
                return

    def stop(self) -> None:
        """Stop it, at once and without a word to its clients."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None
        if self._stand_in:
            self._stand_in.shutdown()
            self._stand_in.server_close()
            self._stand_in = None

    def freeze(self) -> None:
        """Let it answer nothing, with all its connections open, until ``thaw``; only a real one can."""
        if self._process:
            self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        if self._process:
            self._process.send_signal(signal.SIGCONT)

    def limit_memory(self, most: int) -> None:
        """Refuse writes beyond ``most`` bytes, 0 for no limit; only a real one can."""
        client = redis.Redis.from_url(self.url)
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", most)
        client.close()

    def close(self) -> None:
        """Stop it and remove what it left."""
        self.stop()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
