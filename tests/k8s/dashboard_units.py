"""Numbers as a chart shows them: with Grafana's units, and on an axis."""

from __future__ import annotations

import math

__all__ = ["shown", "ticks"]


def ticks(top: float) -> list[float]:
    """From 0 to at least ``top``, four or so, at round numbers."""
    if top <= 0:
        return [0.0, 1.0]
    rough = top / 4
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough)
    return [step * number for number in range(math.ceil(top / step - 1e-9) + 1)]


def shown(value: float, unit: str) -> str:
    """By Grafana's name of the unit."""
    if unit == "percentunit":
        return f"{_short(value * 100)} %"
    if unit == "s":
        return _scaled(value, (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1), ("ms", 0.001)))
    if unit == "bytes":
        return _scaled(value, (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10), ("B", 1)))
    number = _short(value) if abs(value) < 1000 else _scaled(value, (("G", 1e9), ("M", 1e6), ("K", 1e3)))
    return number + unit.removeprefix("suffix:") if unit.startswith("suffix:") else number


def _scaled(value: float, sizes: tuple[tuple[str, float], ...]) -> str:
    for name, size in sizes:
        if abs(value) >= size:
            return f"{_short(value / size)} {name}"
    return "0" if value == 0 else f"{_short(value / sizes[-1][1])} {sizes[-1][0]}"


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
