"""Finds a profile's keywords in lines of recognised text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

__all__ = ["find_keywords", "normalise_text"]

_WIDE = re.compile(r"[⺀-鿿豈-﫿가-힯]")


def normalise_text(text: str) -> str:
    """Fold case, full-width forms and runs of white space (Unicode NFKC, casefold)."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def find_keywords(lines: Iterable[str], words: Sequence[str]) -> tuple[str, ...]:
    """The words of a profile that occur in any line, each once, in the profile's order and spelling.

    Words in Chinese script match anywhere, spaces ignored (titles are often set wide); all others match whole words only, so
    that a product named "Contractor" is no contract.
    """
    folded = [normalise_text(line) for line in lines]
    return tuple(word for word in words if any(_occurs(normalise_text(word), line) for line in folded))


def _occurs(word: str, line: str) -> bool:
    if _WIDE.search(word):
        return word.replace(" ", "") in line.replace(" ", "")
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", line) is not None
