"""Telling kinds: learnt on what the trunk makes of pictures, the score untouched, nothing computed twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
from typer.testing import CliRunner  # noqa: E402

from engines.cli import app  # noqa: E402
from engines.errors import CheckpointError, EngineError  # noqa: E402
from engines.kinds import KINDS  # noqa: E402
from engines.models.hyperiqa import HyperIQA  # noqa: E402
from engines.preprocess import quality_input  # noqa: E402
from engines.training import features  # noqa: E402
from engines.training.data import HOLD_OUT  # noqa: E402
from engines.training.initial_weights import load_initial_weights  # noqa: E402
from tests.pictures import photo, pixels  # noqa: E402

pytestmark = pytest.mark.torch
SIDE = 96
PICTURES = 24
runner = CliRunner(env={"COLUMNS": "200"})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos, flat shapes on white, and a network that tells no kinds."""
    root = tmp_path_factory.mktemp("kinds")
    for name in ("photo", "drawing"):
        (root / name).mkdir()
    rng = np.random.default_rng(1)
    for number in range(PICTURES):
        photo(150, 140, number).save(root / "photo" / f"{number:02}.png")
        shapes = np.full((140, 150, 3), 255, np.uint8)
        top, left = rng.integers(0, 80, 2)
        shapes[top : top + 50, left : left + 50] = rng.integers(0, 200, 3)
        Image.fromarray(shapes).save(root / "drawing" / f"{number:02}.png")
    torch.manual_seed(0)
    torch.save({"average": HyperIQA("efficientnet-lite0").state_dict(), "backbone": "efficientnet-lite0"}, root / "start.pt")
    return root


def words(data: Path, out: Path, more: str = "") -> list[str]:
    """The command, on the made-up data."""
    return (
        f"train-kinds --backbone efficientnet-lite0 --initial-weights {data / 'start.pt'} --side {SIDE} --out {out} "
        f"--kinds photo={data / 'photo'} --kinds drawing={data / 'drawing'} {more}"
    ).split()


def test_flat_shapes_are_told_from_photos_and_scores_stay(data: Path, tmp_path: Path) -> None:
    result = runner.invoke(app, words(data, tmp_path, "--steps 60"))
    assert result.exit_code == 0, result.output
    held = -(-PICTURES // HOLD_OUT)
    assert f"{4 * held} views of pictures that were put aside" in result.output
    before, after = HyperIQA("efficientnet-lite0"), HyperIQA("efficientnet-lite0", kinds=len(KINDS))
    load_initial_weights(before, data / "start.pt")
    load_initial_weights(after, tmp_path / "kinds.pt")
    with torch.no_grad():
        for name in ("photo", "drawing"):
            x = torch.from_numpy(quality_input(pixels(Image.open(data / name / "00.png")), SIDE))
            row = after.eval()(x)[0]
            assert KINDS[int(row[1:-1].argmax())] == name
            assert float(row[0]) == pytest.approx(float(before.eval()(x)[0]), abs=1e-4)


def test_what_the_trunk_makes_of_pictures_is_computed_once(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert runner.invoke(app, words(data, tmp_path, "--steps 1")).exit_code == 0

    def row(*_: object) -> None:
        raise AssertionError("computed twice")

    monkeypatch.setattr(features.FeatureExtractor, "row", row)
    result = runner.invoke(app, words(data, tmp_path, "--steps 2"))
    assert result.exit_code == 0, result.output


def test_a_trunk_without_a_head_is_refused(data: Path, tmp_path: Path) -> None:
    state = HyperIQA("efficientnet-lite0").state_dict()
    torch.save({"average": {k: v for k, v in state.items() if k.startswith("backbone.")}}, tmp_path / "trunk.pt")
    result = runner.invoke(app, words(data, tmp_path, f"--initial-weights {tmp_path / 'trunk.pt'}"))
    assert isinstance(result.exception, CheckpointError)
    assert "no finished network" in str(result.exception)


def test_a_kind_of_too_few_pictures_is_named(data: Path, tmp_path: Path) -> None:
    (tmp_path / "few").mkdir()
    photo(150, 140, 1).save(tmp_path / "few" / "1.png")
    result = runner.invoke(app, words(data, tmp_path, f"--kinds poster={tmp_path / 'few'}"))
    assert isinstance(result.exception, EngineError)
    assert "not of poster" in str(result.exception)


def test_an_unknown_kind_is_named(data: Path, tmp_path: Path) -> None:
    result = runner.invoke(app, words(data, tmp_path, f"--kinds painting={data / 'photo'}"))
    assert result.exit_code == 2
    assert "painting" in result.output
