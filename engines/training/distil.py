"""Completes a ResNet-18 trunk from published classifiers: ``iqa engines distil``.

The starting file of this project holds a ResNet-18 without the four 3 x 3 convolutions of its last stage, but with its
classifier. What the convolutions were is not known; what a network that knows ImageNet says of a photo is, and so is the
classifier that turns the stage's output into it. So the stage is taught (Hinton, Vinyals, Dean: "Distilling the Knowledge in
a Neural Network", 2015) to give

- the mean of the teachers' probabilities, through the trunk's own classifier;
- the first teacher's last map, place by place, through a 1 x 1 convolution (Romero et al.: "FitNets", ICLR 2015);
- what a quality head would hear of the first teacher's last stage (``Stage.pool``), through a linear layer.

None needs a label, so any photo serves, and photos with defects teach what defects look like to the teachers. First the stage
learns alone, on what is computed once (``engines.training.distil_cache``); then the whole trunk does, on fresh views.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from engines.errors import CheckpointError
from engines.models.efficientnet import EfficientNetClassifier
from engines.models.resnet import ResNetTrunk
from engines.models.stage import Stage
from engines.training.data import picture_files
from engines.training.datasets import DataSetError
from engines.training.distil_cache import DistilCache, Places, Said, autocast, drawn_views, said_by
from engines.training.initial_weights import initialise_trunk
from engines.training.train import follow, schedule

__all__ = ["DistilRecipe", "Goals", "Student", "distil", "run", "tune"]

COMPONENTS = 512
"""Of what a head would hear of the teacher: principal components, standardised."""
HELD_OUT = 20
"""One photo in so many is not learnt from."""
HEADS = ("last.hint", "last.heard")
"""What the student is compared through, thrown away in the end."""


@dataclass(frozen=True)
class DistilRecipe:
    """How a trunk is completed.

    ``views`` of every photo, ``side`` pixels square, are computed once; the last stage learns ``epochs`` over them at a peak
    ``rate``. Then the whole trunk learns for ``steps``, at ``trunk_rate`` of that, on fresh views.
    """

    views: int = 2
    side: int = 256
    epochs: int = 15
    batch: int = 128
    rate: float = 1e-3
    steps: int = 1000
    trunk_rate: float = 0.1
    weight_decay: float = 0.05
    map_weight: float = 0.5
    heard_weight: float = 0.5
    average: float = 0.998
    every: int = 100
    seed: int = 1

    @property
    def weights(self) -> Tensor:
        """Of the three losses."""
        return torch.tensor([1.0, self.map_weight, self.heard_weight])


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
        return self.fc(last.mean(dim=(2, 3))), self.hint(last), self.heard(stage.pool())


class Student(nn.Module):
    """A whole trunk with what its last stage is compared through."""

    def __init__(self, trunk: ResNetTrunk, fc: nn.Linear, hint: int, heard: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.last = LastStage(trunk.get_submodule("layer4"), fc, hint, heard)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What ``LastStage`` says of normalised RGB, N x 3 x H x W."""
        return self.last(self.trunk.below(x))

    def weights(self) -> dict[str, Tensor]:
        """The trunk and its classifier, under torchvision's names."""
        kept = self.trunk.state_dict() | {f"fc.{name}": value for name, value in self.last.fc.state_dict().items()}
        return {name: value.contiguous() for name, value in kept.items()}


