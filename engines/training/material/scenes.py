"""Illustrations: streets, shops, boards with words, several of them in panels."""

from __future__ import annotations

from engines.training.material.page import Page, box, shown

__all__ = ["board", "panels", "scene", "shop"]


def scene(page: Page) -> str:
    """An illustration: sky, hills, a house or two, drawn things."""
    sky, hill, near = page.colour((0.6, 0.9)), page.colour((0.35, 0.7)), page.colour((0.25, 0.6))
    houses = ""
    for _ in range(int(page.between(1, 5))):
        left, tall, wide = page.between(0, 80), page.between(18, 50), page.between(10, 26)
        panes = "".join(
            box(f"width:22%;height:22%;margin:6%;background:{page.colour((0.7, 0.95))};display:inline-block")
            for _ in range(int(page.between(2, 7)))
        )
        roof = "clip-path:polygon(0 18%,50% 0,100% 18%,100% 100%,0 100%);" if page.chance(0.5) else ""
        houses += box(
            f"position:absolute;left:{left:.0f}%;bottom:18%;width:{wide:.0f}%;"
            f"height:{tall:.0f}%;background:{page.colour()};{roof}padding-top:8%;overflow:hidden",
            panes,
        )
    things = "".join(
        shown(
            page.one(page.drawings),
            f"position:absolute;left:{page.between(0, 85):.0f}%;bottom:{page.between(4, 60):.0f}%;"
            f"width:{page.between(8, 24):.0f}%;object-fit:contain",
        )
        for _ in range(int(page.between(2, 8)))
    )
    hills = box(f"position:absolute;left:-10%;bottom:-20%;width:75%;height:60%;border-radius:50%;background:{hill}")
    ground = box(f"position:absolute;left:0;right:0;bottom:0;height:20%;background:{near}")
    return box(f"position:absolute;inset:0;background:linear-gradient({sky},#fff)") + hills + ground + houses + things


def sky(page: Page) -> str:
    """Day, dusk or night; sometimes a sun or a moon, with or without a glow."""
    first, second = page.colour((0.05, 0.9)), page.colour((0.3, 0.97))
    size, left, top = page.between(6, 22), page.between(0, 90), page.between(2, 40)
    light = page.colour((0.8, 0.98))
    glow = f"box-shadow:0 0 {page.between(5, 60):.0f}px {light};" if page.chance(0.5) else ""
    place = f"position:absolute;left:{left:.0f}%;top:{top:.0f}%;width:{size:.0f}%"
    disc = box(f"{place};aspect-ratio:1;border-radius:50%;background:{light};{glow}")
    return box(f"position:absolute;inset:0;background:linear-gradient({first},{second})") + (disc if page.chance(0.6) else "")


def trees(page: Page) -> str:
    """Round or pointed, in a row."""
    made = ""
    for _ in range(int(page.between(0, 7))):
        left, wide, tall = page.between(-5, 95), page.between(5, 14), page.between(10, 34)
        crown = page.one(("border-radius:50%", "clip-path:polygon(50% 0,100% 100%,0 100%)", "border-radius:50% 50% 20% 20%"))
        trunk = box(f"position:absolute;left:44%;bottom:0;width:12%;height:60%;background:{page.colour((0.2, 0.4))}")
        top = box(f"position:absolute;left:0;right:0;top:0;height:75%;background:{page.colour((0.25, 0.6))};{crown}")
        made += box(f"position:absolute;left:{left:.0f}%;bottom:8%;width:{wide:.0f}%;height:{tall:.0f}%", trunk + top)
    return made


def shop(page: Page) -> str:
    """A shop's front below a sky: wall, sign, awning, window, door; sometimes with a headline in the sky."""
    wide, tall = page.between(40, 96), page.between(30, 62)
    left = page.between(0, 100 - wide)
    stripe, second = page.colour((0.3, 0.8)), page.one(("#fff", page.colour((0.3, 0.9))))
    bricks = f"repeating-linear-gradient({page.colour((0.3, 0.7))} 0 14px,{page.colour((0.3, 0.7))} 14px 16px)"
    wall = page.one((page.colour((0.3, 0.9)), bricks))
    letters = page.letters(
        page.width * wide / 100 * page.between(0.06, 0.12),
        page.one(("#fff", page.colour())),
        "text-align:center;white-space:nowrap;overflow:hidden",
    )
    sign = box(f"background:{page.colour((0.15, 0.8))};padding:2%", box(letters, page.write.title()))
    awning = box(f"height:14%;margin:0 -2%;background:repeating-linear-gradient(90deg,{stripe} 0 24px,{second} 24px 48px)")
    panes = box("flex:1;display:flex", "".join(pane(page) for _ in range(int(page.between(1, 5)))))
    front = box(
        f"position:absolute;left:{left:.0f}%;bottom:8%;width:{wide:.0f}%;height:{tall:.0f}%;background:{wall};"
        "display:flex;flex-direction:column",
        sign + (awning if page.chance(0.6) else "") + panes,
    )
    deep = page.between(8, 22)
    ground = box(f"position:absolute;left:0;right:0;bottom:0;height:{deep:.0f}%;background:{page.colour((0.25, 0.8))}")
    place = "position:absolute;top:6%;left:6%;right:6%;text-align:center"
    headline = page.letters(page.width * page.between(0.05, 0.1), page.one(("#fff", "#111", page.colour())), place)
    told = box(headline, page.write.title()) if page.chance(0.4) else ""
    return sky(page) + ground + trees(page) + front + told


