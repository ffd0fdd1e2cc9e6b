"""Reads JSON bodies, within what every later reader can take: what is accepted here can be written and read again unchanged."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from worker.contracts.foreign import describe
from worker.errors import EventError

__all__ = ["MOST_DEPTH", "MOST_DIGITS", "load_json"]

MOST_DEPTH = 64
"""Objects and arrays inside each other, the outermost counted. Readers give up from about 200 on."""

MOST_DIGITS = 100
"""Of an integer: room for any identifier, and far below the 4,300 at which Python refuses."""

CONTAINERS = frozenset({dict, list})
_LONE_SURROGATE_LIKELY = re.compile(r"\\u[dD][89a-fA-F]")


def load_json(body: bytes) -> Any:
    """The value in ``body`` (RFC 8259), in UTF-8, UTF-16 or UTF-32. Of repeated names in an object the last one counts.

    Raises:
        EventError: ``not_json``; or ``invalid_event`` if it is JSON, but nested too deep or with numbers that are too large.

    """
    try:
        text = body.decode(json.detect_encoding(body))
        data = _DECODER.decode(text)
        if text.count("[") + text.count("{") > MOST_DEPTH and _is_deep(data):
            raise EventError("invalid_event", f"the body is nested deeper than {MOST_DEPTH} levels")
        if _LONE_SURROGATE_LIKELY.search(text):
            # Lone surrogates pass the decoder but cannot be written again, not even into a dead letter's headers.
            json.dumps(data, ensure_ascii=False).encode()
    except RecursionError as error:
        raise EventError("not_json", f"the body is nested too deep to be parsed; at most {MOST_DEPTH} levels") from error
    except ValueError as error:
        raise EventError("not_json", f"the body is not JSON: {describe(body) or _reason(error)}") from error
    return data


def _reason(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.pos + 1}"
    if isinstance(error, UnicodeEncodeError):
        return "it holds half of a surrogate pair"
    return "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)[:100]


def _integer(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise EventError("invalid_event", f"an integer has {len(digits)} digits, at most {MOST_DIGITS} are taken")
    return int(digits)


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise EventError("invalid_event", f"the number {text[:20]} is too large")
    return number


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_int=_integer, parse_float=_float, parse_constant=_refuse_constant)


def _is_deep(data: Any) -> bool:
    """Whether ``data`` has more levels than are taken; level by level, since recursion ends where bodies need not."""
    level: list[Any] = [[data]]
    for _ in range(MOST_DEPTH + 1):
        inner: list[Any] = []
        for node in level:
            children = node.values() if type(node) is dict else node
            inner += [child for child in children if type(child) in CONTAINERS]
        if not inner:
            return False
        level = inner
    return True
