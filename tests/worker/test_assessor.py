"""Bytes to assessments, with the real engines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from calibration.profile_file import load_profile
from engines.quality import Judgement
from engines.text_detection import Quad
from engines.text_recognition import Line, TextRecogniser
from engines.verify import golden_picture
from tests.pictures import encode, page, photo
from worker.assessor import NO_TEXT, Assessor
from worker.errors import PictureError
from worker.settings import Settings
from worker.slots import Slots
from worker.stopwatch import Stopwatch

LAZY = Settings()
SLOTS = Slots(2)
ALWAYS = Settings.model_validate({"text": "always"})


def coffee(width: int = 640) -> Image.Image:
    sharp = Image.fromarray(golden_picture("quality_sharp.png"))
    return sharp.resize((width, width * 3 // 4), Image.Resampling.LANCZOS)


SAMPLES = {
    "good": coffee(),
    "tiny": coffee(200),
    "banner": coffee(900).crop((0, 200, 900, 460)),
    "page": page(["CONTRACT", "between the two", "parties below"]),
    "photo": photo(),
    "dense": page([f"line {n} of a poster full of text" for n in range(7)], (800, 600), 44),
}


@pytest.fixture(scope="module")
def always(assessor: Assessor) -> Assessor:
    return Assessor(assessor.engines, assessor.profile, ALWAYS, SLOTS)


@pytest.mark.parametrize("name", SAMPLES)
def test_lazy_and_always_agree_on_the_category(assessor: Assessor, always: Assessor, name: str) -> None:
    """Text is skipped only where it could not have changed the category; skipping is told."""
    data = encode(SAMPLES[name], "PNG")
    lazy, full = assessor.assess(data, Stopwatch()), always.assess(data, Stopwatch())
    assert lazy.category == full.category
    assert lazy.raw_score == full.raw_score
    assert full.signals is not None
    assert full.signals.text_area is not None
    assert full.signals.keywords is not None
    assert lazy.signals is not None
    if lazy.signals.text_area is None or lazy.signals.keywords is None:
        assert lazy.signals.text_skipped in {f"category already {lazy.category}", NO_TEXT}


def test_good_picture_is_read_and_stays_high(assessor: Assessor) -> None:
    """High pictures are the ones whose text matters."""
    watch = Stopwatch()
    strict = Assessor(assessor.engines, assessor.profile, Settings.model_validate({"text": "strict"}), SLOTS)
    record = strict.assess(encode(SAMPLES["good"], "PNG"), watch)
    assert record.category == "high"
    assert record.signals is not None
    assert record.signals.keywords == []
    assert {"decode", "quality", "background", "text_detection", "text_recognition"} <= set(watch.reading())


def test_tiny_picture_is_low_and_its_text_is_skipped(assessor: Assessor) -> None:
    """The resolution rule has the last word."""
    record = assessor.assess(encode(SAMPLES["tiny"], "PNG"), Stopwatch())
    assert record.category == "low"
    assert record.adjustments[-1].rule == "resolution"
    assert record.signals is not None
    assert (record.signals.text_area, record.signals.text_skipped) == (None, "category already low")


class _Sure:
    """A quality engine that has seen a good photo, and, unless told otherwise, no text."""

    longest_side = 500
    label = digest = "sure@1"

    def __init__(self, textless: bool = True) -> None:
        self._textless = textless

    def judge(self, pixels: NDArray[np.uint8]) -> Judgement:
        return Judgement(80.0, {"photo": 1.0}, 0.0, textless=self._textless)


@pytest.mark.parametrize(("mode", "looked"), [("lazy", False), ("strict", True), ("always", True)])
def test_no_text_is_looked_for_where_there_is_surely_none(assessor: Assessor, mode: str, looked: bool) -> None:
    """By default; the verdict says so, and the category is the one that no text gives."""
    engines = replace(assessor.engines, quality=_Sure())  # type: ignore[arg-type]
    judge = Assessor(engines, assessor.profile, Settings.model_validate({"text": mode}), SLOTS)
    watch = Stopwatch()
    record = judge.assess(encode(SAMPLES["good"], "PNG"), watch)
    assert record.category == "high"
    assert record.signals is not None
    assert ("text_detection" in watch.reading()) is looked
    assert (record.signals.text_area is not None) is looked
    assert record.signals.text_skipped == (None if looked else NO_TEXT)


BODY = ["this is to say that", "nobody has any doubt", "about what is", "written on a page"]


def certificate() -> Image.Image:
    """A large title above four lines."""
    whole = page(["CERTIFICATE"], (1200, 1100), 100)
    whole.paste(page(BODY, (1200, 900), 50), (0, 200))
    return whole


class _Counting:
    """A recogniser that notes how many lines it was asked for."""

    def __init__(self, recogniser: TextRecogniser) -> None:
        self.manifest = recogniser.manifest
        self.count = 0
        self._recogniser = recogniser

    def read(self, pixels: NDArray[np.uint8], quad: Quad) -> Line | None:
        self.count += 1
        return self._recogniser.read(pixels, quad)


@pytest.mark.parametrize(("mode", "stops"), [("lazy", True), ("strict", True), ("always", False)])
def test_reading_stops_where_it_is_settled(assessor: Assessor, mode: str, stops: bool) -> None:
    """A title makes it a certificate; only ``always`` reads on."""
    counting = _Counting(assessor.engines.text_recognition)
    engines = replace(assessor.engines, quality=_Sure(textless=False), text_recognition=counting)  # type: ignore[arg-type]
    judge = Assessor(engines, assessor.profile, Settings.model_validate({"text": mode}), SLOTS)
    record = judge.assess(encode(certificate(), "PNG"), Stopwatch())
    assert record.category == "medium"
    assert record.signals is not None
    assert record.signals.keywords == ["certificate"]
    assert (counting.count == 1) is stops
    assert (counting.count == 1 + len(BODY)) is not stops


def test_keyword_is_found_and_shown(always: Assessor) -> None:
    """With the word as evidence."""
    record = always.assess(encode(SAMPLES["page"], "PNG"), Stopwatch())
    assert record.signals is not None
    assert record.signals.keywords == ["contract"]


def test_dense_text_is_measured(always: Assessor) -> None:
    """A page full of lines exceeds the limit."""
    record = always.assess(encode(SAMPLES["dense"], "PNG"), Stopwatch())
    assert record.signals is not None
    assert record.signals.text_area is not None
    assert record.signals.text_area > 0.30


def test_fingerprint_covers_what_decides(assessor: Assessor, always: Assessor) -> None:
    """Text mode, pixel limit and profile change it; building the same again does not."""
    again = Assessor(assessor.engines, load_profile("recruitment"), LAZY, SLOTS)
    assert again.fingerprint == assessor.fingerprint
    other_profile = assessor.profile.model_copy(update={"version": 99})
    fewer = Settings.model_validate({"decode": {"max_pixels": 1000}})
    prints = {
        assessor.fingerprint,
        always.fingerprint,
        Assessor(assessor.engines, other_profile, LAZY, SLOTS).fingerprint,
        Assessor(assessor.engines, assessor.profile, fewer, SLOTS).fingerprint,
    }
    assert len(prints) == 4


def test_bytes_that_are_no_picture(assessor: Assessor) -> None:
    """Raise what the pipeline turns into a verdict."""
    with pytest.raises(PictureError, match="not_an_image"):
        assessor.assess(b"no picture", Stopwatch())
