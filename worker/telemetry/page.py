"""The table of metrics in this folder's README: ``python -m worker.telemetry.page`` writes it."""

from __future__ import annotations

from pathlib import Path

from worker.telemetry.catalogue import ANY, CATALOGUE, Metric

__all__ = ["metrics_table"]

PAGE = Path(__file__).parent / "README.md"
BEGIN, END = "<!-- metrics: begin -->\n", "<!-- metrics: end -->\n"


def metrics_table() -> str:
    """A row for every metric of the catalogue, in Markdown."""
    rows = ["| metric | kind | labels | what it tells |", "| --- | --- | --- | --- |"]
    return "\n".join([*rows, *map(_row, CATALOGUE)]) + "\n"


def _row(metric: Metric) -> str:
    name = f"{metric.name}_total" if metric.kind == "counter" else metric.name
    labels = ", ".join(
        f"`{label}`" if values == ANY else f"`{label}`: {', '.join(values)}" for label, values in metric.labels.items()
    )
    told = metric.meaning + (f" (OpenTelemetry: `{metric.otel}`)" if metric.otel else "")
    return f"| `{name}` | {metric.kind} | {labels} | {told} |"


def main() -> None:
    """Put the table into the page."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(before + BEGIN + metrics_table() + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
