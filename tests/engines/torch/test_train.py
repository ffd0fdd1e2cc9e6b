"""Training: losses mean what they say, a run resumes where it stopped, and it learns."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
from engines.models.hyperiqa import HyperIQA  # noqa: E402
from engines.training.data import ladder, load_clive, load_folder, random_crop  # noqa: E402
from engines.training.train import ladder_loss, main, opinion_loss, schedule  # noqa: E402
from tests.pictures import photo, pixels  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made-up copy of CLIVE's layout, a folder of photos, and a start file."""
    root = tmp_path_factory.mktemp("data")
    (root / "clive" / "images").mkdir(parents=True)
    (root / "photos").mkdir()
    rows = [["file", "mos", "split", "defect", "scenes"]]
    for number in range(10):
        name = f"{number}.jpg"
        photo(300, 280, number).save(root / "clive" / "images" / name)
        rows.append([name, str(10 + 8 * number), "train" if number < 7 else "val", "", ""])
        photo(400, 300, 20 + number).save(root / "photos" / name)
    with (root / "clive" / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    torch.manual_seed(0)
    torch.save({"average": HyperIQA().state_dict()}, root / "start.pt")
    return root


def train(data: Path, out: Path, steps: int, every: int = 2) -> dict[str, object]:
    options = {"clive": data / "clive", "photos": data / "photos", "start": data / "start.pt", "out": out, "steps": steps}
    extra = {"batch": 2, "ladders": 1, "every": every, "hold-trunk": 1, "rate": 1e-3}
    main([part for key, value in {**options, **extra}.items() for part in (f"--{key}", str(value))])
    state: dict[str, object] = torch.load(out / "last.pt", weights_only=True)
    return state


def test_loaders_read_the_published_layout(data: Path) -> None:
    """Splits by the label file; opinions as they are."""
    assert [r.opinion for r in load_clive(data / "clive", "val")] == [66.0, 74.0, 82.0]
    assert len(load_clive(data / "clive", "train")) == 7
    assert max(load_folder(data / "photos", longest=200)[0].shape) == 200


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
    """Zero at the opinions, and order counts beside distance."""
    opinions = torch.tensor([20.0, 50.0, 80.0])
    assert opinion_loss(opinions, opinions) == pytest.approx(0, abs=1e-4)
    assert opinion_loss(opinions + 5, opinions) < opinion_loss(opinions.flip(0), opinions)


def test_schedule() -> None:
    """Up, down, and the trunk later than the head."""
    assert schedule(0, 100, 10, 20, trunk=False) == pytest.approx(0.1)
    assert schedule(19, 100, 10, 20, trunk=True) == 0
    assert schedule(100, 100, 10, 20, trunk=False) == pytest.approx(0)


def test_a_resumed_run_is_the_same_run(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Stopped at 2 and gone on to 4 ends with the random state and step of 4 in one go; frozen layers have not moved."""
    straight = train(data, tmp_path / "straight", 4)
    train(data, tmp_path / "broken", 2)
    resumed = train(data, tmp_path / "broken", 4)
    assert (resumed["step"], resumed["rng"]) == (straight["step"], straight["rng"])
    start = torch.load(data / "start.pt", weights_only=True)["average"]
    after = resumed["average"]
    assert isinstance(after, dict)
    assert torch.equal(after["backbone.layer2.0.conv1.weight"], start["backbone.layer2.0.conv1.weight"])
    assert not torch.equal(after["backbone.layer4.1.conv2.weight"], start["backbone.layer4.1.conv2.weight"])
    assert len((tmp_path / "broken" / "log.csv").read_text().splitlines()) == 2
    assert (tmp_path / "broken" / "best.pt").exists()


def test_it_learns(data: Path) -> None:
    """Twenty steps on one batch of opinions bring the loss down by more than half."""
    torch.manual_seed(0)
    model = HyperIQA(dropout=0.0)
    rated = load_clive(data / "clive", "train")
    rng = np.random.default_rng(0)
    crops = torch.from_numpy(np.concatenate([random_crop(r.pixels, 128, rng) for r in rated]))
    opinions = torch.tensor([r.opinion for r in rated])
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    losses = []
    for _ in range(20):
        loss = opinion_loss(model(crops), opinions)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_pictures_of_folders_only(tmp_path: Path) -> None:
    """Notes and labels beside pictures are no pictures."""
    Image.new("RGB", (50, 40)).save(tmp_path / "a.png")
    (tmp_path / "README.md").write_text("no picture")
    assert len(load_folder(tmp_path)) == 1
