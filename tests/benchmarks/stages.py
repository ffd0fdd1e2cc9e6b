"""Core-milliseconds per stage of one picture, beside a fixed piece of arithmetic measured in the same run.

``make bench-stages`` prints it. Machines are shared and differ: compare the ratios, not the milliseconds. Every figure is the
least process-CPU time of several rounds, in which all stages take turns.
"""

from __future__ import annotations

import io
import logging
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import structlog
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from rich.table import Table

from calibration.background import measure_background
from engines.preprocess import fit_longest
from engines.verify import golden_picture
from tests.pictures import encode
from worker.errors import FetchFailedError
from worker.intake.decode import decode
from worker.intake.sources import Fetcher
from worker.loading import make_assessors
from worker.memory import return_large_blocks
from worker.settings import FetchSettings, Settings
from worker.stopwatch import Stopwatch
from worker.telemetry.logs import configure_logs

ROUNDS = 12
LINES = ["today's special", "soup, bread and coffee", "eat in or take away", "open until nine"]


def failing_fetch() -> FetchFailedError:
    """A host that refuses: the error with its causes, from deep within the HTTP client."""
    try:
        Fetcher(FetchSettings.model_validate({"allow_networks": "127.0.0.0/8", "attempts": 1})).fetch(
            "http://127.0.0.1:1/a.jpg"
        )
    except FetchFailedError as error:
        return error
    raise AssertionError


def stages() -> dict[str, Callable[[], Any]]:
    """What one picture costs, stage by stage, on a 1280 x 960 JPEG."""
    assessor = make_assessors(Settings()).default
    engines = assessor.engines
    # A sharp photo: on one that is low already nobody would look for text.
    photo = Image.fromarray(golden_picture("quality_sharp.png")).resize((1280, 960), Image.Resampling.LANCZOS)
    data = encode(photo, quality=90)
    for row, line in enumerate(LINES):
        ImageDraw.Draw(photo).text((60, 60 + 90 * row), line, font=ImageFont.load_default(56), fill="white")
    text = encode(photo, quality=90)
    picture, written = decode(data, 50_000_000), decode(text, 50_000_000)
    small = fit_longest(picture.pixels, engines.quality.longest_side)
    spotted = engines.text.locate(written.pixels)
    configure_logs("info")
    (handler,) = logging.getLogger().handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(io.StringIO())
    log, failure = structlog.get_logger(), failing_fetch()
    numbers = np.random.default_rng(0).random(500_000, dtype=np.float32)
    return {
        # No product of matrices: BLAS threads spin for a while after one, and the next stage would pay.
        "reference: 500,000 numbers sorted 20 times": lambda: [np.sort(numbers) for _ in range(20)],
        "decode": lambda: decode(data, 50_000_000),
        "quality": lambda: engines.quality.score(picture.pixels),
        "background": lambda: measure_background(small),
        "text detection": lambda: engines.text.locate(written.pixels),
        "text recognition, 4 lines": lambda: engines.text.read(written.pixels, spotted),
        "whole, photo": lambda: assessor.assess(data, Stopwatch()),
        "whole, photo with text": lambda: assessor.assess(text, Stopwatch()),
        "100 exceptions logged": lambda: [log.error("event_failed", exc_info=failure) for _ in range(100)],
    }


def measure() -> dict[str, float]:
    """Core-milliseconds of every stage."""
    work = stages()
    least = dict.fromkeys(work, float("inf"))
    for _ in range(ROUNDS):
        for name, run in work.items():
            began = time.process_time()
            run()
            least[name] = min(least[name], 1000 * (time.process_time() - began))
    return least


def main() -> None:
    """Measure and print, with memory as a worker has it."""
    return_large_blocks()
    figures = measure()
    reference = next(iter(figures.values()))
    table = Table("stage", "core-ms", "x reference")
    for name, value in figures.items():
        table.add_row(name, f"{value:.1f}", f"{value / reference:.2f}")
    console = Console()
    console.print(table)
    console.print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
