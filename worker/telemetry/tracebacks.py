"""Tracebacks for logs: cheap to make and never long, whatever was raised."""

from __future__ import annotations

import traceback
from types import FrameType, TracebackType

import structlog

__all__ = ["bounded_traceback"]

FIRST, LAST = 8, 16
"""Frames of each exception: where our own code was, and where it was raised."""
CAUSES = 4
"""Exceptions of a chain: the last one, and those that led to it."""
CHARACTERS = 1000
"""Of a message, and of what one frame says."""
BY_CAUSE = "The above exception was the direct cause of the following exception:"
BY_CONTEXT = "During handling of the above exception, another exception occurred:"


def bounded_traceback(exc_info: structlog.typing.ExcInfo) -> str:
    """What Python prints, without carets and locals, bounded in frames, causes and characters; groups as one line each."""
    error: BaseException | None = exc_info[1]
    blocks: list[str] = []
    seen: set[int] = set()
    joint = ""
    while error is not None and id(error) not in seen:
        if len(seen) == CAUSES:
            blocks.append(f"(what led to it is left out){joint}")
            break
        seen.add(id(error))
        blocks.append(_one(error) + joint)
        cause = error.__cause__
        joint = f"\n\n{BY_CAUSE if cause else BY_CONTEXT}"
        error = cause or (None if error.__suppress_context__ else error.__context__)
    return "\n\n".join(reversed(blocks))


def _one(error: BaseException) -> str:
    """One exception of a chain: its frames, its message, its notes."""
    parts = []
    if error.__traceback__ is not None:
        parts += ["Traceback (most recent call last):", *_frames(error.__traceback__)]
    try:
        message = str(error)
    except Exception as broken:
        message = f"<its message cannot be made: {type(broken).__name__}>"
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ in {"builtins", "__main__"} else f"{kind.__module__}.{kind.__qualname__}"
    parts.append(_cut(f"{name}: {message}" if message else name))
    parts += [_cut(str(note)) for note in list(getattr(error, "__notes__", ()))[:CAUSES]]
    return "\n".join(parts)


def _frames(first: TracebackType) -> list[str]:
    # Without column numbers, that is without parsing every line again for its carets.
    frames = list(traceback.walk_tb(first))
    left_out = len(frames) - FIRST - LAST
    if left_out <= 0:
        return _lines(frames)
    told = f"  ({left_out} frames left out)"
    return [*_lines(frames[:FIRST]), told, *_lines(frames[-LAST:])]


def _lines(frames: list[tuple[FrameType, int]]) -> list[str]:
    summary = traceback.StackSummary.extract(iter(frames))
    return [_cut(text.rstrip("\n")) for text in summary.format()]


def _cut(text: str) -> str:
    return text if len(text) <= CHARACTERS else f"{text[:CHARACTERS]} ({len(text) - CHARACTERS} characters left out)"
