"""A plot of ``make bench-growth``: a panel for each thing that grows."""

from __future__ import annotations

from html import escape
from math import ceil, log10
from pathlib import Path
from typing import Any

__all__ = ["write_growth"]

WIDTH, HEIGHT, LEFT, TOP, PANEL, GAP, FOOT = 230, 150, 46, 60, 290, 60, 40


def write_growth(path: Path, found: dict[str, Any]) -> None:
    """Write ``found``, what ``make bench-growth`` writes as JSON, as an SVG."""
    panels = found["growth"]
    machine = found["machine"]
    columns = min(3, len(panels))
    rows = ceil(len(panels) / columns)
    width, height = PANEL * columns, TOP + rows * (HEIGHT + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        _text(12, 20, "core-ms a picture, as one thing grows", "start", "bold"),
        _text(12, 38, f"{machine['processor']}, {machine['gflops']:.0f} GFLOP/s per core"),
    ]
    for number, (name, points) in enumerate(panels.items()):
        parts += _panel(name, points, number % columns * PANEL + LEFT, TOP + number // columns * (HEIGHT + GAP))
    path.write_text("\n".join([*parts, "</svg>"]) + "\n", encoding="utf-8")


def _panel(name: str, points: list[dict[str, float]], left: float, top: float) -> list[str]:
    """The horizontal axis is logarithmic; the vertical one begins at 0."""
    most = 1.15 * max(point["core_ms"] for point in points)
    low, high = (log10(each["much"]) for each in (points[0], points[-1]))

    def place(point: dict[str, float]) -> tuple[float, float]:
        along = (log10(point["much"]) - low) / max(high - low, 1e-9)
        return left + 10 + along * (WIDTH - 20), top + HEIGHT - FOOT - point["core_ms"] / most * (HEIGHT - FOOT)

    places = [place(point) for point in points]
    base = top + HEIGHT - FOOT
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    parts = [
        f'<line x1="{left}" y1="{base}" x2="{left + WIDTH}" y2="{base}" stroke="#888"/>',
        f'<polyline points="{line}" fill="none" stroke="#6f8fb3" stroke-width="2"/>',
        _text(left + WIDTH / 2, base + 32, name, "middle", "bold"),
    ]
    for point, (x, y) in zip(points, places, strict=True):
        parts += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="#33506f"/>',
            _text(x, y - 8, f"{point['core_ms']:.0f}", "middle"),
            _text(x, base + 15, _short(point["much"]), "middle"),
        ]
    return parts


def _short(much: float) -> str:
    return f"{much / 1000:g}k" if much >= 1000 else f"{much:g}"


def _text(x: float, y: float, words: str, anchor: str = "start", weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}">{escape(words)}</text>'
