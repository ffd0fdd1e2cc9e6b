"""Judges bytes: decode, score, signals, rules. The same bytes and fingerprint always give the same assessment."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import Literal

from calibration.background import MEASURE, measure_background
from calibration.chain import Assessment, assess, keywords_can_matter, text_can_matter
from calibration.explain import explain
from calibration.keywords import SEARCH, KeywordSearch
from calibration.profile import KeywordList, Profile
from calibration.signals import Kind, Signals, TextLine
from engines.engine_set import EngineSet
from engines.preprocess import fit_longest
from engines.quality import Judgement
from engines.text_spotting import ReadLine, Spotted, TextSpotter
from worker.contracts.verdicts import AdjustmentRecord, AssessmentRecord, BackgroundRecord, KindRecord, Reason, SignalsRecord
from worker.errors import UnscorableError
from worker.intake.decode import DECODING, Picture, decode
from worker.settings import Settings
from worker.slots import Slots
from worker.stopwatch import Stopwatch

__all__ = ["NO_TEXT", "Assessor", "Decode", "ShadowSeen", "kind_of", "unscorable"]


NO_TEXT = "no text in sight"
"""Why text was not looked for where the quality engine is sure that there is none."""

Decode = Callable[[bytes, int], Picture]
"""Bytes and the most pixels to a picture, or ``PictureError``."""

ShadowSeen = Callable[[Profile, Profile, Assessment, Assessment], None]
"""Told after every picture that was judged on the side: both profiles, what is published, and what the shadow says."""


class Assessor:
    """Engines, profile and limits, ready to judge; safe to use from many threads.

    Args:
        engines: loaded and verified.
        profile: of the rules.
        settings: text mode and decoding limits are read.
        slots: guards decoding and inference; shared by all assessors of a process.
        shadow: a second profile that judges the same picture on the side; nothing of that is published.
        on_shadow: told what the shadow says.
        decode: how bytes become pixels: in this process, or in a child.

    """

    def __init__(
        self,
        engines: EngineSet,
        profile: Profile,
        settings: Settings,
        slots: Slots,
        shadow: Profile | None = None,
        on_shadow: ShadowSeen | None = None,
        decode: Decode = decode,
    ) -> None:
        self.engines = engines
        self.profile = profile
        self._text: Literal["lazy", "strict", "always"] = settings.text
        self._max_pixels = settings.decode.max_pixels
        self._slots = slots
        self._shadow = shadow
        self._on_shadow = on_shadow
        self._decode = decode
        parts = (engines.digest, profile.digest, DECODING, MEASURE, SEARCH, settings.text, str(self._max_pixels))
        self.fingerprint = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:20]

    def assess(self, data: bytes, watch: Stopwatch) -> AssessmentRecord:
        """Judge the picture in ``data``.

        Raises:
            PictureError: the bytes are no picture that can be judged.
            EngineError: an engine failed.

        """
        with self._slots:
            with watch.stage("decode"):
                picture = self._decode(data, self._max_pixels)
            with watch.stage("quality"):
                small = fit_longest(picture.pixels, self.engines.quality.longest_side)
                said = self.engines.quality.judge(small)
            raw = said.score
            with watch.stage("background"):
                measured = measure_background(small)
            seen = Signals(picture.width, picture.height, measured, kind=kind_of(said))
            text = _Text(self.engines.text, picture, watch, said.textless and self._text == "lazy")
            signals, skipped = self._read_text(raw, seen, self.profile, text)
            assessment = assess(raw, signals, self.profile)
            if self._shadow and self._on_shadow:
                # Text that only the shadow needs is read for it alone: what is published stays what it would be without it.
                other, _ = self._read_text(raw, seen, self._shadow, text)
                self._on_shadow(self.profile, self._shadow, assessment, assess(raw, other, self._shadow))
        return _record(assessment, signals, skipped)

    def _read_text(self, raw: float, signals: Signals, profile: Profile, text: _Text) -> tuple[Signals, str | None]:
        """Detect text, then read it, each only where and as far as it could still change the category (always, if so set).

        Where there is surely none it is not looked for, and the second value says why.
        """
        always = self._text == "always"
        if not always and not text_can_matter(raw, signals, profile):
            return signals, _why_skipped(raw, signals, profile)
        if text.none:
            return signals, NO_TEXT
        signals = replace(signals, text_area=text.area())
        if not always and not keywords_can_matter(raw, signals, profile):
            return signals, _why_skipped(raw, signals, profile)
        return replace(signals, keywords=text.keywords(profile.keywords, whole=always)), None


class _Text:
    """A picture's text, detected when first asked for, every line read at most once; ``none``: there is surely none."""

    def __init__(self, spotter: TextSpotter, picture: Picture, watch: Stopwatch, none: bool) -> None:
        self.none = none
        self._spotter = spotter
        self._picture = picture
        self._watch = watch
        self._spotted: Spotted | None = None
        self._reading: Iterator[ReadLine | None] = iter(())
        self._unread: list[float] = []
        self._lines: list[TextLine] = []

    def area(self) -> float:
        """Share of the picture under text, 0-1."""
        return self._locate().area

    def keywords(self, limits: KeywordList, whole: bool) -> tuple[str, ...]:
        """The keywords that the text has; unless the ``whole`` text shall be read, those found until there surely are some."""
        self._locate()
        search = KeywordSearch(limits)
        for line in self._lines:
            search.add(line)
        with self._watch.stage("text_recognition"):
            while self._unread and (whole or not search.settled(self._unread)):
                self._unread.pop(0)
                read = next(self._reading)
                if read is not None:
                    self._lines.append(TextLine(read.text, read.height))
                    search.add(self._lines[-1])
        return search.found()

    def _locate(self) -> Spotted:
        if self._spotted is None:
            pixels = self._picture.pixels
            with self._watch.stage("text_detection"):
                self._spotted = self._spotter.locate(pixels)
            self._reading = self._spotter.lines(pixels, self._spotted)
            self._unread = self._spotter.heights(pixels, self._spotted)
        return self._spotted


def kind_of(said: Judgement) -> Kind | None:
    """The likeliest kind, if the engines tell kinds."""
    if said.ruined is None:
        return None
    name = max(said.kinds, key=said.kinds.__getitem__)
    return Kind(name, said.kinds[name], said.kinds.get("photo", 0.0), said.ruined)


def _why_skipped(raw: float, signals: Signals, profile: Profile) -> str:
    return f"category already {assess(raw, signals, profile).category}"


def unscorable(error: UnscorableError) -> AssessmentRecord:
    """The assessment of a picture that cannot be judged."""
    return AssessmentRecord(status="unscorable", reason=Reason(code=error.code, detail=error.detail))


def _record(assessment: Assessment, signals: Signals, skipped: str | None) -> AssessmentRecord:
    return AssessmentRecord(
        status="scored",
        category=assessment.category,
        score=assessment.score,
        raw_score=assessment.raw_score,
        engine_score=assessment.engine_score,
        adjustments=[AdjustmentRecord.model_validate(asdict(step)) for step in assessment.adjustments],
        explanation=explain(assessment),
        signals=SignalsRecord(
            width=signals.width,
            height=signals.height,
            aspect_ratio=round(signals.aspect_ratio, 4),
            background=BackgroundRecord(**asdict(signals.background)),
            kind=None if signals.kind is None else KindRecord(**asdict(signals.kind)),
            text_area=signals.text_area,
            keywords=None if signals.keywords is None else list(signals.keywords),
            text_skipped=skipped,
        ),
    )
