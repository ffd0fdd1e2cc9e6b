"""The verdict: what was decided about one picture, and why."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

__all__ = [
    "OMISSIBLE",
    "VERDICT_TYPE",
    "AdjustmentRecord",
    "AssessmentRecord",
    "BackgroundRecord",
    "QualityVerdict",
    "Reason",
    "SignalsRecord",
    "without",
]

VERDICT_TYPE = "image.quality.judged.v1"

OMISSIBLE = ("metadata", "url", "explanation", "adjustments.evidence", "signals")
"""Parts that may be left out of a verdict that is too large for its topic, in this order: what a program acts on goes last."""

ASSESSMENT_PARTS = frozenset(OMISSIBLE) - {"metadata", "url"}

MOST_DETAIL = 1000

Score = Field(ge=0, le=100)


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class AdjustmentRecord(_Record):
    """What one rule did to the score, and the numbers that made it act."""

    rule: str
    before: float = Score
    after: float = Score
    evidence: dict[str, float | int | str | list[str]]


class BackgroundRecord(_Record):
    """How far one plain colour fills the picture and its outer frame (shares, 0-1).

    Beside it, how rough the colour is and how sharp what stands on it (steps of L*, 0-100), which share of the pixels has one
    of five colours, and which share of neighbours does not differ at all (0-1; 0 in verdicts that are older than these).
    """

    share: float = Field(ge=0, le=1)
    border_share: float = Field(ge=0, le=1)
    roughness: float = Field(ge=0)
    edge: float = Field(ge=0)
    palette: float = Field(default=0.0, ge=0, le=1)
    flat: float = Field(default=0.0, ge=0, le=1)


class KindRecord(_Record):
    """What kind of picture the quality engine takes it for."""

    name: str = Field(description="photo, drawing, product, poster, document or screenshot: the likeliest.")
    probability: float = Field(ge=0, le=1, description="Of that kind.")
    photo: float = Field(ge=0, le=1, description="Probability that it is a photo.")
    ruined: float = Field(ge=0, le=1, description="Probability that nobody would want it, whatever its kind.")


class SignalsRecord(_Record):
    """What the rules looked at."""

    width: int = Field(ge=1, description="Pixels, upright.")
    height: int = Field(ge=1, description="Pixels, upright.")
    aspect_ratio: float = Field(ge=1, description="Long side over short side.")
    background: BackgroundRecord
    kind: KindRecord | None = Field(default=None, description="Null from engines that do not tell it.")
    text_area: float | None = Field(default=None, ge=0, le=1, description="Share under text; null if it was not measured.")
    keywords: list[str] | None = Field(
        default=None,
        description="Keywords found; null if text was not read. The search ends once it is settled if there are any.",
    )
    text_skipped: str | None = Field(
        default=None, description="Why text was not measured or not read: the category was settled, or no text was in sight."
    )


def _one_line(told: object) -> object:
    """Text of libraries and hosts may hold anything; what leaves here is bounded and can be written as JSON and as a line."""
    if not isinstance(told, str):
        return told
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", " ", told[:MOST_DETAIL].encode("utf-8", "replace").decode())


class Reason(_Record):
    """Why a picture could not be judged: a stable code for programs, a detail for people."""

    code: str
    detail: Annotated[str, BeforeValidator(_one_line)]


class AssessmentRecord(_Record):
    """The part of a verdict that depends on the bytes, the engines and the profile alone; what repeats are answered from."""

    status: Literal["scored", "unscorable"]
    category: Literal["low", "medium", "high"] | None = None
    score: float | None = Field(default=None, ge=0, le=100, description="Calibrated.")
    raw_score: float | None = Field(default=None, ge=0, le=100, description="Before the rules, on the profile's bands.")
    engine_score: float | None = Field(default=None, ge=0, le=100, description="As the quality engine gave it.")
    adjustments: list[AdjustmentRecord] = []
    explanation: list[str] = Field(default=[], description="One sentence for every step, for people.")
    signals: SignalsRecord | None = None
    reason: Reason | None = None


class QualityVerdict(AssessmentRecord):
    """Type ``image.quality.judged.v1`` on ``image.quality.verdicts``, and the value of ``iqa:verdict:{image_id}`` in Redis."""

    schema_version: Literal[1] = 1
    image_id: str = Field(min_length=1)
    event_id: str
    content_sha256: str | None = Field(default=None, description="Of the bytes that were judged; null if none came.")
    fingerprint: str = Field(description="Equal fingerprints and equal bytes give an equal assessment.")
    engines: dict[str, str]
    profile: str
    produced_at: AwareDatetime
    latency_ms: dict[str, float] = Field(default={}, description="Milliseconds per stage; stages that did not run are absent.")
    metadata: dict[str, Any] = Field(default={}, description="The event's, unchanged.")
    service: str | None = Field(default=None, description="The event's.")
    uploaded_at: AwareDatetime | None = Field(default=None, description="The event's; null in verdicts of older workers.")
    url: str | None = Field(
        default=None,
        description="The event's, without user name, password, query string and fragment; null where they cannot be told.",
    )
    omitted: list[str] = Field(
        default=[],
        description="Parts that were left out, since the verdict would have been too large for its topic: metadata, url, "
        "explanation, adjustments.evidence, signals.",
    )

    @property
    def assessment_is_whole(self) -> bool:
        """Whether repeats may be answered from it: nothing of the assessment was left out."""
        return not ASSESSMENT_PARTS & set(self.omitted)

    @property
    def assessment(self) -> AssessmentRecord:
        """The part that depends on the bytes, the engines and the profile alone."""
        return AssessmentRecord.model_validate(self.model_dump(include=set(AssessmentRecord.model_fields)))


def without(verdict: QualityVerdict, part: str) -> QualityVerdict:
    """The same verdict without ``part``, one of ``OMISSIBLE``; ``omitted`` says so.

    Raises:
        ValueError: ``part`` cannot be left out.

    """
    left: dict[str, Any]
    match part:
        case "metadata":
            left = {"metadata": {}}
        case "url" | "signals":
            left = {part: None}
        case "explanation":
            left = {"explanation": []}
        case "adjustments.evidence":
            left = {"adjustments": [step.model_copy(update={"evidence": {}}) for step in verdict.adjustments]}
        case _:
            raise ValueError(f"{part} cannot be left out")
    omitted = verdict.omitted if part in verdict.omitted else [*verdict.omitted, part]
    return verdict.model_copy(update={**left, "omitted": omitted})
