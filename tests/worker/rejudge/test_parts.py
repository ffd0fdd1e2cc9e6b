"""Each row once, wherever a process dies between writing a part and committing it."""

from __future__ import annotations

import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.worker.helpers import event, verdict
from worker.errors import BrokerError, IqaError
from worker.rejudge.parts import MARK, PartsPublisher, claim_folder, count_changes, overlapping, parts_of, require_parquet
from worker.rejudge.rows import RowOutgoing, row_of
from worker.stream.incoming import Record
from worker.stream.ledger import Entry, Ledger, Partition

P: Partition = ("t", 3)
UPLOADED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Process:
    """One that writes rows from ``start`` on; those of ``empty`` offsets have none."""

    def __init__(self, folder: Path, start: int, empty: tuple[int, ...] = ()) -> None:
        self.ledger = Ledger()
        self.parts = PartsPublisher(folder, self.ledger)
        self.next = start
        self.empty = empty

    def write(self, count: int, category: str = "high") -> None:
        """One part of so many offsets."""
        added = [self.ledger.add(P, self.next + number, 1) for number in range(count)]
        for entry in added:
            assert self.ledger.begin(entry)
            self.ledger.finish(entry, [] if entry.offset in self.empty else [row(entry, category)])
        self.next += count
        self.parts.publish(self.ledger.finished())

    def commit(self) -> int:
        """Where the group is then."""
        prefix = self.ledger.published()
        self.ledger.confirm(prefix)
        return prefix.offsets[P]


def row(entry: Entry, category: str) -> RowOutgoing:
    record = Record("t", 3, entry.offset)
    old, new = verdict(category="low"), verdict(status="scored", category=category, score=70.0, reason=None)
    made = row_of(record, event(service="housing"), old, new, None)
    return RowOutgoing("", b"-", b"", (), row=made)


def offsets(folder: Path) -> list[int]:
    return [offset for part in parts_of(folder) for offset in pq.read_table(part.path)["offset"].to_pylist()]


def test_killed_between_part_and_commit(tmp_path: Path) -> None:
    """Two parts were never committed: the next process cuts the rows in other places, and all are there once."""
    first = Process(tmp_path, 0)
    first.write(10)
    place = first.commit()
    first.write(5)
    first.write(5)
    second = Process(tmp_path, place)
    second.write(7)
    second.write(7)
    assert offsets(tmp_path) == list(range(24))
    assert overlapping(parts_of(tmp_path)) == []


def test_what_is_written_again_may_have_no_rows_at_first(tmp_path: Path) -> None:
    """Parts that were not committed go all the same."""
    Process(tmp_path, 0).write(5)
    second = Process(tmp_path, 0, empty=(0, 1))
    second.write(2)
    assert offsets(tmp_path) == []
    second.write(2)
    assert offsets(tmp_path) == [2, 3]


def test_a_commit_falls_between_parts(tmp_path: Path) -> None:
    """The thread that commits may look while entries of a part are marked: it sees all of them, or none."""
    process, seen = Process(tmp_path, 0), list[int]()
    process.ledger.on_published = lambda _: seen.append(process.ledger.published().offsets[P])
    process.write(10)
    assert seen == [10] * 10


def test_two_that_own_one_partition_are_found(tmp_path: Path) -> None:
    """A process that was thought dead may write once more: rows are there twice, and it is said."""
    Process(tmp_path, 5).write(5)
    (tmp_path / "part-00003-000000000002-000000000006.parquet").write_bytes(parts_of(tmp_path)[0].path.read_bytes())
    assert [part.first for part in overlapping(parts_of(tmp_path))] == [5]
    Process(tmp_path, 0).write(10)
    assert offsets(tmp_path) == list(range(10))


def test_a_disk_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is committed, no half of a file is left under a part's name, and the reason is kept."""

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device", str(tmp_path))

    process = Process(tmp_path, 0)
    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(BrokerError, match="No space left"):
        process.write(3)
    assert (parts_of(tmp_path), process.ledger.published().offsets) == ([], {})
    assert isinstance(process.parts.failure, OSError)
    monkeypatch.undo()
    process.write(3)
    assert offsets(tmp_path) == list(range(6))


def test_columns(tmp_path: Path) -> None:
    """As they were, and as they are."""
    process = Process(tmp_path, 0)
    process.write(1)
    process.write(2, "low")
    table = pq.read_table(parts_of(tmp_path)[0].path)
    assert [str(table.schema.field(name).type) for name in ("uploaded_at", "score", "adjustments", "offset")] == [
        "timestamp[us, tz=UTC]",
        "double",
        "string",
        "int64",
    ]
    (found,) = table.to_pylist()
    wanted = {"old_category": "low", "category": "high", "service": "housing", "url": "http://127.0.0.1/a.jpg", "partition": 3}
    assert found.items() >= {**wanted, "uploaded_at": UPLOADED, "score": 70.0, "adjustments": "[]", "reason": None}.items()
    assert count_changes(parts_of(tmp_path)) == Counter({("low", "low"): 2, ("low", "high"): 1})


def test_rows_of_what_is_gone_or_was_uploaded_again() -> None:
    """A reason in place of a verdict; nothing old, where what is there is on another upload."""
    gone = row_of(Record("t", 3, 1), event(), verdict(event_id="other", category="high"), None, "http_not_found")
    assert (gone["old_category"], gone["category"], gone["reason"]) == (None, None, "http_not_found")
    assert (gone["adjustments"], gone["fingerprint"], gone["event_id"]) == (None, None, "e-a1")
    unscorable = row_of(Record("t", 3, 1), event(), None, verdict(), None)
    assert (unscorable["reason"], unscorable["adjustments"]) == ("truncated", "[]")


def test_without_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that says what to install."""
    require_parquet()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(IqaError, match=r"pip install 'iqa-fleet\[rejudge\]'"):
        require_parquet()


def test_a_folder_is_one_command_s(tmp_path: Path) -> None:
    """The same one goes on; rows of another, or files of something else, are not mixed with its own."""
    folder, told = tmp_path / "new" / "rows", {"since": "2026-01-02"}
    name = claim_folder(folder, told)
    assert claim_folder(folder, told) == name
    assert claim_folder(tmp_path / "other", told) != name
    with pytest.raises(IqaError, match=r"another rejudge \(since differ\)"):
        claim_folder(folder, {"since": "2026-01-03"})
    assert [path.name for path in folder.iterdir()] == [MARK]
    (folder / MARK).write_text("[]")
    with pytest.raises(IqaError, match="not what a rejudge has written"):
        claim_folder(folder, told)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.parquet").touch()
    with pytest.raises(IqaError, match="something else"):
        claim_folder(tmp_path / "full", told)
