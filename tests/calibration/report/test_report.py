"""The page says what the evaluation says, and its sliders what another profile would."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from calibration.errors import CalibrationError
from calibration.evaluate import Case, evaluate, make_cases
from calibration.profile import OutputMapping, Profile
from calibration.profile_file import load_profile
from calibration.report.write import page_data, write_report
from calibration.signals import Kind
from tests.calibration.cases import LOGO, MIXED, picture
from tests.calibration.cases import cases as made
from tests.needs import chromium
from tests.patience import PATIENCE_S
from tests.pictures import photo

PROFILE = load_profile("recruitment")
MADE = [
    *MIXED,
    picture(44, "medium", "large", width=3000, height=2600),
    picture(49.6, "high", "large", width=3000, height=2600),
    picture(0, "high", "broken", unscorable="truncated"),
    picture(72, "high", "in no doubt", told=Kind("photo", 0.99, 0.99, 0.0)),
    picture(55, "high", "in doubt", told=Kind("poster", 0.6, 0.25, 0.1)),
    picture(70, "medium", "in doubt", told=Kind("poster", 0.6, 0.15, 0.1)),
    picture(30, "low", "in doubt", told=Kind("drawing", 0.6, 0.18, 0.9)),
    picture(33, "medium", "</script><b>odd", background=LOGO, text_area=0.5),
]


@pytest.fixture
def cases(tmp_path: Path) -> list[Case]:
    found = []
    for number, case in enumerate(made(PROFILE, MADE)):
        path = tmp_path / f"{number}.jpg"
        photo(90, 60, number).save(path)
        found.append(replace(case, label=replace(case.label, file=path)))
    return found


def with_cuts(profile: Profile, medium: float, high: float) -> Profile:
    """``profile`` whose medium and high begin elsewhere among the engine's scores."""
    return Profile.model_validate(profile.model_dump() | {"output_mapping": {"medium": medium, "high": high}})


def opened(page: Path, script: str = "") -> str:
    """The page's DOM after its scripts, and ``script`` after them, have run in Chromium."""
    tried = page.with_name("tried.html")
    tried.write_text(page.read_text(encoding="utf-8") + f"<script>{script}</script>", encoding="utf-8")
    command = [
        chromium(),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--virtual-time-budget=2000",
        "--dump-dom",
        str(tried),
    ]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE_S).stdout


def confusion(dom: str) -> list[list[int]]:
    table = re.search(r'<table id="confusion">(.*?)</table>', dom, re.DOTALL)
    assert table
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in table.group(1).split("<tr>")[2:]]
    return [[int(cell) for cell in row[1:]] for row in rows]


def test_page_in_a_browser(cases: list[Case], tmp_path: Path) -> None:
    """It shows the evaluation's confusion and accuracy, the mistakes and their pictures, and loads nothing."""
    found, page = evaluate(cases, PROFILE), tmp_path / "report.html"
    write_report(page, found, cases, PROFILE)
    dom = opened(page)
    assert confusion(dom) == found.calibrated.confusion
    assert f"{100 * found.calibrated.accuracy.value:.1f} %" in dom
    wrong = page_data(found, cases, PROFILE)["mistakes_total"]
    assert f"{wrong} wrong in all" in dom
    assert dom.count('<img src="data:image/jpeg;base64,') >= wrong
    assert "</script><b>odd" in unescape(dom)
    assert not re.search(r'(src|href)="(?!data:)', dom)


@pytest.mark.parametrize("mapping", [PROFILE.output_mapping, None])
@pytest.mark.parametrize(("medium", "high"), [(20, 50), (30, 76.5), (46, 58), (75, 80)])
def test_sliders_recompute_what_another_profile_would_give(
    cases: list[Case], tmp_path: Path, medium: float, high: float, mapping: OutputMapping | None
) -> None:
    """Moved as a person moves them, by an input event; the matrix is that of a profile with those cuts."""
    page = tmp_path / "report.html"
    profile = PROFILE.model_copy(update={"output_mapping": mapping})
    write_report(page, evaluate(cases, profile), cases, profile)
    script = "".join(
        f'{{ const slider = document.getElementById("{name}"); slider.value = {value};'
        ' slider.dispatchEvent(new Event("input")); }'
        for name, value in (("high", high), ("medium", medium), ("high", high))
    )
    dom = opened(page, script)
    changed = with_cuts(profile, medium, high)
    labels, readings = [case.label for case in cases], [case.reading for case in cases]
    assert confusion(dom) == evaluate(make_cases(labels, readings, changed), changed).calibrated.confusion


def test_reset_brings_the_profile_back(cases: list[Case], tmp_path: Path) -> None:
    """One button."""
    found, page = evaluate(cases, PROFILE), tmp_path / "report.html"
    write_report(page, found, cases, PROFILE)
    moved = 'const m = document.getElementById("medium"); m.value = 90; m.dispatchEvent(new Event("input"));'
    assert confusion(opened(page, moved)) != found.calibrated.confusion
    assert confusion(opened(page, moved + 'document.getElementById("reset").click();')) == found.calibrated.confusion


def test_what_the_page_is_made_of(cases: list[Case]) -> None:
    """Worst mistakes first; pictures that a rule moved, under its name; nothing that JSON cannot hold."""
    data = page_data(evaluate(cases, PROFILE), cases, PROFILE)
    json.dumps(data, allow_nan=False)
    assert [card["kind"] for card in data["changed"]["aspect_ratio"]] == ["banner"]
    assert all(card["label"] != card["category"] for card in data["mistakes"])
    assert len(data["pictures"]) + len(data["unjudged"]) == len([case for case in cases if case.label.category])


def test_where_nothing_can_be_written(cases: list[Case], tmp_path: Path) -> None:
    """The message names the file."""
    with pytest.raises(CalibrationError, match="cannot be written"):
        write_report(tmp_path / "no" / "folder.html", evaluate(cases, PROFILE), cases, PROFILE)
