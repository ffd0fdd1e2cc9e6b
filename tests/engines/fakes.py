"""Networks that answer what a test tells them to."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from engines.catalog import Manifest, QualityInput, load_manifest

Array = NDArray[np.float32]


class FakeNetwork:
    """Answers with ``answer(batch)`` and remembers the shapes it was given."""

    def __init__(self, answer: Callable[[Array], Array], metadata: Mapping[str, str] | None = None) -> None:
        self._answer = answer
        self._metadata = dict(metadata or {})
        self.shapes: list[tuple[int, ...]] = []

    @property
    def metadata(self) -> Mapping[str, str]:
        return self._metadata

    def run(self, batch: Array) -> Array:
        self.shapes.append(batch.shape)
        return self._answer(batch)


DETECTION: Manifest = load_manifest("ppocrv6-small-det")
RECOGNITION: Manifest = load_manifest("ppocrv6-small-rec")


def _without_scale(manifest: Manifest) -> Manifest:
    """What the network answers is the score: doubles answer with scores."""
    assert isinstance(manifest.input, QualityInput)
    return manifest.model_copy(update={"input": manifest.input.model_copy(update={"scale": ()})})


QUALITY: Manifest = _without_scale(load_manifest("hyperiqa-lite0"))
