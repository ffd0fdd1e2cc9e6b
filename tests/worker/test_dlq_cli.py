"""``iqa dlq list`` and ``stats`` as people read them. What they promise of a broker: ``tests/integration/test_replay.py``."""

from __future__ import annotations

import json

from tests.worker.helpers import Run, make_settings
from tests.worker.stack import PROPERTIES
from worker.embedded.broker import EmbeddedBroker
from worker.stream.clients import make_producer

TOPIC = "image.uploads.dlq"
DETAIL = "a long story of what was wrong, which no narrow terminal has room for on a single line"
LATEST = "2026-03-01T00:00:00+00:00"


def letters(servers: str) -> None:
    """Five of them, the latest first."""
    settings = make_settings(kafka={"bootstrap_servers": servers, "properties": PROPERTIES})
    producer = make_producer(settings.kafka)
    for month in (3, 2, 1):
        told = {
            "reason": "unsupported_cloudevents",
            "detail": DETAIL,
            "failed_at": str(1_767_225_600_000 + (month - 1) * 29 * 86_400_000 + (month == 3) * 86_400_000),
            "topic": "image.uploads",
            "partition": "3",
            "offset": f"12345{month}",
        }
        headers: list[tuple[str, str | bytes | None]] = [(f"iqa_{name}", value.encode()) for name, value in told.items()]
        if month > 1:
            headers.insert(0, ("ce_source", b"/sender/\xff" if month == 2 else b"/sender/3"))
        producer.produce(TOPIC, b"{}", b"image-%d" % month, headers=headers, partition=month % 2)
    assert producer.flush(60) == 0


def test_letters_are_listed_by_time_and_nothing_is_cut(iqa: Run) -> None:
    """In a pipe a row is a line; on a narrow terminal what is long is folded, times and reasons never."""
    with EmbeddedBroker([TOPIC], 2) as broker:
        letters(broker.bootstrap_servers)
        code, out, err = iqa("dlq", "list", IQA_KAFKA__BOOTSTRAP_SERVERS=broker.bootstrap_servers)
        assert (code, err) == (0, "")
        rows = [line for line in out.splitlines() if "image-" in line]
        assert [row.split("│")[3].strip() for row in rows] == ["image-1", "image-2", "image-3"]
        assert all(DETAIL in row and "image.uploads/3/12345" in row for row in rows)
        _, out, _ = iqa("dlq", "list", "--limit", "2")
        assert "image-2" in out
        assert "image-3" not in out
        for columns in ("60", "110"):
            _, out, _ = iqa("dlq", "list", COLUMNS=columns, FORCE_COLOR="1")
            assert all(whole in out for whole in (LATEST, "unsupported_cloudevents", "image-3", "single"))
            assert "…" not in out
        _, out, _ = iqa("dlq", "stats")
        assert LATEST in out


def test_programs_are_told_who_sent_them(iqa: Run) -> None:
    """By the CloudEvents source of the original, where it has one in its headers, in whatever bytes."""
    with EmbeddedBroker([TOPIC], 2) as broker:
        letters(broker.bootstrap_servers)
        _, out, _ = iqa("dlq", "list", "--json", IQA_KAFKA__BOOTSTRAP_SERVERS=broker.bootstrap_servers)
    assert [json.loads(line)["source"] for line in out.splitlines()] == ["", "/sender/\ufffd", "/sender/3"]
