"""Builds a labelled set in the proportions of 58zhaopin-5k, the same for the same seed, sources and fonts."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from calibration.benchmark.defects import TEST_DEFECTS, Defect
from calibration.benchmark.drawing import CutOut, Fonts, Pixels, pick
from calibration.benchmark.kinds import CATEGORY_WEIGHTS, DESIGNS, KINDS, Kind, Made, Materials
from calibration.benchmark.sources import SPLITS, Role, Source, Split, load_rgba
from calibration.benchmark.studio import stands_on_white
from calibration.chain import Category
from calibration.errors import BenchmarkError
from calibration.labels import FIELDS

__all__ = ["Recipe", "build_benchmark", "counts", "opinion_category"]

BAND = 5.0
"""Opinion scores nearer than this to a threshold of the article (40, 60) are nobody's category: raters disagree by as much."""
PHOTOS = ("photos", "trained")


@dataclass(frozen=True)
class Recipe:
    """What decides every pixel of a benchmark. ``defects`` are those of the validation split; the test split has its own."""

    sources: Sequence[Source]
    fonts: Fonts
    defects: Mapping[str, Defect]
    size: int
    seed: int


def counts(size: int) -> list[tuple[Kind, int]]:
    """How many pictures of each kind a split of ``size`` has: largest remainders, so that they add up."""
    total = sum(CATEGORY_WEIGHTS.values())
    within = {name: sum(kind.weight for kind in KINDS if kind.category == name) for name in CATEGORY_WEIGHTS}
    wanted = [size * CATEGORY_WEIGHTS[kind.category] / total * kind.weight / within[kind.category] for kind in KINDS]
    whole = [int(value) for value in wanted]
    left = sorted(range(len(KINDS)), key=lambda index: wanted[index] - whole[index], reverse=True)
    for index in left[: size - sum(whole)]:
        whole[index] += 1
    return list(zip(KINDS, whole, strict=True))


def opinion_category(opinion: float) -> Category | None:
    """The article's band that an opinion score (0-100) lies well inside of, or ``None`` near its ends."""
    if min(abs(opinion - 40.0), abs(opinion - 60.0)) < BAND:
        return None
    return "low" if opinion < 40.0 else "medium" if opinion < 60.0 else "high"


def build_benchmark(recipe: Recipe, out: Path, workers: int = 1, progress: Callable[[int, int], None] | None = None) -> Path:
    """Write ``recipe.size`` pictures, half of them per split, with ``labels.csv`` and ``benchmark.json``; the table's path.

    Photos with opinion scores and photos with boxes around their text come on top, copied as they are. Ordinary photos that
    stand on white are left out: they are product shots, whatever folder they lie in.

    Raises:
        BenchmarkError: ``out`` cannot be written or holds something already, or a source cannot be read or decoded.

    """
    try:
        return _build(recipe, out, workers, progress or (lambda *_: None))
    except OSError as error:
        raise BenchmarkError(f"{error.filename or out}: {error.strerror}") from error


