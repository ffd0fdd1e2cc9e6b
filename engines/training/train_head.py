"""Teaches the head of a quality engine on features that are computed once: ``iqa engines train-head``.

``iqa engines train`` sees a few ladders a step, since every step runs the trunk; what it learns last (colour casts,
over-exposure) is learnt at the cost of something else. Here the trunk stays, what the head sees of every picture is computed
once (``engines.training.features``, kept in ``out``), and the head sees all kinds of ladders in every step. If the initial
weights hold a trunk alone the head is new, else it goes on from theirs. What a teacher, a finished engine, makes of small
uploads, strips and crops keeps the head sane where no rated photo is like them (``engines.training.odd_uploads``).

Of the photos that train, every eighth is put aside to choose by, and reported at the end; the held-out photos of the model
card are not looked at. With a fold, part K of N of all rated pictures is kept from training in place of the validation
split: honest if the trunk has not seen them. ``out`` gets ``head.pt``, a checkpoint for ``iqa engines export``, and
``validation.csv``.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from engines.catalog import file_sha256
from engines.models.hyperiqa import Backbone, HyperIQA
from engines.runtime.onnx import OnnxRuntime
from engines.training.data import HOLD_OUT, held_out, load_folder, picture_files
from engines.training.datasets import DataSetError, Rated, Split, folds, load_rated
from engines.training.distortions import DISTORTIONS
from engines.training.features import (
    FeatureExtractor,
    Ladders,
    OddUploads,
    Views,
    cached,
    camera_ladders,
    even_ladders,
    ladders,
    views,
)
from engines.training.initial_weights import load_initial_weights, trunk_sha256
from engines.training.ladders import LADDERS, OFTEN
from engines.training.losses import ladders_loss, opinion_loss, order_loss
from engines.training.measure import clean_line, ladder_row, opinions_line
from engines.training.odd_uploads import odd_uploads
from engines.training.train import follow, schedule, write_validation

__all__ = ["HeadOptions", "HeadRecipe", "HeadTrainer", "report", "run", "scores", "splits", "standardise"]

ODD_UPLOAD_SEED = 77
REPORT_EVERY = 200
WARM_UP = 50
APART = 0.2
"""What a pair of steps counts that are further apart than one: those are in order long before the close ones."""
BOUNDS = 0.15
"""Order is what ladders are for: bounds on scores cost more agreement with people than order does."""
LEAST = 0.005
"""What the faintest noise costs at least, of 1: beyond that its severity counts."""
CAMERA_SHARE = 2
"""Of ladders a step: one ladder of camera noise to so many of all kinds."""


@dataclass(frozen=True)
class HeadRecipe:
    """How the head is taught: ``rated`` pictures, ``ladders`` and ``odd_uploads`` a step, the losses of the last two weighted.

    Shares of mixtures follow a beta distribution of ``mixing``: at 1 each is as likely as any other, below mostly near 0 or 1.
    """

    steps: int = 300
    rate: float = 3e-4
    weight_decay: float = 0.1
    rated: int = 96
    ladders: int = 96
    odd_uploads: int = 128
    ladder_weight: float = 0.15
    odd_upload_weight: float = 1.0
    camera_weight: float = 0.3
    mixing: float = 1.0
    average: float = 0.99
    seed: int = 1


@dataclass(frozen=True)
class HeadOptions:
    """A run. ``data`` are (name, folder) pairs; the first gives the scale and the validation split, further ones only order.

    ``camera_photos`` are folders of photos as cameras stored them. At most ``ladder_photos`` of ``photos`` make ladders.
    """

    initial_weights: Path
    data: tuple[tuple[str, Path], ...]
    photos: tuple[Path, ...]
    out: Path
    teacher: Path | None = None
    camera_photos: tuple[Path, ...] = ()
    ladder_photos: int | None = None
    backbone: Backbone = "resnet18"
    side: int = 500
    fold: tuple[int, int] | None = None
    recipe: HeadRecipe = HeadRecipe()


def splits(photos: Sequence[NDArray[np.uint8]]) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]]:
    """Photos to learn from and photos to choose by, both without those that the model card is measured on."""
    unseen = {id(photo) for photo in held_out(photos)}
    rest = [photo for photo in photos if id(photo) not in unseen]
    chosen = {id(photo) for photo in rest[::HOLD_OUT]}
    return [photo for photo in rest if id(photo) not in chosen], rest[::HOLD_OUT]


def judged(model: HyperIQA, rows: NDArray[np.floating]) -> Tensor:
    """Scores of rows (N x width), N, with gradients."""
    return model.judge(torch.from_numpy(rows.astype(np.float32)).split(model.widths, dim=1))


def standardise(model: HyperIQA, rated: Views) -> None:
    """Tell the head how far its numbers spread over the rated pictures as they are served."""
    rows = torch.from_numpy(rated.rows[:, 0].astype(np.float32))
    model.standardise(rows.split(model.widths, dim=1))


@torch.no_grad()
def scores(model: HyperIQA, rows: NDArray[np.float16]) -> NDArray[np.float64]:
    """Scores of rows (N x width) as ``model`` serves them, N."""
    model.eval()
    return np.concatenate([judged(model, part).numpy() for part in np.array_split(rows, len(rows) // 2048 + 1)])


class HeadTrainer:
    """The head, its moving average, and what both see."""

    def __init__(
        self,
        model: HyperIQA,
        rated: Sequence[Views],
        made: Ladders,
        odd: OddUploads | None,
        recipe: HeadRecipe,
        camera: Ladders | None = None,
    ) -> None:
        self.model, self.recipe, self.odd, self.camera = model.eval(), recipe, odd, camera
        torch.manual_seed(recipe.seed)
        self.rated, self.made = rated, made
        # One ladder after the other: where each ends, and how many steps it has.
        self.ends = np.flatnonzero(np.diff(made.ladder, append=made.ladder[-1] + 1)) + 1
        self.sizes = np.diff(self.ends, prepend=0)
        weights = np.array([OFTEN[kind].head for kind in DISTORTIONS])
        counts = np.bincount(made.kinds[self.ends - 1], minlength=len(DISTORTIONS))
        self.shares = weights[made.kinds[self.ends - 1]] / counts[made.kinds[self.ends - 1]]
        self.average = copy.deepcopy(model)
        model.backbone.requires_grad_(False)
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimiser = torch.optim.AdamW(self.parameters, lr=recipe.rate, weight_decay=recipe.weight_decay)

    def loss(self, step: int) -> Tensor:
        """What ``step`` minimises: a function of the seed and the step, given the weights."""
        recipe, rng = self.recipe, np.random.default_rng([self.recipe.seed, step])
        sizes = np.array([len(one.opinions) for one in self.rated], float)
        index = int(rng.choice(len(sizes), p=sizes / sizes.sum()))
        total = (order_loss if index else opinion_loss)(*self.mixed(self.rated[index], rng))
        for size in np.unique(self.sizes) if recipe.ladder_weight else ():
            total = total + recipe.ladder_weight * self.ladder_share(int(size), rng)
        if self.camera is not None:
            total = total + recipe.camera_weight * self.camera_share(self.camera, rng)
        return total if self.odd is None else total + recipe.odd_upload_weight * self.astray(self.odd, rng)

    def camera_share(self, camera: Ladders, rng: np.random.Generator) -> Tensor:
        """The loss of ladders that have only an order: a soft crop without noise may deserve any score."""
        size = int((camera.ladder == 0).sum())
        count = len(camera.ladder) // size
        picks = rng.choice(count, min(count, max(1, self.recipe.ladders // CAMERA_SHARE)), replace=False)
        index = picks[:, None] * size + np.arange(size)
        steps = judged(self.model, camera.rows[index.ravel()]).reshape(index.shape)
        severities = torch.from_numpy(camera.severities[index]).float()
        return ladders_loss(steps, severities, APART, bounds=0.0, margin=LEAST)

    def astray(self, odd: OddUploads, rng: np.random.Generator) -> Tensor:
        """How far the changes from photos to odd uploads are from those that the teacher sees."""
        picks = rng.choice(len(odd.changes), min(self.recipe.odd_uploads, len(odd.changes)), replace=False)
        both = judged(self.model, np.concatenate([odd.rows[picks], odd.photos[odd.of[picks]]])) / 100
        changes = both[: len(picks)] - both[len(picks) :]
        return F.smooth_l1_loss(changes, torch.from_numpy(odd.changes[picks] / 100).float(), beta=0.05)

    def mixed(self, rated: Views, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Scores and opinions of mixtures of two rated pictures each, N and N: what lies between them is rated in between.

        Manifold mixup (Verma et al., ICML 2019) of what the head sees; eight hundred pictures are soon learnt by heart else.
        """
        size, views = self.recipe.rated, rated.rows.shape[1]
        share = rng.beta(self.recipe.mixing, self.recipe.mixing, size).astype(np.float32)
        shares = np.stack([share, 1 - share])
        picks = np.stack([rng.choice(len(rated.opinions), size, replace=False) for _ in shares])
        rows = (shares[:, :, None] * rated.rows[picks, rng.integers(views, size=picks.shape)]).sum(axis=0)
        opinions = (shares * rated.opinions[picks]).sum(axis=0)
        return judged(self.model, rows), torch.from_numpy(opinions).float()

    def ladder_share(self, size: int, rng: np.random.Generator) -> Tensor:
        """The share that ladders of ``size`` steps have in the mean loss of all ladders."""
        among = np.flatnonzero(self.sizes == size)
        share = self.shares[among].sum() / self.shares.sum()
        count = max(1, round(self.recipe.ladders * share))
        drawn = rng.choice(among, count, p=self.shares[among] / self.shares[among].sum())
        index = (self.ends[drawn] - size)[:, None] + np.arange(size)
        steps = judged(self.model, self.made.rows[index.ravel()]).reshape(index.shape)
        return share * ladders_loss(steps, torch.from_numpy(self.made.severities[index]).float(), APART, BOUNDS)

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


