"""Keywords are found in what recognisers make of a document's text, and nowhere else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.hanzi import simplified
from calibration.keywords import KeywordSearch, find_keywords, normalise_text
from calibration.profile import KeywordList
from calibration.profile_file import load_profile
from calibration.signals import TextLine

WORDS = KeywordList(
    words=("营业执照", "合同", "统一社会信用代码", "license", "certificate", "power of attorney"),
    context=("required", "需", "valid license"),
    exceptions=("百合同",),
    min_height=0.02,
)
SHIPPED = load_profile("recruitment").keywords


def found(*lines: str, height: float = 0.05, limits: KeywordList = WORDS) -> tuple[str, ...]:
    return find_keywords([TextLine(line, height) for line in lines], limits)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("CERTIFICATE", ("certificate",)),
        ("Ｃｅｒｔｉｆｉｃａｔｅ of origin", ("certificate",)),
        ("Driving License No. 12", ("license",)),
        ("营 业 执 照", ("营业执照",)),
        ("營業執照", ("营业执照",)),
        ("勞動合同書", ("合同",)),
        ("POWER  OF ATTORNEY", ("power of attorney",)),
        ("licensed premises", ()),
        ("certificates", ()),
        ("Contractor Pro", ()),
        ("百合同心", ()),
        ("", ()),
    ],
)
def test_spelling(line: str, words: tuple[str, ...]) -> None:
    """Case, width, spaces and traditional characters do not matter; Latin words match whole words; exceptions never."""
    assert found(line) == words


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("营业执熙", ("营业执照",)),
        ("营业热熙", ()),
        ("统一杜会信用代玛", ("统一社会信用代码",)),
        ("CERTIFlCATE", ("certificate",)),
        ("CERTFICATE", ("certificate",)),
        ("CERT1F1CATE", ("certificate",)),
        ("CERTIFTCATB", ()),
        ("L1CENSE", ("license",)),
        ("LICENCE", ()),
    ],
)
def test_mistakes_of_recognisers(line: str, words: tuple[str, ...]) -> None:
    """One wrong character in long words, two in very long ones; digits that look like letters."""
    assert found(line) == words


def test_lines_that_ask_for_a_document_are_none() -> None:
    """An advert that wants a driving licence is no licence, whatever else stands on it."""
    assert found("driving license required") == ()
    assert found("需营业执照") == ()
    assert found("driving license required", "LICENSE") == ("license",)


def test_words_in_running_text_count_only_together() -> None:
    """A single mention in small letters says little; several different ones are a document's body."""
    title, body = (
        TextLine("We wish you a pleasant stay with us", 0.08),
        "as the license of the house has it in writing, see over",
    )
    assert find_keywords([title, TextLine(body, 0.03)], WORDS) == ()
    more = TextLine("and the certificate that hangs in the hall beside the stairs", 0.03)
    assert find_keywords([title, TextLine(body, 0.03), more], WORDS) == ("license", "certificate")


def test_the_largest_letters_are_a_title_however_long_the_line() -> None:
    """Titles of documents may be long."""
    assert found("Certificate of Completion of the Advanced Course in Joinery") == ("certificate",)


def test_what_is_too_small_hangs_in_the_background() -> None:
    """Letters below the profile's height are not what the picture shows."""
    assert found("CERTIFICATE", height=0.019) == ()


def test_a_small_title_needs_the_rest_of_its_page() -> None:
    """Of a framed certificate on a wall only the title can be read; a large title needs no other line."""
    limits = WORDS.model_copy(update={"min_lines": 3, "alone_height": 0.04})
    assert found("CERTIFICATE", height=0.03, limits=limits) == ()
    assert found("CERTIFICATE", "of conduct", "No. 4711", height=0.03, limits=limits) == ("certificate",)
    assert found("CERTIFICATE", height=0.05, limits=limits) == ("certificate",)


def test_each_word_is_reported_once_in_the_profiles_order() -> None:
    """However many lines hold it."""
    assert found("license", "合同", "LICENSE") == ("合同", "license")


@pytest.mark.parametrize("word", SHIPPED.words)
def test_every_shipped_word_counts_as_a_title(word: str) -> None:
    """No word is dead: none contains a context word or an exception."""
    assert word in found(word.upper(), limits=SHIPPED)


@pytest.mark.parametrize(
    "line",
    [
        "联合同创",
        "综合同步",
        "CONTACT US",
        "High contrast",
        "Contractors welcome",
        "Agreeable",
        "要求持证上岗 有驾驶证",
        "签订劳动合同 五险一金",
    ],
)
def test_shipped_words_leave_these_alone(line: str) -> None:
    """Names, near words, and adverts."""
    assert found(line, limits=SHIPPED) == ()


def test_normalisation_maps_one_character_to_one() -> None:
    """Lengths stay, so that positions mean the same before and after."""
    assert simplified("營業執照與證書") == "营业执照与证书"
    assert normalise_text("  ＡＢ　c ") == "ab c"


HEIGHTS = st.sampled_from([0.01, 0.02, 0.03, 0.04, 0.05, 0.1])
TEXTS = st.sampled_from(
    ["license", "the license of this", "certificate and license of it", "license required", "some other words here", "合同", ""]
)


@given(
    st.lists(st.builds(TextLine, TEXTS, HEIGHTS), max_size=9),
    st.lists(st.booleans(), min_size=9, max_size=9),
    st.sampled_from([1, 3, 5]),
)
def test_reading_may_stop_where_it_is_settled(lines: list[TextLine], readable: list[bool], least: int) -> None:
    """Whatever the rest says, and whether it can be read at all: there are keywords in all of it, or there are none."""
    limits = WORDS.model_copy(update={"min_lines": least, "alone_height": 0.04})
    lines.sort(key=lambda line: line.height, reverse=True)
    search = KeywordSearch(limits)
    whole = find_keywords([line for line, read in zip(lines, readable, strict=False) if read], limits)
    for number, (line, read) in enumerate(zip(lines, readable, strict=False)):
        if search.settled([each.height for each in lines[number:]]):
            break
        if read:
            search.add(line)
    assert bool(search.found()) == bool(whole)
    assert search.settled([])


def test_a_title_settles_it() -> None:
    """A certificate's other lines need not be read."""
    search = KeywordSearch(WORDS)
    assert not search.settled([0.1, 0.05, 0.05])
    search.add(TextLine("Certificate", 0.1))
    assert search.settled([0.05, 0.05])


FAR = WORDS.model_copy(update={"min_lines": 5, "alone_height": 0.04})


def test_letters_too_small_to_count_need_not_be_read() -> None:
    """Few lines must be large ones; small ones only count as lines."""
    assert KeywordSearch(FAR).settled([0.03] * 4)
    assert not KeywordSearch(FAR).settled([0.03] * 5)
    assert KeywordSearch(FAR).settled([0.01] * 9)
    waits = KeywordSearch(FAR)
    waits.add(TextLine("certificate", 0.03))
    assert not waits.settled([0.01] * 4), "a fifth line that can be read would make it count"
    assert waits.settled([0.01] * 3)
