"""A last stage is learnt from teachers, on what is computed once, and the rest of the trunk stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from safetensors.torch import load_file, save_file  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from engines.cli import app  # noqa: E402
from engines.errors import CheckpointError  # noqa: E402
from engines.models.efficientnet import EfficientNetClassifier  # noqa: E402
from engines.models.resnet import ResNetTrunk  # noqa: E402
from engines.training.distil import DistilRecipe, Goals, Student, distil  # noqa: E402
from engines.training.distil_cache import DistilCache, random_view  # noqa: E402
from tests.engines.torch.published import published  # noqa: E402
from tests.pictures import photo, pixels  # noqa: E402

pytestmark = pytest.mark.torch
RECIPE = DistilRecipe(views=2, side=64, epochs=20, batch=8, map_weight=2, heard_weight=2, average=0.5)
WANTED = {"views": 2, "side": 64, "seed": 1}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number in range(24):
        photo(90, 80, number).save(folder / f"{number:02}.png")
    return folder


@pytest.fixture(scope="module")
def incomplete(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ResNet-18 with its classifier, but without the last stage's 3 x 3 convolutions."""
    torch.manual_seed(0)
    state = {
        name: value.contiguous()
        for name, value in ResNetTrunk().state_dict().items()
        if not (name.startswith("layer4") and "downsample" not in name and name.endswith("weight"))
    }
    state |= {"fc.weight": 0.05 * torch.randn(1000, 512), "fc.bias": torch.zeros(1000)}
    path = tmp_path_factory.mktemp("start") / "incomplete.safetensors"
    save_file(state, path)
    return path


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("teacher") / "lite0.pth"
    torch.save(published(), path)
    return path


def test_views_are_squares_of_the_photo() -> None:
    """The same for the same seed; some have a defect."""
    picture = pixels(photo(120, 90, 1))
    views = [random_view(picture, 64, np.random.default_rng(seed)) for seed in range(12)]
    assert {view.shape for view in views} == {(64, 64, 3)}
    assert np.array_equal(views[3], random_view(picture, 64, np.random.default_rng(3)))
    assert len({view.tobytes() for view in views}) == 12


def test_what_is_computed_once_is_what_the_networks_say(photos: Path, teacher: Path, tmp_path: Path) -> None:
    """Maps below the stage, logarithms of probabilities; another recipe does not take another's file."""
    known = EfficientNetClassifier.published(torch.load(teacher, weights_only=True))
    trunk, paths = ResNetTrunk().eval(), sorted(photos.iterdir())
    cache = DistilCache.made(tmp_path, trunk, [known], paths, WANTED)
    assert cache.maps.shape == (48, 256, 4, 4)
    assert cache.hints.shape == (48, 1280, 2, 2)
    assert np.exp(cache.logs[5].astype(float)).sum() == pytest.approx(1, abs=0.02)
    with pytest.raises(CheckpointError, match="holds other views"):
        DistilCache.made(tmp_path, trunk, [known], paths[:5], WANTED)


def test_the_stage_comes_to_say_what_the_teacher_says(photos: Path, teacher: Path, tmp_path: Path) -> None:
    """Of the views that it learns from, in all three respects; every epoch tells of photos held out."""
    torch.manual_seed(1)
    known = EfficientNetClassifier.published(torch.load(teacher, weights_only=True))
    trunk, paths = ResNetTrunk().eval(), sorted(photos.iterdir())
    cache = DistilCache.made(tmp_path, trunk, [known], paths, WANTED)
    goals = Goals(cache, np.arange(48))
    student = Student(trunk, torch.nn.Linear(512, 1000), cache.hints.shape[1], goals.count)
    picks = np.arange(2, 40)

    @torch.no_grad()
    def apart() -> list[float]:
        return goals.losses(student.last(torch.from_numpy(cache.maps[picks]).float()), cache.said(picks)).tolist()

    before, below = apart(), trunk.layer3[1].conv2.weight.clone()
    told = list(distil(student, cache, goals, RECIPE))
    assert [epoch for epoch, _ in told] == list(range(1, RECIPE.epochs + 1))
    assert all(len(losses) == 3 for _, losses in told)
    after = apart()
    assert all(late < early for early, late in zip(before, after, strict=True)), (before, after)
    assert after[0] < 0.5 * before[0]
    assert torch.equal(trunk.layer3[1].conv2.weight, below)


def test_the_command(photos: Path, incomplete: Path, teacher: Path, tmp_path: Path) -> None:
    """First stages as they were, with a last stage and a classifier; called again it goes on, and the whole trunk learns."""
    words = f"distil --initial-weights {incomplete} --teacher {teacher} --photos {photos} --out {tmp_path} --side 64 --batch 8"
    result = CliRunner().invoke(app, f"{words} --epochs 1 --steps 0".split())
    assert result.exit_code == 0, result.output
    assert "epoch 1 of 1" in result.output
    before, after = load_file(incomplete), load_file(tmp_path / "trunk.safetensors")
    assert set(after) == {*ResNetTrunk().state_dict(), "fc.weight", "fc.bias"}
    assert all(torch.equal(after[name], value) for name, value in before.items() if not name.startswith(("layer4", "fc")))
    result = CliRunner().invoke(app, f"{words} --epochs 1 --steps 2".split())
    assert result.exit_code == 0, result.output
    assert "epoch" not in result.output
    assert "step 2 of 2" in result.output
    assert not torch.equal(load_file(tmp_path / "trunk.safetensors")["conv1.weight"], before["conv1.weight"])


@pytest.mark.parametrize(
    ("spoil", "says"),
    [("teacher", "is no EfficientNet-Lite as published"), ("start", "holds no classifier"), ("photos", "fewer than a batch")],
)
def test_what_is_missing_is_named(spoil: str, says: str, photos: Path, incomplete: Path, teacher: Path, tmp_path: Path) -> None:
    """Before anything is computed."""
    if spoil == "teacher":
        teacher = incomplete
    if spoil == "start":
        save_file({k: v for k, v in load_file(incomplete).items() if not k.startswith("fc.")}, tmp_path / "bare.safetensors")
        incomplete = tmp_path / "bare.safetensors"
    words = f"distil --initial-weights {incomplete} --teacher {teacher} --photos {photos} --out {tmp_path / 'out'}"
    result = CliRunner().invoke(app, words.split())
    assert says in str(result.exception)
    assert not (tmp_path / "out").exists()
