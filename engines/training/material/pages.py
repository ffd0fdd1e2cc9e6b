"""Pages as HTML, many designs of each kind; a browser makes pictures of them.

Every design is a function of a ``Page``: what is random (colours, fonts, words, pictures) comes from it, what is the design's own
(where things stand) is written here. Designs of the benchmark (``calibration.benchmark``) are others, so that it does not
measure how well a network knows its own teaching material.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engines.kinds import Kind
from engines.training.material.words import Writer

__all__ = ["DESIGNS", "Page", "html"]

SIZES: dict[Kind, tuple[tuple[int, int], ...]] = {
    "poster": ((600, 800), (750, 750), (640, 960), (900, 600), (800, 800), (960, 540)),
    "document": ((620, 877), (877, 620), (500, 760), (380, 820), (700, 520)),
    "screenshot": ((1280, 720), (390, 844), (1024, 768), (1366, 768), (412, 732)),
    "drawing": ((600, 600), (800, 600), (640, 640), (900, 500)),
    "product": ((800, 800), (700, 700), (800, 600)),
}


@dataclass(frozen=True)
class Page:
    """What a design is made of: ``width`` and ``height`` in pixels, pictures of photos, things and drawings as addresses."""

    width: int
    height: int
    rng: np.random.Generator
    write: Writer
    photos: Sequence[str]
    things: Sequence[str]
    drawings: Sequence[str]
    fonts: Sequence[str]

    def chance(self, share: float) -> bool:
        """True so often."""
        return bool(self.rng.random() < share)

    def between(self, low: float, high: float) -> float:
        """A number, evenly."""
        return float(self.rng.uniform(low, high))

    def one(self, of: Sequence[str]) -> str:
        """One of several."""
        return of[int(self.rng.integers(len(of)))]

    def colour(self, light: tuple[float, float] = (0.2, 0.8), strength: tuple[float, float] = (0.3, 1.0)) -> str:
        """Any hue."""
        rgb = colorsys.hls_to_rgb(self.between(0, 1), self.between(*light), self.between(*strength))
        return "#" + "".join(f"{round(255 * value):02x}" for value in rgb)

    def ground(self) -> str:
        """A background: plain, a gradient, a pattern."""
        first, second = self.colour((0.15, 0.95)), self.colour((0.15, 0.95))
        angle = int(self.between(0, 360))
        return self.one(
            (
                first,
                f"linear-gradient({angle}deg, {first}, {second})",
                f"radial-gradient(circle at 50% 40%, {first}, {second})",
                f"repeating-linear-gradient({angle}deg, {first} 0 22px, {second} 22px 44px)",
                f"radial-gradient({first} 18%, transparent 19%) 0 0/32px 32px {second}",
            )
        )

    def letters(self, size: float, colour: str, more: str = "") -> str:
        """The style of some text."""
        weight = self.one(("400", "700", "900"))
        return f"font:{weight} {size:.0f}px '{self.one(self.fonts)}',sans-serif;color:{colour};{more}"


def _box(style: str, inside: str = "") -> str:
    return f'<div style="{style}">{inside}</div>'


def _shown(address: str, style: str) -> str:
    return f'<img src="{address}" style="object-fit:cover;{style}">'


def _lines(page: Page, count: int, size: float, colour: str) -> str:
    return "".join(_box(page.letters(size, colour, f"margin:{size * 0.35:.0f}px 0"), page.write.phrase()) for _ in range(count))


def letters_on_photo(page: Page) -> str:
    """A photo dimmed behind large letters."""
    shade = page.one(("rgba(0,0,0,.55)", "rgba(255,255,255,.6)", f"{page.colour()}99"))
    ink = "#111" if "255" in shade else "#fff"
    inner = _box(page.letters(page.width * page.between(0.09, 0.17), ink, "line-height:1.1"), page.write.title())
    inner += _lines(page, int(page.between(1, 5)), page.width * page.between(0.035, 0.055), ink)
    place = page.one(("center", "flex-start", "flex-end"))
    overlay = f"position:absolute;inset:0;background:{shade};display:flex;flex-direction:column;justify-content:{place};padding:8%;text-align:{page.one(('left', 'center'))}"
    return _shown(page.one(page.photos), "position:absolute;width:100%;height:100%") + _box(overlay, inner)


def photo_and_band(page: Page) -> str:
    """A photo and a band of colour with what there is to say."""
    share = page.between(0.35, 0.65)
    ink = page.one(("#fff", "#111", page.colour((0.1, 0.3))))
    told = _box(page.letters(page.width * page.between(0.07, 0.12), ink), page.write.title())
    told += _lines(page, int(page.between(1, 4)), page.width * page.between(0.03, 0.05), ink)
    picture = _shown(page.one(page.photos), f"width:100%;height:{share:.0%};display:block")
    band = _box(f"height:{1 - share:.0%};background:{page.ground()};padding:4% 7%;overflow:hidden", told)
    return picture + band if page.chance(0.6) else band + picture


def thing_with_price(page: Page) -> str:
    """A thing on a loud ground, its price in a burst, promises in ribbons."""
    burst = page.colour((0.4, 0.6), (0.8, 1.0))
    size = page.width * page.between(0.2, 0.3)
    price = _box(
        f"position:absolute;right:{page.between(2, 12):.0f}%;top:{page.between(5, 60):.0f}%;width:{size:.0f}px;height:{size:.0f}px;"
        f"border-radius:{page.one(('50%', '8px', '50% 50% 0 50%'))};background:{burst};display:flex;align-items:center;justify-content:center;"
        f"transform:rotate({page.between(-15, 15):.0f}deg)",
        _box(page.letters(size * 0.3, "#fff"), page.write.price()),
    )
    thing = _shown(
        page.one(page.things),
        "position:absolute;left:14%;top:20%;width:64%;height:56%;object-fit:contain;mix-blend-mode:multiply",
    )
    top = _box(
        page.letters(
            page.width * page.between(0.06, 0.1),
            page.one(("#fff", "#e60012", "#ffe100", "#111")),
            "position:absolute;top:4%;left:5%;right:5%;text-align:center",
        ),
        page.write.title(),
    )
    foot = _box(
        f"position:absolute;bottom:0;left:0;right:0;background:{burst};padding:2% 5%",
        _box(page.letters(page.width * page.between(0.04, 0.06), "#fff", "text-align:center"), page.write.phrase()),
    )
    ribbon = _box(
        page.letters(
            page.width * 0.035,
            "#fff",
            f"position:absolute;left:0;top:{page.between(15, 70):.0f}%;background:{page.colour()};padding:6px 14px",
        ),
        page.write.phrase(),
    )
    return (
        _box(f"position:absolute;inset:0;background:{page.ground()}")
        + thing
        + top
        + foot
        + price
        + (ribbon if page.chance(0.5) else "")
    )


def only_letters(page: Page) -> str:
    """Typography: a few large words, some small ones."""
    ink = page.one(("#fff", "#111", page.colour((0.1, 0.9))))
    title = _box(page.letters(page.width * page.between(0.12, 0.22), ink, "line-height:1.05"), page.write.title())
    rest = _lines(page, int(page.between(2, 7)), page.width * page.between(0.03, 0.05), ink)
    frame = f"border:{page.between(0, 10):.0f}px {page.one(('solid', 'double', 'dashed'))} {ink};" if page.chance(0.5) else ""
    inner = _box(f"{frame}margin:5%;padding:5%;height:80%;text-align:{page.one(('left', 'center'))}", title + rest)
    return _box(f"position:absolute;inset:0;background:{page.ground()}", inner)


def vacancies(page: Page) -> str:
    """Positions in boxes below a headline, a drawing beside it."""
    ink, tint = page.colour((0.2, 0.4)), page.colour((0.85, 0.97))
    rows = "".join(
        _box(
            f"background:{tint};border-left:8px solid {ink};margin:2% 6%;padding:2% 4%",
            _box(page.letters(page.width * 0.045, ink), page.write.phrase())
            + _box(page.letters(page.width * 0.03, "#444"), page.write.phrase()),
        )
        for _ in range(int(page.between(2, 5)))
    )
    head = _box(
        f"background:{page.ground()};padding:6%;height:22%;position:relative",
        _box(page.letters(page.width * 0.12, "#fff", "text-shadow:0 2px 6px #0008"), page.write.title())
        + _shown(page.one(page.drawings), "position:absolute;right:4%;top:10%;height:80%;width:25%;object-fit:contain"),
    )
    return _box(f"position:absolute;inset:0;background:{page.one(('#fff', tint, '#fafafa'))}", head + rows)


def collage(page: Page) -> str:
    """Photos in a grid with captions, a headline across."""
    columns, rows = int(page.between(2, 4)), int(page.between(2, 4))
    cells = "".join(
        _box(
            "position:relative;overflow:hidden",
            _shown(page.one(page.photos), "width:100%;height:100%") + (_caption(page) if page.chance(0.5) else ""),
        )
        for _ in range(columns * rows)
    )
    grid = _box(
        f"position:absolute;inset:0;display:grid;grid-template:repeat({rows},1fr)/repeat({columns},1fr);gap:{page.between(0, 14):.0f}px;background:{page.colour((0.1, 0.95))}",
        cells,
    )
    band = _box(
        f"position:absolute;left:0;right:0;top:{page.between(0, 80):.0f}%;background:{page.colour()}dd;padding:2% 4%;text-align:center",
        _box(page.letters(page.width * page.between(0.07, 0.12), "#fff"), page.write.title()),
    )
    return grid + band


def _caption(page: Page) -> str:
    style = "position:absolute;bottom:0;left:0;right:0;background:#000a;padding:3px 6px"
    return _box(style, _box(page.letters(page.width * 0.028, "#fff"), page.write.phrase()))


def certificate(page: Page) -> str:
    """A border, a title, a name, a seal."""
    ink, seal = page.colour((0.1, 0.35)), "#c8102e"
    border = f"border:{page.between(3, 16):.0f}px {page.one(('double', 'ridge', 'solid', 'groove'))} {page.colour((0.3, 0.6))}"
    body = _box(
        page.letters(page.width * page.between(0.07, 0.11), page.one((ink, seal)), "text-align:center;letter-spacing:.15em"),
        page.write.certificate(),
    )
    body += _box(
        page.letters(page.width * 0.03, "#222", "margin:6% 4%;line-height:1.9;font-weight:400"),
        page.write.paragraph(int(page.between(2, 5))),
    )
    body += _box(
        page.letters(page.width * 0.028, "#222", "text-align:right;font-weight:400"),
        f"No. {page.write.number()}<br>2026-{page.write.number(2)}",
    )
    stamp = _box(
        f"position:absolute;right:{page.between(8, 30):.0f}%;bottom:{page.between(8, 20):.0f}%;width:{page.width * 0.17:.0f}px;height:{page.width * 0.17:.0f}px;"
        f"border:4px solid {seal};border-radius:50%;opacity:.75;display:flex;align-items:center;justify-content:center;transform:rotate({page.between(-20, 20):.0f}deg)",
        _box(page.letters(page.width * 0.06, seal), "★"),
    )
    paper = page.one(("#fff", "#fdf8e8", "#fffdf5", "#f4f8ff"))
    return _box(
        f"position:absolute;inset:0;background:{paper};padding:3%",
        _box(f"{border};height:86%;padding:5%;position:relative", body + stamp),
    )


def running_text(page: Page) -> str:
    """A contract, a letter, a report: headings and paragraphs."""
    size = page.width * page.between(0.018, 0.028)
    blocks = _box(page.letters(size * 1.9, "#111", "text-align:center;margin-bottom:4%"), page.write.certificate())
    for number in range(int(page.between(3, 9))):
        blocks += _box(page.letters(size * 1.15, "#111", "margin-top:2%"), f"{number + 1}. {page.write.phrase()}")
        blocks += _box(
            page.letters(size, "#222", "line-height:1.7;font-weight:400"), page.write.paragraph(int(page.between(2, 6)))
        )
    return _box(f"position:absolute;inset:0;background:#fff;padding:{page.between(5, 10):.0f}%;overflow:hidden", blocks)


def form(page: Page) -> str:
    """A table to be filled in, or an account: cells with labels and figures."""
    columns = int(page.between(2, 6))
    size = page.width * page.between(0.02, 0.03)
    cell = f"border:1px solid #333;padding:{size * 0.4:.0f}px;{page.letters(size, '#222', 'font-weight:400')}"
    rows = "".join(
        "<tr>"
        + "".join(
            f'<td style="{cell}">{page.write.number(5) if page.chance(0.4) else page.write.sentence(3, 8)}</td>'
            for _ in range(columns)
        )
        + "</tr>"
        for _ in range(int(page.between(6, 18)))
    )
    head = _box(page.letters(size * 1.8, "#111", "text-align:center;margin:3%"), page.write.certificate())
    table = f'<table style="border-collapse:collapse;width:92%;margin:0 4%">{rows}</table>'
    return _box(f"position:absolute;inset:0;background:{page.one(('#fff', '#fcfcf7'))};overflow:hidden", head + table)


def receipt(page: Page) -> str:
    """A till's slip."""
    size = page.width * 0.04
    line = "font:400 {0:.0f}px 'DejaVu Sans Mono','Noto Sans Mono CJK SC',monospace;color:#222".format(size)
    rows = "".join(
        _box(
            f"{line};display:flex;justify-content:space-between;margin:{size * 0.3:.0f}px 0",
            f"<span>{page.write.sentence(3, 7)}</span><span>{page.write.price()}</span>",
        )
        for _ in range(int(page.between(5, 14)))
    )
    head = _box(f"{line};font-size:{size * 1.6:.0f}px;text-align:center", page.write.title()) + _box(
        f"{line};text-align:center;border-bottom:1px dashed #444", page.write.number(11)
    )
    total = _box(f"{line};font-size:{size * 1.4:.0f}px;border-top:1px dashed #444;text-align:right", page.write.price())
    return _box("position:absolute;inset:0;background:#fefefe;padding:6%;overflow:hidden", head + rows + total)


