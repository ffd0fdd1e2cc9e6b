"""From the network's output to a score: views, scale, bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engines.catalog import Manifest, QualityInput
from engines.errors import EngineError, ManifestError
from engines.quality import QualityEngine, QualityPanel, opinion_score, panel_names
from tests.engines.fakes import QUALITY, FakeNetwork

assert isinstance(QUALITY.input, QualityInput)
LIMITS: QualityInput = QUALITY.input
PICTURE = np.zeros((64, 64, 3), np.uint8)
BENT = ((0.0, 0.0), (50.0, 40.0), (80.0, 90.0), (100.0, 100.0))


def manifest(**changes: Any) -> Manifest:
    limits = LIMITS.model_copy(update={"scale": ()} | changes)
    return QUALITY.model_copy(update={"input": limits})


@pytest.mark.parametrize(("output", "score"), [(0, 0), (25, 20), (50, 40), (65, 65), (80, 90), (100, 100), (-3, 0), (120, 100)])
def test_outputs_become_opinions(output: float, score: float) -> None:
    """Linear between points, bounded outside."""
    assert opinion_score(output, LIMITS.model_copy(update={"scale": BENT})) == pytest.approx(score)


def test_without_points_the_output_is_the_score() -> None:
    """Bounded to 0-100."""
    assert opinion_score(37.5, LIMITS.model_copy(update={"scale": ()})) == 37.5


@pytest.mark.parametrize(
    "points", [[(0, 0), (50, 60), (40, 70), (100, 100)], [(0, 0), (50, 50), (60, 50), (100, 100)], [(0, 1), (100, 100)]]
)
def test_a_scale_that_does_not_rise_is_refused(points: list[tuple[float, float]]) -> None:
    """Two pictures must never change places."""
    with pytest.raises(ValueError, match="must rise"):
        QualityInput.model_validate(LIMITS.model_dump() | {"scale": points})


def test_the_manifest_says_how_large() -> None:
    """Longest side."""
    network = FakeNetwork(lambda batch: np.array([50.0], np.float32))
    QualityEngine(manifest(longest_side=500), network).score(np.zeros((600, 1000, 3), np.uint8))
    assert network.shapes == [(1, 3, 300, 500)]


def test_a_panel_gives_the_mean() -> None:
    """Of all its members, under all their names."""

    def member(name: str, score: float) -> QualityEngine:
        network = FakeNetwork(lambda batch: np.array([score], np.float32))
        return QualityEngine(manifest().model_copy(update={"name": name}), network)

    members = [member("first", 40), member("second", 70)]
    panel = QualityPanel(members)
    assert panel.score(np.zeros((64, 64, 3), np.uint8)) == 55
    assert panel.label == f"first@{QUALITY.version}+second@{QUALITY.version}"
    assert QualityPanel(members[:1]).digest != panel.digest != QualityPanel(members[::-1]).digest


KINDS = ("photo", "drawing")


def telling(*answers: float, text: bool = False) -> QualityEngine:
    """An engine that says what kind of picture it is, and with ``text`` where there is none."""
    limits = manifest(kinds=KINDS, text=text, text_below=0.02 if text else 0.0)
    return QualityEngine(limits, FakeNetwork(lambda batch: np.array([answers], np.float32)))


def test_kinds_and_ruin_follow_the_score() -> None:
    """By their names; without them an engine says neither."""
    said = telling(70, 0.25, 0.75, 0.1).judge(PICTURE)
    assert (said.score, said.kinds, said.ruined) == (70, {"photo": 0.25, "drawing": 0.75}, 0.1)
    network = FakeNetwork(lambda batch: np.array([50.0], np.float32))
    silent = QualityEngine(manifest(), network).judge(PICTURE)
    assert (silent.kinds, silent.ruined) == ({}, None)


@pytest.mark.parametrize(("probability", "textless"), [(0.0, True), (0.019, True), (0.021, False), (1.0, False)])
def test_an_engine_may_be_sure_that_there_is_no_text(probability: float, textless: bool) -> None:
    """Below the limit of its manifest alone; what stands before it is what it was."""
    engine = telling(70, 0.25, 0.75, 0.1, probability, text=True)
    said = engine.judge(PICTURE)
    assert (said.kinds, said.ruined, said.textless) == ({"photo": 0.25, "drawing": 0.75}, 0.1, textless)
    assert QualityPanel([engine]).judge(PICTURE).textless is textless
    assert QualityPanel([engine, telling(60, 0.2, 0.8, 0.4)]).judge(PICTURE).textless is textless


@pytest.mark.parametrize("answers", [(70.0,), (70, 0.5, 0.5), (70, 0.5, 0.5, 0.1, 0.1), (70, 0.5, float("nan"), 0.1)])
def test_other_answers_than_promised_are_refused(answers: tuple[float, ...]) -> None:
    """More, fewer, or none that are numbers."""
    with pytest.raises(EngineError, match="answered"):
        telling(*answers).judge(PICTURE)


def test_a_panel_tells_what_its_telling_members_tell() -> None:
    """Scores are the mean of all, kinds of those that know them."""
    silent = QualityEngine(manifest(), FakeNetwork(lambda batch: np.array([40.0], np.float32)))
    said = QualityPanel([telling(60, 0.2, 0.8, 0.4), telling(80, 0.4, 0.6, 0.0), silent]).judge(PICTURE)
    assert (said.score, said.ruined) == (60, 0.2)
    assert said.kinds == {"photo": pytest.approx(0.3), "drawing": pytest.approx(0.7)}
    assert QualityPanel([silent]).judge(PICTURE).ruined is None


def test_names_choose_the_panel() -> None:
    """One, or several joined."""
    assert panel_names("mine") == ("mine",)
    assert panel_names("mine+yours") == ("mine", "yours")


@pytest.mark.parametrize("choice", ["", "+", "mine+", "mine+mine"])
def test_a_choice_that_makes_no_panel_is_refused(choice: str) -> None:
    """With what may be chosen."""
    with pytest.raises(ManifestError, match="joined by"):
        panel_names(choice)
