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

MEASURE = "lab-kmeans@3"
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
    near = _distances(lab, _background_colour(lab[frame], centres)[None])[..., 0] <= RADIUS
    return Background(
        share=round(float(near.mean()), 4),
        border_share=round(float(near[frame].mean()), 4),
        roughness=round(_roughness(lab[:, :, 0], near), 4),
        edge=round(_edge(lab[:, :, 0]), 4),
        palette=round(float(_near_any(lab, centres).mean()), 4),
        flat=round(_flat(lab), 4),
    )


def _thumbnail_lab(pixels: NDArray[np.uint8]) -> Lab:
    height, width = pixels.shape[:2]
    scale = min(1.0, THUMBNAIL / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB), dtype=np.float32)


def _cluster(colours: Lab) -> Lab:
    """Centres of up to ``CLUSTERS`` clusters (Lloyd's k-means), K x 3; fewer where there are fewer colours."""
    centres = np.median(colours, axis=0)[None].astype(np.float32)
    away = _distances(colours, centres)[:, 0]
    while len(centres) < CLUSTERS and float(away.max()) > 0:
        centres = np.concatenate([centres, colours[away.argmax()][None]])
        away = np.minimum(away, _distances(colours, centres[-1:])[:, 0])
    for _ in range(ROUNDS):
        nearest = _distances(colours, centres).argmin(axis=1)
        counts = np.bincount(nearest, minlength=len(centres))
        sums = np.stack([np.bincount(nearest, channel, len(centres)) for channel in colours.T], axis=1)
        centres = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centres).astype(np.float32)
    return centres


def _background_colour(border: Lab, centres: Lab) -> Lab:
    """The cluster's colour that most of the frame is near to, moved once to the mean of what is near it there."""
    near = _distances(border, centres) <= RADIUS
    best = int(near.sum(axis=0).argmax())
    if not near[:, best].any():
        return np.asarray(centres[best], dtype=np.float32)
    return np.asarray(border[near[:, best]].mean(axis=0), dtype=np.float32)


def _distances(colours: Lab, centres: Lab) -> NDArray[np.float32]:
    """From every colour (... x 3) to every centre (K x 3), ... x K."""
    away = [colours[..., channel, None] - centres[:, channel] for channel in range(3)]
    return np.asarray(np.sqrt(away[0] ** 2 + away[1] ** 2 + away[2] ** 2), dtype=np.float32)


def _near_any(lab: Lab, centres: Lab) -> NDArray[np.bool_]:
    """H x W: which pixels are of one of these colours."""
    planes = cv2.split(lab)
    near = np.zeros(lab.shape[:2], np.bool_)
    for centre in centres:
        away = [plane - value for plane, value in zip(planes, centre, strict=True)]
        near |= np.sqrt(away[0] ** 2 + away[1] ** 2 + away[2] ** 2) <= PALETTE_RADIUS
    return near


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
    flat = [np.abs(np.diff(plane, axis=1)) < FLAT_STEP for plane in cv2.split(lab)]
    return float((flat[0] & flat[1] & flat[2]).mean()) if flat[0].size else 1.0
