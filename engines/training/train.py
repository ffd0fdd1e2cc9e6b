"""Trains the quality engine: CLIVE's opinion scores and distortion ladders together, resumable.

    python -m engines.training.train --clive DIR --photos DIR [--photos DIR] --start FILE --out DIR [--steps N]

Each step sees CLIVE crops and distortion ladders. Opinion scores: smooth L1 plus 0.1 (1 - PLCC). Ladders: a hinge on every pair
of severities (after RankIQA, Liu et al., ICCV 2017), so that worse pictures score lower, and loose anchors. An exponential
moving average of the weights is what is validated and exported. ``out`` holds ``last.pt`` (resume) and ``best.pt`` (best
validation SRCC so far), and a line a validation in ``log.csv``.
"""

from __future__ import annotations

import argparse
import copy
import csv
import math
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional as F

from engines.models.hyperiqa import HyperIQA, fold_batch_norm
from engines.preprocess import quality_input
from engines.training.data import Ladder, Rated, ladder, load_clive, load_folder, random_crop

__all__ = ["evaluate", "ladder_loss", "load_start", "main", "opinion_loss"]

CROP, LADDER_CROP = 256, 160
FROZEN = ("conv1", "layer1", "layer2")


def load_start(model: HyperIQA, path: Path) -> list[str]:
    """Load a starting file; returns the names of the trunk that were not found.

    Safetensors hold a trunk (``backbone.*``, or a plain torchvision state); a checkpoint of an earlier run gives everything.
    """
    if path.suffix == ".pt":
        model.load_state_dict(torch.load(path, weights_only=True)["average"])
        return []
    state = load_file(path)
    if any(key.startswith("backbone.") for key in state):
        trunk = {k.removeprefix("backbone."): v.float() for k, v in state.items() if k.startswith("backbone.")}
    else:
        trunk = fold_batch_norm(state)
    return list(model.backbone.load_state_dict(trunk, strict=False).missing_keys)


def opinion_loss(scores: Tensor, opinions: Tensor) -> Tensor:
    """Smooth L1 (beta 5 points) plus 0.1 (1 - PLCC) for N scores and N opinions, 0-100."""
    x, y = scores - scores.mean(), opinions - opinions.mean()
    plcc = (x * y).sum() / (x.norm() * y.norm() + 1e-6)
    return F.smooth_l1_loss(scores / 100, opinions / 100, beta=0.05) + 0.1 * (1 - plcc)


def ladder_loss(scores: Tensor, severities: Sequence[float]) -> Tensor:
    """Hinge over all pairs with a margin of 0.2 x gap in severity + 0.02 (of 1), and loose anchors.

    Clean photos are pulled into 60-90, every other step under ``90 - 65 x severity``, whatever the clean photo scores: a
    ruined photo of a beautiful flower is as useless as any other.
    """
    s = scores / 100
    loss = s.new_zeros(())
    pairs = 0
    for i in range(len(severities)):
        for j in range(i + 1, len(severities)):
            margin = 0.2 * (severities[j] - severities[i]) + 0.02
            loss = loss + F.relu(s[j] - s[i] + margin)
            pairs += 1
    ceilings = s.new_tensor([0.9 - 0.65 * severity for severity in severities])
    return loss / pairs + 0.5 * (F.relu(0.6 - s[0]) + F.relu(s - ceilings).sum())


@torch.no_grad()
def evaluate(model: HyperIQA, rated: Sequence[Rated]) -> tuple[float, float]:
    """SRCC and PLCC over whole pictures, preprocessed as in serving."""
    model.eval()
    scores = [float(model(torch.from_numpy(quality_input(r.pixels)))[0]) for r in rated]
    opinions = [r.opinion for r in rated]
    return float(stats.spearmanr(scores, opinions)[0]), float(stats.pearsonr(scores, opinions)[0])


def parameter_groups(model: HyperIQA, rate: float) -> list[dict[str, Any]]:
    """Frozen early layers, gentle layer3 and layer4, fast head. ``peak`` is the rate the schedule scales."""
    for name in FROZEN:
        model.backbone.get_submodule(name).requires_grad_(False)
    trunk = [(model.backbone.get_submodule("layer3"), 0.2 * rate), (model.backbone.get_submodule("layer4"), 0.4 * rate)]
    head = [p for name, p in model.named_parameters() if not name.startswith("backbone.")]
    groups = [{"params": list(module.parameters()), "peak": peak, "trunk": True} for module, peak in trunk]
    return [*groups, {"params": head, "peak": rate, "trunk": False}]


def schedule(step: int, steps: int, warm_up: int, hold_trunk: int, trunk: bool) -> float:
    """Linear warm-up, cosine to zero; the trunk starts ``hold_trunk`` steps later, when the head makes sense."""
    start = hold_trunk if trunk else 0
    if step < start:
        return 0.0
    ramp = min(1.0, (step - start + 1) / warm_up)
    return ramp * 0.5 * (1 + math.cos(math.pi * step / steps))


