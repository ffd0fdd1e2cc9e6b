"""Errors of this package; the whole tree is drawn in ``worker/errors.py``."""

from __future__ import annotations

__all__ = ["CalibrationError", "ProfileError"]


class CalibrationError(ValueError):
    """Anything this package refuses. Read the message: it names what to change."""


class ProfileError(CalibrationError):
    """A profile cannot be used. Correct the named field of the named file."""
