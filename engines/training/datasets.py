"""Opinion-score data sets, each read from the layout in which its authors publish it.

Every loader takes the data set's root folder and returns a ``Rated`` for each rated picture, in a stable order, with the
opinion mapped to 0-100, higher is better. Scales of different data sets are not the same scale: 60 of TID2013 is not 60 of
CLIVE. Pictures are read when they are needed.

Splits: the authors' own where they publish one (KonIQ-10k), else by seed over the *contents*: all distorted versions of one
reference photo fall on the same side (80 % train, 20 % val), as is usual since Mittal et al. (2012).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engines.pictures import read_picture

__all__ = ["LOADERS", "DataSetError", "Rated", "Split", "folds", "load_rated", "parse_fold", "read_rgb", "split_by_content"]

Split = Literal["train", "val", "test"]


class DataSetError(ValueError):
    """A data set's folder is not as its authors publish it. The message names the file or the row that is missing or odd."""


@dataclass(frozen=True)
class Rated:
    """A picture file with its mean opinion score (0-100), what it shows (its reference photo) and its side of the split."""

    path: Path
    opinion: float
    content: str
    split: Split = "train"

    def pixels(self) -> NDArray[np.uint8]:
        """The upright RGB picture, H x W x 3."""
        return read_rgb(self.path)


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """The upright RGB picture in ``path`` (H x W x 3).

    Raises:
        DataSetError: the file is missing or cannot be decoded.

    """
    pixels = read_picture(path)
    if pixels is None:
        raise DataSetError(f"{path} is missing or cannot be decoded")
    return pixels


def clive(root: Path) -> list[Rated]:
    """LIVE In the Wild Image Quality Challenge: ``Images/`` and ``Data/*.mat``, or ``images/`` and ``labels.csv``.

    The .mat files list seven training examples first, which are not part of the data set. Opinions are 0-100 as they are.
    ``labels.csv`` has columns file, mos and split.
    """
    table = root / "labels.csv"
    if table.is_file():
        rows = _table(table, {"file", "mos", "split"})
        return [Rated(root / "images" / r["file"], float(r["mos"]), r["file"], _split(r["split"], table)) for r in rows]
    names = _matlab(root / "Data" / "AllImages_release.mat", "AllImages_release")
    scores = _matlab(root / "Data" / "AllMOS_release.mat", "AllMOS_release")
    pairs = [(str(np.ravel(name)[0]), float(score)) for name, score in _paired(names, scores, root)][7:]
    return split_by_content([Rated(root / "Images" / name, score, name) for name, score in pairs])


def koniq10k(root: Path) -> list[Rated]:
    """KonIQ-10k: ``1024x768/`` (or ``512x384/``) and one of its two tables of labels; opinions are 0-100 as they are.

    ``koniq10k_distributions_sets.csv`` (columns image_name, MOS and set; github.com/subpic/koniq, or ``labels.csv`` of the same
    columns) has the official split. ``koniq10k_scores_and_distributions.csv``, which comes with the pictures, has none: its
    MOS_zscore is the same opinion, and the split is by seed.
    """
    official, plain = ("koniq10k_distributions_sets.csv", "labels.csv"), "koniq10k_scores_and_distributions.csv"
    table = next((root / name for name in (*official, plain) if (root / name).is_file()), None)
    if table is None:
        raise DataSetError(
            f"{root}: none of {', '.join((*official, plain))} is there; the first, with the official split, "
            "is in github.com/subpic/koniq below metadata/"
        )
    folder = next((root / name for name in ("1024x768", "512x384") if (root / name).is_dir()), None)
    if folder is None:
        raise DataSetError(f"{root}: neither 1024x768 nor 512x384 is there")
    if table.name == plain:
        rows = _table(table, {"image_name", "MOS_zscore"})
        return split_by_content([Rated(folder / r["image_name"], float(r["MOS_zscore"]), r["image_name"]) for r in rows])
    rows = _table(table, {"image_name", "MOS", "set"})
    return [Rated(folder / r["image_name"], float(r["MOS"]), r["image_name"], _split(r["set"], table)) for r in rows]


