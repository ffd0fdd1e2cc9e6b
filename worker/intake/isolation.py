"""Decodes in child processes: a decoder that dies, hangs or eats memory takes none of the worker's other events along.

Native decoders are the one part of a worker that strangers' bytes reach as C code. Bytes go to a child over a socket, pixels
come back in memory that both share. A child that dies is replaced, and its picture is tried once more in a fresh one: only what
fails twice is the picture's fault. What it costs over decoding in the worker itself is in the worker's README.
"""

from __future__ import annotations

import json
import mmap
import os
import queue
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import structlog

from worker.errors import DecodingError, PictureError
from worker.intake.decode import MOST_BYTES, Picture

__all__ = ["DecoderPool"]

log = structlog.get_logger()

REQUEST = struct.Struct("!QQ")
"""Length of the bytes that follow, and the most pixels; the answer is a length (8 bytes) and JSON."""
ANSWER = struct.Struct("!Q")
ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
ROOT = str(Path(__file__).resolve().parents[2])
"""Where this package lies. Nothing is imported from the current directory (-P), which may be anybody's."""
START_S = 60.0
"""For a child to start and to say so."""
END_S = 10.0
"""For a child that hung up to end, so that it can be told how."""
WAITS = 100
"""Times the time for one picture, for a large picture's turn to come."""


class _DiedError(Exception):
    """A child gave no answer: it died, or took too long (``late``) and was killed. ``started``: it had once been ready."""

    def __init__(self, why: str, *, started: bool, late: bool = False) -> None:
        super().__init__(why)
        self.started = started
        self.late = late


class DecoderPool:
    """As many children as pictures are decoded at once; safe to use from many threads.

    Args:
        children: how many.
        timeout_s: the longest that one picture may take.
        memory_bytes: the most that one child may allocate beyond what it has when it starts.
        on_death: called for every child that died.
        module: what children run; tests have one that dies.

    """

    def __init__(
        self,
        children: int,
        timeout_s: float,
        memory_bytes: int,
        on_death: Callable[[], object] = lambda: None,
        module: str = "worker.intake.decoder_child",
    ) -> None:
        self._timeout_s = timeout_s
        self._on_death = on_death
        self._module = module
        # POSIX locks belong to processes and end with them: large pictures take turns, whoever dies.
        self._turns = tempfile.TemporaryFile(prefix="iqa-decoder-")  # noqa: SIM115 - lives as long as the pool
        self._memory_bytes = memory_bytes
        self._idle: queue.Queue[_Child] = queue.Queue()
        self._closed = False
        self._lock = threading.Lock()
        self._all: set[_Child] = set()
        for child in [self._start() for _ in range(children)]:
            self._idle.put(child)

    def decode(self, data: bytes, max_pixels: int) -> Picture:
        """As ``worker.intake.decode.decode`` does.

        Raises:
            PictureError: as there; and ``decoder_failed`` where the decoder died, took too long or needed too much memory.
            DecodingError: there is no decoder; says nothing about the picture.

        """
        for attempt in (1, 2):
            child = self._idle.get()
            try:
                return child.decode(data, max_pixels, self._timeout_s)
            except _DiedError as error:
                log.warning("decoder_died", attempt=attempt, bytes=len(data), why=str(error))
                self._on_death()
                child = self._replace(child)
                why, started = str(error), error.started
                if error.late:
                    # A second try would hold a core as long again, and end as the first one did.
                    break
            finally:
                self._idle.put(child)
        if not started:
            raise DecodingError(f"no decoding process starts: {why}")
        raise PictureError(
            "decoder_failed", f"it cannot be decoded ({why}): save the picture again as an ordinary JPEG, and send that"
        )

    @property
    def alive(self) -> int:
        """Children that run."""
        with self._lock:
            return sum(child.alive for child in self._all)

    def close(self) -> None:
        """End all children; whoever waits for one is told that it died."""
        with self._lock:
            self._closed = True
            children = tuple(self._all)
        for child in children:
            child.kill()
        self._turns.close()

    def _start(self) -> _Child:
        child = _Child(self._module, self._turns, self._memory_bytes)
        with self._lock:
            if self._closed:
                child.kill()
            self._all.add(child)
        return child

    def _replace(self, child: _Child) -> _Child:
        child.kill()
        with self._lock:
            self._all.discard(child)
            if self._closed:
                return child
        return self._start()


def _environment() -> dict[str, str]:
    """What a child needs of this process's environment, and nothing that is secret."""
    needed = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    needed["PYTHONPATH"] = os.pathsep.join(filter(None, [ROOT, needed.get("PYTHONPATH")]))
    return {**needed, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


class _Child:
    """One process, used by one thread at a time."""

    def __init__(self, module: str, turns: BinaryIO, memory_bytes: int) -> None:
        self._socket, theirs = socket.socketpair()
        descriptor = os.memfd_create("iqa-pixels")
        os.ftruncate(descriptor, MOST_BYTES)
        self._pixels = mmap.mmap(descriptor, MOST_BYTES, prot=mmap.PROT_READ)
        command = [sys.executable, "-P", "-m", module]
        shared = (theirs.fileno(), descriptor, turns.fileno())
        self._process = subprocess.Popen(  # noqa: S603 - this program itself
            [*command, *map(str, shared), str(memory_bytes)],
            pass_fds=shared,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            # Decoders print warnings about damaged files; ours are JSON.
            stderr=subprocess.DEVNULL,
            env=_environment(),
        )
        theirs.close()
        os.close(descriptor)
        self._ready = False

    def decode(self, data: bytes, max_pixels: int, timeout_s: float) -> Picture:
        """Ask the child.

        Raises:
            PictureError: its answer.
            _DiedError: it has none.

        """
        try:
            if not self._ready:
                self._socket.settimeout(START_S)
                self._receive()
                self._ready = True
            self._socket.settimeout(timeout_s)
            self._socket.sendall(REQUEST.pack(len(data), max_pixels))
            self._socket.sendall(data)
            answer = self._receive()
            while "until" in answer:
                # Large pictures take turns: waiting for one's turn is no fault of the picture's.
                self._socket.settimeout(timeout_s * (WAITS if answer["until"] == "turn" else 1))
                answer = self._receive()
        except TimeoutError as error:
            raise _DiedError(f"it took more than {timeout_s:g} s", started=self._ready, late=self._ready) from error
        except (OSError, ValueError, EOFError) as error:
            raise _DiedError(self._how_it_ended(), started=self._ready) from error
        if "fault" in answer:
            log.error("decoder_fault", bytes=len(data), fault=answer["fault"])
        if "code" in answer:
            raise PictureError(answer["code"], answer["detail"])
        height, width = answer["shape"]
        pixels = np.frombuffer(self._pixels, np.uint8, height * width * 3).reshape(height, width, 3).copy()
        return Picture(pixels, answer["width"], answer["height"], answer["format"])

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.wait()
        self._socket.close()

    def _receive(self) -> dict[str, Any]:
        (length,) = ANSWER.unpack(self._exactly(ANSWER.size))
        answer: dict[str, Any] = json.loads(self._exactly(length))
        return answer

    def _exactly(self, length: int) -> bytes:
        found = b""
        while len(found) < length:
            part = self._socket.recv(length - len(found))
            if not part:
                raise EOFError
            found += part
        return found

    def _how_it_ended(self) -> str:
        try:
            code = self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            return "it hung up"
        return f"signal {-code}" if code < 0 else f"exit code {code}"
