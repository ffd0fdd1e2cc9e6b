"""The page that draws the dashboard's queries."""

from __future__ import annotations

import pytest

from tests.k8s.board import BOARD, panels
from tests.k8s.dashboard_data import EMPTY, OR_NONE, empty_ones, reason_of
from tests.k8s.dashboard_page import drawn, lines_of
from tests.k8s.dashboard_units import shown, ticks


def seen(points: list[tuple[float, float]]) -> dict[str, object]:
    """A run in which every query has one series."""
    found = {}
    for panel in panels(BOARD):
        series = [{"labels": {"instance": "a<b"}, "points": points}] if points else []
        found[panel["title"]] = [
            {"expr": target["expr"], "legend": target["legendFormat"], "series": series, "filled_in": False}
            for target in panel["targets"]
        ]
    return {"began": 0.0, "ended": 60.0, "done": [(30.0, "a <fault>")], "panels": found}


def test_every_panel_is_drawn() -> None:
    """By its title, with its lines; what is written is not taken for markup."""
    page = drawn(BOARD, seen([(0.0, 1.0), (5.0, 2.0), (30.0, 3.0)]))
    for panel in BOARD["panels"]:
        assert f">{panel['title'].replace(chr(39), '&#x27;')}</div>" in page
    assert page.count("<svg") == len(panels(BOARD))
    assert "No data" not in page
    assert "a &lt;fault&gt;" in page
    assert "<fault>" not in page
    assert "a&lt;b" in page


def test_what_has_no_data_says_so() -> None:
    """In the chart, and in what is told at the end."""
    run = seen([])
    assert drawn(BOARD, run).count("No data") == len(panels(BOARD))
    found = empty_ones(run["panels"])  # type: ignore[arg-type]
    assert len(found) == sum(len(panel["targets"]) for panel in panels(BOARD))
    assert not all(why for _, _, why in found)


def test_reasons_are_of_queries_that_there_are() -> None:
    """Each of some, and few have one; a query that only fills a zero in must have data without it."""
    exprs = [target["expr"] for panel in panels(BOARD) for target in panel["targets"]]
    for part in EMPTY:
        assert any(part in expr for expr in exprs), part
    assert sum(bool(reason_of(expr)) for expr in exprs) < 10
    assert any(expr.endswith(OR_NONE) for expr in exprs)


def test_a_stack_lies_on_what_is_below() -> None:
    """Each by its own time; the legend has the series' own last value."""
    panel = next(panel for panel in panels(BOARD) if "stacking" in panel["fieldConfig"]["defaults"]["custom"])
    query = {
        "legend": "{{stage}}",
        "series": [{"labels": {"stage": f"s{n}"}, "points": [(0.0, 1.0), (5.0, n)]} for n in (2, 3)],
    }
    low, high = lines_of(panel, [query])
    assert (low.points, low.floor) == ([(0.0, 1.0), (5.0, 2)], [(0.0, 0.0), (5.0, 0.0)])
    assert (high.points, high.floor, high.last, high.name) == ([(0.0, 2.0), (5.0, 5)], low.points, 3, "s3")


def test_a_unit_of_its_own_has_the_axis_on_the_right() -> None:
    """Pixels, beside bytes."""
    panel = next(panel for panel in panels(BOARD) if panel["fieldConfig"]["overrides"])
    query = [
        {"legend": word, "series": [{"labels": {}, "points": [(0.0, 1.0)]}]} for word in ("half under", "pixels: half under")
    ]
    left, right = lines_of(panel, query)
    assert (left.unit, left.right) == ("bytes", False)
    assert (right.unit, right.right) == ("suffix: px", True)
    assert ">1 px<" in drawn(BOARD, seen([(0.0, 1.0)]))


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "s", "0"),
        (0.0123, "s", "12.3 ms"),
        (90, "s", "1.5 min"),
        (7 * 86_400, "s", "7 d"),
        (0.144, "percentunit", "14.4 %"),
        (1536, "bytes", "1.5 KiB"),
        (5000, "short", "5 K"),
        (0.25, "none", "0.25"),
        (12, "suffix:/s", "12/s"),
        (2_000_000, "suffix: px", "2 M px"),
    ],
)
def test_numbers_have_units(value: float, unit: str, text: str) -> None:
    """Grafana's."""
    assert shown(value, unit) == text


@pytest.mark.parametrize(
    ("top", "marks"),
    [
        (0, [0, 1]),
        (1, [0, 0.25, 0.5, 0.75, 1]),
        (7, [0, 2, 4, 6, 8]),
        (100, [0, 25, 50, 75, 100]),
        (0.3, [0, 0.1, 0.2, 0.3]),
        (1.003, [0, 0.25, 0.5, 0.75, 1]),
    ],
)
def test_marks_are_round(top: float, marks: list[float]) -> None:
    """And reach the top."""
    assert ticks(top) == pytest.approx(marks)