def kadid10k(root: Path) -> list[Rated]:
    """KADID-10k: ``images/`` and ``dmos.csv`` (dist_img, ref_img, dmos). Opinion = (dmos - 1) x 25: 5 is the best there."""
    table = root / "dmos.csv"
    rows = _table(table, {"dist_img", "ref_img", "dmos"})
    return split_by_content([Rated(root / "images" / r["dist_img"], 25 * (float(r["dmos"]) - 1), r["ref_img"]) for r in rows])


def spaq(root: Path) -> list[Rated]:
    """SPAQ: ``TestImage/`` and ``Annotations/MOS and Image attribute scores.xlsx`` (Image name, MOS: 0-100 as they are)."""
    book = root / "Annotations" / "MOS and Image attribute scores.xlsx"
    rows = _sheet(book, None, {"Image name", "MOS"})
    names = [(str(row["Image name"]), float(row["MOS"])) for row in rows if row["Image name"] is not None]
    return split_by_content([Rated(root / "TestImage" / name, opinion, name) for name, opinion in names])


LIVE_FOLDERS = (("jp2k", 227), ("jpeg", 233), ("wn", 174), ("gblur", 174), ("fastfading", 174))


def live(root: Path) -> list[Rated]:
    """LIVE Image Quality, release 2: five folders of ``imgN.bmp``, ``dmos_realigned.mat`` and ``refnames_all.mat``.

    Entries that ``orgs`` marks are copies of the references and are left out. Opinion = 100 - DMOS, cut at 0 (the worst DMOS
    exceed 100). ``dmos.mat`` is read where the realigned file is absent.
    """
    realigned = root / "dmos_realigned.mat"
    file, key = (realigned, "dmos_new") if realigned.is_file() else (root / "dmos.mat", "dmos")
    scores, copies = _matlab(file, key), _matlab(file, "orgs")
    references = _matlab(root / "refnames_all.mat", "refnames_all")
    paths = [root / folder / f"img{index}.bmp" for folder, count in LIVE_FOLDERS for index in range(1, count + 1)]
    if not len(paths) == len(scores) == len(copies) == len(references):
        raise DataSetError(f"{file}: {len(scores)} scores for {len(paths)} pictures and {len(references)} references")
    rated = [
        Rated(path, float(np.clip(100.0 - float(score), 0, 100)), str(np.ravel(reference)[0]))
        for path, score, copy, reference in zip(paths, scores, copies, references, strict=True)
        if not copy
    ]
    return split_by_content(rated)


