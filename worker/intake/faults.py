"""How a picture that is cut or damaged is told, to the person who reads its verdict."""

from __future__ import annotations

from worker.errors import PictureError

__all__ = ["fault"]


def fault(kind: str, *, cut: bool) -> PictureError:
    """``truncated`` if the file of this ``kind`` ends before its picture does (``cut``), else ``damaged``."""
    if cut:
        return PictureError("truncated", f"the {kind} ends too early, part of the picture is missing: upload it again")
    return PictureError("damaged", f"the {kind}'s data are damaged: upload the picture again from its source")
