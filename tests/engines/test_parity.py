"""The parity gate: what passes, what does not, and that it looks at more than the golden pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.engine_set import DEFAULT_DIRECTORY, EngineNames, EngineSet, load_engines
from engines.errors import ParityError
from engines.parity import compare_engines, folder_pictures, gate_pictures, require_parity
from engines.quality import QualityEngine, QualityPanel
from engines.runtime.onnx import OnnxRuntime
from engines.text_detection import TextDetector
from tests.engines.fakes import DETECTION, QUALITY, FakeNetwork, quality_manifest
from tests.pictures import photo

GREY = np.full((64, 64, 3), 90, np.uint8)


@pytest.fixture(scope="module")
def real() -> EngineSet:
    return load_engines(EngineNames(), DEFAULT_DIRECTORY, OnnxRuntime())


def scoring(engines: EngineSet, score: float) -> EngineSet:
    network = FakeNetwork(lambda batch: np.full(len(batch), score, np.float32))
    return replace(engines, quality=QualityPanel([QualityEngine(QUALITY, network)]), runtime_label=f"fake@{score}")


def finding(engines: EngineSet, share: float) -> EngineSet:
    def answer(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        scores = np.zeros((1, 1, *batch.shape[2:]), np.float32)
        scores[..., : int(share * batch.shape[2]), :] = 0.9
        return scores

    return replace(engines, text_detection=TextDetector(DETECTION, FakeNetwork(answer)))


@pytest.mark.parametrize(
    ("here", "there", "passed"),
    [
        (50.0, 50.9, True),
        (50.0, 51.2, False),
        (41.5, 40.6, True),
        (39.6, 40.2, True),
        (38.9, 40.1, False),
        (60.5, 59.9, True),
    ],
)
def test_scores_may_differ_by_one_point_and_categories_only_beside_a_threshold(
    real: EngineSet, here: float, there: float, passed: bool
) -> None:
    """At 40 and 60."""
    (result,) = compare_engines(scoring(real, here), scoring(real, there), [("grey", GREY)])
    assert result.passed is passed
    assert result.scores == (here, there)


def test_text_areas_may_differ_by_two_points(real: EngineSet) -> None:
    """Of a hundred."""
    same = scoring(real, 50)
    (result,) = compare_engines(finding(same, 0.5), finding(same, 0.5), [("grey", GREY)])
    assert result.passed
    (result,) = compare_engines(finding(same, 0.5), finding(same, 0.7), [("grey", GREY)])
    assert not result.passed


@pytest.mark.parametrize(("photo", "ruined", "passed"), [(0.54, 0.14, True), (0.57, 0.1, False), (0.5, 0.17, False)])
def test_kinds_and_ruin_may_differ_by_five_points(real: EngineSet, photo: float, ruined: float, passed: bool) -> None:
    """Of a hundred: rules act on them as they do on scores."""

    def telling(*answers: float) -> EngineSet:
        network = FakeNetwork(lambda batch: np.array([answers], np.float32))
        engine = QualityEngine(quality_manifest("photo", "drawing"), network)
        return replace(real, quality=QualityPanel([engine]))

    here, there = telling(50, 0.5, 0.5, 0.1), telling(50, photo, 1 - photo, ruined)
    (result,) = compare_engines(here, there, [("grey", GREY)])
    assert result.passed is passed
    assert result.photo == (0.5, photo)


def test_a_backend_equals_itself(real: EngineSet) -> None:
    """On pictures of several shapes and lights."""
    require_parity(real, real)
    pictures = list(gate_pictures())
    assert len({pixels.shape for _, pixels in pictures}) >= 6
    assert len({name for name, _ in pictures}) == len(pictures)


def test_the_gate_names_the_worst_picture(real: EngineSet) -> None:
    """Both backends, both answers."""
    with pytest.raises(ParityError, match=r"fake@99.0 and onnx@.* disagree on \d+ pictures; on .*: scores 99.0 and"):
        require_parity(real, scoring(real, 99.0))


def test_pictures_of_a_folder(tmp_path: Path) -> None:
    """What cannot be read is no picture."""
    photo(60, 40).save(tmp_path / "b.png")
    (tmp_path / "a.txt").write_text("notes")
    (tmp_path / "c").mkdir()
    ((name, pixels),) = folder_pictures(tmp_path)
    assert (name, pixels.shape) == ("b.png", (40, 60, 3))
