"""Networks that answer what a test tells them to."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from engines.catalog import Manifest, QualityInput, load_manifest
from engines.kinds import Kind

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


def quality_manifest(*kinds: Kind) -> Manifest:
    """The shipped engine's, without a scale: what the network answers is the score, and after it ``kinds`` and ruin."""
    shipped = load_manifest("hyperiqa-lite0")
    assert isinstance(shipped.input, QualityInput)
    golden = tuple(each.model_copy(update={"photo": None, "ruined": None}) for each in shipped.golden)
    limits = shipped.input.model_copy(update={"scale": (), "kinds": kinds, "text": False, "text_below": 0.0})
    return shipped.model_copy(update={"input": limits, "golden": golden})


QUALITY: Manifest = quality_manifest()
