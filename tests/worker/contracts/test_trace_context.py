"""The trace that a record belongs to, as senders tell it, and as they get it wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from worker import contracts
from worker.contracts.trace_context import MOST_BODY, MOST_STATE, TraceContext, find_context, without_context

EXAMPLES = Path(contracts.__file__).parent / "examples"
PARENT = f"00-{'a' * 32}-{'b' * 16}-01"
OTHER = f"00-{'c' * 32}-{'d' * 16}-00"
STRUCTURED = {"content-type": "application/cloudevents+json; charset=utf-8"}


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"traceparent": PARENT, "tracestate": "v=1"}, {}),
        ({"traceparent": f" {PARENT} ", "tracestate": " v=1"}, {}),
        ({"ce_traceparent": PARENT, "ce_tracestate": "v=1"}, {}),
        ({"traceparent": PARENT, "tracestate": "v=1", "ce_traceparent": OTHER, "ce_tracestate": "x=2"}, {}),
        ({"traceparent": "nonsense", "tracestate": "x=2", "ce_traceparent": PARENT, "ce_tracestate": "v=1"}, {}),
        (STRUCTURED, {"traceparent": PARENT, "tracestate": "v=1"}),
        ({**STRUCTURED, "traceparent": PARENT, "tracestate": "v=1"}, {"traceparent": OTHER}),
    ],
)
def test_where_it_is_told(headers: dict[str, str], body: dict[str, str]) -> None:
    """In headers, else by CloudEvents' extension in either mode."""
    assert find_context(headers, json.dumps(body).encode()) == TraceContext(PARENT, "v=1")


@pytest.mark.parametrize(
    "parent",
    [
        "",
        PARENT[:-1],
        PARENT.upper(),
        f"{PARENT}-more",
        f"ff{PARENT[2:]}",
        f"00-{'0' * 32}-{'b' * 16}-01",
        f"00-{'a' * 32}-{'0' * 16}-01",
        f"01{PARENT[2:]}-\x01",
        "x" * 100_000,
    ],
)
def test_what_is_none_is_passed_over(parent: str) -> None:
    """Anybody may send headers."""
    assert find_context({"traceparent": parent}, None) is None


def test_later_versions_may_have_more_parts() -> None:
    """As the W3C asks for."""
    found = find_context({"traceparent": f"01{PARENT[2:]}-more"}, None)
    assert found is not None
    assert found.parent == f"01{PARENT[2:]}-more"


@pytest.mark.parametrize("state", ["x" * (MOST_STATE + 1), "v=\ufffd", "a\nb", ""])
def test_a_state_that_cannot_be_carried_on_is_left_out(state: str) -> None:
    """The trace is carried on without it."""
    found = find_context({"traceparent": PARENT, "tracestate": state}, None)
    assert found is not None
    assert found.headers == [("traceparent", PARENT.encode())]


@pytest.mark.parametrize(
    "body",
    [
        None,
        b"",
        b"no json",
        b"[1]",
        b'{"traceparent": 7}',
        b"[" * 100_000,
        json.dumps({"traceparent": PARENT, "x": "x" * MOST_BODY}).encode(),
    ],
)
def test_bodies_without_one(body: bytes | None) -> None:
    """In structured mode, where the body may be anything."""
    assert find_context(STRUCTURED, body) is None


def test_only_what_is_told_by_hops_is_taken_away() -> None:
    """CloudEvents' extension is the event's own."""
    told = [("TraceParent", b"1"), ("tracestate", None), ("ce_traceparent", b"2"), ("other", b"3")]
    assert without_context(told) == [("ce_traceparent", b"2"), ("other", b"3")]


@pytest.mark.parametrize("file", ["binary.json", "structured.json"])
def test_the_examples_tell_theirs(file: str) -> None:
    """What senders copy."""
    records = json.loads((EXAMPLES / "records.json").read_text())
    record = next(each for each in records if each["file"] == file and "reason" not in each)
    found = find_context(record["headers"], (EXAMPLES / file).read_bytes())
    assert found is not None
    assert found.parent == "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
