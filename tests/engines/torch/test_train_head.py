"""Refining a head: what it sees is what it serves, severe pictures sink, the trunk does not move."""

from __future__ import annotations

import copy
import csv
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")
from typer.testing import CliRunner  # noqa: E402

from engines.cli import app  # noqa: E402
from engines.errors import CheckpointError, EngineError  # noqa: E402
from engines.models.hyperiqa import HyperIQA  # noqa: E402
from engines.preprocess import quality_input  # noqa: E402
from engines.training import features, train_head  # noqa: E402
from engines.training.data import held_out, load_folder, picture_files  # noqa: E402
from engines.training.datasets import load_rated  # noqa: E402
from engines.training.distortions import DISTORTIONS  # noqa: E402
from engines.training.initial_weights import load_initial_weights  # noqa: E402
from engines.training.ladders import FAINT, OFTEN  # noqa: E402
from engines.training.losses import ladder_loss, ladders_loss  # noqa: E402
from engines.training.odd_uploads import PER_PHOTO, odd_upload, odd_uploads  # noqa: E402
from tests.pictures import photo, pixels  # noqa: E402

pytestmark = pytest.mark.torch
SIDE = 96
runner = CliRunner(env={"COLUMNS": "200"})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made-up copy of CLIVE, a folder of photos, and an engine to start from."""
    root = tmp_path_factory.mktemp("head")
    (root / "clive" / "images").mkdir(parents=True)
    (root / "photos").mkdir()
    rows = [["file", "mos", "split"]]
    for number in range(20):
        photo(150, 140, number).save(root / "clive" / "images" / f"{number}.png")
        rows.append([f"{number}.png", str(10 + 4 * number), "train" if number < 8 else "val"])
    for number in range(12):
        photo(120, 100, 30 + number).save(root / "photos" / f"{number:02}.png")
    with (root / "clive" / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    torch.manual_seed(0)
    torch.save({"average": HyperIQA("efficientnet-lite0").state_dict(), "backbone": "efficientnet-lite0"}, root / "start.pt")
    return root


@pytest.fixture(scope="module")
def model(data: Path) -> HyperIQA:
    network = HyperIQA("efficientnet-lite0")
    load_initial_weights(network, data / "start.pt")
    return network.eval()


@pytest.fixture(scope="module")
def extractor(model: HyperIQA) -> features.FeatureExtractor:
    return features.FeatureExtractor(model, SIDE)


def words(data: Path, out: Path, more: str = "") -> list[str]:
    """The command, on the made-up data."""
    return (
        f"train-head --backbone efficientnet-lite0 --initial-weights {data / 'start.pt'} --data clive={data / 'clive'} "
        f"--photos {data / 'photos'} --side {SIDE} --out {out} {more}"
    ).split()


def test_a_row_judged_is_a_picture_judged(model: HyperIQA, extractor: features.FeatureExtractor) -> None:
    """Pooling through ONNX Runtime, half precision and the head alone give what the whole network gives."""
    picture = pixels(photo(150, 110, 5))
    row = torch.from_numpy(extractor.row(picture).astype(np.float32))[None]
    with torch.no_grad():
        whole = float(model(torch.from_numpy(quality_input(picture, SIDE)))[0])
        alone = float(model.judge(row.split(model.widths, dim=1))[0])
    assert alone == pytest.approx(whole, abs=0.05)


def test_splits_share_no_photo(data: Path) -> None:
    """Neither what the model card is measured on nor what chooses is learnt from."""
    photos = load_folder(data / "photos")
    learn, choose = train_head.splits(photos)
    parts = [{id(p) for p in part} for part in (learn, choose, held_out(photos))]
    assert [len(part) for part in parts] == [8, 2, 2]
    assert len(set().union(*parts)) == len(photos)


def test_ladders_are_whole_and_in_order(data: Path, extractor: features.FeatureExtractor) -> None:
    """Every photo has every kind, from its clean self upwards; the same seed gives the same."""
    photos = load_folder(data / "photos")[:1]
    made, again = (features.ladders(extractor, photos, seed=3) for _ in range(2))
    assert np.array_equal(made.rows, again.rows)
    assert set(made.kinds) == set(range(len(DISTORTIONS)))
    for number in range(made.ladder[-1] + 1):
        steps = made.severities[made.ladder == number]
        assert steps[0] == 0
        assert (np.diff(steps) > 0).all()
    casts = made.ladder[made.kinds == list(DISTORTIONS).index("colour_cast")]
    assert len(set(casts)) == OFTEN["colour_cast"].close


def test_camera_ladders_begin_with_the_same_camera(extractor: features.FeatureExtractor, tmp_path: Path) -> None:
    """Windows and whole photos, every step noisier than the last; the first has been developed, and has no noise."""
    for number in range(3):
        photo(400, 300, number).save(tmp_path / f"{number}.png")
    made = features.camera_ladders(extractor, picture_files([tmp_path]), seed=2)
    assert set(made.kinds) == {list(DISTORTIONS).index("camera_noise")}
    size = len(FAINT) + 1
    assert made.severities.reshape(-1, size)[:, 0].tolist() == [0.0] * (3 * features.PER_CAMERA_PHOTO)
    assert (np.diff(made.severities.reshape(-1, size), axis=1) > 0).all()


def test_camera_noise_is_learnt_by_order_alone(data: Path, model: HyperIQA, extractor: features.FeatureExtractor) -> None:
    """Whatever the first step scores, there is no loss once every step lies far enough below the one before."""
    made = features.camera_ladders(extractor, picture_files([data / "photos"]), seed=2)
    rated = features.views(extractor, load_rated("clive", data / "clive"))
    kinds = features.ladders(extractor, load_folder(data / "photos")[:2], seed=1)
    recipe = train_head.HeadRecipe(ladders=8)
    trainer = train_head.HeadTrainer(copy.deepcopy(model), [rated], kinds, None, recipe, made)
    falling = iter([torch.linspace(99.0, 1.0, len(FAINT) + 1).repeat(recipe.ladders // train_head.CAMERA_SHARE)])
    loss = trainer.camera_share(made, np.random.default_rng(0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_head, "judged", lambda *_: next(falling))
        none = trainer.camera_share(made, np.random.default_rng(0))
    assert float(loss.detach()) > 0
    assert float(none) == pytest.approx(0.0, abs=1e-6)


def test_content_can_be_taken_away(data: Path, model: HyperIQA, extractor: features.FeatureExtractor) -> None:
    """Pictures that are all described alike are scored otherwise, once the hyper-network says anything."""
    rated = features.views(extractor, load_rated("clive", data / "clive"))
    told = copy.deepcopy(model)
    train_head.standardise(told, rated)
    assert train_head.blind_scores(told, rated.rows[:, 0]) == pytest.approx(train_head.scores(told, rated.rows[:, 0]), abs=1e-3)
    torch.nn.init.normal_(told.target[0].weight.weight, std=20.0)
    assert np.abs(train_head.blind_scores(told, rated.rows[:, 0]) - train_head.scores(told, rated.rows[:, 0])).max() > 0.1


def test_a_kept_file_is_read_again_and_a_wrong_one_is_named(
    data: Path, extractor: features.FeatureExtractor, tmp_path: Path
) -> None:
    """What was computed once is not computed twice."""
    rated = load_rated("clive", data / "clive")[:3]
    path = tmp_path / "kept" / "rated.npz"
    first = features.cached(path, features.Views, lambda: features.views(extractor, rated))
    second = features.cached(path, features.Views, lambda: pytest.fail("made twice"))
    assert np.array_equal(first.rows, second.rows)
    assert first.rows.shape[:2] == (3, 4)
    with pytest.raises(CheckpointError, match=r"rated\.npz does not hold"):
        features.cached(path, features.Ladders, lambda: pytest.fail("made"))


def test_ladders_loss_is_the_mean_of_ladder_loss() -> None:
    """And with pairs of neighbours to the fore, a ladder that is wrong between neighbours only costs more."""
    severities = torch.tensor([[0.0, 0.3, 0.6, 1.0], [0.0, 0.2, 0.5, 0.9]])
    scores = torch.tensor([[70.0, 75.0, 30.0, 20.0], [50.0, 45.0, 40.0, 60.0]])
    one_by_one = [float(ladder_loss(s, v.tolist())) for s, v in zip(scores, severities, strict=True)]
    assert float(ladders_loss(scores, severities, apart=1.0, bounds=0.5)) == pytest.approx(np.mean(one_by_one), abs=1e-6)
    first = scores[:1], severities[:1]
    assert float(ladders_loss(*first, apart=0.2, bounds=0.5)) > float(ladders_loss(*first, apart=1.0, bounds=0.5))


def test_the_command_teaches_the_head_alone(data: Path, tmp_path: Path) -> None:
    """Severe defects of the kind that is drawn most sink, and the trunk stays bit for bit."""
    result = runner.invoke(app, words(data, tmp_path, "--steps 120 --rated 6 --rate 2e-3 --ladder-weight 1"))
    assert result.exit_code == 0, result.output
    assert "| colour_cast |" in result.output
    before, after = HyperIQA("efficientnet-lite0"), HyperIQA("efficientnet-lite0")
    load_initial_weights(before, data / "start.pt")
    load_initial_weights(after, tmp_path / "head.pt")
    for name, value in before.backbone.state_dict().items():
        assert torch.equal(value, after.backbone.state_dict()[name])
    photos = load_folder(data / "photos")
    extractor = features.FeatureExtractor(after, SIDE)
    made = features.even_ladders(extractor, photos[1:5])
    drawn_most = made.kinds == list(DISTORTIONS).index(max(OFTEN, key=lambda kind: OFTEN[kind].head))
    worst, clean = drawn_most & (made.severities == 1.0), drawn_most & (made.severities == 0.0)

    def gap(network: HyperIQA) -> float:
        found = train_head.scores(network, made.rows)
        return float(found[clean].mean() - found[worst].mean())

    assert gap(after) > gap(before) + 10


class Dimmer:
    """A teacher that judges by height alone, the lower the better."""

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.array([100 - batch.shape[2] / 100], np.float32)


def test_odd_uploads_are_odd_and_told_against_their_photo(data: Path, extractor: features.FeatureExtractor) -> None:
    """Strips, crops and small ones, never larger than served; the change is the teacher's."""
    photos = load_folder(data / "photos")[:2]
    made = odd_uploads(extractor, Dimmer(), photos, seed=3)  # type: ignore[arg-type]
    assert made.rows.shape == (2 * PER_PHOTO, made.photos.shape[1])
    assert list(made.of) == [0] * PER_PHOTO + [1] * PER_PHOTO
    assert len(made.photos) == 2
    uploads = [odd_upload(photos[0], np.random.default_rng([3, 0, number]), SIDE) for number in range(PER_PHOTO)]
    served = [quality_input(pixels, SIDE).shape[2] for pixels in (photos[0], *uploads)]
    assert list(made.changes[:PER_PHOTO]) == pytest.approx([(served[0] - height) / 100 for height in served[1:]], abs=1e-4)
    shapes = [odd_upload(photos[0], np.random.default_rng(seed), SIDE).shape[:2] for seed in range(60)]
    assert max(max(shape) for shape in shapes) <= SIDE
    assert sum(max(shape) >= 2 * min(shape) for shape in shapes) > 5


