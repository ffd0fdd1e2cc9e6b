"""Evaluations and fits as tables for people."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from calibration.evaluate import Agreement, Evaluation, Shown
from calibration.fit import Fit
from calibration.metrics import CATEGORIES, Interval

__all__ = ["evaluation_tables", "fit_tables"]


def evaluation_tables(found: Evaluation) -> Iterator[Table]:
    """Summary, confusion, kinds, rules, and what else the labels allow to say."""
    yield _summary(found)
    yield _confusion(found.calibrated)
    kinds = _table("kind", "pictures", "raw", "calibrated", title="accuracy by kind")
    for name, kind in found.kinds.items():
        kinds.add_row(name, f"{kind.pictures}", _percent(kind.raw), _percent(kind.calibrated))
    yield kinds
    rules = _table("rule", "fired", "corrected", "spoilt", "alone", "left out", "ms", "ms, lazy", title="rules")
    for name, rule in found.rules.items():
        counts = (f"{value}" for value in (rule.fired, rule.corrected, rule.spoilt))
        shares = (_percent(rule.alone), _percent(rule.left_out))
        rules.add_row(name, *counts, *shares, f"{rule.cost_ms:.1f}", f"{rule.mean_cost_ms:.1f}")
    yield rules


def fit_tables(found: Fit) -> Iterator[Table]:
    """What k-means says, what was changed, and what that gains."""
    cuts = _table("k-means", "cut", "95 % of resamples", title="thresholds by k-means on raw scores")
    for name, spread in (("medium", found.spread.medium), ("high", found.spread.high)):
        cuts.add_row(name, f"{spread.value:.1f}", f"{spread.low:.1f} to {spread.high:.1f}")
    yield cuts
    changes = _table("field", "before", "after", title=f"{found.profile.label}")
    for change in found.changes:
        changes.add_row(".".join(change.field), f"{change.before:g}", f"{change.after:g}")
    yield changes
    gain = _table("accuracy on " + found.measured_on, "", title="what it gains")
    gain.add_row("before", _percent(found.before))
    gain.add_row("after", _percent(found.after))
    gain.add_row("gain, points", _interval(found.gain, 100))
    yield gain


def _summary(found: Evaluation) -> Table:
    table = _table("", "raw", "calibrated", title=f"{found.profile}: {found.labelled} labelled pictures")
    table.add_row("accuracy, %", _interval(found.raw.accuracy, 100), _interval(found.calibrated.accuracy, 100))
    table.add_row("gain, points", "", _interval(found.gain, 100))
    table.add_row("macro F1", f"{found.raw.macro_f1:.3f}", f"{found.calibrated.macro_f1:.3f}")
    table.add_row("low ones shown / shown", _shown(found.shown_raw), _shown(found.shown))
    table.add_row("the same without a filter", "", _shown(found.shown_unfiltered))
    if found.opinions:
        table.add_row("SRCC with opinions", _interval(found.opinions.srcc, 1), f"{found.opinions.srcc_calibrated:.3f}")
        table.add_row("PLCC with opinions", _interval(found.opinions.plcc, 1), "")
    if found.text_area:
        text = f"{100 * found.text_area.mean_error:.1f} points off, {_percent(found.text_area.within)} within 3"
        table.add_row("text area", text, "")
    if found.unscorable:
        table.add_row("could not be judged", "", f"{found.unscorable}")
    return table


def _confusion(agreement: Agreement) -> Table:
    table = _table("labelled", *(f"judged {name}" for name in CATEGORIES), "not judged", title="confusion, calibrated")
    for name, row in zip(CATEGORIES, agreement.confusion, strict=True):
        table.add_row(name, *(f"{count}" for count in row))
    return table


def _table(first: str, *others: str, title: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _interval(found: Interval, scale: float) -> str:
    digits = 1 if scale == 100 else 3
    return f"{scale * found.value:.{digits}f} [{scale * found.low:.{digits}f}, {scale * found.high:.{digits}f}]"


def _shown(found: Shown) -> str:
    return f"{found.low} / {found.shown} ({_percent(found.rate.value)})"
