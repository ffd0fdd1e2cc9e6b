"""Logos and icons; and things in a studio. Illustrations are in ``scenes``."""

from __future__ import annotations

from engines.training.material.page import Page, box, shown

__all__ = ["on_ground", "sheet", "studio", "word_mark"]


def on_ground(page: Page) -> str:
    """One drawing, large, on a ground; sometimes with a name below, or an agency's bar."""
    size = page.between(0.35, 0.85)
    ground = page.one(("#fff", "#000", "#f4f4f4", page.colour(), page.ground()))
    drawing = shown(
        page.one(page.drawings),
        f"position:absolute;left:{50 * (1 - size):.0f}%;top:{45 * (1 - size):.0f}%;"
        f"width:{size:.0%};height:{size:.0%};object-fit:contain",
    )
    name = box(
        page.letters(
            page.width * page.between(0.05, 0.12),
            page.colour((0.1, 0.9)),
            "position:absolute;bottom:9%;left:0;right:0;text-align:center",
        ),
        page.write.title(),
    )
    agency = box(
        "position:absolute;bottom:0;left:0;right:0;background:#15171c;padding:7px 14px",
        box(page.letters(14, "#fff"), f"StockDrawings® &nbsp; {page.write.number()}"),
    )
    return (
        box(f"position:absolute;inset:0;background:{ground}")
        + drawing
        + (name if page.chance(0.4) else "")
        + (agency if page.chance(0.2) else "")
    )


def sheet(page: Page) -> str:
    """A sheet of icons."""
    columns, rows = int(page.between(2, 7)), int(page.between(2, 6))
    framed = page.chance(0.3)
    cells = "".join(
        box(
            "display:flex;align-items:center;justify-content:center;"
            f"{f'background:{page.colour()};border-radius:18%' if framed else ''}",
            shown(page.one(page.drawings), "width:72%;height:72%;object-fit:contain"),
        )
        for _ in range(columns * rows)
    )
    ground = page.one(("#fff", "#fafafa", page.colour((0.7, 0.97)), page.colour()))
    return box(
        f"position:absolute;inset:0;background:{ground};padding:5%;display:grid;"
        f"grid-template:repeat({rows},1fr)/repeat({columns},1fr);gap:12px",
        cells,
    )


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
    title = box(
        page.letters(
            page.width * page.between(0.1, 0.2), ink, f"{effect};text-align:center;font-style:{page.one(('normal', 'italic'))}"
        ),
        page.write.title(),
    )
    mark = shown(page.one(page.drawings), "height:30%;width:100%;object-fit:contain") if page.chance(0.4) else ""
    return box(
        f"position:absolute;inset:0;background:{ground};display:flex;"
        "flex-direction:column;align-items:center;justify-content:center",
        mark + box(frame, title),
    )


def studio(page: Page) -> str:
    """A thing alone on a studio's ground; sometimes between bars, with a mark in the corner or a size beside it."""
    ground = page.one(("#fff", "#fff", "#f2f2f2", page.colour((0.85, 0.97), (0.0, 0.4)), "radial-gradient(#fff,#d8d8d8)"))
    size = page.between(0.5, 0.9)
    place = (
        f"position:absolute;left:{50 * (1 - size):.0f}%;top:{50 * (1 - size):.0f}%;"
        f"width:{size:.0%};height:{size:.0%};object-fit:contain;mix-blend-mode:multiply"
    )
    mark = shown(page.one(page.drawings), "position:absolute;left:3%;top:3%;width:14%;object-fit:contain")
    label = box(
        page.letters(page.width * 0.035, "#555", f"position:absolute;{page.one(('left', 'right'))}:5%;bottom:4%"),
        page.write.phrase(),
    )
    bar = page.colour((0.2, 0.9), (0.0, 0.5))
    wide, side = page.between(2, 14), page.one(("left:0;right:0;height", "top:0;bottom:0;width"))
    ends = ("top", "bottom") if "height" in side else ("left", "right")
    bars = "".join(box(f"position:absolute;{end}:0;{side}:{wide:.0f}%;background:{bar}") for end in ends)
    extra = "".join(part for part, share in ((mark, 0.3), (label, 0.3), (bars, 0.2)) if page.chance(share))
    return box(f"position:absolute;inset:0;background:{ground}") + shown(page.one(page.things), place) + extra