def web_page(page: Page) -> str:
    """A site: navigation, a picture, cards, an aside."""
    accent = page.colour((0.3, 0.55))
    dark = page.chance(0.25)
    paper, ink = ("#1b1d22", "#ddd") if dark else (page.one(("#fff", "#f5f6f8")), "#222")
    bar = _box(
        f"background:{page.one((accent, paper, '#fff', '#111'))};padding:10px 24px;display:flex;gap:28px;border-bottom:1px solid #8883",
        "".join(
            _box(page.letters(15, page.one((ink, accent, "#888"))), page.write.sentence(2, 5))
            for _ in range(int(page.between(3, 7)))
        ),
    )
    columns = 1 if page.width < 500 else int(page.between(2, 5))
    cards = "".join(
        _box(
            f"background:{'#26292f' if dark else '#fff'};border:1px solid #8884;border-radius:{page.between(0, 12):.0f}px;overflow:hidden",
            (
                _shown(
                    page.one(page.photos if page.chance(0.6) else page.things),
                    f"width:100%;height:{page.between(90, 170):.0f}px",
                )
                if page.chance(0.75)
                else ""
            )
            + _box(
                "padding:10px",
                _box(page.letters(15, ink), page.write.phrase())
                + _box(page.letters(12, "#888", "font-weight:400"), page.write.sentence()),
            ),
        )
        for _ in range(columns * int(page.between(2, 6)))
    )
    search = _box(
        "border:1px solid #8888;border-radius:18px;padding:8px 16px;margin:14px 24px;width:50%",
        _box(page.letters(13, "#999"), page.write.phrase()),
    )
    grid = _box(f"display:grid;grid-template-columns:repeat({columns},1fr);gap:16px;padding:16px 24px", cards)
    return _box(
        f"position:absolute;inset:0;background:{paper};overflow:hidden", bar + (search if page.chance(0.5) else "") + grid
    )