def tid2013(root: Path) -> list[Rated]:
    """TID2013: ``distorted_images/`` and ``mos_with_names.txt`` (score and file a line). Opinion = MOS (0-9) x 100 / 9.

    File names differ in case between the list and the folder (``i25_01_1.bmp``, ``I25_01_1.BMP``); case is ignored.
    """
    table, folder = root / "mos_with_names.txt", root / "distorted_images"
    if not folder.is_dir():
        raise DataSetError(f"{folder} is missing")
    there = {path.name.lower(): path for path in folder.iterdir()}
    rated = []
    for number, line in enumerate(_text(table).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            score, name = line.split()
            rated.append(Rated(there[name.lower()], float(score) * 100 / 9, name[:3].upper()))
        except (KeyError, ValueError) as error:
            raise DataSetError(f"{table}:{number}: wants a score and a file of {folder.name}, not {line!r}") from error
    return split_by_content(rated)


CSIQ_KINDS = {
    "noise": ("awgn", "AWGN"),
    "blur": ("blur", "BLUR"),
    "contrast": ("contrast", "contrast"),
    "fnoise": ("fnoise", "fnoise"),
    "jpeg": ("jpeg", "JPEG"),
    "jpeg 2000": ("jpeg2000", "jpeg2000"),
}


def csiq(root: Path) -> list[Rated]:
    """CSIQ: ``dst_imgs/KIND/NAME.KIND.LEVEL.png``, sheet ``all_by_image`` of ``csiq.DMOS.xlsx``. Opinion = 100 (1 - DMOS)."""
    book = root / "csiq.DMOS.xlsx"
    rated = []
    for value in _sheet(book, "all_by_image", {"image", "dmos"}):
        if value["image"] is None:
            continue
        if value["dst_type"] not in CSIQ_KINDS:
            raise DataSetError(f"{book}: unknown dst_type {value['dst_type']!r}")
        folder, token = CSIQ_KINDS[value["dst_type"]]
        path = root / "dst_imgs" / folder / f"{value['image']}.{token}.{int(value['dst_lev'])}.png"
        rated.append(Rated(path, 100 * (1 - float(value["dmos"])), str(value["image"])))
    return split_by_content(rated)


LOADERS: dict[str, Callable[[Path], list[Rated]]] = {
    "clive": clive,
    "koniq10k": koniq10k,
    "live": live,
    "tid2013": tid2013,
    "csiq": csiq,
    "kadid10k": kadid10k,
    "spaq": spaq,
}


def load_rated(name: str, root: Path) -> list[Rated]:
    """All rated pictures of data set ``name`` (a key of ``LOADERS``) in ``root``.

    Raises:
        DataSetError: the name is unknown, a file is missing or not as published.

    """
    if name not in LOADERS:
        raise DataSetError(f"no data set {name!r}; there are: {', '.join(LOADERS)}")
    rated = LOADERS[name](root)
    absent = next((r.path for r in rated if not r.path.is_file()), None)
    if absent or not rated:
        raise DataSetError(f"{absent} is missing" if absent else f"{root} holds no rated pictures")
    return rated


def split_by_content(rated: Sequence[Rated], seed: int = 0, share: float = 0.2) -> list[Rated]:
    """``rated`` with ``share`` of its contents (at least one) in val and the others in train."""
    contents = sorted({r.content for r in rated})
    chosen = np.random.default_rng(seed).permutation(len(contents))[: max(1, round(share * len(contents)))]
    held = {contents[int(index)] for index in chosen}
    return [replace(r, split="val" if r.content in held else "train") for r in rated]


def folds(rated: Sequence[Rated], fold: int, count: int, seed: int = 0) -> list[Rated]:
    """``rated`` split anew for cross-validation: part ``fold`` (from 0) of ``count`` is val, by content, all else train."""
    contents = sorted({r.content for r in rated})
    order = np.random.default_rng(seed).permutation(len(contents))
    held = {contents[int(index)] for index in order[fold::count]}
    return [replace(r, split="val" if r.content in held else "train") for r in rated]


def parse_fold(text: str) -> tuple[int, int]:
    """``K/N`` as people write it (K from 1) as ``folds`` takes it.

    Raises:
        ValueError: it is something else.

    """
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]) or int(match[2]) < 2:
        raise ValueError(f"{text!r} is not K/N with K from 1 to N")
    return int(match[1]) - 1, int(match[2])


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataSetError(f"{path} cannot be read: {error.strerror}") from error


def _table(path: Path, columns: set[str]) -> list[dict[str, str]]:
    reader = csv.DictReader(_text(path).splitlines())
    if not columns <= set(reader.fieldnames or ()):
        raise DataSetError(f"{path}: wants columns {', '.join(sorted(columns))}")
    return list(reader)


def _sheet(book: Path, name: str | None, columns: set[str]) -> Iterator[dict[str, Any]]:
    """Rows of the sheet ``name`` (the first, if ``None``) below the header, the first row that has ``columns``."""
    import openpyxl

    if not book.is_file():
        raise DataSetError(f"{book} is missing")
    opened = openpyxl.load_workbook(book, read_only=True, data_only=True)
    rows = iter([list(row) for row in opened[name or opened.sheetnames[0]].iter_rows(values_only=True)])
    header = next((row for row in rows if columns <= set(row)), None)
    if header is None:
        raise DataSetError(f"{book}: no header with {', '.join(sorted(columns))}")
    for row in rows:
        yield {str(key): cell for key, cell in zip(header, row, strict=False) if key}


def _split(name: str, path: Path) -> Split:
    known: dict[str, Split] = {
        "train": "train",
        "training": "train",
        "val": "val",
        "validation": "val",
        "test": "test",
    }
    if name not in known:
        raise DataSetError(f"{path}: unknown split {name!r}")
    return known[name]


def _matlab(path: Path, key: str) -> NDArray[Any]:
    from scipy.io import loadmat

    try:
        return np.asarray(loadmat(str(path))[key]).ravel()
    except (OSError, KeyError, ValueError) as error:
        raise DataSetError(f"{path}: no variable {key!r} can be read") from error


def _paired(names: Iterable[Any], scores: Iterable[Any], root: Path) -> list[tuple[Any, Any]]:
    try:
        return list(zip(names, scores, strict=True))
    except ValueError as error:
        raise DataSetError(f"{root}: the lists of pictures and of scores differ in length") from error
