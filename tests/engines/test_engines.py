"""The real networks, on golden pictures and on rendered ones."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from engines.catalog import Golden, Manifest, load_manifest, shipped_weights
from engines.engine_set import EngineNames, load_engines
from engines.errors import EngineError, GoldenError, ManifestError
from engines.preprocess import quality_input
from engines.quality import QualityEngine, QualityPanel
from engines.runtime.onnx import OnnxRuntime
from engines.verify import golden_picture, require_golden, verify_engines
from tests.engines.fakes import QUALITY, FakeNetwork, quality_manifest
from tests.pictures import page, photo, pixels
from worker.assessor import Assessor


def test_golden_check_passes(assessor: Assessor) -> None:
    """Every engine answers as recorded."""
    results = verify_engines(assessor.engines)
    assert {result.engine for result in results} == set("+".join(assessor.engines.labels.values()).split("+"))
    assert [result for result in results if not result.passed] == []


def test_golden_check_finds_a_wrong_network(assessor: Assessor) -> None:
    """A network that answers 50 to everything does not get past the start."""
    wrong = QualityEngine(QUALITY, FakeNetwork(lambda _: np.array([50.0], np.float32)))
    with pytest.raises(GoldenError, match=r"hyperiqa-lite0@\d+ answers 50.0"):
        require_golden(replace(assessor.engines, quality=QualityPanel([wrong])))


@pytest.mark.parametrize(("photo", "ruined", "passed"), [(0.9, 0.2, True), (0.8, 0.2, False), (0.9, 0.3, False)])
def test_golden_check_holds_kinds_and_ruin(assessor: Assessor, photo: float, ruined: float, passed: bool) -> None:
    """Within five points of a hundred of what was recorded."""
    manifest = quality_manifest("photo", "drawing")
    golden = Golden(picture="quality_sharp.png", score=50.0, photo=0.92, ruined=0.18, tolerance=0.5)
    network = FakeNetwork(lambda _: np.array([[50.0, photo, 1 - photo, ruined]], np.float32))
    engine = QualityEngine(manifest.model_copy(update={"golden": (golden,)}), network)
    result, *_ = verify_engines(replace(assessor.engines, quality=QualityPanel([engine])))
    assert result.passed is passed
    assert result.answered == f"50.0, photo {photo}, ruined {ruined}"


def test_scores_fall_with_blur(assessor: Assessor) -> None:
    """The sharper, the better, from what can be seen (a sigma of 1.5 px) on; and severe blur is low."""
    sharp = golden_picture("quality_sharp.png")
    scores = [assessor.engines.quality.score(sharp)]
    scores += [
        assessor.engines.quality.score(np.asarray(cv2.GaussianBlur(sharp, (0, 0), sigma), np.uint8)) for sigma in (1.5, 2, 4)
    ]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] >= 60
    assert scores[-1] < 40


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (3000, 2), (33, 65)])
def test_odd_sizes_get_a_score(assessor: Assessor, size: tuple[int, int]) -> None:
    """Whatever was uploaded, there is a number from 0 to 100."""
    assert 0 <= assessor.engines.quality.score(np.full((*size, 3), 128, np.uint8)) <= 100


def test_scores_do_not_depend_on_threads(assessor: Assessor) -> None:
    """Many pictures at once give what each gives alone."""
    pictures = [pixels(photo(300 + 20 * n, 260, seed=n)) for n in range(6)]
    alone = [assessor.engines.quality.score(picture) for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(assessor.engines.quality.score, pictures * 3)) == alone * 3


@pytest.mark.parametrize("name", ["hyperiqa-lite0", "hyperiqa-r18"])
def test_scores_do_not_depend_on_the_batch_or_on_threads_inside(name: str) -> None:
    """Alone, beside any others, with one or two threads in the runtime: the same to a tenth of a point, and closer."""
    path = shipped_weights() / load_manifest(name).file
    inputs = [quality_input(pixels(photo(384, 288, seed=n))) for n in range(4)]
    one, two = OnnxRuntime(threads=1).load(path), OnnxRuntime(threads=2).load(path)
    alone = np.concatenate([one.run(x) for x in inputs])
    for network in (one, two):
        for size in (2, 3, 4):
            for start in range(5 - size):
                together = network.run(np.concatenate(inputs[start : start + size]))
                assert together == pytest.approx(alone[start : start + size], abs=0.01)


def test_nonsense_is_refused(assessor: Assessor) -> None:
    """A network that answers no number fails loudly; one that wants other preprocessing is not loaded."""
    broken = QualityEngine(QUALITY, FakeNetwork(lambda _: np.array([np.nan], np.float32)))
    with pytest.raises(EngineError, match=r"answered \[nan\]"):
        broken.score(pixels(photo(100, 100)))
    other: Manifest = QUALITY.model_copy(update={"input": QUALITY.input.model_copy(update={"policy": "crops@1"})})
    with pytest.raises(ManifestError, match="wants another input"):
        QualityEngine(other, FakeNetwork(lambda batch: batch))


def test_text_is_found_and_read(assessor: Assessor) -> None:
    """Rendered lines come back letter by letter."""
    picture = pixels(page(["CERTIFICATE", "of good conduct", "number 4711"]))
    text = assessor.engines.text
    found = text.locate(picture)
    assert sorted(line.text for line in text.read(picture, found)) == ["CERTIFICATE", "number 4711", "of good conduct"]
    assert 0.02 < found.area < 0.2


def test_turned_text_is_read(assessor: Assessor) -> None:
    """A slant of some degrees, and lines that run upwards."""
    slanted = page(["SAFETY FIRST"], (600, 400)).rotate(12, fillcolor=(246, 242, 230), resample=Image.Resampling.BICUBIC)
    text = assessor.engines.text
    assert [line.text for line in text.read(pixels(slanted), text.locate(pixels(slanted)))] == ["SAFETY FIRST"]


def test_pictures_without_text(assessor: Assessor) -> None:
    """Shapes are not letters."""
    picture = pixels(photo())
    found = assessor.engines.text.locate(picture)
    assert found.area == pytest.approx(0, abs=0.02)


def test_runtime_names_what_it_cannot_load_or_run(tmp_path: object, assessor: Assessor) -> None:
    """The file, the shape, the reason."""
    from pathlib import Path

    path = Path(str(tmp_path)) / "broken.onnx"
    path.write_bytes(b"not a network")
    with pytest.raises(EngineError, match="broken.onnx cannot be loaded"):
        OnnxRuntime().load(path)
    network = OnnxRuntime().load(shipped_weights() / QUALITY.file)
    with pytest.raises(EngineError, match=r"failed on an input of shape \(1, 4, 64, 64\)"):
        network.run(np.zeros((1, 4, 64, 64), np.float32))


def test_an_engine_that_is_not_there(tmp_path: Path) -> None:
    """Told with the setting that names it."""
    for field in ("quality", "text_detection", "text_recognition"):
        with pytest.raises(ManifestError, match=f"^IQA_ENGINES__{field.upper()}: no engine 'nope'"):
            load_engines(replace(EngineNames(), **{field: "nope"}), tmp_path, OnnxRuntime())
