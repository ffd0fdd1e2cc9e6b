"""The index that Prometheus computes by the shipped rules is the one that the code computes."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from calibration.drift import BOUNDS, Reference, parse_references, psi, rules
from tests.k8s.test_alerts import FOLDER, promtool
from worker.telemetry.catalogue import SCORES

__all__ = ["promtool"]

FILE = FOLDER / "drift.yaml"
(SHIPPED,) = parse_references([(FOLDER / "reference.json").read_text(encoding="utf-8")])
A_MINUTE = 10
"""Verdicts, times the number of samples in six hours: 3,600."""


def series(reference: Reference, shares: list[float], a_minute: float) -> list[dict[str, str]]:
    """The histogram of a worker that gives so many verdicts a minute, spread like ``shares``."""
    made, upto = [], 0.0
    for bound, share in zip([*(f"{bound}.0" for bound in BOUNDS), "+Inf"], shares, strict=True):
        upto += share
        name = f'iqa_score_points_bucket{{profile="{reference.profile}",le="{bound}"}}'
        made.append({"series": name, "values": f"0+{upto * a_minute:.9f}x400"})
    made.append(
        {"series": f'iqa_score_points_count{{profile="{reference.profile}"}}', "values": f"0+{a_minute * sum(shares):.9f}x400"}
    )
    return made


def test_the_rules_are_those_of_the_shipped_reference() -> None:
    """Written by ``iqa calibrate drift-rules k8s/monitoring/reference.json``, of the histogram's own bounds."""
    assert yaml.safe_load(FILE.read_text(encoding="utf-8")) == rules([SHIPPED])
    assert BOUNDS == SCORES


@pytest.mark.parametrize("shift", [0, 1, 3])
def test_prometheus_computes_the_index(promtool: str, tmp_path: Path, shift: int) -> None:
    """Of the reference itself it is 0; of scores that are five or fifteen points higher what the code says."""
    shares = [0.0] * shift + list(SHIPPED.shares[: len(SHIPPED.shares) - shift])
    shares[-1] += sum(SHIPPED.shares[len(SHIPPED.shares) - shift :]) if shift else 0
    wanted = psi(shares, SHIPPED.shares)
    assert (wanted < 0.0001) if not shift else (wanted > 0.1)
    played = {
        "interval": "1m",
        "input_series": series(SHIPPED, shares, A_MINUTE),
        "promql_expr_test": [
            {
                "expr": f"abs(iqa:score_psi6h - {wanted:.6f}) < bool 0.002",
                "eval_time": "390m",
                "exp_samples": [{"labels": f'{{profile="{SHIPPED.profile}"}}', "value": 1}],
            }
        ],
    }
    assert run(promtool, tmp_path, played) == ""


def test_few_verdicts_say_nothing(promtool: str, tmp_path: Path) -> None:
    """Of 900 in six hours, or of a profile without a reference, there is no index."""
    other = Reference("other@1", "", "", 0, SHIPPED.shares)
    played = {
        "interval": "1m",
        "input_series": [*series(SHIPPED, list(SHIPPED.shares), 2.5), *series(other, list(SHIPPED.shares), A_MINUTE)],
        "promql_expr_test": [{"expr": "iqa:score_psi6h", "eval_time": "390m", "exp_samples": []}],
    }
    assert run(promtool, tmp_path, played) == ""


def run(promtool: str, folder: Path, played: Mapping[str, object]) -> str:
    plan = {"rule_files": [str(FILE)], "evaluation_interval": "1m", "tests": [played]}
    (folder / "tests.yaml").write_text(yaml.safe_dump(plan), encoding="utf-8")
    done = subprocess.run([promtool, "test", "rules", "tests.yaml"], cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr if done.returncode else ""
