"""Where a benchmark's pictures come from, and which of them may be in the test split."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.errors import BenchmarkError

__all__ = ["ROLES", "SPLITS", "Role", "Source", "Split", "find_sources", "guess_roles", "load_rgba"]

Role = Literal["photos", "trained", "logos", "products", "opinions", "text"]
Split = Literal["validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
ROLES: dict[Role, str] = {
    "photos": "good photos that no engine was trained on",
    "trained": "good photos that the engine was trained on: only every eighth in name order is used, which `iqa engines train` "
    "never trains on",
    "logos": "logos, with or without an alpha channel",
    "products": "product shots on a plain colour",
    "opinions": "photos with opinion scores: labels.csv with file, mos and split; only those of split val are used",
    "text": "photos with boxes/NAME.csv (x, y, width, height, angle_radians), as MSRA-TD500 has them",
}
HOLD_OUT = 8
_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}


@dataclass(frozen=True)
class Source:
    """One picture file that benchmark pictures are made from; all of them go to its split.

    ``opinion`` is its mean opinion score (0-100), ``boxes`` the boxes around its text (each 4 corners of x and y, in pixels).
    """

    path: Path
    role: Role
    split: Split
    opinion: float | None = None
    boxes: tuple[tuple[tuple[float, float], ...], ...] = ()

    @property
    def name(self) -> str:
        """Folder and file, for people who look for a picture's origin."""
        return f"{self.path.parent.name}/{self.path.name}"


def guess_roles(folder: Path) -> list[tuple[Role, Path]]:
    """A folder of folders, each taken for what its name or contents say; a folder that holds pictures itself is of photos."""
    below = [child for child in sorted(folder.iterdir()) if child.is_dir()] if folder.is_dir() else []
    if not below or any(child.suffix.lower() in _SUFFIXES for child in folder.iterdir()):
        return [("photos", folder)]
    return [(role, child) for child in below if (role := _guess(child)) is not None]


def _guess(folder: Path) -> Role | None:
    if not any(path.suffix.lower() in _SUFFIXES for path in folder.rglob("*")):
        return None
    if (folder / "boxes").is_dir():
        return "text"
    if (folder / "labels.csv").is_file():
        return "opinions"
    return next((role for role in get_args(Role) if role == folder.name), "photos")


def find_sources(folders: Sequence[tuple[Role, Path]]) -> list[Source]:
    """Every picture in ``folders``, each with the split it belongs to.

    Raises:
        BenchmarkError: a folder is missing, holds no pictures, or its labels cannot be read; or there are no photos at all.

    """
    found: list[Source] = []
    for role, folder in folders:
        if not folder.is_dir():
            raise BenchmarkError(f"{role}: {folder} is no folder")
        readers = {"opinions": _opinions, "text": _text}
        here = readers[role](folder) if role in readers else _pictures(role, folder)
        if not here:
            raise BenchmarkError(f"{role}: {folder} holds no pictures ({', '.join(sorted(_SUFFIXES))})")
        found += here
    for split in ("validation", "test"):
        if not any(source.split == split for source in found if source.role in {"photos", "trained"}):
            raise BenchmarkError(f"there are too few ordinary photos: none for the {split} split")
    return found


def _pictures(role: Role, folder: Path) -> list[Source]:
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    if role == "trained":
        # What an engine was trained on tells nothing about it, neither to a test nor to a fit.
        paths = paths[::HOLD_OUT]
    return [Source(path, role, _half(path.name)) for path in paths]


def _text(folder: Path) -> list[Source]:
    return [
        Source(picture.path, "text", picture.split, boxes=_boxes(folder / "boxes" / f"{picture.path.stem}.csv"))
        for picture in _pictures("text", folder)
    ]


def _boxes(table: Path) -> tuple[tuple[tuple[float, float], ...], ...]:
    fields = ("x", "y", "width", "height", "angle_radians")
    try:
        with table.open(encoding="utf-8", newline="") as lines:
            rows = [[float(row[field]) for field in fields] for row in csv.DictReader(lines)]
    except (OSError, KeyError, ValueError) as error:
        raise BenchmarkError(f"text: {table} must have the columns {', '.join(fields)}: {error}") from error
    return tuple(_corners(*row) for row in rows)


def _corners(x: float, y: float, width: float, height: float, angle: float) -> tuple[tuple[float, float], ...]:
    # The box is given as it lies before it is turned about its centre.
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    square = np.array([[-width, -height], [width, -height], [width, height], [-width, height]]) / 2
    return tuple((float(px), float(py)) for px, py in square @ turn.T + np.array([x + width / 2, y + height / 2]))


def _half(name: str) -> Split:
    # By name, so that adding pictures moves no other one to the other side.
    return "test" if hashlib.sha256(name.encode()).digest()[0] % 2 else "validation"


def _opinions(folder: Path) -> list[Source]:
    table = folder / "labels.csv"
    try:
        with table.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines))
        return [
            Source(_beside(folder, row["file"]), "opinions", _half(row["file"]), float(row["mos"]))
            for row in rows
            if row["split"] != "train"
        ]
    except (OSError, KeyError, ValueError) as error:
        raise BenchmarkError(f"opinions: {table} must have the columns file, mos and split: {error}") from error


def _beside(folder: Path, name: str) -> Path:
    """The file itself, or in ``images/`` as LIVE Challenge's own layout has it."""
    return folder / name if (folder / name).is_file() else folder / "images" / name


def load_rgba(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A picture as RGB (H x W x 3, uint8) and its opacity (H x W, 0-1).

    Raises:
        BenchmarkError: it cannot be decoded.

    """
    raw = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if raw is None:
        raise BenchmarkError(f"{path} cannot be decoded as a picture")
    if raw.dtype != np.uint8:
        raw = np.asarray(raw // 257 if raw.dtype == np.uint16 else np.clip(raw * 255, 0, 255), dtype=np.uint8)
    if raw.ndim == 2:
        raw = cv2.cvtColor(raw, cv2.COLOR_GRAY2BGR)
    alpha = raw[:, :, 3].astype(np.float32) / 255 if raw.shape[2] == 4 else np.ones(raw.shape[:2], np.float32)
    return np.ascontiguousarray(raw[:, :, 2::-1], dtype=np.uint8), np.asarray(alpha, dtype=np.float32)