class Goals:
    """What the teachers said, as the losses want it: numbers in deviations, principal components."""

    def __init__(self, cache: DistilCache, learn: NDArray[np.int64]) -> None:
        some = learn[:: max(1, len(learn) // 4000)]
        # Of a map every place is an example: a quarter of the views is plenty, and a quarter of their memory.
        hints = torch.from_numpy(cache.hints[some[:: 4 if len(some) > COMPONENTS else 1]]).float()
        self.hint_mean, self.hint_std = (
            value[:, None, None] for value in (hints.mean(dim=(0, 2, 3)), hints.std(dim=(0, 2, 3)).clamp(min=1e-3))
        )
        heard = torch.from_numpy(cache.heard[some]).float()
        self.heard_mean, self.heard_std = heard.mean(dim=0), heard.std(dim=0).clamp(min=1e-3)
        self.count = min(COMPONENTS, len(some))
        _, spread, axes = torch.pca_lowrank(self._told(heard), q=self.count, center=False, niter=2)
        self.axes = axes / (spread / len(some) ** 0.5).clamp(min=1e-3)

    def _told(self, heard: Tensor) -> Tensor:
        return ((heard - self.heard_mean) / self.heard_std).clamp(-10, 10)

    def losses(self, found: tuple[Tensor, Tensor, Tensor], said: Said) -> Tensor:
        """Divergence from the teachers (nats), and the shares of the hint's and of the heard numbers' variance left over."""
        logits, hint, heard = (part.float() for part in found)
        divergence = F.kl_div(F.log_softmax(logits, dim=1), said.logs, log_target=True, reduction="batchmean")
        on_map = F.mse_loss(hint, (said.hints - self.hint_mean) / self.hint_std)
        return torch.stack([divergence, on_map, F.mse_loss(heard, self._told(said.heard) @ self.axes)])


def distil(student: Student, cache: DistilCache, goals: Goals, recipe: DistilRecipe) -> Iterator[tuple[int, list[float]]]:
    """Teach the last stage alone; after every epoch yields its number and the losses on photos held out.

    In the end ``student`` holds the moving average of what was learnt.
    """
    learn, held = _divided(cache)
    model = student.last
    average = copy.deepcopy(model)
    slow = {"params": list(model.fc.parameters()), "peak": 0.1 * recipe.rate}
    fast = {"params": [p for n, p in model.named_parameters() if not n.startswith("fc.")], "peak": recipe.rate}
    optimiser = torch.optim.AdamW([fast, slow], lr=recipe.rate, weight_decay=recipe.weight_decay)

    def losses(network: LastStage, picks: NDArray[np.int64]) -> Tensor:
        picks = np.sort(picks)
        x = torch.from_numpy(cache.maps[picks]).float().contiguous(memory_format=torch.channels_last)
        with autocast():
            found = network(x)
        return goals.losses(found, cache.said(picks))

    a_round = len(learn) // recipe.batch
    step = 0
    for epoch in range(recipe.epochs):
        order = np.random.default_rng([recipe.seed, epoch]).permutation(learn)
        for picks in np.split(order[: a_round * recipe.batch], a_round):
            _advance(
                optimiser,
                model,
                (recipe.weights * losses(model, picks)).sum(),
                schedule(step, recipe.epochs * a_round, 100, 0, trunk=False),
            )
            step += 1
            follow(average, model, recipe.average, step)
        with torch.no_grad():
            parts = [losses(average, part) for part in np.array_split(held, len(held) // recipe.batch + 1)]
        yield epoch + 1, torch.stack(parts).mean(dim=0).tolist()
    model.load_state_dict(average.state_dict())


def tune(
    student: Student, teachers: Sequence[EfficientNetClassifier], paths: Sequence[Path], goals: Goals, recipe: DistilRecipe
) -> Iterator[tuple[int, Student, list[float]]]:
    """Teach the whole trunk on fresh views; yields step, the moving average, and losses on photos held out."""
    average = copy.deepcopy(student)
    named = list(student.named_parameters())
    groups = [
        {"params": [p for n, p in named if n.startswith(HEADS)], "peak": recipe.rate},
        {"params": [p for n, p in named if not n.startswith(HEADS)], "peak": recipe.trunk_rate * recipe.rate},
    ]
    optimiser = torch.optim.AdamW(groups, lr=recipe.rate, weight_decay=recipe.weight_decay)
    held, learn = list(paths[::HELD_OUT]), [path for index, path in enumerate(paths) if index % HELD_OUT]
    size = recipe.batch // 2

    def losses(network: Student, x: Tensor) -> Tensor:
        with autocast():
            found = network(x)
        return goals.losses(found, said_by(teachers, x))

    @torch.no_grad()
    def on_held() -> list[float]:
        places = [(path, (recipe.seed, 0, index)) for index, path in enumerate(held[: 4 * size])]
        batches = [places[start : start + size] for start in range(0, len(places), size)]
        return torch.stack([losses(average, x) for x in drawn_views(batches, recipe.side)]).mean(dim=0).tolist()

    for step, x in enumerate(drawn_views(_fresh(learn, size, recipe), recipe.side), start=1):
        _advance(
            optimiser,
            student,
            (recipe.weights * losses(student, x)).sum(),
            schedule(step - 1, recipe.steps, 100, 0, trunk=False),
        )
        follow(average, student, recipe.average, step)
        if step % recipe.every == 0 or step == recipe.steps:
            yield step, average, on_held()


def _fresh(paths: Sequence[Path], size: int, recipe: DistilRecipe) -> Iterator[Places]:
    """Batches of photos that come again only when all have come, each time in another view."""
    rng = np.random.default_rng([recipe.seed, 2])
    order: list[int] = []
    for step in range(1, recipe.steps + 1):
        while len(order) < size:
            order += rng.permutation(len(paths)).tolist()
        picks, order = order[:size], order[size:]
        yield [(paths[index], (recipe.seed, step, index)) for index in picks]


def _divided(cache: DistilCache) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Views to learn from, and views of other photos."""
    photos = np.arange(len(cache.maps)) // cache.views
    return np.flatnonzero(photos % HELD_OUT), np.flatnonzero(photos % HELD_OUT == 0)


def _advance(optimiser: torch.optim.Optimizer, model: nn.Module, loss: Tensor, share: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = group["peak"] * share
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()


def run(
    initial_weights: Path, teachers: Sequence[Path], folders: Sequence[Path], out: Path, recipe: DistilRecipe
) -> Iterator[str]:
    """Complete the trunk of ``initial_weights``; yields a line now and then and leaves ``trunk.safetensors`` in ``out``.

    The last stage, once learnt, is kept in ``stage.pt``: a run that is stopped later goes on from there.

    Raises:
        CheckpointError: a file is of another network, or what is kept in ``out`` is of another run.
        DataSetError: there are too few photos.

    """
    torch.manual_seed(recipe.seed)
    trunk, fc = _classifier(initial_weights)
    known = [_teacher(path) for path in teachers]
    paths = picture_files(folders)
    if len(paths) < recipe.batch:
        raise DataSetError(f"{len(paths)} photos are fewer than a batch of {recipe.batch}: --photos")
    paths = [paths[index] for index in np.random.default_rng(recipe.seed).permutation(len(paths))]
    wanted = {"views": recipe.views, "side": recipe.side, "seed": recipe.seed}
    cache = DistilCache.made(out / f"views-{recipe.views}-{recipe.side}-{recipe.seed}", trunk, known, paths, wanted)
    goals = Goals(cache, _divided(cache)[0])
    student = Student(trunk, fc, cache.hints.shape[1], goals.count).to(memory_format=torch.channels_last)
    stage = out / "stage.pt"
    if stage.exists():
        student.last.load_state_dict(torch.load(stage, weights_only=True))
        yield f"the last stage as {stage} has it"
    else:
        for epoch, found in distil(student, cache, goals, recipe):
            yield f"epoch {epoch} of {recipe.epochs}{_told(found)}"
        torch.save(student.last.state_dict(), stage)
    save_file(student.weights(), out / "trunk.safetensors")
    for step, average, found in tune(student, known, paths, goals, recipe) if recipe.steps else ():
        save_file(average.weights(), out / "trunk.safetensors")
        yield f"step {step} of {recipe.steps}{_told(found)}"


def _told(losses: Sequence[float]) -> str:
    divergence, hint, heard = losses
    return (
        f": {divergence:.3f} nats from the teachers, {hint:.1%} of the map and {heard:.1%} of what a head would hear not told"
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
