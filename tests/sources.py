"""Folders that benchmarks are built from, made by code."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

from tests.pictures import photo

__all__ = ["make_sources"]


def make_sources(root: Path) -> None:
    """photos/, trained/ (16 each), logos/ (4, with alpha), products/ (4), clive/ (3, rated), signs/ (2, with boxes)."""
    for folder in ("photos", "trained", "logos", "products", "clive/images", "signs/boxes"):
        (root / folder).mkdir(parents=True)
    for number in range(16):
        photo(480, 360, number).save(root / "photos" / f"p{number:02}.jpg")
        photo(400, 500, 50 + number).save(root / "trained" / f"t{number:02}.jpg")
    for number in range(4):
        mark = Image.new("RGBA", (300, 200), (0, 0, 0, 0))
        ImageDraw.Draw(mark).ellipse((20, 20, 280, 180), fill=(200, 40 * number, 30, 255))
        mark.save(root / "logos" / f"l{number}.png")
        shot = Image.new("RGB", (200, 200), "white")
        ImageDraw.Draw(shot).rectangle((60, 30, 140, 180), fill=(30, 120, 40 * number))
        shot.save(root / "products" / f"s{number}.jpg")
    rows = ["file,mos,split,defect"]
    for number, (mos, split) in enumerate([(20, "train"), (50, "val"), (61, "val")]):
        photo(320, 300, 90 + number).save(root / "clive/images" / f"{number}.bmp")
        rows.append(f"{number}.bmp,{mos},{split},blur")
    (root / "clive" / "labels.csv").write_text("\n".join(rows) + "\n")
    for number in range(2):
        photo(400, 300, 70 + number).save(root / "signs" / f"{number}.jpg")
        (root / "signs" / "boxes" / f"{number}.csv").write_text(
            "difficult,x,y,width,height,angle_radians\n0,100,100,200,60,0\n0,100,100,200,60,0.0\n0,20,200,60,60,1.5707963\n"
        )
