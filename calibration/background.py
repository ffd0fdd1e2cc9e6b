"""Finds what is drawn, or stands on one plain colour: logos, product shots, pages.

Colours are clustered in CIE Lab by k-means over a few hundred pixels of a thumbnail, without random starts: centres begin at
the median colour and then as far from all others as can be (Gonzalez, 1985), so the same pixels always give the same answer.
The background is the cluster that holds most of the outer frame. A share alone is no evidence, since walls and skies fill
pictures too: beside it stand how smooth the colour is, how sharp what stands on it, and how few colours there are in all.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.signals import Background

__all__ = ["MEASURE", "measure_background"]

MEASURE = "lab-kmeans@2"
"""Names this module's behaviour inside fingerprints: raise it when equal pixels may give another answer."""

THUMBNAIL = 128
"""Longest side, in pixels, on which colours are counted."""
SAMPLES = 600
CLUSTERS = 5
ROUNDS = 8
RADIUS = 7.0
"""Colours nearer than this (delta E 76) count as the same colour."""
PALETTE_RADIUS = 5.0
FLAT_STEP = 0.15
"""Neighbours differing by less than this in every channel of Lab lie in one flat area: drawn, or clipped."""
FRAME = 0.06
"""Width of the outer frame, of the shorter side."""

Lab = NDArray[np.float32]


def measure_background(pixels: NDArray[np.uint8]) -> Background:
    """Measure an RGB picture (H x W x 3, uint8, any size from 1 x 1)."""
    lab = _thumbnail_lab(pixels)
    frame = _frame(lab.shape[:2])
    colours = lab.reshape(-1, 3)
    centres = _cluster(colours[:: max(1, len(colours) // SAMPLES)])
    near = _distance(lab, _background_colour(lab[frame], centres)) <= RADIUS
    to_palette = np.stack([_distance(lab, centre) for centre in centres]).min(axis=0)
    return Background(
        share=round(float(near.mean()), 4),
        border_share=round(float(near[frame].mean()), 4),
        roughness=round(_roughness(lab[:, :, 0], near), 4),
        edge=round(_edge(lab[:, :, 0]), 4),
        palette=round(float((to_palette <= PALETTE_RADIUS).mean()), 4),
        flat=round(_flat(lab), 4),
    )


def _thumbnail_lab(pixels: NDArray[np.uint8]) -> Lab:
    height, width = pixels.shape[:2]
    scale = min(1.0, THUMBNAIL / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB), dtype=np.float32)


def _cluster(colours: Lab) -> list[Lab]:
    """Centres of up to ``CLUSTERS`` clusters (Lloyd's k-means); fewer where there are fewer colours."""
    centres = [np.asarray(np.median(colours, axis=0), dtype=np.float32)]
    away = _distance(colours, centres[0])
    while len(centres) < CLUSTERS and float(away.max()) > 0:
        centres.append(colours[away.argmax()])
        away = np.minimum(away, _distance(colours, centres[-1]))
    for _ in range(ROUNDS):
        nearest = np.stack([_distance(colours, centre) for centre in centres]).argmin(axis=0)
        centres = [
            colours[nearest == index].mean(axis=0) if (nearest == index).any() else centre
            for index, centre in enumerate(centres)
        ]
    return centres


def _background_colour(border: Lab, centres: list[Lab]) -> Lab:
    """The cluster's colour that most of the frame is near to, moved once to the mean of what is near it there."""
    counts = [int((_distance(border, centre) <= RADIUS).sum()) for centre in centres]
    best = centres[int(np.argmax(counts))]
    near = _distance(border, best) <= RADIUS
    return border[near].mean(axis=0) if near.any() else best


def _distance(colours: Lab, colour: Lab) -> NDArray[np.float32]:
    return np.asarray(np.sqrt(((colours - colour) ** 2).sum(axis=-1)), dtype=np.float32)


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


def _flat(lab: Lab) -> float:
    steps = np.abs(np.diff(lab, axis=1)).max(axis=2)
    return float((steps < FLAT_STEP).mean()) if steps.size else 1.0
