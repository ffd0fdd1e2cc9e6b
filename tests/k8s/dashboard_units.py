"""Numbers as a chart shows them: with Grafana's units, and on an axis."""

from __future__ import annotations

import math

__all__ = ["shown", "ticks"]


SIZES = {
    "s": (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0), ("s", 1.0), ("ms", 0.001)),
    "bytes": (("GiB", 2.0**30), ("MiB", 2.0**20), ("KiB", 2.0**10), ("B", 1.0)),
    "": (("G", 1e9), ("M", 1e6), ("K", 1e3)),
}


def ticks(top: float, unit: str = "") -> list[float]:
    """From 0 to at least ``top``, four or so, at numbers that are round in the unit that they are shown in."""
    if top <= 0:
        return [0.0, 1.0]
    size = next((size for _, size in SIZES.get(unit, ()) if top >= 2 * size), 1.0)
    rough = top / size / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.98)
    # What lies a twentieth of a step above a mark needs no further one.
    return [size * step * number for number in range(math.ceil(top / size / step - 0.05) + 1)]


def shown(value: float, unit: str) -> str:
    """By Grafana's name of the unit."""
    if unit == "percentunit":
        return f"{_short(value * 100)} %"
    if unit in SIZES:
        return _scaled(value, SIZES[unit])
    number = _short(value) if abs(value) < 1000 else _scaled(value, SIZES[""])
    return number + unit.removeprefix("suffix:") if unit.startswith("suffix:") else number


def _scaled(value: float, sizes: tuple[tuple[str, float], ...]) -> str:
    for name, size in sizes:
        if abs(value) >= size:
            return f"{_short(value / size)} {name}"
    return "0" if value == 0 else f"{_short(value / sizes[-1][1])} {sizes[-1][0]}"


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
