"""Completes a ResNet-18 trunk from published classifiers: ``iqa engines distil``.

The starting file of this project holds a ResNet-18 without the four 3 x 3 convolutions of its last stage, but with its
classifier. What the convolutions were is not known; what a network that knows ImageNet says of a photo is, and so is the
classifier that turns the stage's output into it. So the stage is taught (Hinton, Vinyals, Dean: "Distilling the Knowledge in
a Neural Network", 2015) to give

- the mean of the teachers' probabilities, through the trunk's own classifier;
- the first teacher's last map, place by place, through a 1 x 1 convolution (Romero et al.: "FitNets", ICLR 2015);
- what a quality head would hear of the first teacher's last stage (``Stage.pool``), through a linear layer.

None needs a label, so any photo serves, and photos with defects teach what defects look like to the teachers. Everything that
does not change while the stage learns is computed once (``DistilCache``).
"""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from engines.errors import CheckpointError
from engines.models.efficientnet import EfficientNetClassifier
from engines.models.resnet import ResNetTrunk
from engines.models.stage import Stage
from engines.preprocess import normalise
from engines.training.datasets import DataSetError, read_rgb
from engines.training.distortions import DISTORTIONS, coded
from engines.training.initial_weights import initialise_trunk
from engines.training.train import follow, schedule

__all__ = ["DistilCache", "DistilRecipe", "LastStage", "distil", "random_view", "run"]

Pixels = NDArray[np.uint8]
SMALLEST_AREA = 0.2
"""Of a photo, that a view shows."""
DEFECTS = 0.4
"""Share of views with a defect."""
CODED = 0.5
"""Share of views that have been a JPEG once more."""
COMPONENTS = 512
"""Of what a head would hear of the teacher: principal components, standardised."""
HELD_OUT = 20
"""One photo in so many is not learnt from."""
CHUNK = 32
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
LEAST_LOG = -20.0


@dataclass(frozen=True)
class DistilRecipe:
    """``views`` of every photo, ``side`` pixels square; then ``epochs`` over them in batches, at a peak ``rate``."""

    views: int = 2
    side: int = 256
    epochs: int = 15
    batch: int = 128
    rate: float = 1e-3
    weight_decay: float = 0.05
    map_weight: float = 0.5
    heard_weight: float = 0.5
    average: float = 0.998
    seed: int = 1


def random_view(photo: Pixels, side: int, rng: np.random.Generator) -> Pixels:
    """A square view of ``photo`` (H x W x 3): a fifth of it to all, mirrored half of the time, some with a defect."""
    height, width = photo.shape[:2]
    area = rng.uniform(SMALLEST_AREA, 1) * height * width
    ratio = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
    rows, columns = min(height, round((area / ratio) ** 0.5)), min(width, round((area * ratio) ** 0.5))
    top, left = int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1))
    part = photo[top : top + rows, left : left + columns]
    how = cv2.INTER_AREA if min(rows, columns) > side else cv2.INTER_LINEAR
    view = np.asarray(cv2.resize(part, (side, side), interpolation=how), dtype=np.uint8)
    if rng.random() < DEFECTS:
        kind = list(DISTORTIONS)[int(rng.integers(len(DISTORTIONS)))]
        view = DISTORTIONS[kind](view, float(rng.uniform(0.1, 1)), rng)
    if rng.random() < CODED:
        view = coded(view, int(rng.integers(60, 97)))
    return np.ascontiguousarray(view[:, ::-1]) if rng.random() < 0.5 else view


class DistilCache:
    """What the stage is taught from, N views in the order of their photos, as half precision on disk.

    ``maps`` (N x 256 x h x w): the stage's input. ``logs`` (N x 1000): logarithms of the teachers' mean probabilities.
    ``hints`` (N x 1280 x h/2 x w/2): the first teacher's last map. ``heard`` (N x width): ``Stage.pool`` of its last stage.
    """

    def __init__(self, folder: Path) -> None:
        found = json.loads((folder / "cache.json").read_text())
        self.count, self.views = int(found["count"]), int(found["views"])
        self.maps, self.logs, self.hints, self.heard = (
            np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("maps", "logs", "hints", "heard")
        )

    @classmethod
    def made(
        cls,
        folder: Path,
        trunk: ResNetTrunk,
        teachers: Sequence[EfficientNetClassifier],
        paths: Sequence[Path],
        recipe: DistilRecipe,
    ) -> DistilCache:
        """The cache in ``folder``; computed if it is not there.

        Raises:
            CheckpointError: it was made otherwise.

        """
        wanted = {"count": recipe.views * len(paths), "views": recipe.views, "side": recipe.side, "seed": recipe.seed}
        described = folder / "cache.json"
        if not described.exists():
            folder.mkdir(parents=True, exist_ok=True)
            _fill(folder, trunk, teachers, paths, recipe)
            described.write_text(json.dumps(wanted))
        if json.loads(described.read_text()) != wanted:
            raise CheckpointError(f"{folder} holds other views ({described.read_text()}): remove it, or choose another --out")
        return cls(folder)


