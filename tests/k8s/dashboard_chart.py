"""One chart as SVG: lines or stacked areas over the time of a run, with limits, and marks where something was done."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from tests.k8s.dashboard_units import shown, ticks
from tests.k8s.prometheus_server import EVERY_S

LEFT, RIGHT, ABOVE, BELOW = 64, 16, 14, 20
SECOND_AXIS = 48
GAP_S = 1.5 * EVERY_S
Points = list[tuple[float, float]]


@dataclass
class Line:
    """One series: what it is called, and its points of time and value; those of a stack lie on ``floor``."""

    name: str
    unit: str
    colour: str
    points: Points
    last: float
    right: bool = False
    floor: Points | None = None


@dataclass
class Chart:
    """Where it lies in time, how large it is, where its axis ends at least; limits are value and colour."""

    width: int
    height: int
    began: float
    ended: float
    lines: Sequence[Line]
    limits: Sequence[tuple[float, str]]
    deeds: Sequence[float]
    most: float = 0.0

    @property
    def wide(self) -> int:
        return self.width - LEFT - RIGHT - SECOND_AXIS * any(line.right for line in self.lines)

    @property
    def high(self) -> int:
        return self.height - ABOVE - BELOW

    def x(self, at: float) -> float:
        return (at - self.began) / (self.ended - self.began) * self.wide

    def svg(self) -> str:
        """The whole of it."""
        parts = [*self._times()]
        for right in (False, True):
            own = [line for line in self.lines if line.right == right]
            if own:
                parts += self._side(own, right)
        if not self.lines:
            parts.append(f'<text x="{self.wide / 2}" y="{self.high / 2}" text-anchor="middle">No data</text>')
        inside = "".join(parts)
        return f'<svg width="{self.width}" height="{self.height}"><g transform="translate({LEFT},{ABOVE})">{inside}</g></svg>'

    def _side(self, lines: Sequence[Line], right: bool) -> Iterator[str]:
        """Lines of one unit, with their axis."""
        top = max([value for line in lines for _, value in line.points] + [0.0 if right else self.most])
        marks = ticks(top, lines[0].unit)
        scale = self.high / marks[-1]
        for mark in marks:
            y = self.high - mark * scale
            x, anchor = (self.wide + 6, "start") if right else (-6, "end")
            yield f'<text x="{x}" y="{y + 3:.1f}" text-anchor="{anchor}">{escape(shown(mark, lines[0].unit))}</text>'
            yield self._level(y, "#2c3235")
        # Like Grafana: no axis is stretched for a limit.
        for value, colour in () if right else self.limits:
            if value <= marks[-1]:
                yield self._level(self.high - value * scale, colour, "6 4")
        for line in lines:
            yield from self._line(line, scale)

    def _level(self, y: float, colour: str, dashes: str = "") -> str:
        return f'<line x2="{self.wide}" y1="{y:.1f}" y2="{y:.1f}" stroke="{colour}" stroke-dasharray="{dashes}"/>'

    def _line(self, line: Line, scale: float) -> Iterator[str]:
        """With gaps where points are missing, and a dot where one stands alone."""
        runs = [[line.points[0]]]
        for before, point in pairwise(line.points):
            if point[0] - before[0] > GAP_S:
                runs.append([])
            runs[-1].append(point)
        if line.floor:
            edge = self._way([*line.points, *reversed(line.floor)], scale)
            yield f'<polygon points="{edge}" fill="{line.colour}" fill-opacity=".25"/>'
        for run in runs:
            if len(run) == 1:
                x, y = self._way(run, scale).split(",")
                yield f'<circle cx="{x}" cy="{y}" r="2" fill="{line.colour}"/>'
            yield f'<polyline points="{self._way(run, scale)}" fill="none" stroke="{line.colour}" stroke-width="1.3"/>'

    def _way(self, points: Points, scale: float) -> str:
        return " ".join(f"{self.x(at):.1f},{self.high - value * scale:.1f}" for at, value in points)

    def _times(self) -> Iterator[str]:
        """Minutes and seconds below; above, numbers of what was done."""
        for second in range(0, math.ceil(self.ended - self.began), 30):
            x = self.x(self.began + second)
            yield f'<text x="{x:.1f}" y="{self.high + 14}" text-anchor="middle">{second // 60}:{second % 60:02}</text>'
        for number, at in enumerate(self.deeds, 1):
            x = self.x(at)
            yield f'<line x1="{x:.1f}" x2="{x:.1f}" y2="{self.high}" stroke="#777" stroke-dasharray="1 3"/>'
            yield f'<text x="{x:.1f}" y="-3" text-anchor="middle">{number}</text>'
