"""A decoding process that does what the first bytes say: dies, hangs, eats memory."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any

from worker.intake import decode as real
from worker.intake import decoder_child


def decode(data: bytes, max_pixels: int, **options: Any) -> real.Picture:
    if data.startswith(b"DIE"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if data.startswith(b"EXIT"):
        os._exit(3)
    if data.startswith(b"HANG"):
        threading.Event().wait()
    if data.startswith(b"EAT"):
        bytearray(10**11)
    return real.decode(data, max_pixels, **options)


if __name__ == "__main__":
    setattr(decoder_child, "decode", decode)  # noqa: B010 - it is not exported, for good reason
    decoder_child.main(sys.argv[1:])
