"""The published schemas are the models' own."""

from __future__ import annotations

import json

import pytest

from worker.contracts.cloudevents import schema_uri
from worker.contracts.json_schemas import SCHEMAS, schema_directory, schema_text


@pytest.mark.parametrize("kind", sorted(SCHEMAS))
def test_schemas_are_current(kind: str) -> None:
    """Run ``make schemas`` after changing a model."""
    assert (schema_directory() / f"{kind}.json").read_text(encoding="utf-8") == schema_text(kind)


@pytest.mark.parametrize("kind", sorted(SCHEMAS))
def test_schemas_have_a_name_that_stays(kind: str) -> None:
    """Registries and ``$ref`` go by it; so does the attribute ``dataschema``."""
    assert json.loads(schema_text(kind))["$id"] == f"urn:iqa-fleet:schema:{kind}" == schema_uri(kind)


def test_required_fields_of_an_event() -> None:
    """Adding one would break every producer."""
    schema = json.loads(schema_text("image.uploaded.v1"))
    assert sorted(schema["required"]) == ["event_id", "image_id", "uploaded_at", "url"]


def test_fields_of_a_verdict_only_grow() -> None:
    """The ranking service reads these."""
    schema = json.loads(schema_text("image.quality.judged.v1"))
    wanted = {
        "schema_version", "image_id", "event_id", "status", "category", "score", "raw_score", "adjustments", "signals",
        "reason", "content_sha256", "fingerprint", "engines", "profile", "produced_at", "latency_ms", "metadata",
        "service", "uploaded_at", "url", "omitted",
    }  # fmt: skip
    assert wanted <= set(schema["properties"])