def chat(page: Page) -> str:
    """A conversation on a telephone."""
    mine = page.one(("#95ec69", "#0b84ff", page.colour((0.5, 0.8))))
    bubbles = ""
    for _ in range(int(page.between(5, 12))):
        right = page.chance(0.5)
        side, tint = ("flex-end", mine) if right else ("flex-start", "#fff")
        bubble = _box(
            f"max-width:68%;background:{tint};border-radius:10px;padding:9px 12px",
            _box(page.letters(15, "#111", "font-weight:400"), page.write.sentence(3, 26)),
        )
        face = _shown(page.one(page.photos), "width:36px;height:36px;border-radius:6px;margin:0 8px")
        bubbles += _box(f"display:flex;justify-content:{side};margin:12px 4px", bubble + face if right else face + bubble)
    status = _box(
        "display:flex;justify-content:space-between;padding:6px 16px;background:#ededed",
        _box(page.letters(13, "#111"), "9:41") + _box(page.letters(13, "#111"), "5G ▮▮▮ 87%"),
    )
    head = _box(
        "padding:10px;text-align:center;background:#ededed;border-bottom:1px solid #ccc",
        _box(page.letters(17, "#111"), page.write.sentence(2, 6)),
    )
    return _box(
        f"position:absolute;inset:0;background:{page.one(('#ededed', '#fff', '#e5ddd5', '#1c1c1e'))};overflow:hidden",
        status + head + bubbles,
    )