def test_a_teacher_is_heard(model: HyperIQA, extractor: features.FeatureExtractor, data: Path) -> None:
    """The loss of odd uploads falls to where the head says the same changes as the teacher."""
    photos = load_folder(data / "photos")[:4]
    odd = odd_uploads(extractor, Dimmer(), photos, seed=3)  # type: ignore[arg-type]
    rated = features.views(extractor, load_rated("clive", data / "clive")[:8])
    network = HyperIQA("efficientnet-lite0")
    load_initial_weights(network, data / "start.pt")
    recipe = train_head.HeadRecipe(steps=80, rate=2e-3, rated=6, ladder_weight=0, odd_upload_weight=20)
    trainer = train_head.HeadTrainer(network, [rated], features.ladders(extractor, photos[:1], seed=1), odd, recipe)

    def astray() -> float:
        with torch.no_grad():
            return float(trainer.astray(odd, np.random.default_rng(0)))

    before = astray()
    for _ in trainer.run():
        pass
    network.eval()
    assert astray() < before / 2


def test_too_few_rated_pictures_stop_it(data: Path, tmp_path: Path) -> None:
    """With the default batch twelve pictures are too few, and the message says so."""
    result = runner.invoke(app, words(data, tmp_path))
    assert isinstance(result.exception, EngineError)
    assert "8 pictures to train on, fewer than 96: --rated" in str(result.exception)


def test_a_missing_teacher_stops_it_at_once(data: Path, tmp_path: Path) -> None:
    """Before anything is computed, which takes minutes."""
    result = runner.invoke(app, words(data, tmp_path, f"--teacher {tmp_path / 'nope.onnx'}"))
    assert isinstance(result.exception, EngineError)
    assert "nope.onnx cannot be loaded" in str(result.exception)
    assert not list(tmp_path.iterdir())
