"""The process in which pictures are decoded; started by ``worker.intake.isolation``, ends when its socket does."""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.errors import PictureError
from worker.intake.decode import MOST_BYTES, decode
from worker.intake.isolation import ANSWER, REQUEST
from worker.memory import return_large_blocks

__all__ = ["main"]


def main(arguments: list[str]) -> None:
    """Answer one request after the other. Arguments: descriptors of socket, pixels and lock; bytes of memory."""
    wire, pixels, turns, memory = map(int, arguments)
    # Ctrl-C reaches every process of a terminal: the worker drains, and needs its decoders for that.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    return_large_blocks()
    _limit_memory(memory)
    room = np.frombuffer(mmap.mmap(pixels, MOST_BYTES), np.uint8)
    with socket.socket(fileno=wire) as connection, connection.makefile("rb") as stream:
        _send(connection, {"ready": True})
        while len(head := stream.read(REQUEST.size)) == REQUEST.size:
            length, max_pixels = REQUEST.unpack(head)
            _send(connection, _answer(stream.read(length), max_pixels, room, _turn(turns, connection)))


def _answer(data: bytes, max_pixels: int, room: NDArray[np.uint8], turn: AbstractContextManager[None]) -> dict[str, Any]:
    try:
        picture = decode(data, max_pixels, large=turn)
    except PictureError as error:
        return {"code": error.code, "detail": error.detail}
    except MemoryError:
        return {"code": "decoder_failed", "detail": "decoding it needs more memory than is allowed"}
    except Exception:  # ours: whatever was sent, the next picture is decoded, and somebody reads where it failed
        detail = "a fault of the decoder's, which is reported: send the picture again as an ordinary JPEG"
        return {"code": "decoder_failed", "detail": detail, "fault": traceback.format_exc(limit=-3)}
    height, width = picture.pixels.shape[:2]
    room[: picture.pixels.size] = picture.pixels.ravel()
    return {"shape": [height, width], "width": picture.width, "height": picture.height, "format": picture.format}


def _send(connection: socket.socket, answer: dict[str, Any]) -> None:
    body = json.dumps(answer).encode()
    connection.sendall(ANSWER.pack(len(body)) + body)


def _limit_memory(more: int) -> None:
    """Refuse allocations beyond what this process has by now and ``more`` bytes."""
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - a line of the kernel's
        now = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (now + more, now + more))
    # No core files of strangers' pictures.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


@contextmanager
def _turn(descriptor: int, connection: socket.socket) -> Iterator[None]:
    """Hold the lock that large pictures take turns by; tell the worker when waiting begins, and when it is over."""
    _send(connection, {"until": "turn"})
    fcntl.lockf(descriptor, fcntl.LOCK_EX)
    try:
        _send(connection, {"until": "done"})
        yield
    finally:
        fcntl.lockf(descriptor, fcntl.LOCK_UN)


if __name__ == "__main__":
    main(sys.argv[1:])
