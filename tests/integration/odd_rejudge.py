"""``iqa`` with parts written often (``ODD_PART_S``), or with engines that fail (``ODD_ENGINES``)."""

from __future__ import annotations

import os
from typing import NoReturn

from engines.errors import EngineError
from worker.assessor import Assessor
from worker.cli import main
from worker.rejudge import job


def _fail(*_: object) -> NoReturn:
    raise EngineError("out of order, as the test wants it")


if __name__ == "__main__":
    job.PART_S = float(os.environ.get("ODD_PART_S", job.PART_S))
    if os.environ.get("ODD_ENGINES"):
        Assessor.assess = _fail  # type: ignore[method-assign, assignment]
    main()
