"""The dashboard: written by its generator, answers in order, asks only for what there is, leads to the runbook."""

from __future__ import annotations

import copy
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml

from k8s.monitoring.dashboard.build import QUESTIONS, made
from k8s.monitoring.dashboard.shape import risen
from tests.k8s.board import BOARD, FILE, KNOWN, filled, metric_of, panels, selectors, targets, unknown
from tests.k8s.board_rules import RULES
from tests.k8s.test_alerts import NAMES, promtool

__all__ = ["promtool"]

TARGETS = targets(BOARD)
EXPRESSIONS = [*(target.expr for target in TARGETS), *(each["expr"] for each in BOARD["annotations"]["list"])]
ASKED = [
    "users",
    "how far behind",
    "stuck",
    "who owns",
    "broker",
    "time go",
    "bucket down",
    "pictures odd",
    "change its mind",
    "redis",
    "dead letters",
    "not ready",
    "memory",
    "whole path",
]
"""Of the questions of a night shift, in their order."""
NOT_SHOWN = {
    "iqa_partition_end_offset": "a place, not a state; lag is made of it",
    "iqa_in_flight_bytes": "iqa_paused says when there are too many",
    "iqa_partitions_moved": "rebalances say when they move",
    "iqa_rebalance_seconds": "bounded by the drain's budget; the log has each",
    "iqa_transaction_records": "for who tunes batches, not for who is called at night",
    "iqa_transaction_partitions": "for who tunes batches, not for who is called at night",
    "iqa_shadow_verdicts": "for who compares profiles; there only with a shadow",
    "iqa_engine": "iqa_build_info has the engines' names on one line",
    "iqa_projection_errors": "its conditions say what is missing; the log has each",
    "iqa_start_seconds": "the failing condition says which phase a start is in",
}
"""Metrics without a panel, and why."""


def test_it_is_what_the_generator_makes() -> None:
    """``make dashboard`` has been run."""
    assert FILE.read_text(encoding="utf-8") == made()


def test_it_answers_the_questions_in_their_order() -> None:
    """A row each, and forty panels at most."""
    rows = [panel["title"] for panel in BOARD["panels"] if panel["type"] == "row"]
    assert rows == [question.asked for question in QUESTIONS]
    assert len(rows) == len(ASKED)
    for row, words in zip(rows, ASKED, strict=True):
        assert words in row.lower()
    assert 0 < len(panels(BOARD)) <= 40


@pytest.mark.parametrize("rule", RULES)
def test_it_keeps_to(rule: str) -> None:
    """Each of the rules."""
    assert list(RULES[rule](BOARD)) == []


