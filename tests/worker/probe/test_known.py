"""Known pictures: other bytes with every mark, the same pixels always; and nothing else is served."""

from __future__ import annotations

import uuid

import numpy as np
import pytest

from worker.intake.decode import decode
from worker.probe.known import KNOWN, Known, find_page, page_of


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.name)
def test_a_mark_changes_the_bytes_and_no_pixel(known: Known) -> None:
    """So no cache answers, and the category stays."""
    marks = [uuid.uuid4(), uuid.uuid4()]
    pages = [find_page(page_of(mark, known)) for mark in marks]
    whole = decode(known.data(), 1_000_000)
    assert len({known.data(), *pages}) == 3
    for page in pages:
        assert page is not None
        assert np.array_equal(decode(page, 1_000_000).pixels, whole.pixels)


@pytest.mark.parametrize(
    "path", ["/probe/x/photo.jpg", "/probe/00000000-0000-4000-8000-000000000000/secret.jpg", "/probe/", "/../photo.jpg"]
)
def test_nothing_else_is_served(path: str) -> None:
    """Whatever is asked for."""
    assert find_page(path) is None
