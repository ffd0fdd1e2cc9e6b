"""Draws the dashboard's panels as a page of small charts, in its own layout: what a Grafana would show, as far as needed."""

from __future__ import annotations

import re
from html import escape
from typing import Any

from tests.k8s.dashboard_chart import Chart, Line
from tests.k8s.dashboard_units import shown

COLUMN, UNIT, GAP, TOP, HEAD = 70, 36, 8, 60, 26
WIDTH = 24 * COLUMN + GAP
ROW_OF_LEGEND, ROWS, LETTER, BESIDE = 14, 4, 5.8, 24
COLOURS = [
    "73bf69",
    "f2cc0c",
    "5794f2",
    "ff780a",
    "b877d9",
    "37872d",
    "fa6400",
    "447ebc",
    "c15c17",
    "8ab8ff",
    "ffa6b0",
    "6ed0e0",
    "e24d42",
    "1f78c1",
    "ba43a9",
    "705da0",
]
LIMITS = {"red": "#f2495c", "orange": "#ff9830", "green": "#f2495c"}
STYLE = """
body { margin: 0; background: #111217; color: #ccccdc; font: 12px sans-serif; position: relative }
.panel { position: absolute; background: #181b1f; border: 1px solid #2c3235; box-sizing: border-box; overflow: hidden }
.row { position: absolute; font-size: 15px; font-weight: bold; padding-top: 12px; box-sizing: border-box }
.title { padding: 5px 8px 2px; font-weight: bold; white-space: nowrap; overflow: hidden; text-overflow: ellipsis }
.legend { position: absolute; bottom: 3px; left: 8px; right: 4px; font-size: 11px; line-height: 14px; overflow: hidden }
.legend span { margin-right: 10px; white-space: nowrap }
.legend i { display: inline-block; width: 10px; height: 3px; margin: 0 4px 3px 0 }
.head { position: absolute; left: 8px; top: 8px; right: 8px; line-height: 18px }
text { fill: #9a9caa; font-size: 10px }
"""


def height_of(board: dict[str, Any]) -> int:
    """Of the page, in pixels."""
    lowest = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"])
    return TOP + int(lowest) * UNIT + GAP


def drawn(board: dict[str, Any], seen: dict[str, Any]) -> str:
    """The page; ``seen`` is the data of a run."""
    deeds = "; ".join(f"{number}: {escape(what)}" for number, (_, what) in enumerate(seen["done"], 1))
    head = f"<div class=head><b>{escape(board['title'])}</b><br>Vertical lines: {deeds}</div>"
    style = f"{STYLE}body {{ height: {height_of(board)}px; width: {WIDTH}px }}"
    boxes = "".join(_box(panel, seen) for panel in board["panels"])
    return f"<!doctype html><meta charset=utf-8><style>{style}</style>{head}{boxes}"


def _box(panel: dict[str, Any], seen: dict[str, Any]) -> str:
    place = panel["gridPos"]
    width, height = place["w"] * COLUMN - GAP, place["h"] * UNIT - 4
    where = f"left:{GAP + place['x'] * COLUMN}px;top:{TOP + place['y'] * UNIT}px;width:{width}px;height:{height}px"
    if panel["type"] == "row":
        return f'<div class=row style="{where}">{escape(panel["title"])}</div>'
    lines = lines_of(panel, seen["panels"][panel["title"]])
    rows = _rows(lines, width)
    defaults = panel["fieldConfig"]["defaults"]
    chart = Chart(
        width,
        height - HEAD - rows * ROW_OF_LEGEND,
        seen["began"],
        seen["ended"],
        lines,
        [(step["value"], LIMITS[step["color"]]) for step in defaults["thresholds"]["steps"] if step["value"] is not None],
        [at for at, _ in seen["done"]],
        defaults["custom"].get("axisSoftMax", 0.0),
    )
    title = f'<div class=title title="{escape(panel["description"])}">{escape(panel["title"])}</div>'
    legend = "".join(map(_entry, lines))
    height = f"max-height:{rows * ROW_OF_LEGEND}px"
    return f'<div class=panel style="{where}">{title}{chart.svg()}<div class=legend style="{height}">{legend}</div></div>'


def _rows(lines: list[Line], width: int) -> int:
    """Of the legend; what does not fit into four is cut off, as in a Grafana before one scrolls."""
    rows, used = 1, 0.0
    for line in lines:
        wanted = LETTER * len(f"{line.name} {shown(line.last, line.unit)}") + BESIDE
        if used and used + wanted > width - 2 * BESIDE:
            rows, used = rows + 1, 0.0
        used += wanted
    return min(ROWS, rows)


def _entry(line: Line) -> str:
    name, last = escape(line.name), escape(shown(line.last, line.unit))
    return f'<span><i style="background:{line.colour}"></i>{name} <b>{last}</b></span> '


def lines_of(panel: dict[str, Any], queries: list[dict[str, Any]]) -> list[Line]:
    """Series with name, colour, unit and side; those of a stack lie on those before."""
    defaults = panel["fieldConfig"]["defaults"]
    stacked = defaults["custom"].get("stacking", {}).get("mode") == "normal"
    found: list[Line] = []
    below: dict[float, float] = {}
    for legend, series in ((query["legend"], each) for query in queries for each in query["series"]):
        name, points = _named(legend, series["labels"]), [(at, value) for at, value in series["points"]]
        override = _override(panel, name)
        line = Line(name, override or defaults["unit"], f"#{COLOURS[len(found) % len(COLOURS)]}", points, points[-1][1])
        line.right = bool(override)
        if stacked:
            line.floor = [(at, below.get(at, 0.0)) for at, _ in points]
            line.points = [(at, value + below.get(at, 0.0)) for at, value in points]
            below.update(line.points)
        found.append(line)
    return found


def _named(legend: str, labels: dict[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], ""), legend)


def _override(panel: dict[str, Any], name: str) -> str:
    """The unit that a series has for itself, if any."""
    for each in panel["fieldConfig"]["overrides"]:
        if re.search(each["matcher"]["options"].strip("/"), name):
            return next(str(part["value"]) for part in each["properties"] if part["id"] == "unit")
    return ""
