"""``iqa engines``' training tools: options and their checks; torch is imported only when one begins."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from engines.engine_set import DEFAULT_DIRECTORY, EngineNames
from engines.errors import EngineError
from engines.kinds import KINDS, Kind

__all__ = ["add_commands"]

Backbone = Literal["resnet18", "resnet50", "efficientnet-lite0", "efficientnet-lite2"]
Data = Annotated[
    list[str],
    typer.Option(
        metavar="NAME=DIR",
        help="Opinion scores: clive, koniq10k, live, tid2013, csiq, kadid10k or spaq, and its folder as published. "
        "May be repeated; the first gives scale and validation.",
    ),
]
Photos = Annotated[list[Path], typer.Option(help="Folder of sharp photos. May be repeated.")]
Fold = Annotated[str | None, typer.Option(metavar="K/N", help="Cross-validation: part K (from 1) of N validates.")]
Seed = Annotated[int, typer.Option(min=0)]
Side = Annotated[int, typer.Option(min=64, help="Longest side in pixels that pictures are shrunk to.")]
Directory = Annotated[Path, typer.Option(envvar="IQA_ENGINES__DIRECTORY", help="Where workers look for engines.")]


KIND_HELP = f"Pictures of a kind ({', '.join(KINDS)}), searched through. May be repeated."
Kinds = Annotated[
    list[str],
    typer.Option(metavar="KIND=DIR", help=KIND_HELP),
]


def add_commands(app: typer.Typer) -> None:
    """Give ``app`` the training tools."""
    app.command()(train)
    app.command("train-head")(train_head)
    app.command("train-kinds")(train_kinds)
    app.command("train-text")(train_text)
    app.command("draw")(draw)
    app.command("distil")(distil)
    app.command("probe")(probe)
    app.command()(measure)
    app.command("cost-curve")(cost_curve)
    app.command()(export)


@contextmanager
def _extra() -> Iterator[None]:
    """What every tool has in common: it needs the train extra, and a data set may not be as published."""
    try:
        yield
    except ImportError as error:
        raise EngineError(f"training needs the train extra (pip install 'iqa-fleet[train]'): {error}") from error
    except ValueError as error:  # a data set that is not as published
        raise EngineError(str(error)) from error


def train(
    data: Data,
    out: Annotated[Path, typer.Option(help="Where checkpoints go; a run found there is resumed.")],
    photos: Annotated[list[Path] | None, typer.Option(help="Folder of sharp photos for ladders. May be repeated.")] = None,
    initial_weights: Annotated[
        Path | None,
        typer.Option(help="Trunk (.safetensors, .pth), or what to go on from: a checkpoint (.pt) or engine (.onnx)."),
    ] = None,
    backbone: Annotated[Backbone, typer.Option()] = "resnet18",
    fold: Fold = None,
    steps: Annotated[int, typer.Option(min=1)] = 1000,
    batch: Annotated[int, typer.Option(min=2, help="Rated pictures per step.")] = 12,
    crop: Annotated[int, typer.Option(min=64, help="Side of the crops; equal to --side it is the whole picture.")] = 384,
    side: Side = 384,
    ladders: Annotated[int, typer.Option(min=0, help="Distortion ladders per step.")] = 2,
    ladder_crop: Annotated[int, typer.Option(min=64, help="Side of their crops.")] = 384,
    ladder_weight: Annotated[float, typer.Option(min=0)] = 1.5,
    rate: Annotated[float, typer.Option(min=0, help="Peak learning rate of the head.")] = 4e-4,
    trunk_rate: Annotated[float, typer.Option(min=0, help="Factor on the trunk's own share of the rate.")] = 1.0,
    weight_decay: Annotated[float, typer.Option(min=0)] = 0.1,
    frozen: Annotated[str, typer.Option(help="Stages that stay as they are, or 'none'.")] = "conv1,layer1,layer2",
    hold_trunk: Annotated[int, typer.Option(min=0, help="Steps before the trunk starts to move.")] = 150,
    unlabelled: Annotated[
        list[Path] | None, typer.Option(help="Folder of photos without labels, searched through. May be repeated.")
    ] = None,
    teacher: Annotated[
        list[Path] | None,
        typer.Option(help="Finished engine (.onnx) or run (.pt) whose scores they should get. May be repeated."),
    ] = None,
    kinds: Annotated[list[str] | None, typer.Option(metavar="KIND=DIR", help=KIND_HELP)] = None,
    average: Annotated[float, typer.Option(min=0, max=0.99999, help="Decay of the moving average of the weights.")] = 0.995,
    every: Annotated[int, typer.Option(min=1, help="Steps between validations.")] = 100,
    seed: Seed = 1,
    threads: Annotated[int | None, typer.Option(min=1, help="Of torch; all cores if not given.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Threads that draw batches ahead: more for a fast GPU.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    precision: Annotated[Literal["auto", "single", "bfloat16", "float16"], typer.Option()] = "auto",
) -> None:
    """Train the quality engine (hyperIQA). Needs the train extra. Stop it at any time; the same command goes on."""
    with _extra():
        from engines.training.train import STAGES, Options, Trainer
    stages = () if frozen == "none" else tuple(frozen.split(","))
    if unknown := set(stages) - set(STAGES):
        raise typer.BadParameter(
            f"no stage {', '.join(sorted(unknown))}; there are: {', '.join(STAGES)}", param_hint="--frozen"
        )
    options = Options(
        data=tuple(_named(pair) for pair in data),
        photos=tuple(photos or ()),
        out=out,
        initial_weights=initial_weights,
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
        weight_decay=weight_decay,
        frozen=stages,
        hold_trunk=hold_trunk,
        unlabelled=tuple(unlabelled or ()),
        teachers=tuple(teacher or ()),
        kinds=tuple(_kind(pair) for pair in kinds or ()),
        average=average,
        every=every,
        seed=seed,
        threads=threads,
        workers=workers,
        device=device,
        precision=precision,
    )
    try:
        with _extra():
            Trainer(options).run()
    except KeyboardInterrupt:
        typer.echo(f"stopped; the same command goes on from the last checkpoint in {out}", err=True)
        raise typer.Exit(130) from None


def train_head(
    data: Data,
    photos: Photos,
    initial_weights: Annotated[
        Path, typer.Option(help="Trunk (.safetensors, .pth), or what to go on from: a checkpoint (.pt) or engine (.onnx).")
    ],
    out: Annotated[Path, typer.Option(help="Where the head goes; what is computed once is kept there as well.")],
    teacher: Annotated[
        Path | None, typer.Option(help="A finished engine (.onnx) to agree with on small uploads, strips and crops.")
    ] = None,
    camera_photos: Annotated[
        list[Path] | None, typer.Option(help="Folder of photos as cameras stored them, for faint noise. May be repeated.")
    ] = None,
    ladder_photos: Annotated[int | None, typer.Option(min=1, help="At most so many photos make ladders.")] = None,
    backbone: Annotated[Backbone, typer.Option()] = "resnet18",
    side: Side = 500,
    fold: Fold = None,
    steps: Annotated[int, typer.Option(min=1)] = 300,
    rated: Annotated[int, typer.Option(min=2, help="Rated pictures per step.")] = 96,
    ladders: Annotated[int, typer.Option(min=1, help="Distortion ladders per step.")] = 96,
    ladder_weight: Annotated[float, typer.Option(min=0)] = 0.15,
    odd_upload_weight: Annotated[float, typer.Option(min=0, help="What --teacher counts.")] = 1.0,
    camera_weight: Annotated[float, typer.Option(min=0, help="What --camera-photos count.")] = 0.3,
    mixing: Annotated[float, typer.Option(min=0.01, help="At 1 any mixture of two pictures, below mostly one.")] = 1.0,
    rate: Annotated[float, typer.Option(min=0, help="Peak learning rate.")] = 3e-4,
    seed: Seed = 1,
) -> None:
    """Teach the head alone, on features of the trunk that are computed once. Needs the train extra."""
    with _extra():
        from engines.training.train_head import HeadOptions, HeadRecipe, run

        recipe = HeadRecipe(
            steps=steps,
            rate=rate,
            rated=rated,
            ladders=ladders,
            ladder_weight=ladder_weight,
            odd_upload_weight=odd_upload_weight,
            camera_weight=camera_weight,
            mixing=mixing,
            seed=seed,
        )
        options = HeadOptions(
            initial_weights=initial_weights,
            data=tuple(_named(pair) for pair in data),
            photos=tuple(photos),
            out=out,
            teacher=teacher,
            camera_photos=tuple(camera_photos or ()),
            ladder_photos=ladder_photos,
            backbone=backbone,
            side=side,
            fold=_fold(fold),
            recipe=recipe,
        )
        run(options)


def train_kinds(
    kinds: Kinds,
    initial_weights: Annotated[Path, typer.Option(help="A finished network: a checkpoint (.pt) or engine (.onnx).")],
    out: Annotated[Path, typer.Option(help="Where the network goes; what is computed once is kept there as well.")],
    backbone: Annotated[Backbone, typer.Option()] = "resnet18",
    side: Side = 500,
    steps: Annotated[int, typer.Option(min=1)] = 600,
    seed: Seed = 1,
) -> None:
    """Teach a finished network to tell kinds of pictures, its trunk and scores untouched. Needs the train extra."""
    with _extra():
        from engines.training.train_kinds import KindOptions, run

        run(KindOptions(initial_weights, tuple(_kind(pair) for pair in kinds), out, backbone, side, steps, seed=seed))


def train_text(
    pictures: Annotated[list[Path], typer.Option(help="Folder of pictures of every kind. May be repeated.")],
    initial_weights: Annotated[Path, typer.Option(help="A network that tells kinds: a checkpoint (.pt) or engine (.onnx).")],
    out: Annotated[Path, typer.Option(help="Where the network goes; what is computed once is kept there as well.")],
    directory: Annotated[
        Path, typer.Option(envvar="IQA_ENGINES__DIRECTORY", help="Where fetched engines lie.")
    ] = DEFAULT_DIRECTORY,
    backbone: Annotated[Backbone, typer.Option()] = "resnet18",
    side: Side = 500,
    steps: Annotated[int, typer.Option(min=1)] = 800,
    seed: Seed = 1,
) -> None:
    """Teach a network that tells kinds to see where there is no text, by the text engines. Needs the train extra."""
    with _extra():
        from engines.training.train_text import TextOptions, run

        run(TextOptions(initial_weights, tuple(pictures), out, directory, backbone, side, steps, seed=seed))


def draw(
    photos: Annotated[Path, typer.Option(help="Photos for posters and pages, searched through.")],
    things: Annotated[Path, typer.Option(help="Things on white, searched through.")],
    drawings: Annotated[Path, typer.Option(help="Logos, icons, illustrations (SVG, too), searched through.")],
    out: Annotated[Path, typer.Option(help="Gets a folder per kind; what is there is kept.")],
    count: Annotated[int, typer.Option(min=1, help="Pages of each kind.")] = 300,
    seed: Seed = 1,
    browser: Annotated[str, typer.Option(help="Command of Chromium or Chrome.")] = "chromium",
) -> None:
    """Draw pages of every kind but photos by a browser, to train kinds on. Needs the train extra."""
    with _extra():
        from engines.training.material.render import DrawOptions
        from engines.training.material.render import draw as run

        run(DrawOptions(photos=photos, things=things, drawings=drawings, out=out, count=count, seed=seed, browser=browser))


def distil(
    initial_weights: Annotated[
        Path, typer.Option(help="A ResNet-18 with its classifier, last stage incomplete (.safetensors).")
    ],
    teacher: Annotated[list[Path], typer.Option(help="EfficientNet-Lite as published (.pth). May be repeated.")],
    photos: Annotated[list[Path], typer.Option(help="Folder of photos, searched through. May be repeated.")],
    out: Annotated[Path, typer.Option(help="Where the trunk goes; what is computed once is kept there as well.")],
    views: Annotated[int, typer.Option(min=1, help="Of each photo.")] = 2,
    epochs: Annotated[int, typer.Option(min=1, help="Over all views, the last stage alone.")] = 15,
    steps: Annotated[int, typer.Option(min=0, help="Then, the whole trunk.")] = 1000,
    batch: Annotated[int, typer.Option(min=2)] = 128,
    side: Annotated[int, typer.Option(min=64, help="Of views, in pixels.")] = 256,
    seed: Seed = 1,
) -> None:
    """Complete a ResNet-18 trunk from published classifiers, on photos without labels. Needs the train extra."""
    with _extra():
        from engines.training.distil import DistilRecipe, run

        recipe = DistilRecipe(views=views, side=side, epochs=epochs, batch=batch, steps=steps, seed=seed)
        for line in run(initial_weights, teacher, photos, out, recipe):
            typer.echo(line)


def probe(
    data: Data,
    initial_weights: Annotated[Path, typer.Option(help="Trunk (.safetensors, .pth), checkpoint (.pt) or engine (.onnx).")],
    backbone: Annotated[Backbone, typer.Option()] = "resnet18",
    side: Side = 500,
    folds: Annotated[int, typer.Option(min=2)] = 5,
    seed: Seed = 0,
) -> None:
    """Say how well opinions can be told from a trunk as it is, by kernel ridge regression. Needs the train extra."""
    with _extra():
        from engines.training.probe import probe_lines

        for name, folder in (_named(pair) for pair in data):
            for line in probe_lines(initial_weights, backbone, name, folder, side, folds, seed):
                typer.echo(line)


def measure(
    data: Data,
    photos: Annotated[list[Path] | None, typer.Option(help="Folder of sharp photos for ladders. May be repeated.")] = None,
    quality: Annotated[str, typer.Option(help="An engine that ships, or several joined by +.")] = EngineNames.quality,
    weights: Annotated[Path | None, typer.Option(help="An exported file without a manifest, instead.")] = None,
    side: Annotated[int, typer.Option(min=64, help="With --weights: longest side in pixels.")] = 500,
    limit: Annotated[int, typer.Option(min=1, help="Held-out photos for ladders, at most.")] = 1000,
) -> None:
    """Measure engines as model cards report them: opinions on validation and test splits, ladders. Needs the train extra."""
    with _extra():
        from engines.training.measure import exported, ladder_lines, rated_lines, shipped_panel

        score = exported(weights, side) if weights else shipped_panel(quality).score
        for line in rated_lines(score, [_named(pair) for pair in data], output_mapping=weights is not None):
            typer.echo(line)
        for line in ladder_lines(score, photos, limit) if photos else ():
            typer.echo(line)


def cost_curve(
    data: Annotated[str, typer.Option(metavar="NAME=DIR", help="Opinion scores, as for train.")],
    out: Annotated[Path, typer.Option(help="The plot, .svg or .png.")],
    engine: Annotated[list[str] | None, typer.Option(help="An engine that ships; the default one if not given.")] = None,
) -> None:
    """Accuracy against processor time at several sizes of input, as a table and a plot. Needs the train extra."""
    with _extra():
        from engines.training.cost_curve import cost_curve as curve

        typer.echo(curve(engine or [EngineNames.quality], _named(data), out))


def export(
    checkpoint: Annotated[list[Path], typer.Option(help="Of a run (.pt); of several the mean is exported.")],
    name: Annotated[str, typer.Option(help="Of the engine.")],
    directory: Directory = DEFAULT_DIRECTORY,
    version: Annotated[int, typer.Option(min=1, help="Verdicts carry it: raise it with every change.")] = 1,
    data: Annotated[
        str | None, typer.Option(metavar="NAME=DIR", help="Fit the mapping from outputs to opinions on its validation split.")
    ] = None,
    training_data: Annotated[str, typer.Option(help="What it was trained on, for its manifest.")] = "not told",
    licence: Annotated[str, typer.Option()] = "that of its training data and initial weights",
    text_below: Annotated[
        float, typer.Option(min=0, max=1, help="Probability of text below which none is looked for, as you measured it.")
    ] = 0.0,
) -> None:
    """Make an engine of checkpoints: ONNX file, manifest, golden answers. Needs the train extra."""
    with _extra():
        from engines.catalog import expanded
        from engines.export import Export, export_engine

        named = _named(data) if data else None
        made = export_engine(
            Export(tuple(checkpoint), name, version, named, training_data, licence, text_below), expanded(directory)
        )
    typer.echo(f"{made.label} is in {directory}; use it with IQA_ENGINES__QUALITY={made.name}")
    typer.echo("its scores are on its training data's scale: fit thresholds with `iqa calibrate fit`", err=True)


def _named(pair: str) -> tuple[str, Path]:
    name, equals, folder = pair.partition("=")
    if not equals or not folder:
        raise typer.BadParameter(f"{pair!r} is not NAME=DIR", param_hint="--data")
    return name, Path(folder)


def _kind(pair: str) -> tuple[Kind, Path]:
    name, equals, folder = pair.partition("=")
    found = next((kind for kind in KINDS if kind == name), None)
    if found is None or not equals or not folder:
        raise typer.BadParameter(f"{pair!r} is not KIND=DIR; kinds: {', '.join(KINDS)}", param_hint="--kinds")
    return found, Path(folder)


def _fold(text: str | None) -> tuple[int, int] | None:
    from engines.training.datasets import parse_fold

    try:
        return parse_fold(text) if text is not None else None
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--fold") from error
