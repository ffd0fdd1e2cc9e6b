"""The dashboard as a test reads it: its panels, its queries with values for the variables, and the selectors in these."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import promql_parser as promql

from tests.k8s.test_alerts import DRIFT, FOLDER, RECORDED
from worker.telemetry.catalogue import ANY, CATALOGUE, Metric

FILE = FOLDER / "dashboard.json"
BOARD: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
KNOWN = {metric.name: metric for metric in CATALOGUE}
RECORDS = {rule["record"] for rule in [*RECORDED, *DRIFT]}
ENDS = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "info": ("_info",), "gauge": ("",)}
ELSEWHERE = re.compile(r"process_\w+|python_gc_\w+|up|ALERTS")
"""Names that are the client library's, or Prometheus' own."""
VALUES = {"$__rate_interval": "20s", "$job": "iqa.*", "$instance": ".+"}


@dataclass(frozen=True)
class Target:
    """One query of one panel."""

    panel: str
    letter: str
    expr: str
    legend: str

    @property
    def name(self) -> str:
        return f"{self.panel}: {self.letter}"


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    """Those that draw something."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def targets(board: dict[str, Any]) -> list[Target]:
    return [
        Target(panel["title"], target["refId"], target["expr"], target["legendFormat"])
        for panel in panels(board)
        for target in panel["targets"]
    ]


def filled(expr: str) -> str:
    """With values for the variables, as Grafana puts them in."""
    for name, value in VALUES.items():
        expr = expr.replace(name, value)
    return expr


def nodes(expr: str) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Each part of a query, and what it lies in, outermost first."""
    found: list[tuple[Any, tuple[Any, ...]]] = []
    above: list[Any] = []

    def enter(node: promql.Expr) -> None:
        found.append((node, tuple(above)))
        above.append(node)

    def leave(_: promql.Expr) -> None:
        above.pop()

    promql.walk(promql.parse(filled(expr)), enter, leave)
    yield from found


def selectors(expr: str) -> list[tuple[promql.VectorSelector, tuple[Any, ...]]]:
    """Each selector, and what it lies in."""
    return [(node, above) for node, above in nodes(expr) if isinstance(node, promql.VectorSelector)]


def metric_of(name: str) -> Metric | None:
    """Of the catalogue, if a series of this name is one of its: a counter with ``_total``, and so on."""
    for metric in CATALOGUE:
        if name in {metric.name + end for end in ENDS[metric.kind]}:
            return metric
    return None


def labels_of(node: Any) -> set[str] | None:
    """By which the result's series differ; nothing where that is not known."""
    if isinstance(node, promql.ParenExpr):
        return labels_of(node.expr)
    if isinstance(node, promql.BinaryExpr):
        left = labels_of(node.lhs)
        return labels_of(node.rhs) if isinstance(node.lhs, promql.NumberLiteral | promql.Call) and not left else left
    if isinstance(node, promql.Call):
        return (labels_of(node.args[1]) or set()) - {"le"} if node.func.name == "histogram_quantile" else set()
    if isinstance(node, promql.AggregateExpr):
        if node.param is not None:
            return labels_of(node.expr)
        return set(node.modifier.labels) if node.modifier else set()
    return None


def unknown(expr: str) -> list[str]:
    """What a query asks for that there is not: metrics, labels, values of labels."""
    found = []
    for selector, _ in selectors(expr):
        name = str(selector.name)
        metric = metric_of(name)
        if metric is None and name not in RECORDS and not ELSEWHERE.fullmatch(name):
            found.append(name)
        for matcher in selector.matchers.matchers if metric and metric.kind != "info" else []:
            if matcher.name in {"job", "instance"} or (matcher.name == "le" and metric and metric.buckets):
                continue
            allowed = metric.labels.get(matcher.name) if metric else None
            if allowed is None:
                found.append(f"{name}{{{matcher.name}}}")
            elif allowed != ANY and not set(matcher.value.split("|")) <= set(allowed):
                found.append(f"{name}{{{matcher.name}={matcher.value}}}")
    return found
