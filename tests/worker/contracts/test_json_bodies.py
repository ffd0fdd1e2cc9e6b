"""What is accepted as JSON comes out of a verdict as it went in; everything else is refused with a code, whatever its size."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.worker.helpers import verdict
from worker.contracts.cloudevents import parse_event
from worker.contracts.json_bodies import MOST_DEPTH, MOST_DIGITS, load_json
from worker.contracts.verdicts import QualityVerdict
from worker.errors import EventError

EVENT = '{"event_id": "e1", "image_id": "a1", "url": "u", "uploaded_at": "2026-01-02T03:04:05Z", "metadata": {"x": %s}}'
MUCH = 8_000_000


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


def refused(body: bytes) -> EventError:
    with pytest.raises(EventError) as caught:
        parse_event(body, {})
    assert len(caught.value.detail) <= 1000
    return caught.value


def carried(body: bytes) -> Any:
    """The metadata as a reader of the verdict gets it."""
    sent = parse_event(body, {})
    read = QualityVerdict.model_validate_json(verdict(metadata=sent.metadata).model_dump_json())
    # As text: 1, 1.0 and true are equal, but not unchanged.
    assert json.dumps(read.metadata) == json.dumps(sent.metadata)
    return read.metadata["x"]


@pytest.mark.parametrize("levels", [1, 62, 63, 100, 220, 256, 500])
def test_depth_is_bounded(levels: int) -> None:
    """The event and its metadata are two levels; what is deeper than readers can take is refused as the sender's mistake."""
    body = (EVENT % nested(levels)).encode()
    if levels + 2 <= MOST_DEPTH:
        carried(body)
    else:
        assert refused(body).code == "invalid_event"


def test_depth_is_told_from_brackets_in_text_and_from_width() -> None:
    """Neither many brackets beside each other nor brackets in strings are deep."""
    assert carried((EVENT % ("[" + ",".join(["[{}]"] * 500) + "]")).encode()) == [[{}]] * 500
    assert carried((EVENT % json.dumps("[{" * 500)).encode()) == "[{" * 500
    assert refused(('{"a":' * 65 + "1" + "}" * 65).encode()).code == "invalid_event"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"[" * MUCH, "not_json"),
        (b'{"a":' * (MUCH // 5), "not_json"),
        (nested(MUCH // 2).encode(), "not_json"),
        (b"[1e" + b"9" * MUCH + b"]", "invalid_event"),
        (b"[" + b"1" * MUCH + b"]", "invalid_event"),
        (b'"' + b'\\"' * (MUCH // 2), "not_json"),
        (b"\x08\x01" * (MUCH // 2), "not_json"),
        (b"\x00" * MUCH, "not_json"),
        (b"\xff" * MUCH, "not_json"),
    ],
    ids=lambda value: repr(value[:8]),
)
def test_huge_bodies_are_refused(body: bytes, code: str) -> None:
    """Eight megabytes of nothing good: no recursion, no number of a million digits."""
    assert refused(body).code == code


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1e99999", "1" * (MOST_DIGITS + 1), "-" + "1" * 5000])
def test_numbers_that_would_change_are_refused(number: str) -> None:
    """Python makes infinity of them, which JSON does not have, or no other reader takes them. Wherever they stand."""
    for body in (EVENT % number, EVENT.replace("{", '{"unknown": [' + number + "],", 1) % "1"):
        assert refused(body.encode()).code == "invalid_event"


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity", "nan", "0x1", "01", "+1", "1.", ".5", "1_000"])
def test_what_json_does_not_have_is_not_json(constant: str) -> None:
    """RFC 8259, 6."""
    assert refused((EVENT % constant).encode()).code == "not_json"


def test_the_last_of_repeated_names_counts() -> None:
    """As in most readers of JSON, and as with headers."""
    assert load_json(b'{"a": 1, "a": {"b": 2, "b": 3}}') == {"a": {"b": 3}}


def test_other_unicode_encodings_are_read() -> None:
    """They always were; what is broken in them is named."""
    for encoding in ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"):
        assert carried((EVENT % '"图"').encode(encoding)) == "图"
    assert "UTF-8" in refused((EVENT % '"图"').encode("utf-16")[:-3]).detail


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-(10**MOST_DIGITS) // 10 + 1, 10**MOST_DIGITS - 1)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
@example([1e308, 5e-324, -0.0, 1e16, 1e22, 2**63, 2**64, -(2**63) - 1, 10**MOST_DIGITS - 1, 9007199254740993])
@example("\x00\x7f\u2028\ufeff\ufffd\U0001f600")
def test_what_is_accepted_is_carried_unchanged(value: Any) -> None:
    """From the event's body through the verdict's, in either spelling of characters."""
    for ascii_only in (True, False):
        text = json.dumps(value, ensure_ascii=ascii_only)
        try:
            body = (EVENT % text).encode()
        except UnicodeEncodeError:
            continue
        assert json.dumps(carried(body)) == json.dumps(value)


@given(
    st.text(alphabet='0123456789eE.+-[]{},:"\\ux dDfn ', max_size=40)
    | st.from_regex(r"-?[0-9]{1,120}(\.[0-9]+)?([eE][+-]?[0-9]{1,4})?")
)
@example("1e400")
@example('"\\ud800"')
@example('"\\ud83d\\ude00"')
@example("[" * 300 + "]" * 300)
def test_any_text_is_carried_unchanged_or_refused(text: str) -> None:
    """Spellings that no writer of JSON would choose."""
    body = (EVENT % text).encode()
    try:
        parse_event(body, {})
    except EventError:
        return
    assert json.dumps(carried(body)) == json.dumps(json.loads(body)["metadata"]["x"])
