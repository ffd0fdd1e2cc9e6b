"""The judgement on a difference."""

from __future__ import annotations

import numpy as np
import pytest

from tests.suites.__main__ import main
from tests.suites.compare import judge
from tests.suites.references import SIDE, Seen, small


def seen(level: float, size: tuple[int, int] = (9, 7)) -> Seen:
    return (*size, np.full((SIDE, SIDE, 3), level, np.float32))


@pytest.mark.parametrize(
    ("ours", "one", "other", "kind"),
    [
        (seen(10), seen(12), seen(10), "same"), (seen(10), seen(90), seen(12), "same"), (seen(10), seen(12), None, "same"),
        ("damaged", None, None, "refused"), ("damaged", seen(1), seen(1), "refused here"),
        ("damaged", seen(1), None, "unclear"),
        (seen(1), None, None, "taken here"), (seen(10), seen(90), seen(91), "pixels"),
        (seen(10), seen(90), seen(200), "unclear"),
        (seen(10), seen(10, (7, 9)), seen(10, (7, 9)), "size"), (seen(10), seen(10, (7, 9)), seen(10, (1, 9)), "unclear"),
        (seen(10), seen(90), None, "unclear"),
    ],
)  # fmt: skip
def test_kinds(ours: Seen | str, one: Seen | None, other: Seen | None, kind: str) -> None:
    """Only where both references agree, a difference is told as ours."""
    assert judge(ours, {"one": one, "other": other}).kind == kind


@pytest.mark.parametrize("size", [(3, 5), (64, 64), (200, 131)])
def test_small(size: tuple[int, int]) -> None:
    """Whatever the size, the same number of values, with the same mean as far as parts go."""
    rows = np.linspace(0, 255, size[1]).astype(np.uint8)
    found = small(np.repeat(np.repeat(rows[:, None, None], size[0], axis=1), 3, axis=2))
    assert found.shape == (SIDE, SIDE, 3)
    assert found[0].max() <= 8
    assert found[-1].min() >= 200


def test_a_folder_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    """One line says so."""
    with pytest.raises(SystemExit):
        main(["/nowhere/at/all"])
    assert "is no folder" in capsys.readouterr().err
