"""Distortions do what their names say, more with more severity, and always the same."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from engines.training.distortions import DISTORTIONS
from tests.pictures import photo, pixels

PHOTO = pixels(photo(320, 240))


def distorted(kind: str, severity: float) -> NDArray[np.uint8]:
    return DISTORTIONS[kind](PHOTO, severity, np.random.default_rng(1))


@pytest.mark.parametrize("kind", DISTORTIONS)
def test_farther_from_the_photo_with_every_step(kind: str) -> None:
    """Severity orders what it does; shape and type stay; the photo itself is left alone."""
    before = PHOTO.copy()
    steps = [distorted(kind, severity) for severity in (0.1, 0.4, 0.7, 1.0)]
    errors = [float(np.abs(step.astype(int) - PHOTO).mean()) for step in steps]
    assert errors == sorted(errors)
    assert errors[0] < errors[-1]
    assert {(step.shape, step.dtype) for step in steps} == {(PHOTO.shape, PHOTO.dtype)}
    assert (before == PHOTO).all()


@pytest.mark.parametrize("kind", DISTORTIONS)
def test_same_seed_same_picture(kind: str) -> None:
    """So that measures can be repeated."""
    assert (distorted(kind, 0.6) == distorted(kind, 0.6)).all()


@pytest.mark.parametrize("kind", ["gaussian_blur", "lens_blur", "motion_blur"])
def test_blurs_take_detail_away(kind: str) -> None:
    """Measured by the Laplacian; the light stays."""
    blurred = distorted(kind, 0.8)
    assert cv2.Laplacian(blurred, cv2.CV_64F).var() < 0.2 * cv2.Laplacian(PHOTO, cv2.CV_64F).var()
    assert blurred.mean() == pytest.approx(PHOTO.mean(), abs=2)


def test_light() -> None:
    """Darker, brighter, flatter, noisier."""
    assert distorted("darken", 1).mean() < 0.5 * PHOTO.mean()
    assert distorted("overexpose", 1).mean() > 1.4 * PHOTO.mean()
    assert (distorted("flatten_contrast", 1).std(axis=(0, 1)) < 0.2 * PHOTO.std(axis=(0, 1))).all()
    assert (distorted("gaussian_noise", 1).std(axis=(0, 1)) > 1.2 * PHOTO.std(axis=(0, 1))).all()
