"""Learning without ratings: to agree with finished engines, and to tell kinds; beside opinions, and resumable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from typer.testing import CliRunner  # noqa: E402

from engines.catalog import QualityInput, load_manifest  # noqa: E402
from engines.cli import app  # noqa: E402
from engines.errors import CheckpointError, EngineError  # noqa: E402
from engines.export import Export, export_engine  # noqa: E402
from engines.kinds import KINDS  # noqa: E402
from engines.models.hyperiqa import HyperIQA  # noqa: E402
from engines.quality import QualityEngine  # noqa: E402
from engines.runtime.onnx import OnnxRuntime  # noqa: E402
from engines.training.data import picture_files  # noqa: E402
from engines.training.initial_weights import load_initial_weights  # noqa: E402
from engines.training.tasks import Agreement, KindPictures, load_teachers  # noqa: E402
from tests.engines.torch.test_train import data as clive  # noqa: E402
from tests.pictures import page, photo, pixels  # noqa: E402

__all__ = ["clive"]

pytestmark = pytest.mark.torch
SIDE = 96
runner = CliRunner(env={"COLUMNS": "200"})


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos and documents."""
    root = tmp_path_factory.mktemp("tasks")
    for name in ("photo", "document"):
        (root / name).mkdir()
    for number in range(6):
        photo(150, 140, number).save(root / "photo" / f"{number}.png")
        page([f"line {number}"] * 4, (300, 200), 24).save(root / "document" / f"{number}.png")
    return root


@pytest.fixture
def teachers(tmp_path: Path) -> list[Path]:
    """Two heads on one trunk, and one on another."""
    torch.manual_seed(0)
    first = HyperIQA("efficientnet-lite0")
    second = HyperIQA("efficientnet-lite0")
    second.backbone.load_state_dict(first.backbone.state_dict())
    paths = []
    for number, model in enumerate((first, second, HyperIQA("resnet18"))):
        paths.append(tmp_path / f"{number}.pt")
        torch.save({"average": model.state_dict(), "backbone": "unread"}, paths[-1])
    return paths


def test_a_trunk_runs_once_for_all_of_its_heads(folders: Path, teachers: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """And the target is the mean of all three."""
    loaded = load_teachers(teachers, torch.device("cpu"))
    task = Agreement(picture_files([folders / "photo"]), loaded, 2, SIDE, SIDE, 1.0)
    assert sorted(len(heads) for heads in task.trunks) == [1, 2]
    drawn = task.draw(np.random.default_rng(0))
    assert drawn.inputs.shape == (2, 3, SIDE, SIDE)
    with torch.no_grad():
        means = torch.stack([each(drawn.inputs) for each in loaded]).mean(dim=0)
    passes = []
    pool = HyperIQA.pool

    def counted(model: HyperIQA, x: Any) -> Any:
        passes.append(model)
        return pool(model, x)

    monkeypatch.setattr(HyperIQA, "pool", counted)
    model = HyperIQA("resnet18").eval()
    pooled = pool(model, drawn.inputs)
    wrong = float(task.loss(model, pooled, drawn))
    assert len(passes) == 2
    monkeypatch.setattr(model, "judge", lambda _: means)
    assert float(task.loss(model, pooled, drawn)) < min(wrong, 0.1)


def test_the_same_generator_draws_the_same(folders: Path, teachers: list[Path]) -> None:
    """So that a run that is resumed sees what it would have seen."""
    files = picture_files([folders / "photo"])
    agreement = Agreement(files, load_teachers(teachers[:1], torch.device("cpu")), 3, SIDE, SIDE, 1.0)
    kinds = KindPictures({"photo": files, "document": picture_files([folders / "document"])}, 8, SIDE, SIDE, 1.0)
    for task in (agreement, kinds):
        one, other = (task.draw(np.random.default_rng(5)) for _ in range(2))
        assert torch.equal(one.inputs, other.inputs)
        assert all(torch.equal(value, other.targets[name]) for name, value in one.targets.items())
    assert set(one.targets["kinds"].tolist()) == {KINDS.index("photo"), KINDS.index("document")}
    assert set(one.targets["ruined"].tolist()) == {0.0, 1.0}


def test_a_teacher_without_a_head_is_refused(tmp_path: Path) -> None:
    state = HyperIQA("resnet18").state_dict()
    torch.save({"average": {k: v for k, v in state.items() if k.startswith("backbone.")}}, tmp_path / "trunk.pt")
    with pytest.raises(CheckpointError, match="no finished network"):
        load_teachers([tmp_path / "trunk.pt"], torch.device("cpu"))


def test_a_run_of_all_tasks_becomes_an_engine_that_tells_kinds(
    clive: Path, folders: Path, teachers: list[Path], tmp_path: Path
) -> None:
    """Trained, stopped, resumed, exported, loaded, asked."""
    words = (
        f"train --data clive={clive / 'clive'} --photos {clive / 'photos'} --initial-weights {clive / 'start.pt'} "
        f"--out {tmp_path / 'run'} --batch 2 --crop 96 --side 128 --ladders 1 --ladder-crop 64 --every 1 "
        f"--unlabelled {folders / 'photo'} --teacher {teachers[0]} "
        f"--kinds photo={folders / 'photo'} --kinds document={folders / 'document'} --precision single --device cpu "
    )
    for steps in (1, 2):
        result = runner.invoke(app, f"{words} --steps {steps}".split())
        assert result.exit_code == 0, result.output
    checkpoint = tmp_path / "run" / "last.pt"
    assert torch.load(checkpoint, weights_only=True)["step"] == 2
    manifest = export_engine(Export((checkpoint,), "own-kinds", 1, None, "made up", "none"), tmp_path / "engines")
    assert isinstance(manifest.input, QualityInput)
    assert manifest.input.kinds == KINDS
    assert all(golden.photo is not None for golden in manifest.golden)
    network = OnnxRuntime().load(tmp_path / "engines" / "own-kinds.onnx")
    said = QualityEngine(load_manifest("own-kinds", tmp_path / "engines"), network).judge(pixels(photo(200, 150)))
    assert sum(said.kinds.values()) == pytest.approx(1, abs=1e-3)
    assert said.ruined is not None
    model = HyperIQA("resnet18", kinds=len(KINDS))
    assert load_initial_weights(model, tmp_path / "engines" / "own-kinds.onnx").head


def test_unlabelled_photos_need_a_teacher(clive: Path, folders: Path, tmp_path: Path) -> None:
    words = f"train --data clive={clive / 'clive'} --photos {clive / 'photos'} --out {tmp_path} --batch 2 --ladder-crop 64"
    result = runner.invoke(app, f"{words} --unlabelled {folders / 'photo'}".split())
    assert isinstance(result.exception, EngineError)
    assert "--teacher" in str(result.exception)
