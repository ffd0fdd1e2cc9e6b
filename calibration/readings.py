"""Readings: everything the engines and measures say about one picture, so that rules can be tried again without them."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from calibration.keywords import find_keywords
from calibration.profile import Profile
from calibration.signals import Background, Kind, Signals, TextLine

__all__ = ["Reading", "append_reading", "load_readings", "signals_of"]


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Reading(_Record):
    """What was seen of one picture (known by the SHA-256 of its bytes), text included however the worker is set.

    ``costs`` are milliseconds by stage; ``unscorable`` is a reason code where the bytes are no picture that can be judged,
    and everything else is empty then.
    """

    sha256: str
    raw_score: float = Field(default=0.0, ge=0, le=100)
    width: int = Field(default=1, ge=1)
    height: int = Field(default=1, ge=1)
    background: Background = Background(0.0, 0.0, 0.0, 0.0)
    kind: Kind | None = None
    text_area: float = Field(default=0.0, ge=0, le=1)
    lines: tuple[TextLine, ...] = ()
    costs: dict[str, float] = {}
    unscorable: str | None = None


def signals_of(reading: Reading, profile: Profile) -> Signals:
    """What the rules of ``profile`` look at, text read in full."""
    return Signals(
        width=reading.width,
        height=reading.height,
        background=reading.background,
        text_area=reading.text_area,
        keywords=find_keywords(reading.lines, profile.keywords),
        kind=reading.kind,
    )


def load_readings(path: Path) -> dict[str, Reading]:
    """Readings kept in ``path`` (JSON lines) by the hash of the bytes; what is not there or was cut short is read again."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    found: dict[str, Reading] = {}
    for line in lines:
        try:
            reading = Reading.model_validate_json(line)
        except ValidationError:
            continue
        found[reading.sha256] = reading
    return found


def append_reading(path: Path, reading: Reading) -> None:
    """Add one line to ``path``."""
    with path.open("a", encoding="utf-8") as lines:
        lines.write(reading.model_dump_json() + "\n")
