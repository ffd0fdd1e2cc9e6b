"""Finds the plain background of logos and product shots.

The dominant colour is the mode of the picture's colours in CIE Lab, found as the fullest cell of a coarse histogram and then
moved by mean shift (Comaniciu and Meer, PAMI 2002). Everything runs on a thumbnail, without random starts: the same pixels
always give the same answer.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.signals import Background

__all__ = ["MEASURE", "measure_background"]

MEASURE = "lab-mode@1"
"""Names this module's behaviour inside fingerprints: raise it when equal pixels may give another answer."""

THUMBNAIL = 128
"""Longest side, in pixels, on which colours are counted."""
CELL = 8.0
"""Edge of a histogram cell, in units of Lab."""
RADIUS = 7.0
"""Colours nearer than this (delta E 76) count as the same colour."""
SHIFTS = 4
FRAME = 0.06
"""Width of the outer frame, of the shorter side."""


def measure_background(pixels: NDArray[np.uint8]) -> Background:
    """Measure the dominant colour of an RGB picture (H x W x 3, uint8, any size from 1 x 1)."""
    lab = _thumbnail_lab(pixels)
    near = _near(lab, _dominant_colour(lab.reshape(-1, 3)))
    return Background(
        share=round(float(near.mean()), 4),
        border_share=round(float(near[_frame(near.shape)].mean()), 4),
        roughness=round(_roughness(lab[:, :, 0], near), 4),
        edge=round(_edge(lab[:, :, 0]), 4),
    )


def _thumbnail_lab(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    height, width = pixels.shape[:2]
    scale = min(1.0, THUMBNAIL / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB), dtype=np.float32)


def _dominant_colour(colours: NDArray[np.float32]) -> NDArray[np.float32]:
    cells = np.floor((colours + np.array([0, 128, 128], np.float32)) / CELL).astype(np.int64)
    codes = (cells[:, 0] * 64 + cells[:, 1]) * 64 + cells[:, 2]
    values, counts = np.unique(codes, return_counts=True)
    colour: NDArray[np.float32] = colours[codes == values[counts.argmax()]].mean(axis=0)
    for _ in range(SHIFTS):
        colour = colours[_near(colours, colour)].mean(axis=0)
    return colour


def _near(colours: NDArray[np.float32], colour: NDArray[np.float32]) -> NDArray[np.bool_]:
    # A mean-shift window never empties: it moves to the mean of points it holds. Rounding may, at a radius of nothing.
    return np.asarray(((colours - colour) ** 2).sum(axis=-1) <= RADIUS**2)


def _frame(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    width = max(1, round(FRAME * min(shape)))
    frame = np.ones(shape, np.bool_)
    frame[width:-width, width:-width] = False
    return frame


def _edge(lightness: NDArray[np.float32]) -> float:
    steps = np.abs(np.diff(lightness, axis=1))
    return float(np.percentile(steps, 99.7)) if steps.size else 0.0


def _roughness(lightness: NDArray[np.float32], near: NDArray[np.bool_]) -> float:
    steps = np.abs(np.diff(lightness, axis=1))[near[:, 1:] & near[:, :-1]]
    return float(steps.mean()) if steps.size else 0.0
