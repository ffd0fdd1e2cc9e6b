"""The demo's files are what they say, and the same on every run."""

from __future__ import annotations

import pytest

from tests.pictures import photo
from worker.demo.pictures import PHOTOS, Sample, make_samples
from worker.errors import PictureError
from worker.intake.decode import decode


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return make_samples({name: photo(640, 427, seed) for seed, name in enumerate(PHOTOS)})


def test_every_kind_is_there(samples: list[Sample]) -> None:
    """At least 24 events with what the demo adds: a repeat, a missing file, a private address, a wrong hash."""
    names = {sample.name.split(".")[0] for sample in samples}
    assert {"blurred", "dark", "noisy", "tiny", "banner", "logo", "poster", "certificate", "truncated", "page"} <= names
    assert len(samples) >= 24
    assert len(names) == len(samples)


def test_all_but_the_broken_ones_decode(samples: list[Sample]) -> None:
    """A demo of damaged pictures would show nothing."""
    broken = set()
    for sample in samples:
        try:
            decode(sample.data, 50_000_000)
        except PictureError:
            broken.add(sample.name)
    assert broken == {"truncated.jpg", "page.jpg"}


def test_same_bytes_on_every_run(samples: list[Sample]) -> None:
    """So that scores can be compared between versions."""
    again = make_samples({name: photo(640, 427, seed) for seed, name in enumerate(PHOTOS)})
    assert [sample.data for sample in again] == [sample.data for sample in samples]
