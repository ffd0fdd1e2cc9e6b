"""Profiles: one YAML file with every threshold, keyword and switch of the rules for one service."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = [
    "AspectRatioLimits",
    "BackgroundLimits",
    "DrawnLimits",
    "FlatLimits",
    "KeywordList",
    "KindLimits",
    "OutputMapping",
    "Profile",
    "ResolutionLimits",
    "TextAreaLimits",
    "Thresholds",
]

Share = Annotated[float, Field(ge=0, le=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Thresholds(_Strict):
    """Where medium and high begin, in points of the score."""

    medium: float = Field(gt=1, lt=100)
    high: float = Field(gt=1, lt=100)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.high < self.medium + 1:
            raise ValueError("high must be at least one point above medium")
        return self


class OutputMapping(Thresholds):
    """The quality engine's scores that mean medium and high on this service; ``Thresholds`` are what they become.

    Engines score as people rate photos; whether 50 is good enough is the service's to say. In between, and to 0 and 100 at the
    ends, lines are straight, so the order of pictures stays.
    """


class BackgroundLimits(_Strict):
    """What gives away logos and product shots; the numbers are those of ``calibration.signals.Background``.

    Either one smooth colour (``min_share``, ``min_border_share``, ``max_roughness`` hold together), or few flat colours
    (``min_palette`` and ``min_flat``). With at least ``min_edge`` it is sharp, and is mapped into the medium range from
    wherever it was; with less it is medium at best.
    """

    enabled: bool = True
    min_share: Share
    min_border_share: Share
    max_roughness: float = Field(ge=0)
    min_edge: float = Field(ge=0)
    min_palette: Share = 1.0
    min_flat: Share = 1.0


class FlatLimits(_Strict):
    """Flat areas as evidence that a picture is drawn; the number is ``calibration.signals.Background.flat``.

    Up to ``begin`` they say nothing. From there to ``full`` the probability that is asked for falls evenly to ``probability``.
    With an ``edge`` below ``min_edge`` nothing is sharp, and flat areas may be blur or darkness.
    """

    begin: Share
    full: Share
    probability: Share
    min_edge: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.begin >= self.full:
            raise ValueError("begin must be below full")
        return self


class KindLimits(_Strict):
    """What becomes of pictures that are no photos: medium if they are whole, low if they are ruined and not scored high.

    From ``probability`` that it is no photo on, or from less where flat areas say the same; ``soft`` is the width of the zone
    on either side in which the score moves gradually. Of a strip, longer than ``aspect_ratio.limit`` (if that rule is enabled),
    at most ``strip`` is asked for: it is a banner, and engines know no photos of that shape. It is ruined from ``ruined`` on. A
    photo, at ``photo`` or more, is no logo, whatever its colours look like.
    """

    enabled: bool = False
    probability: Share = 0.5
    soft: Share = 0.0
    flat: FlatLimits | None = Field(default=None, description="Left out, flat areas say nothing.")
    strip: Share | None = Field(default=None, description="Left out, strips are asked for as much as other pictures.")
    ruined: Share = 0.5
    photo: Share = 1.0


class DrawnLimits(_Strict):
    """Pages and flyers: flat areas (``min_flat`` of all neighbours do not differ) and sharp edges (``min_edge``)."""

    enabled: bool = False
    min_flat: Share = 1.0
    min_edge: float = Field(default=0.0, ge=0)


class TextAreaLimits(_Strict):
    """More text than ``limit`` (share of the picture): medium at best; ``soft`` is the width of the zone on either side.

    For what is surely a photo (``kind.photo``, if that rule is enabled) ``photo_limit`` holds instead, if it is higher: the
    text is on a sign that it shows. Over ``kind.soft`` below that probability one limit becomes the other.
    """

    enabled: bool = True
    limit: Share
    soft: Share = 0.0
    photo_limit: Share | None = Field(default=None, description="Left out, photos have no limit of their own.")


class KeywordList(_Strict):
    """Words that give away certificates, licences and contracts; see ``calibration.keywords`` for how each number is used.

    ``context`` are words of lines that ask for or offer a document; ``exceptions`` are longer words that contain one of
    ``words`` by chance. A word is a title if it has ``title_share`` of its line's letters, or if its line is at least
    ``title_height`` times as high as the highest. Lines lower than ``min_height`` (of the picture's shorter side) do not count,
    nor, where fewer than ``min_lines`` lines can be read, those lower than ``alone_height``.
    """

    enabled: bool = True
    effect: Literal["medium", "low"] = "medium"
    words: tuple[Annotated[str, Field(min_length=2)], ...]
    context: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    exceptions: tuple[Annotated[str, Field(min_length=2)], ...] = ()
    title_share: float = Field(default=0.4, gt=0, le=1)
    title_height: float = Field(default=0.75, gt=0, le=1)
    min_height: Share = 0.0
    min_mentions: int = Field(default=2, ge=1)
    min_lines: int = Field(default=1, ge=1)
    alone_height: Share = 0.0


class AspectRatioLimits(_Strict):
    """Long side over short side above ``limit``: medium at best; ``soft`` is the width of the zone on either side."""

    enabled: bool = True
    limit: float = Field(ge=1)
    soft: float = Field(default=0.0, ge=0)


class ResolutionLimits(_Strict):
    """Shorter side, in pixels: below ``low_below`` is low; from ``reward_from`` to ``reward_full`` points are added.

    ``soft`` is the width of the zone on either side of ``low_below``.
    """

    enabled: bool = True
    low_below: int = Field(ge=1)
    soft: int = Field(default=0, ge=0)
    reward_from: int = Field(ge=1)
    reward_full: int = Field(ge=1)
    reward_points: float = Field(ge=0, le=20)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low_below <= self.reward_from < self.reward_full:
            raise ValueError("low_below, reward_from and reward_full must rise in this order")
        return self


class Profile(_Strict):
    """Everything the rules read."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    version: int = Field(ge=1)
    services: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        default=(), description="Services, beside the one of the profile's own name, whose events it judges."
    )
    thresholds: Thresholds
    output_mapping: OutputMapping | None = Field(default=None, description="Left out, the engine's scores count as they are.")
    background: BackgroundLimits
    kind: KindLimits = KindLimits()
    drawn: DrawnLimits = DrawnLimits()
    text_area: TextAreaLimits
    keywords: KeywordList
    aspect_ratio: AspectRatioLimits
    resolution: ResolutionLimits

    @property
    def label(self) -> str:
        """Name and version, as verdicts carry it: ``recruitment@1``."""
        return f"{self.name}@{self.version}"

    @property
    def cuts(self) -> tuple[float, float]:
        """Where medium and high begin among the engine's own scores."""
        found = self.output_mapping or self.thresholds
        return found.medium, found.high

    @property
    def digest(self) -> str:
        """SHA-256 over every value (comments and layout do not count)."""
        body = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(body.encode()).hexdigest()
