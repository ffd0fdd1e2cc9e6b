"""Judges files without Kafka, by the same path as the worker."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from worker.contracts.events import ImageUploaded
from worker.contracts.verdicts import QualityVerdict
from worker.cpu import cpu_quota
from worker.errors import IqaError
from worker.intake.sources import read_file
from worker.loading import make_assessors
from worker.pipeline import Pipeline
from worker.settings import Settings

__all__ = ["common_folder", "find_files", "score_files"]


def find_files(paths: Iterable[Path]) -> Iterator[Path]:
    """Files as given, and all files below folders in the order of their names.

    Raises:
        FileNotFoundError: a path does not exist; raised before anything is yielded.

    """
    chosen = list(paths)
    for path in chosen:
        if not path.exists():
            if re.match(r"[a-z0-9]+:/", str(path)):
                raise FileNotFoundError(f"{path} is a URL: files alone are judged here; `iqa send` takes URLs")
            raise FileNotFoundError(f"{path} does not exist")
    return (file for path in chosen for file in (_below(path) if path.is_dir() else [path]))


def common_folder(files: Iterable[Path]) -> str:
    """The folder that all files lie in or below; empty if there is none, as of absolute paths beside relative ones."""
    try:
        found = os.path.commonpath([file.parent for file in files])
    except ValueError:
        return ""
    return "" if found in {".", os.sep} else found


def score_files(files: Iterable[Path], settings: Settings, service: str | None = None) -> Iterator[QualityVerdict]:
    """One verdict per file, in the order of ``files``, on all cores that may be used; few files are held at a time.

    Raises:
        EngineError, ProfileError: engines or profile cannot be used; raised before anything is yielded.
        IqaError: no profile is for ``service``; raised likewise.

    """
    assessors = make_assessors(settings)
    # An event of an unknown service is judged by the default; a person who names one has misspelt it.
    if not assessors.knows(service):
        raise IqaError(f"--service: no profile is for {service!r}; there are: {', '.join(assessors.services)}")
    pipeline = Pipeline(lambda name: read_file(Path(name), settings.fetch.max_bytes), assessors)
    return _judge((_event(file, service) for file in files), pipeline, settings.worker.cpu_slots or cpu_quota())


def _judge(events: Iterable[ImageUploaded], pipeline: Pipeline, workers: int) -> Iterator[QualityVerdict]:
    waiting: deque[Future[QualityVerdict]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="score") as pool:
        for event in events:
            waiting.append(pool.submit(pipeline.judge, event))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _below(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder, onerror=_refuse):
        folders.sort()
        yield from (Path(root) / name for name in sorted(names))


def _refuse(error: OSError) -> None:
    # Passed over, its files would be missing among the answers, and nobody would know.
    raise error


def _event(file: Path, service: str | None) -> ImageUploaded:
    # A file's name may hold what an event's may not; it is shown as well as it can be, and read as it is.
    shown = os.fsencode(file).decode("utf-8", "replace")
    return ImageUploaded.model_construct(
        event_id=f"file:{shown}",
        image_id=shown,
        url=str(file),
        uploaded_at=datetime.now(UTC),
        service=service,
        sha256=None,
        metadata={},
    )
