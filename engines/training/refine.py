"""Teaches the head of a finished quality engine more about defects, without unlearning what people said.

    python -m engines.training.refine --start FILE --clive DIR --photos DIR [--photos DIR] --out DIR

``iqa engines train`` sees a few ladders a step, since every step runs the trunk; what it learns last (colour casts,
over-exposure) is learnt at the cost of something else. Here the trunk stays, what the head sees of every picture is computed
once (``engines.training.pools``, kept in ``--out``), and the head sees all kinds of ladders in every step. The start is its own
teacher: opinions are mostly what it made of the rated photos, since those it has learnt by heart already.

Of the photos that train, every eighth is put aside to choose by, and reported at the end; the held-out photos of the model
card are not looked at. ``--out`` gets ``refined.pt``, a checkpoint for ``engines.export``.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from engines.catalog import file_sha256
from engines.models.hyperiqa import HyperIQA
from engines.training.data import HOLD_OUT, held_out, load_folder
from engines.training.datasets import DataSetError, load_rated
from engines.training.distortions import DISTORTIONS
from engines.training.losses import ladders_loss, opinion_loss
from engines.training.measure import clean_line, ladder_row, opinions_line
from engines.training.pools import Ladders, Pooler, Views, cached, even_ladders, ladders, views
from engines.training.start import load_start
from engines.training.train import follow, schedule

__all__ = ["Recipe", "Refiner", "main", "report", "scores", "splits"]

WARM_UP = 100
APART = 0.2
"""What a pair of steps counts that are further apart than one: those are in order long before the close ones."""
KINDS = {"overexpose": 30, "flatten_contrast": 20, "colour_cast": 16, "darken": 4, "banding": 3, "webp": 3, "pixelate": 2}
"""How often kinds are drawn against the others: what is learnt last, and what suffers when that is learnt."""
PARTS = ("tones", "target", "content", "local")


@dataclass(frozen=True)
class Recipe:
    """How the head is taught.

    ``parts`` are the parts of the head that move. Of every step's loss, ``keep`` weighs the rated pictures (whose opinions are
    the teacher's to ``teaching``), ``hold`` the teacher's scores of defects that it knows already, ``ladder_weight`` ladders.
    """

    steps: int = 600
    rate: float = 2e-3
    parts: tuple[str, ...] = ("tones", "target")
    weight_decay: float = 0.02
    rated: int = 96
    ladders: int = 96
    keep: float = 2.0
    teaching: float = 0.95
    hold: float = 1.0
    ladder_weight: float = 4.0
    average: float = 0.998
    seed: int = 1


def splits(photos: Sequence[NDArray[np.uint8]]) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]]:
    """Photos to learn from and photos to choose by, both without those that the model card is measured on."""
    unseen = {id(photo) for photo in held_out(photos)}
    rest = [photo for photo in photos if id(photo) not in unseen]
    chosen = {id(photo) for photo in rest[::HOLD_OUT]}
    return [photo for photo in rest if id(photo) not in chosen], rest[::HOLD_OUT]


def judged(model: HyperIQA, rows: NDArray[np.float16]) -> Tensor:
    """Scores of rows (N x width), N, with gradients."""
    return model.judge(torch.from_numpy(rows.astype(np.float32)).split(model.widths, dim=1))


@torch.no_grad()
def scores(model: HyperIQA, rows: NDArray[np.float16]) -> NDArray[np.float64]:
    """Scores of rows (N x width) as ``model`` serves them, N."""
    model.eval()
    return np.concatenate([judged(model, part).numpy() for part in np.array_split(rows, len(rows) // 2048 + 1)])


class Refiner:
    """The head, its moving average, and what both see."""

    def __init__(self, model: HyperIQA, rated: Views, made: Ladders, recipe: Recipe) -> None:
        self.model, self.recipe = model.eval(), recipe
        torch.manual_seed(recipe.seed)
        self.rated, self.made = rated, made
        # One ladder after the other: where each ends, and how many steps it has.
        self.ends = np.flatnonzero(np.diff(made.ladder, append=made.ladder[-1] + 1)) + 1
        self.sizes = np.diff(self.ends, prepend=0)
        weights = np.array([KINDS.get(kind, 1.0) for kind in DISTORTIONS])
        counts = np.bincount(made.kinds[self.ends - 1], minlength=len(DISTORTIONS))
        self.known = np.flatnonzero(weights[made.kinds] <= 1)
        self.shares = weights[made.kinds[self.ends - 1]] / counts[made.kinds[self.ends - 1]]
        self.taught_rated = scores(model, rated.rows.reshape(-1, rated.rows.shape[-1])).reshape(rated.rows.shape[:2])
        self.taught_made = scores(model, made.rows)
        self.average = copy.deepcopy(model)
        # What stands before the pooling was computed once, so it stays.
        moving = {name for name, _ in model.named_parameters() if name.startswith(recipe.parts) and ".conv." not in name}
        self.parameters = [parameter for name, parameter in model.named_parameters() if name in moving]
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name in moving)
        self.optimiser = torch.optim.AdamW(self.parameters, lr=recipe.rate, weight_decay=recipe.weight_decay)

    def loss(self, step: int) -> Tensor:
        """What ``step`` minimises: a function of the seed and the step, given the weights."""
        recipe, rng = self.recipe, np.random.default_rng([self.recipe.seed, step])
        picks = rng.choice(len(self.rated.opinions), recipe.rated, replace=False)
        seen = rng.integers(self.rated.rows.shape[1], size=recipe.rated)
        taught = self.taught_rated[picks, seen]
        opinions = torch.from_numpy((1 - recipe.teaching) * self.rated.opinions[picks] + recipe.teaching * taught).float()
        total = recipe.keep * opinion_loss(judged(self.model, self.rated.rows[picks, seen]), opinions)
        for size in np.unique(self.sizes):
            total = total + recipe.ladder_weight * self.ladder_share(int(size), rng)
        known = rng.choice(self.known, min(2 * recipe.rated, len(self.known)), replace=False)
        held = torch.from_numpy(self.taught_made[known]).float()
        return total + recipe.hold * F.smooth_l1_loss(judged(self.model, self.made.rows[known]) / 100, held / 100, beta=0.05)

    def ladder_share(self, size: int, rng: np.random.Generator) -> Tensor:
        """The share that ladders of ``size`` steps have in the mean loss of all ladders."""
        among = np.flatnonzero(self.sizes == size)
        share = self.shares[among].sum() / self.shares.sum()
        count = max(1, round(self.recipe.ladders * share))
        drawn = rng.choice(among, count, p=self.shares[among] / self.shares[among].sum())
        index = (self.ends[drawn] - size)[:, None] + np.arange(size)
        steps = judged(self.model, self.made.rows[index.ravel()]).reshape(index.shape)
        return share * ladders_loss(steps, torch.from_numpy(self.made.severities[index]).float(), APART)

    def run(self) -> Iterator[tuple[int, float]]:
        """Teach; yields step and loss after every step."""
        for step in range(self.recipe.steps):
            self.model.train()
            rate = self.recipe.rate * schedule(step, self.recipe.steps, WARM_UP, hold_trunk=0, trunk=False)
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            self.optimiser.zero_grad(set_to_none=True)
            loss = self.loss(step)
            loss.backward()
            nn.utils.clip_grad_norm_(self.parameters, 1.0)
            self.optimiser.step()
            follow(self.average, self.model, self.recipe.average, step + 1)
            yield step + 1, float(loss.detach())


def report(model: HyperIQA, rated: Views, even: Ladders) -> Iterator[str]:
    """Opinions, clean photos and ladders, in lines."""
    yield opinions_line(list(scores(model, rated.rows[:, 0])), list(rated.opinions))
    made = scores(model, even.rows)
    clean = made[(even.kinds == 0) & (even.severities == 0)]
    yield f"{len(clean)} photos to choose by: {clean_line(clean)}"
    for index, kind in enumerate(DISTORTIONS):
        yield ladder_row(kind, made[even.kinds == index].reshape(len(clean), -1))


def save(refiner: Refiner, backbone: str, side: int, path: Path) -> None:
    """Write the moving average as a checkpoint that ``engines.export`` and ``--start`` take."""
    torch.save({"average": refiner.average.state_dict(), "backbone": backbone, "side": side}, path)


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Refine the head of a quality engine on distortion ladders.")
    parser.add_argument("--start", type=Path, required=True, help="the engine (.onnx) or checkpoint (.pt) to refine")
    parser.add_argument("--backbone", choices=["efficientnet-lite0", "resnet18", "resnet50"], default="efficientnet-lite0")
    parser.add_argument("--side", type=int, default=500, help="longest side in pixels that it serves at")
    parser.add_argument("--clive", type=Path, required=True)
    parser.add_argument("--photos", type=Path, action="append", required=True)
    parser.add_argument("--out", type=Path, required=True, help="what is computed once is kept here as well")
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--rated", type=int, default=Recipe.rated, help="rated pictures a step")
    parser.add_argument("--ladders", type=int, default=Recipe.ladders, help="ladders a step")
    parser.add_argument("--rate", type=float, default=Recipe.rate)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=Recipe.parts, help="what moves")
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, compute what is missing, teach, report, save."""
    options = parsed(arguments)
    model = HyperIQA(options.backbone)
    load_start(model, options.start)
    photos = [photo for folder in options.photos for photo in load_folder(folder)]
    rated = load_rated("clive", options.clive)
    train, held = ([r for r in rated if r.split == split] for split in ("train", "val"))
    if len(train) < options.rated:
        raise DataSetError(f"{options.clive} has {len(train)} pictures to train on, fewer than {options.rated}: --rated")
    pooler, (learn, choose) = Pooler(model, options.side), splits(photos)
    kept = options.out / f"pools-{file_sha256(options.start)[:12]}-{options.side}"
    seen = cached(kept / "rated.npz", Views, lambda: views(pooler, train, augment=True))
    shown = cached(kept / "validation.npz", Views, lambda: views(pooler, held, augment=False))
    even = cached(kept / "chosen_by.npz", Ladders, lambda: even_ladders(pooler, choose))
    made = cached(kept / "ladders.npz", Ladders, lambda: ladders(pooler, learn, seed=1))
    recipe = Recipe(
        options.steps, options.rate, tuple(options.parts), rated=options.rated, ladders=options.ladders, seed=options.seed
    )
    refiner = Refiner(model, seen, made, recipe)
    print("\n".join(report(model, shown, even)), flush=True)
    for step, loss in refiner.run():
        if step % 300 == 0 or step == options.steps:
            print(f"step {step}  loss {loss:.4f}", flush=True)
            print("\n".join(report(refiner.average, shown, even)), flush=True)
    save(refiner, options.backbone, options.side, options.out / "refined.pt")


if __name__ == "__main__":
    main()
