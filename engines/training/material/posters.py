"""Posters and adverts: letters and pictures that were put together to be read."""

from __future__ import annotations

from engines.training.material.page import Page, box, lines, shown

__all__ = ["collage", "letters_on_photo", "only_letters", "photo_and_band", "thing_with_price", "vacancies"]


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
