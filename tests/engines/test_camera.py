"""Noise of cameras: it grows with severity, hides in shadows and comes in blotches."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.training.camera import Camera, camera_noise
from engines.training.distortions import Distortion, gaussian_noise
from tests.pictures import photo, pixels

PHOTO = pixels(photo(320, 240))


def grey(value: int) -> NDArray[np.uint8]:
    return np.full((128, 128, 3), value, np.uint8)


def alike(noise: NDArray[np.float64]) -> float:
    """Correlation of neighbours."""
    return float(np.corrcoef(noise[:, :-1].ravel(), noise[:, 1:].ravel())[0, 1])


@pytest.mark.parametrize("seed", range(4))
def test_a_picture_comes_back_from_the_sensor(seed: int) -> None:
    """But for the detail that one colour a pixel cannot hold; white stays white."""
    camera = Camera.drawn(np.random.default_rng(seed))
    smooth = np.repeat(np.repeat(PHOTO[::8, ::8], 8, axis=0), 8, axis=1)
    back = camera.developed(camera.mosaic(smooth))
    assert np.median(np.abs(back.astype(int) - smooth)) <= 2
    assert camera.developed(camera.mosaic(grey(255))).min() >= 250


def test_farther_from_the_photo_with_every_step() -> None:
    """Severity orders what it does; the same seed makes the same picture."""
    steps = [camera_noise(PHOTO, severity, np.random.default_rng(3)) for severity in (0.1, 0.4, 0.7, 1.0)]
    errors = [float(np.abs(step.astype(int) - PHOTO).mean()) for step in steps]
    assert errors == sorted(errors)
    assert errors[-1] > 3 * errors[0]
    assert {(step.shape, step.dtype) for step in steps} == {(PHOTO.shape, PHOTO.dtype)}
    assert (steps[2] == camera_noise(PHOTO, 0.7, np.random.default_rng(3))).all()


def test_it_is_not_the_noise_of_formulas() -> None:
    """Neighbours share it, and shadows have more of it than light; independent noise knows neither."""

    def noise(value: int, make: Distortion = camera_noise) -> NDArray[np.float64]:
        made = make(grey(value), 0.6, np.random.default_rng(1))[:, :, 1].astype(float)
        return np.asarray(made - made.mean(), dtype=np.float64)

    assert alike(noise(90)) > 0.3
    assert abs(alike(noise(90, gaussian_noise))) < 0.05
    assert noise(60).std() > 1.2 * noise(215).std()
