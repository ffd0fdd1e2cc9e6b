"""Errors of this package; the whole tree is drawn in ``worker/errors.py``."""

from __future__ import annotations

__all__ = ["BenchmarkError", "CalibrationError", "LabelsError", "ProfileError"]


class CalibrationError(ValueError):
    """Anything this package refuses. Read the message: it names what to change."""


class ProfileError(CalibrationError):
    """A profile cannot be used. Correct the named field of the named file."""


class LabelsError(CalibrationError):
    """A table of labels cannot be used. Correct the named line of the named file."""


class BenchmarkError(CalibrationError):
    """A benchmark cannot be built. Give the folders or fonts that the message asks for."""
