"""Takes readings of labelled pictures by the worker's own engines and decoder, and keeps them beside the labels."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import structlog

from calibration.background import MEASURE, measure_background
from calibration.labels import Label
from calibration.readings import Reading, append_reading, load_readings
from calibration.signals import TextLine
from engines.engine_set import EngineSet
from engines.preprocess import fit_longest
from engines.text_spotting import ReadLine, Spotted
from worker.assessor import kind_of
from worker.cpu import cpu_quota
from worker.errors import UnscorableError
from worker.intake.decode import DECODING, decode
from worker.intake.sources import read_file
from worker.loading import make_assessors
from worker.settings import Settings

__all__ = ["read_labelled", "readings_file"]

log = structlog.get_logger()


def readings_file(table: Path, engines: EngineSet, max_pixels: int, *, lazy: bool = True) -> Path:
    """Where readings of a table of labels are kept: another file for other engines, decoders or measures.

    ``lazy``: no text is looked for where the quality engine is sure that there is none, as workers do.
    """
    parts = (engines.digest, DECODING, MEASURE, str(max_pixels), "lazy" if lazy else "strict")
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
    folder = table if table.is_dir() else table.parent
    return folder / f".readings-{digest}.jsonl"


def read_labelled(
    table: Path, labels: Sequence[Label], settings: Settings, progress: Callable[[int, int], None] | None = None
) -> list[Reading]:
    """A reading for every label, in order; those of an earlier run with the same engines are not taken again.

    Raises:
        EngineError: engines cannot be used, or fail.
        FetchFailedError: a labelled file cannot be read.

    """
    engines = make_assessors(settings).default.engines
    lazy = settings.text == "lazy"
    kept = readings_file(table, engines, settings.decode.max_pixels, lazy=lazy)
    known, found = load_readings(kept), list[Reading]()

    def take(label: Label) -> tuple[Reading, bool]:
        data = read_file(label.file, settings.fetch.max_bytes)
        before = known.get(hashlib.sha256(data).hexdigest())
        return (before, False) if before else (_read(data, engines, settings.decode.max_pixels, lazy), True)

    writable = True
    with ThreadPoolExecutor(settings.worker.cpu_slots or cpu_quota(), thread_name_prefix="reading") as pool:
        for reading, new in pool.map(take, labels):
            found.append(reading)
            if new and writable:
                writable = _keep(kept, reading)
            if progress:
                progress(len(found), len(labels))
    return found


def _keep(path: Path, reading: Reading) -> bool:
    try:
        append_reading(path, reading)
    except OSError as error:
        log.warning("readings_not_kept", path=str(path), error=str(error))
        return False
    return True


def _read(data: bytes, engines: EngineSet, max_pixels: int, lazy: bool) -> Reading:
    sha256, costs = hashlib.sha256(data).hexdigest(), dict[str, float]()
    try:
        with _cost(costs, "decode"):
            picture = decode(data, max_pixels)
    except UnscorableError as error:
        return Reading(sha256=sha256, unscorable=error.code, costs=costs)
    with _cost(costs, "quality"):
        small = fit_longest(picture.pixels, engines.quality.longest_side)
        said = engines.quality.judge(small)
    with _cost(costs, "background"):
        background = measure_background(small)
    spotted, lines = Spotted(0.0, ()), list[ReadLine]()
    if not (said.textless and lazy):
        with _cost(costs, "text_detection"):
            spotted = engines.text.locate(picture.pixels)
        with _cost(costs, "text_recognition"):
            lines = engines.text.read(picture.pixels, spotted)
    return Reading(
        sha256=sha256,
        raw_score=said.score,
        width=picture.width,
        height=picture.height,
        background=background,
        kind=kind_of(said),
        text_area=spotted.area,
        lines=tuple(TextLine(line.text, line.height) for line in lines),
        costs=costs,
    )


@contextmanager
def _cost(costs: dict[str, float], stage: str) -> Iterator[None]:
    # As many at once as there are cores; a thread's own clock would miss runtimes with threads of their own.
    began = time.perf_counter()
    yield
    costs[stage] = round(1000 * (time.perf_counter() - began), 2)
