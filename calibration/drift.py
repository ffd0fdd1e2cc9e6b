"""Whether scores are spread as they were: the population stability index, and Prometheus rules that compute it.

The index compares two distributions over the same bins: the sum of (a - b) * ln(a / b). Under 0.1 nothing has changed, from
0.25 on it is another population (N. Siddiqi, Credit Risk Scorecards, 2006). For samples of n and m from one population and k
bins it is (k - 1) * (1/n + 1/m) on average: a thousand verdicts and twenty bins make noise of 0.02 to 0.04.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from calibration.errors import CalibrationError

__all__ = ["BOUNDS", "LEAST", "Reference", "as_json", "parse_references", "psi", "reference_of", "rules", "shares_of"]

BOUNDS = tuple(range(5, 100, 5))
"""Upper bounds of the bins of scores, included; the last bin has what lies above. As the workers' histogram has them."""
FLOOR = 0.0005
"""Shares below count as this: the logarithm knows no 0."""
LEAST = 1000
"""Verdicts within the window, below which nothing is said."""
WINDOW = "6h"


@dataclass(frozen=True)
class Reference:
    """How scores under one profile are spread.

    Attributes:
        profile: as verdicts name it: name and version.
        fingerprint: of engines and profile that gave the scores.
        source: of the pictures, for people.
        count: verdicts with a score.
        shares: of each bin, together 1.

    """

    profile: str
    fingerprint: str
    source: str
    count: int
    shares: tuple[float, ...]


def shares_of(scores: Iterable[float]) -> tuple[float, ...]:
    """The share of each bin; all 0 without scores."""
    counts = Counter(bisect_left(BOUNDS, score) for score in scores)
    total = max(1, counts.total())
    return tuple(round(counts[place] / total, 6) for place in range(len(BOUNDS) + 1))


def psi(shares: Sequence[float], reference: Sequence[float]) -> float:
    """The index of ``shares`` against ``reference``, from 0; both with floors."""
    pairs = [(max(FLOOR, a), max(FLOOR, b)) for a, b in zip(shares, reference, strict=True)]
    return sum((a - b) * math.log(a / b) for a, b in pairs)


def reference_of(verdicts: Iterable[Mapping[str, Any]], source: str) -> Reference:
    """The reference that ``verdicts`` give, JSON objects as workers publish them; those without a score count for nothing.

    Raises:
        CalibrationError: they are of several profiles or fingerprints, or too few.

    """
    scored = [verdict for verdict in verdicts if verdict.get("score") is not None]
    if len(scored) < LEAST:
        raise CalibrationError(f"{len(scored)} verdicts with a score: a reference takes {LEAST} at least")
    kinds = {(str(verdict.get("profile")), str(verdict.get("fingerprint"))) for verdict in scored}
    if len(kinds) > 1:
        told = ", ".join(f"{profile} {fingerprint}" for profile, fingerprint in sorted(kinds))
        raise CalibrationError(f"verdicts of several profiles or fingerprints, take one at a time: {told}")
    (profile, fingerprint), scores = kinds.pop(), [float(verdict["score"]) for verdict in scored]
    return Reference(profile, fingerprint, source, len(scores), shares_of(scores))


def as_json(reference: Reference) -> str:
    """For a file; see ``parse_references``."""
    return json.dumps(asdict(reference), ensure_ascii=False, indent=1) + "\n"


def parse_references(texts: Iterable[str]) -> list[Reference]:
    """References from files' texts.

    Raises:
        CalibrationError: one is none, or two are of one profile.

    """
    found: dict[str, Reference] = {}
    for text in texts:
        try:
            fields = json.loads(text)
            reference = Reference(**{**fields, "shares": tuple(map(float, fields["shares"]))})
        except (ValueError, TypeError, KeyError) as error:
            raise CalibrationError(f"no reference as `iqa calibrate reference` writes it: {error}") from error
        if len(reference.shares) != len(BOUNDS) + 1 or not math.isclose(sum(reference.shares), 1, abs_tol=0.001):
            raise CalibrationError(f"the reference of {reference.profile} has no {len(BOUNDS) + 1} shares that make 1 together")
        if reference.profile in found:
            raise CalibrationError(f"two references are of {reference.profile}")
        found[reference.profile] = reference
    return list(found.values())


def rules(references: Iterable[Reference]) -> dict[str, Any]:
    """Prometheus rules, as a YAML file has them: shares of the last six hours, references, and the index of each profile."""
    count = f"sum by (profile) (increase(iqa_score_points_count[{WINDOW}]))"
    bins = [str(bound) for bound in BOUNDS] + ["100"]

    def upto(bound: str) -> str:
        return count if bound == "100" else f'sum by (profile) (increase(iqa_score_points_bucket{{le="{bound}.0"}}[{WINDOW}]))'

    made: list[dict[str, Any]] = [{"record": f"iqa:scores{WINDOW}", "expr": count}]
    for below, bound in zip(["", *bins], bins, strict=False):
        inside = f"({upto(bound)} - {upto(below)})" if below else upto(bound)
        expr = f"clamp_min({inside} / (iqa:scores{WINDOW} >= {LEAST}), {FLOOR})"
        made.append({"record": f"iqa:score_share{WINDOW}", "labels": {"bin": bound}, "expr": expr})
    for reference in references:
        for bound, share in zip(bins, reference.shares, strict=True):
            labels = {"profile": reference.profile, "bin": bound}
            made.append({"record": "iqa:score_reference", "labels": labels, "expr": f"vector({max(FLOOR, share):g})"})
    a, b = f"iqa:score_share{WINDOW}", "iqa:score_reference"
    on = "on (profile, bin)"
    made.append({"record": f"iqa:score_psi{WINDOW}", "expr": f"sum by (profile) (({a} - {on} {b}) * {on} ln({a} / {on} {b}))"})
    return {"groups": [{"name": "iqa-drift", "interval": "1m", "rules": made}]}
