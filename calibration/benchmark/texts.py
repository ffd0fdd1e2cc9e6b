"""The words on a benchmark's pictures, from ``texts.yaml``."""

from __future__ import annotations

from importlib import resources

import yaml
from pydantic import BaseModel, ConfigDict

__all__ = ["TEXTS", "Lines", "Texts"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Lines(_Strict):
    """The same sort of lines in both languages."""

    chinese: tuple[str, ...]
    english: tuple[str, ...]

    def of(self, *, chinese: bool) -> tuple[str, ...]:
        """Those of one language."""
        return self.chinese if chinese else self.english


class Texts(_Strict):
    """Everything that is written on pictures, by where it stands."""

    titles: dict[str, Lines]
    bodies: dict[str, Lines]
    slogans: Lines
    brands: tuple[str, ...]
    signs: Lines
    names: Lines
    requests: Lines


TEXTS = Texts.model_validate(
    yaml.safe_load((resources.files("calibration.benchmark") / "texts.yaml").read_text(encoding="utf-8"))
)