def window(page: Page) -> str:
    """A program on a desktop: a title bar, a tree, text or cells."""
    dark = page.chance(0.5)
    paper, ink = ("#1e1e1e", "#d4d4d4") if dark else ("#fff", "#222")
    buttons = "".join(
        _box(f"width:12px;height:12px;border-radius:50%;background:{colour};margin-right:8px")
        for colour in ("#ff5f57", "#febc2e", "#28c840")
    )
    bar = _box(
        f"display:flex;align-items:center;padding:9px 12px;background:{'#333' if dark else '#e8e8e8'}",
        buttons + _box(page.letters(13, ink), page.write.phrase()),
    )
    tree = "".join(
        _box(page.letters(13, ink, f"padding:3px {page.between(8, 40):.0f}px;font-weight:400"), page.write.sentence(2, 8))
        for _ in range(24)
    )
    mono = "font:400 14px 'DejaVu Sans Mono','Noto Sans Mono CJK SC',monospace;white-space:pre"
    text = "".join(
        _box(
            f"{mono};color:{page.one((ink, '#569cd6', '#ce9178', '#6a9955'))}",
            f"{number + 1:>4}  {'    ' * int(page.between(0, 4))}{page.write.sentence(4, 22)}",
        )
        for number in range(34)
    )
    body = _box(
        "display:flex;height:100%",
        _box(f"width:22%;background:{'#252526' if dark else '#f3f3f3'};overflow:hidden", tree)
        + _box(f"flex:1;background:{paper};padding:8px", text),
    )
    return _box("position:absolute;inset:0;overflow:hidden", bar + body)


