"""Rules and runbook: every alert fires when it should and only then, and leads somewhere."""

from __future__ import annotations

import copy
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.k8s.alert_cases import CASES, Case
from tests.k8s.prometheus_rule import SOURCES
from worker.telemetry.catalogue import CATALOGUE

FOLDER = Path(__file__).resolve().parents[2] / "k8s" / "monitoring"
RULES: dict[str, Any] = yaml.safe_load((FOLDER / "rules.yaml").read_text(encoding="utf-8"))
RECORDED, ALERTS = (next(g["rules"] for g in RULES["groups"] if g["name"] == f"iqa-{n}") for n in ("recordings", "alerts"))
DRIFT = yaml.safe_load((FOLDER / "drift.yaml").read_text(encoding="utf-8"))["groups"][0]["rules"]
NAMES = [rule["alert"] for rule in ALERTS]
THRESHOLD = re.compile(r"(?<=[<>] )(\d+(?:\.\d+)?)(?![\d.]*[smhd\]])")


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("needs promtool, and in CI it must be there", pytrace=False)
        pytest.skip("needs promtool: apt-get install prometheus")
    return found


def rule_of(name: str) -> dict[str, Any]:
    return next(rule for rule in ALERTS if rule["alert"] == name)


def failures(promtool: str, folder: Path, alert: dict[str, Any], cases: list[Case]) -> str:
    """What promtool says of an alert's cases; nothing if all are as they should be."""
    used = [rule for rule in RECORDED if rule["record"] in alert["expr"]]
    groups = [{"name": "g", "rules": [*used, alert]}]
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": groups}), encoding="utf-8")
    for step in sorted({case.step for case in cases}):
        tests = [_played(case, alert["alert"]) for case in cases if case.step == step]
        plan = {"rule_files": ["rules.yaml"], "evaluation_interval": f"{step}s", "tests": tests}
        (folder / "tests.yaml").write_text(yaml.safe_dump(plan), encoding="utf-8")
        done = subprocess.run(
            [promtool, "test", "rules", "tests.yaml"], cwd=folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            return done.stdout + done.stderr
    return ""


def _played(case: Case, name: str) -> dict[str, Any]:
    # Whether it fires, not in which words: those have values in them.
    query = f'count(ALERTS{{alertname="{name}",alertstate="firing"}}) or vector(0)'
    at = f"{round(case.minutes * 60)}s"
    return {
        "name": f"{name}: {case.told}",
        "interval": f"{case.step}s",
        "input_series": [{"series": series, "values": values} for series, values in case.series.items()],
        "promql_expr_test": [{"expr": query, "eval_time": at, "exp_samples": [{"value": int(case.fires)}]}],
    }


def test_rules_are_well_formed(promtool: str) -> None:
    """By promtool's own check."""
    done = subprocess.run([promtool, "check", "rules", *map(str, SOURCES)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_whole() -> None:
    """Twenty-two at least; each waits, stays, has a severity, says what is wrong, leads to its page, and has cases."""
    assert len(NAMES) >= 22
    assert CASES.keys() == set(NAMES)
    for rule in ALERTS:
        assert {"for", "keep_firing_for"} <= rule.keys()
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert {"summary", "description", "runbook_url"} == rule["annotations"].keys()
        assert rule["annotations"]["runbook_url"].endswith(f"#{rule['alert'].lower()}")
        assert "{{" in rule["annotations"]["description"] or rule["alert"] == "IqaAbsent"
        cases = CASES[rule["alert"]]
        assert len(cases) >= 3
        assert {case.fires for case in cases} == {True, False}


def test_rules_ask_for_metrics_that_there_are() -> None:
    """By the catalogue, labels and their values included; other names are the client library's or recorded here."""
    known = {metric.name: metric for metric in CATALOGUE}
    recorded = {rule["record"] for rule in [*RECORDED, *DRIFT]}
    for rule in [*RECORDED, *DRIFT, *ALERTS]:
        for name in re.findall(r"iqa:[a-z0-9_:]+", rule["expr"]):
            assert name in recorded
        for name, selector in re.findall(r"(?<![:\w])(iqa_[a-z_]+)(?:\{([^}]*)\})?", rule["expr"]):
            metric = known[re.sub(r"_(total|bucket|count|sum|info)$", "", name)]
            assert not name.endswith("_total") or metric.kind == "counter"
            assert name.endswith("_total") or metric.kind != "counter"
            for label, values in re.findall(r'(\w+)(?:=|=~|!=)"([^"]*)"', selector or ""):
                assert label in metric.labels or label == "le" or metric.kind == "info"
                allowed = metric.labels.get(label, ("...",))
                assert allowed == ("...",) or set(values.split("|")) <= set(allowed)


@pytest.mark.parametrize("name", NAMES)
def test_it_fires_when_it_should(promtool: str, name: str, tmp_path: Path) -> None:
    """And is silent else."""
    assert failures(promtool, tmp_path, rule_of(name), CASES[name]) == ""


def mutations() -> list[tuple[str, str]]:
    """Every alert with every threshold of its own but 0, moved by a fifth either way: name and expression."""
    found = []
    for rule in ALERTS:
        for match in THRESHOLD.finditer(rule["expr"]):
            if float(match.group()) == 0:
                continue
            for factor in (0.8, 1.2):
                moved = f"{float(match.group()) * factor:g}"
                found.append((rule["alert"], rule["expr"][: match.start()] + moved + rule["expr"][match.end() :]))
    return found


UNMOVED = {
    "IqaBreakerOpen",
    "IqaNoneJoined",
    "IqaNotReady",
    "IqaPartitionsUnowned",
    "IqaProbeGone",
    "IqaRestarts",
    "IqaVersionsDiffer",
    "IqaWorkerDown",
}
"""Their thresholds lie between two whole numbers, and moved by a fifth still do."""


def test_no_threshold_can_be_moved_unseen(promtool: str, tmp_path: Path) -> None:
    """By a fifth, without a case that fails."""
    unseen = []
    for name, expression in mutations():
        rule = copy.deepcopy(rule_of(name))
        rule["expr"] = expression
        if name not in UNMOVED and not failures(promtool, tmp_path, rule, CASES[name]):
            unseen.append((name, expression))
    assert unseen == []
