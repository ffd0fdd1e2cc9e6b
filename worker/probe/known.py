"""The known pictures, and how each of their probes gets bytes of its own.

Both are made from the photo "coffee" of scikit-image 0.26.0 (CC0): as it is, and with a certificate laid on it by code. The
first must be judged by its quality, the second by what is written there: it takes text detection and recognition.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from uuid import UUID

__all__ = ["KNOWN", "Known", "find_page", "page_of"]

_PAGE = re.compile(r"/probe/([0-9a-f-]{36})/([a-z]+)\.jpg")
_START, _COMMENT = b"\xff\xd8", b"\xff\xfe"


@dataclass(frozen=True)
class Known:
    """One picture: its name, and the category that a worker with the profile ``recruitment`` gives it."""

    name: str
    category: str

    def data(self, mark: str = "") -> bytes:
        """The JPEG; with ``mark`` in a comment, by which its bytes are others and its pixels the same."""
        whole = _read(self.name)
        comment = mark.encode()
        size = (len(comment) + 2).to_bytes(2, "big")
        return whole if not mark else _START + _COMMENT + size + comment + whole[len(_START) :]


KNOWN = (Known("photo", "high"), Known("certificate", "medium"))


@cache
def _read(name: str) -> bytes:
    return files("worker.probe").joinpath(f"{name}.jpg").read_bytes()


def page_of(mark: UUID, known: Known) -> str:
    """The path under which a picture is served; another ``mark``, other bytes."""
    return f"/probe/{mark}/{known.name}.jpg"


def find_page(path: str) -> bytes | None:
    """What is served there: a picture that nobody has judged yet, since repeats are answered without an engine."""
    found = _PAGE.fullmatch(path)
    known = next((each for each in KNOWN if found and each.name == found[2]), None)
    return known.data(found[1]) if found and known else None
