"""Keeps a head sane on uploads that are nothing like the rated photos: small ones, strips, crops.

All rated photos of CLIVE are 500 pixels wide. A head that hears thousands of numbers learns from them what photos of that size
look like, and scores small photos and strips ten to twenty points too low. So it is also told what such an upload costs by the
judgement of a finished engine, the teacher: the change from the photo that it was made of, not the score itself, so that what
the head thinks of photos stays its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engines.preprocess import fit_longest, quality_input
from engines.runtime.onnx import OnnxNetwork
from engines.training.distortions import DISTORTIONS, coded
from engines.training.features import FeatureExtractor, OddUploads, Pixels, Pooled, mapped

__all__ = ["odd_upload", "odd_uploads"]

PER_PHOTO = 7
WHOLE_QUALITY = 92
"""JPEG quality of a photo beside its odd uploads, whose qualities lie around it."""

LEAST_STRIP = 24
LEAST = 0.22
"""The smallest upload, as a share of the serving size."""
STRIPS, CROPS, SHRUNK, DEFECTS = 0.35, 0.35, 0.8, 0.4
"""Shares of strips and of crops (the rest is whole), of uploads smaller than served, and of those with a defect."""


def odd_upload(photo: Pixels, rng: np.random.Generator, side: int) -> Pixels:
    """An upload made of ``photo`` (H x W x 3): a strip up to 8:1, a crop or all of it, up to ``side`` pixels long.

    Four in ten have a defect of a random kind and severity.
    """
    height, width = photo.shape[:2]
    shape = rng.random()
    if shape < STRIPS:
        ratio = np.exp(rng.uniform(np.log(2), np.log(8)))
        if rng.random() < 0.75:
            rows, columns = max(LEAST_STRIP, int(min(height, width / ratio))), width
        else:
            rows, columns = height, max(LEAST_STRIP, int(min(width, height / ratio)))
    elif shape < STRIPS + CROPS:
        part = rng.uniform(0.35, 1)
        rows, columns = int(height * part), int(width * part * rng.uniform(0.7, 1))
    else:
        rows, columns = height, width
    top, left = int(rng.integers(0, height - rows + 1)), int(rng.integers(0, width - columns + 1))
    longest = int(np.exp(rng.uniform(np.log(LEAST * side), np.log(side)))) if rng.random() < SHRUNK else side
    made = np.ascontiguousarray(fit_longest(photo[top : top + rows, left : left + columns], longest))
    if rng.random() < DEFECTS:
        kind = list(DISTORTIONS)[int(rng.integers(len(DISTORTIONS)))]
        made = DISTORTIONS[kind](made, float(rng.uniform(0.2, 1)), rng)
    return coded(made, int(rng.integers(75, 98)))


def odd_uploads(extractor: FeatureExtractor, teacher: OnnxNetwork, photos: Sequence[Pixels], seed: int) -> OddUploads:
    """``PER_PHOTO`` odd uploads of every photo; ``teacher`` is a quality engine's network, fed at the extractor's side."""

    def seen(made: Pixels) -> tuple[Pooled, float]:
        return extractor.row(made), float(teacher.run(quality_input(made, extractor.side)).flat[0])

    def whole(photo: Pixels) -> tuple[Pooled, float]:
        return seen(coded(np.ascontiguousarray(fit_longest(photo, extractor.side)), WHOLE_QUALITY))

    def odd(entry: tuple[int, int]) -> tuple[Pooled, float]:
        index, number = entry
        return seen(odd_upload(photos[index], np.random.default_rng([seed, index, number]), extractor.side))

    plan = [(index, number) for index in range(len(photos)) for number in range(PER_PHOTO)]
    of = np.array([index for index, _ in plan])
    wholes, told = zip(*mapped(whole, photos, "photos"), strict=True)
    rows, scores = zip(*mapped(odd, plan, "odd uploads"), strict=True)
    return OddUploads(np.array(rows), np.array(wholes), of, np.array(scores) - np.array(told)[of])
