"""A plot of one result: every stage's core-milliseconds, of them inference, and its floor."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

__all__ = ["write_plot"]

WIDTH, ROW, LEFT, RIGHT = 760, 30, 150, 90


def write_plot(path: Path, found: dict[str, Any]) -> None:
    """Write ``found``, what ``make bench`` writes as JSON, as an SVG."""
    stages = found["stages"]["stages"]
    most = max(stage["core_ms"] for stage in stages.values())
    scale = (WIDTH - LEFT - RIGHT) / most
    height = 86 + ROW * len(stages)
    machine = found["machine"]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        _text(12, 22, f"{found['stages']['core_ms']:.0f} core-ms a picture, {found['stages']['runtime']}", "bold"),
        _text(12, 40, f"{machine['processor']}, {machine['gflops']:.0f} GFLOP/s per core"),
    ]
    for number, (name, stage) in enumerate(stages.items()):
        top = 54 + ROW * number
        parts += [
            _text(12, top + 16, name.replace("_", " ")),
            _bar(top, 22, scale * stage["core_ms"], "#c9d3df"),
            _bar(top, 22, scale * min(stage["inference_ms"], stage["core_ms"]), "#6f8fb3"),
            _bar(top - 2, 26, 2, "#b03a2e", LEFT + scale * stage["floor_ms"] - 1),
            _text(LEFT + scale * stage["core_ms"] + 6, top + 16, f"{stage['core_ms']:.1f}"),
        ]
    parts += [_text(12, height - 10, "dark: inference; red line: what the machine's peak would allow"), "</svg>"]
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")


def _bar(top: float, height: float, width: float, colour: str, left: float = LEFT) -> str:
    return f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{height}" fill="{colour}"/>'


def _text(x: float, y: float, words: str, weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y}" font-weight="{weight}">{escape(words)}</text>'
