"""Posters and adverts: letters and pictures that were put together to be read."""

from __future__ import annotations

from engines.training.material.page import Page, box, lines, shown

__all__ = [
    "collage",
    "glowing",
    "letters_on_photo",
    "only_letters",
    "photo_and_band",
    "thing_on_rays",
    "thing_with_price",
    "vacancies",
]


def letters_on_photo(page: Page) -> str:
    """A photo dimmed behind large letters."""
    shade = page.one(("rgba(0,0,0,.55)", "rgba(255,255,255,.6)", f"{page.colour()}99"))
    ink = "#111" if "255" in shade else "#fff"
    inner = box(page.letters(page.width * page.between(0.09, 0.17), ink, "line-height:1.1"), page.write.title())
    inner += lines(page, int(page.between(1, 5)), page.width * page.between(0.035, 0.055), ink)
    place = page.one(("center", "flex-start", "flex-end"))
    overlay = (
        f"position:absolute;inset:0;background:{shade};display:flex;flex-direction:column;"
        f"justify-content:{place};padding:8%;text-align:{page.one(('left', 'center'))}"
    )
    return shown(page.one(page.photos), "position:absolute;width:100%;height:100%") + box(overlay, inner)


def photo_and_band(page: Page) -> str:
    """A photo and a band of colour with what there is to say."""
    share = page.between(0.35, 0.65)
    ink = page.one(("#fff", "#111", page.colour((0.1, 0.3))))
    told = box(page.letters(page.width * page.between(0.07, 0.12), ink), page.write.title())
    told += lines(page, int(page.between(1, 4)), page.width * page.between(0.03, 0.05), ink)
    picture = shown(page.one(page.photos), f"width:100%;height:{share:.0%};display:block")
    band = box(f"height:{1 - share:.0%};background:{page.ground()};padding:4% 7%;overflow:hidden", told)
    return picture + band if page.chance(0.6) else band + picture


def thing_with_price(page: Page) -> str:
    """A thing on a loud ground, its price in a burst, promises in ribbons."""
    burst = page.colour((0.4, 0.6), (0.8, 1.0))
    size = page.width * page.between(0.2, 0.3)
    price = box(
        f"position:absolute;right:{page.between(2, 12):.0f}%;"
        f"top:{page.between(5, 60):.0f}%;width:{size:.0f}px;height:{size:.0f}px;"
        f"border-radius:{page.one(('50%', '8px', '50% 50% 0 50%'))};"
        f"background:{burst};display:flex;align-items:center;justify-content:center;"
        f"transform:rotate({page.between(-15, 15):.0f}deg)",
        box(page.letters(size * 0.3, "#fff"), page.write.price()),
    )
    thing = shown(
        page.one(page.things),
        "position:absolute;left:14%;top:20%;width:64%;height:56%;object-fit:contain;mix-blend-mode:multiply",
    )
    top = box(
        page.letters(
            page.width * page.between(0.06, 0.1),
            page.one(("#fff", "#e60012", "#ffe100", "#111")),
            "position:absolute;top:4%;left:5%;right:5%;text-align:center",
        ),
        page.write.title(),
    )
    foot = box(
        f"position:absolute;bottom:0;left:0;right:0;background:{burst};padding:2% 5%",
        box(page.letters(page.width * page.between(0.04, 0.06), "#fff", "text-align:center"), page.write.phrase()),
    )
    ribbon = box(
        page.letters(
            page.width * 0.035,
            "#fff",
            f"position:absolute;left:0;top:{page.between(15, 70):.0f}%;background:{page.colour()};padding:6px 14px",
        ),
        page.write.phrase(),
    )
    return (
        box(f"position:absolute;inset:0;background:{page.ground()}")
        + thing
        + top
        + foot
        + price
        + (ribbon if page.chance(0.5) else "")
    )


def only_letters(page: Page) -> str:
    """Typography: a few large words, some small ones."""
    ink = page.one(("#fff", "#111", page.colour((0.1, 0.9))))
    title = box(page.letters(page.width * page.between(0.12, 0.22), ink, "line-height:1.05"), page.write.title())
    rest = lines(page, int(page.between(2, 7)), page.width * page.between(0.03, 0.05), ink)
    frame = f"border:{page.between(0, 10):.0f}px {page.one(('solid', 'double', 'dashed'))} {ink};" if page.chance(0.5) else ""
    inner = box(f"{frame}margin:5%;padding:5%;height:80%;text-align:{page.one(('left', 'center'))}", title + rest)
    return box(f"position:absolute;inset:0;background:{page.ground()}", inner)