def pane(page: Page) -> str:
    """A window or a door; sometimes with something in it."""
    glass = f"linear-gradient({page.between(0, 180):.0f}deg,{page.colour((0.6, 0.95))},{page.colour((0.5, 0.9))})"
    rim = f"border:{page.between(0, 5):.0f}px solid {page.colour((0.15, 0.6))}"
    thing = shown(page.one(page.drawings), "width:100%;height:60%;object-fit:contain") if page.chance(0.4) else ""
    return box(f"flex:1;margin:2%;background:{glass};{rim}", thing)


SHAPES = (
    "border-radius:4%",
    "border-radius:50%",
    "clip-path:polygon(0 0,100% 0,92% 50%,100% 100%,0 100%,8% 50%)",
    "border-radius:24px",
)
"""Of boards: square, round, a ribbon."""


def board(page: Page) -> str:
    """A board, a badge or a ribbon with words: on a ground, or hung up on a string."""
    wide, tall = page.between(45, 88), page.between(25, 70)
    wood = f"repeating-linear-gradient({page.colour((0.15, 0.5))} 0 38px,{page.colour((0.1, 0.4))} 38px 42px)"
    shade = f"linear-gradient({page.colour()},{page.colour((0.1, 0.5))})"
    face = page.one((wood, page.colour(), page.ground(), shade))
    edge = f"border:{page.between(4, 16):.0f}px {page.one(('solid', 'double', 'ridge'))} {page.colour()};"
    rim = page.one(("", edge, f"box-shadow:6px 10px {page.between(0, 30):.0f}px #0008;"))
    effect = page.one(("", "text-shadow:3px 3px 0 #0007", "-webkit-text-stroke:2px #0008"))
    ink = page.one(("#fff", "#111", page.colour((0.1, 0.95))))
    letters = page.letters(page.width * page.between(0.07, 0.14), ink, f"line-height:1.1;text-align:center;{effect}")
    mark = shown(page.one(page.drawings), "height:40%;width:100%;object-fit:contain") if page.chance(0.4) else ""
    string = box(f"position:absolute;left:49.7%;top:0;width:3px;height:40%;background:{page.colour((0.2, 0.9))}")
    lattice = ",".join(f"repeating-linear-gradient({angle}deg,transparent 0 18px,#0002 18px 19px)" for angle in (7, 97))
    meadow = f"linear-gradient({page.colour((0.5, 0.95))},#fff 55%,{page.colour((0.3, 0.7))})"
    ground = page.one((page.ground(), "#fff", f"{lattice},{page.colour((0.8, 0.97), (0.0, 0.4))}", meadow))
    place = f"left:{(100 - wide) / 2:.0f}%;top:{(100 - tall) / 2:.0f}%;width:{wide:.0f}%;height:{tall:.0f}%"
    hung = box(
        f"position:absolute;{place};background:{face};{rim}{page.one(SHAPES)};"
        "display:flex;flex-direction:column;align-items:center;justify-content:center;overflow:hidden",
        mark + box(letters, page.write.title()),
    )
    return box(f"position:absolute;inset:0;background:{ground}") + (string if page.chance(0.4) else "") + hung


def panels(page: Page) -> str:
    """Several scenes side by side, with white between them or in a frame."""
    columns, rows = int(page.between(1, 4)), int(page.between(2, 4))
    cells = "".join(
        box("position:relative;overflow:hidden", sky(page) + page.draw((trees, lone, lone))) for _ in range(columns * rows)
    )
    ground = page.one(("#fff", "#fff", page.colour((0.85, 0.97))))
    rim = page.one(("", f"border:{page.between(3, 14):.0f}px dashed {page.colour()};"))
    return box(
        f"position:absolute;inset:0;background:{ground};{rim}padding:{page.between(0, 6):.0f}%;display:grid;"
        f"grid-template:repeat({rows},1fr)/repeat({columns},1fr);gap:{page.between(2, 5):.0f}%",
        cells,
    )


def lone(page: Page) -> str:
    """One drawn thing, or words on a sign that stands on a pole."""
    if page.chance(0.5):
        return shown(page.one(page.drawings), "position:absolute;left:15%;top:12%;width:70%;height:76%;object-fit:contain")
    ink = page.colour((0.4, 0.95), (0.6, 1.0))
    glow = f"box-shadow:0 0 14px {ink},inset 0 0 14px {ink};text-shadow:0 0 8px {ink};" if page.chance(0.5) else ""
    pole = box(f"position:absolute;left:47%;bottom:0;width:6%;height:50%;background:{page.colour((0.1, 0.5))}")
    return pole + box(
        f"position:absolute;left:12%;top:18%;width:76%;height:44%;background:{page.colour((0.1, 0.6))};"
        f"border:4px solid {ink};border-radius:{page.one(('50%', '8px', '40px'))};{glow}"
        "display:flex;align-items:center;justify-content:center;overflow:hidden;text-align:center",
        box(page.letters(page.width * 0.05, ink), page.write.title()),
    )
