"""``iqa engines train``: options and their checks; torch is imported only when training begins."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from engines.errors import EngineError

__all__ = ["train"]


def train(
    data: Annotated[
        list[str],
        typer.Option(
            metavar="NAME=DIR",
            help="Opinion scores: clive, koniq10k, live, tid2013 or csiq, and its folder as published. May be repeated; "
            "the first gives scale and validation.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Where checkpoints go; a run found there is resumed.")],
    photos: Annotated[list[Path] | None, typer.Option(help="Folder of sharp photos for ladders. May be repeated.")] = None,
    start: Annotated[
        Path | None,
        typer.Option(help="Trunk (.safetensors, .pth), or what to go on from: a checkpoint (.pt) or engine (.onnx)."),
    ] = None,
    backbone: Annotated[Literal["resnet18", "resnet50", "efficientnet-lite0"], typer.Option()] = "resnet18",
    fold: Annotated[str | None, typer.Option(metavar="K/N", help="Cross-validation: part K (from 1) of N validates.")] = None,
    steps: Annotated[int, typer.Option(min=1)] = 1000,
    batch: Annotated[int, typer.Option(min=2, help="Rated pictures per step.")] = 12,
    crop: Annotated[int, typer.Option(min=64, help="Side of the crops; equal to --side it is the whole picture.")] = 384,
    side: Annotated[int, typer.Option(min=64, help="Longest side that pictures are shrunk to.")] = 384,
    ladders: Annotated[int, typer.Option(min=0, help="Distortion ladders per step.")] = 2,
    ladder_crop: Annotated[int, typer.Option(min=64, help="Side of their crops.")] = 384,
    ladder_weight: Annotated[float, typer.Option(min=0)] = 1.5,
    rate: Annotated[float, typer.Option(min=0, help="Peak learning rate of the head.")] = 4e-4,
    trunk_rate: Annotated[float, typer.Option(min=0, help="Factor on the trunk's own share of the rate.")] = 1.0,
    teacher: Annotated[Path | None, typer.Option(help="Checkpoint whose scores stand in for part of the opinions.")] = None,
    teaching: Annotated[float, typer.Option(min=0, max=1, help="Share of the teacher in the opinions.")] = 0.7,
    weight_decay: Annotated[float, typer.Option(min=0)] = 0.1,
    frozen: Annotated[str, typer.Option(help="Stages that stay as they are, or 'none'.")] = "conv1,layer1,layer2",
    hold_trunk: Annotated[int, typer.Option(min=0, help="Steps before the trunk starts to move.")] = 150,
    average: Annotated[float, typer.Option(min=0, max=0.99999, help="Decay of the moving average of the weights.")] = 0.995,
    every: Annotated[int, typer.Option(min=1, help="Steps between validations.")] = 100,
    seed: Annotated[int, typer.Option(min=0)] = 1,
    threads: Annotated[int | None, typer.Option(min=1, help="Of torch; all cores if not given.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    precision: Annotated[Literal["auto", "single", "bfloat16", "float16"], typer.Option()] = "auto",
) -> None:
    """Train the quality engine (hyperIQA). Needs the train extra. Stop it at any time; the same command goes on."""
    try:
        from engines.training.train import STAGES, Options, Trainer
    except ImportError as error:
        raise EngineError(f"training needs the train extra (pip install 'iqa-fleet[train]'): {error}") from error
    stages = () if frozen == "none" else tuple(frozen.split(","))
    if unknown := set(stages) - set(STAGES):
        raise typer.BadParameter(
            f"no stage {', '.join(sorted(unknown))}; there are: {', '.join(STAGES)}", param_hint="--frozen"
        )
    options = Options(
        data=tuple(_named(pair) for pair in data),
        photos=tuple(photos or ()),
        out=out,
        start=start,
        backbone=backbone,
        fold=_fold(fold),
        steps=steps,
        batch=batch,
        crop=crop,
        side=side,
        ladders=ladders if photos else 0,
        ladder_crop=ladder_crop,
        ladder_weight=ladder_weight,
        rate=rate,
        trunk_rate=trunk_rate,
        teacher=teacher,
        teaching=teaching,
        weight_decay=weight_decay,
        frozen=stages,
        hold_trunk=hold_trunk,
        average=average,
        every=every,
        seed=seed,
        threads=threads,
        device=device,
        precision=precision,
    )
    try:
        Trainer(options).run()
    except KeyboardInterrupt:
        typer.echo(f"stopped; the same command goes on from the last checkpoint in {out}", err=True)
        raise typer.Exit(130) from None
    except ValueError as error:  # a data set that is not as published
        raise EngineError(str(error)) from error


def _named(pair: str) -> tuple[str, Path]:
    name, equals, folder = pair.partition("=")
    if not equals or not folder:
        raise typer.BadParameter(f"{pair!r} is not NAME=DIR", param_hint="--data")
    return name, Path(folder)


def _fold(text: str | None) -> tuple[int, int] | None:
    from engines.training.datasets import parse_fold

    try:
        return parse_fold(text) if text is not None else None
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--fold") from error
