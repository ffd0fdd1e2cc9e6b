"""What groups of settings have in common, and those that stand by themselves."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from worker import setting_values

__all__ = ["Group", "ProbeSettings", "TracingSettings"]


class Group(BaseModel):
    """Settings that belong together. What is empty means none, see ``unless_empty``."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)

    @field_validator("*", mode="before")
    @classmethod
    def _unless_empty(cls, value: object, info: ValidationInfo) -> object:
        return setting_values.unless_empty(cls.model_fields[info.field_name or ""], value)


class TracingSettings(Group):
    """Traces by OpenTelemetry; where they go, and how many, is told by its own variables (``OTEL_...``)."""

    enabled: bool = Field(default=False, description="Needs the extra otel; off, nothing of it is imported.")
    parent: bool = Field(
        default=False, description="The sender's span is the parent of the work on its event, and not only linked to."
    )


class ProbeSettings(Group):
    """Known pictures through the whole path, see ``iqa probe``."""

    served_at: str = Field(
        default="",
        pattern=r"^(https?://[!-~]+)?$",
        description="Where workers reach this process's IQA_HTTP__PORT; pictures are served there.",
    )
    picture_url: str = Field(
        default="", pattern=r"^([a-z0-9]+:[!-~]+)?$", description="Or: where a copy of the known photo lies, for them to fetch."
    )
    interval_s: float = Field(default=60.0, ge=1, le=86_400)
    timeout_s: float = Field(default=60.0, ge=1, le=3_600, description="A verdict that takes longer is lost.")
    expected_photo: Literal["low", "medium", "high"] = "high"
    expected_certificate: Literal["low", "medium", "high"] = "medium"

    @property
    def expected(self) -> tuple[str, str]:
        """Right categories of photo and certificate."""
        return self.expected_photo, self.expected_certificate

    @model_validator(mode="after")
    def _one_at_a_time(self) -> Self:
        if self.timeout_s > self.interval_s:
            # Else the next probe's verdict might take the place in Redis of one that is still looked for.
            raise ValueError(
                f"IQA_PROBE__TIMEOUT_S: {self.timeout_s:g} is more than IQA_PROBE__INTERVAL_S, {self.interval_s:g}"
            )
        if self.served_at and self.picture_url:
            raise ValueError("IQA_PROBE__PICTURE_URL: IQA_PROBE__SERVED_AT is set, too; one of them says where pictures are")
        return self
