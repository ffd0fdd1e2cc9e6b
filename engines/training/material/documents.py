"""Pages of offices: certificates, contracts, forms, slips."""

from __future__ import annotations

from engines.training.material.page import Page, box

__all__ = ["certificate", "form", "receipt", "running_text"]


def certificate(page: Page) -> str:
    """A border, a title, a name, a seal."""
    ink, seal = page.colour((0.1, 0.35)), "#c8102e"
    border = f"border:{page.between(3, 16):.0f}px {page.one(('double', 'ridge', 'solid', 'groove'))} {page.colour((0.3, 0.6))}"
    body = box(
        page.letters(page.width * page.between(0.07, 0.11), page.one((ink, seal)), "text-align:center;letter-spacing:.15em"),
        page.write.certificate(),
    )
    body += box(
        page.letters(page.width * 0.03, "#222", "margin:6% 4%;line-height:1.9;font-weight:400"),
        page.write.paragraph(int(page.between(2, 5))),
    )
    body += box(
        page.letters(page.width * 0.028, "#222", "text-align:right;font-weight:400"),
        f"No. {page.write.number()}<br>2026-{page.write.number(2)}",
    )
    stamp = box(
        f"position:absolute;right:{page.between(8, 30):.0f}%;bottom:{page.between(8, 20):.0f}%;"
        f"width:{page.width * 0.17:.0f}px;height:{page.width * 0.17:.0f}px;"
        f"border:4px solid {seal};border-radius:50%;opacity:.75;display:flex;align-items:center;"
        f"justify-content:center;transform:rotate({page.between(-20, 20):.0f}deg)",
        box(page.letters(page.width * 0.06, seal), "★"),
    )
    paper = page.one(("#fff", "#fdf8e8", "#fffdf5", "#f4f8ff"))
    return box(
        f"position:absolute;inset:0;background:{paper};padding:3%",
        box(f"{border};height:86%;padding:5%;position:relative", body + stamp),
    )


def running_text(page: Page) -> str:
    """A contract, a letter, a report: headings and paragraphs."""
    size = page.width * page.between(0.018, 0.028)
    blocks = box(page.letters(size * 1.9, "#111", "text-align:center;margin-bottom:4%"), page.write.certificate())
    for number in range(int(page.between(3, 9))):
        blocks += box(page.letters(size * 1.15, "#111", "margin-top:2%"), f"{number + 1}. {page.write.phrase()}")
        blocks += box(
            page.letters(size, "#222", "line-height:1.7;font-weight:400"), page.write.paragraph(int(page.between(2, 6)))
        )
    return box(f"position:absolute;inset:0;background:#fff;padding:{page.between(5, 10):.0f}%;overflow:hidden", blocks)


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
    head = box(page.letters(size * 1.8, "#111", "text-align:center;margin:3%"), page.write.certificate())
    table = f'<table style="border-collapse:collapse;width:92%;margin:0 4%">{rows}</table>'
    return box(f"position:absolute;inset:0;background:{page.one(('#fff', '#fcfcf7'))};overflow:hidden", head + table)


def receipt(page: Page) -> str:
    """A till's slip."""
    size = page.width * 0.04
    line = f"font:400 {size:.0f}px 'DejaVu Sans Mono','Noto Sans Mono CJK SC',monospace;color:#222"
    rows = "".join(
        box(
            f"{line};display:flex;justify-content:space-between;margin:{size * 0.3:.0f}px 0",
            f"<span>{page.write.sentence(3, 7)}</span><span>{page.write.price()}</span>",
        )
        for _ in range(int(page.between(5, 14)))
    )
    head = box(f"{line};font-size:{size * 1.6:.0f}px;text-align:center", page.write.title()) + box(
        f"{line};text-align:center;border-bottom:1px dashed #444", page.write.number(11)
    )
    total = box(f"{line};font-size:{size * 1.4:.0f}px;border-top:1px dashed #444;text-align:right", page.write.price())
    return box("position:absolute;inset:0;background:#fefefe;padding:6%;overflow:hidden", head + rows + total)
