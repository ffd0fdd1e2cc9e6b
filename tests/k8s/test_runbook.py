"""The runbook has a page for every alert, and what it tells to run can be run."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from tests.k8s.test_alerts import DRIFT, FOLDER, NAMES, RECORDED, promtool
from worker.cli import app
from worker.telemetry.catalogue import CATALOGUE

__all__ = ["promtool"]

PAGE = (FOLDER / "runbook.md").read_text(encoding="utf-8")
PARTS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
QUERIES = re.findall(r"```promql\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = sorted({line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()})
RECORDS = {rule["record"] for rule in [*RECORDED, *DRIFT]}
MOVED = ("_total", "_bucket", "_count", "_sum", "_info")


def test_every_alert_has_a_page() -> None:
    """With meaning, impact, diagnosis and mitigation, in the rules' order."""
    assert list(PARTS) == NAMES
    for text in PARTS.values():
        told = re.findall(r"^- \*\*(\w+)\.\*\*", text, re.MULTILINE)
        assert told == ["Meaning", "Impact", "Diagnosis", "Mitigation"]


def test_links_lead_somewhere() -> None:
    """To other pages of it, and to files."""
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        path, _, anchor = target.partition("#")
        if path:
            assert (FOLDER / path).exists()
        else:
            assert anchor in {name.lower() for name in NAMES}


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_there(command: str) -> None:
    """With the options and arguments that they are told with."""
    program, *arguments = shlex.split(command)
    assert program == "iqa"
    # Asked for help, a command checks the names of options that come before.
    done = CliRunner().invoke(app, [*arguments, "--help"])
    assert done.exit_code == 0, done.output
    for option in (argument for argument in arguments if argument.startswith("--")):
        assert option in done.output


def test_queries_are_queries(promtool: str, tmp_path: Path) -> None:
    """By promtool; their metrics are in the catalogue."""
    rules = [{"record": f"q:{number}", "expr": query} for number, query in enumerate(QUERIES)]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": rules}]}), encoding="utf-8")
    done = subprocess.run([promtool, "check", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    known = {metric.name for metric in CATALOGUE}
    for query in QUERIES:
        names = re.findall(r"\b(iqa[_:][a-z0-9_:]+|process_[a-z_]+)", re.sub(r"\{[^}]*\}", "", query))
        assert names
        for name in names:
            if name.startswith("iqa:"):
                assert name in RECORDS
                continue
            assert name.startswith("process_") or name in known or re.sub(f"({'|'.join(MOVED)})$", "", name) in known


def test_events_of_the_log_are_logged() -> None:
    """Names that the runbook tells to look for."""
    source = "\n".join(path.read_text(encoding="utf-8") for path in (FOLDER.parents[1] / "worker").rglob("*.py"))
    named = set(re.findall(r"[Ll]og (?:lines|has) ?(?:about )?((?:`\w+`(?:, | and )?)+)", PAGE))
    events = {name for group in named for name in re.findall(r"`(\w+)`", group)}
    assert len(events) >= 6
    for event in events:
        assert f'"{event}"' in source, event


def test_settings_are_settings() -> None:
    """By the tables that people read."""
    pages = [(FOLDER.parents[1] / path).read_text(encoding="utf-8") for path in ("README.md", "worker/README.md")]
    for name in set(re.findall(r"IQA_[A-Z0-9_]+", PAGE)):
        # The tables shorten names of one section: `IQA_FETCH__A`, `..._B`.
        last = name.rpartition("__")[2]
        assert any(name in page or f"`..._{last}`" in page or f"`...__{last}`" in page for page in pages), name
