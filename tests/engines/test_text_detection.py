"""Probability maps become boxes; boxes become an area."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from engines.catalog import DetectionInput
from engines.errors import ManifestError
from engines.text_detection import TextDetector, offset_outline, regions_from_map, text_area
from tests.engines.fakes import DETECTION, QUALITY, Array, FakeNetwork
from tests.pictures import photo, pixels

assert isinstance(DETECTION.input, DetectionInput)
LIMITS: DetectionInput = DETECTION.input


def box_map(height: int, width: int, *boxes: tuple[int, int, int, int], value: float = 0.9) -> Array:
    scores = np.zeros((height, width), np.float32)
    for left, top, right, bottom in boxes:
        scores[top:bottom, left:right] = value
    return scores


def test_a_box_grows_by_the_papers_offset() -> None:
    """Each side moves out by area x ratio / perimeter (DB, section 3.4)."""
    (region,) = regions_from_map(box_map(100, 200, (50, 40, 151, 61)), LIMITS)
    for quad, ratio in ((region.reading, LIMITS.unclip_ratio), (region.extent, LIMITS.extent_ratio)):
        offset = 100 * 20 * ratio / (2 * (100 + 20))
        low, high = quad.min(axis=0), quad.max(axis=0)
        assert low == pytest.approx([50 - offset, 40 - offset], abs=0.1)
        assert high == pytest.approx([150 + offset, 60 + offset], abs=0.1)


def test_corners_run_clockwise_from_the_top_left() -> None:
    """Whatever corner OpenCV begins with."""
    (region,) = regions_from_map(box_map(100, 200, (50, 40, 151, 61)), LIMITS)
    top_left, top_right, bottom_right, bottom_left = region.reading
    assert top_left[0] < top_right[0]
    assert top_left[1] < bottom_left[1]
    assert bottom_right[0] == pytest.approx(top_right[0])
    assert bottom_right[1] == pytest.approx(bottom_left[1])


@pytest.mark.parametrize(("box", "value"), [((10, 10, 12, 60), 0.9), ((10, 10, 80, 40), 0.45), ((10, 10, 80, 40), 0.2)])
def test_thin_and_doubtful_regions_are_dropped(box: tuple[int, int, int, int], value: float) -> None:
    """Below the least side, the least mean score, the mask's threshold."""
    assert regions_from_map(box_map(100, 100, box, value=value), LIMITS) == []


def test_regions_come_from_top_to_bottom() -> None:
    """Reading order, roughly."""
    regions = regions_from_map(box_map(200, 200, (20, 150, 180, 170), (20, 20, 180, 40), (20, 80, 180, 100)), LIMITS)
    tops = [float(region.reading[:, 1].min()) for region in regions]
    assert tops == sorted(tops)
    assert len(tops) == 3


def test_area_is_the_union_and_stays_inside() -> None:
    """Overlaps count once; what sticks out does not count."""
    left = np.array([[0, 0], [60, 0], [60, 100], [0, 100]], np.float32)
    right = np.array([[40, 0], [100, 0], [100, 100], [40, 100]], np.float32)
    outside = np.array([[-50, -50], [-10, -50], [-10, -10], [-50, -10]], np.float32)
    assert text_area([left], 100, 100) == pytest.approx(0.6, abs=0.02)
    assert text_area([left, right], 100, 100) == pytest.approx(1.0, abs=0.01)
    assert text_area([left, left], 100, 100) == text_area([left], 100, 100)
    assert text_area([outside], 100, 100) == 0
    assert text_area([], 100, 100) == 0
    assert text_area([left * 100], 10_000, 10_000) == pytest.approx(0.6, abs=0.02)


@pytest.mark.parametrize("size", [(640, 480), (100, 37), (3000, 200), (1, 1)])
def test_input_is_a_multiple_and_boxes_are_in_the_pictures_pixels(size: tuple[int, int]) -> None:
    """The network sees multiples of 32; callers never see the network's scale."""
    network = FakeNetwork(lambda batch: np.ones((1, 1, *batch.shape[2:]), np.float32))
    picture = pixels(photo(*size))
    regions = TextDetector(DETECTION, network).detect(picture)
    assert all(side % LIMITS.multiple == 0 for side in network.shapes[0][2:])
    if min(size) > 30:
        centre = regions[0].reading.mean(axis=0)
        assert centre == pytest.approx([size[0] / 2, size[1] / 2], rel=0.05)


