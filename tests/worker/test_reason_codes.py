"""Programs go by reason codes: each is in the tables that people read."""

from __future__ import annotations

import re
from pathlib import Path

import worker

FOLDER = Path(worker.__file__).parent
RAISED = re.compile(r'(?:EventError|FetchFailedError|PictureError|Blame)\(\s*"([a-z0-9_]+)"')


def test_every_code_is_in_the_tables() -> None:
    """As they stand in the code; those that are chosen at run time are left out."""
    raised = {code for path in FOLDER.rglob("*.py") for code in RAISED.findall(path.read_text(encoding="utf-8"))}
    assert {"not_json", "http_not_found", "truncated"} <= raised
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    tables = page[page.index("### Reason codes") : page.index("## Settings")]
    assert raised - set(re.findall(r"`([a-z0-9_]+)`", tables)) == set()
