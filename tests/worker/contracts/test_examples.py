"""The examples and the page that shows them are true."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from worker.contracts.cloudevents import parse_event
from worker.contracts.events import ImageUploaded
from worker.contracts.verdicts import OMISSIBLE, QualityVerdict
from worker.errors import EventError

CONTRACTS = Path(str(resources.files("worker.contracts")))
EXAMPLES = CONTRACTS / "examples"
RECORDS: list[dict[str, Any]] = json.loads((EXAMPLES / "records.json").read_text(encoding="utf-8"))
PAGE = (CONTRACTS / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record["shows"])
def test_example_records_are_taken_or_refused_as_they_say(record: dict[str, Any]) -> None:
    """Reason code and detail are what a sender would find on its dead letter."""
    body = (EXAMPLES / record["file"]).read_bytes()
    if "reason" not in record:
        assert parse_event(body, record["headers"]).image_id.startswith("job-4711/")
        return
    with pytest.raises(EventError) as caught:
        parse_event(body, record["headers"])
    assert (caught.value.code, caught.value.detail) == (record["reason"], record["detail"])


def test_examples_show_every_field_every_code_and_every_mode() -> None:
    """A field or a code that is new needs an example."""
    assert set(json.loads((EXAMPLES / "full.json").read_text(encoding="utf-8"))) == set(ImageUploaded.model_fields)
    required = {name for name, field in ImageUploaded.model_fields.items() if field.is_required()}
    assert set(json.loads((EXAMPLES / "minimal.json").read_text(encoding="utf-8"))) == required
    shown = {record.get("reason") for record in RECORDS}
    assert shown == {None, "not_json", "invalid_event", "unexpected_type", "unsupported_cloudevents"}
    listed = {record["file"] for record in RECORDS} | {"records.json"}
    assert listed == {path.name for path in EXAMPLES.iterdir() if not path.name.startswith("verdict-")}


@pytest.mark.parametrize("name", ["verdict-scored.json", "verdict-unscorable.json"])
def test_example_verdicts_have_every_field_and_no_other(name: str) -> None:
    """Written by a worker; read and written again they are the same."""
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    assert json.loads(QualityVerdict.model_validate_json(text).model_dump_json()) == json.loads(text)


def test_the_page_says_what_is_there() -> None:
    """Its event is the minimal example; fields, links and the order of parts are those that there are."""
    blocks = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert blocks == [(EXAMPLES / "minimal.json").read_text(encoding="utf-8")]
    rows = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert rows[: len(ImageUploaded.model_fields)] == list(ImageUploaded.model_fields)
    for target in re.findall(r"\]\(([^)#]+)", PAGE):
        assert (CONTRACTS / target).exists(), target
    places = [PAGE.index(f"`{part}`", PAGE.index("in this order until it fits")) for part in OMISSIBLE]
    assert places == sorted(places)