def test_queries_are_queries(promtool: str, tmp_path: Path) -> None:
    """By a parser, and by promtool."""
    for expr in EXPRESSIONS:
        assert "$" not in filled(expr)
        promql.parse(filled(expr))
    rules = [{"record": f"q:{number}", "expr": filled(expr)} for number, expr in enumerate(EXPRESSIONS)]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": rules}]}), encoding="utf-8")
    done = subprocess.run([promtool, "check", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_metrics_are_in_the_catalogue() -> None:
    """With their labels and the values of these; or they are recorded, or the client library's."""
    assert {expr: found for expr in EXPRESSIONS if (found := unknown(expr))} == {}


@pytest.mark.parametrize(
    ("expr", "found"),
    [
        ("sum(iqa_nothing)", ["iqa_nothing"]),
        ("sum(rate(iqa_events[5m]))", ["iqa_events"]),
        ("iqa_breaker_open_total", ["iqa_breaker_open_total"]),
        ('iqa_threads{state="asleep"}', ["iqa_threads{state=asleep}"]),
        ('iqa_threads{lane="retry"}', ["iqa_threads{lane}"]),
        ("iqa:nothing", ["iqa:nothing"]),
        ('iqa_threads{state=~"busy|idle"} + up', []),
    ],
)
def test_what_is_not_there_is_found(expr: str, found: list[str]) -> None:
    """Metrics, suffixes, values, labels, recordings."""
    assert unknown(expr) == found


def test_every_metric_is_shown_or_not_for_a_reason() -> None:
    """By the catalogue; reasons of metrics that are shown are out of date."""
    asked = {str(selector.name) for expr in EXPRESSIONS for selector, _ in selectors(expr)}
    shown = {metric.name for name in asked if (metric := metric_of(name))}
    assert shown.isdisjoint(NOT_SHOWN)
    assert shown | NOT_SHOWN.keys() == KNOWN.keys()


def test_every_alert_is_reached_from_a_panel() -> None:
    """By a link to its page of the runbook."""
    links = [link for panel in panels(BOARD) for link in panel["links"]]
    for link in links:
        assert link["url"] == f"${{runbook:raw}}#{link['title'].lower()}"
    assert {link["title"] for link in links} == set(NAMES)


@pytest.mark.parametrize(
    ("values", "risen_by"),
    [
        ("_x170 4x30", 4),  # was not there: all of it is the rise
        ("_x165 4x5 _x60", 4),  # of a worker that is gone
        ("7x200", 0),
        ("0x170 _x5 3x25", 3),  # started again within the window
        ("7x100 _x65 7x35", 0),  # nobody scraped when the window began: no rise
    ],
)
def test_the_first_count_of_a_counter_is_seen(promtool: str, tmp_path: Path, values: str, risen_by: int) -> None:
    """Of one that is not there before it; ``values`` are a quarter of a minute apart, the last ten of fifty are looked at."""
    expr = f"round({risen('iqa_refused_records_total', '10m')})"
    played = {
        "interval": "15s",
        "input_series": [{"series": 'iqa_refused_records_total{code="x"}', "values": values}],
        "promql_expr_test": [{"expr": expr, "eval_time": "50m", "exp_samples": [{"labels": "{}", "value": risen_by}]}],
    }
    file = tmp_path / "tests.yaml"
    file.write_text(yaml.safe_dump({"evaluation_interval": "15s", "tests": [played]}), encoding="utf-8")
    done = subprocess.run([promtool, "test", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


Plant = Callable[[dict[str, Any]], None]


def first(board: dict[str, Any]) -> dict[str, Any]:
    return panels(board)[1]


def ask(expr: str, legend: str = "x") -> Plant:
    """Let the first query be another one."""

    def plant(board: dict[str, Any]) -> None:
        first(board)["targets"][0].update(expr=expr, legendFormat=legend)

    return plant


def put(key: str, value: object) -> Plant:
    def plant(board: dict[str, Any]) -> None:
        first(board)[key] = value

    return plant


def put_unit(board: dict[str, Any]) -> None:
    first(board)["fieldConfig"]["defaults"]["unit"] = ""


def put_limit(board: dict[str, Any]) -> None:
    first(board)["fieldConfig"]["defaults"]["thresholds"]["steps"][-1]["value"] = 61


def put_namespace(board: dict[str, Any]) -> None:
    board["templating"]["list"].append({"name": "namespace", "type": "query", "datasource": first(board)["datasource"]})


HERE = 'job=~"$job",instance=~"$instance"'
BUCKETS = f"iqa_event_seconds_bucket{{{HERE}}}"


@pytest.mark.parametrize(
    ("rule", "plant"),
    [
        ("said", put("title", panels(BOARD)[2]["title"])),
        ("said", put("description", "Shows the age.")),
        ("said", put_unit),
        ("sourced", put("datasource", {"type": "prometheus", "uid": "abc"})),
        ("fixed", lambda board: board.update(editable=True)),
        ("chosen", put_namespace),
        ("laid_out", put("id", 1)),
        ("laid_out", put("gridPos", {"x": 0, "y": 1, "w": 8, "h": 8})),
        ("matched", ask("sum(up)")),
        ("matched", ask(f"max(iqa_fleet_members{{{HERE}}})")),
        ("windowed", ask(f"sum(rate(iqa_events_total{{{HERE}}}[7m]))")),
        ("counted", ask(f"sum(iqa_events_total{{{HERE}}})")),
        ("counted", ask(f"sum(rate(iqa_queued_events{{{HERE}}}[$__rate_interval]))")),
        ("summed", ask(f"histogram_quantile(0.9, rate({BUCKETS}[$__rate_interval]))")),
        ("summed", ask(f"histogram_quantile(0.9, max by (le) (rate({BUCKETS}[$__rate_interval])))")),
        ("named", ask(f"sum by (state) (iqa_threads{{{HERE}}})")),
        ("named", ask(f"sum(iqa_queued_events{{{HERE}}})", "{{state}}")),
        ("limited", put_limit),
    ],
)
def test_faults_are_found(rule: str, plant: Plant) -> None:
    """Of each kind, by its rule."""
    board = copy.deepcopy(BOARD)
    plant(board)
    assert list(RULES[rule](board)) != []


def test_descriptions_are_sentences() -> None:
    """No code and no name of a variable in them."""
    for panel in panels(BOARD):
        assert not re.search(r"[`$_]", panel["description"])
