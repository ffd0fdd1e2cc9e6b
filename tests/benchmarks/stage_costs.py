"""Core-milliseconds of every stage over a mix of pictures, beside what the machine's peak would allow.

One picture after the other, in one process with one decoding child, as a worker does it: processor time of all threads and of
the child, so that what runs beside it on the machine counts little.
"""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.catalog import Manifest, expanded, verified_file
from tests.benchmarks.machine import Machine, descendants
from tests.benchmarks.mix import Upload
from tests.benchmarks.operations import operations
from worker.assessor import Assessor
from worker.errors import PictureError
from worker.intake.header import SCALED_LONGEST
from worker.intake.isolation import DecoderPool
from worker.loading import make_assessors
from worker.settings import Settings
from worker.stopwatch import Stopwatch

__all__ = ["Costs", "StageCost", "stage_costs"]

COPIES = 3
"""Times that decoding must at least pass over the pixels: coefficients, planes, what is handed over."""


@dataclass
class StageCost:
    """Of one stage, per picture of the mix: core-ms, of them inference, the share of pictures that met it, and its floor."""

    core_ms: float = 0.0
    inference_ms: float = 0.0
    share: float = 0.0
    floor_ms: float = 0.0


@dataclass
class Costs:
    """Of a whole mix."""

    stages: dict[str, StageCost] = field(default_factory=lambda: defaultdict(StageCost))
    categories: dict[str, float] = field(default_factory=dict)
    core_ms: float = 0.0
    inference_share: float = 0.0
    runtime: str = ""


class _Timed:
    """A network that notes what its calls cost, and of what shape they were."""

    def __init__(self, network: Any, file: Path) -> None:
        self._network = network
        self.file = file
        self.seconds = 0.0
        self.shapes = Counter[tuple[int, ...]]()

    @property
    def metadata(self) -> Any:
        return self._network.metadata

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        began = time.process_time()
        answer: NDArray[np.float32] = self._network.run(batch)
        self.seconds += time.process_time() - began
        self.shapes[batch.shape] += 1
        return answer


class _CoreStopwatch(Stopwatch):
    """Processor time in place of wall-clock time; decoding with its child's."""

    def __init__(self, costs: Costs, child: int) -> None:
        super().__init__()
        self._costs, self._child = costs, child

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        began = time.process_time() + _of_process(self._child)
        try:
            yield
        finally:
            self._costs.stages[name].core_ms += 1000 * (time.process_time() + _of_process(self._child) - began)
            self._costs.stages[name].share += 1


def stage_costs(uploads: Sequence[Upload], settings: Settings, machine: Machine) -> Costs:
    """Judge every upload once, after a few to warm up."""
    costs, seen = Costs(), Counter[str]()
    before = set(descendants(os.getpid()))
    with closing(DecoderPool(1, settings.decode.timeout_s, settings.decode.memory_bytes)) as pool:
        (child,) = set(descendants(os.getpid())) - before
        assessor = make_assessors(settings, decode=pool.decode).default
        networks = _timed(assessor, settings)
        for upload in uploads[:4]:
            _assess(assessor, upload, Stopwatch())
        for timed in networks.values():
            timed.seconds, timed.shapes = 0.0, Counter()
        began = time.process_time() + _of_process(child)
        for upload in uploads:
            seen[_assess(assessor, upload, _CoreStopwatch(costs, child))] += 1
        costs.core_ms = 1000 * (time.process_time() + _of_process(child) - began) / len(uploads)
        costs.categories = {name: round(number / len(uploads), 3) for name, number in sorted(seen.items())}
        costs.runtime = assessor.engines.runtime_label
    _divide(costs, uploads, networks, machine)
    return costs


def _assess(assessor: Assessor, upload: Upload, watch: Stopwatch) -> str:
    try:
        return str(assessor.assess(upload.path.read_bytes(), watch).category)
    except PictureError as error:
        return error.code


def _timed(assessor: Assessor, settings: Settings) -> dict[str, _Timed]:
    engines, directory = assessor.engines, expanded(settings.engines.directory)

    def wrap(owner: Any, manifest: Manifest) -> _Timed:
        owner._network = _Timed(owner._network, verified_file(manifest, directory))
        return owner._network  # type: ignore[no-any-return]

    found = {f"quality {member.manifest.name}": wrap(member, member.manifest) for member in engines.quality.members}
    found["text_detection"] = wrap(engines.text_detection, engines.text_detection.manifest)
    found["text_recognition"] = wrap(engines.text_recognition, engines.text_recognition.manifest)
    return found


def _divide(costs: Costs, uploads: Sequence[Upload], networks: dict[str, _Timed], machine: Machine) -> None:
    """Totals to figures per picture; what no stage claims is ``other``."""
    count, inference = len(uploads), 0.0
    for name, timed in networks.items():
        stage = costs.stages[name.partition(" ")[0]]
        stage.inference_ms += 1000 * timed.seconds
        inference += 1000 * timed.seconds
        done = sum(times * operations(timed.file, shape) for shape, times in timed.shapes.items())
        stage.floor_ms += done / machine.gflops / 1e6
    pixels = sum(min(upload.width * upload.height, (2 * SCALED_LONGEST) ** 2) for upload in uploads)
    costs.stages["decode"].floor_ms = COPIES * pixels * 3 / machine.copy_gbs / 1e6
    for stage in costs.stages.values():
        for figure in ("core_ms", "inference_ms", "floor_ms", "share"):
            setattr(stage, figure, getattr(stage, figure) / count)
    claimed = sum(stage.core_ms for stage in costs.stages.values())
    costs.stages["other"] = StageCost(core_ms=costs.core_ms - claimed, share=1.0)
    costs.inference_share = inference / count / costs.core_ms
    costs.stages = dict(costs.stages)


def _of_process(pid: int) -> float:
    """Processor seconds of another process, to the nanosecond."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9
