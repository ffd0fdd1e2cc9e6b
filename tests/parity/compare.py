"""Whether this project answers as MMOCR did: ``python -m tests.parity.compare FOLDER``; exit code 1 if not."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.catalog import load_manifest
from engines.models.mmocr import import_checkpoint
from engines.runtime.onnx import OnnxRuntime
from engines.text_detection import TextDetector
from engines.text_recognition import TextRecogniser
from tests.parity.boxes import worst_corner

WITHIN, PIXELS = 1e-4, 1.0


class Recorded:
    """A network that keeps its last output."""

    def __init__(self, path: Path) -> None:
        self._network = OnnxRuntime().load(path)
        self.metadata = self._network.metadata
        self.last: NDArray[np.float32] = np.empty(0, np.float32)

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        self.last = self._network.run(batch)
        return self.last


def rgb(path: Path) -> NDArray[np.uint8]:
    return np.ascontiguousarray(np.asarray(cv2.imread(str(path)), dtype=np.uint8)[:, :, ::-1])


def main(folder: Path) -> bool:
    """Print the largest differences; true if all are within bounds."""
    answers = json.loads((folder / "reference" / "answers.json").read_text())
    engines = folder / "engines"
    import_checkpoint("dbnet", folder / "dbnet.pth", None, None, engines)
    import_checkpoint("crnn", folder / "crnn.pth", None, None, engines)
    manifest = load_manifest("mmocr-dbnet-r18", engines)
    detector = TextDetector(manifest, OnnxRuntime().load(engines / manifest.file))
    maps, corners, boxes = list[float](), list[float](), 0
    for name, theirs in answers["boxes"].items():
        picture = rgb(folder / "pictures" / f"{name}.png")
        reference = np.load(folder / "reference" / f"map-{name}.npy")
        maps.append(float(np.abs(detector.probability_map(picture) - reference).max()))
        corners.append(worst_corner([region.reading for region in detector.detect(picture)], theirs))
        boxes += len(theirs)
    manifest = load_manifest("mmocr-crnn", engines)
    network = Recorded(engines / manifest.file)
    recogniser = TextRecogniser(manifest, network)
    sequences, wrong = list[float](), list[tuple[str, str]]()
    for name, text in answers["text"].items():
        ours = recogniser.read_line(rgb(folder / "lines" / f"{name}.png")).text
        reference = np.load(folder / "reference" / f"sequence-{name}.npy")
        same = network.last.shape[1:] == reference.shape
        sequences.append(float(np.abs(network.last[0] - reference).max()) if same else float("inf"))
        wrong += [(ours, text)] if ours != text else []
    print(f"probability maps, {len(maps)} pictures: largest difference {max(maps):.1e} (allowed {WITHIN:.0e})")
    print(f"boxes, {boxes}: farthest corner {max(corners):.2f} px (allowed {PIXELS})")
    print(f"sequences, {len(sequences)} lines: largest difference {max(sequences):.1e} (allowed {WITHIN:.0e})")
    letters = sum(map(len, answers["text"].values()))
    print(f"decoded text, {letters} letters: {len(wrong)} lines differ {wrong[:3] or ''}")
    within = max(maps) <= WITHIN and max(sequences) <= WITHIN and max(corners) <= PIXELS
    # Nothing found is nothing shown.
    return within and not wrong and boxes > 0 and letters > 0


if __name__ == "__main__":
    sys.exit(0 if main(Path(sys.argv[1])) else 1)
