"""What a run found, as a table, as lines, as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from tests.suites.compare import KINDS, TOLERANCE
from tests.suites.references import SIDE
from tests.suites.run import Record, Run

__all__ = ["as_json", "differs", "lines", "table"]

FAULTS = ("size", "pixels")
"""What both references agree on, and we see in another way."""
QUIET = ("same", "refused", "dark ground")


def differs(run: Run) -> bool:
    """Whether anything is wrong beyond doubt."""
    return bool(run.deaths) or any(record.finding.kind in FAULTS for record in run.records)


def table(run: Run) -> Iterator[str]:
    """One line a suite, and one for all."""
    counts = {name: Counter(record.finding.kind for record in run.records if record.suite == name) for name in run.names}
    counts["all"] = Counter(record.finding.kind for record in run.records)
    width = max(16, *(len(name) + 1 for name in counts))
    yield f"{'suite':{width}}{'files':>7}" + "".join(f"{kind:>14}" for kind in KINDS)
    for name, found in counts.items():
        yield f"{name:{width}}{found.total():7}" + "".join(f"{found[kind]:14}" for kind in KINDS)


def lines(run: Run, *, everything: bool = False) -> Iterator[str]:
    """The files that differ, or all, by kind; then what the words mean, and what the run took."""
    for kind in KINDS:
        if everything or kind not in QUIET:
            yield from (_line(record) for record in run.records if record.finding.kind == kind)
    yield ""
    yield from (f"{kind}: {meaning}" for kind, meaning in KINDS.items())
    yield f"pixels are the means of {SIDE} x {SIDE} parts, sRGB; {TOLERANCE:g} of 255 on average is no difference"
    slowest = max(run.records, key=lambda record: record.seconds, default=None)
    yield f"{run.deaths} decoding processes died; {run.seconds:.0f} s"
    if slowest:
        yield f"longest here: {slowest.seconds:.2f} s, {slowest.suite}/{slowest.file}"
    if run.memory:
        yield f"most memory of a decoding process: {run.memory / 1e6:.0f} MB, {run.memory_file}"


def as_json(run: Run) -> dict[str, Any]:
    """For another program, or to compare two runs."""
    return {
        "deaths": run.deaths, "seconds": run.seconds, "memory_bytes": run.memory, "memory_file": run.memory_file,
        "files": [
            {
                "suite": record.suite, "file": record.file, "kind": record.finding.kind, "told": record.finding.told,
                "seconds": round(record.seconds, 4),
            }
            for record in run.records
        ],
    }  # fmt: skip


def _line(record: Record) -> str:
    return f"{record.finding.kind:13} {record.suite}/{record.file}: {record.finding.told}"
