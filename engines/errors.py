"""Errors of this package; the whole tree is drawn in ``worker/errors.py``."""

from __future__ import annotations

__all__ = ["CheckpointError", "EngineError", "EngineMissingError", "FetchError", "GoldenError", "ManifestError", "ParityError"]


class EngineError(RuntimeError):
    """Anything this package refuses. Read the message: it names the engine and what to do."""


class ManifestError(EngineError):
    """A manifest is missing or wrong. Correct the named field, or choose one that ``iqa engines list`` shows."""


class EngineMissingError(EngineError):
    """An engine's file is absent or is not the one its manifest names. Run ``iqa engines fetch``."""


class GoldenError(EngineError):
    """An engine no longer answers as recorded. Do not serve: find out what changed (file, runtime, processor)."""


class CheckpointError(EngineError):
    """A checkpoint cannot be imported. The message names the first tensor, or the line, that does not fit."""


class FetchError(EngineError):
    """An engine's file could not be fetched. Check access to the package index, then run ``iqa engines fetch`` again."""


class ParityError(EngineError):
    """A backend judges otherwise than the one that recorded the golden answers. Serve with IQA_RUNTIME=onnx; find out why."""