def on_ground(page: Page) -> str:
    """One drawing, large, on a ground; sometimes with a name below, or an agency's bar."""
    size = page.between(0.35, 0.85)
    ground = page.one(("#fff", "#000", "#f4f4f4", page.colour(), page.ground()))
    drawing = _shown(
        page.one(page.drawings),
        f"position:absolute;left:{50 * (1 - size):.0f}%;top:{45 * (1 - size):.0f}%;width:{size:.0%};height:{size:.0%};object-fit:contain",
    )
    name = _box(
        page.letters(
            page.width * page.between(0.05, 0.12),
            page.colour((0.1, 0.9)),
            "position:absolute;bottom:9%;left:0;right:0;text-align:center",
        ),
        page.write.title(),
    )
    agency = _box(
        "position:absolute;bottom:0;left:0;right:0;background:#15171c;padding:7px 14px",
        _box(page.letters(14, "#fff"), f"StockDrawings® &nbsp; {page.write.number()}"),
    )
    return (
        _box(f"position:absolute;inset:0;background:{ground}")
        + drawing
        + (name if page.chance(0.4) else "")
        + (agency if page.chance(0.2) else "")
    )


def sheet(page: Page) -> str:
    """A sheet of icons."""
    columns, rows = int(page.between(2, 7)), int(page.between(2, 6))
    framed = page.chance(0.3)
    cells = "".join(
        _box(
            f"display:flex;align-items:center;justify-content:center;{f'background:{page.colour()};border-radius:18%' if framed else ''}",
            _shown(page.one(page.drawings), "width:72%;height:72%;object-fit:contain"),
        )
        for _ in range(columns * rows)
    )
    ground = page.one(("#fff", "#fafafa", page.colour((0.7, 0.97)), page.colour()))
    return _box(
        f"position:absolute;inset:0;background:{ground};padding:5%;display:grid;grid-template:repeat({rows},1fr)/repeat({columns},1fr);gap:12px",
        cells,
    )


def scene(page: Page) -> str:
    """An illustration: sky, hills, a house or two, drawn things."""
    sky, hill, near = page.colour((0.6, 0.9)), page.colour((0.35, 0.7)), page.colour((0.25, 0.6))
    houses = ""
    for _ in range(int(page.between(1, 5))):
        left, tall, wide = page.between(0, 80), page.between(18, 50), page.between(10, 26)
        panes = "".join(
            _box(f"width:22%;height:22%;margin:6%;background:{page.colour((0.7, 0.95))};display:inline-block")
            for _ in range(int(page.between(2, 7)))
        )
        roof = f"clip-path:polygon(0 18%,50% 0,100% 18%,100% 100%,0 100%);" if page.chance(0.5) else ""
        houses += _box(
            f"position:absolute;left:{left:.0f}%;bottom:18%;width:{wide:.0f}%;height:{tall:.0f}%;background:{page.colour()};{roof}padding-top:8%;overflow:hidden",
            panes,
        )
    things = "".join(
        _shown(
            page.one(page.drawings),
            f"position:absolute;left:{page.between(0, 85):.0f}%;bottom:{page.between(4, 60):.0f}%;width:{page.between(8, 24):.0f}%;object-fit:contain",
        )
        for _ in range(int(page.between(2, 8)))
    )
    hills = _box(f"position:absolute;left:-10%;bottom:-20%;width:75%;height:60%;border-radius:50%;background:{hill}")
    ground = _box(f"position:absolute;left:0;right:0;bottom:0;height:20%;background:{near}")
    return _box(f"position:absolute;inset:0;background:linear-gradient({sky},#fff)") + hills + ground + houses + things


