"""Has the C library give large blocks of memory back."""

from __future__ import annotations

import ctypes

__all__ = ["return_large_blocks"]

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGE = 4 << 20
"""Bytes. Pixels of an ordinary picture stay below."""
KEPT = 32 << 20
"""Bytes that an arena keeps free for what comes next: without that, every picture's pages are fetched anew."""


def return_large_blocks() -> bool:
    """Blocks of more than 4 MiB go back to the system as soon as they are freed; false where the C library knows no such thing.

    glibc raises that threshold by itself, up to 32 MiB, as soon as such a block is freed (mallopt(3)): then each thread's arena
    keeps what the largest pictures have left. Forty of 20 MB each took 1.4 GB at their peak with it, 0.8 GB without.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGE)) and bool(mallopt(M_TRIM_THRESHOLD, KEPT))