@torch.no_grad()
def blind_scores(model: HyperIQA, rows: NDArray[np.float16]) -> NDArray[np.float64]:
    """Scores of rows (N x width), all judged as if they showed the same: the mean of their contents. One batch."""
    pooled = torch.from_numpy(rows.astype(np.float32)).split(model.eval().widths, dim=1)
    content = model.describe(pooled).mean(dim=0, keepdim=True).expand(len(rows), -1)
    return np.asarray(model.judge(pooled, content).numpy(), dtype=np.float64)


def report(model: HyperIQA, rated: Views, even: Ladders) -> Iterator[str]:
    """Opinions, with and without what pictures show, clean photos and ladders, in lines."""
    served = rated.rows[:, 0]
    yield opinions_line(list(scores(model, served)), list(rated.opinions))
    yield f"whatever they show: {opinions_line(list(blind_scores(model, served)), list(rated.opinions))}"
    made = scores(model, even.rows)
    clean = made[(even.kinds == 0) & (even.severities == 0)]
    yield f"{len(clean)} photos to choose by: {clean_line(clean)}"
    for index, kind in enumerate(DISTORTIONS):
        yield ladder_row(kind, made[even.kinds == index].reshape(len(clean), -1))


def save(trainer: HeadTrainer, backbone: str, side: int, path: Path) -> None:
    """Write the moving average as a checkpoint, as ``iqa engines export`` takes it, and as initial weights."""
    torch.save({"average": trainer.average.state_dict(), "backbone": backbone, "side": side}, path)


