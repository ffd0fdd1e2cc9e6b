"""Of what the dashboard is made: questions, their panels, and the queries of these."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from worker.telemetry.catalogue import CATALOGUE

__all__ = ["Limit", "Panel", "Query", "Question", "quantile", "risen", "scoped", "share_of", "spread"]

RATE = "$__rate_interval"
_OF_PROBE = {metric.name for metric in CATALOGUE if metric.of == "probe"}
_SELECTOR = re.compile(r"(?<![:\w])((?:iqa|process|python_gc)_\w+|up(?=\{))(\{[^}]*\})?")


@dataclass(frozen=True)
class Query:
    """An expression without ``job`` and ``instance``, and what its series are called."""

    expr: str
    legend: str


@dataclass(frozen=True)
class Limit:
    """A figure of an alert's; the side of it that is bad is above, or else below."""

    value: float
    alert: str
    below: bool = False


@dataclass(frozen=True)
class Panel:
    """One chart.

    Attributes:
        title: what is drawn.
        says: one sentence on what is good and what is bad.
        unit: Grafana's name of it.
        queries: from the first letter of the alphabet on.
        limits: drawn as lines; their alerts are linked.
        alerts: further ones whose pages are linked.
        stacked: series are parts of a whole.
        others: units of series whose legend begins with a word; they have the axis on the right.
        most: where the axis ends, at least.

    """

    title: str
    says: str
    unit: str
    queries: tuple[Query, ...]
    limits: tuple[Limit, ...] = ()
    alerts: tuple[str, ...] = ()
    stacked: bool = False
    others: dict[str, str] = field(default_factory=dict)
    most: float | None = None

    @property
    def pages(self) -> tuple[str, ...]:
        """Alerts to whose pages it leads."""
        return tuple(dict.fromkeys([*(limit.alert for limit in self.limits), *self.alerts]))


@dataclass(frozen=True)
class Question:
    """A row: what is asked, and the panels that answer it."""

    asked: str
    panels: tuple[Panel, ...]


def scoped(expr: str) -> str:
    """With matchers of the chosen jobs and instances in every selector.

    What only ``iqa probe`` shows is of the whole fleet: it stays when a worker is chosen. Recorded rules (``iqa:...``) have
    neither label.
    """

    def chosen(match: re.Match[str]) -> str:
        name, inside = match[1], (match[2] or "{}")[1:-1]
        whole_fleet = re.sub(r"_(total|bucket|count|sum)$", "", name) in _OF_PROBE or name in _OF_PROBE
        here = ['job=~"$job"'] if whole_fleet else ['job=~"$job"', 'instance=~"$instance"']
        return f"{name}{{{','.join([*here, *filter(None, [inside])])}}}"

    return _SELECTOR.sub(chosen, expr)


def quantile(q: float, histogram: str, *by: str, window: str = RATE) -> str:
    """Of a histogram; ``histogram`` may have matchers."""
    name, _, matchers = histogram.partition("{")
    bucket = f"{name}_bucket" + (f"{{{matchers}" if matchers else "")
    return f"histogram_quantile({q:g}, sum by ({', '.join(['le', *by])}) (rate({bucket}[{window}])))"


def spread(histogram: str) -> tuple[Query, Query]:
    """Half and 99 % of what a histogram counts."""
    return Query(quantile(0.5, histogram), "half within"), Query(quantile(0.99, histogram), "99 % within")


def share_of(part: str, whole: str, *by: str) -> str:
    """The rate of one counter as a share of another's; nothing while that one stands still."""
    parts = f"sum by ({', '.join(by)}) (rate({part}[{RATE}])) / on() group_left()" if by else f"sum(rate({part}[{RATE}])) /"
    return f"{parts} (sum(rate({whole}[{RATE}])) > 0)"


def risen(counter: str, window: str, *by: str) -> str:
    """By how much a counter rose whose series are absent until their first count, which ``increase`` cannot see.

    Of a series that is new within the window, all of it is the rise, also once its worker is gone. One that was away for a day
    counts as new.
    """
    new = f"max_over_time({counter}[{window}]) unless max_over_time({counter}[1d] offset {window})"
    grouped = f"sum by ({', '.join(by)})" if by else "sum"
    return f"{grouped} (({new}) or increase({counter}[{window}]))"
