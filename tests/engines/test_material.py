"""Drawn pages: every design can be written, in any language, the same for the same seed."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pytest

from engines.kinds import KINDS, Kind
from engines.training.material.page import Page
from engines.training.material.pages import DESIGNS, html
from engines.training.material.words import Writer

PHOTOS, THINGS, DRAWINGS, FONTS = (["photo.jpg"], ["thing.jpg"], ["drawing.svg"], ["Some Font"])
CASES = [(kind, index) for kind, designs in DESIGNS.items() for index in range(len(designs))]


class Balance(HTMLParser):
    """Counts elements that are open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in {"img", "br", "meta"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize(("kind", "index"), CASES)
def test_every_design_is_whole_html(kind: Kind, index: int) -> None:
    """What is opened is closed; no style is cut off by a quote; it differs with the seed."""
    made = set()
    for seed in range(8):
        rng = np.random.default_rng(seed)
        page = Page(640, 480, rng, Writer(rng), PHOTOS, THINGS, DRAWINGS, FONTS)
        body = DESIGNS[kind][index](page)
        parser = Balance()
        parser.feed(body)
        assert not parser.open
        made.add(body)
    assert len(made) == 8


def test_all_kinds_but_photos_are_drawn() -> None:
    """Photos are taken."""
    assert {*DESIGNS, "photo"} == set(KINDS)


def test_the_same_seed_gives_the_same_page() -> None:
    """With its size, which is one of the kind's."""
    first, again = (html("poster", np.random.default_rng(5), PHOTOS, THINGS, DRAWINGS, FONTS) for _ in range(2))
    assert first == again
    assert f"width:{first[1]}px" in first[0]


def test_words_are_of_one_language_where_they_should_be() -> None:
    """Chinese pages have Chinese letters; some pages have both."""
    writers = [Writer(np.random.default_rng(seed)) for seed in range(40)]
    shares = [np.mean([letter.isascii() for letter in "".join(w.phrase() for _ in range(30))]) for w in writers]
    assert min(shares) < 0.5
    assert max(shares) == 1.0
