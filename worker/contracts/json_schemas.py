"""The published JSON Schemas, generated from the models: ``python -m X writes them again."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from worker.contracts.cloudevents import schema_uri
from worker.contracts.events import EVENT_TYPE, ImageUploaded
from worker.contracts.verdicts import VERDICT_TYPE, QualityVerdict

__all__ = ["SCHEMAS", "schema_directory", "schema_text", "write_schemas"]

SCHEMAS: dict[str, type[BaseModel]] = {EVENT_TYPE: ImageUploaded, VERDICT_TYPE: QualityVerdict}


def schema_directory() -> Path:
    """Where the schema files lie."""
    return Path(str(resources.files("worker.contracts") / "schemas"))


def schema_text(kind: str) -> str:
    """The JSON Schema (draft 2020-12) of an event type, as it is written to its file."""
    mode: Literal["serialization", "validation"] = "serialization" if kind == VERDICT_TYPE else "validation"
    body: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": schema_uri(kind),
        **SCHEMAS[kind].model_json_schema(mode=mode),
    }
    return json.dumps(body, indent=2, ensure_ascii=False) + "\n"


def write_schemas() -> list[Path]:
    """Write every schema file; returns their paths."""
    paths = []
    for kind in SCHEMAS:
        path = schema_directory() / f"{kind}.json"
        path.write_text(schema_text(kind), encoding="utf-8")
        paths.append(path)
    return paths


if __name__ == "__main__":
    for written in write_schemas():
        print(written)