def _build(recipe: Recipe, out: Path, workers: int, progress: Callable[[int, int], None]) -> Path:
    # First of all, before minutes of reading photos.
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        raise BenchmarkError(f"{out} is not empty: a benchmark is built into a folder of its own")
    studio = [source for source in recipe.sources if source.role in PHOTOS and stands_on_white(_load(source.path)[0])]
    jobs = list(_jobs(recipe, {source.path for source in studio}))
    rated = [source for source in recipe.sources if source.role in {"opinions", "text"}]
    rows: list[dict[str, str]] = []
    total = len(jobs) + len(rated)
    with ThreadPoolExecutor(workers) as pool:
        for row in pool.map(lambda job: _make(job, recipe.seed, out), jobs):
            rows.append(row)
            progress(len(rows), total)
    for source in rated:
        rows.append(_copy(source, out))
        progress(len(rows), total)
    table = out / "labels.csv"
    with table.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, FIELDS)
        writer.writeheader()
        writer.writerows(rows)
    (out / "benchmark.json").write_text(
        json.dumps(_record(recipe, len(studio)), ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
    )
    return table


@dataclass(frozen=True)
class _Job:
    kind: Kind
    split: Split
    number: int
    materials: Materials
    used: dict[int, list[str]]


def _jobs(recipe: Recipe, studio: set[Path]) -> Iterator[_Job]:
    for split in SPLITS:
        size = recipe.size - recipe.size // 2 if split == "validation" else recipe.size // 2
        used: dict[int, list[str]] = {}
        mine = [source for source in recipe.sources if source.split == split]
        photos = [source for source in mine if source.role in PHOTOS and source.path not in studio]
        if not photos:
            raise BenchmarkError(f"no ordinary photos are left for the {split} split: all others stand on white")
        number, fonts = 0, recipe.fonts.of(split)
        defects = recipe.defects if split == "validation" else TEST_DEFECTS
        for kind, count in counts(size):
            for _ in range(count):
                materials = _materials(split, photos, mine, defects, fonts, used.setdefault(number, []))
                yield _Job(kind, split, number, materials, used)
                number += 1


def _materials(
    split: Split,
    photos: Sequence[Source],
    mine: Sequence[Source],
    defects: Mapping[str, Defect],
    fonts: Fonts,
    used: list[str],
) -> Materials:
    def photo(rng: np.random.Generator) -> Pixels:
        source = pick(rng, photos)
        used.append(source.name)
        return _load(source.path)[0]

    def taken(role: Role) -> Callable[[np.random.Generator], CutOut] | None:
        given = [source for source in mine if source.role == role]

        def take(rng: np.random.Generator) -> CutOut:
            source = pick(rng, given)
            used.append(source.name)
            return _load(source.path)

        return take if given else None

    return Materials(photo, taken("logos"), taken("products"), fonts, defects, DESIGNS[split])


@lru_cache(maxsize=256)
def _load(path: Path) -> CutOut:
    return load_rgba(path)


def _make(job: _Job, seed: int, out: Path) -> dict[str, str]:
    rng = np.random.default_rng([seed, SPLITS.index(job.split), job.number])
    made = job.kind.make(job.materials, rng)
    name = f"{job.split}/{job.kind.name}-{job.number:05}{'.png' if made.lossless else '.jpg'}"
    _write(out / name, made)
    return {
        "file": name,
        "category": job.kind.category,
        "kind": job.kind.name,
        "split": job.split,
        "text_area": "" if made.text_area is None else f"{made.text_area:.4f}",
        "opinion": "",
        "source": " ".join(dict.fromkeys(job.used[job.number])),
        "detail": made.detail,
    }


def _write(path: Path, made: Made) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    options = [] if made.lossless else [cv2.IMWRITE_JPEG_QUALITY, made.quality]
    if not cv2.imwrite(str(path), np.ascontiguousarray(made.pixels[:, :, ::-1]), options):
        raise BenchmarkError(f"{path} cannot be written")


def _copy(source: Source, out: Path) -> dict[str, str]:
    name = f"{source.split}/{source.role}-{source.path.name}"
    target = out / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.path.read_bytes())
    row = dict.fromkeys(FIELDS, "") | {"file": name, "kind": source.role, "split": source.split, "source": source.name}
    if source.role == "text":
        height, width = _load(source.path)[0].shape[:2]
        return row | {"text_area": f"{covered(source.boxes, width, height):.4f}"}
    opinion = source.opinion if source.opinion is not None else 0.0
    return row | {"opinion": f"{opinion:g}", "category": opinion_category(opinion) or ""}


def covered(boxes: Sequence[Sequence[tuple[float, float]]], width: int, height: int) -> float:
    """Share of a picture of ``width`` x ``height`` pixels under the union of ``boxes``, 0-1."""
    grid = np.zeros((height, width), np.uint8)
    for box in boxes:
        cv2.fillPoly(grid, [np.rint(np.array(box)).astype(np.int32)], (1,))
    return float(grid.mean())


def _record(recipe: Recipe, studio: int) -> dict[str, object]:
    roles = sorted({source.role for source in recipe.sources})
    return {
        "size": recipe.size,
        "seed": recipe.seed,
        "sources": {role: sum(source.role == role for source in recipe.sources) for role in roles},
        "left_out_on_white": studio,
        "fonts": {split: recipe.fonts.of(split).names for split in SPLITS},
        "defects": {"validation": sorted(recipe.defects), "test": sorted(TEST_DEFECTS)},
        "opencv": cv2.__version__,
    }
