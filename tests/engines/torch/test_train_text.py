"""Seeing where there is no text: learnt from the text engines, score and kinds untouched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from PIL import Image  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from engines.cli import app  # noqa: E402
from engines.errors import CheckpointError  # noqa: E402
from engines.kinds import KINDS  # noqa: E402
from engines.models.hyperiqa import HyperIQA  # noqa: E402
from engines.preprocess import quality_input  # noqa: E402
from engines.training.datasets import DataSetError  # noqa: E402
from engines.training.features import TextRows  # noqa: E402
from engines.training.initial_weights import load_initial_weights  # noqa: E402
from engines.training.train_text import TextOptions, probabilities, require_both, teach  # noqa: E402
from tests.pictures import page, photo, pixels  # noqa: E402

pytestmark = pytest.mark.torch
SIDE = 96
runner = CliRunner(env={"COLUMNS": "200"})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos and pages, and a network that tells kinds."""
    root = tmp_path_factory.mktemp("text")
    (root / "pictures").mkdir()
    for number in range(60):
        made = photo(150, 140, number) if number % 5 > 1 else page([f"LINE {number}", "and more"], (300, 200))
        made.save(root / "pictures" / f"{number:02}.png")
    torch.manual_seed(0)
    model = HyperIQA("efficientnet-lite0", kinds=len(KINDS)).eval()
    with torch.no_grad():
        some = [pixels(Image.open(path).resize((150, 140))) for path in sorted((root / "pictures").iterdir())[:8]]
        model.standardise(model.pool(torch.cat([torch.from_numpy(quality_input(each, SIDE)) for each in some])))
    torch.save({"average": model.state_dict(), "backbone": "efficientnet-lite0"}, root / "start.pt")
    return root


def words(data: Path, out: Path, start: Path) -> list[str]:
    return (
        f"train-text --backbone efficientnet-lite0 --initial-weights {start} --side {SIDE} --out {out} --steps 30 "
        f"--pictures {data / 'pictures'}"
    ).split()


def test_what_was_there_stays(data: Path, tmp_path: Path) -> None:
    """Score, kinds and ruin are the same with one more column behind them, which is a probability."""
    result = runner.invoke(app, words(data, tmp_path, data / "start.pt"))
    assert result.exit_code == 0, result.output
    assert "8 pictures that were put aside" in result.output
    before, after = (HyperIQA("efficientnet-lite0", kinds=len(KINDS), text=text).eval() for text in (False, True))
    load_initial_weights(before, data / "start.pt")
    load_initial_weights(after, tmp_path / "text.pt")
    with torch.no_grad():
        x = torch.from_numpy(quality_input(pixels(photo(120, 110)), SIDE))
        old, new = before(x)[0], after(x)[0]
    assert new[:-1].tolist() == pytest.approx(old.tolist(), abs=1e-4)
    assert 0 < float(new[-1]) < 1


def test_text_is_learnt_from_the_last_stage() -> None:
    """Rows in which it can be seen; the report says how much is passed over at which limit."""
    rng, model = np.random.default_rng(0), HyperIQA("efficientnet-lite0", kinds=len(KINDS), text=True)
    areas = np.where(rng.random(800) < 0.4, rng.uniform(0.01, 0.5, 800), 0.0)
    start = sum(model.widths[:-2])
    rows = rng.normal(0, 1, (800, sum(model.widths))).astype(np.float16)
    rows[areas > 0, start : start + 3000] += 1.0
    seen = TextRows(rows, areas, np.arange(800) % 8 == 0)
    lines = list(teach(model, seen, TextOptions(Path(), (), Path(), Path(), steps=200)))
    assert lines[0].startswith("100 pictures that were put aside")
    assert len(lines) == 7
    told, there = probabilities(model, rows[seen.held]), areas[seen.held] > 0
    assert (told[there][:, None] > told[~there]).mean() > 0.97


def test_pictures_of_one_sort_are_refused() -> None:
    """Nothing could be learnt from them, or said about what was."""
    rows = np.zeros((80, 4), np.float16)
    held = np.arange(80) % 8 == 0
    require_both(TextRows(rows, np.where(np.arange(80) % 3 == 0, 0.1, 0.0), held))
    for areas in (np.zeros(80), np.ones(80), np.where(held, 0.0, 0.1)):
        with pytest.raises(DataSetError, match="of 80 pictures .* have text"):
            require_both(TextRows(rows, areas, held))


def test_a_network_that_tells_no_kinds_is_refused(data: Path, tmp_path: Path) -> None:
    plain = HyperIQA("efficientnet-lite0")
    torch.save({"average": plain.state_dict(), "backbone": "efficientnet-lite0"}, tmp_path / "plain.pt")
    result = runner.invoke(app, words(data, tmp_path, tmp_path / "plain.pt"))
    assert isinstance(result.exception, CheckpointError)
    assert "train-kinds first" in str(result.exception)
