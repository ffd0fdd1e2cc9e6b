"""The text recogniser: what a detected line says.

Greedy CTC decoding (Graves et al., ICML 2006): the likeliest class per column, repeats collapsed, blanks dropped. Lines are
read one by one at their own width: on a CPU batches gain nothing, and a line's text never depends on its neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.catalog import Manifest, RecognitionInput
from engines.errors import ManifestError
from engines.preprocess import normalise
from engines.runtime.base import Network
from engines.text_detection import Quad

__all__ = ["Line", "TextRecogniser", "crop_line", "decode_ctc"]

VERTICAL = 1.5
"""Boxes at least this much higher than wide are turned by 90 degrees before reading."""


@dataclass(frozen=True)
class Line:
    """Recognised text and the mean probability of its characters, 0-1."""

    text: str
    confidence: float


class TextRecogniser:
    """Reads lines with a CTC network."""

    def __init__(self, manifest: Manifest, network: Network) -> None:
        if not isinstance(manifest.input, RecognitionInput):
            raise ManifestError(f"engine {manifest.label} is no text recogniser")
        self.manifest = manifest
        self._network = network
        self._input = manifest.input
        characters = network.metadata.get(self._input.dictionary_metadata)
        if not characters:
            raise ManifestError(f"engine {manifest.label}: no dictionary {self._input.dictionary_metadata!r} in its metadata")
        letters = [*characters.split("\n"), *([" "] if self._input.space else [])]
        self._classes = ["", *letters] if self._input.blank == "first" else [*letters, ""]

    def read(self, pixels: NDArray[np.uint8], quad: Quad) -> Line | None:
        """The line under ``quad`` of an RGB picture (H x W x 3, uint8), or ``None`` if it cannot be read with confidence.

        Raises:
            EngineError: the network failed.

        """
        line = self.read_line(crop_line(pixels, quad))
        return line if line.text and line.confidence >= self._input.min_confidence else None

    def read_line(self, crop: NDArray[np.uint8]) -> Line:
        """The text on one upright line (H x W x 3, uint8, RGB)."""
        limits = self._input
        height, width = crop.shape[:2]
        scaled, total = self._widths(width * limits.height / height)
        by_area = height > limits.height and limits.interpolation == "area"
        interpolation = cv2.INTER_AREA if by_area else cv2.INTER_LINEAR
        line = cv2.resize(_ordered(crop, limits), (scaled, limits.height), interpolation=interpolation)
        line = line.reshape(limits.height, scaled, -1)
        channels = line.shape[2]
        batch = normalise(line, limits.mean[:channels], limits.std[:channels])
        return decode_ctc(self._network.run(np.pad(batch, ((0, 0), (0, 0), (0, 0), (0, total - scaled))))[0], self._classes)

    def _widths(self, width: float) -> tuple[int, int]:
        """What a line of that exact width is scaled to, and what it is then padded to."""
        limits = self._input
        if limits.fit == "pad":
            scaled = max(1, min(limits.max_width, round(width)))
            return scaled, max(limits.min_width, scaled + -scaled % limits.multiple)
        stretched = round(max(limits.min_width, min(limits.max_width, math.ceil(width))) / limits.multiple) * limits.multiple
        return stretched, stretched


def _ordered(crop: NDArray[np.uint8], limits: RecognitionInput) -> NDArray[np.uint8]:
    """RGB in the order, or the grey, that the network was trained on."""
    if limits.colour == "GREY":
        return np.asarray(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    return crop if limits.colour == "RGB" else np.ascontiguousarray(crop[:, :, ::-1])


def decode_ctc(probabilities: NDArray[np.float32], classes: Sequence[str]) -> Line:
    """Decode T x C class probabilities; the blank is the class without a character.

    Raises:
        ManifestError: the network has another number of classes than the dictionary.

    """
    if probabilities.shape[1] != len(classes):
        raise ManifestError(f"the recogniser has {probabilities.shape[1]} classes, its dictionary {len(classes)}")
    best = probabilities.argmax(axis=1)
    kept = (best != classes.index("")) & (best != np.concatenate([[-1], best[:-1]]))
    if not kept.any():
        return Line("", 0.0)
    confidence = probabilities[kept, best[kept]].mean()
    return Line("".join(classes[int(index)] for index in best[kept]).strip(), round(float(confidence), 4))


def crop_line(pixels: NDArray[np.uint8], quad: Quad) -> NDArray[np.uint8]:
    """The part of a picture under ``quad``, straightened; upright lines set vertically are turned to run left to right."""
    width = max(1, round(float(max(np.linalg.norm(quad[1] - quad[0]), np.linalg.norm(quad[2] - quad[3])))))
    height = max(1, round(float(max(np.linalg.norm(quad[3] - quad[0]), np.linalg.norm(quad[2] - quad[1])))))
    frame = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    matrix = cv2.getPerspectiveTransform(quad.astype(np.float32), frame)
    crop = cv2.warpPerspective(pixels, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    if height >= VERTICAL * width:
        crop = np.rot90(crop)
    return np.ascontiguousarray(crop, dtype=np.uint8)
