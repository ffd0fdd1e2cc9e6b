"""Trains the quality engine on opinion scores and distortion ladders together, resumable: ``iqa engines train``.

Each step sees rated pictures of one data set and some distortion ladders. The first data set gives the scale of the scores
(smooth L1 and order), further ones only their order, since 60 of one is not 60 of another. An exponential moving average of
the weights is what is validated and exported. The output folder holds ``last.pt`` (resume), ``best.pt`` (best validation SRCC
so far), ``log.csv`` (a line a validation) and, at the end, ``validation.csv`` (every validation picture with its score).

Random choices depend on the seed and the number of the step alone, so a run that is stopped and resumed sees what it would
have seen.
"""

from __future__ import annotations

import copy
import csv
import hashlib
import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from scipy import stats
from torch import Tensor, nn

from engines.errors import CheckpointError
from engines.kinds import KINDS, Kind
from engines.models.hyperiqa import Backbone, HyperIQA
from engines.preprocess import LONGEST_SIDE, quality_input
from engines.training.data import ahead, held_out, load_folder, picture_files, random_crop
from engines.training.datasets import DataSetError, Rated, folds, load_rated
from engines.training.initial_weights import Loaded, load_initial_weights
from engines.training.ladders import Ladder, ladder
from engines.training.losses import ladder_loss, opinion_loss, order_loss
from engines.training.tasks import Agreement, Drawn, KindPictures, Task, load_teachers

__all__ = ["Options", "Trainer", "evaluate", "follow", "precision_of", "schedule", "write_validation"]

# Of the head's rate: what the trunk knows was learnt from a million pictures.
TRUNK_RATES = {"conv1": 0.1, "layer1": 0.1, "layer2": 0.1, "layer3": 0.2, "layer4": 0.4, "head": 0.4}
STAGES = tuple(TRUNK_RATES)
WARM_UP = 80
STANDARD = 128
"""About how many pictures say how far a new head's numbers spread."""
FREE = frozenset({"data", "photos", "out", "initial_weights", "steps", "every", "threads", "workers", "device", "precision"})
"""Options that may change when a run goes on; of data and photos what they hold must not."""
Precision = Literal["auto", "single", "bfloat16", "float16"]


@dataclass(frozen=True)
class Options:
    """A run: data, network, recipe. ``data`` are (name, folder) pairs; the first gives the scale and the validation split."""

    data: tuple[tuple[str, Path], ...]
    photos: tuple[Path, ...]
    out: Path
    initial_weights: Path | None = None
    backbone: Backbone = "resnet18"
    fold: tuple[int, int] | None = None
    steps: int = 1000
    batch: int = 12
    crop: int = 384
    side: int = LONGEST_SIDE
    ladders: int = 2
    ladder_crop: int = 384
    ladder_weight: float = 1.5
    rate: float = 4e-4
    trunk_rate: float = 1.0
    weight_decay: float = 0.1
    frozen: tuple[str, ...] = ("conv1", "layer1", "layer2")
    hold_trunk: int = 150
    unlabelled: tuple[Path, ...] = ()
    teachers: tuple[Path, ...] = ()
    unlabelled_batch: int = 18
    agreement_weight: float = 1.5
    kinds: tuple[tuple[Kind, Path], ...] = ()
    kinds_batch: int = 10
    kinds_weight: float = 0.2
    average: float = 0.995
    every: int = 100
    seed: int = 1
    threads: int | None = None
    workers: int = 1
    device: str = "auto"
    precision: Precision = "auto"


@torch.no_grad()
def evaluate(model: HyperIQA, rated: Sequence[Rated], side: int = LONGEST_SIDE) -> NDArray[np.float64]:
    """Scores over whole pictures, preprocessed as in serving."""
    model.eval()
    device = next(model.parameters()).device
    inputs = (torch.from_numpy(quality_input(r.pixels(), side)).to(device) for r in rated)
    return np.array([float(model.judge(model.pool(x))[0]) for x in inputs])


