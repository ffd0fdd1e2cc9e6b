"""What the model card's figures are made with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
from engines.catalog import load_manifest, shipped_weights
from engines.errors import ManifestError
from engines.preprocess import quality_input
from engines.runtime.onnx import OnnxRuntime
from engines.training.frontier import Point, measure, plot, table
from engines.training.measure import bootstrap
from engines.training.quantise import flips, quantise
from tests.engines.fakes import DETECTION, QUALITY
from tests.pictures import photo, pixels

pytestmark = pytest.mark.torch


def test_intervals_hold_the_value() -> None:
    """Wide for few pictures, none for a perfect order."""
    rng = np.random.default_rng(0)
    opinions = rng.uniform(0, 100, 40)
    value, low, high = bootstrap(list(opinions + rng.normal(0, 20, 40)), list(opinions))
    assert low < value < high
    assert bootstrap(list(opinions), list(opinions)) == pytest.approx((1, 1, 1))


def test_flips_are_changed_categories() -> None:
    """Not changed scores."""
    assert flips([10, 39, 61, 59], [39, 41, 99, 58]) == 0.25


def test_int8_is_close_and_smaller(tmp_path: Path) -> None:
    """The trunk's weights are a byte each; scores of photos stay near."""
    source = shipped_weights() / load_manifest("hyperiqa-r18").file
    pictures = [pixels(photo(160, 120, seed=n)) for n in range(4)]
    quantise(source, tmp_path / "int8.onnx", pictures, "minmax")
    assert (tmp_path / "int8.onnx").stat().st_size < 0.8 * source.stat().st_size
    x = quality_input(pictures[0])
    before, after = (float(OnnxRuntime().load(path).run(x)[0]) for path in (source, tmp_path / "int8.onnx"))
    assert after == pytest.approx(before, abs=8)


def test_the_frontier_is_told_and_drawn(tmp_path: Path) -> None:
    """Cheapest first, costs relative to the default; other engines are refused."""
    pictures = [pixels(photo(90, 80, seed=n)) for n in range(3)]
    point = measure(QUALITY, pictures, [10, 50, 90], 64, mirror=True)
    assert (point.side, point.label) == (64, "64 + mirror")
    points = [
        Point(384, mirror=False, srcc=0.8, plcc=0.8, core_ms=50),
        Point(224, mirror=False, srcc=0.7, plcc=0.7, core_ms=20),
    ]
    lines = table(points, 384).splitlines()
    assert lines[2] == "| 224 | 0.700 | 0.700 | 20 | 0.40 |"
    plot(points, 384, tmp_path / "plot.svg")
    assert (tmp_path / "plot.svg").read_text().count("<svg") == 1
    with pytest.raises(ManifestError, match="no quality engine"):
        measure(DETECTION, pictures, [1, 2, 3], 64, mirror=False)
