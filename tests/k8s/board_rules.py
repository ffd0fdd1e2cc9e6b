"""What a good dashboard keeps to: the rules of Grafana's dashboard-linter, and some of our own. Each gives its faults."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import promql_parser as promql

from tests.k8s.board import filled, labels_of, metric_of, panels, selectors, targets
from tests.k8s.test_alerts import ALERTS, RECORDED, THRESHOLD

Board = dict[str, Any]
Rule = Callable[[Board], Iterator[str]]
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
UNITS = re.compile(r"s|bytes|percentunit|short|none|suffix:.+")
WITHOUT_LABELS = re.compile(r"iqa:.+|ALERTS")
"""Recorded of the whole fleet, and Prometheus' own: they have no job or instance."""


def said(board: Board) -> Iterator[str]:
    """A title that no other has, a sentence on good and bad, a unit, a legend for every query."""
    titles = Counter(panel["title"] for panel in board["panels"])
    for panel in panels(board):
        title = panel["title"]
        if not title or titles[title] > 1:
            yield f"{title}: no title of its own"
        if not re.fullmatch(r"Good: .+ Bad: .+\.", panel.get("description", "")):
            yield f"{title}: does not say what is good and what is bad"
        units = [panel["fieldConfig"]["defaults"].get("unit", "")]
        units += [
            part["value"] for each in panel["fieldConfig"]["overrides"] for part in each["properties"] if part["id"] == "unit"
        ]
        if not all(UNITS.fullmatch(unit) for unit in units):
            yield f"{title}: unit {units}"
        if not panel["options"]["legend"]["showLegend"]:
            yield f"{title}: no legend"


def sourced(board: Board) -> Iterator[str]:
    """The data source is the variable, everywhere."""
    places = [*board["panels"], *board["annotations"]["list"], *(t for panel in panels(board) for t in panel["targets"])]
    places += [variable for variable in board["templating"]["list"] if variable["type"] == "query"]
    for place in places:
        if place.get("datasource") != SOURCE:
            yield f"{place.get('title', place.get('name', place.get('refId')))}: data source {place.get('datasource')}"


def fixed(board: Board) -> Iterator[str]:
    """Not editable, with a uid and tags, without a version of some Grafana's own."""
    if board["editable"] or not 8 <= len(board["uid"]) <= 40 or not board["tags"] or board.get("id") or board.get("version"):
        yield "editable, or without uid or tags"


def chosen(board: Board) -> Iterator[str]:
    """Variables: data source, job, instance and the runbook's address; nobody's namespace."""
    found = {variable["name"]: variable for variable in board["templating"]["list"]}
    if list(found) != ["datasource", "job", "instance", "runbook"]:
        yield f"variables {list(found)}"
    for name in ("job", "instance"):
        variable = found.get(name, {})
        if not variable.get("multi") or not variable.get("includeAll") or not variable.get("allValue"):
            yield f"{name}: not several, or not all"


def laid_out(board: Board) -> Iterator[str]:
    """On the grid, one beside the other, each with a number of its own."""
    ids = Counter(panel["id"] for panel in board["panels"])
    yield from (f"{number} is the id of several" for number, times in ids.items() if times > 1)
    for panel in board["panels"]:
        place = panel["gridPos"]
        if place["x"] + place["w"] > 24 or place["w"] < 6 or place["h"] < 1:
            yield f"{panel['title']}: off the grid, or too small"
    for one, other in combinations(board["panels"], 2):
        a, b = one["gridPos"], other["gridPos"]
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        if not beside and not (a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]):
            yield f"{one['title']} lies over {other['title']}"


def matched(board: Board) -> Iterator[str]:
    """Every selector asks for the chosen jobs, and for the chosen instances unless only a probe has it."""
    for target in targets(board):
        for selector, _ in selectors(target.expr):
            name = str(selector.name)
            metric = metric_of(name)
            wanted = {"job": "iqa.*", "instance": ".+"}
            if metric and metric.of == "probe":
                del wanted["instance"]
            given = {
                matcher.name: matcher.value for matcher in selector.matchers.matchers if matcher.name in {"job", "instance"}
            }
            if given != ({} if WITHOUT_LABELS.fullmatch(name) else wanted):
                yield f"{target.name}: {name} has {given}"


