"""Profiles: one YAML file with every threshold, keyword and switch of the rules for one service."""

from __future__ import annotations

import hashlib
import json
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from calibration.errors import ProfileError

__all__ = [
    "AspectRatioLimits",
    "BackgroundLimits",
    "KeywordList",
    "Profile",
    "ResolutionLimits",
    "TextAreaLimits",
    "Thresholds",
    "load_profile",
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


class BackgroundLimits(_Strict):
    """A plain background is a logo or product shot. The first three must hold; see ``calibration.signals``.

    With at least ``min_edge`` it is clear and sharp, and is mapped into the medium range from wherever it was; with less it is
    medium at best.
    """

    enabled: bool = True
    min_share: Share
    min_border_share: Share
    max_roughness: float = Field(ge=0)
    min_edge: float = Field(ge=0)


class TextAreaLimits(_Strict):
    """More text than ``limit`` (share of the picture): medium at best."""

    enabled: bool = True
    limit: Share


class KeywordList(_Strict):
    """Words that give away certificates, licences and contracts."""

    enabled: bool = True
    effect: Literal["medium", "low"] = "medium"
    words: tuple[Annotated[str, Field(min_length=2)], ...]


class AspectRatioLimits(_Strict):
    """Long side over short side above ``limit``: medium at best."""

    enabled: bool = True
    limit: float = Field(ge=1)


class ResolutionLimits(_Strict):
    """Shorter side, in pixels: below ``low_below`` is low; from ``reward_from`` to ``reward_full`` points are added."""

    enabled: bool = True
    low_below: int = Field(ge=1)
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
    thresholds: Thresholds
    background: BackgroundLimits
    text_area: TextAreaLimits
    keywords: KeywordList
    aspect_ratio: AspectRatioLimits
    resolution: ResolutionLimits

    @property
    def label(self) -> str:
        """Name and version, as verdicts carry it: ``recruitment@1``."""
        return f"{self.name}@{self.version}"

    @property
    def digest(self) -> str:
        """SHA-256 over every value (comments and layout do not count)."""
        body = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(body.encode()).hexdigest()


def load_profile(name_or_path: str) -> Profile:
    """Load a profile that ships with the package (by name) or from a YAML file (by path).

    Raises:
        ProfileError: it does not exist, is no YAML, or a field is missing, unknown or out of range.

    """
    source, text = _read(name_or_path)
    try:
        fields = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ProfileError(f"{source} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(fields, dict):
        raise ProfileError(f"{source} must be a mapping of fields")
    try:
        return Profile.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "profile"
        raise ProfileError(f"{source}: {where}: {first['msg']}") from error


def _read(name_or_path: str) -> tuple[str, str]:
    if name_or_path.endswith((".yaml", ".yml")):
        path = Path(name_or_path)
        try:
            return str(path), path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ProfileError(f"profile {path} cannot be read: {error}") from error
    shipped = resources.files("calibration") / "profiles"
    file = shipped / f"{name_or_path}.yaml"
    if not file.is_file():
        known = sorted(entry.name.removesuffix(".yaml") for entry in shipped.iterdir() if entry.name.endswith(".yaml"))
        raise ProfileError(f"no profile {name_or_path!r}; there are: {', '.join(known)}; or give the path of a .yaml file")
    return f"profile {name_or_path}", file.read_text(encoding="utf-8")
