"""Noise where cameras make it: in the sensor, before all that a phone does to hide it.

Noise that is added to a finished picture is independent from pixel to pixel and equally strong everywhere. What people upload
has been through a sensor (noise that grows with light, one colour a pixel), demosaicing, white balance, a tone curve,
denoising, sharpening and JPEG: it comes in blotches and stains, strongest in the shadows. So a picture is taken back to what
the sensor may have seen, made noisy there, and developed again (Brooks et al.: "Unprocessing Images for Learned Raw Denoising",
CVPR 2019; gains, colour matrices and noise levels are theirs).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Camera", "camera_noise"]

Pixels = NDArray[np.uint8]
Planes = NDArray[np.float32]

GAMMA = 2.2
SHOT = (1e-4, 4e-2)
"""Variance per unit of light at severities 0 and 1; real cameras were measured up to 0.012, and phones go on in the dark."""
HIGHLIGHT = 0.9
"""From here on a pixel counts as blown out: white stays white whatever the gains."""
RGB_TO_XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
XYZ_TO_CAMERA = (
    ((1.0234, -0.2969, -0.2266), (-0.5625, 1.6328, -0.0469), (-0.0703, 0.2188, 0.6406)),
    ((0.4913, -0.0541, -0.0202), (-0.613, 1.3513, 0.2906), (-0.1564, 0.2151, 0.7183)),
    ((0.838, -0.263, -0.0639), (-0.2887, 1.0725, 0.2496), (-0.0627, 0.1427, 0.5438)),
    ((0.6596, -0.2079, -0.0562), (-0.4782, 1.3016, 0.1933), (-0.097, 0.1581, 0.5181)),
)


@dataclass(frozen=True)
class Camera:
    """One camera in one light.

    ``matrix``: linear sRGB to the sensor's colours (3 x 3, rows sum to 1). ``gains``: red, green, blue. ``read``: deviation of
    the logarithm of read noise from the line on which cameras lie. ``denoise``: 0 (three in ten cameras) to 1. ``sharpen``:
    share of detail added. ``expected``: the severity for which it denoises where there is no noise at all.
    """

    matrix: NDArray[np.float32]
    gains: NDArray[np.float32]
    read: float
    denoise: float
    sharpen: float
    expected: float

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Camera:
        """A mixture of real cameras' colour matrices in a random light, with more or less zealous software."""
        weights = rng.uniform(size=len(XYZ_TO_CAMERA))
        to_camera = np.tensordot(weights / weights.sum(), np.array(XYZ_TO_CAMERA), 1) @ np.array(RGB_TO_XYZ)
        matrix = to_camera / to_camera.sum(axis=1, keepdims=True)
        brightness = 1.0 / max(0.4, rng.normal(0.8, 0.1))
        gains = np.array([rng.uniform(1.9, 2.4), 1.0, rng.uniform(1.5, 1.9)]) * brightness
        return cls(
            matrix.astype(np.float32),
            gains.astype(np.float32),
            float(rng.normal(0.0, 0.26)),
            max(0.0, float(rng.uniform(-0.4, 1.0))),
            float(rng.uniform(0.0, 0.8)),
            float(rng.uniform(0.1, 0.7)),
        )

    def sensed(self, pixels: Pixels) -> Planes:
        """What the sensor may have seen (H x W x 3, 0-1) where ``pixels`` (H x W x 3) came out."""
        x = pixels.astype(np.float32) / 255.0
        x = 0.5 - np.sin(np.arcsin(1.0 - 2.0 * x) / 3.0)  # the tone curve 3 x^2 - 2 x^3, undone
        x = np.maximum(x, 1e-8) ** GAMMA @ self.matrix.T
        blown = np.maximum(x.mean(axis=2, keepdims=True) - HIGHLIGHT, 0.0) / (1.0 - HIGHLIGHT)
        kept = blown**2
        return np.clip(x * np.maximum(kept + (1.0 - kept) / self.gains, 1.0 / self.gains), 0.0, 1.0).astype(np.float32)

    def mosaic(self, pixels: Pixels) -> Planes:
        """The same through a Bayer filter, one colour a pixel, red first: H x W, 0-1."""
        seen = self.sensed(pixels)
        made = seen[:, :, 1].copy()
        made[::2, ::2], made[1::2, 1::2] = seen[::2, ::2, 0], seen[1::2, 1::2, 2]
        return made

    def developed(self, mosaic: Planes) -> Pixels:
        """A finished picture (H x W x 3) of a Bayer mosaic (H x W, 0-1, red first)."""
        raw = np.clip(np.rint(mosaic * 65535.0), 0, 65535).astype(np.uint16)
        # OpenCV names patterns by their second row: RGGB is BG there.
        x = cv2.cvtColor(raw, cv2.COLOR_BayerBG2RGB).astype(np.float32) / 65535.0
        x = np.clip(x * self.gains, 0.0, 1.0) @ np.linalg.inv(self.matrix).T
        x = np.clip(x, 1e-8, 1.0) ** (1.0 / GAMMA)
        x = 3.0 * x**2 - 2.0 * x**3
        return np.clip(np.rint(255.0 * x), 0, 255).astype(np.uint8)

    def hidden(self, pixels: Pixels, level: float) -> Pixels:
        """``pixels`` (H x W x 3) after denoising for noise of ``level`` (a deviation, of 255), then sharpening."""
        light, *colour = cv2.split(cv2.cvtColor(pixels, cv2.COLOR_RGB2YCrCb))
        if self.denoise > 0:
            light = cv2.bilateralFilter(light, 5, 2.5 * self.denoise * level, 2.0)
            # Colour is smoothed harder than light: what is left of it are stains.
            colour = [cv2.GaussianBlur(plane, (0, 0), 0.5 + 2.5 * self.denoise) for plane in colour]
        if self.sharpen > 0:
            light = cv2.addWeighted(light, 1.0 + self.sharpen, cv2.GaussianBlur(light, (0, 0), 1.5), -self.sharpen, 0.0)
        return np.asarray(cv2.cvtColor(cv2.merge([light, *colour]), cv2.COLOR_YCrCb2RGB), dtype=np.uint8)


def variances(camera: Camera, severity: float) -> tuple[float, float]:
    """Of shot noise, per unit of light, and of read noise."""
    shot = SHOT[0] * (SHOT[1] / SHOT[0]) ** severity
    return shot, float(np.exp(2.18 * np.log(shot) + 1.2 + camera.read))


def camera_noise(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """A sensor that sees little, and a phone's attempt to hide it; shot noise grows from 0.0001 to 0.04 (geometric).

    At 0 it is what many exposures average to: no noise, but the same camera and software.
    """
    camera = Camera.drawn(rng)
    mosaic = camera.mosaic(pixels)
    shot, read = variances(camera, severity or camera.expected)
    if severity:
        noise = rng.standard_normal(mosaic.shape, dtype=np.float32)
        mosaic = np.asarray(mosaic + np.sqrt(shot * mosaic + read) * noise, dtype=np.float32)
    # Its strength in mid grey, brought through the curve: what denoisers estimate from a picture.
    level = 255.0 * float(np.sqrt(0.1 * shot + read)) * 2.0
    return camera.hidden(camera.developed(mosaic), level)
