"""Keywords are found in what recognisers make of text."""

from __future__ import annotations

import pytest

from calibration.keywords import find_keywords

WORDS = ("营业执照", "合同", "license", "certificate", "power of attorney")


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("CERTIFICATE", ("certificate",)),
        ("Ｃｅｒｔｉｆｉｃａｔｅ of origin", ("certificate",)),
        ("Driving License No. 12", ("license",)),
        ("营 业 执 照", ("营业执照",)),
        ("劳动合同书", ("合同",)),
        ("POWER  OF ATTORNEY", ("power of attorney",)),
        ("the licensee of 合同 has a license", ("合同", "license")),
        ("licensed premises", ()),
        ("certificates", ()),
        ("", ()),
    ],
)
def test_find_keywords(line: str, found: tuple[str, ...]) -> None:
    """Case, width and spaces do not matter; Latin words match whole words, Chinese ones anywhere."""
    assert find_keywords([line], WORDS) == found


def test_each_word_is_reported_once_in_the_profiles_order() -> None:
    """However many lines hold it."""
    assert find_keywords(["license", "合同", "LICENSE"], WORDS) == ("合同", "license")
