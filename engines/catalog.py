"""Manifests: what an engine is, where its file lies, and how to feed it.

Files of engines that ship lie in ``engines/weights``; others are fetched into a directory of the user's. A file whose
SHA-256 differs from its manifest's is never loaded.
"""

from __future__ import annotations

import hashlib
import json
import re
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from engines.errors import EngineError, EngineMissingError, ManifestError

__all__ = [
    "DetectionInput",
    "Golden",
    "Manifest",
    "QualityInput",
    "RecognitionInput",
    "Source",
    "check_own_name",
    "expanded",
    "file_sha256",
    "load_manifest",
    "manifest_names",
    "shipped_weights",
    "verified_file",
    "write_manifest",
]

NAME = r"^[a-z0-9][a-z0-9-]*$"
Triple = tuple[float, float, float]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class QualityInput(_Strict):
    """Whole pictures, and what becomes of the network's output.

    ``policy`` names the version of ``engines.preprocess.quality_input``, ``longest_side`` (pixels) is its size. ``scale``
    turns outputs into opinion scores: points (output, score) of a piecewise linear, rising mapping from (0, 0) to (100, 100);
    without points the output is the score.

    ``kinds`` names the columns that follow the score in the network's output, probabilities that sum to 1, of an engine that
    also says what kind of picture it sees; one more column is the probability that the picture is ruined, whatever its kind.
    With ``text`` one more is the probability that a text detector would find text. Below ``text_below`` there is none, as far
    as anybody's verdict goes: so it was measured (the model card says on what).
    """

    kind: Literal["quality"]
    policy: str
    longest_side: int = Field(default=384, ge=64)
    scale: tuple[tuple[float, float], ...] = ()
    kinds: tuple[str, ...] = ()
    text: bool = False
    text_below: float = Field(default=0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _text_beside_kinds(self) -> QualityInput:
        if (self.text and not self.kinds) or (self.text_below and not self.text):
            raise ValueError("text needs kinds, and text_below needs text")
        return self

    @field_validator("scale")
    @classmethod
    def _rises(cls, points: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
        if not points:
            return points
        steps = pairwise(points)
        if points[0] != (0, 0) or points[-1] != (100, 100) or not all(a < c and b < d for (a, b), (c, d) in steps):
            raise ValueError("scale must rise in both columns, from (0, 0) to (100, 100)")
        return points


class DetectionInput(_Strict):
    """A DB text detector: its input (N x 3 x H x W, normalised) and the thresholds of its post-processing.

    Pictures are scaled, ratio kept, until the longest side is at most ``longest_side`` and, if given, the shortest at most
    ``shortest_side``; small ones are enlarged only if ``enlarge`` says so. ``interpolation`` is how they are shrunk.

    ``region`` is what the paper's offset is computed from: the contour's smallest rectangle, or (MMOCR) the contour itself,
    simplified by ``epsilon_ratio`` of its length. ``min_side`` bounds the rectangle before it is grown, the contour's after.
    ``unclip_ratio`` grows regions for reading, ``extent_ratio`` for measuring area; both are the ratio of the paper's formula.
    """

    kind: Literal["text_detection"]
    colour: Literal["RGB", "BGR"]
    mean: Triple
    std: Triple
    longest_side: int = Field(ge=32)
    shortest_side: int | None = Field(default=None, ge=32)
    enlarge: bool = False
    interpolation: Literal["area", "linear"] = "area"
    multiple: int = Field(default=32, ge=1)
    region: Literal["rectangle", "contour"] = "rectangle"
    epsilon_ratio: float = Field(default=0.01, gt=0)
    mask_threshold: float = Field(gt=0, lt=1)
    min_score: float = Field(gt=0, lt=1)
    unclip_ratio: float = Field(gt=0)
    extent_ratio: float = Field(gt=0)
    min_side: float = Field(ge=1)
    max_candidates: int = Field(ge=1)


class RecognitionInput(_Strict):
    """A CTC recogniser: line height, widest line in pixels at that height, and where its characters come from.

    ``fit`` says how widths become multiples: zeros on the right, or (MMOCR) stretching. ``blank`` is the blank's place among
    the classes; ``space`` whether a class for the space follows the dictionary.
    """

    kind: Literal["text_recognition"]
    colour: Literal["RGB", "BGR", "GREY"]
    mean: Triple
    std: Triple
    height: int = Field(ge=8)
    min_width: int = Field(ge=8)
    max_width: int = Field(ge=32)
    multiple: int = Field(default=8, ge=1)
    fit: Literal["pad", "stretch"] = "pad"
    interpolation: Literal["area", "linear"] = "area"
    blank: Literal["first", "last"] = "first"
    space: bool = True
    dictionary_metadata: str
    min_confidence: float = Field(ge=0, le=1)


class Golden(_Strict):
    """A picture in ``engines/weights/golden`` and what the engine answered to it when it was recorded."""

    picture: str
    score: float | None = None
    boxes: int | None = None
    text_area: float | None = None
    text: str | None = None
    text_seen: float | None = Field(default=None, description="Probability of text, from quality engines that say it.")
    photo: float | None = Field(default=None, description="Probability that it is a photo, from engines that tell kinds.")
    ruined: float | None = None
    tolerance: float = Field(default=0, ge=0)


class Source(_Strict):
    """A file inside a wheel on the package index."""

    requirement: str
    member: str


class Manifest(_Strict):
    """Everything a worker, or a person, must know about one engine."""

    name: str = Field(pattern=NAME)
    version: int = Field(ge=1)
    file: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    source: Source | None = None
    imported: bool = False
    input: Annotated[QualityInput | DetectionInput | RecognitionInput, Field(discriminator="kind")]
    output: str
    training_data: str
    measures: dict[str, float | str] = {}
    licence: str
    golden: tuple[Golden, ...] = Field(min_length=1)

    @property
    def label(self) -> str:
        """Name and version, as verdicts carry it: ``hyperiqa-r18@1``."""
        return f"{self.name}@{self.version}"

    @property
    def digest(self) -> str:
        """SHA-256 over what decides answers: the file and how it is fed."""
        body = {"label": self.label, "sha256": self.sha256, "input": self.input.model_dump(mode="json")}
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def expanded(directory: Path) -> Path:
    """``directory`` with the home directory for ``~``.

    Raises:
        EngineError: there is none, as for users whom the machine does not know.

    """
    try:
        return directory.expanduser()
    except RuntimeError as error:
        raise EngineError(f"{directory}: this user has no home directory; set IQA_ENGINES__DIRECTORY") from error


def manifest_names(directory: Path | None = None) -> list[str]:
    """Names of all engines that have a manifest: those that ship, and those that were imported into ``directory``."""
    return sorted(_manifests(directory))


def _manifests(directory: Path | None) -> dict[str, Path]:
    folders = [expanded(directory)] if directory else []
    # What ships comes last: an imported engine cannot take its name.
    folders.append(Path(str(resources.files("engines") / "manifests")))
    try:
        return {file.stem: file for folder in folders if folder.is_dir() for file in folder.glob("*.yaml")}
    except OSError as error:
        raise EngineError(f"{error.filename}: {error.strerror}; IQA_ENGINES__DIRECTORY must be a folder to read") from error


def load_manifest(name: str, directory: Path | None = None) -> Manifest:
    """The manifest of engine ``name``, shipped or imported into ``directory``.

    Raises:
        ManifestError: there is none of that name, or a field is missing, unknown or out of range.

    """
    files = _manifests(directory)
    if name not in files:
        raise ManifestError(f"no engine {name!r}; there are: {', '.join(sorted(files))}")
    try:
        return Manifest.model_validate(yaml.safe_load(files[name].read_text(encoding="utf-8")))
    except (yaml.YAMLError, ValidationError) as error:
        raise ManifestError(f"manifest of engine {name}: {' '.join(str(error).split())}") from error


def check_own_name(name: str) -> None:
    """Refuse what an engine of a user's own cannot be called.

    Raises:
        ManifestError: an engine that ships is called so, or it is no name.

    """
    if name in manifest_names():
        raise ManifestError(f"an engine that ships is called {name!r}; choose another --name")
    if not re.fullmatch(NAME, name):
        raise ManifestError(f"{name!r} is no name of an engine: lower-case letters, digits and hyphens; choose another --name")


def write_manifest(manifest: Manifest, directory: Path) -> None:
    """Write ``NAME.yaml`` into ``directory``; the engine is there from then on."""
    body = manifest.model_dump(mode="json", exclude_defaults=True)
    text = yaml.safe_dump(body, sort_keys=False, allow_unicode=True)
    (directory / f"{manifest.name}.yaml").write_text(text, encoding="utf-8")


def shipped_weights() -> Path:
    """The folder of weights that ship with the package."""
    return Path(str(resources.files("engines") / "weights"))


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verified_file(manifest: Manifest, directory: Path) -> Path:
    """Where the engine's file lies: shipped, or fetched or imported into ``directory``; its hash has been checked.

    Raises:
        EngineMissingError: it is absent, or its hash is not the manifest's.

    """
    path = (directory if manifest.source or manifest.imported else shipped_weights()) / manifest.file
    if not path.is_file():
        raise EngineMissingError(f"engine {manifest.label}: {path} is missing; run `iqa engines fetch`")
    if file_sha256(path) != manifest.sha256:
        raise EngineMissingError(f"engine {manifest.label}: {path} is not the file of the manifest; run `iqa engines fetch`")
    return path
