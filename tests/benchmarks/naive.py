"""The script a user would write instead: consume, fetch, hyperIQA as its authors' demo runs it, RapidOCR, write to Redis.

``naive_script`` runs in an environment of its own (``.venv-naive``), since RapidOCR wants another OpenCV. It judges the files
that it is told on standard input. Weights of hyperIQA are random: what they are worth costs nothing. The authors' demo takes
ten random crops of 224 x 224 of a picture of 512 x 384, on ResNet-50. Kafka, fetching and Redis are left out, in its favour.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.mix import Upload

__all__ = ["NaiveRun", "naive_run"]

PYTHON = Path(".venv-naive/bin/python")
SCRIPT = Path(__file__).with_name("naive_script.py")


@dataclass(frozen=True)
class NaiveRun:
    """Core-milliseconds a picture, over so many."""

    pictures: int
    core_ms: float


def naive_run(uploads: Sequence[Upload], cores: int) -> NaiveRun:
    """Judge ``uploads`` by the script.

    Raises:
        FileNotFoundError: its environment is not there: ``make .venv-naive/.installed``.

    """
    if not PYTHON.exists():
        raise FileNotFoundError("the script's environment is not there: make .venv-naive/.installed")
    names = "\n".join(str(upload.path.resolve()) for upload in uploads)
    environment = {**os.environ, "OMP_NUM_THREADS": str(cores)}
    done = subprocess.run(
        [str(PYTHON), str(SCRIPT)], input=names, env=environment, check=True, capture_output=True, text=True, timeout=3600
    )
    told = json.loads(done.stdout.splitlines()[-1])
    return NaiveRun(len(uploads), round(1000 * told["core_seconds"] / len(uploads), 1))
