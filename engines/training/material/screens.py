"""What stands on screens: sites, conversations, programs."""

from __future__ import annotations

from engines.training.material.page import Page, box, shown

__all__ = ["chat", "web_page", "window"]


def web_page(page: Page) -> str:
    """A site: navigation, a picture, cards, an aside."""
    accent = page.colour((0.3, 0.55))
    dark = page.chance(0.25)
    paper, ink = ("#1b1d22", "#ddd") if dark else (page.one(("#fff", "#f5f6f8")), "#222")
    bar = box(
        f"background:{page.one((accent, paper, '#fff', '#111'))};"
        "padding:10px 24px;display:flex;gap:28px;border-bottom:1px solid #8883",
        "".join(
            box(page.letters(15, page.one((ink, accent, "#888"))), page.write.sentence(2, 5))
            for _ in range(int(page.between(3, 7)))
        ),
    )
    columns = 1 if page.width < 500 else int(page.between(2, 5))
    cards = "".join(
        box(
            f"background:{'#26292f' if dark else '#fff'};border:1px solid #8884;"
            f"border-radius:{page.between(0, 12):.0f}px;overflow:hidden",
            (
                shown(
                    page.one(page.photos if page.chance(0.6) else page.things),
                    f"width:100%;height:{page.between(90, 170):.0f}px",
                )
                if page.chance(0.75)
                else ""
            )
            + box(
                "padding:10px",
                box(page.letters(15, ink), page.write.phrase())
                + box(page.letters(12, "#888", "font-weight:400"), page.write.sentence()),
            ),
        )
        for _ in range(columns * int(page.between(2, 6)))
    )
    search = box(
        "border:1px solid #8888;border-radius:18px;padding:8px 16px;margin:14px 24px;width:50%",
        box(page.letters(13, "#999"), page.write.phrase()),
    )
    grid = box(f"display:grid;grid-template-columns:repeat({columns},1fr);gap:16px;padding:16px 24px", cards)
    return box(
        f"position:absolute;inset:0;background:{paper};overflow:hidden", bar + (search if page.chance(0.5) else "") + grid
    )


def chat(page: Page) -> str:
    """A conversation on a telephone."""
    mine = page.one(("#95ec69", "#0b84ff", page.colour((0.5, 0.8))))
    bubbles = ""
    for _ in range(int(page.between(5, 12))):
        right = page.chance(0.5)
        side, tint = ("flex-end", mine) if right else ("flex-start", "#fff")
        bubble = box(
            f"max-width:68%;background:{tint};border-radius:10px;padding:9px 12px",
            box(page.letters(15, "#111", "font-weight:400"), page.write.sentence(3, 26)),
        )
        face = shown(page.one(page.photos), "width:36px;height:36px;border-radius:6px;margin:0 8px")
        bubbles += box(f"display:flex;justify-content:{side};margin:12px 4px", bubble + face if right else face + bubble)
    status = box(
        "display:flex;justify-content:space-between;padding:6px 16px;background:#ededed",
        box(page.letters(13, "#111"), "9:41") + box(page.letters(13, "#111"), "5G ▮▮▮ 87%"),
    )
    head = box(
        "padding:10px;text-align:center;background:#ededed;border-bottom:1px solid #ccc",
        box(page.letters(17, "#111"), page.write.sentence(2, 6)),
    )
    return box(
        f"position:absolute;inset:0;background:{page.one(('#ededed', '#fff', '#e5ddd5', '#1c1c1e'))};overflow:hidden",
        status + head + bubbles,
    )


def window(page: Page) -> str:
    """A program on a desktop: a title bar, a tree, text or cells."""
    dark = page.chance(0.5)
    paper, ink = ("#1e1e1e", "#d4d4d4") if dark else ("#fff", "#222")
    buttons = "".join(
        box(f"width:12px;height:12px;border-radius:50%;background:{colour};margin-right:8px")
        for colour in ("#ff5f57", "#febc2e", "#28c840")
    )
    bar = box(
        f"display:flex;align-items:center;padding:9px 12px;background:{'#333' if dark else '#e8e8e8'}",
        buttons + box(page.letters(13, ink), page.write.phrase()),
    )
    tree = "".join(
        box(page.letters(13, ink, f"padding:3px {page.between(8, 40):.0f}px;font-weight:400"), page.write.sentence(2, 8))
        for _ in range(24)
    )
    mono = "font:400 14px 'DejaVu Sans Mono','Noto Sans Mono CJK SC',monospace;white-space:pre"
    text = "".join(
        box(
            f"{mono};color:{page.one((ink, '#569cd6', '#ce9178', '#6a9955'))}",
            f"{number + 1:>4}  {'    ' * int(page.between(0, 4))}{page.write.sentence(4, 22)}",
        )
        for number in range(34)
    )
    body = box(
        "display:flex;height:100%",
        box(f"width:22%;background:{'#252526' if dark else '#f3f3f3'};overflow:hidden", tree)
        + box(f"flex:1;background:{paper};padding:8px", text),
    )
    return box("position:absolute;inset:0;overflow:hidden", bar + body)
