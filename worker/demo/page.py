"""The demo's page: every picture with its verdict, in one self-contained HTML file."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable
from dataclasses import dataclass

from PIL import Image

from worker.contracts.verdicts import QualityVerdict
from worker.errors import PictureError
from worker.intake.decode import decode
from worker.table import why

__all__ = ["Card", "make_page"]

THUMBNAIL = (420, 300)
MAX_PIXELS = 50_000_000

STYLE = """
:root { --high:#1a7f4b; --medium:#a86a00; --low:#b3261e; --none:#6b4fa0; color-scheme: light }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 1280px; padding: 32px 24px; background: #f5f6f8; color: #1d2330;
  font: 15px/1.45 system-ui, sans-serif }
h1 { margin: 0 0 4px; font-size: 26px }
header p { margin: 0 0 20px; color: #5b6475 }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(280px, 1fr)); gap: 18px }
article { background: #fff; border-radius: 10px; overflow: hidden; box-shadow: 0 1px 4px #0002;
  border-top: 5px solid var(--tone) }
.frame { height: 200px; background: #e9ecf1; display: grid; place-items: center; color: #7a8395 }
.frame img { max-width: 100%; max-height: 200px; display: block }
.body { padding: 12px 14px 14px }
h2 { margin: 0; font-size: 15px; overflow-wrap: anywhere }
.shows { color: #5b6475; margin: 0 0 8px }
.badge { display: inline-block; padding: 1px 10px; border-radius: 99px; background: var(--tone); color: #fff;
  font-weight: 600 }
.numbers { float: right; color: #3c4454; font-variant-numeric: tabular-nums }
ul { margin: 10px 0 0; padding-left: 18px; color: #3c4454; overflow-wrap: anywhere }
"""


@dataclass(frozen=True)
class Card:
    """A picture on the page: what was uploaded (if anything), what it shows, and the verdict."""

    data: bytes | None
    shows: str
    verdict: QualityVerdict


def make_page(cards: Iterable[Card], summary: str) -> str:
    """The page as HTML; pictures are embedded as small JPEGs."""
    body = "\n".join(map(_card, cards))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Verdicts</title><style>{STYLE}</style>"
        f"<header><h1>Verdicts</h1><p>{html.escape(summary)}</p></header><main>{body}</main></html>\n"
    )


def _card(card: Card) -> str:
    verdict = card.verdict
    label = verdict.category or verdict.status
    numbers = ""
    if verdict.raw_score is not None and verdict.score is not None:
        numbers = f'<span class="numbers">{verdict.raw_score:.1f} &rarr; <b>{verdict.score:.1f}</b></span>'
    reasons = "".join(f"<li>{html.escape(reason)}</li>" for reason in why(verdict))
    return (
        f'<article style="--tone:var(--{verdict.category or "none"})"><div class="frame">{_thumbnail(card.data)}</div>'
        f'<div class="body"><h2>{html.escape(verdict.image_id)}</h2><p class="shows">{html.escape(card.shows)}</p>'
        f'<span class="badge">{html.escape(label)}</span>{numbers}{f"<ul>{reasons}</ul>" if reasons else ""}</div></article>'
    )


def _thumbnail(data: bytes | None) -> str:
    """The picture as the worker sees it: upright, first frame, transparent parts on white."""
    if data is None:
        return "no file"
    try:
        small = Image.fromarray(decode(data, MAX_PIXELS).pixels)
    except PictureError:
        return "not a picture"
    small.thumbnail(THUMBNAIL)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}">'
