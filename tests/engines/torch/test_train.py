"""Training: losses mean what they say, a run resumes where it stopped, and it learns."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

torch = pytest.importorskip("torch")
from safetensors.torch import save_file  # noqa: E402

from engines.cli import app  # noqa: E402
from engines.errors import CheckpointError, EngineError  # noqa: E402
from engines.models.hyperiqa import HyperIQA  # noqa: E402
from engines.models.resnet import ResNetTrunk  # noqa: E402
from engines.training.data import held_out, load_folder, random_crop  # noqa: E402
from engines.training.datasets import DataSetError, load_rated  # noqa: E402
from engines.training.initial_weights import load_initial_weights  # noqa: E402
from engines.training.ladders import ladder  # noqa: E402
from engines.training.losses import ladder_loss, opinion_loss, order_loss  # noqa: E402
from engines.training.train import Options, Trainer, schedule  # noqa: E402
from tests.pictures import photo, pixels  # noqa: E402

pytestmark = pytest.mark.torch
runner = CliRunner(env={"COLUMNS": "200"})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made-up copies of CLIVE and TID2013, a folder of photos, and a start file."""
    root = tmp_path_factory.mktemp("data")
    (root / "clive" / "images").mkdir(parents=True)
    (root / "tid" / "distorted_images").mkdir(parents=True)
    (root / "photos").mkdir()
    rows, lines = [["file", "mos", "split", "defect", "scenes"]], []
    for number in range(10):
        name = f"{number}.jpg"
        photo(300, 280, number).save(root / "clive" / "images" / name)
        rows.append([name, str(10 + 8 * number), "train" if number < 7 else "val", "", ""])
        photo(400, 300, 20 + number).save(root / "photos" / name)
        photo(120, 100, number).save(root / "tid" / "distorted_images" / f"I{number:02}_01_1.bmp")
        lines.append(f"{0.8 * number:.2f} I{number:02}_01_1.bmp")
    with (root / "clive" / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    (root / "tid" / "mos_with_names.txt").write_text("\n".join(lines))
    torch.manual_seed(0)
    torch.save({"average": HyperIQA().state_dict()}, root / "start.pt")
    return root


def options(data: Path, out: Path) -> Options:
    return Options(
        data=(("clive", data / "clive"),),
        photos=(data / "photos",),
        out=out,
        initial_weights=data / "start.pt",
        steps=4,
        batch=2,
        crop=96,
        side=128,
        ladders=1,
        ladder_crop=64,
        every=2,
        hold_trunk=1,
        rate=1e-3,
        threads=1,
        device="cpu",
        precision="single",
    )


def run(chosen: Options) -> dict[str, object]:
    Trainer(chosen).run()
    state: dict[str, object] = torch.load(chosen.out / "last.pt", weights_only=True)
    return state


def test_crops_are_of_one_size_even_from_small_pictures() -> None:
    """Batches are made of them."""
    rng = np.random.default_rng(0)
    for size in ((400, 300), (900, 120), (64, 64)):
        assert random_crop(pixels(photo(*size)), 256, rng).shape == (1, 3, 256, 256)


def test_ladder_rises_in_severity() -> None:
    """Clean first; four crops of the same place."""
    rungs = ladder([pixels(photo(400, 400))], 160, np.random.default_rng(0))
    assert rungs.inputs.shape == (4, 3, 160, 160)
    assert rungs.severities[0] == 0
    assert list(rungs.severities) == sorted(rungs.severities)


def test_ladder_loss_wants_falling_scores() -> None:
    """Nothing to say about a good ladder; more to say, the more it is upside down."""
    severities = (0.0, 0.35, 0.65, 1.0)
    good, flat, wrong = (torch.tensor(s) for s in ([80.0, 60.0, 40.0, 20.0], [60.0] * 4, [20.0, 40.0, 60.0, 80.0]))
    assert ladder_loss(good, severities) == 0
    assert 0 < ladder_loss(flat, severities) < ladder_loss(wrong, severities)


def test_opinion_loss_wants_the_opinions() -> None:
    """Zero at the opinions, and order counts beside distance; order alone does not mind another scale."""
    opinions = torch.tensor([20.0, 50.0, 80.0])
    assert opinion_loss(opinions, opinions) == pytest.approx(0, abs=1e-4)
    assert opinion_loss(opinions + 5, opinions) < opinion_loss(opinions.flip(0), opinions)
    assert order_loss(opinions / 3 + 7, opinions) == pytest.approx(0, abs=1e-4)
    assert order_loss(opinions.flip(0), opinions) == pytest.approx(2, abs=1e-4)


def test_schedule() -> None:
    """Up, down, and the trunk later than the head."""
    assert schedule(0, 100, 10, 20, trunk=False) == pytest.approx(0.1)
    assert schedule(19, 100, 10, 20, trunk=True) == 0
    assert schedule(100, 100, 10, 20, trunk=False) == pytest.approx(0)


def test_a_resumed_run_is_the_same_run(data: Path, tmp_path: Path) -> None:
    """Stopped at 2 and gone on to 4 gives the weights of 4 in one go (dropout aside); frozen stages have not moved."""
    torch.manual_seed(0)
    chosen = options(data, tmp_path / "straight")
    straight, broken = Trainer(chosen), Trainer(replace(chosen, out=tmp_path / "broken"))
    for trainer in (straight, broken):
        for module in trainer.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
    for step in range(4):
        straight.advance(straight.draw(step))
    for step in range(2):
        broken.advance(broken.draw(step))
    (tmp_path / "broken").mkdir()
    broken.save(tmp_path / "broken" / "last.pt")
    resumed = Trainer(replace(chosen, out=tmp_path / "broken"))
    for module in resumed.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    resumed.resume(tmp_path / "broken" / "last.pt")
    for step in range(resumed.step, 4):
        resumed.advance(resumed.draw(step))
    for name, value in straight.average.state_dict().items():
        assert torch.allclose(value, resumed.average.state_dict()[name], atol=1e-6), name
    start = torch.load(data / "start.pt", weights_only=True)["average"]
    after = resumed.average.state_dict()
    assert torch.equal(after["backbone.layer2.0.conv1.weight"], start["backbone.layer2.0.conv1.weight"])
    assert not torch.equal(after["backbone.layer4.1.conv2.weight"], start["backbone.layer4.1.conv2.weight"])


def test_a_run_leaves_what_its_reader_needs(data: Path, tmp_path: Path) -> None:
    """Checkpoints, a line a validation, and a score for every validation picture."""
    state = run(options(data, tmp_path))
    assert (state["step"], state["backbone"], state["side"]) == (4, "resnet18", 128)
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 2
    assert (tmp_path / "best.pt").exists()
    with (tmp_path / "validation.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == ["7.jpg", "8.jpg", "9.jpg"]
    assert all(0 <= float(row["score"]) <= 100 for row in rows)


def test_half_precision_data_sets_and_folds(data: Path, tmp_path: Path) -> None:
    """Bfloat16, a second data set that only orders, everything unfrozen, and another validation part."""
    sets = (("clive", data / "clive"), ("tid2013", data / "tid"))
    chosen = replace(options(data, tmp_path), data=sets, precision="bfloat16", frozen=(), fold=(0, 5), steps=2)
    trainer = Trainer(chosen)
    assert (len(trainer.sets[0]), len(trainer.validation)) == (8, 2)
    assert {trainer.draw(step).absolute for step in range(20)} == {True, False}
    before = trainer.model.backbone.conv1.weight.detach().clone()
    trainer.run()
    assert not torch.equal(before, trainer.model.backbone.conv1.weight)


def test_the_command(data: Path, tmp_path: Path) -> None:
    """Options reach the run; what was trained so far is told."""
    words = (
        f"train --data clive={data / 'clive'} --photos {data / 'photos'} --initial-weights {data / 'start.pt'} --out {tmp_path}"
    )
    sizes = "--steps 2 --batch 2 --crop 96 --side 128 --ladders 1 --ladder-crop 64 --every 1 --device cpu --precision single"
    result = runner.invoke(app, [*words.split(), *sizes.split()])
    assert result.exit_code == 0, result.output
    assert "7 rated pictures, 3 to validate, 8 for ladders" in result.output
    assert result.output.count("SRCC") == 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--data clive", "is not NAME=DIR"),
        ("--data clive=. --fold 6/5", "is not K/N"),
        ("--data clive=. --frozen conv9", "no stage conv9"),
    ],
)
def test_wrong_options(words: str, says: str, tmp_path: Path) -> None:
    """Are named, with exit code 2."""
    result = runner.invoke(app, ["train", *words.split(), "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert says in result.output


def test_wrong_data_and_files(data: Path, tmp_path: Path) -> None:
    """Errors of our tree, which the whole command turns into one line."""
    result = runner.invoke(app, ["train", "--data", f"clive={tmp_path}", "--out", str(tmp_path)])
    assert isinstance(result.exception, EngineError)
    chosen = options(data, tmp_path / "out")
    with pytest.raises(CheckpointError, match="does not exist"):
        Trainer(replace(chosen, initial_weights=tmp_path / "none.pt"))
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="no ResNet trunk"):
        Trainer(replace(chosen, initial_weights=tmp_path / "other.safetensors"))
    with pytest.raises(CheckpointError, match="does not fit"):
        Trainer(replace(chosen, backbone="resnet50"))
    with pytest.raises(DataSetError, match="fewer than a batch of 64"):
        Trainer(replace(chosen, batch=64))
    with pytest.raises(DataSetError, match="no photo is large enough"):
        Trainer(replace(chosen, ladder_crop=500))


def test_another_run_is_not_resumed(data: Path, tmp_path: Path) -> None:
    """Other options, or the same folder with other opinions in it; the message says what differs. Steps may be added."""
    (tmp_path / "clive").mkdir()
    shutil.copytree(data / "clive", tmp_path / "clive", dirs_exist_ok=True)
    chosen = replace(options(data, tmp_path / "out"), data=(("clive", tmp_path / "clive"),), steps=1, every=1)
    run(chosen)
    with pytest.raises(CheckpointError, match=r"backbone was resnet18, not resnet50; choose another --out"):
        Trainer(replace(chosen, backbone="resnet50", initial_weights=None)).run()
    with pytest.raises(CheckpointError, match=r"side was 128, not 96"):
        Trainer(replace(chosen, side=96)).run()
    assert run(replace(chosen, steps=2))["step"] == 2
    table = tmp_path / "clive" / "labels.csv"
    lines = table.read_text().splitlines()
    name, opinion, *others = lines[1].split(",")
    table.write_text("\n".join([lines[0], ",".join([name, str(float(opinion) + 1), *others]), *lines[2:]]))
    with pytest.raises(CheckpointError, match=r"data clive was 10 pictures, \w+, not 10 pictures, \w+"):
        Trainer(replace(chosen, steps=3)).run()


def test_batches_are_the_same_whoever_draws_them(data: Path, tmp_path: Path) -> None:
    """Several threads ahead, every step once and in order."""
    one, many = (Trainer(replace(options(data, tmp_path), workers=workers)) for workers in (1, 3))
    for left, right in zip(one.batches(), many.batches(), strict=True):
        assert torch.equal(left.pictures, right.pictures)


@torch.no_grad()
def test_heads_hear_in_single_precision(data: Path) -> None:
    """Under autocast as well: half of it would be noise of a third of a point."""
    model = HyperIQA().eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        pooled = model.pool(torch.randn(1, 3, 96, 96))
    assert {part.dtype for part in pooled} == {torch.float32}


def test_missing_convolutions_start_fresh(tmp_path: Path) -> None:
    """A trunk without layer4's convolutions: they are drawn, everything else is what the file says."""
    torch.manual_seed(0)
    trunk = ResNetTrunk().state_dict()
    kept = {k: v for k, v in trunk.items() if not (k.startswith("layer4") and "conv" in k and k.endswith("weight"))}
    save_file(kept, tmp_path / "trunk.safetensors")
    model = HyperIQA()
    start = load_initial_weights(model, tmp_path / "trunk.safetensors")
    assert not start.head
    assert sorted(start.missing) == sorted(set(trunk) - set(kept))
    assert torch.equal(model.backbone.conv1.weight, trunk["conv1.weight"])
    fresh = model.backbone.get_parameter("layer4.1.conv2.weight")
    assert float(fresh.detach().std()) == pytest.approx(0.6 * (2 / (512 * 9)) ** 0.5, rel=0.02)


def test_it_learns(data: Path) -> None:
    """Twenty steps on one batch of opinions bring the loss down by more than half."""
    torch.manual_seed(0)
    model = HyperIQA(dropout=0.0)
    rated = [r for r in load_rated("clive", data / "clive") if r.split == "train"]
    rng = np.random.default_rng(0)
    crops = torch.from_numpy(np.concatenate([random_crop(r.pixels(), 128, rng) for r in rated]))
    opinions = torch.tensor([r.opinion for r in rated])
    optimiser = torch.optim.Adam(model.parameters(), 3e-4)
    losses = []
    for _ in range(20):
        loss = opinion_loss(model(crops), opinions)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_pictures_of_folders_only(tmp_path: Path) -> None:
    """Notes and labels beside pictures are no pictures; an empty folder is a mistake."""
    Image.new("RGB", (50, 40)).save(tmp_path / "a.png")
    (tmp_path / "README.md").write_text("no picture")
    assert len(load_folder(tmp_path)) == 1
    assert load_folder(tmp_path, 20)[0].shape == (16, 20, 3)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataSetError, match="holds no pictures"):
        load_folder(tmp_path / "empty")


def test_photos_held_out_never_train(data: Path, tmp_path: Path) -> None:
    """Every eighth."""
    photos = load_folder(data / "photos")
    unseen = held_out(photos)
    trainer = Trainer(options(data, tmp_path))
    assert len(unseen) == 2
    assert not any((p == q).all() for p in trainer.photos for q in unseen)