class Trainer:
    """Model, moving average, optimiser and data of one run."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        random.seed(options.seed)
        torch.manual_seed(options.seed)
        torch.set_num_threads(options.threads)
        self.rng = np.random.default_rng(options.seed)
        self.train = load_clive(options.clive, "train")
        self.validation = load_clive(options.clive, "val")
        photos = [photo for folder in options.photos for photo in load_folder(folder)]
        # Every eighth photo never trains, so that ladders can be checked on pictures that were not seen.
        self.photos = [p for i, p in enumerate(photos) if i % 8 and min(p.shape[:2]) > LADDER_CROP * 1.4]
        self.model = HyperIQA().to(memory_format=torch.channels_last)
        missing = load_start(self.model, options.start)
        print(f"{len(self.train)} rated photos, {len(self.photos)} for ladders; not in the start file: {missing or 'nothing'}")
        self.groups = parameter_groups(self.model, options.rate)
        self.average = copy.deepcopy(self.model)
        self.optimiser = torch.optim.AdamW(self.groups, lr=options.rate, weight_decay=options.weight_decay)
        self.step, self.best = 0, -1.0

    def losses(self) -> Tensor:
        """The loss of one freshly drawn batch."""
        picks = [self.train[int(i)] for i in self.rng.choice(len(self.train), self.options.batch, replace=False)]
        crops = torch.from_numpy(np.concatenate([random_crop(p.pixels, CROP, self.rng) for p in picks]))
        ladders: list[Ladder] = [ladder(self.photos, LADDER_CROP, self.rng) for _ in range(self.options.ladders)]
        steps = torch.from_numpy(np.concatenate([rungs.inputs for rungs in ladders]))
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.options.bfloat16):
            scores = self.model(crops.contiguous(memory_format=torch.channels_last)).float()
            rungs_scores = self.model(steps.contiguous(memory_format=torch.channels_last)).float()
        loss = opinion_loss(scores, torch.tensor([p.opinion for p in picks]))
        for rungs, part in zip(ladders, rungs_scores.split(len(ladders[0].severities)), strict=True):
            loss = loss + 0.5 / len(ladders) * self.options.ladder_weight * ladder_loss(part, rungs.severities)
        return loss

    def advance(self) -> float:
        """One optimiser step; returns the loss."""
        self.model.train()
        for group in self.optimiser.param_groups:
            share = schedule(self.step, self.options.steps, 80, self.options.hold_trunk, group["trunk"])
            group["lr"] = group["peak"] * share
        self.optimiser.zero_grad(set_to_none=True)
        loss = self.losses()
        loss.backward()
        nn.utils.clip_grad_norm_([p for g in self.groups for p in g["params"]], 1.0)
        self.optimiser.step()
        self.step += 1
        decay = min(0.995, self.step / (self.step + 20))
        with torch.no_grad():
            for kept, new in zip(self.average.parameters(), self.model.parameters(), strict=True):
                kept.lerp_(new, 1 - decay)
        return float(loss.detach())

    def save(self, path: Path) -> None:
        """Write everything that resuming needs; the file appears whole or not at all."""
        state = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "rng": self.rng.bit_generator.state,
            "step": self.step,
            "best": self.best,
        }
        torch.save(state, path.with_suffix(".tmp"))
        path.with_suffix(".tmp").replace(path)

    def resume(self, path: Path) -> None:
        """Continue from a file that ``save`` wrote."""
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.rng.bit_generator.state = state["rng"]
        self.step, self.best = state["step"], state["best"]

    def validate(self, log: Path, loss: float, seconds: float) -> None:
        """Score the validation split with the moving average; keep the best."""
        srcc, plcc = evaluate(self.average, self.validation)
        with log.open("a", newline="") as file:
            csv.writer(file).writerow([self.step, f"{seconds:.0f}", f"{loss:.4f}", f"{srcc:.4f}", f"{plcc:.4f}"])
        print(
            f"step {self.step}/{self.options.steps}  loss {loss:.4f}  SRCC {srcc:.4f}  PLCC {plcc:.4f}  {seconds:.0f} s",
            flush=True,
        )
        if srcc > self.best:
            self.best = srcc
            self.save(log.parent / "best.pt")

    def run(self) -> None:
        """Train to the last step, validating and saving every ``every`` steps."""
        out: Path = self.options.out
        out.mkdir(parents=True, exist_ok=True)
        if (out / "last.pt").exists():
            self.resume(out / "last.pt")
        began, loss = time.monotonic(), math.nan
        while self.step < self.options.steps:
            value = self.advance()
            loss = value if math.isnan(loss) else 0.98 * loss + 0.02 * value
            if self.step % self.options.every == 0 or self.step == self.options.steps:
                self.validate(out / "log.csv", loss, time.monotonic() - began)
                self.save(out / "last.pt")


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description="Train the quality engine (hyperIQA, ResNet-18).")
    parser.add_argument("--clive", type=Path, required=True, help="folder with labels.csv and images/")
    parser.add_argument("--photos", type=Path, action="append", required=True, help="folder of sharp photos; may be repeated")
    parser.add_argument("--start", type=Path, required=True, help="trunk (.safetensors), or a checkpoint (.pt) to go on from")
    parser.add_argument("--out", type=Path, required=True, help="where checkpoints go; a run found there is resumed")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--ladders", type=int, default=2, help="ladders per step")
    parser.add_argument("--ladder-weight", type=float, default=1.0, help="of the ladders' loss")
    parser.add_argument("--rate", type=float, default=5e-4, help="peak learning rate of the head")
    parser.add_argument("--weight-decay", type=float, default=0.05)
    parser.add_argument("--hold-trunk", type=int, default=150, help="steps before the trunk starts to move")
    parser.add_argument("--every", type=int, default=100, help="steps between validations")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bfloat16", action="store_true", help="mixed precision: faster on processors with AVX-512 BF16")
    Trainer(parser.parse_args(arguments)).run()


if __name__ == "__main__":
    main()
