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
from engines.training.train_kinds import KindOptions, teach, told  # noqa: E402
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
    model = HyperIQA("efficientnet-lite0").eval()
    with torch.no_grad():
        some = [pixels(Image.open(root / "photo" / f"{number:02}.png")) for number in range(8)]
        model.standardise(model.pool(torch.cat([torch.from_numpy(quality_input(each, SIDE)) for each in some])))
    torch.save({"average": model.state_dict(), "backbone": "efficientnet-lite0"}, root / "start.pt")
    return root


def words(data: Path, out: Path, more: str = "") -> list[str]:
    """The command, on the made-up data."""
    return (
        f"train-kinds --backbone efficientnet-lite0 --initial-weights {data / 'start.pt'} --side {SIDE} --out {out} "
        f"--kinds photo={data / 'photo'} --kinds drawing={data / 'drawing'} {more}"
    ).split()


def test_scores_stay_while_kinds_are_taught(data: Path, tmp_path: Path) -> None:
    result = runner.invoke(app, words(data, tmp_path, "--steps 30"))
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
            assert float(row[1:-1].sum()) == pytest.approx(1)
            assert float(row[0]) == pytest.approx(float(before.eval()(x)[0]), abs=1e-4)


def test_kinds_and_ruin_are_learnt_from_the_last_stage() -> None:
    """Rows in which they can be seen; what was put aside is told right, and lines say so."""
    rng, model = np.random.default_rng(0), HyperIQA("efficientnet-lite0", kinds=len(KINDS))
    kinds, ruined = rng.integers(0, len(KINDS), 600), rng.random(600) < 0.5
    start = sum(model.widths[:-2])
    rows = rng.normal(0, 1, (600, sum(model.widths))).astype(np.float16)
    for number, kind in enumerate(kinds):
        rows[number, start + 300 * kind : start + 300 * (kind + 1)] += 1.0
    rows[ruined, start + 3000 : start + 3300] += 1.0
    seen = features.KindRows(rows, kinds, ruined, np.arange(600) % 8 == 0)
    lines = list(teach(model, seen, KindOptions(Path(), (), Path(), steps=200)))
    assert lines[0] == "75 views of pictures that were put aside"
    with torch.no_grad():
        said, ruin = told(model, rows[seen.held])
    assert float((said.argmax(dim=1).numpy() == kinds[seen.held]).mean()) > 0.95
    assert float(((ruin > 0).numpy() == ruined[seen.held]).mean()) > 0.95


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
