"""The demo's page shows every picture with its verdict, whatever is in them."""

from __future__ import annotations

from html.parser import HTMLParser

from tests.pictures import encode, photo
from tests.worker.helpers import verdict
from worker.demo.page import Card, make_page


class Reader(HTMLParser):
    """Collects tags, pictures and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.pictures: list[str] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "img":
            self.pictures.append(dict(attrs)["src"] or "")

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_cards() -> None:
    """Scores, category, reasons and a small picture; no file and no picture say so."""
    good = verdict(
        "good", status="scored", category="high", score=81.5, raw_score=80.2, reason=None, explanation=["a rule", "end"]
    )
    page = Reader(
        make_page([Card(encode(photo()), "a photo", good), Card(None, "", verdict("a")), Card(b"x", "", verdict("b"))], "3")
    )
    assert page.tags.count("article") == 3
    assert [picture[:23] for picture in page.pictures] == ["data:image/jpeg;base64,"]
    for word in ("good", "high", "81.5", "a rule", "truncated: half of it", "no file", "not a picture"):
        assert word in page.words


def test_nothing_from_outside_becomes_markup() -> None:
    """Image ids and reasons are strangers' text."""
    evil = "<script>alert(1)</script>"
    page = Reader(make_page([Card(None, evil, verdict(evil, reason={"code": "x", "detail": evil}))], evil))
    assert "script" not in page.tags


def test_the_page_needs_nothing_else() -> None:
    """One file that can be mailed."""
    page = make_page([Card(encode(photo()), "", verdict())], "")
    assert "http" not in page
