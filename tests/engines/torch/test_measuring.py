"""What the model card's figures are made with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip("torch")

from engines.catalog import QualityInput, load_manifest
from engines.errors import ManifestError
from engines.quality import opinion_score
from engines.training.cost_curve import Point, at_size, measure, plot, table
from engines.training.ladders import EVEN
from engines.training.measure import (
    Pixels,
    bootstrap,
    falls,
    ladder_table,
    opinions_line,
    output_mapping_line,
    severe,
)
from engines.training.output_mapping import POINTS
from tests.engines.fakes import DETECTION
from tests.pictures import photo, pixels

pytestmark = pytest.mark.torch


def test_intervals_hold_the_value() -> None:
    """Wide for few pictures, none for a perfect order."""
    rng = np.random.default_rng(0)
    opinions = rng.uniform(0, 100, 40)
    value, low, high = bootstrap(list(opinions + rng.normal(0, 20, 40)), list(opinions))
    assert low < value < high
    assert bootstrap(list(opinions), list(opinions)) == pytest.approx((1, 1, 1))


def test_the_cost_curve_is_told_and_drawn(tmp_path: Path) -> None:
    """Cheapest first, costs relative to the default; other engines are refused."""
    pictures = [pixels(photo(90, 80, seed=n)) for n in range(3)]
    figures = measure([at_size(load_manifest("hyperiqa-lite0"), side) for side in (64, 80)], pictures, [10, 50, 90])
    assert len(figures) == 2
    assert all(-1 <= srcc <= 1 and cost > 0 for srcc, _, cost in figures)
    points = [
        Point("large", None, 0.8, 0.81, 50),
        Point("small", 224, 0.7, 0.7, 20),
        Point("small", 288, 0.71, 0.7, 41),
    ]
    lines = table(points, 50).splitlines()
    assert lines[2:] == [
        "| small | 224 | 0.700 | 0.700 | 20 | 0.40 |",
        "| small | 288 | 0.710 | 0.700 | 41 | 0.82 |",
        "| large | own | 0.800 | 0.810 | 50 | 1.00 |",
    ]
    plot(points, tmp_path / "plot.svg", "clive, 116 photos")
    drawn = (tmp_path / "plot.svg").read_text()
    assert drawn.count("<svg") == 1
    assert "small" in drawn
    assert "116 photos" in drawn
    with pytest.raises(ManifestError, match="no quality engine"):
        at_size(DETECTION, 64)


def test_ladders_are_scored_step_by_step() -> None:
    """A row a photo, a column a severity; the same random choices at every step, and in every run."""
    photos = [pixels(photo(90, 80, seed=n)) for n in range(3)]

    def spread(picture: Pixels) -> float:
        return float(picture.std())

    table = ladder_table(spread, photos, "flatten_contrast")
    assert table.shape == (3, len(EVEN))
    assert (np.diff(table, axis=1) < 0).all()
    assert np.array_equal(table, ladder_table(spread, photos, "flatten_contrast"))


def test_opinions_are_told_in_a_line() -> None:
    """With the root mean square error: here every score is two points off."""
    opinions = [float(value) for value in range(10, 90, 2)]
    line = opinions_line([o + 2 for o in opinions], opinions)
    assert line == "SRCC 1.000 [1.000, 1.000], PLCC 1.000, RMSE 2.00"


def test_a_mapping_is_told_as_a_manifest_has_it() -> None:
    """The line is YAML that a manifest's input takes."""
    opinions = [float(value) for value in range(10, 90, 2)]
    line = output_mapping_line([0.7 * o + 20 for o in opinions], opinions)
    limits = QualityInput(kind="quality", policy="any", **yaml.safe_load(line))
    assert len(limits.scale) == len(POINTS)
    assert opinion_score(41.0, limits) < 38


def test_shares_count() -> None:
    """A step that stays equal does not fall; severe is under 40, not at it."""
    table = np.array([[70.0, 60.0, 60.0, 39.9], [70.0, 71.0, 50.0, 40.0]])
    assert falls(table) == pytest.approx(4 / 6)
    assert severe(table) == 0.5