def test_other_engines_are_refused() -> None:
    """A manifest of the wrong kind stops the start."""
    with pytest.raises(ManifestError, match="no text detector"):
        TextDetector(QUALITY, FakeNetwork(lambda batch: batch))


# Hulls of what Clipper 6.4.2 (pyclipper 1.4.0, round joins, closed polygons) answered to these polygons and distances.
CLIPPER = [
    ([[16, 41], [17, 40], [18, 41], [17, 42]], 0.53033, [[16, 41], [17, 40], [17, 42], [18, 41]]),
    (
        [[16, 4], [14, 6], [31, 23], [33, 21]],
        1.898024,
        [[13, 5], [13, 7], [15, 3], [17, 3], [30, 24], [32, 24], [34, 20], [34, 22]],
    ),
    (
        [[36, 21], [32, 23], [43, 46], [46, 45], [47, 43]],
        3.001885,
        [
            *[[29, 22], [29, 24], [31, 20], [35, 18], [37, 18], [39, 20], [40, 47], [42, 49]],
            *[[44, 49], [47, 48], [49, 46], [50, 42], [50, 44]],
        ],
    ),
    (
        [[639, 929], [640, 928], [641, 928], [642, 929], [642, 930], [641, 931]],
        0.909485,
        [[638, 928], [638, 930], [639, 927], [640, 932], [642, 927], [642, 932], [643, 928], [643, 931]],
    ),
]


@pytest.mark.parametrize(("corners", "distance", "hull"), CLIPPER)
def test_outlines_are_offset_as_clipper_does(corners: list[list[int]], distance: float, hull: list[list[int]]) -> None:
    """Corner for corner: where two rectangles are almost equally small, its rounding decides between them."""
    around = offset_outline(np.array(corners, np.float32), distance)
    assert sorted(cv2.convexHull(around).reshape(-1, 2).astype(int).tolist()) == hull


CONTOUR = LIMITS.model_copy(update={"region": "contour", "min_side": 5, "multiple": 32, "enlarge": True, "shortest_side": 64})


def test_contours_become_quadrangles() -> None:
    """A bar is grown by the paper's offset; what stays thinner than the least side is no text, nor is a mere triangle."""
    (region,) = regions_from_map(box_map(100, 200, (50, 40, 151, 61)), CONTOUR)
    offset = 100 * 20 * CONTOUR.unclip_ratio / (2 * (100 + 20))
    assert region.reading.min(axis=0) == pytest.approx([50 - offset, 40 - offset], abs=1)
    assert region.reading.max(axis=0) == pytest.approx([150 + offset, 60 + offset], abs=1)
    assert regions_from_map(box_map(100, 100, (10, 10, 12, 13)), CONTOUR) == []
    triangle = np.zeros((80, 80), np.float32)
    cv2.fillPoly(triangle, [np.array([[10, 10], [70, 10], [10, 70]])], (0.9,))
    assert regions_from_map(triangle, CONTOUR) == []


@pytest.mark.parametrize(("size", "seen"), [((50, 32), (64, 128)), ((900, 100), (64, 480)), ((100, 900), (480, 64))])
def test_small_pictures_are_enlarged_and_both_sides_bounded(size: tuple[int, int], seen: tuple[int, int]) -> None:
    """The shorter side to 64, unless the longer would pass 480; padded to a multiple of 32."""
    network = FakeNetwork(lambda batch: np.zeros((1, 1, *batch.shape[2:]), np.float32))
    manifest = DETECTION.model_copy(update={"input": CONTOUR})
    TextDetector(manifest, network).detect(pixels(photo(*size)))
    assert network.shapes[0][2:] == seen


@pytest.mark.parametrize("region", ["rectangle", "contour"])
@settings(max_examples=150, deadline=None)
@given(
    scores=arrays(
        np.float32,
        array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40),
        elements=st.sampled_from([0.0, 0.29, 0.31, 0.5, 0.99, 1.0]).map(np.float32),
    )
)
def test_any_map_gives_boxes_whose_area_is_a_share(region: str, scores: Array) -> None:
    """Specks, lines, holes, combs: quads of finite corners, and nothing raises."""
    regions = regions_from_map(scores, LIMITS.model_copy(update={"region": region}))
    height, width = scores.shape
    for found in regions:
        assert found.reading.shape == found.extent.shape == (4, 2)
        assert np.isfinite(found.reading).all()
        assert np.isfinite(found.extent).all()
    assert 0 <= text_area([found.extent for found in regions], width, height) <= 1