def vacancies(page: Page) -> str:
    """Positions in boxes below a headline, a drawing beside it."""
    ink, tint = page.colour((0.2, 0.4)), page.colour((0.85, 0.97))
    rows = "".join(
        box(
            f"background:{tint};border-left:8px solid {ink};margin:2% 6%;padding:2% 4%",
            box(page.letters(page.width * 0.045, ink), page.write.phrase())
            + box(page.letters(page.width * 0.03, "#444"), page.write.phrase()),
        )
        for _ in range(int(page.between(2, 5)))
    )
    head = box(
        f"background:{page.ground()};padding:6%;height:22%;position:relative",
        box(page.letters(page.width * 0.12, "#fff", "text-shadow:0 2px 6px #0008"), page.write.title())
        + shown(page.one(page.drawings), "position:absolute;right:4%;top:10%;height:80%;width:25%;object-fit:contain"),
    )
    return box(f"position:absolute;inset:0;background:{page.one(('#fff', tint, '#fafafa'))}", head + rows)


def thing_on_rays(page: Page) -> str:
    """A thing, turned, before rays or stripes of light, its name across a corner."""
    first, second = page.colour((0.2, 0.6), (0.6, 1.0)), page.colour((0.4, 0.95), (0.4, 1.0))
    step = page.between(2, 12)
    rays = page.one(
        (
            f"repeating-conic-gradient({first} 0 {step:.0f}deg,{second} {step:.0f}deg {2 * step:.0f}deg)",
            f"radial-gradient(circle,{second},{first})",
            f"repeating-radial-gradient({first} 0 {4 * step:.0f}px,{second} {8 * step:.0f}px)",
        )
    )
    turned = (
        f"transform:rotate({page.between(-35, 35):.0f}deg);{page.one(('mix-blend-mode:multiply', '', 'border-radius:8px'))}"
    )
    place = "position:absolute;left:10%;top:14%;width:80%;height:70%;object-fit:contain"
    thing = shown(page.one(page.things), f"{place};{turned}")
    told = "".join(
        box(
            page.letters(
                page.width * page.between(0.05, 0.1),
                page.one(("#fff", "#ff0", "#e60012", "#111")),
                f"position:absolute;{page.one(('left', 'right'))}:4%;{page.one(('top', 'bottom'))}:{page.between(2, 8):.0f}%;"
                f"transform:rotate({page.between(-30, 30):.0f}deg)",
            ),
            page.write.phrase(),
        )
        for _ in range(int(page.between(1, 3)))
    )
    return box(f"position:absolute;inset:-50%;background:{rays}") + thing + told


def glowing(page: Page) -> str:
    """Lines of letters that shine, as adverts for illuminated signs show them, with words and a price laid over."""
    ink = page.colour((0.5, 0.7), (0.9, 1.0))
    ground = page.one(
        ("#000", "#180404", f"radial-gradient({page.colour((0.2, 0.4))},#000)", page.colour((0.05, 0.3), (0.6, 1.0)))
    )
    signs = "".join(
        box(
            page.letters(
                page.width * page.between(0.1, 0.17),
                page.one((ink, "#fff", "#fee")),
                f"margin:{page.between(1, 5):.0f}% auto;text-align:center;white-space:nowrap;overflow:hidden;"
                f"text-shadow:0 0 6px {ink},0 0 22px {ink};{page.one(('', f'border:4px solid {ink};border-radius:14px;'))}",
            ),
            page.write.title(),
        )
        for _ in range(int(page.between(1, 5)))
    )
    over = "".join(_laid_over(page) for _ in range(int(page.between(0, 3))))
    return box(f"position:absolute;inset:0;background:{ground};padding:5%", signs) + over


def _laid_over(page: Page) -> str:
    """A word or a price, slanted."""
    place = f"position:absolute;left:{page.between(2, 50):.0f}%;top:{page.between(2, 80):.0f}%"
    style = f"{place};font-style:italic;-webkit-text-stroke:1px #fff"
    letters = page.letters(page.width * page.between(0.06, 0.13), page.colour((0.5, 0.8), (0.9, 1.0)), style)
    return box(letters, page.one((page.write.price(), page.write.phrase())))


def collage(page: Page) -> str:
    """Photos in a grid with captions, a headline across."""
    columns, rows = int(page.between(2, 4)), int(page.between(2, 4))
    cells = "".join(
        box(
            "position:relative;overflow:hidden",
            shown(page.one(page.photos), "width:100%;height:100%") + (_caption(page) if page.chance(0.5) else ""),
        )
        for _ in range(columns * rows)
    )
    grid = box(
        f"position:absolute;inset:0;display:grid;grid-template:repeat({rows},1fr)/repeat({columns},1fr);"
        f"gap:{page.between(0, 14):.0f}px;background:{page.colour((0.1, 0.95))}",
        cells,
    )
    band = box(
        f"position:absolute;left:0;right:0;top:{page.between(0, 80):.0f}%;"
        f"background:{page.colour()}dd;padding:2% 4%;text-align:center",
        box(page.letters(page.width * page.between(0.07, 0.12), "#fff"), page.write.title()),
    )
    return grid + band


def _caption(page: Page) -> str:
    style = "position:absolute;bottom:0;left:0;right:0;background:#000a;padding:3px 6px"
    return box(style, box(page.letters(page.width * 0.028, "#fff"), page.write.phrase()))
