"""Ladders: one photo at rising severity of one defect; how far steps lie apart, and which kinds are drawn how often.

Whatever learns from ladders or is measured on them takes them from here, so that they are made alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.preprocess import LONGEST_SIDE, fit_longest, normalise
from engines.training.data import window
from engines.training.distortions import DISTORTIONS, coded

__all__ = [
    "CLOSE",
    "EVEN",
    "FAINT",
    "LADDERS",
    "OFTEN",
    "WIDE",
    "Ladder",
    "Often",
    "drawn",
    "even_steps",
    "ladder",
    "uploads",
]

Pixels = NDArray[np.uint8]
Bounds = tuple[tuple[float, float], ...]

LADDERS = 3
"""Names how ladders are made: raise it when the same photo may give another one, since what was computed of them is kept."""
EVEN = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Severities of the ladders that are measured."""
WIDE: Bounds = ((0.12, 0.45), (0.45, 0.8), (0.8, 1.0))
"""Between which bounds the steps of a ladder are drawn; the clean photo stands before them."""
CLOSE: Bounds = ((0.1, 0.35), (0.35, 0.6), (0.6, 0.85), (0.85, 1.0))
"""Those of kinds whose steps a network is slow to tell apart."""
FAINT: Bounds = ((0.02, 0.12), (0.12, 0.3), (0.3, 0.5), (0.5, 0.75), (0.75, 1.0))
"""Those of noise, from what hardly shows on."""


@dataclass(frozen=True)
class Often:
    """How often a kind is drawn against the others: where the trunk learns, too (``trunk``), and where the head does alone.

    ``close``: ladders in close steps that every photo gets for the head; at 0 it gets one in wide steps. ``developed``: its
    severity 0 is no photo as it is, but one that was developed anew without a defect.
    """

    trunk: int = 1
    head: float = 1.0
    close: int = 0
    developed: bool = False

    @property
    def bounds(self) -> Bounds:
        """Of the steps of its ladders for the head."""
        return CLOSE if self.close else WIDE


ONCE = Often()
OFTEN = dict.fromkeys(DISTORTIONS, ONCE) | {
    "gaussian_blur": Often(head=2),
    "motion_blur": Often(head=2),
    "grain": Often(trunk=2),
    "impulse_noise": Often(trunk=2),
    "webp": Often(head=2),
    "darken": Often(trunk=3, head=6),
    "overexpose": Often(trunk=3, head=150, close=3),
    "flatten_contrast": Often(head=20, close=2),
    "colour_cast": Often(trunk=3, head=90, close=3),
    "pixelate": Often(trunk=3, close=1),
    "banding": Often(head=2, close=2),
    "several": Often(head=2),
    "double_exposure": Often(trunk=2, head=60),
    "interlacing": Often(trunk=2, head=30),
    "jitter": Often(head=10),
    "lost_blocks": Often(trunk=2, head=25),
    "palette": Often(head=5),
    "channel_shift": Often(head=5),
    "camera_noise": Often(developed=True),
}
"""What is learnt last is drawn most."""


def drawn(bounds: Bounds, rng: np.random.Generator) -> tuple[float, ...]:
    """Severities of one ladder: 0, then one within each pair of bounds."""
    return 0.0, *(float(rng.uniform(*pair)) for pair in bounds)


@dataclass(frozen=True)
class Ladder:
    """One crop of one photo at rising severities: ``inputs`` is S x 3 x H x W, ``severities`` has S values from 0 to 1."""

    kind: str
    inputs: NDArray[np.float32]
    severities: tuple[float, ...]


def uploads(photo: Pixels, kind: str, severities: Sequence[float], rng: np.random.Generator, longest: int) -> list[Pixels]:
    """``photo`` under ``kind`` at every severity, made the way uploads are, at serving size.

    It is distorted at some upload size, coded as a JPEG, and only then shrunk: noise that is averaged by shrinking looks
    different from noise that is not, and both must score low. Every severity makes the same random choices (the angle of a
    blur, the hue of a cast). In half of the ladders of developed kinds the photo, too, has been through the camera: else
    what its software does would be learnt in place of noise.
    """
    upload = fit_longest(photo, int(rng.integers(min(longest, max(photo.shape[:2])), max(photo.shape[:2]) + 1)))
    quality, choices = int(rng.integers(80, 97)), int(rng.integers(2**32))
    developed = OFTEN[kind].developed and rng.random() < 0.5
    made = (DISTORTIONS[kind](upload, s, np.random.default_rng(choices)) if s or developed else upload for s in severities)
    return [fit_longest(coded(pixels, quality), longest) for pixels in made]


def ladder(photos: Sequence[Pixels], side: int, rng: np.random.Generator, longest: int = LONGEST_SIDE) -> Ladder:
    """A ladder of one random photo and distortion, as ``uploads``; the same crop is taken of every step.

    Crops far smaller than what is served teach nothing about exposure and colour: a network learns to be strict with crops and
    stays lenient with whole pictures.
    """
    photo = photos[int(rng.integers(len(photos)))]
    kinds = [kind for kind, often in OFTEN.items() for _ in range(often.trunk)]
    kind = kinds[int(rng.integers(len(kinds)))]
    severities = drawn(WIDE, rng)
    steps = uploads(photo, kind, severities, rng, longest)
    top, left = (int(rng.integers(0, max(1, size - side + 1))) for size in steps[0].shape[:2])
    return Ladder(kind, np.concatenate([normalise(window(step, side, top, left)) for step in steps]), severities)


def even_steps(photo: Pixels, kind: str, seed: int) -> Iterator[Pixels]:
    """``photo`` under ``kind`` at ``EVEN`` severities, each a JPEG of quality 90; ``seed`` makes the random choices of all."""
    for severity in EVEN:
        made = DISTORTIONS[kind](photo, severity, np.random.default_rng(seed)) if severity else photo
        yield coded(made, 90)