@torch.no_grad()
def _fill(
    folder: Path, trunk: ResNetTrunk, teachers: Sequence[EfficientNetClassifier], paths: Sequence[Path], recipe: DistilRecipe
) -> None:
    plan = [(index, view) for index in range(len(paths)) for view in range(recipe.views)]

    def one(entry: tuple[int, int]) -> NDArray[np.float32]:
        index, view = entry
        return normalise(random_view(read_rgb(paths[index]), recipe.side, np.random.default_rng([recipe.seed, index, view])))

    files: dict[str, np.memmap] = {}
    chunks = [plan[start : start + CHUNK] for start in range(0, len(plan), CHUNK)]
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(lambda part: np.concatenate([one(e) for e in part]), part) for part in chunks[:2]]
        for number in track(range(len(chunks)), "views"):
            if number + 2 < len(chunks):
                waiting.append(pool.submit(lambda part: np.concatenate([one(e) for e in part]), chunks[number + 2]))
            x = torch.from_numpy(waiting.pop(0).result()).contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=torch.cpu._is_avx512_bf16_supported()):  # noqa: SLF001
                below = trunk.below(x)
                seen = [teacher(x) for teacher in teachers]
            logs = torch.stack([F.softmax(logits.float(), dim=1) for logits, _ in seen]).mean(dim=0).log().clamp(LEAST_LOG)
            last: Stage = seen[0][1][-1]
            heard = Stage([m.float() for m in last.outputs], [m.float() for m in last.inside]).pool()
            made = {"maps": below, "logs": logs, "hints": last.outputs[-1], "heard": heard}
            for name, value in made.items():
                array = value.contiguous().half().numpy()
                if name not in files:
                    shape = (len(plan), *array.shape[1:])
                    files[name] = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float16, shape)
                files[name][number * CHUNK : number * CHUNK + len(array)] = array
    for file in files.values():
        file.flush()


class LastStage(nn.Module):
    """The last stage of a ResNet-18 with its classifier, and what it is held against the teacher through."""

    def __init__(self, layer4: nn.Module, fc: nn.Linear, hint: int, heard: int) -> None:
        super().__init__()
        self.layer4, self.fc = layer4, fc
        width = fc.in_features
        self.hint = nn.Conv2d(width, hint, 1)
        self.heard = nn.Linear(8 * width, heard)

    def stage(self, x: Tensor) -> Stage:
        """Maps of both blocks."""
        outputs, inside = [], []
        for block in self.layer4.children():
            x, between = block(x)
            outputs.append(x)
            inside.append(between)
        return Stage(outputs, inside)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits, the teacher's map as far as it can be told, and so what a head would hear of the teacher."""
        stage = self.stage(x)
        last = stage.outputs[-1]
        with torch.autocast("cpu", enabled=False):
            pooled = Stage([m.float() for m in stage.outputs], [m.float() for m in stage.inside]).pool()
        return self.fc(last.mean(dim=(2, 3))), self.hint(last), self.heard(pooled)


