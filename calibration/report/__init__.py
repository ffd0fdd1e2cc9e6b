"""The evaluation as one self-contained HTML page."""

from calibration.report.write import write_report

__all__ = ["write_report"]
