"""Finds a profile's keywords in lines of recognised text, where they stand as a document's own words.

A word counts as a title: alone (or nearly) on its line, or in the picture's largest letters. Words inside running text are
mentions and count only together, as a contract's do. A line that asks for a document or offers one is no document, nor is a
name that happens to hold a keyword's letters, nor what is too small to be what the picture shows.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from calibration.hanzi import simplified
from calibration.profile import KeywordList
from calibration.signals import TextLine

__all__ = ["SEARCH", "KeywordSearch", "find_keywords", "normalise_text"]

_WIDE = re.compile(r"[⺀-鿿豈-﫿가-힯]")
_LOOK_ALIKE = str.maketrans("0135l", "oiesi")
_LETTERS = re.compile(r"[^\W\d_]")
_DIGITS = re.compile(r"\d")
SEARCH = "until-settled@1"
"""Names this module's behaviour inside fingerprints: raise it when equal lines may give other keywords."""
GAP = "\x00"
"""Stands where an exception was cut out: nothing matches across it."""


@dataclass(frozen=True)
class _Line:
    """One line, ready to be searched: ``words`` for Latin script, ``run`` without spaces for Chinese."""

    words: tuple[str, ...]
    run: str
    asks: bool


def normalise_text(text: str) -> str:
    """Fold case, full-width forms, traditional characters and runs of white space (Unicode NFKC, casefold)."""
    return " ".join(simplified(unicodedata.normalize("NFKC", text).casefold()).split())


def find_keywords(lines: Sequence[TextLine], limits: KeywordList) -> tuple[str, ...]:
    """The words of ``limits`` that say what the picture shows, each once, in the profile's order and spelling."""
    search = KeywordSearch(limits)
    for line in lines:
        search.add(line)
    return search.found()


class KeywordSearch:
    """Keywords in lines that come one after the other, each searched once."""

    def __init__(self, limits: KeywordList) -> None:
        self._limits = limits
        self._lines: list[tuple[float, dict[str, float]]] = []
        """Of every line its height, and the share of its letters that belong to each word on it."""

    def add(self, line: TextLine) -> None:
        """Take in one more line that could be read."""
        prepared = _prepare(line, self._limits)
        shares = {} if prepared.asks else {word: _share(word, prepared) for word in self._limits.words}
        self._lines.append((line.height, {word: share for word, share in shares.items() if share > 0}))

    def found(self) -> tuple[str, ...]:
        """The words that say what the picture shows, each once, in the profile's order and spelling."""
        return self._found(len(self._lines))

    def settled(self, unread: Sequence[float]) -> bool:
        """Whether lines of these heights, none higher than those that were added, cannot change if there are keywords.

        More lines may move a word from mentions to titles, but never take the last one away: none is higher, so what is large
        stays large, and what is believed of few lines is believed of many.
        """
        if self._found(len(self._lines)):
            return True
        possible = len(self._lines) + len(unread)
        return max(unread, default=0.0) < self._least(possible) and not self._found(possible)

    def _least(self, count: int) -> float:
        """How high letters must be if so many lines can be read."""
        # A page that is what the picture shows has several such lines; of one on a far wall at most the title can be read.
        limits = self._limits
        return limits.min_height if count >= limits.min_lines else max(limits.min_height, limits.alone_height)

    def _found(self, count: int) -> tuple[str, ...]:
        """What lines so far say, if in all ``count`` can be read."""
        limits, least = self._limits, self._least(count)
        shown = [(height, shares) for height, shares in self._lines if height >= least]
        tallest = max((height for height, _ in shown), default=0.0)
        titles, mentions = set[str](), set[str]()
        for height, shares in shown:
            large = height >= limits.title_height * tallest
            for word, share in shares.items():
                (titles if large or share >= limits.title_share else mentions).add(word)
        found = titles | mentions if len(mentions - titles) >= limits.min_mentions else titles
        return tuple(word for word in limits.words if word in found)


def _prepare(line: TextLine, limits: KeywordList) -> _Line:
    text = normalise_text(line.text)
    for exception in limits.exceptions:
        text = text.replace(_key(exception), GAP)
    run = text.replace(" ", "")
    words = tuple(_readable(word) for word in re.findall(r"[^\W_]+", text))
    asks = any(_occurs(_key(word), words, run) for word in limits.context)
    return _Line(words, run, asks)


def _readable(word: str) -> str:
    """Digits that recognisers see in letters, put back where a word has both; i and l become one letter there."""
    return word.translate(_LOOK_ALIKE) if _LETTERS.search(word) and _DIGITS.search(word) else word


def _occurs(word: str, words: Sequence[str], run: str) -> bool:
    if _WIDE.search(word):
        return word.replace(" ", "") in run
    parts = word.split()
    return any(list(words[index : index + len(parts)]) == parts for index in range(len(words) - len(parts) + 1))


def _share(word: str, line: _Line) -> float:
    """Share of a line's letters that belong to ``word`` (0-1); 0 where it does not occur, with the mistakes allowed."""
    key = _key(word)
    letters = sum(1 for letter in line.run if letter.isalnum())
    if letters == 0:
        return 0.0
    if _WIDE.search(key):
        squeezed = key.replace(" ", "")
        hit = squeezed in line.run or _nearly_in(squeezed, line.run)
        return min(1.0, len(squeezed) / letters) if hit else 0.0
    parts = tuple(key.split())
    span = len(parts)
    hit = any(_same(parts, line.words[index : index + span]) for index in range(len(line.words) - span + 1))
    return min(1.0, sum(map(len, parts)) / letters) if hit else 0.0


@lru_cache(maxsize=4096)
def _key(word: str) -> str:
    return normalise_text(word)


def _nearly_in(word: str, run: str) -> bool:
    """One wrong character in Chinese words of four or more, two from seven on."""
    allowed = 2 if len(word) >= 7 else 1 if len(word) >= 4 else 0
    if allowed == 0:
        return False
    return any(
        sum(one != other for one, other in zip(word, run[index : index + len(word)], strict=True)) <= allowed
        for index in range(len(run) - len(word) + 1)
    )


def _same(parts: Sequence[str], words: Sequence[str]) -> bool:
    return all(
        word in {part, part.translate(_LOOK_ALIKE)} or (len(part) >= 9 and _one_apart(part, word))
        for part, word in zip(parts, words, strict=True)
    )


def _one_apart(part: str, word: str) -> bool:
    """At most one letter wrong, missing or too many, never the last: a plural is another word, not a mistake."""
    if part[-1] != word[-1]:
        return False
    if len(part) == len(word):
        return sum(one != other for one, other in zip(part, word, strict=True)) <= 1
    short, long = sorted((part, word), key=len)
    return len(long) - len(short) == 1 and any(long[:index] + long[index + 1 :] == short for index in range(len(long)))
