"""The runbook has a page for every alert, operations have theirs, and what they tell to run can be run."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from tests.k8s.pages import KAFKA_TOOLS, KUBECTL, TEXT_TOOLS, Command, Page, anchor_of, commands
from tests.k8s.test_alerts import DRIFT, FOLDER, NAMES, RECORDED, promtool
from worker.cli import app
from worker.telemetry.catalogue import CATALOGUE

__all__ = ["promtool"]

RUNBOOK, OPERATIONS = Page(FOLDER / "runbook.md"), Page(FOLDER / "operations.md")
MANIFESTS = Page(FOLDER.parent / "README.md")
PAGES = (RUNBOOK, OPERATIONS, MANIFESTS)
COMMANDS = sorted({command for page in PAGES for line in page.lines for command in commands(line)}, key=str)
RECORDS = {rule["record"] for rule in [*RECORDED, *DRIFT]}
MOVED = ("_total", "_bucket", "_count", "_sum", "_info")
TOLD = re.compile(r"^- \*\*(\w+(?: to \w+)?)[^*]*\.\*\*", re.MULTILINE)


def test_every_alert_has_a_page() -> None:
    """With meaning, impact, diagnosis and mitigation, in the rules' order."""
    assert list(RUNBOOK.parts) == NAMES
    for text in RUNBOOK.parts.values():
        assert TOLD.findall(text) == ["Meaning", "Impact", "Diagnosis", "Mitigation"]


def test_every_operation_has_a_page() -> None:
    """In the order of the table that leads to them: when, what happens meanwhile, steps, how to see it, how to go back."""
    table = re.findall(r"^\| \[([^]]+)\]", OPERATIONS.text, re.MULTILINE)
    assert list(OPERATIONS.parts) == table
    for name, text in OPERATIONS.parts.items():
        told = list(dict.fromkeys(re.sub(r"^Steps for.*", "Steps", each) for each in TOLD.findall(text)))
        assert told == ["When", "Meanwhile", "Steps", "Seen to work", "Back"], name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path.stem)
def test_links_lead_somewhere(page: Page) -> None:
    """To files, and to headings of these."""
    headings = {each.path: {anchor_of(heading) for heading in each.parts} for each in PAGES}
    for target in page.links:
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        place = (page.path.parent / path).resolve() if path else page.path
        assert place.exists(), target
        if anchor and place in headings:
            assert anchor in headings[place], target


@pytest.mark.parametrize("command", [each for each in COMMANDS if each.program == "iqa"], ids=str)
def test_our_commands_are_there(command: Command) -> None:
    """With the options and arguments that they are told with."""
    # Asked for help, a command checks the names of options that come before.
    done = CliRunner().invoke(app, [*command.arguments, "--help"])
    assert done.exit_code == 0, done.output
    for option in command.options:
        assert option in done.output


@pytest.mark.parametrize("command", [each for each in COMMANDS if each.program != "iqa"], ids=str)
def test_commands_of_others_were_tried(command: Command) -> None:
    """Kafka's tools with options that are known, kubectl, and programs that every shell has."""
    if command.program == "kubectl":
        assert command.arguments[0] in KUBECTL
    elif command.program in KAFKA_TOOLS:
        assert set(command.options) <= KAFKA_TOOLS[command.program]
        assert "--bootstrap-server" in command.options
    else:
        assert command.program in TEXT_TOOLS


def test_queries_are_queries(promtool: str, tmp_path: Path) -> None:
    """By promtool; their metrics are in the catalogue."""
    queries = [query for page in PAGES for query in page.queries]
    rules = [{"record": f"q:{number}", "expr": query} for number, query in enumerate(queries)]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": rules}]}), encoding="utf-8")
    done = subprocess.run([promtool, "check", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for query in queries:
        names = re.findall(r"\b(iqa[_:][a-z0-9_:]+|process_[a-z_]+)", re.sub(r"\{[^}]*\}", "", query))
        assert names
        assert all(is_metric(name) for name in names), query


def is_metric(name: str) -> bool:
    """Whether it is in the catalogue, as it is or with what Prometheus adds, recorded by a rule, or the client library's."""
    known = {metric.name for metric in CATALOGUE}
    if name.startswith("iqa:"):
        return name in RECORDS
    return name.startswith("process_") or name in known or re.sub(f"({'|'.join(MOVED)})$", "", name) in known


def test_metrics_that_are_named_are_there() -> None:
    """In the text of the operations, outside queries."""
    named = set(re.findall(r"`(iqa_[a-z_]+)`", OPERATIONS.text))
    assert len(named) >= 3
    assert not [name for name in named if not is_metric(name)]


def test_events_of_the_log_are_logged() -> None:
    """Names that they tell to look for."""
    source = "\n".join(path.read_text(encoding="utf-8") for path in (FOLDER.parents[1] / "worker").rglob("*.py"))
    text = "\n".join(page.text for page in PAGES)
    named = set(re.findall(r"[Ll]og (?:lines|has|says) ?(?:about )?((?:`\w+`(?:, | and )?)+)", text))
    events = {name for group in named for name in re.findall(r"`(\w+)`", group)}
    assert events >= {"shadow_differs", "engines_ready", "decoder_died", "draining", "stopped"}
    for event in events:
        assert f'"{event}"' in source, event


def test_settings_are_settings() -> None:
    """By the tables that people read."""
    tables = [(FOLDER.parents[1] / path).read_text(encoding="utf-8") for path in ("README.md", "worker/README.md")]
    for name in {name for page in PAGES for name in re.findall(r"IQA_[A-Z0-9_]*[A-Z0-9]", page.text)}:
        # The tables shorten names of one section: `IQA_FETCH__A`, `..._B`.
        last = name.rpartition("__")[2]
        assert any(name in page or f"`..._{last}`" in page or f"`...__{last}`" in page for page in tables), name
