"""The mapping to opinions is monotone, undoes caution, and does not chase single pictures."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy")
from engines.catalog import QualityInput
from engines.quality import opinion_score
from engines.training.output_mapping import fit_output_mapping

pytestmark = pytest.mark.torch


def mapped(outputs: np.ndarray, points: tuple[tuple[float, float], ...]) -> np.ndarray:
    limits = QualityInput(kind="quality", policy="any", scale=points)
    return np.array([opinion_score(float(value), limits) for value in outputs])


def test_caution_is_undone() -> None:
    """Outputs drawn half way to the mean: the error falls by more than a third, the order stays."""
    rng = np.random.default_rng(0)
    opinions = rng.uniform(5, 95, 120)
    outputs = 55 + 0.6 * (opinions - 55) + rng.normal(0, 4, 120)
    scores = mapped(outputs, fit_output_mapping(outputs, opinions))
    before, after = (float(np.sqrt(np.mean((values - opinions) ** 2))) for values in (outputs, scores))
    assert after < 0.66 * before
    assert (np.argsort(scores) == np.argsort(outputs)).all()


def test_right_scores_stay() -> None:
    """Within two points everywhere that there are pictures."""
    opinions = np.linspace(5, 95, 100)
    assert mapped(opinions, fit_output_mapping(opinions, opinions)) == pytest.approx(opinions, abs=2)


def test_one_odd_picture_moves_little() -> None:
    """Smoothness outweighs it."""
    opinions = np.linspace(5, 95, 100)
    outputs = np.append(opinions, 50.0)
    assert mapped(opinions, fit_output_mapping(outputs, np.append(opinions, 5.0))) == pytest.approx(opinions, abs=3)


@pytest.mark.parametrize("seed", range(5))
def test_always_a_valid_scale(seed: int) -> None:
    """Even of nonsense: it rises from (0, 0) to (100, 100)."""
    rng = np.random.default_rng(seed)
    points = fit_output_mapping(rng.uniform(0, 100, 30), rng.uniform(0, 100, 30))
    assert QualityInput(kind="quality", policy="any", scale=points).scale[-1] == (100, 100)