def windowed(board: Board) -> Iterator[str]:
    """Windows are Grafana's, or those of an alert that the panel leads to."""
    for panel in panels(board):
        linked = " ".join(rule["expr"] for rule in ALERTS if rule["alert"] in {link["title"] for link in panel["links"]})
        # A day is how far back a series must be unknown to be new.
        allowed = {"$__rate_interval", "1d", *re.findall(r"\[(\w+)\]", linked)}
        for target in panel["targets"]:
            for window in re.findall(r"\[([^]]+)\]", target["expr"]):
                if window not in allowed:
                    yield f"{panel['title']}: a window of {window}"


def counted(board: Board) -> Iterator[str]:
    """Counters are asked for their rate or increase, or for being new; nothing else is."""
    for target in targets(board):
        for selector, above in selectors(target.expr):
            name = str(selector.name)
            grows = name.endswith(("_total", "_bucket", "_count", "_sum"))
            calls = {node.func.name for node in above if isinstance(node, promql.Call)}
            if grows and not calls & {"rate", "increase"} and " unless max_over_time(" not in target.expr:
                yield f"{target.name}: {name} is a counter"
            if not grows and calls & {"rate", "increase"}:
                yield f"{target.name}: {name} is no counter"


def summed(board: Board) -> Iterator[str]:
    """Quantiles are of a sum of rates of buckets by their bounds."""
    for target in targets(board):
        for selector, above in selectors(target.expr):
            if not str(selector.name).endswith("_bucket"):
                continue
            shape = [node.func.name if isinstance(node, promql.Call) else type(node).__name__ for node in above]
            if shape != ["histogram_quantile", "AggregateExpr", "rate", "MatrixSelector"]:
                yield f"{target.name}: {shape}"
            elif str(above[1].op) != "sum" or "le" not in above[1].modifier.labels:
                yield f"{target.name}: not a sum by le"


def named(board: Board) -> Iterator[str]:
    """A legend has all labels by which the series differ, and no others; within a panel each is another."""
    for target in targets(board):
        if not target.legend:
            yield f"{target.name}: no legend"
        differ = labels_of(promql.parse(filled(target.expr)))
        if differ is not None and differ != set(re.findall(r"\{\{(\w+)\}\}", target.legend)):
            yield f"{target.name}: legend {target.legend} for series by {sorted(differ)}"
    for panel in panels(board):
        legends = Counter(target["legendFormat"] for target in panel["targets"])
        yield from (f"{panel['title']}: {legend} twice" for legend, times in legends.items() if times > 1)
        if len({target["refId"] for target in panel["targets"]}) < len(panel["targets"]):
            yield f"{panel['title']}: queries with one letter"


def limited(board: Board) -> Iterator[str]:
    """Lines are figures of alerts that the panel leads to, and are drawn."""
    for panel in panels(board):
        values = [
            step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"] if step["value"] is not None
        ]
        drawn = panel["fieldConfig"]["defaults"]["custom"]["thresholdsStyle"]["mode"] != "off"
        if drawn != bool(values) or values != sorted(values):
            yield f"{panel['title']}: lines {values}, drawn: {drawn}"
        figures = {figure for link in panel["links"] for figure in figures_of(link["title"])}
        yield from (f"{panel['title']}: no alert has {value}" for value in values if value not in figures)


def figures_of(alert: str) -> set[float]:
    """Thresholds of an alert, and the bounds of buckets in what was recorded for it."""
    expr = next((rule["expr"] for rule in ALERTS if rule["alert"] == alert), "")
    recorded = " ".join(rule["expr"] for rule in RECORDED if rule["record"] in expr)
    return {float(found) for found in [*THRESHOLD.findall(expr), *re.findall(r'le="([\d.]+)"', recorded)]}


RULES: dict[str, Rule] = {
    rule.__name__: rule for rule in (said, sourced, fixed, chosen, laid_out, matched, windowed, counted, summed, named, limited)
}
