"""Verdicts as a table for people."""

from __future__ import annotations

from collections.abc import Iterable

from rich.markup import escape
from rich.table import Table

from worker.contracts.verdicts import QualityVerdict

__all__ = ["COLOURS", "verdict_table", "why"]

COLOURS = {"high": "green", "medium": "yellow", "low": "red", None: "magenta"}


def why(verdict: QualityVerdict) -> list[str]:
    """The reasons for a verdict, one sentence each."""
    if verdict.reason is not None:
        return [f"{verdict.reason.code}: {verdict.reason.detail}"]
    # The last sentence repeats category and score, which stand beside it.
    return verdict.explanation[:-1]


def verdict_table(verdicts: Iterable[QualityVerdict], folder: str = "") -> Table:
    """Image, category, raw and calibrated score, reasons; ``folder`` stands above the table instead of before every image."""
    table = Table("image", "category", "raw", "score", "reasons", title=escape(folder) or None)
    table.columns[0].overflow = "fold"
    for name in ("raw", "score"):
        next(column for column in table.columns if column.header == name).justify = "right"
    for verdict in verdicts:
        colour = COLOURS[verdict.category]
        table.add_row(
            escape(verdict.image_id.removeprefix(f"{folder}/") if folder else verdict.image_id),
            f"[{colour}]{verdict.category or verdict.status}",
            "" if verdict.raw_score is None else f"{verdict.raw_score:.1f}",
            "" if verdict.score is None else f"{verdict.score:.1f}",
            escape("\n".join(why(verdict))),
        )
    return table