def word_mark(page: Page) -> str:
    """A name as a logo: letters, a line or a frame, glowing or engraved."""
    ink = page.colour((0.15, 0.9), (0.5, 1.0))
    ground = page.one(("#fff", "#000", "#111", page.ground()))
    effect = page.one(
        (
            "",
            f"text-shadow:0 0 12px {ink},0 0 36px {ink}",
            f"-webkit-text-stroke:2px {page.colour()}",
            "text-shadow:2px 2px 0 #0006",
            f"background:linear-gradient({ink},{page.colour()});-webkit-background-clip:text;color:transparent",
        )
    )
    frame = (
        f"border:{page.between(3, 9):.0f}px solid {ink};border-radius:{page.one(('0', '20px', '50%'))};padding:8% 6%;"
        if page.chance(0.5)
        else ""
    )
    title = _box(
        page.letters(
            page.width * page.between(0.1, 0.2), ink, f"{effect};text-align:center;font-style:{page.one(('normal', 'italic'))}"
        ),
        page.write.title(),
    )
    mark = _shown(page.one(page.drawings), "height:30%;width:100%;object-fit:contain") if page.chance(0.4) else ""
    return _box(
        f"position:absolute;inset:0;background:{ground};display:flex;flex-direction:column;align-items:center;justify-content:center",
        mark + _box(frame, title),
    )


def studio(page: Page) -> str:
    """A thing alone on a studio's ground; sometimes with a mark in the corner or a size beside it."""
    ground = page.one(("#fff", "#fff", "#f2f2f2", page.colour((0.85, 0.97), (0.0, 0.4)), "radial-gradient(#fff,#d8d8d8)"))
    size = page.between(0.5, 0.9)
    place = f"position:absolute;left:{50 * (1 - size):.0f}%;top:{50 * (1 - size):.0f}%;width:{size:.0%};height:{size:.0%};object-fit:contain;mix-blend-mode:multiply"
    mark = _shown(page.one(page.drawings), "position:absolute;left:3%;top:3%;width:14%;object-fit:contain")
    label = _box(
        page.letters(page.width * 0.035, "#555", f"position:absolute;{page.one(('left', 'right'))}:5%;bottom:4%"),
        page.write.phrase(),
    )
    extra = (mark if page.chance(0.3) else "") + (label if page.chance(0.3) else "")
    return _box(f"position:absolute;inset:0;background:{ground}") + _shown(page.one(page.things), place) + extra


DESIGNS: dict[Kind, tuple[Callable[[Page], str], ...]] = {
    "poster": (letters_on_photo, photo_and_band, thing_with_price, only_letters, vacancies, collage),
    "document": (certificate, running_text, form, receipt),
    "screenshot": (web_page, chat, window),
    "drawing": (on_ground, on_ground, sheet, scene, word_mark),
    "product": (studio,),
}


def html(
    kind: Kind,
    rng: np.random.Generator,
    photos: Sequence[str],
    things: Sequence[str],
    drawings: Sequence[str],
    fonts: Sequence[str],
) -> tuple[str, int, int]:
    """A page of ``kind`` as HTML, with its width and height in pixels. Addresses of pictures are those of ``img`` elements."""
    width, height = SIZES[kind][int(rng.integers(len(SIZES[kind])))]
    designs = DESIGNS[kind]
    page = Page(width, height, rng, Writer(rng), photos, things, drawings, fonts)
    body = designs[int(rng.integers(len(designs)))](page)
    style = "*{margin:0;box-sizing:border-box}body{position:relative;overflow:hidden}"
    return (
        f'<!doctype html><meta charset="utf-8"><style>{style}body{{width:{width}px;height:{height}px}}</style><body>{body}',
        width,
        height,
    )
