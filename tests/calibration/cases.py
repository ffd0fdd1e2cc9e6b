"""Labelled pictures that never were: readings made up so that every rule has something to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from calibration.chain import Category
from calibration.evaluate import Case, make_cases
from calibration.labels import Label
from calibration.profile import Profile
from calibration.readings import Reading
from calibration.signals import Background, TextLine

PHOTO = Background(0.2, 0.2, 1.0, 40)
LOGO = Background(0.8, 1.0, 0.02, 40, palette=0.95, flat=0.8)


def picture(raw: float, category: Category | None, kind: str = "photo", split: str = "", **more: Any) -> tuple[Label, Reading]:
    told = more.pop("told", None)
    known = {name: more.pop(name) for name in ("text_area_true", "opinion") if name in more}
    fields: dict[str, Any] = {"raw_score": raw, "width": 800, "height": 600, "background": PHOTO, "kind": told, **more}
    name = f"{kind}-{raw}.jpg"
    label = Label(Path(name), name, category, kind, split, known.get("text_area_true"), known.get("opinion"))
    return label, Reading(sha256=name, costs={"decode": 4.0, "background": 2.0, "text_detection": 50.0}, **fields)


MIXED = [
    picture(75, "high"),
    picture(58, "high"),
    picture(8, "low", "ruined"),
    picture(45, "low", "ruined"),
    picture(12, "medium", "logo", background=LOGO),
    picture(78, "medium", "poster", text_area=0.42, text_area_true=0.41),
    picture(77, "medium", "certificate", lines=(TextLine("CERTIFICATE", 0.08),)),
    picture(76, "medium", "banner", width=1600, height=400),
    picture(71, "low", "tiny", width=200, height=180),
    picture(70, None, "rated", opinion=66.0),
    picture(30, None, "rated", opinion=35.0),
    picture(50, None, "rated", opinion=41.0),
]


def cases(profile: Profile, made: list[tuple[Label, Reading]] | None = None) -> list[Case]:
    labels, readings = zip(*(made or MIXED), strict=True)
    return make_cases(labels, readings, profile)