@torch.no_grad()
def standardise(model: HyperIQA, rated: Sequence[Rated], side: int) -> None:
    """Tell a new head how far its numbers spread over some rated pictures as they are served."""
    some = rated[:: max(1, len(rated) // STANDARD)]
    pooled = [model.eval().pool(torch.from_numpy(quality_input(r.pixels(), side))) for r in some]
    model.standardise([torch.cat(stage) for stage in zip(*pooled, strict=True)])


def correlations(scores: NDArray[np.float64], rated: Sequence[Rated]) -> tuple[float, float]:
    """SRCC and PLCC of scores with opinions."""
    opinions = [r.opinion for r in rated]
    return float(stats.spearmanr(scores, opinions)[0]), float(stats.pearsonr(scores, opinions)[0])


def write_validation(path: Path, rated: Sequence[Rated], scores: NDArray[np.float64]) -> None:
    """Every picture with its opinion and its score, as CSV."""
    with path.open("w", newline="") as file:
        rows = [(r.path.name, f"{r.opinion:.3f}", f"{score:.3f}") for r, score in zip(rated, scores, strict=True)]
        csv.writer(file).writerows([("file", "opinion", "score"), *rows])


def parameter_groups(model: HyperIQA, options: Options) -> list[dict[str, Any]]:
    """Frozen stages, gentle trunk, fast head. ``peak`` is the rate that the schedule scales."""
    groups: list[dict[str, Any]] = []
    for stage, module in model.backbone.named_children():
        if stage not in TRUNK_RATES:
            continue
        if stage in options.frozen:
            module.requires_grad_(False)
        else:
            peak = TRUNK_RATES[stage] * options.trunk_rate * options.rate
            groups.append({"params": list(module.parameters()), "peak": peak, "trunk": True})
    head = [p for name, p in model.named_parameters() if not name.startswith("backbone.")]
    return [*groups, {"params": head, "peak": options.rate, "trunk": False}]


def schedule(step: int, steps: int, warm_up: int, hold_trunk: int, trunk: bool) -> float:
    """Linear warm-up, cosine to zero; the trunk starts ``hold_trunk`` steps later, when the head makes sense."""
    start = hold_trunk if trunk else 0
    if step < start:
        return 0.0
    ramp = min(1.0, (step - start + 1) / warm_up)
    return ramp * 0.5 * (1 + math.cos(math.pi * step / steps))


@torch.no_grad()
def follow(average: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Move ``average`` towards ``model`` after the ``step``-th step (from 1); the first count for more than ``decay`` says."""
    share = 1 - min(decay, step / (step + 20))
    for kept, new in zip(average.parameters(), model.parameters(), strict=True):
        kept.lerp_(new, share)


def _device(name: str) -> torch.device:
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)


def precision_of(name: Precision, device: torch.device) -> torch.dtype | None:
    """The type that maps are computed in, ``None`` for single precision; ``auto`` is the fastest that the device has."""
    if name == "auto" and device.type == "cuda":
        # Processors without it emulate bfloat16, slower than single precision.
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if name == "auto":
        return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else None  # noqa: SLF001 torch has no public question
    return {"single": None, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]


@dataclass
class Batch:
    """What one step sees: pictures (N x 3 x side x side) with opinions, and ladders."""

    pictures: Tensor
    opinions: Tensor
    absolute: bool
    ladders: list[Ladder] = field(default_factory=list)
    extras: list[Drawn] = field(default_factory=list)


class Trainer:
    """Model, moving average, optimiser and data of one run."""

    def __init__(self, options: Options) -> None:
        self.options = options
        torch.manual_seed(options.seed)
        if options.threads:
            torch.set_num_threads(options.threads)
        self.sets, self.validation = self._rated()
        photos = [photo for folder in options.photos for photo in load_folder(folder)]
        unseen = {id(photo) for photo in held_out(photos)}
        self.photos = [p for p in photos if id(p) not in unseen and min(p.shape[:2]) >= 0.7 * options.ladder_crop]
        if options.ladders and not self.photos:
            raise DataSetError(f"no photo is large enough for ladders of {options.ladder_crop} px: --photos, or --ladders 0")
        self.device = _device(options.device)
        self.precision = precision_of(options.precision, self.device)
        self.model = HyperIQA(options.backbone, kinds=len(KINDS) if options.kinds else 0)
        given = options.initial_weights
        self.start = load_initial_weights(self.model, given) if given else Loaded(head=False, missing=["all"])
        if not self.start.head:
            standardise(self.model, self.sets[0], options.side)
        self.model.to(self.device, memory_format=torch.channels_last)
        self.tasks = self._tasks()
        self.groups = parameter_groups(self.model, options)
        self.average = copy.deepcopy(self.model)
        self.optimiser = torch.optim.AdamW(self.groups, lr=options.rate, weight_decay=options.weight_decay)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision is torch.float16)
        self.step, self.best = 0, -1.0

    def _rated(self) -> tuple[list[list[Rated]], list[Rated]]:
        sets = [load_rated(name, root) for name, root in self.options.data]
        if self.options.fold:
            sets[0] = folds(sets[0], *self.options.fold)
        train = [[r for r in rated if r.split == "train"] for rated in sets]
        for (name, _), rated in zip(self.options.data, train, strict=True):
            if len(rated) < self.options.batch:
                raise DataSetError(f"{name} has {len(rated)} pictures to train on, fewer than a batch of {self.options.batch}")
        return train, [r for r in sets[0] if r.split == "val"]

    def _tasks(self) -> list[Task]:
        options, tasks = self.options, list[Task]()
        if options.unlabelled:
            if not options.teachers:
                raise DataSetError("--unlabelled photos are there to agree with a --teacher")
            files, teachers = picture_files(options.unlabelled), load_teachers(options.teachers, self.device)
            count, weight = options.unlabelled_batch, options.agreement_weight
            tasks.append(Agreement(files, teachers, count, options.crop, options.side, weight))
        if options.kinds:
            by_kind = {kind: [folder for name, folder in options.kinds if name == kind] for kind, _ in options.kinds}
            of = {kind: picture_files(folders) for kind, folders in by_kind.items()}
            tasks.append(KindPictures(of, options.kinds_batch, options.crop, options.side, options.kinds_weight))
        return tasks

    def draw(self, step: int) -> Batch:
        """The batch of ``step``, a function of the seed and the step alone."""
        options, rng = self.options, np.random.default_rng([self.options.seed, step])
        sizes = np.array([len(rated) for rated in self.sets], float)
        index = int(rng.choice(len(self.sets), p=sizes / sizes.sum()))
        picks = [self.sets[index][int(i)] for i in rng.choice(len(self.sets[index]), options.batch, replace=False)]
        crops = np.concatenate([random_crop(p.pixels(), options.crop, rng, options.side) for p in picks])
        ladders = [ladder(self.photos, options.ladder_crop, rng, options.side) for _ in range(options.ladders)]
        extras = [task.draw(rng) for task in self.tasks]
        return Batch(torch.from_numpy(crops), torch.tensor([p.opinion for p in picks]), index == 0, ladders, extras)

    def _scores(self, inputs: Tensor) -> Tensor:
        inputs = inputs.to(self.device).contiguous(memory_format=torch.channels_last)
        with self._autocast():
            scores = self.model.judge(self.model.pool(inputs))
        return scores.float()

    def _autocast(self) -> torch.autocast:
        enabled = self.precision is not None
        return torch.autocast(self.device.type, dtype=self.precision or torch.bfloat16, enabled=enabled)

    def loss(self, batch: Batch) -> Tensor:
        """Opinions and ladders, weighted."""
        scores, opinions = self._scores(batch.pictures), batch.opinions.to(self.device)
        total = opinion_loss(scores, opinions) if batch.absolute else order_loss(scores, opinions)
        if batch.ladders:
            steps = self._scores(torch.from_numpy(np.concatenate([rungs.inputs for rungs in batch.ladders])))
            for rungs, part in zip(batch.ladders, steps.split(len(batch.ladders[0].severities)), strict=True):
                total = total + 0.5 / len(batch.ladders) * self.options.ladder_weight * ladder_loss(part, rungs.severities)
        for task, drawn in zip(self.tasks, batch.extras, strict=True):
            seen = replace(drawn, inputs=drawn.inputs.to(self.device).contiguous(memory_format=torch.channels_last))
            with self._autocast():
                total = total + task.weight * task.loss(self.model, self.model.pool(seen.inputs), seen).float()
        return total

    def advance(self, batch: Batch) -> float:
        """One optimiser step; returns the loss."""
        self.model.train()
        for group in self.optimiser.param_groups:
            share = schedule(self.step, self.options.steps, WARM_UP, self.options.hold_trunk, group["trunk"])
            group["lr"] = group["peak"] * share
        self.optimiser.zero_grad(set_to_none=True)
        loss = self.loss(batch)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimiser)
        nn.utils.clip_grad_norm_([p for g in self.groups for p in g["params"]], 1.0)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.step += 1
        follow(self.average, self.model, self.options.average, self.step)
        return float(loss.detach())

    def save(self, path: Path) -> None:
        """Write everything that resuming needs; the file appears whole or not at all."""
        state = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
            "backbone": self.options.backbone,
            "side": self.options.side,
            "run": self.described(),
            "step": self.step,
            "best": self.best,
        }
        torch.save(state, path.with_suffix(".tmp"))
        path.with_suffix(".tmp").replace(path)

    def described(self) -> dict[str, str]:
        """What makes this run another one than any other: its options, but for those that are free, and what its data hold."""
        told = {name: str(value) for name, value in asdict(self.options).items() if name not in FREE}
        for (name, _), rated in zip(self.options.data, [[*self.sets[0], *self.validation], *self.sets[1:]], strict=True):
            rows = sorted((r.path.name, r.opinion, r.split) for r in rated)
            told[f"data {name}"] = f"{len(rows)} pictures, {hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:12]}"
        shapes = hashlib.sha256(json.dumps([photo.shape for photo in self.photos]).encode()).hexdigest()[:12]
        return told | {"photos": f"{len(self.photos)} photos, {shapes}"}

    def resume(self, path: Path) -> None:
        """Continue from a file that ``save`` wrote.

        Raises:
            CheckpointError: it is of another run: of other options, or of other data.

        """
        state = torch.load(path, map_location=self.device, weights_only=True)
        found = state.get("run", {})
        for name, value in self.described().items():
            if found.get(name) != value:
                raise CheckpointError(
                    f"{path} is another run: {name.replace('_', ' ')} was {found.get(name, 'not told')}, not {value}; "
                    "choose another --out, or the options that it was begun with"
                )
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.scaler.load_state_dict(state["scaler"])
        self.step, self.best = state["step"], state["best"]

    def validate(self, loss: float, seconds: float) -> str:
        """Score the validation split with the moving average; keep the best; returns a line about it."""
        scores = evaluate(self.average, self.validation, self.options.side)
        srcc, plcc = correlations(scores, self.validation)
        out = self.options.out
        with (out / "log.csv").open("a", newline="") as file:
            csv.writer(file).writerow([self.step, f"{seconds:.0f}", f"{loss:.4f}", f"{srcc:.4f}", f"{plcc:.4f}"])
        if srcc > self.best:
            self.best = srcc
            self.save(out / "best.pt")
        self.save(out / "last.pt")
        write_validation(out / "validation.csv", self.validation, scores)
        return f"step {self.step}  loss {loss:.4f}  SRCC {srcc:.4f} (best {self.best:.4f})  PLCC {plcc:.4f}"

    def batches(self) -> Iterator[Batch]:
        """Batches from the current step to the last; ``workers`` of them are drawn while the current one trains."""
        return ahead(self.draw, range(self.step, self.options.steps), self.options.workers)

    def run(self) -> None:
        """Train to the last step, validating and saving every ``every`` steps."""
        out = self.options.out
        out.mkdir(parents=True, exist_ok=True)
        if (out / "last.pt").exists():
            self.resume(out / "last.pt")
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        began, loss = time.monotonic(), math.nan
        with Progress(*columns) as progress:
            rated = sum(len(s) for s in self.sets)
            progress.console.print(
                f"{rated} rated pictures, {len(self.validation)} to validate, {len(self.photos)} for ladders; "
                f"{self.device.type}, {self.precision or 'single precision'}; drawn at random: "
                f"of the head {'nothing' if self.start.head else 'all'}, "
                f"of the trunk {', '.join(self.start.missing) or 'nothing'}"
            )
            bar = progress.add_task("training", total=self.options.steps, completed=self.step)
            for batch in self.batches():
                value = self.advance(batch)
                loss = value if math.isnan(loss) else 0.98 * loss + 0.02 * value
                progress.update(bar, completed=self.step, description=f"loss {loss:.3f}")
                if self.step % self.options.every == 0 or self.step == self.options.steps:
                    progress.console.print(self.validate(loss, time.monotonic() - began))
