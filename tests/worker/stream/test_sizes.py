"""Bounds on records are known before anything is sent."""

from __future__ import annotations

import pytest

from worker.errors import BrokerError
from worker.stream.sizes import BATCH_BYTES, BROKER_DEFAULT, MARGIN, RecordSizes


def test_the_smaller_of_both_bounds_holds() -> None:
    """The producer's, and the topic's; the broker's own where the topic's is not told."""
    told: dict[str, int | None] = {"small": 50_000, "large": 9_000_000, "untold": None}
    sizes = RecordSizes(lambda: told, 4_000_000)
    sizes.refresh()
    assert sizes.of("small") == 50_000 - MARGIN
    assert sizes.of("large") == 4_000_000 - MARGIN
    assert sizes.of("untold") == BROKER_DEFAULT - MARGIN
    assert sizes.of("other") == 4_000_000 - MARGIN


def test_no_batch_that_a_topic_would_refuse() -> None:
    """Records that fit by themselves are refused together if the batch does not."""
    told: dict[str, int | None] = {"small": 50_000, "large": 9_000_000}
    sizes = RecordSizes(lambda: told)
    assert sizes.batch_bytes == BATCH_BYTES
    sizes.refresh()
    assert sizes.batch_bytes == 50_000 - MARGIN


@pytest.mark.parametrize("told", [{}, {"v": 10_000}])
def test_no_answer_leaves_what_was_known(told: dict[str, int | None]) -> None:
    """A refused record is a bad moment to forget a bound."""
    answers: list[dict[str, int | None]] = [told]

    def describe() -> dict[str, int | None]:
        if not answers:
            raise BrokerError("no answer")
        return answers.pop()

    sizes = RecordSizes(describe)
    sizes.refresh()
    known = sizes.of("v")
    sizes.refresh()
    assert sizes.of("v") == known
