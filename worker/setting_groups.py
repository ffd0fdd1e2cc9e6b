"""What groups of settings have in common, and those that stand by themselves."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from worker import setting_values

__all__ = ["Group", "TracingSettings"]


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