def run(options: HeadOptions) -> None:
    """Compute what is missing, teach, report, save.

    Raises:
        DataSetError: a data set is not as published, or too small.
        CheckpointError: what is kept in ``out`` is of another run.

    """
    recipe = options.recipe
    torch.manual_seed(recipe.seed)
    model = HyperIQA(options.backbone)
    start = load_initial_weights(model, options.initial_weights)
    teacher = OnnxRuntime().load(options.teacher) if options.teacher else None
    photos = [photo for folder in options.photos for photo in load_folder(folder)]
    sets = [load_rated(name, root) for name, root in options.data]
    if options.fold:
        sets[0] = folds(sets[0], *options.fold)
    extractor, (learn, choose) = FeatureExtractor(model, options.side), splits(photos)
    kept = options.out / f"features-{trunk_sha256(model)[:12]}-{options.side}"
    seen = [
        cached(kept / f"{name}-{files_sha256(rated)[:12]}.npz", Views, partial(views, extractor, rated))
        for (name, _), rated in zip(options.data, sets, strict=True)
    ]
    made_of = folders_sha256(options.photos)[:12]
    even = cached(kept / f"chosen_by-{made_of}.npz", Ladders, lambda: even_ladders(extractor, choose))
    most = options.ladder_photos or len(learn)
    made = cached(
        kept / f"ladders-{made_of}-{len(learn[:most])}.npz", Ladders, lambda: ladders(extractor, learn[:most], seed=1)
    )
    camera = None
    if options.camera_photos:
        files = picture_files(options.camera_photos)
        path = kept / f"camera-{folders_sha256(options.camera_photos)[:12]}.npz"
        camera = cached(path, Ladders, lambda: camera_ladders(extractor, files, seed=1))
    odd = None
    if teacher and options.teacher:
        path = kept / f"odd-uploads-{made_of}-{file_sha256(options.teacher)[:12]}.npz"
        odd = cached(path, OddUploads, lambda: odd_uploads(extractor, teacher, learn, seed=ODD_UPLOAD_SEED))
    train = [part(rows, rated, "train") for rows, rated in zip(seen, sets, strict=True)]
    for (name, root), rows in zip(options.data, train, strict=True):
        if len(rows.opinions) < recipe.rated:
            raise DataSetError(
                f"{name} in {root} has {len(rows.opinions)} pictures to train on, fewer than {recipe.rated}: --rated"
            )
    held = part(seen[0], sets[0], "val")
    if not start.head:
        standardise(model, train[0])
    trainer = HeadTrainer(model, train, made, odd, recipe, camera)
    for step, loss in trainer.run():
        if step % REPORT_EVERY == 0 or step == recipe.steps:
            print(f"step {step}  loss {loss:.4f}", flush=True)
            print("\n".join(report(trainer.average, held, even)), flush=True)
    save(trainer, options.backbone, options.side, options.out / "head.pt")
    write_validation(
        options.out / "validation.csv", [r for r in sets[0] if r.split == "val"], scores(trainer.average, held.rows[:, 0])
    )


def part(rows: Views, rated: Sequence[Rated], split: Split) -> Views:
    """Those of one side of the split."""
    return rows.of([index for index, picture in enumerate(rated) if picture.split == split])


def folders_sha256(folders: Sequence[Path]) -> str:
    """What names the rows of photos: their files, by name and size, and how defects are made of them."""
    told = "".join(f"{path.name} {path.stat().st_size}\n" for path in picture_files(folders))
    return hashlib.sha256(f"{LADDERS}\n{told}".encode()).hexdigest()


def files_sha256(rated: Sequence[Rated]) -> str:
    """What names the rows of a data set: its files, by name and size, and their opinions."""
    digest = hashlib.sha256()
    for picture in rated:
        digest.update(f"{picture.path.name} {picture.path.stat().st_size} {picture.opinion:.4f}\n".encode())
    return digest.hexdigest()
