"""The engines that one worker uses together."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from engines.catalog import Manifest, expanded, load_manifest, verified_file
from engines.errors import ManifestError
from engines.quality import QualityEngine, QualityPanel, panel_names
from engines.runtime.base import Runtime
from engines.text_detection import TextDetector
from engines.text_recognition import TextRecogniser
from engines.text_spotting import SPOTTING, TextSpotter

__all__ = ["DEFAULT_DIRECTORY", "EngineNames", "EngineSet", "load_engines"]

DEFAULT_DIRECTORY = Path("~/.cache/iqa/engines")
"""Where fetched engines lie unless a setting says otherwise."""


@dataclass(frozen=True)
class EngineNames:
    """Which engine does which job; quality also by several names joined by ``+``."""

    quality: str = "hyperiqa-lite0"
    text_detection: str = "ppocrv6-small-det"
    text_recognition: str = "ppocrv6-small-rec"


@dataclass(frozen=True)
class EngineSet:
    """Engines of each kind, loaded."""

    quality: QualityPanel
    text_detection: TextDetector
    text_recognition: TextRecogniser
    runtime_label: str

    @property
    def text(self) -> TextSpotter:
        """Detector and recogniser working together."""
        return TextSpotter(self.text_detection, self.text_recognition)

    @property
    def labels(self) -> dict[str, str]:
        """Kind to name and version, as verdicts carry them."""
        return {
            "quality": self.quality.label,
            "text_detection": self.text_detection.manifest.label,
            "text_recognition": self.text_recognition.manifest.label,
        }

    @property
    def digests(self) -> dict[str, str]:
        """Kind to the digest of what answers there."""
        return {
            "quality": self.quality.digest,
            "text_detection": self.text_detection.manifest.digest,
            "text_recognition": self.text_recognition.manifest.digest,
        }

    @property
    def digest(self) -> str:
        """SHA-256 over everything about the engines that decides their answers, the runtime's version included."""
        parts = [self.runtime_label, SPOTTING, *self.digests.values()]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def load_engines(names: EngineNames, directory: Path, runtime: Runtime) -> EngineSet:
    """Load the named engines; files that do not ship are looked for in ``directory``.

    Raises:
        ManifestError: a name is unknown or of the wrong kind.
        EngineMissingError: a file is absent or not the one of its manifest.
        EngineError: the runtime cannot load a file.

    """
    directory = expanded(directory)
    judges = [_manifest(name, "IQA_ENGINES__QUALITY", directory) for name in panel_names(names.quality)]
    detection = _manifest(names.text_detection, "IQA_ENGINES__TEXT_DETECTION", directory)
    recognition = _manifest(names.text_recognition, "IQA_ENGINES__TEXT_RECOGNITION", directory)
    return EngineSet(
        quality=QualityPanel([QualityEngine(m, runtime.load(verified_file(m, directory), m)) for m in judges]),
        text_detection=TextDetector(detection, runtime.load(verified_file(detection, directory), detection)),
        text_recognition=TextRecogniser(recognition, runtime.load(verified_file(recognition, directory), recognition)),
        runtime_label=runtime.label,
    )


def _manifest(name: str, setting: str, directory: Path) -> Manifest:
    """The manifest of an engine that a setting names, which a refusal tells."""
    try:
        return load_manifest(name, directory)
    except ManifestError as error:
        raise ManifestError(f"{setting}: {error}") from error
