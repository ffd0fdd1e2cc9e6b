"""Picture files of our own, of data sets and of test folders; uploads take the worker's careful way instead."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["read_picture"]


def read_picture(path: Path) -> NDArray[np.uint8] | None:
    """The upright RGB picture in ``path`` (H x W x 3, uint8); ``None`` if it is missing or OpenCV cannot decode it."""
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    return None if bgr is None else np.ascontiguousarray(bgr[:, :, ::-1], dtype=np.uint8)