class Teaching:
    """Batches of the cache as the losses want them."""

    def __init__(self, cache: DistilCache) -> None:
        self.cache = cache
        photos = np.arange(cache.count) // cache.views
        self.learn, self.held = np.flatnonzero(photos % HELD_OUT), np.flatnonzero(photos % HELD_OUT == 0)
        some = self.learn[:: max(1, len(self.learn) // 4000)]
        hints = torch.from_numpy(cache.hints[some[::4]]).float()
        self.hint_mean, self.hint_std = hints.mean(dim=(0, 2, 3)), hints.std(dim=(0, 2, 3)).clamp(min=1e-3)
        heard = torch.from_numpy(cache.heard[some]).float()
        self.heard_mean, self.heard_std = heard.mean(dim=0), heard.std(dim=0).clamp(min=1e-3)
        _, spread, axes = torch.pca_lowrank(self._told(heard), q=min(COMPONENTS, len(some)), center=False, niter=2)
        self.axes = axes / (spread / len(some) ** 0.5)

    def _told(self, heard: Tensor) -> Tensor:
        return ((heard - self.heard_mean) / self.heard_std).clamp(-10, 10)

    def losses(self, model: LastStage, picks: NDArray[np.int64]) -> Tensor:
        """Divergence from the teachers (nats), and the shares of the hint's and of the heard numbers' variance left over."""
        picks = np.sort(picks)
        told = torch.from_numpy(self.cache.logs[picks]).float()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=torch.cpu._is_avx512_bf16_supported()):  # noqa: SLF001
            x = torch.from_numpy(self.cache.maps[picks]).float().contiguous(memory_format=torch.channels_last)
            logits, hint, heard = model(x)
        goal = (torch.from_numpy(self.cache.hints[picks]).float() - self.hint_mean[:, None, None]) / self.hint_std[
            :, None, None
        ]
        axes = self._told(torch.from_numpy(self.cache.heard[picks]).float()) @ self.axes
        divergence = F.kl_div(F.log_softmax(logits.float(), dim=1), told, log_target=True, reduction="batchmean")
        return torch.stack([divergence, F.mse_loss(hint.float(), goal), F.mse_loss(heard.float(), axes)])


def distil(model: LastStage, cache: DistilCache, recipe: DistilRecipe) -> Iterator[tuple[int, LastStage, list[float]]]:
    """Teach; after every epoch yields its number, the moving average of the network, and losses on views held out."""
    torch.manual_seed(recipe.seed)
    teaching = Teaching(cache)
    weights = torch.tensor([1.0, recipe.map_weight, recipe.heard_weight])
    average = copy.deepcopy(model)
    slow = {"params": list(model.fc.parameters()), "peak": 0.1 * recipe.rate}
    fast = {"params": [p for n, p in model.named_parameters() if not n.startswith("fc.")], "peak": recipe.rate}
    optimiser = torch.optim.AdamW([fast, slow], lr=recipe.rate, weight_decay=recipe.weight_decay)
    a_round = len(teaching.learn) // recipe.batch
    steps, step = recipe.epochs * a_round, 0
    for epoch in range(recipe.epochs):
        order = np.random.default_rng([recipe.seed, epoch]).permutation(teaching.learn)
        for picks in np.split(order[: a_round * recipe.batch], a_round):
            for group in optimiser.param_groups:
                group["lr"] = group["peak"] * schedule(step, steps, 100, hold_trunk=0, trunk=False)
            optimiser.zero_grad(set_to_none=True)
            (weights * teaching.losses(model, picks)).sum().backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            step += 1
            follow(average, model, recipe.average, step)
        with torch.no_grad():
            parts = [teaching.losses(average, part) for part in np.array_split(teaching.held, len(teaching.held) // 128 + 1)]
        yield epoch + 1, average, torch.stack(parts).mean(dim=0).tolist()


def run(
    initial_weights: Path, teachers: Sequence[Path], folders: Sequence[Path], out: Path, recipe: DistilRecipe
) -> Iterator[str]:
    """Complete the trunk of ``initial_weights``; yields a line an epoch and leaves ``trunk.safetensors`` in ``out``.

    Raises:
        CheckpointError: a file is of another network, or what is kept in ``out`` is of another run.
        DataSetError: there are no photos.

    """
    torch.manual_seed(recipe.seed)
    trunk, fc = _classifier(initial_weights)
    known = [_teacher(path) for path in teachers]
    paths = sorted(p for folder in folders for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    if len(paths) < recipe.batch:
        raise DataSetError(f"{len(paths)} photos are fewer than a batch of {recipe.batch}: --photos")
    np.random.default_rng(recipe.seed).shuffle(paths)
    cache = DistilCache.made(out / f"views-{recipe.views}-{recipe.side}-{recipe.seed}", trunk, known, paths, recipe)
    model = LastStage(trunk.layer4, fc, cache.hints.shape[1], COMPONENTS)
    for epoch, average, (divergence, hint, heard) in distil(model, cache, recipe):
        kept = trunk.state_dict() | {f"layer4.{name}": value for name, value in average.layer4.state_dict().items()}
        kept |= {f"fc.{name}": value for name, value in average.fc.state_dict().items()}
        save_file({name: value.contiguous() for name, value in kept.items()}, out / "trunk.safetensors")
        yield (
            f"epoch {epoch} of {recipe.epochs}, photos held out: {divergence:.3f} nats from the teachers, "
            f"{hint:.1%} of the map and {heard:.1%} of what a head would hear not told"
        )


def _classifier(path: Path) -> tuple[ResNetTrunk, nn.Linear]:
    trunk = ResNetTrunk("resnet18").eval()
    initialise_trunk(trunk, path)
    state = load_file(path)
    if "fc.weight" not in state or state["fc.weight"].shape[1] != trunk.channels[-1]:
        raise CheckpointError(f"--initial-weights {path} holds no classifier of a ResNet-18 (fc.weight)")
    fc = nn.Linear(*reversed(state["fc.weight"].shape))
    fc.load_state_dict({name: state[f"fc.{name}"].float() for name in ("weight", "bias")})
    return trunk.to(memory_format=torch.channels_last), fc


def _teacher(path: Path) -> EfficientNetClassifier:
    try:
        model = EfficientNetClassifier.published(torch.load(path, map_location="cpu", weights_only=True))
    except (OSError, KeyError, RuntimeError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"--teacher {path} is no EfficientNet-Lite as published: {str(error).splitlines()[0]}") from error
    return model.to(memory_format=torch.channels_last)
