"""Large regions count as text only if they can be read."""

from __future__ import annotations

import numpy as np
import pytest

from engines.text_detection import TextDetector
from engines.text_recognition import TextRecogniser
from engines.text_spotting import TextSpotter
from tests.engines.fakes import DETECTION, RECOGNITION, FakeNetwork
from tests.engines.test_text_recognition import columns
from tests.pictures import photo, pixels

PICTURE = pixels(photo(320, 320))


def spotter(side: int, *best: int) -> tuple[TextSpotter, FakeNetwork]:
    scores = np.zeros((1, 1, 320, 320), np.float32)
    scores[..., 100 : 100 + side, 100 : 100 + 2 * side] = 0.9
    recogniser = FakeNetwork(lambda _: columns(*best)[None], {"character": "a\nb"})
    return TextSpotter(
        TextDetector(DETECTION, FakeNetwork(lambda _: scores)), TextRecogniser(RECOGNITION, recogniser)
    ), recogniser


@pytest.mark.parametrize(("best", "kept"), [((1, 0, 1), True), ((1,), False), ((0,), False)])
def test_large_regions_must_be_readable(best: tuple[int, ...], kept: bool) -> None:
    """Two characters are text; one is a cup that looks like an O."""
    found = spotter(60, *best)[0].locate(PICTURE)
    assert (found.area > 0.1) is kept
    assert len(found.regions) == int(kept)


def test_small_regions_are_not_read_until_asked_for() -> None:
    """Locating costs no reading then."""
    spot, recogniser = spotter(12, 1, 2)
    found = spot.locate(PICTURE)
    assert recogniser.shapes == []
    assert found.area > 0
    (line,) = spot.read(PICTURE, found)
    assert line.text == "ab"
    assert 0.02 < line.height < 0.06


def test_lines_are_read_when_they_are_asked_for() -> None:
    """Heights are known before."""
    spot, recogniser = spotter(12, 1, 2)
    found = spot.locate(PICTURE)
    (height,) = spot.heights(PICTURE, found)
    lines = spot.lines(PICTURE, found)
    assert recogniser.shapes == []
    line = next(lines)
    assert line is not None
    assert line.height == height
    assert len(recogniser.shapes) == 1


def test_lines_are_read_once() -> None:
    """What was read while locating is remembered."""
    spot, recogniser = spotter(60, 1, 2)
    assert [line.text for line in spot.read(PICTURE, spot.locate(PICTURE))] == ["ab"]
    assert len(recogniser.shapes) == 1


@pytest.mark.parametrize(
    ("side", "long", "best", "kept"),
    [(200, 1, (1, 0, 1), False), (200, 1, (1, 0, 1, 0, 1), True), (150, 2, (1, 0, 1), True)],
)
def test_huge_regions_must_look_like_their_text(side: int, long: float, best: tuple[int, ...], kept: bool) -> None:
    """Two characters in a square over a third of the picture are a face; in a long region, or three of them, they are text."""
    scores = np.zeros((1, 1, 320, 320), np.float32)
    scores[..., 10 : 10 + side, 10 : 10 + int(long * side)] = 0.9
    recogniser = FakeNetwork(lambda _: columns(*best)[None], {"character": "a\nb"})
    spot = TextSpotter(TextDetector(DETECTION, FakeNetwork(lambda _: scores)), TextRecogniser(RECOGNITION, recogniser))
    assert len(spot.locate(PICTURE).regions) == int(kept)
