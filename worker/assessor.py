"""Judges bytes: decode, score, signals, rules. The same bytes and fingerprint always give the same assessment."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import asdict, replace

from calibration.background import MEASURE, measure_background
from calibration.chain import Assessment, assess, keywords_can_matter, text_can_matter
from calibration.explain import explain
from calibration.keywords import find_keywords
from calibration.profile import Profile
from calibration.signals import Signals, TextLine
from engines.engine_set import EngineSet
from worker.contracts.verdicts import AdjustmentRecord, AssessmentRecord, BackgroundRecord, Reason, SignalsRecord
from worker.errors import UnscorableError
from worker.intake.decode import DECODING, Picture, decode
from worker.settings import Settings
from worker.stopwatch import Stopwatch

__all__ = ["Assessor", "unscorable"]


class Assessor:
    """Engines, profile and limits, ready to judge; safe to use from many threads.

    Args:
        engines: loaded and verified.
        profile: of the rules.
        settings: text mode and decoding limits are read.
        cpu_slots: decodes and inferences at once.

    """

    def __init__(self, engines: EngineSet, profile: Profile, settings: Settings, cpu_slots: int) -> None:
        self.engines = engines
        self.profile = profile
        self._lazy = settings.text == "lazy"
        self._max_pixels = settings.decode.max_pixels
        self._slots = threading.BoundedSemaphore(cpu_slots)
        parts = (engines.digest, profile.digest, DECODING, MEASURE, settings.text, str(self._max_pixels))
        self.fingerprint = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:20]

    def assess(self, data: bytes, watch: Stopwatch) -> AssessmentRecord:
        """Judge the picture in ``data``.

        Raises:
            PictureError: the bytes are no picture that can be judged.
            EngineError: an engine failed.

        """
        with self._slots:
            with watch.stage("decode"):
                picture = decode(data, self._max_pixels)
            with watch.stage("quality"):
                raw = self.engines.quality.score(picture.pixels)
            with watch.stage("background"):
                signals = Signals(picture.width, picture.height, measure_background(picture.pixels))
            signals, skipped = self._read_text(picture, raw, signals, watch)
        return _record(assess(raw, signals, self.profile), signals, skipped)

    def _read_text(self, picture: Picture, raw: float, signals: Signals, watch: Stopwatch) -> tuple[Signals, str | None]:
        """Detect text, then read it, each only where it could still change the category (always, if so set)."""
        if self._lazy and not text_can_matter(raw, signals, self.profile):
            return signals, self._why_skipped(raw, signals)
        with watch.stage("text_detection"):
            spotted = self.engines.text.locate(picture.pixels)
        signals = replace(signals, text_area=spotted.area)
        if self._lazy and not keywords_can_matter(raw, signals, self.profile):
            return signals, self._why_skipped(raw, signals)
        with watch.stage("text_recognition"):
            lines = [TextLine(line.text, line.height) for line in self.engines.text.read(picture.pixels, spotted)]
        return replace(signals, keywords=find_keywords(lines, self.profile.keywords)), None

    def _why_skipped(self, raw: float, signals: Signals) -> str:
        return f"category already {assess(raw, signals, self.profile).category}"


def unscorable(error: UnscorableError) -> AssessmentRecord:
    """The assessment of a picture that cannot be judged."""
    return AssessmentRecord(status="unscorable", reason=Reason(code=error.code, detail=error.detail))


def _record(assessment: Assessment, signals: Signals, skipped: str | None) -> AssessmentRecord:
    return AssessmentRecord(
        status="scored",
        category=assessment.category,
        score=assessment.score,
        raw_score=assessment.raw_score,
        adjustments=[AdjustmentRecord.model_validate(asdict(step)) for step in assessment.adjustments],
        explanation=explain(assessment),
        signals=SignalsRecord(
            width=signals.width,
            height=signals.height,
            aspect_ratio=round(signals.aspect_ratio, 4),
            background=BackgroundRecord(**asdict(signals.background)),
            text_area=signals.text_area,
            keywords=None if signals.keywords is None else list(signals.keywords),
            text_skipped=skipped,
        ),
    )
