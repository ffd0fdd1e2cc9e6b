"""The upload event: one picture to judge."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

__all__ = ["EVENT_TYPE", "ImageUploaded"]

EVENT_TYPE = "image.uploaded.v1"

PRINTABLE = r"^[^\x00-\x1f\x7f]*$"
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=r"^[^\x00-\x1f\x7f]+$")]


def _in_utc(time: datetime) -> datetime:
    try:
        time.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("in UTC it is not within the years 1 to 9999") from error
    return time


class ImageUploaded(BaseModel):
    """Type ``image.uploaded.v1`` on ``image.uploads``. Unknown fields are ignored; missing ones are a dead letter.

    In a CloudEvent the attributes id, time and subject may stand for event_id, uploaded_at and image_id.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    event_id: Identifier = Field(description="Unique per upload event; the same event sent twice has the same id.")
    image_id: Identifier = Field(description="The picture's identity; key of the event and of the verdict.")
    url: Annotated[str, StringConstraints(min_length=1, max_length=8192)] = Field(
        description="Where the bytes are: http, https; s3 and file where the worker allows them."
    )
    uploaded_at: Annotated[AwareDatetime, AfterValidator(_in_utc)] = Field(
        description="When the picture was uploaded (RFC 3339, with an offset)."
    )
    service: Annotated[str, StringConstraints(max_length=256, pattern=PRINTABLE)] | None = Field(
        default=None, description="Which service uploaded it; chooses the profile."
    )
    content_type: Annotated[str, StringConstraints(max_length=1024, pattern=PRINTABLE)] | None = Field(
        default=None, description="Media type as the uploader gave it; a hint, never trusted."
    )
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$", to_lower=True)] | None = Field(
        default=None, description="SHA-256 of the bytes; if given, other bytes are refused."
    )
    metadata: dict[str, Any] = Field(default_factory=dict, description="Passed through to the verdict unchanged.")
